/*
 * daemon/worker_name.c - see worker_name.h.
 */
#include "daemon/worker_name.h"

#include <stdio.h>
#include <string.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

bool
worker_name_is(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n < NET_NAME_MAX && strspn(s, LETTERS) == n;
}

enum im_rc
worker_name(const struct config *item, const char *host, char ret_name[NET_NAME_MAX],
	    struct im_err *err)
{
	const char *name = item != NULL ? config_str(item, "workers[].name") : "demo";

	if (item == NULL || !config_bool(item, "workers[].per_host")) {
		(void)snprintf(ret_name, NET_NAME_MAX, "%s", name);
		return IM_OK;
	}
	if (host[0] == '\0' || host[strspn(host, LETTERS)] != '\0')
		return err_set(
		    err, IM_EINVAL,
		    "workers[].per_host: this machine is called \"%.64s\", and a worker's name has letters, digits, '-', '_' "
		    "and '.' only; rename the machine, or give each worker an entry of its own",
		    host);
	if (strlen(name) + 1 + strlen(host) >= NET_NAME_MAX)
		return err_set(
		    err, IM_EINVAL,
		    "workers[].per_host: %s-%.64s is longer than %d bytes; shorten workers[].name",
		    name, host, NET_NAME_MAX - 1);
	(void)snprintf(ret_name, NET_NAME_MAX, "%s-%s", name, host);
	return IM_OK;
}

void
worker_operators(const struct config *config, const struct config *item, const char *name,
		 char ret_url[WORKER_URL_MAX])
{
	const char *url = item != NULL ? config_str(item, "workers[].operators") : "auto";

	ret_url[0] = '\0';
	if (strcmp(url, "off") == 0 ||
	    (item != NULL && strcmp(config_str(item, "workers[].backend"), "local") != 0))
		return;
	if (strcmp(url, "auto") != 0)
		(void)snprintf(ret_url, WORKER_URL_MAX, "%s", url);
	else if (snprintf(ret_url, WORKER_URL_MAX, "ipc://%s/worker-%s.ipc",
			  config_str(config, "mesh.run_dir"), name) >= WORKER_URL_MAX)
		ret_url[0] = '\0';
}
