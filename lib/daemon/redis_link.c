/*
 * daemon/redis_link.c - see redis_link.h.
 */
#include "daemon/redis_link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/prng.h"
#include "daemon/redis_loop.h"
#include "net/resolve.h"

#define PAUSE_MIN_MS 50
#define CHECK_MS     250 /* how often it is looked whether answers come */
#define HOST_MAX     300

enum link_state {
	LINK_AWAY,
	LINK_RESOLVING,
	LINK_GREETING,
	LINK_UP,
};

struct redis_link {
	struct redis_link_params with;
	char host[HOST_MAX];
	struct prng prng;
	enum link_state state;
	struct resolve *resolve;
	redisAsyncContext *ac;
	struct loop_timer timer;
	struct loop_task fail_task;
	struct im_err why; /* for fail_task */
	uint64_t
	    waiting_ms; /* for the answer that is due next, or, if none is, when the last one came */
	uint32_t pending; /* answers, ours included */
	uint32_t attempts;
	uint64_t ups;
	bool freeing; /* the connection, by us */
};

/* One question. */
struct question {
	struct redis_link *link;
	redis_link_fn fn;
	void *arg;
};

static void come(struct redis_link *l);

static void
arm(struct redis_link *l, uint64_t delay_ms)
{
	if (loop_timer_set(l->with.loop, &l->timer, delay_ms * 1000) == IM_OK)
		return;
	/* Memory is short: without a clock nothing is sent. */
	(void)err_set(&l->why, IM_ENOMEM, "no memory for a timer");
	loop_post(l->with.loop, &l->fail_task);
}

/* Every question that is under way is given up inside. */
static void
free_connection(struct redis_link *l)
{
	redisAsyncContext *ac = l->ac;

	l->ac = NULL;
	if (ac != NULL) {
		l->freeing = true;
		redisAsyncFree(ac);
		l->freeing = false;
	}
	assert(l->pending == 0);
}

/* The connection is of no use, or there is none. Not inside a callback of hiredis. */
static void
go_away(struct redis_link *l, const struct im_err *why)
{
	uint32_t pause_ms = PAUSE_MIN_MS << (l->attempts < 6 ? l->attempts : 6);
	bool was_up = l->state == LINK_UP;

	l->state = LINK_AWAY; /* first: what is given up is not to be asked again here */
	loop_cancel(l->with.loop, &l->fail_task);
	resolve_cancel(l->resolve);
	l->resolve = NULL;
	free_connection(l);
	if (pause_ms > REDIS_LINK_PAUSE_MS)
		pause_ms = REDIS_LINK_PAUSE_MS;
	l->attempts++;
	arm(l, PAUSE_MIN_MS + prng_below(&l->prng, pause_ms));
	if (was_up)
		l->with.changed(l->with.user, false, why);
	else if (l->with.failed != NULL)
		l->with.failed(l->with.user, why);
}

static void
fail_fire(void *arg)
{
	struct redis_link *l = arg;
	struct im_err why = l->why;

	go_away(l, &why);
}

/* After the present callback, which may be one of hiredis. */
static void
fail(struct redis_link *l, const char *what, const char *text)
{
	if (l->fail_task.queued)
		return; /* the first cause is the one to tell */
	(void)err_set(&l->why, IM_EUNAVAILABLE, "%s: %.200s", what, text);
	loop_post(l->with.loop, &l->fail_task);
}

static void
on_reply(redisAsyncContext *ac, void *data, void *arg)
{
	struct question *q = arg;
	struct redis_link *l = q->link;
	const redisReply *reply = data;

	(void)ac;
	l->pending--;
	l->waiting_ms = clock_mono_ms();
	if (reply != NULL && l->state == LINK_UP)
		l->attempts =
		    0; /* only now: one that greets and then hangs is asked ever less often */
	q->fn(q->arg, reply);
	free(q);
}

