/*
 * daemon/process.c - runs the services of one process from first to last; see process.h. Knows no arguments and no
 * configuration beyond mesh.drain_ms and mesh.nng_threads.
 *
 * Ending:  signal ─▶ drain the last started ─▶ drained or deadline ─▶ stop it ─▶ the one before … ─▶ all gone ─▶ return
 */
#include "daemon/process.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/manager.h"
#include "daemon/paths.h"
#include "daemon/settle.h"

#define POLL_US           5000  /* between questions whether all is drained */
#define READY_POLL_US     20000 /* between questions whether all is ready */
#define READY_PATIENCE_US 15000000
#define SETTLE_US         2000000 /* from the start on: links are up, first requests were answered */
/* 'timeout', 'sudo' and others pass one Ctrl-C on twice: a second signal so soon is the first one's echo. */
#define ECHO_US       250000
#define STOP_GRACE_MS 10000 /* from the drain deadline to the end of the patience */
#define POLL_BUSILY_US                                                                             \
	60 /* what a processor takes to wake up, and an upstream or a client that is as quick as that */

/* A thread that waits for the second signal or the end of patience while the loop shuts down: it works also when the loop
 * does not. */
struct watchdog {
	pthread_t thread;
	bool running;
	uint64_t since_us, until_us;
	atomic_bool done;
	_Atomic(const char *) busy_with; /* name of the host that is stopping */
};

struct process {
	const struct process_params *params;
	struct loop *loop;
	struct host **hosts; /* NULL once gone */
	size_t next;         /* hosts from here on are gone or never started */
	struct loop_fd signals;
	struct loop_timer poll;  /* draining, and the wait for what failed to start */
	struct loop_timer ready; /* until all are ready */
	struct loop_timer alive; /* WATCHDOG=1 */
	struct loop_timer settle;
	uint64_t alive_us;
	uint64_t ready_until_us;
	uint64_t drain_until_us;
	struct watchdog watchdog;
	bool ending;
	int status;
};

static void
stop_signals(sigset_t *set, bool hangup)
{
	(void)sigemptyset(set);
	if (hangup)
		(void)sigaddset(set, SIGHUP);
	(void)sigaddset(set, SIGTERM);
	(void)sigaddset(set, SIGINT);
}

