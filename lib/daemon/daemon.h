/*
 * daemon/daemon.h - what every daemon has in common: arguments, configuration, logging, signals, readiness, drain with a
 * deadline, watchdog, and the pages /metrics, /livez and /readyz. A service supplies struct service_ops and no more.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "daemon/config.h"
#include "daemon/metrics.h"
#include "daemon/reporter.h"
#include "net/net.h"

#define INFERMESH_VERSION "0.1.0"

/* What a service gets to live on. Valid until 'stop' returned. */
struct service_env {
	struct loop *loop;
	struct net *net;             /* this service's own: role and name are set */
	const struct config *config; /* the whole file */
	const struct config *item;   /* inference: its entry of 'workers'; else NULL */
	const char *name;            /* instance, such as "router" or the worker's name */
	struct reporter *reporter;   /* where changes are told; NULL = nowhere */
	bool
	    single_process; /* inproc:// links: use mesh_address(), never config addresses directly */
};

/* All callbacks run on the loop. */
struct service_ops {
	const char *
	    name; /* router, inference, cache, audit, gateway, witness: the role, and the section of the configuration */
	const char *summary; /* for --help, one sentence */
	const char *
	    program; /* "audit --witness": what follows "infermesh-" on a command line; NULL = 'name' */
	const char *also; /* a further line of the synopsis, or NULL */
	bool reports;     /* host.c tells the audit log its configuration when it has started */
	/* Open sockets, start threads; never blocks for long. On failure nothing is left behind and the daemon ends. */
	enum im_rc (*start)(const struct service_env *env, void **ret_service, struct im_err *err);
	/* Take no new work; finish what is in flight. */
	void (*drain)(void *service);
	/* Nothing is in flight any more. Asked every few ms after 'drain', at most until mesh.drain_ms. */
	bool (*drained)(const void *service);
	/* End everything at once (cancel what is left), without waiting. When nothing is left behind, not even a thread, call
	 * 'stopped' on the loop (at once, if so) and free 'service' before. net is closed by the daemon after this. */
	void (*stop)(void *service, loop_fn stopped, void *arg);
	/* Append to 'why' what is missing, in a few words; nothing = ready. NULL = ready once started. */
	void (*ready)(const void *service, struct buf *why);
	void (*metrics)(const void *service, struct metrics_page *page);
	/* Where it serves, with the real port; valid until stop. NULL = as configured. For the log and 'infermesh up'. */
	const char *(*address)(const void *service);
};

/**
 * The whole main() of a daemon: --config, --check, --print-config, --name, --check-health, --help, --version; then it
 * serves until SIGTERM or SIGINT, drains and stops. Says READY=1 and "listening" when started. Returns the exit status:
 * 0, 1 (could not start or run), 2 (wrong arguments or configuration).
 */
int daemon_run(int argc, char **argv, const struct service_ops *ops);

/** Where the pages of a service are by the configuration: an address, "off", or NULL for the gateway, which serves them
 *  itself. 'item' as in service_env. */
const char *daemon_admin_key(const struct config *config, const struct config *item,
			     const struct service_ops *ops);

/** worker_name() on this machine. IM_EINVAL, IM_EIO. */
IM_MUST_CHECK enum im_rc daemon_worker_name(const struct config *item, char ret_name[NET_NAME_MAX],
					    struct im_err *err);

/* One service on a given loop: daemon_run() and 'infermesh up --single-process' are made of it. */
struct host;

/**
 * On the loop. When it fails, what was begun closes on its own: keep the loop running until host_any() is false.
 * 'item' as in service_env. 'admin_listen' NULL: no pages (the gateway serves them itself, and in the
 * single-process mode they are the gateway's too).
 */
IM_MUST_CHECK enum im_rc host_start(struct loop *loop, const struct config *config,
				    const struct config *item, const struct service_ops *ops,
				    const char *name, bool single_process, const char *admin_listen,
				    struct host **ret_host, struct im_err *err);

void host_drain(struct host *host);
bool host_drained(const struct host *host);

/** Stop and free; 'stopped' is called on the loop when nothing is left. */
void host_stop(struct host *host, loop_fn stopped, void *arg);

/** Where its pages are, with the real port, or "off". Valid while the host is. */
const char *host_admin_address(const struct host *host);

/** Where its service serves, or NULL if it does not say. Valid while the host is. */
const char *host_address(const struct host *host);

/** True while any host of this process is there, also one that failed to start and still closes its links. */
bool host_any(void);

/** The page of one host, or of every host of this process when 'host' is NULL. */
void host_metrics(const struct host *host, struct metrics_page *page);

/** Appends what keeps any host of this process from being ready; nothing, and buf_ok(), = ready. */
void host_ready(struct buf *why);

/**
 * Where the daemon 'role' ("router", "cache", "audit") is reached: its configured address, or "inproc://ROLE" in the
 * single-process mode. NULL: switched off in the configuration (address "off").
 */
const char *mesh_address(const struct service_env *env, const char *role);

/** Where cache daemon number 'i' is reached; NULL: there are no more. With several the single process too dials them as configured: one
 *  of them may be its own. */
const char *mesh_cache_address(const struct service_env *env, size_t i);

/** Set up the log as log.level and log.format say. 'service' is who logs. Call before any thread. */
void daemon_log_setup(const struct config *config, const char *service);

#endif
