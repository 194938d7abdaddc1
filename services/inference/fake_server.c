/*
 * inference/fake_server.c - see fake_server.h. One thread accepts, one a connection.
 */
#include "inference/fake_server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define REQUEST_MAX     ((size_t)8 * 1024 * 1024)
#define RECEIVE_BYTES   (128 * 1024) /* a request of some MiB does not fit into what sockets hold */
#define SLOW_BYTES      ((size_t)512 * 1024) /* read before each rest */
#define SLOW_NS         (40L * 1000 * 1000)

struct fake_server {
	const struct fake_reply *replies;
	int fd;
	uint16_t port;
	pthread_t acceptor;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	pthread_t threads[CONNECTIONS_MAX];
	int fds[CONNECTIONS_MAX]; /* -1 = closed */
	unsigned count, open, requests;
	char *last; /* NULL = none yet */
};

struct connection {
	struct fake_server *s;
	unsigned slot;
	int fd;
};

static bool
send_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

static const struct fake_reply *
choose(const struct fake_server *s, const char *request)
{
	const char *at = strstr(request, "\"model\":\"");

	for (const struct fake_reply *r = s->replies; r->model != NULL; r++) {
		size_t len = strlen(r->model);

		if (strncmp(request, "GET ", 4) == 0
			? strcmp(r->model, "/models") == 0
			: at != NULL && strncmp(at + 9, r->model, len) == 0 && at[9 + len] == '"')
			return r;
	}
	return NULL;
}

/* How many bytes the request will have; 0 = its head is not whole. */
static size_t
request_bytes(const char *buf)
{
	const char *end = strstr(buf, "\r\n\r\n");
	const char *length = strcasestr(buf, "\r\nContent-Length: ");
	size_t need;

	if (end == NULL)
		return 0;
	need = (size_t)(end - buf) + 4;
	return length != NULL && length < end ? need + strtoul(length + 18, NULL, 10) : need;
}

/* A request to 'buf': all of it, or as much as its reply needs. False: the client left. */
static bool
read_request(const struct fake_server *s, int fd, char *buf)
{
	const struct timespec rest = { .tv_nsec = SLOW_NS };
	const struct fake_reply *r = NULL;
	size_t len = 0, need = 0, rests = 0;

	while (need == 0 || len < need) {
		ssize_t n = recv(fd, buf + len, REQUEST_MAX - 1 - len, 0);

		if (n <= 0)
			return false;
		len += (size_t)n;
		buf[len] = '\0';
		if (r == NULL && (need = request_bytes(buf)) > 0)
			r = choose(s, buf);
		if (r != NULL && (r->end == FAKE_EARLY || r->end == FAKE_EARLY_CLOSE))
			return true;
		if (r != NULL && r->end == FAKE_SLOW && len / SLOW_BYTES > rests) {
			rests = len / SLOW_BYTES;
			(void)nanosleep(&rest, NULL);
		}
	}
	return true;
}

/* One chunk a line. */
static bool
send_chunks(int fd, const char *body)
{
	while (*body != '\0') {
		const char *lf = strchr(body, '\n');
		size_t len = lf != NULL ? (size_t)(lf - body) + 1 : strlen(body);
		char size[32];

		(void)snprintf(size, sizeof(size), "%zx\r\n", len);
		if (!send_all(fd, size, strlen(size)) || !send_all(fd, body, len) ||
		    !send_all(fd, "\r\n", 2))
			return false;
		body += len;
	}
	return true;
}

static void
wait_for_close(int fd)
{
	char bytes[65536];

	while (recv(fd, bytes, sizeof(bytes), 0) > 0)
		continue;
}

static bool
has_stray(const struct fake_reply *r)
{
	return r->end == FAKE_LENGTH_STRAY || r->end == FAKE_LENGTH_LATE_STRAY;
}

static bool
has_length(const struct fake_reply *r)
{
	return r->end == FAKE_LENGTH || r->end == FAKE_LENGTH_ONCE || r->end == FAKE_SLOW ||
	       has_stray(r);
}

static bool
has_close(const struct fake_reply *r)
{
	return r->end == FAKE_CLOSE || r->end == FAKE_EARLY_CLOSE;
}

