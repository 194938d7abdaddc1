/*
 * tests/evidence/audit_daemon.h - the real audit daemon as a child: started in a folder of its own, killed or stopped by its pid.
 */
#ifndef EVIDENCE_AUDIT_DAEMON_H
#define EVIDENCE_AUDIT_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

struct audit_daemon {
	char home[64]; /* the caller's; holds everything */
	char config[88], url[96], dir[88], key[88], log[88];
	pid_t pid;
};

/** Where everything is; writes the configuration: 'publish_ms' and any further lines of its section 'audit', or NULL. */
void audit_daemon_init(struct audit_daemon *d, const char *home, unsigned publish_ms,
		       const char *more);

/** Start bin/infermesh-audit of this build. Returns at once; its url answers soon. */
void audit_daemon_start(struct audit_daemon *d);

/** Wait until it listens. */
void audit_daemon_wait(const struct audit_daemon *d);

/** Kill it. True if it lived until then. */
bool audit_daemon_kill(struct audit_daemon *d);

/** Stop it as an operator does. True if it ended well. */
bool audit_daemon_stop(struct audit_daemon *d);

/** The end of what it logged, on standard error. */
void audit_daemon_show_log(const struct audit_daemon *d);

#endif
