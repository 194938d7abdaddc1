/*
 * router/cache_rules.h - what may be cached of which model or route: the rules of the configuration. Pure but for reading the
 * configuration once.
 */
#ifndef ROUTER_CACHE_RULES_H
#define ROUTER_CACHE_RULES_H

#include "daemon/config.h"

struct cache_rule {
	char *name;             /* the model or alias that is asked for */
	double max_temperature; /* or CACHE_OFF, CACHE_ALL of cache_key.h */
};

struct cache_rules {
	double otherwise; /* router.cache_temperature */
	struct cache_rule *rules;
	size_t count;
};

/** Read router.cache_temperature and router.cache_rules. IM_OK or IM_ENOMEM: then there are no rules. */
IM_MUST_CHECK enum im_rc cache_rules_load(struct cache_rules *r, const struct config *config,
					  struct im_err *err);
void cache_rules_done(struct cache_rules *r);

/** Up to which temperature answers are cached when 'name' is asked for. */
double cache_rules_of(const struct cache_rules *r, const char *name);

#endif
