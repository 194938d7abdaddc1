/*
 * daemon/process_test.c - daemon_run() and process_run() in child processes: arguments, signals, order, deadlines.
 * This program itself never touches nng, because nng does not survive a fork.
 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "daemon/dummy_service.h"
#include "daemon/health.h"
#include "daemon/process.h"

struct world {
	pid_t child;
	char dir[64], config[96];
	int out;          /* the child's stdout and stderr */
	char text[65536]; /* what came of it so far */
	size_t len;
};

static void
set_env(const char *name, const char *value)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): this program has one thread */
	assert_int_equal(value != NULL ? setenv(name, value, 1) : unsetenv(name), 0);
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	memset(&dummy_plan, 0, sizeof(dummy_plan));
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/process-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->config, sizeof(w->config), "%s/c.yaml", w->dir);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	static const char *const names[] = { "c.yaml", "notify" };
	static const char *const dirs[] = { "run", "state", "." };
	char path[128];

	if (w->child > 0) {
		(void)kill(w->child, SIGKILL);
		(void)waitpid(w->child, NULL, 0);
		(void)close(w->out);
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
		(void)unlink(path);
	}
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", w->dir, dirs[i]);
		(void)rmdir(path);
	}
	(void)rmdir(w->dir);
	free(w);
	return 0;
}

static void
write_config(const struct world *w, const char *more)
{
	FILE *f = fopen(w->config, "we");

	assert_non_null(f);
	(void)fprintf(
	    f,
	    "mesh:\n  run_dir: %s/run\n  state_dir: %s/state\n  drain_ms: 300ms\nrouter: {admin: 127.0.0.1:0}\n%s",
	    w->dir, w->dir, more);
	assert_int_equal(fclose(f), 0);
}

/* Run the daemon with up to three arguments, "" for none, in a child; its output comes by w->out. */
static void
spawn(struct world *w, const struct service_ops *ops, const char *a, const char *b, const char *c)
{
	const char *argv[5] = { "infermesh-test", a, b, c, NULL };
	int pipes[2], argc = 1 + (a[0] != '\0') + (b[0] != '\0') + (c[0] != '\0');

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	(void)fflush(NULL);
	argv[argc] = NULL;
	w->child = fork();
	assert_true(w->child >= 0);
	if (w->child == 0) {
		(void)dup2(pipes[1], 1);
		(void)dup2(pipes[1], 2);
		argc = daemon_run(argc, (char **)argv, ops);
		(void)fflush(NULL);
		_exit(argc);
	}
	(void)close(pipes[1]);
	w->out = pipes[0];
	w->len = 0;
	w->text[0] = '\0';
}

/* Read until 'word' came, or with NULL to the end. */
static void
expect(struct world *w, const char *word)
{
	uint64_t until = clock_mono_ms() + 30000;
	struct pollfd p = { .fd = w->out, .events = POLLIN };

	while (word == NULL || strstr(w->text, word) == NULL) {
		ssize_t n;

		if (clock_mono_ms() > until || poll(&p, 1, 30000) <= 0)
			fail_msg("waited for '%s', got: %s", word != NULL ? word : "the end",
				 w->text);
		n = read(w->out, w->text + w->len, sizeof(w->text) - 1 - w->len);
		if (n <= 0 && word == NULL)
			return;
		if (n <= 0)
			fail_msg("ended before '%s': %s", word, w->text);
		w->len += (size_t)n;
		w->text[w->len] = '\0';
	}
}

static int
status(struct world *w)
{
	int s = 0;

	expect(w, NULL);
	assert_int_equal(waitpid(w->child, &s, 0), w->child);
	w->child = 0;
	(void)close(w->out);
	assert_true(WIFEXITED(s));
	return WEXITSTATUS(s);
}

