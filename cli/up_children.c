/*
 * cli/up_children.c - 'infermesh up' as a supervisor: one process a daemon, restarted when it dies, stopped in order. Readiness
 * comes by the protocol of sd_notify. Never touches nng: its processes fork.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/child.h"
#include "cli/command.h"
#include "cli/notify.h"
#include "cli/spawn.h"
#include "cli/up.h"
#include "daemon/health.h"
#include "daemon/manager.h"

#define ECHO_MS            250
#define HEALTH_EVERY_MS    100
#define HEALTH_TIMEOUT_MS  500
#define HEALTH_PATIENCE_MS 15000
#define STOP_GRACE_MS      12000 /* a daemon's own watchdog bites after 10 s */

/* In the order of stopping. */
enum stage {
	STAGE_GATEWAY,
	STAGE_ROUTER,
	STAGE_INFERENCE,
	STAGE_CACHE,
	STAGE_AUDIT,
	STAGE_END,
};

static const char *const stage_role[] = { "gateway", "router", "inference", "cache", "audit" };

struct daemon {
	struct child child;
	enum stage stage;
	const char *name;   /* role or worker */
	const char *worker; /* --name; NULL = none */
	pid_t pid;
	char why[512]; /* it could not start, as it said */
};

struct supervisor {
	const struct up *up;
	struct daemon *daemons;
	size_t count;
	int signal_fd;
	struct notify *notify;
	char address[300]; /* of the gateway, as it said */
	bool announced;    /* the banner was printed */
	uint64_t started_ms, health_at_ms;
	bool stopping;
	enum stage stage; /* which one is stopping */
	uint64_t stage_until_ms;
	unsigned signals;
	uint64_t signalled_ms;
	int status;
};

static struct daemon *
daemon_of(struct supervisor *s, pid_t pid)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->daemons[i].pid == pid && child_alive(&s->daemons[i].child))
			return &s->daemons[i];
	return NULL;
}

static void
start_daemon(struct supervisor *s, struct daemon *d)
{
	struct im_err err;

	child_started(&d->child, clock_mono_ms());
	if (spawn_daemon(stage_role[d->stage], s->up->config_file, d->worker,
			 notify_address(s->notify), &d->pid, &err) == IM_OK) {
		log_info("started", LOG_STR("infermesh.instance", d->name),
			 LOG_INT("infermesh.pid", d->pid));
		return;
	}
	log_error("cannot start a daemon", LOG_STR("infermesh.instance", d->name),
		  LOG_STR("error.message", err.text));
	child_exited(&d->child, clock_mono_ms());
}

static void
signal_stage(struct supervisor *s, int signal)
{
	for (size_t i = 0; i < s->count; i++) {
		struct daemon *d = &s->daemons[i];

		if (d->stage == s->stage && child_alive(&d->child))
			(void)kill(d->pid, signal);
	}
}

static bool
stage_is_over(const struct supervisor *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->daemons[i].stage == s->stage && child_alive(&s->daemons[i].child))
			return false;
	return true;
}

/* Tell the daemons of the present stage; go on to the next one if there is nobody. */
static void
stop_stage(struct supervisor *s)
{
	for (; s->stage < STAGE_END; s->stage++) {
		for (size_t i = 0; i < s->count; i++)
			if (s->daemons[i].stage == s->stage)
				(void)child_stop(&s->daemons[i].child);
		if (stage_is_over(s))
			continue;
		s->stage_until_ms = clock_mono_ms() +
				    (uint64_t)config_int(s->up->config, "mesh.drain_ms") +
				    STOP_GRACE_MS;
		signal_stage(s, SIGTERM);
		return;
	}
}

static void
stop_begin(struct supervisor *s, int status)
{
	if (s->stopping)
		return;
	s->stopping = true;
	s->status = status;
	s->stage = STAGE_GATEWAY;
	manager_say("STOPPING=1");
	/* What waits for its restart must not come back meanwhile. */
	for (size_t i = 0; i < s->count; i++)
		if (!child_alive(&s->daemons[i].child))
			(void)child_stop(&s->daemons[i].child);
	stop_stage(s);
}

static void
on_signal(struct supervisor *s, const struct signalfd_siginfo *info)
{
	char name[16];

	/* One Ctrl-C passed on twice, as 'timeout' does, is one. */
	if (s->signals > 0 && clock_mono_ms() - s->signalled_ms < ECHO_MS)
		return;
	s->signals++;
	s->signalled_ms = clock_mono_ms();
	(void)snprintf(name, sizeof(name), "SIG%s", sigabbrev_np((int)info->ssi_signo));
	log_info(s->signals == 1 ? "stopping: gateway first, audit last"
				 : "second signal: ending at once",
		 LOG_STR("infermesh.signal", name));
	if (s->signals == 1) {
		stop_begin(s, EXIT_FINE);
		return;
	}
	/* Everybody at once, without draining. */
	s->status = EXIT_TROUBLE;
	for (size_t i = 0; i < s->count; i++) {
		struct daemon *d = &s->daemons[i];

		if (!child_alive(&d->child))
			continue;
		(void)child_stop(&d->child);
		(void)kill(d->pid, SIGKILL);
	}
}

