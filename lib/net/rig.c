/*
 * net/rig.c - helpers of this room's tests; see rig.h.
 */
#include "net/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static void *
run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

void
rig_loop_start(struct rig_loop *l)
{
	assert_int_equal(loop_new(&l->loop, NULL), IM_OK);
	assert_int_equal(pthread_create(&l->thread, NULL, run_loop, l->loop), 0);
}

void
rig_loop_stop(struct rig_loop *l)
{
	loop_stop(l->loop);
	assert_int_equal(pthread_join(l->thread, NULL), 0);
	loop_free(l->loop);
}

/* The service. */

static void
stream_on(struct rig_served *s)
{
	uint8_t message[65536];
	enum im_rc rc = IM_OK;

	if (s->waiting)
		s->end->streams_waiting--;
	s->waiting = false;
	memset(message, 0, sizeof(message));
	while (s->left > 0) {
		message[0] = (uint8_t)s->number;
		rc = served_send(s->served, message, s->size);
		if (rc != IM_OK)
			break;
		s->number++;
		s->left--;
	}
	if (rc == IM_EAGAIN) {
		s->waiting = true;
		s->end->streams_waiting++;
		return;
	}
	if (rc == IM_EUNAVAILABLE) /* 'cancelled' comes or came */
		return;
	served_end(s->served, NULL, NULL, 0);
	list_remove(&s->node);
	free(s);
}

static void
on_writable(void *user, struct served *served)
{
	(void)served;
	stream_on(user);
}

static void
on_cancelled(void *user, struct served *served)
{
	struct rig_served *s = user;

	s->end->cancels++;
	if (s->mute)
		return;
	if (s->waiting)
		s->end->streams_waiting--;
	served_end(served, NULL, NULL, 0);
	list_remove(&s->node);
	free(s);
}

static const struct served_ops served_ops = {
	.writable = on_writable,
	.cancelled = on_cancelled,
};

static struct rig_served *
hold(struct rig_end *e, struct served *served)
{
	struct rig_served *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		struct im_err err;

		err_set(&err, IM_ENOMEM, "the test service has no memory");
		served_end(served, &err, NULL, 0);
		return NULL;
	}
	s->end = e;
	s->served = served;
	list_push_back(&e->held, &s->node);
	served_accept(served, &served_ops, s);
	return s;
}

static void
on_request(void *user, struct link *link, struct served *served, const struct served_request *req)
{
	struct rig_end *e = user;
	struct rig_served *s;
	struct im_err err;

	(void)link;
	e->requests++;
	e->last_budget_ms = req->budget_ms;
	e->last_priority = req->priority;
	(void)snprintf(e->last_traceparent, sizeof(e->last_traceparent), "%s", req->traceparent);
	if (strcmp(req->method, "Test/Echo") == 0) {
		served_end(served, NULL, req->body, req->body_len);
	} else if (strcmp(req->method, "Test/Hold") == 0) {
		(void)hold(e, served);
	} else if (strcmp(req->method, "Test/Mute") == 0) {
		s = hold(e, served);
		if (s != NULL)
			s->mute = true;
	} else if (strcmp(req->method, "Test/Stream") == 0 && req->body_len == 8) {
		s = hold(e, served);
		if (s == NULL)
			return;
		memcpy(&s->left, req->body, 4);
		memcpy(&s->size, req->body + 4, 4);
		stream_on(s);
	} else if (strcmp(req->method, "Test/Fail") == 0) {
		err_reason(&err, IM_ELIMIT, "busy", "too much to do; try later");
		err.retry_after_ms = 1500;
		served_end(served, &err, NULL, 0);
	} else {
		err_set(&err, IM_EMETHOD, "no such method");
		served_end(served, &err, NULL, 0);
	}
}

static void
on_up(void *user, struct link *link)
{
	struct rig_end *e = user;

	e->ups++;
	e->link = link;
}

static void
on_down(void *user, struct link *link, const struct im_err *why)
{
	struct rig_end *e = user;

	e->downs++;
	e->why = *why;
	if (e->link == link)
		e->link = NULL;
}

static void
on_goaway(void *user, struct link *link)
{
	(void)link;
	((struct rig_end *)user)->goaways++;
}

static void
on_trouble(void *user, const struct im_err *why)
{
	struct rig_end *e = user;

	e->troubles++;
	e->trouble = *why;
}

const struct endpoint_ops rig_ops = {
	.up = on_up,
	.down = on_down,
	.request = on_request,
	.goaway = on_goaway,
	.trouble = on_trouble,
};

/* Ends. */

void
rig_end_init(struct rig_end *e, struct rig_loop *on, const char *role,
	     void (*tweak)(struct net_params *p))
{
	struct net_params p = {
		.role = role,
		.name = "rig",
		.window_bytes = 4096,
		.reconnect_min_ms = 1,
		.reconnect_max_ms = 50,
	};

	memset(e, 0, sizeof(*e));
	e->on = on;
	list_init(&e->held);
	if (tweak != NULL)
		tweak(&p);
	loop_enter(on->loop);
	assert_int_equal(net_new(on->loop, &p, &e->net, NULL), IM_OK);
	loop_leave(on->loop);
}

