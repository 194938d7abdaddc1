/*
 * router/route_ramp.c - ramps on routes: begin, go on, end; see route_table.h. What a ramp decides is in ramp.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/route_change.h"

/* A ramp and the name of its arm, in one block. */
static struct ramp *
ramp_new(const struct ramp_spec *spec, uint32_t percent, uint64_t now_ms)
{
	size_t len = strlen(spec->arm) + 1;
	struct ramp *ramp = malloc(sizeof(*ramp) + len);

	if (ramp == NULL) {
		return NULL;
	}
	ramp_begin(ramp, spec, percent, now_ms);
	memcpy(ramp + 1, spec->arm, len);
	ramp->spec.arm = (const char *)(ramp + 1);
	return ramp;
}

/* The plan of 'of' with the arm of the ramp at 'percent'. NULL without memory. */
static struct route_plan *
plan_at(const struct route_plan *of, const char *arm, uint32_t percent)
{
	struct route_spec spec = of->spec;
	struct route_arm arms[ROUTE_ARMS_MAX];
	size_t at = 0;

	while (at < spec.arm_count && strcmp(spec.arms[at].model, arm) != 0) {
		at++;
	}
	if (at == spec.arm_count) {
		spec.arms[spec.arm_count++] = (struct route_arm){ arm, 0 };
	}
	memcpy(arms, spec.arms, sizeof(arms));
	/* That the others have weight was made sure of at the beginning. */
	(void)ramp_weights(arms, spec.arm_count, at, percent, spec.arms);
	return route_plan_new(&spec);
}

/* Share of the arm at present, and of all others together. */
static void
weights_of(const struct route_plan *p, const char *arm, uint32_t *ret_arm, uint32_t *ret_others)
{
	*ret_arm = *ret_others = 0;
	for (size_t i = 0; i < p->spec.arm_count; i++) {
		if (strcmp(p->spec.arms[i].model, arm) == 0) {
			*ret_arm = p->spec.arms[i].weight;
		} else {
			*ret_others += p->spec.arms[i].weight;
		}
	}
}

static enum im_rc
check_ramp(const struct route *r, const struct ramp_route *what, uint32_t *ret_percent,
	   struct im_err *err)
{
	uint32_t arm, others, known = 0;

	for (size_t i = 0; i < r->plan->spec.arm_count; i++) {
		known += strcmp(r->plan->spec.arms[i].model, what->spec.arm) == 0;
	}
	weights_of(r->plan, what->spec.arm, &arm, &others);
	if (r->ramp != NULL && r->ramp->state == RAMP_RUNNING) {
		return err_reason(err, IM_EEXIST, "ramp_runs",
				  "a ramp to %.80s runs on %.80s already; end it first: infermesh "
				  "route ramp %.80s --abort",
				  r->ramp->spec.arm, what->model, what->model);
	}
	if (others == 0) {
		return err_set(err, IM_EINVAL,
			       "%.80s has all of %.80s already: there is nothing to move to it",
			       what->spec.arm, what->model);
	}
	if (known == 0 && r->plan->spec.arm_count == ROUTE_ARMS_MAX) {
		return err_set(err, IM_EINVAL, "%.80s has %d models already; leave one out first",
			       what->model, ROUTE_ARMS_MAX);
	}
	*ret_percent = (uint32_t)(100ULL * arm / (arm + others)) + what->spec.step_percent;
	return IM_OK;
}

enum im_rc
route_table_ramp(struct route_table *t, const struct ramp_route *what, const struct route_actor *by,
		 struct route **ret, struct im_err *err)
{
	struct route *r = route_table_find(t, what->model);
	struct route_plan *plan;
	struct ramp *ramp;
	uint32_t percent = 0;
	enum im_rc rc;

	if (r == NULL) {
		route_not_found(t, what->model, err);
		return IM_ENOTFOUND;
	}
	rc = check_ramp(r, what, &percent, err);
	if (rc != IM_OK) {
		return rc;
	}
	ramp = ramp_new(&what->spec, percent, by->now_ms);
	plan = ramp != NULL ? plan_at(r->plan, ramp->spec.arm, ramp->percent) : NULL;
	if (plan == NULL) {
		free(ramp);
		route_no_memory(err);
		return IM_ENOMEM;
	}
	free(r->ramp);
	r->ramp = ramp;
	r->before = r->plan;
	route_plan_ref(r->before);
	route_changed(r, plan, by);
	*ret = r;
	return IM_OK;
}

