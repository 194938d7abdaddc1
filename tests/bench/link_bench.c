/*
 * tests/bench/link_bench.c - what a call over a mesh link costs, against a bare epoll ping-pong of as many bytes over a Unix
 * socket in the same run. Client and server are two processes. A call is a real one: Cache/Lookup packed and unpacked, its
 * answer with a value of 256 bytes packed and unpacked. Rounds alternate and the medians are reported.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/net.h"
#include "wire/mesh.h"

#define ROUNDS        9
#define TRIPS         4000  /* round trips of one round */
#define BURST_CALLS   60000 /* calls of one round of throughput */
#define OUTSTANDING   256
#define VALUE_BYTES   256
#define RAW_REQUEST   76  /* bytes of the REQUEST frame below */
#define RAW_REPLY     284 /* bytes of the END frame below */
#define TARGET_RATIO  2.0
#define TARGET_CALLS  250000.0
#define DIR_MAX_BYTES 64

static void
die(const char *what)
{
	(void)fprintf(stderr, "link_bench: %s (%m)\n", what);
	_exit(1);
}

/* The raw side. */

static struct sockaddr_un
raw_address(const char *dir)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/raw", dir);
	return sa;
}

static int
raw_epoll(int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	if (ep < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0)
		die("epoll");
	return ep;
}