void
process_prepare(bool stop_on_hangup)
{
	struct rlimit files;
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t set;

	/* nng's threads block only SIGPIPE: what is blocked here stays blocked in them, and signalfd gets it. */
	stop_signals(&set, stop_on_hangup);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	/* A closed terminal is no reason to stop serving; there is nothing to reload either. */
	if (!stop_on_hangup)
		(void)sigaction(SIGHUP, &ignore, NULL);
	(void)umask(077);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* The watchdog over the shutdown. */

/* The end of patience: the loop may hang, so this thread ends the process. */
static void
give_up(struct watchdog *w, const char *message)
{
	log_error(message, LOG_STR("infermesh.stopping", atomic_load(&w->busy_with)));
	_exit(1);
}

static void *
watchdog_main(void *arg)
{
	struct watchdog *w = arg;
	sigset_t set;

	stop_signals(&set, false);
	for (;;) {
		uint64_t now = clock_mono_us(), left = w->until_us > now ? w->until_us - now : 0;
		const struct timespec wait = { .tv_sec = (time_t)(left / 1000000),
					       .tv_nsec = (long)(left % 1000000) * 1000 };
		int sig = sigtimedwait(&set, NULL, &wait);

		if (atomic_load(&w->done))
			return NULL;
		if (sig > 0 && clock_mono_us() - w->since_us >= ECHO_US)
			give_up(w, "second signal: exiting at once");
		if (sig <= 0 && left == 0)
			give_up(w, "the stop hangs: exiting at once");
	}
}

static void
watchdog_start(struct watchdog *w, uint64_t until_us)
{
	w->since_us = clock_mono_us();
	w->until_us = until_us;
	w->running = pthread_create(&w->thread, NULL, watchdog_main, w) == 0;
	if (!w->running)
		log_warn(
		    "no thread for the watchdog over the shutdown: a stop that hangs would not be noticed");
}

static void
watchdog_stop(struct watchdog *w)
{
	if (!w->running)
		return;
	atomic_store(&w->done, true);
	/* It is blocked everywhere and only wakes the thread. */
	(void)pthread_kill(w->thread, SIGINT);
	(void)pthread_join(w->thread, NULL);
}

/* Ending, host by host from the last one. */

static void end_next(struct process *p);

static void
on_host_gone(void *arg)
{
	struct process *p = arg;

	end_next(p);
}

static void
arm(struct process *p, struct loop_timer *timer, uint64_t delay_us)
{
	if (loop_timer_set(p->loop, timer, delay_us) == IM_OK)
		return;
	/* Only for want of memory: then there is no orderly way on. */
	log_error("no memory for a timer: exiting at once");
	_exit(1);
}

static void
end_next(struct process *p)
{
	if (p->next == 0) {
		/* What failed to start may still close. */
		if (host_any())
			arm(p, &p->poll, POLL_US);
		else
			loop_stop(p->loop);
		return;
	}
	p->next--;
	atomic_store(&p->watchdog.busy_with, p->params->specs[p->next].name);
	host_drain(p->hosts[p->next]);
	arm(p, &p->poll, 0);
}

static void
on_poll(void *arg)
{
	struct process *p = arg;
	struct host *h;

	if (p->next == 0 && p->hosts[0] == NULL) {
		end_next(p);
		return;
	}
	h = p->hosts[p->next];
	if (!host_drained(h)) {
		if (clock_mono_us() < p->drain_until_us) {
			arm(p, &p->poll, POLL_US);
			return;
		}
		/* Without a start there was nothing in flight. */
		if (p->status == 0)
			log_warn("drain deadline passed: what is still in flight is cut off",
				 LOG_STR("infermesh.stopping", p->params->specs[p->next].name));
	}
	p->hosts[p->next] = NULL;
	host_stop(h, on_host_gone, p);
}

static void
end_begin(struct process *p, int status, uint64_t drain_us)
{
	unsigned grace_ms = p->params->stop_grace_ms > 0 ? p->params->stop_grace_ms : STOP_GRACE_MS;

	if (p->ending)
		return;
	p->ending = true;
	p->status = status;
	manager_say("STOPPING=1");
	loop_timer_cancel(p->loop, &p->ready);
	loop_timer_cancel(p->loop, &p->alive);
	loop_timer_cancel(p->loop, &p->settle);
	p->drain_until_us = clock_mono_us() + drain_us;
	watchdog_start(&p->watchdog, p->drain_until_us + grace_ms * 1000ULL);
	end_next(p);
}

static void
on_signal(void *arg, uint32_t events)
{
	struct process *p = arg;
	struct signalfd_siginfo info;
	char name[16];

	(void)events;
	if (read(p->signals.fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	/* The next one is the watchdog's. */
	loop_fd_del(p->loop, &p->signals);
	(void)snprintf(name, sizeof(name), "SIG%s", sigabbrev_np((int)info.ssi_signo));
	log_info("stopping", LOG_STR("infermesh.signal", name),
		 LOG_INT("infermesh.drain_ms", config_int(p->params->config, "mesh.drain_ms")));
	end_begin(p, 0, (uint64_t)config_int(p->params->config, "mesh.drain_ms") * 1000);
}

/* Starting. */

static void
on_ready_poll(void *arg)
{
	struct process *p = arg;
	struct buf why = { 0 };

	host_ready(&why);
	if (why.len == 0 || clock_mono_us() >= p->ready_until_us)
		p->params->ready(p->params->arg, host_address(p->hosts[p->params->count - 1]),
				 buf_cstr(&why));
	else
		arm(p, &p->ready, READY_POLL_US);
	buf_done(&why);
}

static void
on_alive(void *arg)
{
	struct process *p = arg;

	manager_say("WATCHDOG=1");
	arm(p, &p->alive, p->alive_us);
}

static void
on_settle(void *arg)
{
	(void)arg;
	settle();
}

/* Where a service serves: as it says itself, else by the configuration. */
static const char *
address_of(const struct process *p, size_t i)
{
	static const char *const roles[][2] = { { "router", "router.listen" },
						{ "cache", "cache.listen" },
						{ "audit", "audit.listen" },
						{ "gateway", "gateway.listen" } };
	const char *said = host_address(p->hosts[i]);

	for (size_t k = 0; said == NULL && k < sizeof(roles) / sizeof(roles[0]); k++)
		if (strcmp(p->params->specs[i].ops->name, roles[k][0]) == 0)
			said = config_str(p->params->config, roles[k][1]);
	return said != NULL ? said : "none";
}

static bool
start_all(struct process *p)
{
	const struct process_params *params = p->params;
	struct im_err err;

	for (size_t i = 0; i < params->count; i++) {
		const struct process_spec *spec = &params->specs[i];

		if (host_start(p->loop, params->config, spec->item, spec->ops, spec->name,
			       params->single_process, spec->admin_listen, &p->hosts[i],
			       &err) != IM_OK) {
			manager_say("STATUS=cannot start: %s", err.text);
			log_error("cannot start", LOG_STR("infermesh.instance", spec->name),
				  LOG_STR("error.message", err.text),
				  LOG_STR("error.code", im_rc_text(err.rc)));
			return false;
		}
		p->next = i + 1;
		log_info("listening", LOG_STR("infermesh.instance", spec->name),
			 LOG_STR("infermesh.listen", address_of(p, i)),
			 LOG_STR("infermesh.admin", host_admin_address(p->hosts[i])),
			 LOG_STR("service.version", INFERMESH_VERSION),
			 LOG_STR("infermesh.config", config_file(params->config)));
	}
	return true;
}

static void
start(struct process *p)
{
	uint64_t watchdog_us = manager_watchdog_us();

	if (!start_all(p)) {
		end_begin(p, 1, 0);
		return;
	}
	manager_say("READY=1\nSTATUS=serving at %s", address_of(p, p->params->count - 1));
	if (watchdog_us > 0) {
		p->alive_us = watchdog_us / 2;
		arm(p, &p->alive, p->alive_us);
	}
	arm(p, &p->settle, SETTLE_US);
	p->ready_until_us = clock_mono_us() + READY_PATIENCE_US;
	if (p->params->ready != NULL)
		arm(p, &p->ready, 0);
}

static enum im_rc
watch_signals(struct process *p, struct im_err *err)
{
	sigset_t set;

	stop_signals(&set, p->params->stop_on_hangup);
	p->signals.fn = on_signal;
	p->signals.arg = p;
	p->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signals.fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot watch signals");
	return loop_fd_add(p->loop, &p->signals, EPOLLIN);
}

static int
processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

static enum im_rc
serve(struct process *p, struct im_err *err)
{
	enum im_rc rc = paths_make_dirs(p->params->config, err);

	if (rc != IM_OK)
		return rc;
	p->hosts = calloc(p->params->count + 1, sizeof(struct host *));
	if (p->hosts == NULL)
		return err_set(err, IM_ENOMEM, "not enough memory to start");
	rc = loop_new(&p->loop, err);
	if (rc != IM_OK)
		return rc;
	net_limit_threads((unsigned)config_int(p->params->config, "mesh.nng_threads"));
	loop_enter(p->loop);
	/* All services on one thread: nobody else of this mesh needs its processor, if there is another. */
	if (p->params->single_process && processors() > 1)
		loop_poll_busily(p->loop, POLL_BUSILY_US);
	rc = watch_signals(p, err);
	if (rc == IM_OK)
		start(p);
	loop_leave(p->loop);
	if (rc == IM_OK)
		loop_run(p->loop);
	return rc;
}

int
process_run(const struct process_params *params)
{
	struct process p = {
		.params = params,
		.signals = { .fd = -1 },
		.status = 1,
	};
	struct im_err err;

	p.poll = (struct loop_timer){ .fn = on_poll, .arg = &p };
	p.ready = (struct loop_timer){ .fn = on_ready_poll, .arg = &p };
	p.alive = (struct loop_timer){ .fn = on_alive, .arg = &p };
	p.settle = (struct loop_timer){ .fn = on_settle, .arg = &p };
	if (serve(&p, &err) != IM_OK)
		log_error("cannot start", LOG_STR("error.message", err.text));
	watchdog_stop(&p.watchdog);
	if (p.loop != NULL) {
		loop_enter(p.loop);
		loop_fd_del(p.loop, &p.signals);
		loop_leave(p.loop);
		loop_free(p.loop);
	}
	if (p.signals.fd >= 0)
		(void)close(p.signals.fd);
	free(p.hosts);
	if (p.status == 0)
		log_info("stopped");
	return p.status;
}
