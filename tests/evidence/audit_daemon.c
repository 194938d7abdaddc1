/*
 * tests/evidence/audit_daemon.c - starting and ending the audit daemon; see audit_daemon.h.
 */
#include "audit_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "evidence.h"

#define SHOWN_BYTES 2000

void
audit_daemon_init(struct audit_daemon *d, const char *home, unsigned publish_ms, const char *more)
{
	FILE *f;

	evidence_copy(d->home, sizeof(d->home), home);
	(void)snprintf(d->config, sizeof(d->config), "%s/infermesh.yaml", home);
	(void)snprintf(d->url, sizeof(d->url), "ipc://%s/audit.ipc", home);
	(void)snprintf(d->dir, sizeof(d->dir), "%s/log", home);
	(void)snprintf(d->key, sizeof(d->key), "%s/key", home);
	(void)snprintf(d->log, sizeof(d->log), "%s/daemon.log", home);
	d->pid = -1;
	f = fopen(d->config, "we");
	if (f == NULL)
		evidence_die("cannot write %s", d->config);
	(void)fprintf(f,
		      "mesh:\n  state_dir: %s\n  run_dir: %s\naudit:\n  listen: %s\n  admin: off\n"
		      "  dir: %s\n  key_file: %s\n  publish_ms: %ums\n%s",
		      home, home, d->url, d->dir, d->key, publish_ms, more != NULL ? more : "");
	if (fclose(f) != 0)
		evidence_die("cannot write %s", d->config);
}

void
audit_daemon_start(struct audit_daemon *d)
{
	char program[512], option[] = "--config";
	char *argv[] = { program, option, d->config, NULL };
	posix_spawn_file_actions_t actions;
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 32);

	/* BUILD/evidence/ME, BUILD/bin/infermesh-audit */
	for (int up = 0; n > 0 && up < 2; up += program[n] == '/')
		n--;
	if (n <= 0)
		evidence_die("cannot find this program");
	(void)snprintf(program + n, sizeof(program) - (size_t)n, "/bin/infermesh-audit");
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, d->log,
					       O_WRONLY | O_CREAT | O_APPEND, 0600);
	(void)posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	(void)unlink(
	    d->url +
	    strlen("ipc://")); /* of one that was killed: audit_daemon_wait() looks for it */
	errno = posix_spawn(&d->pid, program, &actions, NULL, argv, environ);
	if (errno != 0)
		evidence_die("cannot start %s: %m", program);
	(void)posix_spawn_file_actions_destroy(&actions);
}

void
audit_daemon_wait(const struct audit_daemon *d)
{
	for (int tries = 0; access(d->url + strlen("ipc://"), F_OK) != 0; tries++) {
		if (tries == 30000)
			evidence_die("the audit daemon does not start: see %s", d->log);
		(void)usleep(1000);
	}
}

static int
end(struct audit_daemon *d, int signal)
{
	int status = 0;

	if (kill(d->pid, signal) != 0 || waitpid(d->pid, &status, 0) != d->pid)
		evidence_die("cannot end the daemon: %m");
	d->pid = -1;
	return status;
}

bool
audit_daemon_kill(struct audit_daemon *d)
{
	int status = end(d, SIGKILL);

	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

bool
audit_daemon_stop(struct audit_daemon *d)
{
	int status = end(d, SIGTERM);

	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void
audit_daemon_show_log(const struct audit_daemon *d)
{
	char text[SHOWN_BYTES + 1];
	FILE *f = fopen(d->log, "re");
	size_t n;

	if (f == NULL)
		return;
	if (fseek(f, -SHOWN_BYTES, SEEK_END) != 0)
		rewind(f);
	n = fread(text, 1, SHOWN_BYTES, f);
	text[n] = '\0';
	(void)fclose(f);
	(void)fprintf(stderr, "%s\n", text);
}
