/*
 * router/policy.h - how one of a model's workers is chosen: the policies and the one door to them. Pure: a policy sees a pool
 * (pool.h), never a worker, and takes nothing: what it picked is busier only when pool_set() says so.
 *
 * Each policy is a file of its own with its own tests. docs/routing.md says which is good for what.
 */
#ifndef ROUTER_POLICY_H
#define ROUTER_POLICY_H

#include "base/prng.h"
#include "router/pool.h"

/* Names as in the configuration, the metrics and the audit log. */
#define POLICY_MAP(X)                                                                              \
	X(POLICY_LEAST_CONNECTIONS, "least_connections")                                           \
	X(POLICY_ROUND_ROBIN, "round_robin")                                                       \
	X(POLICY_SMOOTH_WEIGHTED_ROUND_ROBIN, "smooth_weighted_round_robin")                       \
	X(POLICY_POWER_OF_TWO, "power_of_two")                                                     \
	X(POLICY_PREFIX_AFFINITY, "prefix_affinity")

/* Why a policy picked what it picked. */
#define PICK_REASON_MAP(X)                                                                         \
	X(PICK_NOBODY, "nobody")       /* none has room */                                         \
	X(PICK_CHEAPEST, "cheapest")   /* the least (in flight + 1) / weight of all */             \
	X(PICK_TURN, "turn")           /* it was its turn */                                       \
	X(PICK_OF_TWO, "of_two")       /* the cheaper of two drawn at random */                    \
	X(PICK_ONLY, "only")           /* there was no other */                                    \
	X(PICK_HOME, "home")           /* the conversation's own worker */                         \
	X(PICK_NEXT_HOME, "next_home") /* that one is not usable: the next on the ring */          \
	X(PICK_HOME_BUSY, "home_busy") /* the home is busier than it may be: the cheapest */       \
	X(PICK_NO_HOME, "no_home")     /* nobody near on the ring, or no prefix: the cheapest */   \
	X(PICK_PROBE, "probe")         /* its breaker is half open: workers_health.h */            \
	X(PICK_BACKUP, "backup")       /* no primary is usable; the policy chose among backups */

enum policy {
#define X(name, text) name,
	POLICY_MAP(X)
#undef X
	POLICY_COUNT
};

enum pick_reason {
#define X(name, text) name,
	PICK_REASON_MAP(X)
#undef X
	PICK_REASON_COUNT
};

/** The name; "?" for numbers that are none. */
const char *policy_text(enum policy policy);
const char *pick_reason_text(enum pick_reason reason);

/** The policy called 'text'. POLICY_COUNT: there is none. */
enum policy policy_find(const char *text);

/**
 * The place of the member that 'policy' picks, or POOL_NONE with PICK_NOBODY when none is ready. 'prefix' is the hash of the
 * conversation's beginning, 0 = none (prefix_affinity only); 'prng' is drawn from by power_of_two only.
 */
uint32_t policy_pick(enum policy policy, struct pool *p, uint64_t prefix, struct prng *prng,
		     enum pick_reason *ret_reason);

/* The policies: as policy_pick(), and at least one member is ready. */

/** least_connections.c: the cheapest. */
uint32_t least_connections_pick(const struct pool *p, enum pick_reason *ret_reason);

/** round_robin.c: one after the other by place, whatever their weights and loads. */
uint32_t round_robin_pick(struct pool *p, enum pick_reason *ret_reason);

/** smooth_weighted_round_robin.c: in turn, as often as their weights say, evenly spread; see smooth.h. */
uint32_t smooth_weighted_round_robin_pick(struct pool *p, enum pick_reason *ret_reason);

/** power_of_two.c: the cheaper of two drawn at random. */
uint32_t power_of_two_pick(const struct pool *p, struct prng *prng, enum pick_reason *ret_reason);

/** prefix_affinity.c: the home of 'prefix' unless that is too busy. */
uint32_t prefix_affinity_pick(struct pool *p, uint64_t prefix, enum pick_reason *ret_reason);

#endif
