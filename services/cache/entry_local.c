/*
 * cache/entry_local.c - the home of entries in this daemon: entry_map.h says what an operation does, entry_disk.h keeps it. What is asked is done in memory at once,
 * and told when everything that the answer rests on is durable. Changes that come while others are being synced go together with the next
 * sync. Without a disk: at once.
 *
 * When the disk fails, memory may know what the disk does not: it is dropped, whoever waits is told, and the disk is loaded again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "cache/entry_batch.h"
#include "cache/entry_disk.h"
#include "cache/entry_home.h"

#define WAITING_BYTES ((size_t)8 << 20) /* of changes that no sync has taken yet, and one value */
#define EXPIRE_STEP   256
#define EXPIRE_US     1000000 /* memory of what has expired is freed so often */

struct entry_local {
	struct entry_home home;
	struct loop *loop;
	size_t max_bytes, max_value_bytes;
	struct entry_map *map; /* NULL: not open */
	struct loop_timer expire_timer;

	struct entry_disk *disk; /* NULL: memory alone; what follows is its */
	uint64_t generation;
	struct im_err away;
	bool told_away;
	struct entry_batch batch[2];
	unsigned gathering; /* which of the two; the other one may be under way */
	bool writing;
	uint64_t change,
	    durable; /* number of the batch that is gathered; of the last one that is durable */
	uint64_t removed;    /* the last one that takes a name away */
	struct list waiting; /* entry_call.node */
	uint64_t errors;
	loop_fn stopped;
	void *stopped_arg;
};

static struct entry_local *
of(struct entry_home *home)
{
	return CONTAINER_OF(home, struct entry_local, home);
}

static struct entry_batch *
gathered(struct entry_local *l)
{
	return &l->batch[l->gathering];
}

/* Give a call back. */
static void
end(struct entry_call *call, const struct im_err *err)
{
	uint8_t *copy = call->copy;

	call->copy = NULL;
	list_remove(&call->node);
	call->done(call, err, err == NULL ? &call->answer : NULL);
	free(copy);
}

static void
end_all(struct entry_local *l, const struct im_err *err)
{
	struct list all;
	struct list *node;

	list_init(&all);
	list_move_all(&all, &l->waiting);
	while ((node = list_pop_front(&all)) != NULL)
		end(CONTAINER_OF(node, struct entry_call, node), err);
}

/* The disk. */

static void
go_away(struct entry_local *l, const struct im_err *why)
{
	struct im_err err = *why;

	if (l->map == NULL)
		return;
	entry_map_free(l->map);
	l->map = NULL;
	l->generation = 0;
	l->removed = 0;
	l->away = err;
	l->errors++;
	buf_clear(&gathered(l)->changes);
	(void)err_set(&err, IM_EUNAVAILABLE, "whether this was done is not known: %.400s",
		      why->text);
	end_all(l, &err);
}

static void
write_gathered(struct entry_local *l)
{
	struct entry_batch *b = gathered(l);

	if (l->disk == NULL || l->writing || b->changes.len == 0)
		return;
	b->generation = l->generation;
	l->writing = true;
	l->gathering = !l->gathering;
	l->change++;
	entry_disk_write(l->disk, b);
}

static void
on_written(void *arg)
{
	struct entry_local *l = arg;
	struct entry_batch *b = &l->batch[!l->gathering];

	l->writing = false;
	if (b->err.rc != IM_OK && b->generation == l->generation)
		go_away(l, &b->err);
	buf_clear(&b->changes);
	l->durable = l->change - 1;
	if (l->map == NULL)
		return;
	LIST_FOREACH_SAFE (&l->waiting, call, struct entry_call, node)
		if (call->change <= l->durable)
			end(call, NULL);
	write_gathered(l);
}

static void
arm_expiry(struct entry_local *l)
{
	uint64_t next_us = entry_map_next_us(l->map), now_us = clock_wall_us();
	uint64_t wait_us = next_us > now_us ? next_us - now_us : 0;

	if (next_us == UINT64_MAX || loop_timer_armed(&l->expire_timer))
		return;
	/* Without memory for it: at the next change. */
	(void)!loop_timer_set(l->loop, &l->expire_timer, wait_us < EXPIRE_US ? EXPIRE_US : wait_us);
}

