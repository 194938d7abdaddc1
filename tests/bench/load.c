/*
 * bench/load.c - infermesh-load: an HTTP load generator, in a closed loop or at a rate, that knows SSE, can leave in the middle,
 * and counts how each request ended. One thread, epoll. For benchmarks and the exactness tests; it never judges.
 *
 * At a rate each request has a moment at which it should begin, and its times count from there, also when no connection was free
 * then: a server that stalls cannot make the clients ask less (no coordinated omission).
 */
#include "load.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

struct conn {
	int fd;
	bool busy;         /* a request is under way */
	bool counted;      /* its first body byte came */
	uint64_t begin_us; /* when it began, with a rate: should have begun */
	uint64_t sent_us;  /* when it began */
	uint64_t event_us; /* when its latest event of a stream came */
	uint64_t leave_us; /* when our client leaves; 0 = it stays */
	struct buf out;
	size_t sent;
	struct response in;
};

static struct {
	struct load_options o;
	struct addrinfo *addr;
	struct conn *conns, **idle;
	uint32_t idle_count;
	int ep;
	unsigned seed;
	uint64_t begun, begin_us, end_us;
	struct load_count n;
	struct buf body; /* of the request that begins */
	char *filler;
	FILE *ledger;
} g;

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
	g.n.connects++;
}

static bool
more(void)
{
	if (g.o.requests != 0)
		return g.begun < g.o.requests;
	return clock_mono_us() < g.end_us;
}

/* With a rate: the moment of the next request. */
static uint64_t
due_us(void)
{
	return g.begin_us + (uint64_t)((double)g.begun * 1e6 / g.o.rate);
}

