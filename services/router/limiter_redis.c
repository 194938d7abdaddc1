/*
 * router/limiter_redis.c - see limiter_redis.h.
 */
#include "router/limiter_redis.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/prng.h"
#include "daemon/redis_loop.h"
#include "daemon/redis_url.h"
#include "net/resolve.h"
#include "router/limiter_script.h"

#define PAUSE_MIN_MS 50
#define HOST_MAX     300
#define REPLY_BYTES  65536

enum redis_state {
	REDIS_AWAY,
	REDIS_RESOLVING,
	REDIS_GREETING,
	REDIS_UP,
	REDIS_LEAVING,
};

struct limiter_redis {
	struct limiter_redis_params with;
	char host[HOST_MAX], db[16];
	int port;
	struct api_key password;
	struct prng prng;
	enum redis_state state;
	struct resolve *resolve;
	redisAsyncContext *ac;
	char sha[LIMITER_SHA_LEN + 1];
	struct loop_task ask_task, fail_task;
	struct loop_timer leave_timer;
	struct im_err why;          /* for fail_task */
	uint64_t ticked_ms, own_ms; /* clock_mono_ms() at the last tick, and own_time_ms() */
	/* By own_time_ms() */
	uint64_t since_ms; /* REDIS_AWAY: not before; RESOLVING and GREETING: begun */
	uint64_t
	    waiting_ms; /* for the answer that is due next, or, if none is, when the last one came */
	uint32_t pending; /* answers */
	uint32_t attempts;
	bool freeing; /* the connection, by us */
	bool told_up;
	uint64_t answered, unanswered;
	loop_fn stopped;
	void *stopped_arg;
};

bool
limiter_redis_is_up(const struct limiter_redis *r)
{
	return r->state == REDIS_UP;
}

void
limiter_redis_counts(const struct limiter_redis *r, uint64_t *ret_answered,
		     uint64_t *ret_unanswered)
{
	*ret_answered = r->answered;
	*ret_unanswered = r->unanswered;
}

/* Time as this process had it. In a pause of ours (a busy host, a virtual machine that is moved) no answer could be taken: whatever its
 * length, less than LIMITER_REDIS_ANSWER_MS of it count. */
static uint64_t
own_time_ms(const struct limiter_redis *r)
{
	const uint64_t passed = clock_mono_ms() - r->ticked_ms, most = LIMITER_REDIS_ANSWER_MS / 2;

	return r->own_ms + (passed < most ? passed : most);
}

/* Every question that is under way is given up inside. */
static void
free_connection(struct limiter_redis *r)
{
	redisAsyncContext *ac = r->ac;

	r->ac = NULL;
	if (ac != NULL) {
		r->freeing = true;
		redisAsyncFree(ac);
		r->freeing = false;
	}
	assert(r->pending == 0);
}

static void
finish(struct limiter_redis *r)
{
	loop_fn stopped = r->stopped;
	void *arg = r->stopped_arg;

	resolve_cancel(r->resolve);
	free_connection(r);
	loop_cancel(r->with.loop, &r->ask_task);
	loop_cancel(r->with.loop, &r->fail_task);
	loop_timer_cancel(r->with.loop, &r->leave_timer);
	limiter_set_mode(r->with.limiter, r->with.away, clock_mono_ms());
	api_key_done(&r->password);
	free(r);
	stopped(arg);
}

/* The connection is of no use, or there is none. Not inside a callback of hiredis, unless it has given everything up. */
static void
go_away(struct limiter_redis *r, const struct im_err *why)
{
	uint32_t pause_ms = PAUSE_MIN_MS << (r->attempts < 6 ? r->attempts : 6);
	bool was_leaving = r->state == REDIS_LEAVING;

	loop_cancel(r->with.loop, &r->fail_task);
	resolve_cancel(r->resolve);
	r->resolve = NULL;
	free_connection(r);
	if (was_leaving) {
		finish(r);
		return;
	}
	if (pause_ms > LIMITER_REDIS_PAUSE_MS) {
		pause_ms = LIMITER_REDIS_PAUSE_MS;
	}
	r->attempts++;
	r->state = REDIS_AWAY;
	r->since_ms = own_time_ms(r) + PAUSE_MIN_MS + prng_below(&r->prng, pause_ms);
	limiter_set_mode(r->with.limiter, r->with.away, clock_mono_ms());
	if (r->told_up) {
		r->told_up = false;
		r->with.changed(r->with.user, false, why);
	}
}

static void
fail_fire(void *arg)
{
	struct limiter_redis *r = arg;
	struct im_err why = r->why;

	go_away(r, &why);
}

/* After the present callback, which may be one of hiredis. */
static void
fail(struct limiter_redis *r, const char *what, const char *text)
{
	(void)err_set(&r->why, IM_EUNAVAILABLE, "%s: %.200s", what, text);
	loop_post(r->with.loop, &r->fail_task);
}

/* An answer came, or never will (NULL). False: the latter. */
static bool
take_reply(struct limiter_redis *r, const redisReply *reply)
{
	r->pending--;
	r->waiting_ms = own_time_ms(r);
	return reply != NULL;
}

