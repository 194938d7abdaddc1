/*
 * router/route_table.c - see route_table.h. Ramps are in route_ramp.c.
 */
#include "router/route_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/nearest.h"
#include "router/route_change.h"

void
route_table_init(struct route_table *t)
{
	memset(t, 0, sizeof(*t));
	for (size_t i = 0; i < ROUTE_BUCKETS; i++) {
		list_init(&t->buckets[i]);
	}
}

static struct list *
bucket_of(const struct route_table *t, const char *alias)
{
	union {
		const struct route_table *in;
		struct route_table *out;
	} u = { .in = t };

	return &u.out->buckets[route_hash(alias) % ROUTE_BUCKETS];
}

struct route *
route_table_find(const struct route_table *t, const char *alias)
{
	if (t->count == 0) {
		return NULL;
	}
	LIST_FOREACH (bucket_of(t, alias), r, struct route, node) {
		if (strcmp(r->plan->spec.model, alias) == 0) {
			return r;
		}
	}
	return NULL;
}

static void
route_free(struct route_table *t, struct route *r)
{
	list_remove(&r->node);
	t->count--;
	route_plan_unref(r->plan);
	route_plan_unref(r->file);
	route_plan_unref(r->before);
	free(r->ramp);
	free(r);
}

void
route_table_done(struct route_table *t)
{
	for (size_t i = 0; i < ROUTE_BUCKETS; i++) {
		LIST_FOREACH_SAFE (&t->buckets[i], r, struct route, node) {
			route_free(t, r);
		}
	}
}

void
route_no_memory(struct im_err *err)
{
	(void)err_set(err, IM_ENOMEM, "the router is out of memory; nothing was changed");
}

void
route_not_found(const struct route_table *t, const char *alias, struct im_err *err)
{
	const char *best = NULL;
	unsigned best_distance = 4;

	for (size_t i = 0; i < ROUTE_BUCKETS; i++) {
		LIST_FOREACH (&t->buckets[i], r, struct route, node) {
			const char *name = r->plan->spec.model;
			unsigned d = edit_distance(alias, strlen(alias), name, strlen(name), 3);

			if (d < best_distance) {
				best_distance = d;
				best = name;
			}
		}
	}
	if (best != NULL) {
		(void)err_reason(err, IM_ENOTFOUND, "route_not_found",
				 "there is no route %.80s; did you mean %.80s? 'infermesh route "
				 "set %.80s MODEL=100' makes one",
				 alias, best, alias);
		return;
	}
	(void)err_reason(
	    err, IM_ENOTFOUND, "route_not_found",
	    "there is no route %.80s; 'infermesh route list' shows all, 'infermesh route "
	    "set %.80s MODEL=100' makes one",
	    alias, alias);
}

static size_t
arm_index(const struct route_plan *p, const char *model)
{
	size_t i = 0;

	while (i < p->spec.arm_count && strcmp(p->spec.arms[i].model, model) != 0) {
		i++;
	}
	return i;
}

/* Go over to 'plan', whose reference is taken. Arms that stay keep their counts. */
static void
replace_plan(struct route *r, struct route_plan *plan)
{
	struct route_count counts[ROUTE_ARMS_MAX] = { 0 };

	for (size_t i = 0; i < plan->spec.arm_count; i++) {
		size_t was = arm_index(r->plan, plan->spec.arms[i].model);

		if (was < r->plan->spec.arm_count) {
			counts[i] = r->counts[was];
		}
	}
	memcpy(r->counts, counts, sizeof(counts));
	route_plan_unref(r->plan);
	r->plan = plan;
}

void
route_changed(struct route *r, struct route_plan *plan, const struct route_actor *by)
{
	replace_plan(r, plan);
	r->by_operator = true;
	r->changed_us = by->now_us;
	(void)snprintf(r->actor, sizeof(r->actor), "%s", by->name);
}

/* A new route with 'plan', whose reference is taken also on failure. */
static enum im_rc
route_add(struct route_table *t, struct route_plan *plan, struct route **ret, struct im_err *err)
{
	struct route *r;

	if (t->count >= ROUTES_MAX) {
		route_plan_unref(plan);
		(void)err_set(err, IM_ELIMIT, "at most %d routes; reset one first", ROUTES_MAX);
		return IM_ELIMIT;
	}
	r = calloc(1, sizeof(*r));
	if (r == NULL) {
		route_plan_unref(plan);
		route_no_memory(err);
		return IM_ENOMEM;
	}
	r->plan = plan;
	list_push_back(bucket_of(t, plan->spec.model), &r->node);
	t->count++;
	*ret = r;
	return IM_OK;
}

enum im_rc
route_table_configure(struct route_table *t, const struct route_spec *spec, struct im_err *err)
{
	struct route_plan *plan;
	struct route *r;
	enum im_rc rc = route_spec_check(spec, err);

	if (rc != IM_OK) {
		return rc;
	}
	if (route_table_find(t, spec->model) != NULL) {
		return err_set(err, IM_EEXIST, "the route %.80s is there twice", spec->model);
	}
	plan = route_plan_new(spec);
	if (plan == NULL) {
		route_no_memory(err);
		return IM_ENOMEM;
	}
	rc = route_add(t, plan, &r, err);
	if (rc == IM_OK) {
		r->file = plan;
		route_plan_ref(plan);
	}
	return rc;
}