void
route_ramp_ended(struct route *r, const char *why)
{
	if (r->ramp != NULL) {
		ramp_abort(r->ramp, why);
	}
	route_plan_unref(r->before);
	r->before = NULL;
}

/* What was before the ramp holds again. */
static void
restore(struct route *r, const struct route_actor *by)
{
	struct route_plan *before = r->before;

	r->before = NULL;
	route_changed(r, before, by);
}

enum im_rc
route_table_abort(struct route_table *t, const char *alias, const struct route_actor *by,
		  struct route **ret, struct im_err *err)
{
	struct route *r = route_table_find(t, alias);

	if (r == NULL) {
		route_not_found(t, alias, err);
		return IM_ENOTFOUND;
	}
	if (r->ramp == NULL || r->ramp->state != RAMP_RUNNING) {
		return err_reason(err, IM_ENOTFOUND, "no_ramp", "no ramp runs on %.80s", alias);
	}
	ramp_abort(r->ramp, "ended by an operator: the weights are as before it");
	restore(r, by);
	*ret = r;
	return IM_OK;
}

/* The step could not be made: the next tick tries again. */
static void
step_back(struct ramp *ramp, uint32_t percent)
{
	ramp->percent = percent;
	(void)snprintf(ramp->reason, sizeof(ramp->reason), "waits: the router is out of memory");
}

/* It does in the name of who began it. */
static void
tick_route(struct route *r, uint64_t now_us, uint64_t now_ms, route_moved_fn moved, void *user)
{
	char actor[ROUTE_ACTOR_MAX + 1];
	const struct route_actor by = { actor, now_us, now_ms };
	uint32_t was = r->ramp->percent;
	char what[ROUTE_REASON_MAX + 64];
	struct route_plan *plan;

	memcpy(actor, r->actor, sizeof(actor));
	switch (ramp_step(r->ramp, now_ms)) {
	case RAMP_DO_NOTHING:
		return;
	case RAMP_DO_STEP:
		plan = plan_at(r->before, r->ramp->spec.arm, r->ramp->percent);
		if (plan == NULL) {
			step_back(r->ramp, was);
			return;
		}
		route_changed(r, plan, &by);
		(void)snprintf(what, sizeof(what), "ramp: %u%%", r->ramp->percent);
		break;
	case RAMP_DO_ROLL_BACK:
		restore(r, &by);
		(void)snprintf(what, sizeof(what), "ramp rolled back: %s", r->ramp->reason);
		break;
	case RAMP_DO_FINISH:
		route_plan_unref(r->before);
		r->before = NULL;
		(void)snprintf(what, sizeof(what), "ramp done");
		break;
	}
	moved(user, r, what);
}

void
route_table_tick(struct route_table *t, uint64_t now_us, uint64_t now_ms, route_moved_fn moved,
		 void *user)
{
	if (t->count == 0) {
		return;
	}
	for (size_t i = 0; i < ROUTE_BUCKETS; i++) {
		LIST_FOREACH_SAFE (&t->buckets[i], r, struct route, node) {
			if (r->ramp != NULL && r->ramp->state == RAMP_RUNNING) {
				tick_route(r, now_us, now_ms, moved, user);
			}
		}
	}
}

enum im_rc
route_ramp_resume(struct route *r, const struct ramp_status *kept, uint64_t now_ms,
		  struct im_err *err)
{
	struct ramp *ramp = ramp_new(&kept->spec, kept->percent, now_ms);
	struct route_spec before = r->plan->spec;
	enum im_rc rc = IM_OK;

	if (ramp == NULL) {
		route_no_memory(err);
		return IM_ENOMEM;
	}
	(void)snprintf(ramp->reason, sizeof(ramp->reason), "%s", kept->reason);
	ramp->state = kept->state;
	if (kept->state == RAMP_RUNNING) {
		memcpy(before.arms, kept->before, sizeof(before.arms));
		before.arm_count = kept->before_count;
		rc = route_spec_check(&before, err);
		if (rc == IM_OK) {
			r->before = route_plan_new(&before);
			if (r->before == NULL) {
				route_no_memory(err);
				rc = IM_ENOMEM;
			}
		}
	}
	if (rc != IM_OK) {
		free(ramp);
		return rc;
	}
	free(r->ramp);
	r->ramp = ramp;
	return IM_OK;
}
