/*
 * sim/sim_operator.c - operators: they drain workers, weigh them, split routes and ramp them, in the middle of everything.
 * An answer that
 * waits for the audit log finds nobody. See sim.h.
 */
#include <stdio.h>
#include <string.h>

#include "sim.h"
#include "wire/operator.h"

static void
reply_data(void *user, const uint8_t *body, size_t len)
{
	(void)user;
	(void)body;
	(void)len;
	sim_fail("an operator gets a stream");
}

static void
reply_ended(void *user, const struct im_err *err, const uint8_t *body, size_t len)
{
	(void)err; /* no such route, a ramp that is running already: all fine */
	(void)body;
	(void)len;
	*(bool *)user = true;
}

static void
closed(void *far)
{
	(void)far;
}

static void
ask(struct sim_router *r, const char *method, const struct buf *body)
{
	static const uint8_t instance[16] = { 7 };
	static const struct far_ops ops = {
		.data = reply_data, .ended = reply_ended, .closed = closed, .goaway = closed
	};
	struct served_request req = { .method = method, .body = body->data, .body_len = body->len };
	struct link *link = far_open(r->net, "operator", "op", instance, &ops, NULL);
	struct served *served;
	bool answered = false;

	if (link == NULL) {
		return; /* the router has stopped */
	}
	far_serve(link, &req, 0, &answered, &served);
	sim_loop_tasks();
	if (!answered) {
		sim_trace(r->world, "the operator of %s does not wait", r->name);
	}
	far_lose(link, "the operator has left");
}

static void
set_worker(struct sim_router *r, const char *worker, enum worker_change change, uint32_t weight)
{
	struct set_worker s = { .worker = worker, .change = change, .weight = weight };
	struct buf body = BUF_INIT(0);

	set_worker_encode(&s, &body);
	ask(r, METHOD_SET_WORKER, &body);
	buf_done(&body);
}

static void
set_route(struct sim_router *r, uint32_t share)
{
	struct set_route s = { .route = { .model = "chat", .arm_count = 2, .answer = "" } };
	struct buf body = BUF_INIT(0);

	s.route.arms[0] = (struct route_arm){ .model = model_name(0), .weight = 100 - share };
	s.route.arms[1] =
	    (struct route_arm){ .model = model_name(r->world->p.models - 1), .weight = share };
	set_route_encode(&s, &body);
	ask(r, METHOD_SET_ROUTE, &body);
	buf_done(&body);
}

static void
ramp_route(struct sim_router *r, bool abort)
{
	struct ramp_route s = { .model = "chat",
				.spec = { .arm = model_name(r->world->p.models - 1),
					  .step_percent = 20,
					  .every_ms = 500,
					  .max_error_ppm = 100000,
					  .max_p99_ms = 5000,
					  .min_requests = 10 },
				.abort = abort };
	struct buf body = BUF_INIT(0);

	ramp_route_encode(&s, &body);
	ask(r, METHOD_RAMP_ROUTE, &body);
	buf_done(&body);
}

void
operator_acts(struct sim_router *r)
{
	struct world *w = r->world;
	struct prng *rng = &w->fault_rng;
	const struct sim_worker *worker = &w->workers[prng_below(rng, w->p.workers)];
	uint32_t what = prng_below(rng, 8);

	sim_trace(w, "the operator of %s does %u, maybe to %s", r->name, what, worker->name);
	if (what == 0) {
		set_worker(r, worker->name, WORKER_CHANGE_DRAIN, 0);
	} else if (what < 3) {
		set_worker(r, worker->name, WORKER_CHANGE_UNDRAIN, 0);
	} else if (what == 3) {
		set_worker(r, worker->name, WORKER_CHANGE_WEIGHT, prng_below(rng, 300));
	} else if (what < 6) {
		set_route(r, prng_below(rng, 100));
	} else {
		ramp_route(r, what == 7);
	}
}
