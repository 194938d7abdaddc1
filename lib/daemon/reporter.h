/*
 * daemon/reporter.h - what changes the behaviour of a daemon goes into the audit log: its configuration when it starts, and what it
 * takes up later. Reports are kept and sent again until they are durable; the audit service recognises one that it has. A daemon
 * works the same whether they arrive or not. The router has its own way to the log (router/audit_client.h) and only fills them in here.
 *
 * Threads: on the loop.
 */
#ifndef DAEMON_REPORTER_H
#define DAEMON_REPORTER_H

#include "base/buf.h"
#include "base/loop.h"
#include "daemon/config.h"
#include "net/net.h"
#include "wire/mesh.h"

#define REPORTS_MAX     64 /* that wait; one more is lost, with a message in the daemon's log */
#define REPORT_OPERATOR "operators" /* the tenant of actors, as in a ROUTE_CHANGE */

#define REPORT_START "start" /* a configuration that holds from now on */
#define REPORT_KEYS  "keys"  /* a file of API keys that does */

/* A CONFIG record to be: which daemon, what (routing.worker, routing.reason), its digest, and who answers for it. */
struct config_change {
	struct audit_event event; /* its caller is 'actor' */
	char actor[32];
};

/** Fill in 'ret', which event.caller points into, so do not copy it. 'daemon' and 'what' must live as long. 'uid': who owns
 *  the file, and so has made the change or let it be made. */
void config_change_fill(struct config_change *ret, const char *daemon, const char *what,
			const uint8_t digest[32], uint32_t uid);

/** The report of a daemon that starts with 'config': the owner of the file; without a file the user that the daemon runs as. */
void config_change_start(struct config_change *ret, const char *daemon,
			 const struct config *config);

struct reporter {
	struct loop *loop;
	struct net *net;
	const char *url; /* NULL: there is no audit service, reports are forgotten */
	uint8_t id[AUDIT_REPORTER_BYTES];
	struct endpoint *ep; /* only while something waits */
	struct link *link;
	struct call *call;
	size_t sending; /* of the first reports, in 'call' */
	struct buf report[REPORTS_MAX];
	size_t count;
	uint32_t backoff_ms;
	bool told; /* that they do not get through */
	struct loop_timer retry;
	struct loop_task hang_up;
};

/** 'url' must outlive 'r'; NULL: no reports. */
void reporter_init(struct reporter *r, struct loop *loop, struct net *net, const char *url);

/** Send 'report' as soon as that is possible. 'r' NULL is fine: no reports. */
void reporter_submit(struct reporter *r, const struct config_change *report);

/** Forget what waits and hang up. 'r' must live until its net is closed. */
void reporter_stop(struct reporter *r);

#endif