static bool
send_any(struct redis_link *l, redis_link_fn fn, void *arg, const char *command, size_t len)
{
	struct question *q = l->ac != NULL ? malloc(sizeof(*q)) : NULL;

	if (q == NULL)
		return false;
	*q = (struct question){ l, fn, arg };
	if (redisAsyncFormattedCommand(l->ac, on_reply, q, command, len) != REDIS_OK) {
		free(q);
		return false;
	}
	if (l->pending++ == 0)
		l->waiting_ms = clock_mono_ms();
	return true;
}

bool
redis_link_send(struct redis_link *l, redis_link_fn fn, void *arg, const char *command, size_t len)
{
	return l->state == LINK_UP && !l->fail_task.queued && send_any(l, fn, arg, command, len);
}

/* Greeting. */

static bool
say(struct redis_link *l, redis_link_fn fn, const char *a, const char *b)
{
	const char *argv[] = { a, b };
	char *command = NULL;
	int len = redisFormatCommandArgv(&command, b != NULL ? 2 : 1, argv, NULL);
	bool sent = len > 0 && send_any(l, fn, l, command, (size_t)len);

	if (len > 0)
		redisFreeCommand(command);
	return sent;
}

static void
on_ok(void *arg, const redisReply *reply)
{
	struct redis_link *l = arg;

	if (reply != NULL && reply->type == REDIS_REPLY_ERROR)
		fail(l, "Redis refuses us", reply->str);
}

bool
redis_link_is_pong(const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ERROR)
		return strncmp(reply->str, "MISCONF", strlen("MISCONF")) == 0;
	return reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "PONG") == 0;
}

static void
on_greeting(void *arg, const redisReply *reply)
{
	struct redis_link *l = arg;

	if (reply == NULL || l->fail_task.queued)
		return;
	if (!redis_link_is_pong(reply)) {
		fail(l, "Redis does not answer PING",
		     reply->type == REDIS_REPLY_ERROR ? reply->str : "with PONG");
		return;
	}
	l->state = LINK_UP;
	l->ups++;
	arm(l, CHECK_MS);
	l->with.changed(l->with.user, true, NULL);
}

static void
on_alive(void *arg, const redisReply *reply)
{
	struct redis_link *l = arg;

	/* LOADING, MASTERDOWN and the like are the user's to see: the connection is well. */
	if (reply != NULL && reply->type != REDIS_REPLY_STATUS && reply->type != REDIS_REPLY_ERROR)
		fail(l, "Redis does not answer PING", "with PONG");
}

static bool
greet(struct redis_link *l, struct im_err *err)
{
	const char *password;
	char db[16];

	if (api_key_get(l->with.password, &password, err) != IM_OK)
		return false;
	(void)snprintf(db, sizeof(db), "%d", l->with.db);
	(void)err_set(err, IM_ENOMEM, "no memory for a connection");
	return (password[0] == '\0' || say(l, on_ok, "AUTH", password)) &&
	       (l->with.db == 0 || say(l, on_ok, "SELECT", db)) &&
	       say(l, on_greeting, "PING", NULL);
}

/* Coming. */

static void
on_connect(const redisAsyncContext *ac, int status)
{
	struct redis_link *l = ac->data;

	if (status != REDIS_OK) {
		l->ac = NULL; /* hiredis frees it after this */
		fail(l, "cannot connect", ac->errstr);
	}
}

/* Everything that was pending has been given up. */
static void
on_disconnect(const redisAsyncContext *ac, int status)
{
	struct redis_link *l = ac->data;

	(void)status; /* of a connection that we cut it says nothing */
	if (!l->freeing) {
		l->ac = NULL;
		/* hiredis has no words of its own for what redis_loop.c does not take. */
		fail(l, "the connection is lost",
		     ac->err == 0 ? "closed"
		     : ac->err == REDIS_ERR_OOM
			 ? "a reply that is too large, or that nobody asked for"
			 : ac->errstr);
	}
}