void
rig_listen(struct rig_end *e, const char *url)
{
	struct im_err err = { 0 };
	enum im_rc rc;

	loop_enter(e->on->loop);
	rc = net_listen(e->net, url, &rig_ops, e, &e->ep, &err);
	loop_leave(e->on->loop);
	if (rc != IM_OK)
		fail_msg("%s", err.text);
}

void
rig_dial(struct rig_end *e, const char *url)
{
	struct im_err err = { 0 };
	enum im_rc rc;

	loop_enter(e->on->loop);
	rc = net_dial(e->net, url, &rig_ops, e, &e->ep, &err);
	loop_leave(e->on->loop);
	if (rc != IM_OK)
		fail_msg("%s", err.text);
}

static void
on_closed(void *arg)
{
	((struct rig_end *)arg)->closed = true;
}

static bool
is_closed(void *arg)
{
	return ((struct rig_end *)arg)->closed;
}

void
rig_end_done(struct rig_end *e)
{
	loop_enter(e->on->loop);
	net_close(e->net, on_closed, e);
	loop_leave(e->on->loop);
	rig_until(e->on, is_closed, e);
	loop_enter(e->on->loop);
	rig_release(e); /* mute ones */
	net_free(e->net);
	loop_leave(e->on->loop);
	e->net = NULL;
}

/* Waiting. */

void
rig_until_(struct rig_loop *l, bool (*fn)(void *arg), void *arg, const char *what, const char *file,
	   int line)
{
	uint64_t deadline_ms = clock_mono_ms() + RIG_DEADLINE_S * UINT64_C(1000);
	struct timespec pause = { .tv_nsec = 200000 };
	bool done;

	for (;;) {
		loop_enter(l->loop);
		done = fn(arg);
		loop_leave(l->loop);
		if (done)
			return;
		if (clock_mono_ms() > deadline_ms)
			fail_msg("%s:%d: gave up waiting for %s", file, line, what);
		(void)nanosleep(&pause, NULL); /* between two looks, not for time to pass */
	}
}

struct at_least {
	const unsigned *value;
	unsigned want;
};

static bool
is_at_least(void *arg)
{
	struct at_least *a = arg;

	return *a->value >= a->want;
}

void
rig_wait_(struct rig_end *e, const unsigned *value, unsigned want, const char *what,
	  const char *file, int line)
{
	struct at_least a = { value, want };

	rig_until_(e->on, is_at_least, &a, what, file, line);
}

/* Callers. */

static void
on_data(void *user, struct call *call, const uint8_t *body, size_t len)
{
	struct rig_call *c = user;

	assert_ptr_equal(c->call, call);
	if (len > 0 && body[0] != (uint8_t)c->messages)
		c->in_order = false;
	c->messages++;
	c->bytes += len;
	if (c->grant)
		call_grant(call, len);
}

static void
on_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct rig_call *c = user;

	(void)call;
	c->ends++;
	c->call = NULL;
	c->failed = err != NULL;
	if (err != NULL)
		c->err = *err;
	buf_append(&c->body, body, len);
}

const struct call_ops rig_call_ops = { .data = on_data, .end = on_end };

enum im_rc
rig_ask(struct rig_end *e, struct rig_call *c, const char *method, const void *body, size_t len,
	uint32_t budget_ms)
{
	struct call_request req = {
		.method = method,
		.budget_ms = budget_ms,
		.body = body,
		.body_len = len,
		.priority = -7,
		.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	};
	enum im_rc rc = IM_EUNAVAILABLE;

	memset(c, 0, sizeof(*c));
	c->in_order = true;
	c->grant = !e->withhold;
	loop_enter(e->on->loop);
	if (e->link != NULL)
		rc = call_start(e->link, &req, &rig_call_ops, c, &c->call, &c->err);
	loop_leave(e->on->loop);
	return rc;
}

void
rig_call_done(struct rig_call *c)
{
	buf_done(&c->body);
}

void
rig_release(struct rig_end *e)
{
	struct list *node;

	while ((node = list_pop_front(&e->held)) != NULL) {
		struct rig_served *s = CONTAINER_OF(node, struct rig_served, node);

		served_end(s->served, NULL, (const uint8_t *)"released", 8);
		free(s);
	}
}

struct net_counters
rig_counters(struct rig_end *e)
{
	struct net_counters n;

	loop_enter(e->on->loop);
	net_counters(e->net, &n);
	loop_leave(e->on->loop);
	return n;
}

void
rig_place_open(struct rig_place *p, void (*tweak)(struct net_params *p))
{
	memset(p, 0, sizeof(*p));
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/im-net-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->url, sizeof(p->url), "ipc://%s/s", p->dir);
	rig_loop_start(&p->loop);
	rig_end_init(&p->server, &p->loop, "router", tweak);
	rig_listen(&p->server, p->url);
}

void
rig_place_close(struct rig_place *p)
{
	rig_end_done(&p->server);
	rig_loop_stop(&p->loop);
	assert_int_equal(rmdir(p->dir), 0);
}
