/*
 * router/ramp.h - moving the traffic of a route to one of its arms, step by step, and back by itself when that arm does
 * worse. Pure: 'now_ms' is an argument; it counts what it is told and says what to do, and the route table does it.
 *
 *                    every_ms have passed, enough requests, within the limits
 *                  ┌───────────┐
 *      start       ▼           │          at 100 %
 *      ──────▶ RUNNING ────────┴──────────────────────▶ DONE
 *                  │   beyond a limit, and the other arms do better
 *                  ├──────────────────────────────────▶ ROLLED_BACK
 *                  │   an operator says so
 *                  └──────────────────────────────────▶ ABORTED
 *
 * A step is judged by the requests that ended within it ("window"). The limits:
 *
 *      errors   more than max_error_ppm of the arm's requests failed
 *      p99      more than one in a hundred took longer than max_p99_ms, which is what "p99 over max_p99_ms" means
 *
 * Both are exact counts, and both are taken of at least min_requests: as soon as so many failed that the rate would be
 * beyond the limit even if all up to the min_requests-th went well, it is beyond it, and nobody waits for the rest.
 * "The other arms do better": at least min_requests of them ended in the same window and the share that failed, or was
 * slow, is as large as the arm's or larger: then the trouble is not the arm's, and the ramp waits. Without that many it
 * is the arm's.
 */
#ifndef ROUTER_RAMP_H
#define ROUTER_RAMP_H

#include "router/recent.h"
#include "wire/operator.h"

struct ramp_window {
	uint32_t requests, failed, slow;
	struct times times; /* of those that did not fail: only to be shown */
};

struct ramp {
	struct ramp_spec spec; /* spec.arm belongs to the owner */
	enum ramp_state state;
	uint32_t percent; /* the arm's share at present */
	uint64_t step_ms; /* when the present step began */
	struct ramp_window arm, others;
	char reason[ROUTE_REASON_MAX + 1]; /* why it waits or has ended */
};

enum ramp_action {
	RAMP_DO_NOTHING,
	RAMP_DO_STEP,      /* 'percent' has grown: apply it */
	RAMP_DO_ROLL_BACK, /* restore what was before */
	RAMP_DO_FINISH,    /* nothing to apply, it is at 100 % */
};

/** Begin its first step at 'percent', or go on there after a restart: with an empty window. */
void ramp_begin(struct ramp *r, const struct ramp_spec *spec, uint32_t percent, uint64_t now_ms);

/** A request of the route has ended. 'of_arm': it was the ramp's arm that was chosen for it. */
void ramp_count(struct ramp *r, bool of_arm, bool failed, uint64_t us);

/** What is to be done now. */
enum ramp_action ramp_step(struct ramp *r, uint64_t now_ms);

/** An operator ends it. 'why' for people. */
void ramp_abort(struct ramp *r, const char *why);

/** The weights at 'percent' for the arm 'at' of 'arms'; the others share the rest as they did in 'arms'. The sum is
 *  ROUTE_WEIGHT_MAX. False if the others have no weight to share by. */
bool ramp_weights(const struct route_arm *arms, size_t count, size_t at, uint32_t percent,
		  struct route_arm *ret);

/** What is to be shown of it. Strings point into 'r'. */
void ramp_show(const struct ramp *r, uint64_t now_ms, struct ramp_status *ret);

#endif
