/*
 * daemon/config_limits.c - checks of limits[] and of where they are kept; called by config_check.c. Pure.
 */
#include "daemon/config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/redis_url.h"

#define MATCH         "limits[].match"
#define NAME_MAX_LEN  256 /* bytes of a caller or tenant, as the router takes them */
#define MATCH_ALLOWED "global, tenant:NAME, tenant:*, key:NAME or key:*"

static bool
is_match(const char *s)
{
	size_t prefix = strncmp(s, "tenant:", 7) == 0 ? 7 : strncmp(s, "key:", 4) == 0 ? 4 : 0;
	size_t n = strlen(s + prefix);

	if (prefix == 0)
		return strcmp(s, "global") == 0;
	/* A star inside a name would be a pattern, which there are not. */
	return strcmp(s + prefix, "*") == 0 ||
	       (n > 0 && n <= NAME_MAX_LEN && strchr(s + prefix, '*') == NULL);
}

static enum im_rc
check_rate(const struct config *l, const char *rate, const char *burst, struct im_err *err)
{
	char why[128];

	if (config_int(l, burst) == 0 || config_int(l, rate) > 0)
		return IM_OK;
	(void)snprintf(why, sizeof(why), "needs %s beside it, which is 0", rate);
	return config_fail_key(l, burst, err, why);
}

static enum im_rc
check_limit(const struct config *c, size_t i, struct im_err *err)
{
	const struct config *l = config_item(c, "limits", i);
	const char *match = config_str(l, MATCH);
	enum im_rc rc;

	if (match == NULL)
		return config_fail_key(l, MATCH, err, "missing, allowed: " MATCH_ALLOWED);
	if (!is_match(match))
		return config_fail_found(l, MATCH, match, err, MATCH_ALLOWED);
	for (size_t k = 0; k < i; k++)
		if (strcmp(config_str(config_item(c, "limits", k), MATCH), match) == 0)
			return config_fail_found(l, MATCH, match, err,
						 "a match that no other limit has");
	if (config_int(l, "limits[].requests_per_minute") == 0 &&
	    config_int(l, "limits[].tokens_per_minute") == 0)
		return config_fail_key(
		    l, MATCH, err,
		    "limits nothing: give requests_per_minute, tokens_per_minute or both");
	rc = check_rate(l, "limits[].requests_per_minute", "limits[].requests_burst", err);
	if (rc == IM_OK)
		rc = check_rate(l, "limits[].tokens_per_minute", "limits[].tokens_burst", err);
	return rc;
}

enum im_rc
config_check_limits(const struct config *c, struct im_err *err)
{
	const char *redis = config_str(c, "router.limits_redis");
	enum im_rc rc = IM_OK;

	if (!config_is_off(redis) && !redis_url_is(redis))
		return config_fail_found(
		    c, "router.limits_redis", redis, err,
		    REDIS_URL_ALLOWED
		    " or off (a password goes to router.limits_redis_password_file)");
	if (config_is_off(redis) && config_str(c, "router.limits_redis_password_file") != NULL)
		return config_fail_key(c, "router.limits_redis_password_file", err,
				       "needs router.limits_redis beside it, which is off");
	for (size_t i = 0; rc == IM_OK && i < config_items(c, "limits"); i++)
		rc = check_limit(c, i, err);
	return rc;
}