static void
on_resolved(void *arg, const char *ip, const struct im_err *why)
{
	struct redis_link *l = arg;
	struct im_err err;

	l->resolve = NULL;
	if (ip == NULL) {
		go_away(l, why);
		return;
	}
	l->state = LINK_GREETING;
	l->ac = redisAsyncConnect(ip, l->with.port);
	if (l->ac == NULL || l->ac->err != 0) {
		(void)err_set(&err, IM_EUNAVAILABLE, "cannot connect: %.200s",
			      l->ac != NULL ? l->ac->errstr : "no memory");
		go_away(l, &err);
		return;
	}
	l->ac->data = l;
	if (redis_loop_attach(l->ac, l->with.loop, l->with.reply_bytes, &err) != IM_OK) {
		go_away(l, &err);
		return;
	}
	(void)redisAsyncSetConnectCallback(l->ac, on_connect);
	(void)redisAsyncSetDisconnectCallback(l->ac, on_disconnect);
	if (!greet(l, &err))
		go_away(l, &err);
}

static void
come(struct redis_link *l)
{
	struct im_err err;

	l->state = LINK_RESOLVING;
	arm(l, REDIS_LINK_GREET_MS);
	if (resolve_start(l->with.loop, l->host, l->attempts, on_resolved, l, &l->resolve, &err) !=
	    IM_OK)
		go_away(l, &err);
}

/* Up: do answers come? */
static void
check(struct redis_link *l)
{
	const uint64_t now_ms = clock_mono_ms(), paused_ms = now_ms - l->timer.at_us / 1000;
	uint64_t silent_ms;
	struct im_err err;

	/* While this process did not run no answer could be taken, and on a host that did not run none was given. */
	l->waiting_ms = clock_later(l->waiting_ms, paused_ms, now_ms);
	silent_ms = now_ms - l->waiting_ms;
	arm(l, CHECK_MS);
	if (l->pending > 0 && silent_ms >= REDIS_LINK_SILENT_MS) {
		(void)err_set(&err, IM_EUNAVAILABLE, "no answer within %d ms",
			      REDIS_LINK_SILENT_MS);
		go_away(l, &err);
	} else if (l->pending == 0 && silent_ms >= REDIS_LINK_PING_MS &&
		   !say(l, on_alive, "PING", NULL)) {
		fail(l, "cannot ask Redis", "the connection is closing or memory is short");
	}
}

static void
on_timer(void *arg)
{
	struct redis_link *l = arg;
	struct im_err err;

	switch (l->state) {
	case LINK_AWAY:
		come(l);
		break;
	case LINK_RESOLVING:
	case LINK_GREETING:
		(void)err_set(&err, IM_EUNAVAILABLE, "no greeting within %d ms",
			      REDIS_LINK_GREET_MS);
		go_away(l, &err);
		break;
	case LINK_UP:
		check(l);
		break;
	}
}

enum im_rc
redis_link_new(const struct redis_link_params *params, struct redis_link **ret, struct im_err *err)
{
	struct redis_link *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a connection");
	l->with = *params;
	(void)snprintf(l->host, sizeof(l->host), "%s", params->host);
	l->with.host = l->host;
	l->timer = (struct loop_timer){ .fn = on_timer, .arg = l };
	l->fail_task = (struct loop_task){ .fn = fail_fire, .arg = l };
	prng_seed(&l->prng, params->seed);
	l->state = LINK_AWAY;
	/* From a callback of its own: who makes it has it before anything is told. */
	if (loop_timer_set(params->loop, &l->timer, 0) != IM_OK) {
		free(l);
		return err_set(err, IM_ENOMEM, "no memory for a connection");
	}
	*ret = l;
	return IM_OK;
}

void
redis_link_free(struct redis_link *l)
{
	if (l == NULL)
		return;
	l->state = LINK_AWAY;
	resolve_cancel(l->resolve);
	free_connection(l);
	loop_cancel(l->with.loop, &l->fail_task);
	loop_timer_cancel(l->with.loop, &l->timer);
	free(l);
}

bool
redis_link_is_up(const struct redis_link *l)
{
	return l->state == LINK_UP;
}

uint32_t
redis_link_pending(const struct redis_link *l)
{
	return l->pending;
}

uint64_t
redis_link_ups(const struct redis_link *l)
{
	return l->ups;
}
