/*
 * bench/load.c - infermesh-load: an HTTP load generator, in a closed loop or at a rate, that knows SSE, can leave in the middle,
 * and counts how each request ended. One thread, epoll. For benchmarks and the exactness tests; it never judges.
 */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

struct conn {
	int fd;
	bool busy;    /* a request is under way */
	bool counted; /* its first body byte came */
	uint64_t begin_us;
	uint64_t leave_us; /* when our client leaves; 0 = it stays */
	struct buf out;
	size_t sent;
	struct response in;
};

static struct {
	struct load_options o;
	struct addrinfo *addr;
	struct conn *conns;
	int ep;
	unsigned seed;
	uint64_t begun, ended, begin_us, end_us, connects;
	uint64_t result[LOAD_RESULTS];
	uint64_t status[600];
	struct histo latency, first;
	uint64_t longest_us; /* however it ended */
	uint64_t unbegun;    /* streams that ended in an error before the first token */
	FILE *ledger;
} g;

static const char *const result_names[LOAD_RESULTS] = { "ok",     "http_error", "stream_error",
							"broken", "cancelled",  "timeout" };

static void begin(struct conn *c);

static void
die(const char *what)
{
	fprintf(stderr, "infermesh-load: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void
hang_up(struct conn *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
}

static void
dial(struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				  .data = { .ptr = c } };
	int one = 1;

	c->fd = socket(g.addr->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, g.addr->ai_addr, g.addr->ai_addrlen) < 0 && errno != EINPROGRESS)
		die("connect");
	if (epoll_ctl(g.ep, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		die("epoll_ctl");
	g.connects++;
}

static bool
more(void)
{
	if (g.o.requests != 0)
		return g.begun < g.o.requests;
	return clock_mono_us() < g.end_us;
}

/* With a rate: has its time come? */
static bool
due(void)
{
	double seconds = (double)(clock_mono_us() - g.begin_us) / 1e6;

	return g.o.rate == 0 || (double)g.begun < seconds * g.o.rate;
}

static void
finish(struct conn *c, enum load_result result)
{
	uint64_t now_us = clock_mono_us();

	c->busy = false;
	g.ended++;
	g.result[result]++;
	g.unbegun += result == LOAD_STREAM_ERROR && !c->in.saw_token;
	if (now_us - c->begin_us > g.longest_us)
		g.longest_us = now_us - c->begin_us;
	if (c->in.status > 0 && c->in.status < 600)
		g.status[c->in.status]++;
	if (result == LOAD_OK)
		histo_add(&g.latency, now_us - c->begin_us);
	if (g.ledger != NULL)
		fprintf(g.ledger, "%s %d %s\n", c->in.id[0] != '\0' ? c->in.id : "-", c->in.status,
			result_names[result]);
	if (result != LOAD_OK && result != LOAD_HTTP_ERROR)
		hang_up(c);
	else if (c->in.close)
		hang_up(c);
}

static void
flush_out(struct conn *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);

		if (n < 0)
			return; /* EAGAIN, or the read side will tell */
		c->sent += (size_t)n;
	}
}

static void
write_request(struct conn *c)
{
	const char *mark = strstr(g.o.body, "%d");
	struct buf body = { 0 };

	if (mark == NULL)
		(void)buf_append_str(&body, g.o.body);
	else {
		(void)buf_append(&body, g.o.body, (size_t)(mark - g.o.body));
		(void)buf_printf(&body, "%llu", (unsigned long long)g.begun);
		(void)buf_append_str(&body, mark + 2);
	}
	buf_clear(&c->out);
	(void)buf_printf(&c->out,
			 "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n",
			 g.o.path, g.o.host);
	if (g.o.key != NULL)
		(void)buf_printf(&c->out, "Authorization: Bearer %s\r\n", g.o.key);
	(void)buf_printf(&c->out, "Content-Length: %zu\r\n\r\n", body.len);
	(void)buf_append(&c->out, body.data, body.len);
	buf_done(&body);
}