static void
on_expired(void *arg, const uint8_t *name, size_t len)
{
	struct entry_local *l = arg;

	entry_batch_delete(&gathered(l)->changes, name, len);
	l->removed = l->change;
}

/* Some at a time, if there is memory to note it. What is on disk of them goes with the next sync, or when it is loaded next; it is not told to anybody any
 * more. */
static size_t
expire(struct entry_local *l)
{
	struct buf *b = &gathered(l)->changes;
	bool noted = l->disk != NULL && !entry_disk_is_low(l->disk);

	if (entry_map_next_us(l->map) > clock_wall_us() || b->len >= WAITING_BYTES)
		return 0;
	if (noted &&
	    buf_reserve(b, EXPIRE_STEP * entry_batch_put_bytes(ENTRY_NAME_MAX, 0)) == NULL) {
		b->failed = false;
		return 0;
	}
	return entry_map_expire(l->map, clock_wall_us(), EXPIRE_STEP, noted ? on_expired : NULL, l);
}

static void
on_expire_timer(void *arg)
{
	struct entry_local *l = arg;

	if (l->map == NULL)
		return;
	if (expire(l) == EXPIRE_STEP)
		(void)!loop_timer_set(l->loop, &l->expire_timer, 0);
	else
		arm_expiry(l);
	write_gathered(l);
}

static void
on_disk(void *arg)
{
	struct entry_local *l = arg;
	struct entry_disk_state s;

	entry_disk_take(l->disk, &s);
	if (s.generation == 0) {
		go_away(l, &s.why);
		l->away = s.why;
		if (!l->told_away)
			log_error("entries cannot be kept: every request for one is an error",
				  LOG_STR("error.message", s.why.text));
		l->told_away = true;
		return;
	}
	if (s.loaded == NULL) /* taken before */
		return;
	go_away(l, &s.why); /* it was closed and opened faster than it was told */
	l->map = s.loaded;
	l->generation = s.generation;
	l->told_away = false;
	log_info("the entries are open",
		 LOG_UINT("infermesh.cache.entries", entry_map_count(l->map)));
	arm_expiry(l);
}

/* Asking. */

/* Room in the batch for whatever 'ask' changes, so that nothing is done that cannot be written. */
static enum im_rc
reserve(struct entry_local *l, const struct entry_ask *ask, struct im_err *err)
{
	struct buf *b = &gathered(l)->changes;
	size_t most = ask->op == ENTRY_APPEND ? l->max_value_bytes : ask->value.len;

	if (l->disk == NULL || ask->op == ENTRY_GET)
		return IM_OK;
	if (entry_disk_is_low(l->disk))
		return err_reason(err, IM_ELIMIT, "store_full",
				  "the disk of the entries has less than 32 MiB of room");
	if (b->len >= WAITING_BYTES)
		return err_set(err, IM_EUNAVAILABLE,
			       "%zu bytes of entries wait to be written; try again later", b->len);
	if (buf_reserve(b, entry_batch_put_bytes(ENTRY_NAME_MAX, most)) == NULL) {
		b->failed = false;
		return err_set(err, IM_ENOMEM, "no memory for an entry");
	}
	return IM_OK;
}

static void
note(struct entry_local *l, const struct entry_ask *ask, const struct entry_done *done)
{
	uint8_t name[ENTRY_NAME_MAX];

	if (done->entry != NULL) {
		done->entry->change = l->change;
		entry_batch_put(&gathered(l)->changes, done->entry);
	} else {
		entry_batch_delete(&gathered(l)->changes, name, entry_name(ask, name));
		l->removed = l->change;
	}
}

static void
fill(const struct entry_local *l, const struct entry_call *call, const struct entry_done *done,
     uint64_t now_us, struct entry_answer *ret)
{
	const struct entry *e = done->entry;

	*ret = (struct entry_answer){ .found = done->found,
				      .done = done->done,
				      .durable = l->disk != NULL,
				      .home = l->home.name };
	if (e != NULL) {
		ret->version = e->version;
		ret->left_ms = entry_left_ms(e, now_us);
		if (call->ask.op == ENTRY_GET)
			ret->value = (struct wire_bytes){ e->value, e->len };
	}
}

/* Until batch number 'call->change' is durable; what is read may change meanwhile. */
static bool
hold(struct entry_local *l, struct entry_call *call)
{
	struct wire_bytes *v = &call->answer.value;

	if (v->len > 0) {
		call->copy = malloc(v->len);
		if (call->copy == NULL)
			return false;
		memcpy(call->copy, v->data, v->len);
		v->data = call->copy;
	}
	list_push_back(&l->waiting, &call->node);
	return true;
}

