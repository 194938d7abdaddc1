/*
 * router/route_plan.h - what one route says: an alias, the models that share its requests, and what answers when they cannot.
 * Never changes once made: a request keeps the plan that it began with, whatever an operator does meanwhile. Pure.
 *
 * Who goes where: weighted rendezvous hashing (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", 2005). A
 * key and an arm make a number u from 0 to 1, and the arm with the least -ln(u) / weight gets the key. So each
 * arm has its share by weight, a key stays where it is while the weights do, and when one arm's share grows only keys
 * that go to it move: nobody else changes place. No state is kept; several routers decide the same.
 */
#ifndef ROUTER_ROUTE_PLAN_H
#define ROUTER_ROUTE_PLAN_H

#include "wire/operator.h"

struct route_plan {
	uint32_t refs;
	struct route_spec spec; /* its strings lie behind the struct */
	uint64_t alias_hash;
	uint64_t arm_hash[ROUTE_ARMS_MAX];
};

/** A copy of 'spec', which has passed route_spec_check(), with one reference. NULL without memory. */
struct route_plan *route_plan_new(const struct route_spec *spec);

void route_plan_ref(struct route_plan *p);
void route_plan_unref(struct route_plan *p); /* NULL is fine */

/** Who a request counts as, for its route: 'who' of 'tenant' ("session" and "caller" are different sorts of who). */
uint64_t route_plan_key(const struct route_plan *p, char sort, const char *tenant, const char *who);

/** The arm of 'key': an index into spec.arms. Costs a logarithm an arm. */
size_t route_plan_choose(const struct route_plan *p, uint64_t key);

/** A hash of a name, the same on every machine: FNV-1a, then the finisher of splitmix64. */
uint64_t route_hash(const char *text);

#endif
