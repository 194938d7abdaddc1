/*
 * router/routes.h - the routes of a running router: from the configuration and from what was kept, their ramps, and operators'
 * changes of routes and workers. What a route is and does stands in route_table.h and route_plan.h; here it is made known: to
 * the audit log, to the file that survives a restart, and to whoever asked. Never chooses a model for a request.
 *
 * A change holds at once. Its caller is answered when it is durable, on disk and in the audit log.
 */
#ifndef ROUTER_ROUTES_H
#define ROUTER_ROUTES_H

#include "daemon/daemon.h"
#include "daemon/state_file.h"
#include "router/route_table.h"

struct router;
struct worker_status;

struct routes {
	struct route_table table;
	struct state_file file;
	bool kept;           /* there is a file */
	struct list changes; /* operators who wait */
};

/** Before anybody can announce or ask; the table of workers is there, and gets what operators said of them. IM_EINVAL, IM_ECORRUPT (the text says which file, and what to do), IM_EIO, IM_ENOMEM;
 *  nothing is left behind then. */
IM_MUST_CHECK enum im_rc routes_start(struct router *router, const struct config *config,
				      struct im_err *err);

/** Let ramps go on, unless a change may not be made now. */
void routes_tick(struct router *router, uint64_t now_ms);

/** The router stops: nobody is waited for any more. Before links are closed. */
void routes_close(struct router *router);

/** False while the file is being written: free nothing yet. */
bool routes_closed(const struct router *router);

void routes_done(struct router *router);

/* operator.c: methods for operators. */

/** True if 'req' was one of them; it is answered, now or later. */
bool router_operator_request(struct router *router, const struct link_peer *peer,
			     struct served *served, const struct served_request *req);

/* routes.c, for operator.c: */

/* What has changed, for the audit log. */
struct route_change {
	const char *route;     /* alias, or NULL */
	const char *worker;    /* name, or NULL */
	const char *what;      /* "set", "ramp: 20%", "drain" … */
	const struct buf *now; /* bytes of the new state, for its digest */
	const char *actor;
};

/** A route as a list of that one; empty for NULL, after a reset that removed it. 'alone': only what it says, without counts and
 *  times. */
bool routes_show(const struct route *route, uint64_t now_ms, bool alone, struct buf *ret);

/** Keep what operators changed, write the change to the audit log, and answer 'served' (NULL: nobody asked) with 'reply' when
 *  both are durable. */
void routes_changed(struct router *router, const struct route_change *what, struct served *served,
		    const struct buf *reply);

#endif
