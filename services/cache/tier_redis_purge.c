/*
 * cache/tier_redis_purge.c - a purge of what is in Redis: SCAN over one node after the other, the head of each frame that is found, UNLINK
 * of those that are meant. On the connection that writes, so behind everything that was written before.
 *
 *   node ──▶ SCAN ──▶ GETRANGE of each key ──▶ UNLINK ──▶ all answered ──▶ next page, next node, or the end
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "cache/tier_redis_internal.h"

#define CURSOR_MAX 24

struct purge_run {
	struct list node;
	struct tier_redis *tier;
	struct tier_purge *purge; /* NULL = cancelled */
	size_t at;                /* node of Redis */
	uint64_t generation;
	char cursor[CURSOR_MAX];
	size_t due; /* answers */
	uint64_t removed;
	struct im_err err;
};

/* One key of a page. */
struct found {
	struct purge_run *run;
	size_t len;
	char key[];
};

static void scan(struct purge_run *run);

static void
fail(struct purge_run *run, const char *what, const char *why)
{
	if (run->err.rc == IM_OK)
		(void)err_set(&run->err, IM_EUNAVAILABLE, "Redis: %s: %.200s; purge again", what,
			      why);
}

static void
end_run(struct purge_run *run)
{
	struct tier_purge *purge = run->purge;
	struct im_err err = run->err;
	uint64_t removed = run->removed;

	list_remove(&run->node);
	free(run);
	if (purge != NULL)
		purge->done(purge, err.rc != IM_OK ? &err : NULL, removed);
}

/* One answer less. */
static void
go_on(struct purge_run *run)
{
	if (run->due > 0)
		return;
	if (run->err.rc == IM_OK && run->purge != NULL && strcmp(run->cursor, "0") == 0) {
		run->at = redis_pool_next(run->tier->pool, run->at + 1);
		if (run->generation != redis_pool_generation(run->tier->pool))
			fail(run, "its cluster", "keys moved between nodes meanwhile");
	}
	if (run->err.rc != IM_OK || run->purge == NULL || run->at >= REDIS_NODES_MAX)
		end_run(run);
	else
		scan(run);
}

/* An answer is due, or the purge has failed. */
static void
sent(struct purge_run *run, const struct redis_op *op)
{
	if (op != NULL)
		run->due++;
	else
		fail(run, "cannot be asked", "there is no connection to who has the keys");
}

static void
on_removed(void *arg, const redisReply *reply)
{
	struct purge_run *run = arg;

	run->due--;
	if (reply == NULL)
		fail(run, "no answer", "the connection was lost");
	else if (reply->type == REDIS_REPLY_INTEGER)
		run->removed += (uint64_t)reply->integer;
	else
		fail(run, "UNLINK", reply->type == REDIS_REPLY_ERROR ? reply->str : "no number");
	go_on(run);
}

static bool
is_meant(const struct purge_run *run, const redisReply *reply)
{
	struct value_meta meta;

	return run->purge != NULL && reply->type == REDIS_REPLY_STRING &&
	       value_head((const uint8_t *)reply->str, (size_t)reply->len, &meta) == IM_OK &&
	       value_selected(&run->purge->sel, &meta);
}

static void
on_head(void *arg, const redisReply *reply)
{
	struct found *f = arg;
	struct purge_run *run = f->run;
	const char *const argv[] = { "UNLINK", f->key };
	const size_t len[] = { 6, f->len };

	run->due--;
	if (reply == NULL)
		fail(run, "no answer", "the connection was lost");
	else if (is_meant(run, reply))
		sent(run,
		     redis_pool_send(run->tier->pool, REDIS_WRITE, 2, argv, len, on_removed, run));
	free(f);
	go_on(run);
}

