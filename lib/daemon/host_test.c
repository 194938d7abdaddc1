/*
 * daemon/host_test.c - hosts and their pages in this process, over real sockets.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/dummy_service.h"
#include "daemon/health.h"
#include "daemon/loop_rig.h"

struct world {
	struct loop *loop;
	struct config *config;
	struct host *host;
	unsigned gone;
	/* one request on a thread of its own */
	pthread_t thread;
	const char *address;
	char request[128], reply[65536];
	atomic_bool replied;
};

static bool
is_replied(void *user)
{
	const struct world *w = user;

	return atomic_load(&w->replied);
}

static bool
is_gone(void *user)
{
	const struct world *w = user;

	return w->gone > 0;
}

static bool
none_left(void *user)
{
	(void)user;
	return !host_any();
}

static void
on_gone(void *arg)
{
	struct world *w = arg;

	w->gone++;
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	memset(&dummy_plan, 0, sizeof(dummy_plan));
	dummy_story[0] = '\0';
	assert_int_equal(loop_new(&w->loop, NULL), IM_OK);
	assert_int_equal(config_parse("t", "mesh: {run_dir: /tmp/x}\naudit: {address: off}\n", 46,
				      &w->config, NULL),
			 IM_OK);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	assert_false(host_any());
	loop_free(w->loop);
	config_free(w->config);
	free(w);
	return 0;
}

static struct host *
start(struct world *w, const struct service_ops *ops, const char *name, const char *admin)
{
	struct host *h = NULL;
	struct im_err err;

	loop_enter(w->loop);
	if (host_start(w->loop, w->config, NULL, ops, name, true, admin, &h, &err) != IM_OK)
		fail_msg("%s", err.text);
	loop_leave(w->loop);
	return h;
}

static void
stop(struct world *w, struct host *h)
{
	w->gone = 0;
	loop_enter(w->loop);
	host_stop(h, on_gone, w);
	loop_leave(w->loop);
	loop_rig_until(w->loop, is_gone, w);
}

static void *
ask_main(void *arg)
{
	struct world *w = arg;
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t len = 0;
	ssize_t n = 0;

	sin.sin_port = htons((uint16_t)strtol(strrchr(w->address, ':') + 1, NULL, 10));
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 &&
	    send(fd, w->request, strlen(w->request), MSG_NOSIGNAL) > 0)
		while (len < sizeof(w->reply) - 1 &&
		       (n = recv(fd, w->reply + len, sizeof(w->reply) - 1 - len, 0)) > 0)
			len += (size_t)n;
	w->reply[len] = '\0';
	(void)close(fd);
	atomic_store(&w->replied, true);
	return NULL;
}

