/*
 * sim/sim_caller.c - callers: they come at random times, wait, read slowly, leave; and each must get exactly one end in
 * time. See sim.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define LATE_US     50000   /* that an answer may come after its deadline */
#define BURST_US    2000000 /* a world of bursts changes its mind about so often */
#define PROMPTS     40
#define CREDIT_MANY 1000
#define TRACE_LEN   55

static void
ask_end(struct ask *a)
{
	struct world *w = a->router->world;

	loop_timer_cancel(sim_loop(), &a->act);
	loop_timer_cancel(sim_loop(), &a->watch);
	a->served = NULL;
	a->used = false;
	a->router->asks_open--;
	w->asks_open--;
	w->free_asks[w->free_count++] = a->index;
}

static void
answer_data(void *user, const uint8_t *body, size_t len)
{
	struct ask *a = user;

	(void)body;
	if (len == 0) {
		sim_fail("an empty frame was sent to caller %u", a->index);
	}
	a->frames++;
	if (a->slow) {
		sim_at(&a->act, sim_now_us() + 20000);
	}
}

static void
tally_end(struct world *w, const struct ask *a, const struct im_err *err)
{
	if (err == NULL) {
		w->tally.ok++;
		/* The head, and at least one frame of the answer. */
		if (a->frames < 2) {
			sim_fail("caller %u was told that all is well after %u frames", a->index,
				 a->frames);
		}
	} else if (err->rc == IM_EDEADLINE) {
		w->tally.late++;
	} else if (a->frames > 1) {
		w->tally.broken++;
	} else if (a->started_us == 0) {
		w->tally.refused++;
	} else {
		w->tally.failed++;
	}
}

static void
answer_ended(void *user, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct ask *a = user;
	struct world *w = a->router->world;

	(void)body;
	(void)len;
	if (!a->used) {
		sim_fail("caller %u was told of an end twice", a->index);
	}
	tally_end(w, a, err);
	sim_trace(w, "caller %u ends: %s %s", a->index, err == NULL ? "ok" : im_rc_text(err->rc),
		  err == NULL ? "" : err->reason);
	ask_end(a);
}

/* It reads on, or it leaves. */
static void
act_fire(void *arg)
{
	struct ask *a = arg;
	struct served *served = a->served;

	if (a->slow) {
		far_credit(served, 1);
		return;
	}
	a->router->world->tally.cancelled++;
	sim_trace(a->router->world, "caller %u leaves", a->index);
	ask_end(a);
	far_cancel(served);
}

static void
watch_fire(void *arg)
{
	struct ask *a = arg;

	sim_fail("caller %u has no end %u ms after its deadline", a->index, LATE_US / 1000);
}

static void *
nothing_opened(void *far, struct call *call, const struct call_request *req)
{
	(void)far;
	(void)call;
	sim_fail("the router calls a gateway: %s", req->method);
}

static void
nothing_gone(void *user)
{
	(void)user;
}

/* The router stops: whoever is still there has been told, or will never be. */
static void
gateway_closed(void *far)
{
	struct sim_router *r = far;
	struct world *w = r->world;

	r->gateway = NULL;
	for (uint32_t i = 0; i < w->ask_count; i++) {
		struct ask *a = w->asks[i];

		if (a->used && a->router == r) {
			w->tally.broken++;
			ask_end(a);
		}
	}
}

static void
gateway_goaway(void *far)
{
	(void)far;
}

void
gateway_connect(struct sim_router *r)
{
	static const uint8_t instance[16] = { 9 };
	static const struct far_ops ops = { .opened = nothing_opened,
					    .gone = nothing_gone,
					    .data = answer_data,
					    .ended = answer_ended,
					    .closed = gateway_closed,
					    .goaway = gateway_goaway };

	if (r->gateway == NULL && r->router != NULL) {
		r->gateway = far_open(r->net, "gateway", "gw", instance, &ops, r);
	}
}

static struct ask *
ask_new(struct world *w)
{
	struct ask *a;

	if (w->free_count > 0) {
		a = w->asks[w->free_asks[--w->free_count]];
	} else {
		if (w->ask_count == w->ask_cap) {
			w->ask_cap = w->ask_cap == 0 ? 1024 : w->ask_cap * 2;
			w->asks = realloc(w->asks, w->ask_cap * sizeof(struct ask *));
			w->free_asks = realloc(w->free_asks, w->ask_cap * sizeof(uint32_t));
		}
		a = calloc(1, sizeof(*a));
		if (a == NULL || w->asks == NULL || w->free_asks == NULL) {
			sim_fail("no memory for the simulation itself");
		}
		a->index = w->ask_count;
		w->asks[w->ask_count++] = a;
	}
	*a = (struct ask){ .index = a->index, .gen = a->gen + 1, .used = true };
	a->act = (struct loop_timer){ .fn = act_fire, .arg = a };
	a->watch = (struct loop_timer){ .fn = watch_fire, .arg = a };
	return a;
}

