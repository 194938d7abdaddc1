/*
 * tests/bench/audit_load.c - load on the audit daemon; see audit_load.h.
 */
#include "audit_load.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "evidence.h"
#include "net/net.h"
#include "wire/mesh.h"

#define SLOTS     4096 /* calls of a client at once */
#define BATCH_MAX 1024
#define TOOK_MAX  (4UL * 1000 * 1000)
#define PAUSE_US  2000 /* after a refusal */

struct slot {
	struct client *client;
	uint64_t began_us;
	unsigned batch;
	struct slot *next; /* while it is free */
};

struct client {
	struct audit_load *load;
	pthread_t thread;
	struct loop *loop;
	struct net *net;
	struct endpoint *endpoint;
	struct link *link;
	struct loop_timer tick;
	struct slot *slot, *idle;
	unsigned running;
	bool closing;
	uint64_t number, until_us, next_us;
	struct load_phase phase;
	uint64_t records, refused;
	uint32_t *took_us;
	size_t took_len;
	struct audit_event event[BATCH_MAX];
	struct buf body;
};

struct audit_load {
	struct client client[LOAD_CLIENTS];
	pthread_mutex_t lock;
	pthread_cond_t wake;
	unsigned ready, done;
	uint32_t *took_us;
};

static void
must(enum im_rc rc, const struct im_err *err)
{
	if (rc != IM_OK)
		evidence_die("%s", err->text);
}

static void
signal_one(struct audit_load *l, unsigned *count)
{
	(void)pthread_mutex_lock(&l->lock);
	++*count;
	(void)pthread_cond_signal(&l->wake);
	(void)pthread_mutex_unlock(&l->lock);
}

static void
wait_for_all(struct audit_load *l, unsigned *count)
{
	(void)pthread_mutex_lock(&l->lock);
	while (*count < LOAD_CLIENTS)
		(void)pthread_cond_wait(&l->wake, &l->lock);
	*count = 0;
	(void)pthread_mutex_unlock(&l->lock);
}

/* What a router sends: requests and their answers. */
static void
make_event(struct audit_event *e, unsigned client, uint64_t n)
{
	bool answer = n % 2 != 0;
	uint64_t id = n / 2;

	*e = (struct audit_event){ .kind = answer ? RECORD_RESPONSE : RECORD_REQUEST,
				   .has_request_id = true,
				   .caller = "alice",
				   .tenant = "acme",
				   .model = "demo",
				   .request_time_us = UINT64_C(1700000000000000) + n,
				   .has_input = !answer,
				   .has_output = answer };
	memcpy(e->request_id, &id, sizeof(id));
	e->request_id[8] = (uint8_t)client;
	if (!answer)
		return;
	e->outcome = OUTCOME_OK;
	e->status_code = 200;
	e->has_usage = true;
	e->usage = (struct usage){ .prompt_tokens = 100, .completion_tokens = 200 };
	e->has_routing = true;
	e->routing = (struct routing){
		.worker = "w1", .policy = "least_connections", .reason = "", .attempts = 1
	};
}

static void start_call(struct client *c);

static bool
is_over(const struct client *c)
{
	return clock_mono_us() >= c->until_us;
}

static void
on_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct slot *s = user;
	struct client *c = s->client;

	(void)call;
	(void)body;
	(void)len;
	if (err != NULL && err->rc != IM_EUNAVAILABLE)
		evidence_die("%s", err->text);
	if (err != NULL)
		c->refused++;
	else
		c->records += s->batch;
	if (err == NULL && c->took_len < TOOK_MAX / LOAD_CLIENTS)
		c->took_us[c->took_len++] = (uint32_t)(clock_mono_us() - s->began_us);
	s->next = c->idle;
	c->idle = s;
	c->running--;
	if (err == NULL && c->phase.per_s == 0 && !is_over(c))
		start_call(c);
	else if (c->running == 0 && is_over(c) && !loop_timer_armed(&c->tick))
		signal_one(c->load, &c->load->done);
}

static void
start_call(struct client *c)
{
	static const struct call_ops ops = { .end = on_end };
	struct audit_append append = { c->event, c->phase.batch };
	struct call_request req = { .method = METHOD_AUDIT_APPEND, .budget_ms = 60000 };
	struct slot *s = c->idle;
	struct call *call;
	struct im_err err;

	if (s == NULL)
		evidence_die("the daemon is too slow for this load");
	c->idle = s->next;
	for (unsigned i = 0; i < c->phase.batch; i++)
		make_event(&c->event[i], (unsigned)(c - c->load->client), c->number++);
	s->batch = c->phase.batch;
	s->began_us = clock_mono_us();
	buf_clear(&c->body);
	audit_append_encode(&append, &c->body);
	req.body = c->body.data;
	req.body_len = c->body.len;
	must(call_start(c->link, &req, &ops, s, &call, &err), &err);
	c->running++;
}