/* Read 'len' bytes as they come. False at the end. */
static int
raw_read(int ep, int fd, size_t len)
{
	char buf[4096];
	struct epoll_event ev;

	while (len > 0) {
		ssize_t n;

		if (epoll_wait(ep, &ev, 1, -1) < 0)
			continue;
		n = read(fd, buf, len < sizeof(buf) ? len : sizeof(buf));
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 1;
}

static void *
raw_serve(void *arg)
{
	struct sockaddr_un sa = raw_address(arg);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = -1, ep;
	char reply[RAW_REPLY] = { 0 };

	if (listener < 0 || bind(listener, (struct sockaddr *)&sa, sizeof(sa)) != 0 ||
	    listen(listener, 1) != 0 || (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
		die("raw server");
	ep = raw_epoll(fd);
	while (raw_read(ep, fd, RAW_REQUEST))
		if (write(fd, reply, sizeof(reply)) != sizeof(reply))
			break;
	return NULL;
}

static int
raw_connect(const char *dir)
{
	struct sockaddr_un sa = raw_address(dir);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	for (int i = 0; connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0; i++) {
		if (i > 10000)
			die("connect");
		(void)usleep(1000);
	}
	return fd;
}

/* Microseconds of one round trip. */
static double
raw_round(int ep, int fd)
{
	char request[RAW_REQUEST] = { 0 };
	uint64_t start_us = clock_mono_us();

	for (int i = 0; i < TRIPS; i++)
		if (write(fd, request, sizeof(request)) != sizeof(request) ||
		    !raw_read(ep, fd, RAW_REPLY))
			die("raw ping-pong");
	return (double)(clock_mono_us() - start_us) / TRIPS;
}

/* The server of calls. */

static void
on_request(void *user, struct link *link, struct served *served, const struct served_request *req)
{
	static uint8_t value[VALUE_BYTES];
	static struct buf reply;
	struct cache_lookup lookup;
	struct cache_found found = { .hit = true, .value = { value, sizeof(value) }, .tier = "l1" };
	struct im_err err;

	(void)user;
	(void)link;
	if (cache_lookup_decode(req->body, req->body_len, &lookup, &err) != IM_OK) {
		served_end(served, &err, NULL, 0);
		return;
	}
	found.age_ms = lookup.max_age_ms;
	buf_clear(&reply);
	cache_found_encode(&found, &reply);
	served_end(served, NULL, reply.data, reply.len);
}

static int
serve(char *dir)
{
	static const struct endpoint_ops ops = { .request = on_request };
	struct net_params p = { .role = "cache", .name = "bench" };
	struct endpoint *ep;
	struct loop *loop;
	struct net *net;
	struct im_err err;
	pthread_t raw;
	char url[DIR_MAX_BYTES + 16];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(url, sizeof(url), "ipc://%s/link", dir);
	if (pthread_create(&raw, NULL, raw_serve, dir) != 0)
		die("thread");
	if (loop_new(&loop, &err) != IM_OK)
		die(err.text);
	loop_enter(loop);
	if (net_new(loop, &p, &net, &err) != IM_OK ||
	    net_listen(net, url, &ops, NULL, &ep, &err) != IM_OK)
		die(err.text);
	loop_leave(loop);
	loop_run(loop);
	return 0;
}

/* The client of calls. */

struct client {
	struct loop *loop;
	struct link *link;
	unsigned to_start, running;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int up, done;
};

static void start_call(struct client *c);

static void
on_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct client *c = user;
	struct cache_found found;
	struct arena arena;
	struct im_err bad;

	(void)call;
	if (err != NULL)
		die(err->text);
	arena_init(&arena, 64u << 10);
	if (cache_found_decode(body, len, &arena, &found, &bad) != IM_OK || !found.hit ||
	    found.value.len != VALUE_BYTES)
		die("wrong answer");
	arena_done(&arena);
	c->running--;
	if (c->to_start > 0)
		start_call(c);
	if (c->running > 0)
		return;
	(void)pthread_mutex_lock(&c->lock);
	c->done = 1;
	(void)pthread_cond_signal(&c->cond);
	(void)pthread_mutex_unlock(&c->lock);
}

static void
start_call(struct client *c)
{
	static const struct call_ops ops = { .end = on_end };
	static struct buf body;
	struct cache_lookup lookup = { .max_age_ms = 60000 };
	struct call_request req = { .method = METHOD_CACHE_LOOKUP, .budget_ms = 30000 };
	struct call *call;
	struct im_err err;

	memset(lookup.key, (int)c->to_start, sizeof(lookup.key));
	buf_clear(&body);
	cache_lookup_encode(&lookup, &body);
	req.body = body.data;
	req.body_len = body.len;
	if (call_start(c->link, &req, &ops, c, &call, &err) != IM_OK)
		die(err.text);
	c->to_start--;
	c->running++;
}

static void
wait_for(struct client *c, const int *flag)
{
	(void)pthread_mutex_lock(&c->lock);
	while (!*flag)
		(void)pthread_cond_wait(&c->cond, &c->lock);
	(void)pthread_mutex_unlock(&c->lock);
}

static void
on_up(void *user, struct link *link)
{
	struct client *c = user;

	(void)pthread_mutex_lock(&c->lock);
	c->link = link;
	c->up = 1;
	(void)pthread_cond_signal(&c->cond);
	(void)pthread_mutex_unlock(&c->lock);
}

/* Microseconds that 'calls' calls took, 'at_once' of them at once. */
static double
link_round(struct client *c, unsigned calls, unsigned at_once)
{
	uint64_t start_us = clock_mono_us();

	loop_enter(c->loop);
	c->done = 0;
	c->to_start = calls;
	for (unsigned i = 0; i < at_once; i++)
		start_call(c);
	loop_leave(c->loop);
	wait_for(c, &c->done);
	return (double)(clock_mono_us() - start_us);
}

static void *
run_loop(void *loop)
{
	loop_run(loop);
	return NULL;
}

static void
connect_client(struct client *c, const char *dir)
{
	static const struct endpoint_ops ops = { .up = on_up };
	struct net_params p = { .role = "router", .name = "bench" };
	struct endpoint *ep;
	struct net *net;
	struct im_err err;
	pthread_t thread;
	char url[DIR_MAX_BYTES + 16];

	(void)snprintf(url, sizeof(url), "ipc://%s/link", dir);
	if (loop_new(&c->loop, &err) != IM_OK ||
	    pthread_create(&thread, NULL, run_loop, c->loop) != 0)
		die("loop");
	loop_enter(c->loop);
	if (net_new(c->loop, &p, &net, &err) != IM_OK ||
	    net_dial(net, url, &ops, c, &ep, &err) != IM_OK)
		die(err.text);
	loop_leave(c->loop);
	wait_for(c, &c->up);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *v)
{
	qsort(v, ROUNDS, sizeof(*v), compare);
	return v[ROUNDS / 2];
}

static int
report(double raw_us, double link_us, double calls_per_s, int json)
{
	int ok = link_us <= TARGET_RATIO * raw_us && calls_per_s >= TARGET_CALLS;

	if (json) {
		printf("{\"bench\":\"link\",\"raw_round_trip_us\":%.2f,\"link_round_trip_us\":%.2f,"
		       "\"round_trip_ratio\":%.2f,\"round_trip_ratio_max\":%.2f,\"outstanding\":%d,"
		       "\"calls_per_s\":%.0f,\"calls_per_s_min\":%.0f,\"ok\":%s}\n",
		       raw_us, link_us, link_us / raw_us, TARGET_RATIO, OUTSTANDING, calls_per_s,
		       TARGET_CALLS, ok ? "true" : "false");
		return ok ? 0 : 1;
	}
	printf("link: a call and its reply      %8.1f us\n", link_us);
	printf("link: bare epoll ping-pong      %8.1f us\n", raw_us);
	printf("link: ratio                     %8.2f     (at most %.1f)\n", link_us / raw_us,
	       TARGET_RATIO);
	printf("link: calls/s, %d outstanding  %8.0f     (at least %.0f)\n", OUTSTANDING,
	       calls_per_s, TARGET_CALLS);
	printf("link: %s\n", ok ? "targets met" : "TARGETS MISSED");
	return ok ? 0 : 1;
}

int
main(int argc, char **argv)
{
	double raw_us[ROUNDS], link_us[ROUNDS], calls_per_s[ROUNDS];
	struct client c = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	char dir[DIR_MAX_BYTES] = "/tmp/im-bench-XXXXXX", self[] = "link_bench", mode[] = "--serve";
	char *child_argv[] = { self, mode, dir, NULL };
	char path[DIR_MAX_BYTES + 8];
	int fd, ep, json = argc == 2 && strcmp(argv[1], "--json") == 0, rc;
	pid_t child;

	if (argc == 3 && strcmp(argv[1], "--serve") == 0)
		return serve(argv[2]);
	if (mkdtemp(dir) == NULL ||
	    (errno = posix_spawn(&child, "/proc/self/exe", NULL, NULL, child_argv, environ)) != 0)
		die("cannot start the server");
	fd = raw_connect(dir);
	ep = raw_epoll(fd);
	connect_client(&c, dir);
	(void)raw_round(ep, fd); /* warm */
	(void)link_round(&c, TRIPS, 1);
	for (int i = 0; i < ROUNDS; i++) {
		raw_us[i] = raw_round(ep, fd);
		link_us[i] = link_round(&c, TRIPS, 1) / TRIPS;
		calls_per_s[i] = BURST_CALLS * 1e6 / link_round(&c, BURST_CALLS, OUTSTANDING);
	}
	rc = report(median(raw_us), median(link_us), median(calls_per_s), json);
	(void)kill(child, SIGTERM);
	(void)waitpid(child, NULL, 0);
	(void)snprintf(path, sizeof(path), "%s/link", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/raw", dir);
	(void)unlink(path);
	(void)rmdir(dir);
	return rc;
}