static void
begin(struct conn *c)
{
	if (c->busy || !more() || !due())
		return;
	c->busy = true;
	c->counted = false;
	c->sent = 0;
	c->in = (struct response){ 0 };
	write_request(c);
	g.begun++;
	c->begin_us = clock_mono_us();
	c->leave_us = 0;
	if ((double)rand_r(&g.seed) / RAND_MAX < g.o.cancel)
		c->leave_us = c->begin_us +
			      (uint64_t)rand_r(&g.seed) % ((uint64_t)g.o.cancel_ms * 1000 + 1) + 1;
	if (c->fd < 0)
		dial(c);
	flush_out(c);
}

static enum load_result
judge(const struct response *r)
{
	if (r->saw_error)
		return LOAD_STREAM_ERROR;
	if (!r->done || (r->sse && !r->saw_done))
		return LOAD_BROKEN;
	return r->status == 200 ? LOAD_OK : LOAD_HTTP_ERROR;
}

static void
readable(struct conn *c)
{
	char at[65536];

	while (c->busy) {
		ssize_t n = recv(c->fd, at, sizeof(at), 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0 || !response_feed(&c->in, at, (size_t)n)) {
			enum load_result result = judge(&c->in);

			hang_up(c);
			finish(c, result);
			return;
		}
		if (!c->counted && c->in.body_bytes > 0) {
			c->counted = true;
			histo_add(&g.first, clock_mono_us() - c->begin_us);
		}
		if (c->in.done)
			finish(c, judge(&c->in));
	}
}