static bool
send(struct limiter_redis *r, redisCallbackFn *fn, void *arg, int argc, const char **argv,
     const size_t *len)
{
	if (r->ac == NULL || redisAsyncCommandArgv(r->ac, fn, arg, argc, argv, len) != REDIS_OK) {
		return false;
	}
	if (r->pending++ == 0) {
		r->waiting_ms = own_time_ms(r);
	}
	return true;
}

/* Asking. */

static void on_answer(redisAsyncContext *ac, void *data, void *arg);

static bool
send_question(struct limiter_redis *r, struct limit_entry *e, const char *sha)
{
	struct limiter_command c;

	limiter_command_make(e, sha, &c);
	return send(r, on_answer, e, LIMITER_SCRIPT_ARGS, c.argv, c.len);
}

static void
give_up(struct limiter_redis *r, struct limit_entry *e)
{
	r->unanswered++;
	limiter_unanswered(r->with.limiter, e);
}

static void
ask_fire(void *arg)
{
	struct limiter_redis *r = arg;
	struct limit_entry *e;

	if (r->ac == NULL || (r->state != REDIS_UP && r->state != REDIS_LEAVING)) {
		return;
	}
	while ((e = limiter_ask(r->with.limiter)) != NULL) {
		if (!send_question(r, e, r->sha)) {
			give_up(r, e);
			fail(r, "cannot ask Redis", "the connection is closing or memory is short");
			return;
		}
	}
}

void
limiter_redis_ask(struct limiter_redis *r)
{
	if (r->state == REDIS_UP && !list_empty(&r->with.limiter->due)) {
		loop_post(r->with.loop, &r->ask_task);
	}
}

static void
on_answer(redisAsyncContext *ac, void *data, void *arg)
{
	struct limiter_redis *r = ac->data;
	const redisReply *reply = data;
	struct limit_entry *e = arg;
	int64_t granted[LIMIT_KINDS], level[LIMIT_KINDS];

	if (!take_reply(r, reply)) {
		give_up(r, e);
		return;
	}
	if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOSCRIPT", 8) == 0 &&
	    send_question(r, e, NULL)) {
		return; /* somebody emptied Redis' store of scripts; this fills it again */
	}
	if (!limiter_reply_read(reply, granted, level)) {
		give_up(r, e);
		fail(r, "Redis does not keep the limits",
		     reply->type == REDIS_REPLY_ERROR ? reply->str
						      : "its reply is not the script's");
		return;
	}
	r->answered++;
	r->attempts = 0; /* only now: one that greets and then refuses is asked ever less often */
	limiter_answered(r->with.limiter, e, granted, level, clock_mono_ms());
	limiter_redis_ask(r);
	if (r->state == REDIS_LEAVING && r->pending == 0) {
		fail(r, "left", "");
	}
}

/* Coming. */

static void
on_ok(redisAsyncContext *ac, void *data, void *arg)
{
	struct limiter_redis *r = ac->data;
	const redisReply *reply = data;

	(void)arg;
	if (take_reply(r, reply) && reply->type == REDIS_REPLY_ERROR) {
		fail(r, "Redis refuses us", reply->str);
	}
}

static void
on_script(redisAsyncContext *ac, void *data, void *arg)
{
	struct limiter_redis *r = ac->data;
	const redisReply *reply = data;

	(void)arg;
	if (!take_reply(r, reply) || r->fail_task.queued) {
		return;
	}
	if (reply->type != REDIS_REPLY_STRING || reply->len != LIMITER_SHA_LEN) {
		fail(r, "Redis takes no script",
		     reply->type == REDIS_REPLY_ERROR ? reply->str : "its reply is no digest");
		return;
	}
	memcpy(r->sha, reply->str, LIMITER_SHA_LEN);
	r->state = REDIS_UP;
	r->told_up = true;
	limiter_set_mode(r->with.limiter, LIMITER_SHARED, clock_mono_ms());
	r->with.changed(r->with.user, true, NULL);
}

static void
on_connect(const redisAsyncContext *ac, int status)
{
	struct limiter_redis *r = ac->data;

	if (status != REDIS_OK) {
		r->ac = NULL; /* hiredis frees it after this */
		fail(r, "cannot connect", ac->errstr);
	}
}

/* Everything that was pending has been given up. */
static void
on_disconnect(const redisAsyncContext *ac, int status)
{
	struct limiter_redis *r = ac->data;

	if (!r->freeing) {
		r->ac = NULL;
		fail(r, "the connection is lost", status == REDIS_OK ? "closed" : ac->errstr);
	}
}

static bool
say(struct limiter_redis *r, redisCallbackFn *fn, const char *a, const char *b, const char *c)
{
	const char *argv[] = { a, b, c };
	size_t len[] = { strlen(a), b != NULL ? strlen(b) : 0, c != NULL ? strlen(c) : 0 };

	return send(r, fn, NULL, b == NULL ? 1 : c == NULL ? 2 : 3, argv, len);
}

