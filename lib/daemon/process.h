/*
 * daemon/process.h - a process that hosts services: signals, start in order, readiness, watchdog, drain with a deadline, stop
 * in reverse order, watchdog over the shutdown. daemon_run() runs one service with it, 'infermesh up --single-process' all.
 */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include "daemon/daemon.h"

struct process_spec {
	const struct service_ops *ops;
	const struct config *item; /* as in service_env */
	const char *name;
	const char *admin_listen; /* NULL or "off": no pages */
};

struct process_params {
	const struct config *config;
	const struct process_spec *
	    specs; /* in the order of starting; ended in reverse, each after the one before is gone */
	size_t count;
	bool single_process;
	unsigned
	    stop_grace_ms; /* patience with services that stop, after the drain deadline; 0 = 10,000 */
	bool
	    stop_on_hangup; /* SIGHUP stops too, instead of being ignored: for a process that lives with its terminal */
	/* Once, on the loop, when every service is ready for the first time, or 15 s after the start with what is missing in
	 * 'why' (else ""). 'address' is where the last one started serves, NULL if it does not say. May be NULL. */
	void (*ready)(void *arg, const char *address, const char *why);
	void *arg;
};

/**
 * Before anything that starts a thread, and before process_run(): block the signals that process_run() takes, ignore
 * SIGPIPE and, unless it stops, SIGHUP, raise the limit of descriptors, make files private (umask).
 */
void process_prepare(bool stop_on_hangup);

/**
 * Start, serve until SIGTERM or SIGINT, drain (mesh.drain_ms for all together), stop. A second signal, or a stop that hangs,
 * ends the process at once with status 1. Returns the exit status: 0, or 1 when something could not start. Once a
 * process, on its main thread. 'params' is used until it returns.
 */
int process_run(const struct process_params *params);

#endif
