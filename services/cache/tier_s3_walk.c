/*
 * cache/tier_s3_walk.c - walks over the names of all objects: a purge looks at the head of each frame and deletes those that are meant; a sweep
 * deletes by age, and looks at nothing. Some requests at once, one page after the other.
 *
 *   writes before it ended ──▶ page ──▶ head of each ──▶ delete ──▶ all answered ──▶ next page, or the end
 *                                └───── age, all ──────────┘
 *
 * A sweep that finds too much goes a second time: the first gave it how many bytes are how old, and of each age how many are in which part of the
 * keys, so it knows up to which age all must go, and which parts of that age.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cache/s3_xml.h"
#include "cache/tier_s3_internal.h"

#define AT_ONCE 8 /* requests */
#define AGES    256
#define PARTS   16 /* of the keys, by their first bits */

/* One object that is being looked at. */
struct look {
	struct walk *walk; /* NULL = free */
	uint8_t key[CACHE_KEY_BYTES];
};

struct walk {
	struct list node;
	struct tier_s3 *tier;
	struct tier_purge *purge; /* NULL = a sweep, or cancelled */
	bool cancelled;
	bool begun;
	uint64_t after; /* the last write that must have ended before */
	struct look looks[AT_ONCE];
	unsigned due; /* answers */
	size_t at;    /* in 'page' */
	uint64_t removed;
	struct im_err err;

	/* A sweep. */
	uint64_t now_us, entries, bytes; /* what stays */
	uint64_t bytes_of[AGES][PARTS];
	bool cutting;      /* the second time */
	unsigned cut_age;  /* older ones go, */
	unsigned cut_part; /* of that age those of the parts up to this one */

	struct s3_page page;
};

static void go_on(struct walk *w);

static void
fail(struct walk *w, const char *what, const char *why)
{
	if (w->err.rc == IM_OK)
		(void)err_set(&w->err, IM_EUNAVAILABLE, "the object store: cannot %s: %.200s", what,
			      why);
}

static bool
is_over(const struct walk *w)
{
	return w->cancelled || w->err.rc != IM_OK;
}

/* Which of AGES equal parts of the time to live, the last one for all that is older. */
static unsigned
age_of(const struct walk *w, const struct s3_object *o)
{
	uint64_t ttl_us = w->tier->tier.ttl_ms * 1000;
	uint64_t age_us = o->modified_us < w->now_us ? w->now_us - o->modified_us : 0;

	return age_us >= ttl_us ? AGES - 1 : (unsigned)(age_us / (ttl_us / AGES + 1));
}

static unsigned
part_of(const struct s3_object *o)
{
	return o->key[0] / (256 / PARTS);
}

/* To be deleted by a sweep? */
static bool
is_old(const struct walk *w, const struct s3_object *o)
{
	unsigned age = age_of(w, o);

	if (o->modified_us + w->tier->tier.ttl_ms * 1000 < w->now_us)
		return true;
	return w->cutting && (age > w->cut_age || (age == w->cut_age && part_of(o) <= w->cut_part));
}

static void
tally(struct walk *w)
{
	for (size_t i = 0; i < w->page.count; i++) {
		const struct s3_object *o = &w->page.object[i];

		if (is_old(w, o))
			continue;
		w->entries++;
		w->bytes += o->bytes;
		w->bytes_of[age_of(w, o)][part_of(o)] += o->bytes;
	}
}

static void
on_deleted(void *arg, const struct s3_answer *answer)
{
	struct look *look = arg;
	struct walk *w = look->walk;

	look->walk = NULL;
	w->due--;
	if (answer->said == S3_OK || answer->said == S3_NONE)
		w->removed++;
	else
		fail(w, "delete an object", answer->why);
	go_on(w);
}

static void
send_look(struct walk *w, struct look *look, const struct s3_request *req, s3_done done)
{
	struct im_err err;

	look->walk = w;
	if (s3_send(w->tier->s3, req, done, look, &err) != NULL) {
		w->due++;
	} else {
		look->walk = NULL;
		fail(w, "be asked", err.text);
	}
}

static bool
is_meant(const struct walk *w, const struct s3_answer *answer)
{
	struct value_meta meta;

	return w->purge != NULL && answer->len > TIER_S3_EXPIRY_BYTES &&
	       value_head(answer->body + TIER_S3_EXPIRY_BYTES, answer->len - TIER_S3_EXPIRY_BYTES,
			  &meta) == IM_OK &&
	       value_selected(&w->purge->sel, &meta);
}

static void
on_head(void *arg, const struct s3_answer *answer)
{
	struct look *look = arg;
	struct walk *w = look->walk;
	const struct s3_request req = { .kind = S3_DELETE, .key = look->key };

	look->walk = NULL;
	w->due--;
	if (answer->said == S3_OK && is_meant(w, answer))
		send_look(w, look, &req, on_deleted);
	else if (answer->said != S3_OK && answer->said != S3_NONE)
		fail(w, "read an object", answer->why);
	go_on(w);
}

static bool
means_all(const struct value_selector *sel)
{
	return !sel->has_key && (sel->tenant == NULL || sel->tenant[0] == '\0') &&
	       (sel->model == NULL || sel->model[0] == '\0') && sel->created_before_us == 0;
}

