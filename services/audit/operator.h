/*
 * audit/operator.h - what operators may ask of a running log; everything here runs on the commit thread, between two frames, and
 * is answered when it is durable. Never answers anybody who is no operator.
 */
#ifndef AUDIT_OPERATOR_H
#define AUDIT_OPERATOR_H

#include "audit/committer.h"
#include "net/net.h"

/** Answer 'req', now or later. False: the method is none of these. On the loop. */
bool operator_request(struct committer *c, const struct link_peer *peer, struct served *served,
		      const struct served_request *req);

#endif