static void
test_daemon_serves_until_sigterm(void **state)
{
	struct world *w = *state;
	char address[128], *at;
	struct stat st;
	struct im_err err;

	write_config(w, "");
	spawn(w, &dummy_router, "--config", w->config, "");
	expect(w, "\"listening\"");
	expect(w, "\n");
	at = strstr(w->text, "127.0.0.1:");
	assert_non_null(at);
	(void)snprintf(address, sizeof(address), "%.*s", (int)strcspn(at, "\""), at);
	assert_int_equal(health_check(address, false, 3000, &err), IM_OK);
	(void)snprintf(address, sizeof(address), "%s/run", w->dir);
	assert_int_equal(stat(address, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(kill(w->child, SIGHUP), 0);
	assert_int_equal(kill(w->child, SIGTERM), 0);
	assert_int_equal(status(w), 0);
	assert_non_null(strstr(w->text, "\"stopped\""));
}

static void
test_daemon_arguments_and_files_decide_the_status(void **state)
{
	struct world *w = *state;

	write_config(w, "");
	spawn(w, &dummy_router, "--help", "", "");
	assert_int_equal(status(w), 0);
	assert_non_null(strstr(w->text, "SYNOPSIS"));
	assert_non_null(strstr(w->text, "router.queue_max"));
	spawn(w, &dummy_router, "--version", "", "");
	assert_int_equal(status(w), 0);
	assert_non_null(strstr(w->text, "infermesh-router " INFERMESH_VERSION "\n"));
	spawn(w, &dummy_router, "--nonsense", "", "");
	assert_int_equal(status(w), 2);
	spawn(w, &dummy_router, "more", "", "");
	assert_int_equal(status(w), 2);
	spawn(w, &dummy_router, "--check", "--config", w->config);
	assert_int_equal(status(w), 0);
	assert_non_null(strstr(w->text, "c.yaml: ok"));
	spawn(w, &dummy_router, "--print-config", "--config", w->config);
	assert_int_equal(status(w), 0);
	assert_non_null(strstr(w->text, "drain_ms: 300ms"));
	spawn(w, &dummy_router, "--config", "/nonexistent.yaml", "");
	assert_int_equal(status(w), 2);
	write_config(w, "nonsense: 1\n");
	spawn(w, &dummy_router, "--check", "--config", w->config);
	assert_int_equal(status(w), 2);
	assert_non_null(strstr(w->text, "c.yaml:6: \"nonsense\" is no key here"));
}

static void
test_daemon_check_health_of_nobody_is_1(void **state)
{
	struct world *w = *state;

	write_config(w, "cache: {admin: 'unix:/nonexistent'}\n");
	spawn(w, &dummy_cache, "--check-health", "--config", w->config);
	assert_int_equal(status(w), 1);
	assert_non_null(strstr(w->text, "not ready: cannot connect"));
}

static void
test_daemon_inference_takes_its_entry_of_workers(void **state)
{
	struct world *w = *state;

	write_config(w, "workers: [{name: a}, {name: b, admin: '127.0.0.1:0'}]\n");
	spawn(w, &dummy_inference, "--config", w->config, "");
	assert_int_equal(status(w), 2);
	assert_non_null(strstr(w->text, "--name NAME"));
	spawn(w, &dummy_inference, "--config", w->config, "--name=c");
	assert_int_equal(status(w), 2);
	assert_non_null(strstr(w->text, "no worker 'c'"));
	spawn(w, &dummy_inference, "--config", w->config, "--name=b");
	expect(w, "\"listening\"");
	assert_non_null(strstr(w->text, "inference/b"));
	assert_int_equal(kill(w->child, SIGINT), 0);
	assert_int_equal(status(w), 0);
}

static void
test_daemon_that_cannot_start_ends_with_1(void **state)
{
	struct world *w = *state;

	dummy_plan.fail_start = true;
	write_config(w, "");
	spawn(w, &dummy_router, "--config", w->config, "");
	assert_int_equal(status(w), 1);
	assert_non_null(strstr(w->text, "the dummy does not want to start"));
}

static void
test_daemon_drain_deadline_cuts_off(void **state)
{
	struct world *w = *state;

	dummy_plan.never_drained = true;
	write_config(w, "");
	spawn(w, &dummy_router, "--config", w->config, "");
	expect(w, "\"listening\"");
	assert_int_equal(kill(w->child, SIGTERM), 0);
	assert_int_equal(status(w), 0);
	assert_non_null(strstr(w->text, "drain deadline passed"));
}

static void
test_daemon_second_signal_ends_a_blocked_stop(void **state)
{
	struct world *w = *state;
	struct pollfd p = { .events = POLLIN };

	dummy_plan.stop_blocks = true;
	write_config(w, "");
	spawn(w, &dummy_router, "--config", w->config, "");
	p.fd = w->out;
	expect(w, "\"listening\"");
	assert_int_equal(kill(w->child, SIGTERM), 0);
	expect(w, "\"stopping\"");
	/* At once again is an echo; what comes later is meant. */
	do {
		assert_int_equal(kill(w->child, SIGTERM), 0);
	} while (poll(&p, 1, 50) == 0);
	assert_int_equal(status(w), 1);
	assert_non_null(strstr(w->text, "second signal"));
}

static void
test_daemon_tells_systemd_when_ready_and_stopping(void **state)
{
	struct world *w = *state;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char text[256];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ssize_t n;
	bool alive = false;

	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/notify", w->dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	set_env("NOTIFY_SOCKET", sun.sun_path);
	set_env("WATCHDOG_USEC", "20000");
	write_config(w, "");
	spawn(w, &dummy_router, "--config", w->config, "");
	set_env("NOTIFY_SOCKET", NULL);
	set_env("WATCHDOG_USEC", NULL);
	n = recv(fd, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	assert_memory_equal(text, "READY=1", 7);
	n = recv(fd, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	assert_memory_equal(text, "WATCHDOG=1", 10);
	assert_int_equal(kill(w->child, SIGTERM), 0);
	do {
		n = recv(fd, text, sizeof(text) - 1, 0);
		assert_true(n > 0);
		alive = memcmp(text, "WATCHDOG=1", 10) == 0;
	} while (alive);
	assert_memory_equal(text, "STOPPING=1", 10);
	assert_int_equal(status(w), 0);
	(void)close(fd);
}

/* Several services of one process, in a child that writes its story. */
static int
run_several(const char *config_file, unsigned stop_grace_ms)
{
	struct config *config = NULL;
	const struct process_spec specs[] = { { &dummy_audit, NULL, "audit", NULL },
					      { &dummy_cache, NULL, "cache", NULL },
					      { &dummy_router, NULL, "router", "off" } };
	struct process_params params = {
		.specs = specs, .count = 3, .single_process = true, .stop_grace_ms = stop_grace_ms
	};
	int result;

	if (config_load(config_file, &config, NULL) != IM_OK)
		return 9;
	params.config = config;
	process_prepare(false);
	result = process_run(&params);
	config_free(config);
	(void)fprintf(stderr, "story: %s\n", dummy_story);
	return result;
}

static void
spawn_several(struct world *w, unsigned stop_grace_ms)
{
	int pipes[2];

	write_config(w, "");
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	(void)fflush(NULL);
	w->child = fork();
	assert_true(w->child >= 0);
	if (w->child == 0) {
		(void)dup2(pipes[1], 2);
		_exit(run_several(w->config, stop_grace_ms));
	}
	(void)close(pipes[1]);
	w->out = pipes[0];
}

static void
test_process_ends_services_in_reverse_order(void **state)
{
	struct world *w = *state;

	dummy_plan.busy_polls = 3;
	dummy_plan.stop_late = true;
	spawn_several(w, 0);
	expect(w, "infermesh.instance\":\"router\"");
	assert_int_equal(kill(w->child, SIGINT), 0);
	assert_int_equal(status(w), 0);
	assert_non_null(strstr(w->text, "story: sa sc sr dr er dc ec da ea\n"));
}

static void
test_process_stop_that_hangs_is_reported(void **state)
{
	struct world *w = *state;

	dummy_plan.stop_never = true;
	spawn_several(w, 100);
	expect(w, "infermesh.instance\":\"router\"");
	assert_int_equal(kill(w->child, SIGTERM), 0);
	assert_int_equal(status(w), 1);
	assert_non_null(strstr(w->text, "the stop hangs"));
	assert_non_null(strstr(w->text, "\"infermesh.stopping\":\"router\""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_daemon_serves_until_sigterm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_daemon_arguments_and_files_decide_the_status,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_daemon_check_health_of_nobody_is_1, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_daemon_inference_takes_its_entry_of_workers,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_daemon_that_cannot_start_ends_with_1, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_daemon_drain_deadline_cuts_off, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_daemon_second_signal_ends_a_blocked_stop,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_daemon_tells_systemd_when_ready_and_stopping,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_process_ends_services_in_reverse_order, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_process_stop_that_hangs_is_reported, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
