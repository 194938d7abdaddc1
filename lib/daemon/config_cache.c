/*
 * daemon/config_cache.c - checks of where the cache keeps answers; called by config_check.c. Pure.
 */
#include "daemon/config_internal.h"

#include <string.h>

#include "daemon/cache_homes.h"
#include "daemon/redis_url.h"

#define REDIS_NODES_MAX  64
#define REDIS_PREFIX_MAX 64

static enum im_rc
check_redis(const struct config *c, struct im_err *err)
{
	size_t n = config_strings_len(c, "cache.redis");
	bool off = n == 1 && config_is_off(config_strings_at(c, "cache.redis", 0));

	if (n == 0 || n > REDIS_NODES_MAX)
		return config_fail_key(
		    c, "cache.redis", err,
		    "allowed: 1 to 64 addresses; the nodes of a cluster name the others");
	for (size_t i = 0; !off && i < n; i++)
		if (!redis_url_is(config_strings_at(c, "cache.redis", i)))
			return config_fail_found(
			    c, "cache.redis", config_strings_at(c, "cache.redis", i), err,
			    REDIS_URL_ALLOWED
			    " or off (a password goes to cache.redis_password_file)");
	if (off && config_str(c, "cache.redis_password_file") != NULL)
		return config_fail_key(c, "cache.redis_password_file", err,
				       "needs cache.redis beside it, which is off");
	return IM_OK;
}

/* One that stands there twice would have two shares. */
static enum im_rc
check_homes(const struct config *c, struct im_err *err)
{
	static const char path[] = "cache.addresses";
	size_t n = config_strings_len(c, path);

	if (n > CACHE_HOMES_MAX)
		return config_fail_key(c, path, err, "allowed: at most 64 addresses");
	for (size_t i = 1; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(config_strings_at(c, path, i), config_strings_at(c, path, k)) ==
			    0)
				return config_fail_found(c, path, config_strings_at(c, path, i),
							 err, "each address once");
	return IM_OK;
}

enum im_rc
config_check_cache(const struct config *c, struct im_err *err)
{
	const char *prefix = config_str(c, "cache.redis_prefix");
	size_t n = strlen(prefix);
	enum im_rc rc;

	/* Nothing that a pattern of SCAN or a cluster's slots give a meaning to. */
	if (n == 0 || n > REDIS_PREFIX_MAX ||
	    strspn(prefix, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/") !=
		n)
		return config_fail_found(c, "cache.redis_prefix", prefix, err,
					 "1 to 64 letters, digits, '-', '_', '.', ':' and '/'");
	if (config_str(c, "cache.l2_dir")[0] == '\0')
		return config_fail_found(c, "cache.l2_dir", "", err, "a folder, or off");
	rc = check_homes(c, err);
	return rc == IM_OK ? check_redis(c, err) : rc;
}