/* "00-", 32 digits: the index, "-", 16 digits: its gen, "-01". */
struct ask *
callers_find(struct world *w, const char *traceparent, uint32_t *ret_gen)
{
	unsigned long index;
	char *end;

	if (traceparent == NULL || strlen(traceparent) != TRACE_LEN) {
		return NULL;
	}
	index = strtoul(traceparent + 3, &end, 16);
	if (*end != '-' || index >= w->ask_count) {
		return NULL;
	}
	*ret_gen = (uint32_t)strtoul(end + 1, NULL, 16);
	return w->asks[index];
}

static void
encode(struct world *w, struct ask *a, uint32_t what, struct buf *out)
{
	struct prng *rng = &w->rng;
	char content[32], id[33];
	struct message message = { .role = "user", .content = content };
	bool repeated = prng_unit(rng) < w->p.repeated;
	uint32_t prompt = repeated ? prng_below(rng, PROMPTS) : 1000 + what;
	const char *model = model_name(prng_below(rng, w->p.models));
	struct generate_request g = { .model = w->p.routes ? "chat" : model,
				      .messages = &message,
				      .message_count = 1,
				      .stream = true,
				      .request_id = id,
				      .caller = "caller",
				      .tenant = prng_below(rng, 2) == 0 ? "a" : "b",
				      .has_input_sha256 = true,
				      .received_us = 1700000000000000ULL + sim_now_us() };

	g.temperature.set = repeated;
	g.max_tokens.set = prng_below(rng, 2) == 0;
	g.max_tokens.v = 1 + prng_below(rng, 100);
	a->answer_tokens = g.max_tokens.set ? 1 + prng_below(rng, g.max_tokens.v) : 20;
	(void)snprintf(content, sizeof(content), "question %u", prompt);
	(void)snprintf(id, sizeof(id), "%08x%08x%016llx", a->index, a->gen,
		       (unsigned long long)prng_next(rng));
	generate_request_encode(&g, out);
}

static struct sim_router *
choose_router(struct world *w)
{
	for (uint32_t i = 0; i < 8; i++) {
		struct sim_router *r = &w->routers[prng_below(&w->rng, w->p.routers)];

		if (r->gateway != NULL) {
			return r;
		}
	}
	return NULL;
}

static void
ask_once(struct world *w)
{
	struct sim_router *r = choose_router(w);
	char traceparent[80];
	struct served_request req = { .method = METHOD_GENERATE, .traceparent = traceparent };
	struct buf body = BUF_INIT(0);
	struct ask *a;

	if (r == NULL) {
		return;
	}
	a = ask_new(w);
	a->router = r;
	a->number = w->tally.asked;
	a->came_us = sim_now_us();
	a->service_us = (uint64_t)world_service(&w->arrival_rng, w->p.service, w->p.mean_us);
	a->bad = prng_unit(&w->rng) < w->p.bad;
	a->slow = prng_unit(&w->rng) < w->p.slow_readers;
	req.budget_ms =
	    w->p.budget_min_ms + prng_below(&w->rng, w->p.budget_max_ms - w->p.budget_min_ms + 1);
	req.priority = w->p.one_class ? 0 : (int32_t)prng_below(&w->rng, 3) - 1;
	a->deadline_us = a->came_us + req.budget_ms * 1000ULL;
	encode(w, a, (uint32_t)w->tally.asked, &body);
	req.body = body.data;
	req.body_len = body.len;
	(void)snprintf(traceparent, sizeof(traceparent), "00-%032x-%016x-01", a->index, a->gen);
	if (!a->slow && prng_unit(&w->rng) < w->p.cancels) {
		sim_at(&a->act, a->came_us + (uint64_t)world_exponential(&w->rng, w->p.mean_us));
	}
	sim_at(&a->watch, a->deadline_us + LATE_US);
	w->tally.asked++;
	w->asks_open++;
	r->asks_open++;
	sim_trace(w, "caller %u asks %s", a->index, r->name);
	far_serve(r->gateway, &req, a->slow ? 1 : CREDIT_MANY, a, &a->served);
	buf_done(&body);
}

static void
arrival_fire(void *arg)
{
	struct world *w = arg;
	double rate = w->rate_per_us;

	if (w->p.bursts && (sim_now_us() / BURST_US) % 3 == 0) {
		rate *= 2.5;
	}
	sim_at(&w->arrival, sim_now_us() + (uint64_t)world_exponential(&w->arrival_rng, 1 / rate));
	ask_once(w);
}

void
callers_begin(struct world *w)
{
	double capacity = 0;

	for (uint32_t i = 0; i < w->p.workers; i++) {
		capacity += w->p.servers > 0 ? w->p.servers : w->workers[i].capacity;
	}
	w->rate_per_us = w->p.load * capacity / w->p.mean_us;
	w->arrival = (struct loop_timer){ .fn = arrival_fire, .arg = w };
	sim_at(&w->arrival, sim_now_us() + 100000);
}

void
callers_stop(struct world *w)
{
	loop_timer_cancel(sim_loop(), &w->arrival);
}

void
callers_done(struct world *w)
{
	for (uint32_t i = 0; i < w->ask_count; i++) {
		loop_timer_cancel(sim_loop(), &w->asks[i]->act);
		loop_timer_cancel(sim_loop(), &w->asks[i]->watch);
		free(w->asks[i]);
	}
	free(w->asks);
	free(w->free_asks);
}