static void
finish(struct conn *c, enum load_result result)
{
	uint64_t now_us = clock_mono_us();

	c->busy = false;
	g.idle[g.idle_count++] = c;
	g.n.ended++;
	g.n.result[result]++;
	g.n.unbegun += result == LOAD_STREAM_ERROR && !c->in.saw_token;
	if (now_us - c->begin_us > g.n.longest_us)
		g.n.longest_us = now_us - c->begin_us;
	if (c->in.status > 0 && c->in.status < 600)
		g.n.status[c->in.status]++;
	if (result == LOAD_OK)
		histo_add(&g.n.latency, now_us - c->begin_us);
	if (g.ledger != NULL)
		fprintf(g.ledger, "%s %d %s\n", c->in.id[0] != '\0' ? c->in.id : "-", c->in.status,
			load_result_names[result]);
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

/* The body with what its marks stand for. */
static void
put_body(struct buf *to, const char *from)
{
	const char *mark;

	while ((mark = strchr(from, '%')) != NULL) {
		(void)buf_append(to, from, (size_t)(mark - from));
		if (mark[1] == 'd')
			(void)buf_printf(to, "%llu", (unsigned long long)g.begun);
		else if (mark[1] == 'z')
			(void)buf_append(to, g.filler, g.o.filler);
		else
			(void)buf_append(to, mark, 1);
		from = mark + (mark[1] == 'd' || mark[1] == 'z' ? 2 : 1);
	}
	(void)buf_append_str(to, from);
}

static void
write_request(struct conn *c)
{
	buf_clear(&g.body);
	put_body(&g.body, g.o.body);
	buf_clear(&c->out);
	(void)buf_printf(&c->out,
			 "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n",
			 g.o.path, g.o.host);
	if (g.o.key != NULL)
		(void)buf_printf(&c->out, "Authorization: Bearer %s\r\n", g.o.key);
	(void)buf_printf(&c->out, "Content-Length: %zu\r\n\r\n", g.body.len);
	(void)buf_append(&c->out, g.body.data, g.body.len);
}

static void
begin(struct conn *c)
{
	c->busy = true;
	c->counted = false;
	c->sent = 0;
	c->in = (struct response){ 0 };
	c->sent_us = clock_mono_us();
	c->begin_us = g.o.rate == 0 ? c->sent_us : due_us();
	write_request(c);
	g.begun++;
	c->leave_us = 0;
	if ((double)rand_r(&g.seed) / RAND_MAX < g.o.cancel)
		c->leave_us = c->sent_us +
			      (uint64_t)rand_r(&g.seed) % ((uint64_t)g.o.cancel_ms * 1000 + 1) + 1;
	if (c->fd < 0)
		dial(c);
	flush_out(c);
}

/* Every request whose time has come, as far as connections are free. */
static void
begin_all(void)
{
	while (g.idle_count > 0 && more() && (g.o.rate == 0 || due_us() <= clock_mono_us()))
		begin(g.idle[--g.idle_count]);
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

/* What of an answer came just now: the first of it, and events of a stream. Those that came together have no gap. */
static void
count_arrival(struct conn *c, uint64_t events)
{
	uint64_t now_us = clock_mono_us();

	if (!c->counted && c->in.body_bytes > 0) {
		c->counted = true;
		histo_add(&g.n.first, now_us - c->begin_us);
	}
	if (c->in.events == events)
		return;
	g.n.chunks += c->in.events - events;
	if (events > 0)
		histo_add(&g.n.gap, now_us - c->event_us);
	for (uint64_t i = events + 1; i < c->in.events; i++)
		histo_add(&g.n.gap, 0);
	c->event_us = now_us;
}

static void
readable(struct conn *c)
{
	char at[65536];

	while (c->busy) {
		ssize_t n = recv(c->fd, at, sizeof(at), 0);
		uint64_t events = c->in.events;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0 || !response_feed(&c->in, at, (size_t)n)) {
			enum load_result result = judge(&c->in);

			hang_up(c);
			finish(c, result);
			return;
		}
		count_arrival(c, events);
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
}

static void
look_at_clock(void)
{
	uint64_t now_us = clock_mono_us();

	for (uint32_t i = 0; i < g.o.connections; i++) {
		struct conn *c = &g.conns[i];

		if (c->busy && c->leave_us != 0 && now_us >= c->leave_us)
			finish(c, LOAD_CANCELLED);
		else if (c->busy && now_us - c->sent_us > (uint64_t)g.o.timeout_ms * 1000)
			finish(c, LOAD_TIMEOUT);
	}
}

/* Until the next request is due, a millisecond at most. */
static struct timespec
patience(void)
{
	uint64_t now_us = clock_mono_us(), until_us = now_us + 1000;

	if (g.o.rate > 0 && g.idle_count > 0 && more() && due_us() < until_us)
		until_us = due_us() > now_us ? due_us() : now_us;
	return (struct timespec){ .tv_nsec = (long)(until_us - now_us) * 1000 };
}

static void
run(void)
{
	struct epoll_event ev[256];
	uint64_t looked_us = 0;

	g.begin_us = clock_mono_us();
	g.end_us = g.begin_us + (uint64_t)(g.o.seconds * 1e6);
	begin_all();
	while (g.n.ended < g.begun || more()) {
		struct timespec wait = patience();
		int n = epoll_pwait2(g.ep, ev, 256, &wait, NULL);

		for (int i = 0; i < n; i++) {
			serve(&ev[i]);
			begin_all();
		}
		if (clock_mono_us() - looked_us >= 1000) {
			look_at_clock();
			looked_us = clock_mono_us();
		}
		begin_all();
	}
	g.n.took_us = clock_mono_us() - g.begin_us;
}

static void
prepare(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	(void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	g.seed = g.o.seed;
	g.ep = epoll_create1(EPOLL_CLOEXEC);
	g.conns = calloc(g.o.connections, sizeof(*g.conns));
	g.idle = calloc(g.o.connections, sizeof(struct conn *));
	g.filler = malloc(g.o.filler + 1);
	if (g.ep < 0 || g.conns == NULL || g.idle == NULL || g.filler == NULL)
		die("start");
	for (size_t i = 0; i < g.o.filler; i++)
		g.filler[i] = "tea for two, "[i % 13];
	for (uint32_t i = 0; i < g.o.connections; i++) {
		g.conns[i].fd = -1;
		g.idle[g.idle_count++] = &g.conns[g.o.connections - 1 - i];
	}
	if (g.o.ledger != NULL && (g.ledger = fopen(g.o.ledger, "we")) == NULL)
		die(g.o.ledger);
	/* At a rate it is the number that is fixed: what could not begin in time is sent late, and counted so. */
	if (g.o.rate > 0 && g.o.requests == 0)
		g.o.requests = (uint64_t)(g.o.rate * g.o.seconds) + 1;
}

int
main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };

	load_options_parse(&g.o, argc, argv);
	if (getaddrinfo(g.o.host, g.o.port, &hints, &g.addr) != 0) {
		fprintf(stderr, "infermesh-load: %s is no address; give HOST:PORT in numbers\n",
			g.o.host);
		return 2;
	}
	prepare();
	run();
	load_report(&g.n);
	if (g.ledger != NULL && fclose(g.ledger) != 0)
		die(g.o.ledger);
	for (uint32_t i = 0; i < g.o.connections; i++) {
		hang_up(&g.conns[i]);
		buf_done(&g.conns[i].out);
	}
	buf_done(&g.body);
	free(g.filler);
	free(g.idle);
	free(g.conns);
	freeaddrinfo(g.addr);
	(void)close(g.ep);
	return 0;
}