static void
look_at(struct walk *w, const struct s3_object *o)
{
	bool by_head = w->purge != NULL && !means_all(&w->purge->sel);
	struct look *look = w->looks;
	const struct s3_request req = { .kind = by_head ? S3_GET : S3_DELETE,
					.key = o->key,
					.first_bytes = TIER_S3_EXPIRY_BYTES + VALUE_HEAD_MAX };

	if (w->purge == NULL && !is_old(w, o))
		return;
	while (look->walk != NULL) /* there is one: 'due' is below AT_ONCE */
		look++;
	memcpy(look->key, o->key, sizeof(look->key));
	send_look(w, look, &req, by_head ? on_head : on_deleted);
}

static void
on_page(void *arg, const struct s3_answer *answer)
{
	struct walk *w = arg;
	struct im_err err;

	w->due--;
	w->at = w->page.count = 0;
	if (answer->said != S3_OK)
		fail(w, "list the objects", answer->why);
	else if (s3_xml_page(answer->body, answer->len, s3_prefix(w->tier->s3), &w->page, &err) !=
		 IM_OK)
		fail(w, "list the objects", err.text);
	else
		tally(w);
	go_on(w);
}

static void
list_page(struct walk *w)
{
	const struct s3_request req = { .kind = S3_LIST, .token = w->page.token };
	struct im_err err;

	if (s3_send(w->tier->s3, &req, on_page, w, &err) != NULL)
		w->due++;
	else
		fail(w, "be asked", err.text);
}

/* What must go of what is there. False: nothing. */
static bool
plan_cut(struct walk *w)
{
	uint64_t max = w->tier->max_bytes, gone = 0, excess;

	if (w->bytes <= max)
		return false;
	excess = w->bytes - (max - max / 10); /* a little more, so that it lasts a while */
	w->cutting = true;
	for (w->cut_age = AGES - 1;; w->cut_age--)
		for (w->cut_part = 0; w->cut_part < PARTS; w->cut_part++) {
			gone += w->bytes_of[w->cut_age][w->cut_part];
			if (gone >= excess)
				return true;
		}
}

static void
again(struct walk *w)
{
	w->entries = w->bytes = w->removed = 0;
	memset(w->bytes_of, 0, sizeof(w->bytes_of));
	w->at = w->page.count = 0;
	list_page(w);
	if (w->due == 0)
		go_on(w);
}

/* True: it goes on. */
static bool
swept(struct walk *w)
{
	struct tier_s3 *t = w->tier;

	if (w->err.rc != IM_OK) {
		log_warn("the object store could not be swept",
			 LOG_STR("error.message", w->err.text));
		return false;
	}
	t->sized = true;
	t->entries = w->entries;
	t->bytes = w->bytes;
	*(w->cutting ? &t->evicted : &t->expired) += w->removed;
	return !w->cutting && plan_cut(w);
}

static void
end_walk(struct walk *w)
{
	struct tier_s3 *t = w->tier;
	struct tier_purge *purge = w->purge;
	struct im_err err = w->err;
	uint64_t removed = w->removed;

	if (purge == NULL && !w->cancelled && swept(w)) {
		again(w);
		return;
	}
	list_remove(&w->node);
	free(w);
	if (purge != NULL)
		purge->done(purge, err.rc != IM_OK ? &err : NULL, removed);
	else
		tier_s3_sweep_later(t);
}

static void
go_on(struct walk *w)
{
	while (!is_over(w) && w->at < w->page.count && w->due < AT_ONCE)
		look_at(w, &w->page.object[w->at++]);
	if (w->due == 0 && !is_over(w) && w->page.token[0] != '\0')
		list_page(w);
	if (w->due == 0)
		end_walk(w);
}

static void
begin_if_it_may(struct walk *w)
{
	if (w->begun || !tier_s3_written(w->tier, w->after))
		return;
	w->begun = true;
	if (w->purge != NULL && w->purge->sel.has_key) {
		memcpy(w->page.object[0].key, w->purge->sel.key, CACHE_KEY_BYTES);
		w->page.count = 1;
	} else {
		list_page(w);
	}
	if (w->due == 0)
		go_on(w);
}

static struct walk *
walk_new(struct tier_s3 *t)
{
	struct walk *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->tier = t;
	w->now_us = clock_wall_us();
	w->after = t->writes_begun;
	list_push_back(&t->walks, &w->node);
	return w;
}

void
tier_s3_purge(struct tier *tier, struct tier_purge *purge)
{
	struct tier_s3 *t = CONTAINER_OF(tier, struct tier_s3, tier);
	struct walk *w = walk_new(t);
	struct im_err err;

	if (w == NULL) {
		(void)err_set(&err, IM_ENOMEM, "no memory for a purge of the object store");
		purge->done(purge, &err, 0);
		return;
	}
	w->purge = purge;
	begin_if_it_may(w);
}

void
tier_s3_sweep(struct tier_s3 *t)
{
	struct walk *w = t->breaker.open ? NULL : walk_new(t);

	if (w == NULL)
		tier_s3_sweep_later(t);
	else
		begin_if_it_may(w);
}

void
tier_s3_walks_go_on(struct tier_s3 *t)
{
	LIST_FOREACH_SAFE (&t->walks, w, struct walk, node) {
		begin_if_it_may(w);
	}
}

void
tier_s3_walks_cancel(struct tier_s3 *t)
{
	LIST_FOREACH (&t->walks, w, struct walk, node) {
		w->purge = NULL;
		w->cancelled = true;
	}
}

void
tier_s3_walks_free(struct tier_s3 *t)
{
	struct list *node;

	while ((node = list_pop_front(&t->walks)) != NULL)
		free(CONTAINER_OF(node, struct walk, node));
}
