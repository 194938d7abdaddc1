/*
 * wire/wire_samples_operator.c - samples of what operators ask of a router and are told.
 */
#include "wire/wire_samples_operator.h"

#include "wire/operator.h"

void
router_status_sample(struct buf *out)
{
	static const char *names[] = { "demo" };
	static struct worker_status workers[1] = { { .name = "w1",
						     .backend = "local",
						     .state = "ready",
						     .models = names,
						     .model_count = 1,
						     .slots = 1,
						     .load = { 1, 4, 0, 0, false },
						     .dispatched = 9,
						     .succeeded = 8 } };

	router_status_encode(&(struct router_status){ .name = "router",
						      .version = "1",
						      .audit = "connected",
						      .cache = "off",
						      .uptime_ms = 5,
						      .workers = workers,
						      .worker_count = 1,
						      .calls = 1,
						      .slots = 1,
						      .admitted = 9,
						      .ended = 8 },
			     out);
}

void
router_status_policies_sample(struct buf *out)
{
	static const char *names[] = { "demo" };
	static struct model_breaker breakers[1] = { { SEEN_BREAKER_OPEN, 900, 5 } };
	static struct worker_status workers[1] = { { .name = "w1",
						     .models = names,
						     .model_count = 1,
						     .weight = 100,
						     .effective_weight = 40,
						     .backup = true,
						     .weight_by_operator = true,
						     .drained_by_operator = true,
						     .breakers = breakers,
						     .breaker_count = 1,
						     .recent_ms = 60000,
						     .recent_requests = 7,
						     .recent_failed = 1,
						     .p50_us = 1500,
						     .p99_us = 90000 } };
	static struct queue_status queues[1] = { { "demo", "low", 3 } };
	static struct decision_count decisions[1] = { { "round_robin", "least", 8 } };

	router_status_encode(&(struct router_status){ .workers = workers,
						      .worker_count = 1,
						      .queues = queues,
						      .queue_count = 1,
						      .decisions = decisions,
						      .decision_count = 1,
						      .coalesced = 2,
						      .retried = 4,
						      .slots_leaked = -1 },
			     out);
}

void
router_status_reporter_sample(struct buf *out)
{
	router_status_encode(&(struct router_status){ .name = "router",
						      .reporter = { 1, 2, 3, 4, 5, 6, 7, 8 },
						      .has_reporter = true },
			     out);
}

void
router_status_limits_sample(struct buf *out)
{
	router_status_encode(&(struct router_status){ .name = "router", .limits = "unavailable" },
			     out);
}

static const struct route_spec chat = { .model = "chat",
					.arms = { { "v1", 90 }, { "v2", 10 } },
					.arm_count = 2,
					.sticky = STICKY_SESSION,
					.fallback = { "small" },
					.fallback_count = 1,
					.answer = "later" };

void
route_list_sample(struct buf *out)
{
	static struct route_status routes[2];

	routes[0] = (struct route_status){ .route = chat,
					   .by_operator = true,
					   .changed_us = 5,
					   .actor = "uid:1",
					   .arms = { { "v1", 9, 1 } },
					   .arm_count = 1 };
	routes[1] = (struct route_status){ .route = chat,
					   .has_ramp = true,
					   .ramp = { .spec = { "v2", 10, 30000, 10000, 500, 100 },
						     .state = RAMP_RUNNING,
						     .percent = 20,
						     .step_ms = 7,
						     .reason = "waits",
						     .arm = { 3, 1, 9000 },
						     .others = { 30, 0, 8000 },
						     .before = { { "v1", 100 } },
						     .before_count = 1 } };
	routes[1].route.model = "other";
	route_list_encode(&(struct route_list){ .routes = routes, .count = 2 }, out);
}

void
route_list_kept_sample(struct buf *out)
{
	static struct kept_worker workers[] = { { "w1", true, 0 }, { "w2", false, 50 } };

	route_list_encode(&(struct route_list){ .workers = workers, .worker_count = 2 }, out);
}

void
set_route_sample(struct buf *out)
{
	set_route_encode(&(struct set_route){ .route = chat, .reset = true, .set_fallback = true },
			 out);
}

void
ramp_route_sample(struct buf *out)
{
	ramp_route_encode(
	    &(struct ramp_route){ .model = "chat", .spec = { "v2", 10, 30000, 10000, 500, 100 } },
	    out);
}

void
set_worker_sample(struct buf *out)
{
	set_worker_encode(&(struct set_worker){ "w1", WORKER_CHANGE_WEIGHT, 50 }, out);
}

void
worker_status_sample(struct buf *out)
{
	worker_status_encode(&(struct worker_status){ .name = "w1", .weight = 50 }, out);
}