/* Starts what is due: the next call of a pace, or those that were refused. */
static void
on_tick(void *arg)
{
	struct client *c = arg;
	uint64_t now_us = clock_mono_us(), pause_us = PAUSE_US;
	struct im_err err;

	if (is_over(c)) {
		if (c->running == 0)
			signal_one(c->load, &c->load->done);
		return;
	}
	(void)err_set(&err, IM_ENOMEM, "no memory");
	if (c->phase.per_s == 0) {
		while (c->running < c->phase.outstanding)
			start_call(c);
	} else {
		for (; c->next_us <= now_us;
		     c->next_us += UINT64_C(1000000) * LOAD_CLIENTS / c->phase.per_s)
			start_call(c);
		pause_us = c->next_us - now_us;
	}
	must(loop_timer_set(c->loop, &c->tick, pause_us), &err);
}

static void
on_up(void *user, struct link *link)
{
	struct client *c = user;

	c->link = link;
	signal_one(c->load, &c->load->ready);
}

static void
on_down(void *user, struct link *link, const struct im_err *why)
{
	const struct client *c = user;

	(void)link;
	if (!c->closing)
		evidence_die("the link went: %s", why->text);
}

static void *
run_loop(void *loop)
{
	loop_run(loop);
	return NULL;
}

static void
connect_client(struct client *c, const char *url)
{
	static const struct endpoint_ops ops = { .up = on_up, .down = on_down };
	const struct net_params params = { .role = "router", .name = "bench" };
	struct im_err err;

	c->tick = (struct loop_timer){ .fn = on_tick, .arg = c };
	c->slot = evidence_alloc(SLOTS * sizeof(*c->slot));
	c->took_us = evidence_alloc(TOOK_MAX / LOAD_CLIENTS * sizeof(*c->took_us));
	for (unsigned i = 0; i < SLOTS; i++) {
		c->slot[i] = (struct slot){ .client = c, .next = c->idle };
		c->idle = &c->slot[i];
	}
	must(loop_new(&c->loop, &err), &err);
	loop_enter(c->loop);
	must(net_new(c->loop, &params, &c->net, &err), &err);
	must(net_dial(c->net, url, &ops, c, &c->endpoint, &err), &err);
	loop_leave(c->loop);
	if (pthread_create(&c->thread, NULL, run_loop, c->loop) != 0)
		evidence_die("cannot start a thread");
}

struct audit_load *
audit_load_new(const char *url)
{
	struct audit_load *l = calloc(1, sizeof(*l));

	if (l == NULL)
		evidence_die("no memory");
	l->took_us = evidence_alloc(TOOK_MAX * sizeof(*l->took_us));
	(void)pthread_mutex_init(&l->lock, NULL);
	(void)pthread_cond_init(&l->wake, NULL);
	for (unsigned i = 0; i < LOAD_CLIENTS; i++) {
		l->client[i].load = l;
		connect_client(&l->client[i], url);
	}
	wait_for_all(l, &l->ready);
	return l;
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

void
audit_load_run(struct audit_load *l, const struct load_phase *phase, struct load_result *ret)
{
	uint64_t began_us = clock_mono_us();

	*ret = (struct load_result){ .took_us = l->took_us };
	for (unsigned i = 0; i < LOAD_CLIENTS; i++) {
		struct client *c = &l->client[i];

		loop_enter(c->loop);
		c->phase = *phase;
		c->records = c->refused = c->took_len = 0;
		c->until_us = began_us + phase->for_us;
		c->next_us =
		    clock_mono_us() + (phase->per_s > 0 ? i * UINT64_C(1000000) / phase->per_s : 0);
		on_tick(c);
		loop_leave(c->loop);
	}
	wait_for_all(l, &l->done);
	ret->seconds = (double)(clock_mono_us() - began_us) / 1e6;
	for (unsigned i = 0; i < LOAD_CLIENTS; i++) {
		struct client *c = &l->client[i];

		ret->records += c->records;
		ret->refused += c->refused;
		memcpy(ret->took_us + ret->took_len, c->took_us, c->took_len * sizeof(*c->took_us));
		ret->took_len += c->took_len;
	}
	qsort(ret->took_us, ret->took_len, sizeof(*ret->took_us), compare);
}

static void
on_closed(void *arg)
{
	struct client *c = arg;

	loop_stop(c->loop);
}

void
audit_load_free(struct audit_load *l)
{
	for (unsigned i = 0; i < LOAD_CLIENTS; i++) {
		struct client *c = &l->client[i];

		loop_enter(c->loop);
		c->closing = true;
		net_close(c->net, on_closed, c);
		loop_leave(c->loop);
		(void)pthread_join(c->thread, NULL);
		net_free(c->net);
		loop_free(c->loop);
		free(c->slot);
		free(c->took_us);
		buf_done(&c->body);
	}
	free(l->took_us);
	free(l);
}
