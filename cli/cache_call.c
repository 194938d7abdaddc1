/*
 * cli/cache_call.c - see cache_call.h.
 */
#include "cli/cache_call.h"

#include <string.h>

#include "cli/mesh.h"
#include "cli/user.h"
#include "daemon/cache_homes.h"

#define DIAL_TIMEOUT_MS 5000
#define CALL_TIMEOUT_MS 600000 /* a purge goes through every tier */

enum im_rc
cache_daemons_open(struct config *config, struct cache_daemons *ret, struct im_err *err)
{
	struct cache_daemons d = { .config = config };
	char name[NET_NAME_MAX];
	enum im_rc rc;

	d.count = config_strings_len(config, "cache.addresses");
	user_name(name, sizeof(name));
	if (strcmp(cache_daemons_address(&d, 0), "off") == 0)
		rc = err_set(err, IM_EUNAVAILABLE, "there is no cache: cache.addresses is off");
	else
		rc = mesh_open(config, "operator", name, &d.mesh, err);
	if (rc == IM_OK)
		*ret = d;
	else
		config_free(config);
	return rc;
}

void
cache_daemons_close(struct cache_daemons *d)
{
	mesh_close(d->mesh);
	config_free(d->config);
}

const char *
cache_daemons_address(const struct cache_daemons *d, size_t i)
{
	return config_strings_at(d->config, "cache.addresses", i);
}

enum im_rc
cache_daemons_home(const struct cache_daemons *d, const uint8_t *key, size_t *ret,
		   struct im_err *err)
{
	const char *addresses[CACHE_HOMES_MAX];
	struct cache_homes homes;

	for (size_t i = 0; i < d->count; i++)
		addresses[i] = cache_daemons_address(d, i);
	if (!cache_homes_init(&homes, addresses, d->count))
		return err_set(err, IM_ENOMEM, "no memory for the addresses of the cache");
	*ret = cache_homes_find(&homes, key);
	cache_homes_done(&homes);
	return IM_OK;
}

enum im_rc
cache_daemons_ask(struct cache_daemons *d, size_t i, const char *method, const struct buf *body,
		  struct buf *reply, struct im_err *err)
{
	struct peer *cache;
	enum im_rc rc =
	    mesh_dial(d->mesh, cache_daemons_address(d, i), DIAL_TIMEOUT_MS, &cache, err);

	if (rc == IM_EUNAVAILABLE)
		err_prefix(err, "the cache is not reached (cache.addresses); start the mesh with "
				"'infermesh up'");
	return rc == IM_OK ? mesh_call(cache, method, body, CALL_TIMEOUT_MS, reply, err) : rc;
}
