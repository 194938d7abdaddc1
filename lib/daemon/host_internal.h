/*
 * daemon/host_internal.h - what host.c and admin.c share. Not for other rooms.
 */
#ifndef DAEMON_HOST_INTERNAL_H
#define DAEMON_HOST_INTERNAL_H

#include "base/list.h"
#include "daemon/daemon.h"

struct admin;

struct host {
	struct list node; /* in 'hosts' of host.c */
	struct loop *loop;
	const struct service_ops *ops;
	char *name;
	struct service_env env;
	struct net *net;
	void *service;       /* NULL once it has stopped */
	struct admin *admin; /* NULL = no pages */
	struct reporter reporter;
	bool draining;
	bool stopping;   /* ops->stop() was called: no other callback follows */
	bool failed;     /* did not start; closes on its own */
	loop_fn stopped; /* host_stop()'s */
	void *stopped_arg;
};

/* As host_ready() for one host. What does not fit into the bound of 'why' turns buf_ok() false. */
void host_ready_one(const struct host *host, struct buf *why);

/* The pages /metrics, /livez and /readyz of 'host' at 'listen'. IM_EINVAL, IM_EEXIST, IM_EIO, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc admin_open(struct host *host, const char *listen, struct admin **ret_admin,
				    struct im_err *err);
const char *admin_address(const struct admin *admin);
/* NULL is fine. */
void admin_close(struct admin *admin);

#endif
