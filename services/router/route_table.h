/*
 * router/route_table.h - all routes of one router: as the configuration file says, as operators changed them, and the ramps
 * that run on them. Pure: time is an argument, and what must be told to the log or kept on disk is said by a callback.
 *
 * An operator's change holds until it is reset, also after a restart: the routes that operators changed are exported,
 * kept by somebody else (routes.c) and imported at the next start, after the configuration.
 */
#ifndef ROUTER_ROUTE_TABLE_H
#define ROUTER_ROUTE_TABLE_H

#include "base/list.h"
#include "router/ramp.h"
#include "router/route_plan.h"

#define ROUTE_BUCKETS   256
#define ROUTE_ACTOR_MAX 80 /* bytes of who changed it */

struct route {
	struct list node; /* in a bucket */
	struct route_plan *plan;
	struct route_plan *file; /* as the configuration says; NULL = it has no such route */
	bool by_operator;
	uint64_t changed_us; /* since 1970 */
	char actor[ROUTE_ACTOR_MAX + 1];
	struct route_count {
		uint64_t requests, failed; /* admitted for this arm; of those that have ended */
	} counts[ROUTE_ARMS_MAX];          /* in the order of the plan's arms */
	struct ramp *ramp;                 /* the present or the last one; NULL = none yet */
	struct route_plan *before; /* what a rollback of 'ramp' restores; NULL when it has ended */
};

struct route_table {
	struct list buckets[ROUTE_BUCKETS];
	size_t count;
};

void route_table_init(struct route_table *t);
void route_table_done(struct route_table *t);

/** A route of the configuration, which has no other of this name. IM_EINVAL, IM_EEXIST, IM_ELIMIT, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc route_table_configure(struct route_table *t, const struct route_spec *spec,
					       struct im_err *err);

/** The route of 'alias', or NULL. */
struct route *route_table_find(const struct route_table *t, const char *alias);

/* Who changes something, and when. */
struct route_actor {
	const char *name;
	uint64_t now_us; /* since 1970 */
	uint64_t now_ms; /* CLOCK_MONOTONIC */
};

/**
 * Set the weights, and what else 'change' says, of a route that may be new. It ends a ramp of this route. IM_EINVAL (names
 * the member), IM_ENOTFOUND (new, but without arms), IM_ELIMIT, IM_ENOMEM; on failure nothing has changed.
 */
IM_MUST_CHECK enum im_rc route_table_set(struct route_table *t, const struct set_route *change,
					 const struct route_actor *by, struct route **ret,
					 struct im_err *err);

/** Back to what the configuration says; '*ret' is NULL if that has no such route. IM_ENOTFOUND names the nearest. */
IM_MUST_CHECK enum im_rc route_table_reset(struct route_table *t, const char *alias,
					   const struct route_actor *by, struct route **ret,
					   struct im_err *err);

/** Begin a ramp. IM_ENOTFOUND, IM_EEXIST (one runs), IM_EINVAL (there is nothing to take traffic from, or the arm has all
 *  of it), IM_ENOMEM. */
IM_MUST_CHECK enum im_rc route_table_ramp(struct route_table *t, const struct ramp_route *what,
					  const struct route_actor *by, struct route **ret,
					  struct im_err *err);

/** End the ramp and restore what was before. IM_ENOTFOUND (no route, no ramp), IM_ENOMEM. */
IM_MUST_CHECK enum im_rc route_table_abort(struct route_table *t, const char *alias,
					   const struct route_actor *by, struct route **ret,
					   struct im_err *err);

/** A request of 'alias' that was given to 'arm' has ended after 'us'. Routes and arms that are no more are fine. */
void route_table_count(struct route_table *t, const char *alias, const char *arm, bool failed,
		       uint64_t us);

/* Told of each step that a ramp made by itself. 'what': "ramp: 20%", "ramp rolled back: …" */
typedef void (*route_moved_fn)(void *user, struct route *route, const char *what);

/** Let every ramp go on. Once a tick. 'now_us' since 1970, 'now_ms' CLOCK_MONOTONIC. */
void route_table_tick(struct route_table *t, uint64_t now_us, uint64_t now_ms, route_moved_fn moved,
		      void *user);

/** One route as a message: strings point into it. 'now_ms' for the age of a step. */
void route_show(const struct route *r, uint64_t now_ms, struct route_status *ret);

/** All routes by name, or with 'by_operator' only those that must be kept. The array is in 'arena'; false without memory. */
IM_MUST_CHECK bool route_table_list(const struct route_table *t, bool by_operator, uint64_t now_ms,
				    struct arena *arena, struct route_list *ret);

/** Take a route that was kept, over the configuration's. A ramp that ran goes on with the step that it was at. IM_ELIMIT,
 *  IM_ENOMEM. */
IM_MUST_CHECK enum im_rc route_table_import(struct route_table *t, const struct route_status *kept,
					    uint64_t now_ms, struct im_err *err);

#endif
