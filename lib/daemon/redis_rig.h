/*
 * daemon/redis_rig.h - for tests: a real redis-server on a free port of this host, without files unless the test asks for some, which a test may stop, freeze, kill
 * and ask. Not part of any program.
 */
#ifndef DAEMON_REDIS_RIG_H
#define DAEMON_REDIS_RIG_H

#include <stdint.h>
#include <sys/types.h>

struct redis_rig {
	pid_t pid; /* 0 = not running */
	int port;
	char url[48];
	const char *password; /* NULL = none */
	/* Between redis_rig_reserve() and redis_rig_up() a test may set: */
	const char *const *more; /* further arguments, NULL at the end */
	char dir[64];            /* its working folder; "" = ours */
};

/** Take a free port, start a server there and wait until it answers. Fails the test if there is none. */
void redis_rig_start(struct redis_rig *r, const char *password);

/** A port where nobody listens. */
void redis_rig_reserve(struct redis_rig *r);

/** Start it (again) at its port. */
void redis_rig_up(struct redis_rig *r);

/** SIGKILL, and wait for its end. Does nothing if it is not running. */
void redis_rig_kill(struct redis_rig *r);

/** SIGSTOP and SIGCONT. */
void redis_rig_freeze(struct redis_rig *r);
void redis_rig_thaw(struct redis_rig *r);

/** Send one command of database 'db' and wait; its integer reply, or the number that its text is; INT64_MIN for nil. */
int64_t redis_rig_ask(struct redis_rig *r, int db, const char *command);

#endif
