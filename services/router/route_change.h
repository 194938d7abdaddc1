/*
 * router/route_change.h - what route_table.c and route_ramp.c share. Inside them only.
 */
#ifndef ROUTER_ROUTE_CHANGE_H
#define ROUTER_ROUTE_CHANGE_H

#include "router/route_table.h"

/* route_table.c */

/** Go over to 'plan', whose reference is taken, and remember who did it. */
void route_changed(struct route *r, struct route_plan *plan, const struct route_actor *by);

/** Fill 'err' with IM_ENOTFOUND and the nearest name; with IM_ENOMEM. */
void route_not_found(const struct route_table *t, const char *alias, struct im_err *err);
void route_no_memory(struct im_err *err);

/* route_ramp.c */

/** A ramp that runs ends here, and nothing is restored. */
void route_ramp_ended(struct route *r, const char *why);

/** Go on with a ramp that was kept, or show how it ended. IM_ENOMEM. */
IM_MUST_CHECK enum im_rc route_ramp_resume(struct route *r, const struct ramp_status *kept,
					   uint64_t now_ms, struct im_err *err);

#endif