static void
serve(const struct epoll_event *ev)
{
	struct conn *c = ev->data.ptr;

	if (c->fd < 0)
		return;
	if (!c->busy) {
		if (ev->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			hang_up(c); /* an idle connection that the server closed */
		return;
	}
	if (ev->events & EPOLLOUT)
		flush_out(c);
	if (ev->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		readable(c);
	begin(c);
}

static void
look_at_clock(void)
{
	uint64_t now_us = clock_mono_us();

	for (uint32_t i = 0; i < g.o.connections; i++) {
		struct conn *c = &g.conns[i];

		if (c->busy && c->leave_us != 0 && now_us >= c->leave_us)
			finish(c, LOAD_CANCELLED);
		else if (c->busy && now_us - c->begin_us > (uint64_t)g.o.timeout_ms * 1000)
			finish(c, LOAD_TIMEOUT);
		begin(c);
	}
}

static void
run(void)
{
	struct epoll_event ev[256];
	uint64_t looked_us = 0;

	g.begin_us = clock_mono_us();
	g.end_us = g.begin_us + (uint64_t)(g.o.seconds * 1e6);
	for (uint32_t i = 0; i < g.o.connections; i++)
		begin(&g.conns[i]);
	while (g.ended < g.begun || more()) {
		int n = epoll_wait(g.ep, ev, 256, 1);

		for (int i = 0; i < n; i++)
			serve(&ev[i]);
		if (clock_mono_us() - looked_us >= 1000) {
			look_at_clock();
			looked_us = clock_mono_us();
		}
	}
	g.end_us = clock_mono_us();
}

static void
report(void)
{
	double seconds = (double)(g.end_us - g.begin_us) / 1e6;
	const char *sep = "";

	printf("{\"requests\":%llu,\"seconds\":%.3f,\"per_second\":%.1f,\"connects\":%llu",
	       (unsigned long long)g.ended, seconds, (double)g.ended / seconds,
	       (unsigned long long)g.connects);
	for (int i = 0; i < LOAD_RESULTS; i++)
		printf(",\"%s\":%llu", result_names[i], (unsigned long long)g.result[i]);
	printf(",\"status\":{");
	for (int i = 0; i < 600; i++)
		if (g.status[i] != 0) {
			printf("%s\"%d\":%llu", sep, i, (unsigned long long)g.status[i]);
			sep = ",";
		}
	printf("},\"latency_us\":{\"p50\":%llu,\"p90\":%llu,\"p99\":%llu,\"max\":%llu}",
	       (unsigned long long)histo_at(&g.latency, .5),
	       (unsigned long long)histo_at(&g.latency, .9),
	       (unsigned long long)histo_at(&g.latency, .99), (unsigned long long)g.latency.max);
	printf(",\"longest_us\":%llu,\"unbegun\":%llu", (unsigned long long)g.longest_us,
	       (unsigned long long)g.unbegun);
	printf(",\"first_byte_us\":{\"p50\":%llu,\"p99\":%llu}}\n",
	       (unsigned long long)histo_at(&g.first, .5),
	       (unsigned long long)histo_at(&g.first, .99));
}

static void
usage(int status)
{
	fputs(
	    "usage: infermesh-load [OPTION...] HOST:PORT\n"
	    "Sends chat completions, in a closed loop or at a rate, and prints one JSON line: how each ended, rates, latencies.\n\n"
	    "  -c N        connections (64)\n"
	    "  -n N        requests; or\n"
	    "  -t SECONDS  duration (10)\n"
	    "  -r RATE     so many requests a second, if the connections suffice (as many as they can)\n"
	    "  -k KEY      API key\n"
	    "  -b BODY     JSON body; %d in it becomes the request's number\n"
	    "  -p PATH     path (/v1/chat/completions)\n"
	    "  -x SHARE    share of requests whose client leaves (0)\n"
	    "  -m MS       the latest moment to leave (100)\n"
	    "  -w MS       give up after so long (30000)\n"
	    "  -s SEED     of the random numbers (1)\n"
	    "  -l FILE     a line for each request, when it ended: x-request-id or -, status, how it ended\n",
	    status == 0 ? stdout : stderr);
	exit(status);
}

static void
option(int opt, const char *arg)
{
	switch (opt) {
	case 'c':
		g.o.connections = (uint32_t)strtoul(arg, NULL, 10);
		break;
	case 'n':
		g.o.requests = strtoull(arg, NULL, 10);
		break;
	case 'r':
		g.o.rate = strtod(arg, NULL);
		break;
	case 't':
		g.o.seconds = strtod(arg, NULL);
		break;
	case 'k':
		g.o.key = arg;
		break;
	case 'b':
		g.o.body = arg;
		break;
	case 'p':
		g.o.path = arg;
		break;
	case 'x':
		g.o.cancel = strtod(arg, NULL);
		break;
	case 'm':
		g.o.cancel_ms = (uint32_t)strtoul(arg, NULL, 10);
		break;
	case 'w':
		g.o.timeout_ms = (uint32_t)strtoul(arg, NULL, 10);
		break;
	case 'l':
		g.o.ledger = arg;
		break;
	case 's':
		g.o.seed = (unsigned)strtoul(arg, NULL, 10);
		break;
	default:
		usage(opt == 'h' ? 0 : 2);
	}
}

int
main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	char *colon = NULL;
	int opt;

	g.o = (struct load_options){
		.connections = 64,
		.seconds = 10,
		.path = "/v1/chat/completions",
		.body =
		    "{\"model\":\"instant\",\"messages\":[{\"role\":\"user\",\"content\":\"hello %d\"}]}",
		.cancel_ms = 100,
		.timeout_ms = 30000,
		.seed = 1
	};
	while ((opt = getopt(argc, argv, "c:n:t:r:k:b:p:x:m:w:s:l:h")) != -1)
		option(opt, optarg);
	if (optind + 1 != argc || (colon = strrchr(argv[optind], ':')) == NULL ||
	    g.o.connections == 0)
		usage(2);
	*colon = '\0';
	g.o.host = argv[optind];
	g.o.port = colon + 1;
	if (getaddrinfo(g.o.host, g.o.port, &hints, &g.addr) != 0) {
		fprintf(stderr, "infermesh-load: %s is no address; give HOST:PORT in numbers\n",
			g.o.host);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	g.seed = g.o.seed;
	g.ep = epoll_create1(EPOLL_CLOEXEC);
	g.conns = calloc(g.o.connections, sizeof(*g.conns));
	if (g.ep < 0 || g.conns == NULL)
		die("start");
	for (uint32_t i = 0; i < g.o.connections; i++)
		g.conns[i].fd = -1;
	if (g.o.ledger != NULL && (g.ledger = fopen(g.o.ledger, "we")) == NULL)
		die(g.o.ledger);
	run();
	report();
	if (g.ledger != NULL && fclose(g.ledger) != 0)
		die(g.o.ledger);
	for (uint32_t i = 0; i < g.o.connections; i++) {
		hang_up(&g.conns[i]);
		buf_done(&g.conns[i].out);
	}
	free(g.conns);
	freeaddrinfo(g.addr);
	(void)close(g.ep);
	return 0;
}
