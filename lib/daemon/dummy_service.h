/*
 * daemon/dummy_service.h - a service for the tests of this room that does nothing, on request wrongly.
 */
#ifndef DAEMON_DUMMY_SERVICE_H
#define DAEMON_DUMMY_SERVICE_H

#include "daemon/daemon.h"

/* How the services of the test behave; set before they start. */
struct dummy_plan {
	bool fail_start;  /* start returns an error */
	bool never_ready; /* ready says "no worker" */
	unsigned reasons; /* ready says so many of them */
	bool never_drained;
	bool stop_late;      /* 'stopped' comes a little later, from a timer */
	bool stop_never;     /* 'stopped' never comes */
	bool stop_blocks;    /* stop does not return */
	unsigned busy_polls; /* 'drained' is false so many times */
};

extern struct dummy_plan dummy_plan;

/* What happened, as letters: s(tart) d(rain) e(nd) with the first letter of the instance: "sa sb db eb da ea". */
extern char dummy_story[256];

/* Four roles, so that several can run in one process. */
extern const struct service_ops dummy_router, dummy_cache, dummy_audit, dummy_inference;

#endif