static void
log_exit(const char *message, const struct daemon *d, int wait_status)
{
	log_error(
	    message, LOG_STR("infermesh.instance", d->name), LOG_INT("infermesh.pid", d->pid),
	    LOG_INT("process.exit_code", WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1),
	    LOG_INT("infermesh.signal", WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0),
	    LOG_UINT("infermesh.restart_in_ms",
		     d->child.state == CHILD_WAITING ? d->child.backoff_ms : 0));
}

static void
on_exit_of(struct supervisor *s, struct daemon *d, int wait_status)
{
	child_exited(&d->child, clock_mono_ms());
	if (!s->stopping) {
		log_exit(d->child.state == CHILD_FAILED
			     ? "a daemon could not start; its own message is above"
			     : "a daemon died",
			 d, wait_status);
		if (d->child.state == CHILD_FAILED)
			stop_begin(s, EXIT_TROUBLE);
		return;
	}
	/* SIGTERM itself ends only one that has not got as far as to wait for it. */
	if (wait_status != 0 && !(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGTERM)) {
		log_exit("a daemon did not stop cleanly", d, wait_status);
		s->status = EXIT_TROUBLE;
	}
	if (stage_is_over(s))
		stop_stage(s);
}

static void
reap(struct supervisor *s)
{
	int wait_status = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
		struct daemon *d = daemon_of(s, pid);

		if (d != NULL)
			on_exit_of(s, d, wait_status);
	}
}

static void
read_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(s);
		else
			on_signal(s, &info);
	}
}

static void
on_notify(void *user, pid_t pid, bool ready, const char *status)
{
	static const char serving[] = "serving at ", cannot[] = "cannot start: ";
	struct supervisor *s = user;
	struct daemon *d = NULL;

	/* Also of one that is dead meanwhile: its last words. */
	for (size_t i = 0; d == NULL && i < s->count; i++)
		if (s->daemons[i].pid == pid)
			d = &s->daemons[i];
	if (d == NULL)
		return;
	if (strncmp(status, cannot, strlen(cannot)) == 0)
		(void)snprintf(d->why, sizeof(d->why), "%s", status + strlen(cannot));
	if (!ready || !child_alive(&d->child))
		return;
	child_ready(&d->child);
	if (d->stage == STAGE_GATEWAY && strncmp(status, serving, strlen(serving)) == 0)
		(void)snprintf(s->address, sizeof(s->address), "%s", status + strlen(serving));
}

/* Everybody has said READY, the gateway is ready, and the router has a worker. 'err' says what is missing. */
static bool
is_ready(const struct supervisor *s, struct im_err *err)
{
	bool tls = config_str(s->up->config, "gateway.tls_cert") != NULL;
	const char *router = config_str(s->up->config, "router.admin");

	for (size_t i = 0; i < s->count; i++) {
		if (s->daemons[i].child.state != CHILD_READY) {
			(void)err_set(err, IM_EUNAVAILABLE, "%s has not started yet",
				      s->daemons[i].name);
			return false;
		}
	}
	if (health_check(s->address, tls, HEALTH_TIMEOUT_MS, err) != IM_OK)
		return false;
	return strcmp(router, "off") == 0 || strrchr(router, ':') == NULL ||
	       strcmp(strrchr(router, ':'), ":0") == 0 ||
	       health_check(router, false, HEALTH_TIMEOUT_MS, err) == IM_OK;
}

/* Tell the user once that the mesh is ready, or after a while what it lacks. */
static void
check_health(struct supervisor *s, uint64_t now)
{
	struct im_err err = { .text = "" };

	if (s->announced || s->stopping || now < s->health_at_ms)
		return;
	s->health_at_ms = now + HEALTH_EVERY_MS;
	if (is_ready(s, &err))
		err.text[0] = '\0';
	else if (now - s->started_ms < HEALTH_PATIENCE_MS)
		return;
	s->announced = true;
	manager_say("READY=1");
	up_banner(s->up, s->address, err.text);
}

