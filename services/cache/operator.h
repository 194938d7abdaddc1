/*
 * cache/operator.h - what operators may ask of the cache and nobody else: how its tiers do, to look at an entry, to purge.
 * A purge is told to the audit log (audited.h).
 */
#ifndef CACHE_OPERATOR_H
#define CACHE_OPERATOR_H

#include "cache/chain.h"
#include "daemon/reporter.h"
#include "net/net.h"

struct cache_operator {
	struct chain *chain;
	struct reporter *reporter; /* NULL: there is no log */
	struct list asked;         /* on their way */
	struct buf reply;
};

void cache_operator_init(struct cache_operator *o, struct chain *chain, struct reporter *reporter);

/** True if 'req' is for an operator's method; it is answered then, now or later. */
bool cache_operator_request(struct cache_operator *o, const struct link_peer *peer,
			    struct served *served, const struct served_request *req);

/** True if nobody waits for an answer. */
bool cache_operator_idle(const struct cache_operator *o);

/** Answer whoever waits, before the chain is stopped. */
void cache_operator_stop(struct cache_operator *o);

/** After it has stopped. */
void cache_operator_done(struct cache_operator *o);

#endif
