/*
 * router/cache_rules.c - what may be cached; see cache_rules.h.
 */
#include "router/cache_rules.h"

#include <stdlib.h>
#include <string.h>

#include "router/cache_key.h"

static bool
load_rule(const struct config *config, size_t i, struct cache_rule *ret)
{
	const char *name, *what;

	config_map_at(config, "router.cache_rules", i, &name, &what);
	if (strcmp(what, "off") == 0)
		ret->max_temperature = CACHE_OFF;
	else if (strcmp(what, "all") == 0)
		ret->max_temperature = CACHE_ALL;
	else
		ret->max_temperature = strtod(what, NULL); /* checked with the configuration */
	ret->name = strdup(name);
	return ret->name != NULL;
}

enum im_rc
cache_rules_load(struct cache_rules *r, const struct config *config, struct im_err *err)
{
	size_t count = config_map_len(config, "router.cache_rules");

	r->otherwise = config_double(config, "router.cache_temperature");
	r->count = 0;
	r->rules = calloc(count + 1, sizeof(*r->rules));
	while (r->rules != NULL && r->count < count &&
	       load_rule(config, r->count, &r->rules[r->count]))
		r->count++;
	if (r->rules != NULL && r->count == count)
		return IM_OK;
	cache_rules_done(r);
	return err_set(err, IM_ENOMEM, "no memory for the rules of the cache");
}

void
cache_rules_done(struct cache_rules *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->rules[i].name);
	free(r->rules);
	*r = (struct cache_rules){ 0 };
}

double
cache_rules_of(const struct cache_rules *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->rules[i].name, name) == 0)
			return r->rules[i].max_temperature;
	return r->otherwise;
}
