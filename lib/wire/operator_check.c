/*
 * wire/operator_check.c - what a route and a ramp may be, whoever says it: an operator, the configuration, the router's own
 * file. See operator.h. Pure.
 */
#include <stdio.h>
#include <string.h>

#include "wire/operator.h"

static enum im_rc
bad(struct im_err *err, const char *param, const char *allowed)
{
	(void)err_set(err, IM_EINVAL, "%s: allowed is %s", param, allowed);
	if (err != NULL)
		(void)snprintf(err->param, sizeof(err->param), "%s", param);
	return IM_EINVAL;
}

static bool
name_ok(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= GENERATE_MODEL_MAX;
}

static enum im_rc
check_arms(const struct route_spec *r, struct im_err *err)
{
	uint32_t sum = 0;

	if (r->arm_count == 0 || r->arm_count > ROUTE_ARMS_MAX)
		return bad(err, "arms", "1 to 16 models with their weights");
	for (size_t i = 0; i < r->arm_count; i++) {
		if (!name_ok(r->arms[i].model))
			return bad(err, "arms", "models with names of 1 to 256 bytes");
		if (r->arms[i].weight > ROUTE_WEIGHT_MAX)
			return bad(err, "arms", "weights from 0 to 10000");
		for (size_t j = 0; j < i; j++)
			if (strcmp(r->arms[i].model, r->arms[j].model) == 0)
				return bad(err, "arms", "each model once");
		sum += r->arms[i].weight;
	}
	return sum > 0 ? IM_OK : bad(err, "arms", "at least one weight above 0");
}

enum im_rc
route_spec_check(const struct route_spec *r, struct im_err *err)
{
	if (!name_ok(r->model))
		return bad(err, "model", "a name of 1 to 256 bytes");
	if ((unsigned)r->sticky < STICKY_SESSION || (unsigned)r->sticky > STICKY_OFF)
		return bad(err, "sticky", "session, caller or off");
	if (r->fallback_count > ROUTE_FALLBACKS_MAX)
		return bad(err, "fallback", "at most 8 models");
	for (size_t i = 0; i < r->fallback_count; i++)
		/* "model:" stands before it in headers and records. */
		if (!name_ok(r->fallback[i]) ||
		    strlen(r->fallback[i]) > AUDIT_ROUTE_MAX - strlen("model:"))
			return bad(err, "fallback", "models with names of 1 to 250 bytes");
	if (strlen(r->answer) > ROUTE_ANSWER_MAX)
		return bad(err, "fallback_answer", "at most 16384 bytes");
	return check_arms(r, err);
}

enum im_rc
ramp_spec_check(const struct ramp_spec *s, struct im_err *err)
{
	if (!name_ok(s->arm))
		return bad(err, "arm", "a model of the route");
	if (s->step_percent < 1 || s->step_percent > 100)
		return bad(err, "step", "1 to 100 percent");
	if (s->every_ms < RAMP_EVERY_MIN_MS || s->every_ms > RAMP_EVERY_MAX_MS)
		return bad(err, "every", "100ms to 7 days");
	if (s->max_error_ppm > 1000000)
		return bad(err, "max-error-rate", "0% to 100%");
	if (s->max_p99_ms > RAMP_P99_MAX_MS)
		return bad(err, "max-p99", "1ms to a day");
	if (s->min_requests < 1 || s->min_requests > 1000000)
		return bad(err, "min-requests", "1 to 1000000");
	return IM_OK;
}
