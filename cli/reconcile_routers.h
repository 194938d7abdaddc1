/*
 * cli/reconcile_routers.h - what the routers of the mesh say that they admitted, for 'infermesh audit reconcile'.
 */
#ifndef CLI_RECONCILE_ROUTERS_H
#define CLI_RECONCILE_ROUTERS_H

#include "audit/reconcile.h"
#include "cli/mesh.h"

#define ROUTERS_MAX 64

struct asked_router {
	const char *address;
	bool reached;
	char why[256];    /* it was not reached, or keeps no log */
	bool counts;      /* it tells the log what it admits: 'is' holds */
	bool pending;     /* records of it were on their way */
	uint64_t dropped; /* records that it gave up (fail-open) */
	struct reconcile_router is;
};

struct asked_routers {
	struct mesh *mesh;
	struct peer *peer[ROUTERS_MAX];
	struct asked_router router[ROUTERS_MAX];
	size_t count;
	size_t reached;
};

/** Dial the routers of router.addresses. One that is not reached is no error. IM_ENOMEM, IM_EIO. */
IM_MUST_CHECK enum im_rc asked_routers_open(struct asked_routers *a, const struct config *config,
					    struct im_err *err);

/** Ask all of them; 'r' is what was read of the log so far. */
void asked_routers_ask(struct asked_routers *a, const struct reconcile *r);

/** 'r' is what was read of the log since: true if all agree. */
bool asked_routers_agree(struct asked_routers *a, const struct reconcile *r);

/** True if nothing was on its way when they were asked: to ask again is of no use. */
bool asked_routers_quiet(const struct asked_routers *a);

/** The router whose present life this is, or NULL. */
const struct asked_router *asked_routers_find(const struct asked_routers *a,
					      const uint8_t reporter[AUDIT_REPORTER_BYTES]);

/** Zero-initialised is fine. */
void asked_routers_close(struct asked_routers *a);

#endif
