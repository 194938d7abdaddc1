/*
 * bench/relay.c - infermesh-relay: a proxy that does nothing. One thread, one epoll; each connection gets one of its own to the
 * upstream, and bytes pass unread. So what it costs is what the kernel takes of any proxy with one process. Of several in a row,
 * over Unix sockets, what it takes of so many processes. It waits where the other side does not read: for short messages only.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EVENTS  64
#define BACKLOG 4096

struct end {
	int fd; /* -1: closed */
	struct end *other;
};

/* A client's connection and that to the upstream. */
struct pair {
	struct end ends[2];
	struct pair *next; /* among those that are to be freed */
};

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in tcp;
		struct sockaddr_un local;
	} u;
	socklen_t len;
};

static struct pair *gone;

static void
die(const char *what)
{
	(void)fprintf(stderr, "infermesh-relay: %s (%m)\n", what);
	exit(1);
}

/* "HOST:PORT", the host as a number, or "unix:PATH". */
static struct address
parse(const char *text)
{
	struct address a = { .len = sizeof(a.u.tcp) };
	const char *colon = strrchr(text, ':');
	char host[64];

	if (strncmp(text, "unix:", 5) == 0) {
		a.len = sizeof(a.u.local);
		a.u.local.sun_family = AF_UNIX;
		(void)snprintf(a.u.local.sun_path, sizeof(a.u.local.sun_path), "%s", text + 5);
		return a;
	}
	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		die("an address is HOST:PORT or unix:PATH");
	(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	a.u.tcp.sin_family = AF_INET;
	a.u.tcp.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, host, &a.u.tcp.sin_addr) != 1)
		die("a host is given as a number");
	return a;
}

static void
say_address(int listener, const char *text)
{
	struct address a = { .len = sizeof(a.u.tcp) };

	if (strncmp(text, "unix:", 5) == 0)
		(void)printf("%s\n", text);
	else if (getsockname(listener, &a.u.any, &a.len) == 0)
		(void)printf("127.0.0.1:%u\n", ntohs(a.u.tcp.sin_port));
	(void)fflush(stdout);
}

static void
watch(int ep, int fd, void *what)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = what };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0)
		die("epoll_ctl");
}

static void
no_delay(int fd)
{
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
			 sizeof(one)); /* of a Unix socket: refused */
}

static void
accept_all(int ep, int listener, const struct address *upstream)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct pair *p = calloc(1, sizeof(*p));
		int up = socket(upstream->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (p == NULL || up < 0 || connect(up, &upstream->u.any, upstream->len) != 0)
			die("connect");
		p->ends[0] = (struct end){ fd, &p->ends[1] };
		p->ends[1] = (struct end){ up, &p->ends[0] };
		for (int i = 0; i < 2; i++) {
			no_delay(p->ends[i].fd);
			watch(ep, p->ends[i].fd, &p->ends[i]);
		}
	}
}

static void
close_both(struct end *e)
{
	struct end *first = e < e->other ? e : e->other;
	struct pair *p = (struct pair *)(void *)first; /* its first member */

	(void)close(e->fd);
	(void)close(e->other->fd);
	e->fd = e->other->fd = -1;
	p->next = gone;
	gone = p;
}

/* What is there to be read goes to the other side. */
static void
pass(struct end *e)
{
	static char buf[64 << 10];
	ssize_t n = recv(e->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close_both(e);
		return;
	}
	for (ssize_t sent = 0; sent < n;) {
		struct pollfd full = { .fd = e->other->fd, .events = POLLOUT };
		ssize_t m =
		    send(e->other->fd, buf + sent, (size_t)(n - sent), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (m < 0 && errno == EAGAIN) {
			(void)poll(&full, 1, -1);
		} else if (m < 0) {
			close_both(e);
			return;
		}
		sent += m > 0 ? m : 0;
	}
}

static void
free_gone(void)
{
	while (gone != NULL) {
		struct pair *p = gone;

		gone = p->next;
		free(p);
	}
}

int
main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	struct address at, upstream;
	int listener, ep = epoll_create1(EPOLL_CLOEXEC);

	if (argc != 3) {
		(void)fputs("usage: infermesh-relay LISTEN UPSTREAM\n", stderr);
		return 2;
	}
	at = parse(argv[1]);
	upstream = parse(argv[2]);
	listener = socket(at.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ep < 0 || listener < 0 || bind(listener, &at.u.any, at.len) != 0 ||
	    listen(listener, BACKLOG) != 0)
		die(argv[1]);
	watch(ep, listener, NULL);
	say_address(listener, argv[1]);
	for (;;) {
		int n = epoll_wait(ep, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct end *e = events[i].data.ptr;

			if (e == NULL)
				accept_all(ep, listener, &upstream);
			else if (e->fd >= 0)
				pass(e);
		}
		free_gone();
	}
}