/* Start what has waited long enough. Returns when the next one is due. */
static uint64_t
restart_due(struct supervisor *s, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < s->count; i++) {
		struct daemon *d = &s->daemons[i];

		if (d->child.state == CHILD_WAITING && d->child.restart_at_ms <= now)
			start_daemon(s, d);
		if (d->child.state == CHILD_WAITING && d->child.restart_at_ms < next)
			next = d->child.restart_at_ms;
		if (d->child.state == CHILD_FAILED)
			stop_begin(s, EXIT_TROUBLE);
	}
	return next;
}

/* What is due by time. Returns how long nothing will be, in ms, -1 = for ever. */
static int
on_time(struct supervisor *s)
{
	uint64_t now = clock_mono_ms(), next = restart_due(s, now);

	check_health(s, now);
	if (!s->announced && !s->stopping && s->health_at_ms < next)
		next = s->health_at_ms;
	if (s->stopping && s->stage < STAGE_END && now >= s->stage_until_ms) {
		log_error("a daemon does not stop: killing it",
			  LOG_STR("infermesh.instance", stage_role[s->stage]));
		signal_stage(s, SIGKILL);
		s->stage_until_ms = now + STOP_GRACE_MS;
	}
	if (s->stopping && s->stage < STAGE_END && s->stage_until_ms < next)
		next = s->stage_until_ms;
	if (next == UINT64_MAX)
		return -1;
	return next > now ? (int)(next - now) : 0;
}

static void
supervise(struct supervisor *s)
{
	struct pollfd fds[2] = { { .fd = s->signal_fd, .events = POLLIN },
				 { .fd = notify_fd(s->notify), .events = POLLIN } };

	for (size_t i = 0; i < s->count; i++)
		start_daemon(s, &s->daemons[i]);
	while (!s->stopping || s->stage < STAGE_END) {
		if (poll(fds, 2, on_time(s)) < 0 && errno != EINTR)
			break;
		/* READY before the exit of the same child. */
		notify_read(s->notify, on_notify, s);
		read_signals(s);
	}
}

/* Audit first and the gateway last: then the fewest wait for somebody. */
static size_t
plan(const struct config *config, struct daemon *out)
{
	size_t workers = config_items(config, "workers"), n = 0;

	out[n++] = (struct daemon){ .stage = STAGE_AUDIT, .name = "audit" };
	out[n++] = (struct daemon){ .stage = STAGE_CACHE, .name = "cache" };
	out[n++] = (struct daemon){ .stage = STAGE_ROUTER, .name = "router" };
	for (size_t i = 0; i < workers; i++) {
		const char *name = config_str(config_item(config, "workers", i), "workers[].name");

		out[n++] =
		    (struct daemon){ .stage = STAGE_INFERENCE, .name = name, .worker = name };
	}
	if (workers == 0)
		out[n++] =
		    (struct daemon){ .stage = STAGE_INFERENCE, .name = "demo", .worker = "demo" };
	out[n++] = (struct daemon){ .stage = STAGE_GATEWAY, .name = "gateway" };
	return n;
}

static int
open_signals(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGCHLD);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Last on the screen, below everybody's lines about stopping: why there is no mesh. */
static void
say_why(struct supervisor *s)
{
	notify_read(s->notify, on_notify, s);
	for (size_t i = 0; i < s->count; i++) {
		const struct daemon *d = &s->daemons[i];

		if (d->child.state != CHILD_FAILED)
			continue;
		if (d->why[0] != '\0')
			(void)fprintf(stderr, "infermesh up: cannot start %s: %s\n", d->name,
				      d->why);
		else
			(void)fprintf(stderr,
				      "infermesh up: cannot start %s; its own message is above\n",
				      d->name);
	}
}

int
up_children(const struct up *up)
{
	struct supervisor s = {
		.up = up, .signal_fd = -1, .status = EXIT_TROUBLE, .started_ms = clock_mono_ms()
	};
	struct im_err err;

	s.daemons = calloc(config_items(up->config, "workers") + 5, sizeof(*s.daemons));
	if (s.daemons == NULL) {
		(void)fprintf(stderr, "infermesh up: not enough memory\n");
		return EXIT_TROUBLE;
	}
	s.count = plan(up->config, s.daemons);
	(void)snprintf(s.address, sizeof(s.address), "%s",
		       config_str(up->config, "gateway.listen"));
	s.signal_fd = open_signals();
	if (s.signal_fd < 0 || notify_open(&s.notify, &err) != IM_OK) {
		log_error("cannot watch signals and daemons",
			  LOG_STR("error.message", s.signal_fd < 0 ? "signalfd" : err.text));
	} else {
		supervise(&s);
		if (s.status == EXIT_FINE)
			log_info("stopped");
		else
			say_why(&s);
	}
	notify_close(s.notify);
	if (s.signal_fd >= 0)
		(void)close(s.signal_fd);
	free(s.daemons);
	return s.status;
}
