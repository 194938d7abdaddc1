/*
 * router/ramp.c - see ramp.h.
 */
#include "router/ramp.h"

#include <stdio.h>
#include <string.h>

#define MILLION 1000000ULL
#define P99_PPM 10000U /* one in a hundred */

void
ramp_begin(struct ramp *r, const struct ramp_spec *spec, uint32_t percent, uint64_t now_ms)
{
	memset(r, 0, sizeof(*r));
	r->spec = *spec;
	r->state = RAMP_RUNNING;
	r->percent = percent < 100 ? percent : 100;
	r->step_ms = now_ms;
}

void
ramp_count(struct ramp *r, bool of_arm, bool failed, uint64_t us)
{
	struct ramp_window *w = of_arm ? &r->arm : &r->others;

	if (r->state != RAMP_RUNNING) {
		return;
	}
	w->requests++;
	if (failed) {
		w->failed++;
		return;
	}
	times_add(&w->times, us);
	if (r->spec.max_p99_ms > 0 && us > r->spec.max_p99_ms * 1000ULL) {
		w->slow++;
	}
}

/* Is 'part' of the arm's requests beyond 'max_ppm' of them, or of min_requests if they are fewer? */
static bool
beyond(const struct ramp *r, uint32_t part, uint32_t max_ppm)
{
	uint64_t of =
	    r->arm.requests > r->spec.min_requests ? r->arm.requests : r->spec.min_requests;

	return part * MILLION > max_ppm * of;
}

/* Do the others fare no better? */
static bool
shared(const struct ramp *r, uint32_t part, uint32_t others_part)
{
	return r->others.requests >= r->spec.min_requests &&
	       (uint64_t)others_part * r->arm.requests >= (uint64_t)part * r->others.requests;
}

static double
percent_of(uint32_t part, uint32_t of)
{
	return of > 0 ? 100.0 * part / of : 0;
}

static void
say_errors(struct ramp *r, const char *then)
{
	(void)snprintf(
	    r->reason, sizeof(r->reason),
	    "%u of %u requests to %.60s failed (%.2f%%, allowed are %.2f%%), %u of %u to "
	    "the others%s",
	    r->arm.failed, r->arm.requests, r->spec.arm, percent_of(r->arm.failed, r->arm.requests),
	    r->spec.max_error_ppm / 1e4, r->others.failed, r->others.requests, then);
}

static void
say_slow(struct ramp *r, const char *then)
{
	(void)snprintf(
	    r->reason, sizeof(r->reason),
	    "p99 of %.60s is %.1f ms, allowed are %u ms: %u of %u requests were slower, %u "
	    "of %u to the others%s",
	    r->spec.arm, (double)times_quantile(&r->arm.times, 0.99) / 1e3, r->spec.max_p99_ms,
	    r->arm.slow, r->arm.requests, r->others.slow, r->others.requests, then);
}

/* True if a limit is met that the others keep. A limit that they miss too only stops it: '*ret_wait'. */
static bool
does_worse(struct ramp *r, bool *ret_wait)
{
	if (beyond(r, r->arm.failed, r->spec.max_error_ppm)) {
		*ret_wait = shared(r, r->arm.failed, r->others.failed);
		say_errors(r, *ret_wait ? ": waits, for they do no better" : "");
		return !*ret_wait;
	}
	if (r->spec.max_p99_ms > 0 && beyond(r, r->arm.slow, P99_PPM)) {
		*ret_wait = shared(r, r->arm.slow, r->others.slow);
		say_slow(r, *ret_wait ? ": waits, for they do no better" : "");
		return !*ret_wait;
	}
	return false;
}

static void
clear_windows(struct ramp *r, uint64_t now_ms)
{
	memset(&r->arm, 0, sizeof(r->arm));
	memset(&r->others, 0, sizeof(r->others));
	r->step_ms = now_ms;
}

enum ramp_action
ramp_step(struct ramp *r, uint64_t now_ms)
{
	bool wait = false;

	if (r->state != RAMP_RUNNING) {
		return RAMP_DO_NOTHING;
	}
	r->reason[0] = '\0';
	if (does_worse(r, &wait)) {
		r->state = RAMP_ROLLED_BACK;
		return RAMP_DO_ROLL_BACK;
	}
	if (now_ms < r->step_ms + r->spec.every_ms) {
		return RAMP_DO_NOTHING;
	}
	if (wait) {
		clear_windows(r, now_ms); /* the next window decides afresh */
		return RAMP_DO_NOTHING;
	}
	if (r->arm.requests < r->spec.min_requests) {
		(void)snprintf(r->reason, sizeof(r->reason),
			       "waits for requests: %u of at least %u have ended", r->arm.requests,
			       r->spec.min_requests);
		return RAMP_DO_NOTHING;
	}
	if (r->percent >= 100) {
		r->state = RAMP_DONE;
		return RAMP_DO_FINISH;
	}
	r->percent += r->spec.step_percent;
	r->percent = r->percent < 100 ? r->percent : 100;
	clear_windows(r, now_ms);
	return RAMP_DO_STEP;
}

void
ramp_abort(struct ramp *r, const char *why)
{
	if (r->state == RAMP_RUNNING) {
		r->state = RAMP_ABORTED;
		(void)snprintf(r->reason, sizeof(r->reason), "%s", why);
	}
}

bool
ramp_weights(const struct route_arm *arms, size_t count, size_t at, uint32_t percent,
	     struct route_arm *ret)
{
	uint32_t share = ROUTE_WEIGHT_MAX / 100 * percent, rest = ROUTE_WEIGHT_MAX - share;
	uint64_t sum = 0;
	uint32_t given = 0;
	size_t most = at;

	for (size_t i = 0; i < count; i++) {
		sum += i != at ? arms[i].weight : 0;
	}
	if (sum == 0) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		ret[i].model = arms[i].model;
		ret[i].weight = i == at ? share : (uint32_t)(arms[i].weight * (uint64_t)rest / sum);
		given += ret[i].weight;
		if (i != at && (most == at || arms[i].weight > arms[most].weight)) {
			most = i;
		}
	}
	ret[most].weight += ROUTE_WEIGHT_MAX - given;
	return true;
}

static struct ramp_side
side_of(const struct ramp_window *w)
{
	return (struct ramp_side){ w->requests, w->failed, times_quantile(&w->times, 0.99) };
}

void
ramp_show(const struct ramp *r, uint64_t now_ms, struct ramp_status *ret)
{
	uint64_t since = now_ms > r->step_ms ? now_ms - r->step_ms : 0;

	*ret = (struct ramp_status){ .spec = r->spec,
				     .state = r->state,
				     .percent = r->percent,
				     .step_ms = since < UINT32_MAX ? (uint32_t)since : UINT32_MAX,
				     .reason = r->reason,
				     .arm = side_of(&r->arm),
				     .others = side_of(&r->others) };
}
