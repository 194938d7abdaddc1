/*
 * daemon/config_cache.c - checks of where the cache keeps answers; called by config_check.c. Pure.
 */
#include "daemon/config_internal.h"

#include <string.h>

#include "daemon/cache_homes.h"
#include "daemon/redis_url.h"
#include "daemon/s3_url.h"

#define REDIS_NODES_MAX  64
#define REDIS_PREFIX_MAX 64
#define REGION_MAX       64

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

static enum im_rc
check_s3(const struct config *c, struct im_err *err)
{
	const char *url = config_str(c, "cache.l3"), *region = config_str(c, "cache.l3_region");
	bool has_file = config_str(c, "cache.l3_credentials_file") != NULL;
	bool has_env = config_str(c, "cache.l3_credentials_env") != NULL;
	size_t n = strlen(region);

	if (n == 0 || n > REGION_MAX ||
	    strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
		return config_fail_found(c, "cache.l3_region", region, err,
					 "1 to 64 lower-case letters, digits and '-'");
	if (has_file && has_env)
		return config_fail_key(c, "cache.l3_credentials_env", err,
				       "cannot stand beside cache.l3_credentials_file");
	if (config_is_off(url))
		return has_file || has_env
			   ? config_fail_key(c,
					     has_file ? "cache.l3_credentials_file"
						      : "cache.l3_credentials_env",
					     err, "needs cache.l3 beside it, which is off")
			   : IM_OK;
	if (!s3_url_is(url))
		return config_fail_found(c, "cache.l3", url, err, S3_URL_ALLOWED " or off");
	if (!has_file && !has_env)
		return config_fail_key(
		    c, "cache.l3", err,
		    "needs cache.l3_credentials_file or cache.l3_credentials_env beside it");
	if (config_int(c, "cache.l3_ms") >= config_int(c, "router.cache_ms"))
		return config_fail_key(
		    c, "cache.l3_ms", err,
		    "must be below router.cache_ms, or the router does not wait for the object store");
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
	if (strcmp(config_str(c, "cache.store"), "redis") == 0 &&
	    config_strings_len(c, "cache.redis") == 1 &&
	    config_is_off(config_strings_at(c, "cache.redis", 0)))
		return config_fail_key(c, "cache.store", err,
				       "needs cache.redis beside it, which is off");
	if (strcmp(config_str(c, "cache.store"), "disk") == 0 &&
	    config_is_off(config_str(c, "cache.l2_dir")))
		return config_fail_key(c, "cache.store", err,
				       "needs a folder in cache.l2_dir beside it, which is off");
	if ((rc = check_homes(c, err)) != IM_OK || (rc = check_redis(c, err)) != IM_OK)
		return rc;
	return check_s3(c, err);
}
