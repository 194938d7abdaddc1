/*
 * cache/entry_redis.c - Redis as the home of entries: each operation is one script there, so nobody comes in between. What is acknowledged is as durable as
 * that Redis makes it (appendfsync). A connection of its own pool: answers, of which much may wait, do not hold up entries.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "cache/entry_home.h"
#include "cache/entry_record.h"
#include "cache/entry_redis_reply.h"
#include "cache/redis_pool.h"

#define CONNECTIONS   2
#define WAITING_BYTES ((size_t)8 << 20) /* of values that Redis has not answered, and one value */
#define REPLY_SLACK   ((size_t)1024 * 1024)
#define PART          "entry:" /* of a key, behind the prefix */
#define KEY_MAX       (64 + sizeof(PART) + ENTRY_NAME_MAX)

_Static_assert(ENTRY_GET == 1 && ENTRY_APPEND == 2 && ENTRY_COMPARE_AND_SET == 3 &&
		   ENTRY_DELETE == 4,
	       "the script knows the numbers");

struct entry_redis {
	struct entry_home home;
	struct loop *loop;
	struct redis_pool *pool;
	char prefix[64 + 1];
	size_t max_value_bytes, waiting_bytes;
	uint64_t errors;
	bool stopping;
};

static struct entry_redis *
of(struct entry_home *home)
{
	return CONTAINER_OF(home, struct entry_redis, home);
}

struct sent {
	struct entry_redis *redis;
	struct entry_call *call;
	size_t bytes;
};

static void
on_reply(void *arg, const redisReply *reply)
{
	struct sent *s = arg;
	struct entry_redis *r = s->redis;
	struct entry_call *call = s->call;
	struct entry_answer answer;
	struct im_err err;
	enum im_rc rc;

	r->waiting_bytes -= s->bytes;
	free(s);
	if (reply != NULL)
		rc = entry_redis_read(call->ask.op, reply, &answer, &err);
	else
		rc =
		    err_set(&err, IM_EUNAVAILABLE,
			    "the connection to Redis was lost; whether this was done is not known");
	if (rc == IM_OK) {
		answer.home = r->home.name;
		answer.durable = true;
	} else if (!r->stopping) {
		r->errors++;
	}
	call->done(call, rc == IM_OK ? NULL : &err, rc == IM_OK ? &answer : NULL);
}

static bool
send(struct entry_redis *r, const struct entry_ask *ask, struct sent *s)
{
	char key[KEY_MAX], op[4], ttl[24], version[24], max[24];
	uint8_t name[ENTRY_NAME_MAX];
	size_t name_len = entry_name(ask, name), head;
	const char *argv[] = { "EVAL", entry_redis_script,
			       "1",    key,
			       op,     (const char *)ask->value.data,
			       ttl,    version,
			       max };
	size_t len[9];

	head = (size_t)snprintf(key, sizeof(key), "%s" PART, r->prefix);
	memcpy(key + head, name, name_len);
	key[head + strlen(ask->ns)] = ':'; /* the namespace has none */
	(void)snprintf(op, sizeof(op), "%d", (int)ask->op);
	(void)snprintf(ttl, sizeof(ttl), "%llu", (unsigned long long)ask->ttl_ms);
	(void)snprintf(version, sizeof(version), "%020llu", (unsigned long long)ask->version);
	(void)snprintf(max, sizeof(max), "%zu", r->max_value_bytes);
	if (ask->value.len == 0)
		argv[5] = "";
	for (size_t i = 0; i < 9; i++)
		len[i] = i == 3 ? head + name_len : i == 5 ? ask->value.len : strlen(argv[i]);
	return redis_pool_eval(r->pool, ask->op == ENTRY_GET ? REDIS_READ : REDIS_WRITE, 9, argv,
			       len, on_reply, s) != NULL;
}

static void
ask(struct entry_home *home, struct entry_call *call)
{
	struct entry_redis *r = of(home);
	struct sent *s;
	struct im_err err;

	if (r->waiting_bytes > WAITING_BYTES) {
		(void)err_set(&err, IM_EUNAVAILABLE,
			      "%zu bytes of entries wait for Redis; try again later",
			      r->waiting_bytes);
		call->done(call, &err, NULL);
		return;
	}
	s = malloc(sizeof(*s));
	if (s != NULL) {
		*s = (struct sent){ r, call, call->ask.value.len };
		r->waiting_bytes += s->bytes;
		if (send(r, &call->ask, s))
			return;
		r->waiting_bytes -= s->bytes;
		free(s);
	}
	(void)err_set(&err, IM_EUNAVAILABLE,
		      "the Redis of the entries cannot be reached, or memory is short");
	call->done(call, &err, NULL);
}

static void
stats(const struct entry_home *home, struct entry_home_stats *ret)
{
	const struct entry_redis *r = CONTAINER_OF(home, const struct entry_redis, home);

	*ret = (struct entry_home_stats){ .errors = r->errors };
	ret->state = !redis_pool_is_up(r->pool)      ? "connecting"
		     : !redis_pool_is_whole(r->pool) ? "partial"
						     : "ready";
}

static void
stop(struct entry_home *home, loop_fn stopped, void *arg)
{
	struct entry_redis *r = of(home);

	r->stopping = true;
	redis_pool_free(r->pool); /* gives back what was sent */
	free(r);
	stopped(arg);
}

static void
on_changed(void *user, bool up, const struct im_err *why)
{
	(void)user;
	if (up)
		log_info("the Redis of the entries can be reached");
	else
		log_error(
		    "the Redis of the entries cannot be reached: every request for one is an error",
		    LOG_STR("error.message", why->text));
}

enum im_rc
entry_redis_new(struct loop *loop, const struct config *config, size_t max_value_bytes,
		struct entry_home **ret, struct im_err *err)
{
	static const struct entry_home_ops ops = { .ask = ask, .stats = stats, .stop = stop };
	const char *urls[REDIS_NODES_MAX];
	struct redis_pool_params p = {
		.loop = loop,
		.urls = urls,
		.url_count = config_strings_len(config, "cache.redis"),
		.password_file = config_str(config, "cache.redis_password_file"),
		.connections = CONNECTIONS,
		.reply_bytes = max_value_bytes + REPLY_SLACK,
		.changed = on_changed,
	};
	struct entry_redis *r = calloc(1, sizeof(*r));
	enum im_rc rc;

	if (r == NULL)
		return err_set(err, IM_ENOMEM, "no memory for entries");
	for (size_t i = 0; i < p.url_count; i++)
		urls[i] = config_strings_at(config, "cache.redis", i);
	r->home = (struct entry_home){ &ops, "redis" };
	r->loop = loop;
	r->max_value_bytes = max_value_bytes;
	(void)snprintf(r->prefix, sizeof(r->prefix), "%s",
		       config_str(config, "cache.redis_prefix")); /* its length: config_cache.c */
	random_bytes(&p.seed, sizeof(p.seed));
	rc = redis_pool_new(&p, &r->pool, err);
	if (rc != IM_OK) {
		free(r);
		return rc;
	}
	*ret = &r->home;
	return IM_OK;
}