static void
look_at(struct purge_run *run, const char *key, size_t key_len)
{
	static const char last[] = "583";
	struct found *f = malloc(sizeof(*f) + key_len);
	const char *argv[] = { "GETRANGE", NULL, "0", last };
	const size_t len[] = { 8, key_len, 1, sizeof(last) - 1 };
	const struct redis_op *op = NULL;

	_Static_assert(VALUE_HEAD_MAX == 584, "as many bytes as are asked for");
	if (f != NULL) {
		f->run = run;
		f->len = key_len;
		memcpy(f->key, key, key_len);
		argv[1] = f->key;
		op = redis_pool_send(run->tier->pool, REDIS_WRITE, 4, argv, len, on_head, f);
	}
	sent(run, op);
	if (op == NULL)
		free(f);
}

/* [cursor, [key, …]] */
static bool
read_page(struct purge_run *run, const redisReply *reply)
{
	const redisReply *cursor, *keys;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
		return false;
	cursor = reply->element[0];
	keys = reply->element[1];
	if (cursor->type != REDIS_REPLY_STRING || (size_t)cursor->len >= sizeof(run->cursor) ||
	    keys->type != REDIS_REPLY_ARRAY)
		return false;
	memcpy(run->cursor, cursor->str, (size_t)cursor->len + 1);
	for (size_t i = 0; i < keys->elements; i++) {
		const redisReply *key = keys->element[i];

		if (key->type != REDIS_REPLY_STRING)
			return false;
		if ((size_t)key->len == run->tier->prefix_len + 2 * (size_t)CACHE_KEY_BYTES)
			look_at(run, key->str, (size_t)key->len);
	}
	return true;
}

static void
on_page(void *arg, const redisReply *reply)
{
	struct purge_run *run = arg;

	run->due--;
	if (reply == NULL)
		fail(run, "no answer", "the connection was lost");
	else if (run->purge != NULL && !read_page(run, reply))
		fail(run, "SCAN", reply->type == REDIS_REPLY_ERROR ? reply->str : "not a page");
	go_on(run);
}

static void
scan(struct purge_run *run)
{
	struct tier_redis *t = run->tier;
	char pattern[TIER_REDIS_PREFIX_MAX + 2];
	const char *const argv[] = { "SCAN", run->cursor, "MATCH", pattern, "COUNT", "200" };
	const size_t len[] = { 4, strlen(run->cursor), 5, t->prefix_len + 1, 5, 3 };

	(void)snprintf(pattern, sizeof(pattern), "%s*", t->prefix);
	sent(run, redis_pool_send_to(t->pool, run->at, REDIS_WRITE, 6, argv, len, on_page, run));
	if (run->due == 0)
		end_run(run);
}

/* One key alone, wherever it is. */
static void
look_at_one(struct purge_run *run)
{
	struct tier_redis *t = run->tier;
	char key[TIER_REDIS_PREFIX_MAX + 2 * CACHE_KEY_BYTES + 1];

	memcpy(key, t->prefix, t->prefix_len);
	hex_encode(run->purge->sel.key, CACHE_KEY_BYTES, key + t->prefix_len);
	run->at = REDIS_NODES_MAX - 1; /* there is no next one */
	look_at(run, key, t->prefix_len + 2 * (size_t)CACHE_KEY_BYTES);
	if (run->due == 0)
		end_run(run);
}

void
tier_redis_purge(struct tier *tier, struct tier_purge *purge)
{
	struct tier_redis *t = CONTAINER_OF(tier, struct tier_redis, tier);
	struct purge_run *run = calloc(1, sizeof(*run));
	struct im_err err;

	if (run == NULL || !redis_pool_is_whole(t->pool)) {
		free(run);
		(void)err_set(
		    &err, IM_EUNAVAILABLE,
		    "Redis, or part of its cluster, cannot be reached; purge again when it can");
		purge->done(purge, &err, 0);
		return;
	}
	run->tier = t;
	run->purge = purge;
	run->at = redis_pool_next(t->pool, 0);
	run->generation = redis_pool_generation(t->pool);
	memcpy(run->cursor, "0", 2);
	list_push_back(&t->purges, &run->node);
	if (purge->sel.has_key)
		look_at_one(run);
	else
		scan(run);
}

void
tier_redis_purges_cancel(struct tier_redis *t)
{
	LIST_FOREACH (&t->purges, run, struct purge_run, node)
		run->purge = NULL;
}