/* False: close the connection. */
static bool
answer(int fd, const struct fake_reply *r)
{
	char head[1024];
	uint32_t repeat = r->repeat > 0 ? r->repeat : 1;

	if (r->end == FAKE_HANG) {
		wait_for_close(fd);
		return false;
	}
	if (r->end == FAKE_LENGTH_STRAY) /* all of it in one segment */
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &(int){ 1 }, sizeof(int));
	if (has_length(r))
		(void)snprintf(head, sizeof(head), "%s\r\nContent-Length: %zu\r\n\r\n", r->head,
			       strlen(r->body) * repeat);
	else if (has_close(r))
		(void)snprintf(head, sizeof(head), "%s\r\n\r\n", r->head);
	else
		(void)snprintf(head, sizeof(head), "%s\r\nTransfer-Encoding: chunked\r\n\r\n",
			       r->head);
	if (!send_all(fd, head, strlen(head)))
		return false;
	for (uint32_t i = 0; i < repeat; i++)
		if (!(has_length(r) || has_close(r) ? send_all(fd, r->body, strlen(r->body))
						    : send_chunks(fd, r->body)))
			return false;
	if (has_stray(r))
		(void)send_all(fd, "\n", 1);
	if (r->end == FAKE_CHUNKED_HANG)
		wait_for_close(fd);
	if (r->end == FAKE_CHUNKED || r->end == FAKE_EARLY)
		return send_all(fd, "0\r\n\r\n", 5);
	return has_length(r) && !has_stray(r);
}

/* One request and its answer. False: close the connection. */
static bool
serve_one(const struct connection *c, char *buf, const struct fake_reply **last)
{
	struct fake_server *s = c->s;
	const struct fake_reply *r;
	bool keep;

	if (!read_request(s, c->fd, buf))
		return false;
	(void)pthread_mutex_lock(&s->lock);
	s->requests++;
	free(s->last);
	s->last = strdup(buf);
	(void)pthread_mutex_unlock(&s->lock);
	r = choose(s, buf);
	if (r == NULL || (*last != NULL && (*last)->end == FAKE_LENGTH_ONCE))
		return false;
	keep = answer(c->fd, r);
	*last = r;
	if (r->end != FAKE_EARLY)
		return keep;
	(void)shutdown(c->fd, SHUT_WR);
	wait_for_close(c->fd); /* and reads the rest: to close before would lose the answer */
	return false;
}

static void *
serve(void *arg)
{
	struct connection *c = arg;
	struct fake_server *s = c->s;
	char *buf = malloc(REQUEST_MAX);
	const struct fake_reply *last = NULL;

	while (buf != NULL && serve_one(c, buf, &last))
		continue;
	free(buf);
	(void)pthread_mutex_lock(&s->lock);
	s->fds[c->slot] = -1;
	(void)close(c->fd);
	s->open--;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
	free(c);
	return NULL;
}

static void *
accept_all(void *arg)
{
	struct fake_server *s = arg;
	int fd;

	while ((fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct connection *c = malloc(sizeof(*c));
		int on = 1;

		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void)pthread_mutex_lock(&s->lock);
		if (c == NULL || s->count == CONNECTIONS_MAX)
			abort(); /* the test is wrong */
		*c = (struct connection){ s, s->count, fd };
		s->fds[s->count] = fd;
		s->open++;
		if (pthread_create(&s->threads[s->count++], NULL, serve, c) != 0)
			abort();
		(void)pthread_cond_broadcast(&s->changed);
		(void)pthread_mutex_unlock(&s->lock);
	}
	return NULL;
}

struct fake_server *
fake_server_start(const struct fake_reply *replies)
{
	struct fake_server *s = calloc(1, sizeof(*s));
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(addr);
	int room = RECEIVE_BYTES;

	if (s == NULL)
		return NULL;
	s->replies = replies;
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->changed, NULL);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(s->fd, 1024) < 0 || getsockname(s->fd, (struct sockaddr *)&addr, &len) < 0 ||
	    pthread_create(&s->acceptor, NULL, accept_all, s) != 0) {
		(void)close(s->fd);
		free(s);
		return NULL;
	}
	s->port = ntohs(addr.sin_port);
	return s;
}

void
fake_server_stop(struct fake_server *s)
{
	(void)shutdown(s->fd, SHUT_RDWR);
	(void)pthread_join(s->acceptor, NULL);
	(void)pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->count; i++)
		if (s->fds[i] >= 0)
			(void)shutdown(s->fds[i], SHUT_RDWR);
	(void)pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->count; i++)
		(void)pthread_join(s->threads[i], NULL);
	(void)close(s->fd);
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_cond_destroy(&s->changed);
	free(s->last);
	free(s);
}

uint16_t
fake_server_port(const struct fake_server *s)
{
	return s->port;
}

bool
fake_server_wait_open(struct fake_server *s, unsigned count)
{
	struct timespec end;
	int rc = 0;

	(void)clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 10;
	(void)pthread_mutex_lock(&s->lock);
	while (s->open != count && rc == 0)
		rc = pthread_cond_timedwait(&s->changed, &s->lock, &end);
	(void)pthread_mutex_unlock(&s->lock);
	return rc == 0;
}

unsigned
fake_server_requests(struct fake_server *s)
{
	unsigned n;

	(void)pthread_mutex_lock(&s->lock);
	n = s->requests;
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}

void
fake_server_last(struct fake_server *s, char *out, size_t cap)
{
	(void)pthread_mutex_lock(&s->lock);
	(void)snprintf(out, cap, "%s", s->last != NULL ? s->last : "");
	(void)pthread_mutex_unlock(&s->lock);
}