static bool
greet(struct limiter_redis *r, struct im_err *err)
{
	const char *password;

	if (api_key_get(&r->password, &password, err) != IM_OK) {
		return false;
	}
	(void)err_set(err, IM_ENOMEM, "no memory for a connection");
	return (password[0] == '\0' || say(r, on_ok, "AUTH", password, NULL)) &&
	       (strcmp(r->db, "0") == 0 || say(r, on_ok, "SELECT", r->db, NULL)) &&
	       say(r, on_script, "SCRIPT", "LOAD", limiter_script);
}

static void
on_resolved(void *arg, const char *ip, const struct im_err *why)
{
	struct limiter_redis *r = arg;
	struct im_err err;

	r->resolve = NULL;
	if (ip == NULL) {
		go_away(r, why);
		return;
	}
	r->state = REDIS_GREETING;
	r->ac = redisAsyncConnect(ip, r->port);
	if (r->ac == NULL || r->ac->err != 0) {
		(void)err_set(&err, IM_EUNAVAILABLE, "cannot connect: %.200s",
			      r->ac != NULL ? r->ac->errstr : "no memory");
		go_away(r, &err);
		return;
	}
	r->ac->data = r;
	if (redis_loop_attach(r->ac, r->with.loop, REPLY_BYTES, &err) != IM_OK) {
		go_away(r, &err);
		return;
	}
	(void)redisAsyncSetConnectCallback(r->ac, on_connect);
	(void)redisAsyncSetDisconnectCallback(r->ac, on_disconnect);
	if (!greet(r, &err)) {
		go_away(r, &err);
	}
}

static void
come(struct limiter_redis *r)
{
	struct im_err err;

	r->since_ms = own_time_ms(r);
	r->state = REDIS_RESOLVING;
	if (resolve_start(r->with.loop, r->host, r->attempts, on_resolved, r, &r->resolve, &err) !=
	    IM_OK) {
		go_away(r, &err);
	}
}

void
limiter_redis_tick(struct limiter_redis *r)
{
	const uint64_t now_ms = own_time_ms(r);
	struct im_err err;

	r->own_ms = now_ms;
	r->ticked_ms = clock_mono_ms();
	switch (r->state) {
	case REDIS_AWAY:
		if (now_ms >= r->since_ms) {
			come(r);
		}
		break;
	case REDIS_RESOLVING:
	case REDIS_GREETING:
		if (now_ms - r->since_ms >= LIMITER_REDIS_GREET_MS) {
			(void)err_set(&err, IM_EUNAVAILABLE, "no greeting within %d ms",
				      LIMITER_REDIS_GREET_MS);
			go_away(r, &err);
		}
		break;
	case REDIS_UP:
		if (r->pending > 0 && now_ms - r->waiting_ms >= LIMITER_REDIS_ANSWER_MS) {
			(void)err_set(&err, IM_EUNAVAILABLE, "no answer within %d ms",
				      LIMITER_REDIS_ANSWER_MS);
			go_away(r, &err);
		} else if (r->pending == 0 && now_ms - r->waiting_ms >= LIMITER_REDIS_PING_MS &&
			   !say(r, on_ok, "PING", NULL, NULL)) {
			fail(r, "cannot ask Redis", "memory is short");
		}
		limiter_redis_ask(r);
		break;
	case REDIS_LEAVING:
		break;
	}
}

enum im_rc
limiter_redis_start(const struct limiter_redis_params *params, struct limiter_redis **ret,
		    struct im_err *err)
{
	struct limiter_redis *r = calloc(1, sizeof(*r));
	enum im_rc rc;
	int db;

	if (r == NULL) {
		return err_set(err, IM_ENOMEM, "no memory for the limits");
	}
	r->with = *params;
	r->ask_task = (struct loop_task){ .fn = ask_fire, .arg = r };
	r->fail_task = (struct loop_task){ .fn = fail_fire, .arg = r };
	prng_seed(&r->prng, params->seed);
	redis_url_read(params->url, r->host, sizeof(r->host), &r->port, &db);
	(void)snprintf(r->db, sizeof(r->db), "%d", db);
	rc = api_key_init(&r->password, params->password_file, NULL, err);
	if (rc != IM_OK) {
		free(r);
		return rc;
	}
	r->ticked_ms = clock_mono_ms();
	limiter_set_mode(params->limiter, params->away, r->ticked_ms);
	come(r);
	*ret = r;
	return IM_OK;
}

static void
leave_fire(void *arg)
{
	finish(arg);
}

void
limiter_redis_stop(struct limiter_redis *r, loop_fn stopped, void *arg)
{
	if (r == NULL) {
		stopped(arg);
		return;
	}
	r->stopped = stopped;
	r->stopped_arg = arg;
	r->leave_timer = (struct loop_timer){ .fn = leave_fire, .arg = r };
	if (r->state == REDIS_UP) {
		limiter_return_leases(r->with.limiter, clock_mono_ms());
		ask_fire(r);
	}
	if (r->state != REDIS_UP || r->pending == 0 || r->fail_task.queued ||
	    loop_timer_set(r->with.loop, &r->leave_timer, LIMITER_REDIS_ANSWER_MS * 1000ULL) !=
		IM_OK) {
		finish(r);
		return;
	}
	r->state = REDIS_LEAVING;
}
