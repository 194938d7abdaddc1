/*
 * daemon/worker_name.h - the name under which a worker announces itself, which no other worker of the mesh may have, and where operators
 * reach it. Pure.
 */
#ifndef DAEMON_WORKER_NAME_H
#define DAEMON_WORKER_NAME_H

#include <stdbool.h>

#include "base/err.h"
#include "daemon/config.h"
#include "net/net.h"

/** Is this a name that a worker may have: 1 to 63 letters, digits, '-', '_' and '.'? */
bool worker_name_is(const char *s);

/**
 * The name of the worker with the entry 'item' of 'workers' (NULL = the demo worker) on the machine 'host': workers[].name,
 * and -HOST behind it where workers[].per_host says so. IM_EINVAL with the remedy when that is no name of a worker;
 * 'ret_name' is untouched then.
 */
IM_MUST_CHECK enum im_rc worker_name(const struct config *item, const char *host,
				     char ret_name[NET_NAME_MAX], struct im_err *err);

#define WORKER_URL_MAX 256

/**
 * Where operators dial the worker 'name' with the entry 'item' (NULL = the demo worker): workers[].operators, or its place in
 * mesh.run_dir. "" = nowhere: it is off, or the worker is an upstream's, which has no models to load.
 */
void worker_operators(const struct config *config, const struct config *item, const char *name,
		      char ret_url[WORKER_URL_MAX]);

#endif