/* What the route will be: what is there, and over it what is said. */
static struct route_spec
merge(const struct route *r, const struct set_route *change)
{
	struct route_spec s = r != NULL ? r->plan->spec
					: (struct route_spec){ .model = change->route.model,
							       .sticky = STICKY_SESSION,
							       .answer = "" };

	if (change->route.arm_count > 0) {
		memcpy(s.arms, change->route.arms, sizeof(s.arms));
		s.arm_count = change->route.arm_count;
	}
	if (change->route.sticky != STICKY_UNSAID) {
		s.sticky = change->route.sticky;
	}
	if (change->set_fallback) {
		memcpy(s.fallback, change->route.fallback, sizeof(s.fallback));
		s.fallback_count = change->route.fallback_count;
	}
	if (change->set_answer) {
		s.answer = change->route.answer;
	}
	return s;
}

enum im_rc
route_table_set(struct route_table *t, const struct set_route *change, const struct route_actor *by,
		struct route **ret, struct im_err *err)
{
	struct route *r = route_table_find(t, change->route.model);
	struct route_spec spec;
	struct route_plan *plan;
	enum im_rc rc = IM_OK;

	if (r == NULL && change->route.arm_count == 0) {
		route_not_found(t, change->route.model, err);
		return IM_ENOTFOUND;
	}
	spec = merge(r, change);
	rc = route_spec_check(&spec, err);
	if (rc != IM_OK) {
		return rc;
	}
	plan = route_plan_new(&spec);
	if (plan == NULL) {
		route_no_memory(err);
		return IM_ENOMEM;
	}
	if (r == NULL) {
		route_plan_ref(plan);
		rc = route_add(t, plan, &r, err);
	}
	if (rc != IM_OK) {
		route_plan_unref(plan);
		return rc;
	}
	route_ramp_ended(r, "replaced by 'route set'");
	route_changed(r, plan, by);
	*ret = r;
	return IM_OK;
}

enum im_rc
route_table_reset(struct route_table *t, const char *alias, const struct route_actor *by,
		  struct route **ret, struct im_err *err)
{
	struct route *r = route_table_find(t, alias);

	if (r == NULL) {
		route_not_found(t, alias, err);
		return IM_ENOTFOUND;
	}
	if (r->file == NULL) {
		route_free(t, r);
		*ret = NULL;
		return IM_OK;
	}
	route_ramp_ended(r, "ended by 'route reset'");
	route_plan_ref(r->file);
	route_changed(r, r->file, by);
	r->by_operator = false;
	*ret = r;
	return IM_OK;
}

void
route_table_count(struct route_table *t, const char *alias, const char *arm, bool failed,
		  uint64_t us)
{
	struct route *r = route_table_find(t, alias);
	size_t at = r != NULL ? arm_index(r->plan, arm) : 0;

	if (r == NULL) {
		return;
	}
	if (at < r->plan->spec.arm_count) {
		r->counts[at].failed += failed;
	}
	if (r->ramp != NULL) {
		ramp_count(r->ramp, strcmp(r->ramp->spec.arm, arm) == 0, failed, us);
	}
}

void
route_show(const struct route *r, uint64_t now_ms, struct route_status *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->route = r->plan->spec;
	ret->by_operator = r->by_operator;
	ret->changed_us = r->changed_us;
	ret->actor = r->actor;
	ret->arm_count = r->plan->spec.arm_count;
	for (size_t i = 0; i < ret->arm_count; i++) {
		ret->arms[i] = (struct arm_status){ r->plan->spec.arms[i].model,
						    r->counts[i].requests, r->counts[i].failed };
	}
	ret->has_ramp = r->ramp != NULL;
	if (r->ramp == NULL) {
		return;
	}
	ramp_show(r->ramp, now_ms, &ret->ramp);
	if (r->before != NULL) {
		memcpy(ret->ramp.before, r->before->spec.arms, sizeof(ret->ramp.before));
		ret->ramp.before_count = r->before->spec.arm_count;
	}
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct route_status *)a)->route.model,
		      ((const struct route_status *)b)->route.model);
}

bool
route_table_list(const struct route_table *t, bool by_operator, uint64_t now_ms,
		 struct arena *arena, struct route_list *ret)
{
	struct route_list list = { .routes =
				       arena_calloc(arena, t->count + 1, sizeof(*list.routes)) };

	if (list.routes == NULL) {
		return false;
	}
	for (size_t i = 0; i < ROUTE_BUCKETS; i++) {
		LIST_FOREACH (&t->buckets[i], r, struct route, node) {
			if (!by_operator || r->by_operator) {
				route_show(r, now_ms, &list.routes[list.count++]);
			}
		}
	}
	qsort(list.routes, list.count, sizeof(*list.routes), by_name);
	*ret = list;
	return true;
}

enum im_rc
route_table_import(struct route_table *t, const struct route_status *kept, uint64_t now_ms,
		   struct im_err *err)
{
	struct set_route all = { .route = kept->route, .set_fallback = true, .set_answer = true };
	struct route_actor by = { kept->actor, kept->changed_us, now_ms };
	struct route *r;
	enum im_rc rc = route_table_set(t, &all, &by, &r, err);

	if (rc == IM_OK && kept->has_ramp) {
		rc = route_ramp_resume(r, &kept->ramp, now_ms, err);
	}
	return rc;
}