static void
ask(struct entry_home *home, struct entry_call *call)
{
	struct entry_local *l = of(home);
	uint64_t now_us = clock_wall_us();
	struct entry_done done;
	struct im_err err;
	enum im_rc rc;

	call->copy = NULL;
	call->change = 0;
	if (l->map == NULL) {
		call->done(call, &l->away, NULL);
		return;
	}
	(void)expire(l);
	rc = reserve(l, &call->ask, &err);
	if (rc == IM_OK)
		rc = entry_map_do(l->map, &call->ask, now_us, &done, &err);
	if (rc == IM_OK) {
		fill(l, call, &done, now_us, &call->answer);
		if (l->disk != NULL && done.changed)
			note(l, &call->ask, &done);
		if (l->disk != NULL)
			call->change = done.entry != NULL ? done.entry->change : l->removed;
		if (call->change > l->durable && !hold(l, call))
			rc = err_set(&err, IM_ENOMEM, "no memory for an answer");
	}
	arm_expiry(l);
	write_gathered(l);
	if (rc != IM_OK)
		call->done(call, &err, NULL);
	else if (call->change <= l->durable)
		call->done(call, NULL, &call->answer);
}

static void
stats(const struct entry_home *home, struct entry_home_stats *ret)
{
	const struct entry_local *l = CONTAINER_OF(home, const struct entry_local, home);

	*ret = (struct entry_home_stats){ .state = "ready",
					  .max_bytes = l->max_bytes,
					  .errors = l->errors };
	if (l->map == NULL) {
		ret->state = l->told_away ? "away" : "opening";
		return;
	}
	ret->sized = true;
	ret->entries = entry_map_count(l->map);
	ret->bytes = entry_map_bytes(l->map);
}

static void
finish(void *arg)
{
	struct entry_local *l = arg;
	loop_fn stopped = l->stopped;
	void *stopped_arg = l->stopped_arg;

	buf_done(&l->batch[0].changes);
	buf_done(&l->batch[1].changes);
	free(l);
	stopped(stopped_arg);
}

static void
stop(struct entry_home *home, loop_fn stopped, void *arg)
{
	struct entry_local *l = of(home);
	struct im_err err;

	(void)err_set(&err, IM_EUNAVAILABLE, "the cache is being stopped");
	end_all(l, &err);
	entry_map_free(l->map);
	l->map = NULL;
	loop_timer_cancel(l->loop, &l->expire_timer);
	l->stopped = stopped;
	l->stopped_arg = arg;
	if (l->disk != NULL)
		entry_disk_stop(l->disk, finish, l);
	else
		finish(l);
}

enum im_rc
entry_local_new(struct loop *loop, const char *parent, size_t max_bytes, size_t max_value_bytes,
		struct entry_home **ret, struct im_err *err)
{
	static const struct entry_home_ops ops = { .ask = ask, .stats = stats, .stop = stop };
	struct entry_disk_params p = { .parent = parent,
				       .map = { .max_bytes = max_bytes,
						.max_value_bytes = max_value_bytes } };
	struct entry_local *l = calloc(1, sizeof(*l));
	enum im_rc rc;

	if (l == NULL)
		return err_set(err, IM_ENOMEM, "no memory for entries");
	random_bytes(&p.map.seed, sizeof(p.map.seed));
	l->home = (struct entry_home){ &ops, parent != NULL ? "disk" : "memory" };
	l->loop = loop;
	l->max_bytes = max_bytes;
	l->max_value_bytes = max_value_bytes;
	l->expire_timer = (struct loop_timer){ .fn = on_expire_timer, .arg = l };
	l->batch[0].task = l->batch[1].task = (struct loop_task){ .fn = on_written, .arg = l };
	l->change = 1;
	list_init(&l->waiting);
	(void)err_set(&l->away, IM_EUNAVAILABLE, "the entries are being loaded; try again");
	rc = parent != NULL ? entry_disk_new(loop, &p, on_disk, l, &l->disk, err)
			    : entry_map_new(&p.map, &l->map, err);
	if (rc != IM_OK) {
		free(l);
		return rc;
	}
	*ret = &l->home;
	return IM_OK;
}