static const char *
ask(struct world *w, const char *method, const char *path)
{
	(void)snprintf(w->request, sizeof(w->request),
		       "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, path);
	atomic_store(&w->replied, false);
	assert_int_equal(pthread_create(&w->thread, NULL, ask_main, w), 0);
	loop_rig_until(w->loop, is_replied, w);
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	return w->reply;
}

static void
test_host_serves_its_pages(void **state)
{
	struct world *w = *state;
	struct host *h = start(w, &dummy_router, "router", "127.0.0.1:0");

	w->address = host_admin_address(h);
	assert_memory_equal(w->address, "127.0.0.1:", 10);
	assert_memory_equal(ask(w, "GET", "/livez"), "HTTP/1.1 200", 12);
	assert_memory_equal(ask(w, "GET", "/readyz"), "HTTP/1.1 200", 12);
	assert_non_null(strstr(w->reply, "{\"status\":\"ready\"}"));
	assert_memory_equal(ask(w, "GET", "/metrics"), "HTTP/1.1 200", 12);
	assert_non_null(strstr(w->reply, "\ndummy_total 7\n"));
	assert_non_null(strstr(w->reply, "\nprocess_resident_memory_bytes "));
	assert_non_null(strstr(w->reply, "\nprocess_open_fds "));
	assert_non_null(strstr(w->reply, "\ninfermesh_links 0\n"));
	assert_non_null(
	    strstr(w->reply, "infermesh_build_info{service=\"router\",version=\"" INFERMESH_VERSION
			     "\"} 1\n"));
	assert_memory_equal(ask(w, "GET", "/nothing"), "HTTP/1.1 404", 12);
	assert_non_null(strstr(w->reply, "{\"error\":"));
	assert_memory_equal(ask(w, "POST", "/metrics"), "HTTP/1.1 405", 12);
	assert_non_null(strstr(w->reply, "Allow: GET, HEAD"));
	stop(w, h);
	assert_string_equal(dummy_story, "sr er");
}

static void
test_host_not_ready_or_draining_is_503(void **state)
{
	struct world *w = *state;
	struct host *h = start(w, &dummy_router, "router", "127.0.0.1:0");

	w->address = host_admin_address(h);
	dummy_plan.never_ready = true;
	assert_memory_equal(ask(w, "GET", "/readyz"), "HTTP/1.1 503", 12);
	assert_non_null(strstr(w->reply, "\"reason\":\"router: no worker\""));
	dummy_plan.never_ready = false;
	dummy_plan.reasons = 1000; /* more than the page has room for is not ready either */
	assert_memory_equal(ask(w, "GET", "/readyz"), "HTTP/1.1 503", 12);
	dummy_plan.reasons = 0;
	assert_memory_equal(ask(w, "GET", "/readyz"), "HTTP/1.1 200", 12);
	loop_enter(w->loop);
	host_drain(h);
	host_drain(h);
	loop_leave(w->loop);
	assert_memory_equal(ask(w, "GET", "/readyz"), "HTTP/1.1 503", 12);
	assert_non_null(strstr(w->reply, "router: draining"));
	assert_memory_equal(ask(w, "GET", "/livez"), "HTTP/1.1 200", 12);
	dummy_plan.stop_late = true;
	stop(w, h);
	assert_string_equal(dummy_story, "sr dr er");
}

static void
test_host_failed_start_leaves_nothing(void **state)
{
	struct world *w = *state;
	struct host *h = NULL;
	struct im_err err;

	dummy_plan.fail_start = true;
	loop_enter(w->loop);
	assert_int_equal(
	    host_start(w->loop, w->config, NULL, &dummy_cache, "cache", true, NULL, &h, &err),
	    IM_EIO);
	loop_leave(w->loop);
	assert_null(h);
	assert_string_equal(err.text, "the dummy does not want to start");
	loop_rig_until(w->loop, none_left, w);
}

static void
test_host_taken_admin_address_is_refused(void **state)
{
	struct world *w = *state;
	struct host *h = start(w, &dummy_router, "router", "127.0.0.1:0"), *second = NULL;
	struct im_err err;

	loop_enter(w->loop);
	assert_int_equal(host_start(w->loop, w->config, NULL, &dummy_cache, "cache", true,
				    host_admin_address(h), &second, &err),
			 IM_EEXIST);
	loop_leave(w->loop);
	assert_non_null(strstr(err.text, "cache.admin"));
	stop(w, h);
	loop_rig_until(w->loop, none_left, w);
	assert_string_equal(dummy_story, "sr sc ec er");
}

static void
test_host_page_of_all_has_each_family_once(void **state)
{
	struct world *w = *state;
	struct host *a = start(w, &dummy_router, "router", NULL),
		    *b = start(w, &dummy_cache, "cache", NULL);
	struct metrics_page page = { 0 };
	const char *text, *first;

	assert_string_equal(host_admin_address(a), "off");
	loop_enter(w->loop);
	host_metrics(NULL, &page);
	loop_leave(w->loop);
	text = buf_cstr(&page.out);
	first = strstr(text, "# TYPE dummy_total counter\n");
	assert_non_null(first);
	assert_null(strstr(first + 1, "# TYPE dummy_total"));
	assert_non_null(strstr(text, "\ndummy_total{service_instance=\"router\"} 7\n"));
	assert_non_null(strstr(text, "\ndummy_total{service_instance=\"cache\"} 7\n"));
	assert_null(strstr(strstr(text, "# TYPE process_open_fds") + 1, "# TYPE process_open_fds"));
	buf_done(&page.out);
	stop(w, a);
	stop(w, b);
}

static void
test_host_that_stops_is_asked_nothing(void **state)
{
	struct world *w = *state;
	struct host *h = start(w, &dummy_router, "router", NULL);
	struct metrics_page page = { 0 };

	dummy_plan.stop_late = true;
	w->gone = 0;
	loop_enter(w->loop);
	host_stop(h, on_gone, w);
	host_metrics(NULL, &page);
	loop_leave(w->loop);
	assert_non_null(strstr(buf_cstr(&page.out), "process_open_fds"));
	assert_null(strstr(buf_cstr(&page.out), "dummy_total"));
	buf_done(&page.out);
	loop_rig_until(w->loop, is_gone, w);
}

static void
test_mesh_address_follows_mode_and_switch(void **state)
{
	const struct world *w = *state;
	struct service_env env = { .config = w->config };

	assert_string_equal(mesh_address(&env, "router"), "ipc:///tmp/x/router.ipc");
	assert_string_equal(mesh_address(&env, "cache"), "ipc:///tmp/x/cache.ipc");
	assert_null(mesh_address(&env, "audit"));
	env.single_process = true;
	assert_string_equal(mesh_address(&env, "router"), "inproc://router");
	assert_string_equal(mesh_address(&env, "cache"), "inproc://cache");
	assert_string_equal(mesh_cache_address(&env, 0), "inproc://cache");
	assert_null(mesh_cache_address(&env, 1));
	assert_null(mesh_address(&env, "audit"));
}

static void
test_health_check_says_why_not(void **state)
{
	struct im_err err;

	(void)state;
	assert_int_equal(health_check("nonsense", false, 100, &err), IM_EINVAL);
	assert_int_equal(health_check("127.0.0.1:1", false, 500, &err), IM_EUNAVAILABLE);
	assert_non_null(strstr(err.text, "cannot connect"));
	assert_int_equal(health_check("unix:/nonexistent", false, 100, &err), IM_EUNAVAILABLE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_host_serves_its_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host_not_ready_or_draining_is_503, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_host_failed_start_leaves_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_host_taken_admin_address_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_host_page_of_all_has_each_family_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_host_that_stops_is_asked_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_mesh_address_follows_mode_and_switch, setup,
						teardown),
		cmocka_unit_test(test_health_check_says_why_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
