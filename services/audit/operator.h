/*
 * audit/operator.h - what operators may ask of a running log, and what is done by itself as time passes; everything here runs on the commit thread, between two frames, and
 * is answered when it is durable. Never answers anybody who is no operator.
 */
#ifndef AUDIT_OPERATOR_H
#define AUDIT_OPERATOR_H

#include "audit/committer.h"
#include "audit/lifecycle.h"
#include "net/net.h"

/** Answer 'req', now or later. False: the method is none of these. On the loop. */
bool operator_request(struct committer *c, const struct link_peer *peer, struct served *served,
		      const struct served_request *req);

/* Entries that are older than audit.retention_days are deleted: at the start, and every hour. */
struct retention {
	struct loop *loop;           /* NULL = not started */
	struct committer *committer; /* set it before the loop goes on */
	struct loop_timer timer;
	uint64_t days; /* 0 = all are kept for ever */
	uint64_t before_us;
	struct audit_pruned pruned;
	struct commit_job job;
	bool busy;
};

/** On the loop. IM_ENOMEM. 'r' must live until the committer has stopped. */
IM_MUST_CHECK enum im_rc retention_start(struct retention *r, struct loop *loop, uint64_t days,
					 struct im_err *err);

/** No more new looks. Zero-initialised is fine. */
void retention_stop(struct retention *r);

#endif
