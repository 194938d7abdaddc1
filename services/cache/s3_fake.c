/*
 * cache/s3_fake.c - see s3_fake.h. One thread accepts, one a connection.
 */
#include "cache/s3_fake.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define OBJECTS_MAX     2000
#define NAME_BYTES      160
#define REQUEST_MAX     ((size_t)2 << 20)
#define PAGE            100
#define BUCKET          "/bucket/"

struct object {
	char name[NAME_BYTES]; /* "" = none */
	char *bytes;
	size_t len;
	time_t modified;
};

struct s3_fake {
	int fd;
	char url[80];
	pthread_t acceptor;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	pthread_t threads[CONNECTIONS_MAX];
	int fds[CONNECTIONS_MAX]; /* -1 = closed */
	unsigned count;
	enum s3_fake_mode mode;
	bool stopping;
	struct object objects[OBJECTS_MAX];
};

struct connection {
	struct s3_fake *f;
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

static bool
reply(int fd, const char *status, const char *body, size_t len)
{
	char head[128];

	(void)snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", status,
		       len);
	return send_all(fd, head, strlen(head)) && send_all(fd, body, len);
}

static bool
reply_text(int fd, const char *status, const char *text)
{
	return reply(fd, status, text, strlen(text));
}

/* A whole request: its body; NULL when the client left. */
static char *
read_request(int fd, char *buf, size_t *ret_len)
{
	size_t len = 0, need = 0, head = 0;

	while (need == 0 || len < need) {
		ssize_t n = recv(fd, buf + len, REQUEST_MAX - 1 - len, 0);
		const char *end, *length;

		if (n <= 0)
			return NULL;
		len += (size_t)n;
		buf[len] = '\0';
		end = strstr(buf, "\r\n\r\n");
		if (head != 0 || end == NULL)
			continue;
		head = (size_t)(end - buf) + 4;
		length = strcasestr(buf, "\r\nContent-Length: ");
		need = head + (length != NULL && length < end ? strtoul(length + 18, NULL, 10) : 0);
		if (need >= REQUEST_MAX)
			return NULL;
	}
	*ret_len = need - head;
	return buf + head;
}

/* With the lock held. A new one if there is none and 'make'. */
static struct object *
find(struct s3_fake *f, const char *name, bool make)
{
	struct object *empty = NULL;

	for (size_t i = 0; i < OBJECTS_MAX; i++) {
		if (strcmp(f->objects[i].name, name) == 0)
			return &f->objects[i];
		if (empty == NULL && f->objects[i].name[0] == '\0')
			empty = &f->objects[i];
	}
	if (!make || empty == NULL)
		return NULL;
	(void)snprintf(empty->name, sizeof(empty->name), "%s", name);
	return empty;
}

static bool
put(struct s3_fake *f, int fd, const char *name, const char *body, size_t len)
{
	char *copy = malloc(len + 1);
	struct object *o;

	if (copy == NULL)
		return false;
	memcpy(copy, body, len);
	(void)pthread_mutex_lock(&f->lock);
	o = find(f, name, true);
	if (o == NULL)
		abort(); /* the test is wrong */
	free(o->bytes);
	o->bytes = copy;
	o->len = len;
	o->modified = time(NULL);
	(void)pthread_mutex_unlock(&f->lock);
	return reply_text(fd, "200 OK", "");
}

static bool
get(struct s3_fake *f, int fd, const char *name, const char *range)
{
	struct object *o;
	char *copy = NULL;
	size_t len = 0, last;
	bool ok;

	(void)pthread_mutex_lock(&f->lock);
	o = find(f, name, false);
	if (o != NULL) {
		len = o->len;
		if (range != NULL && (last = strtoul(range + 17, NULL, 10)) < len)
			len = last + 1;
		copy = malloc(len + 1);
		if (copy == NULL)
			abort();
		memcpy(copy, o->bytes, len);
	}
	(void)pthread_mutex_unlock(&f->lock);
	if (copy == NULL)
		return reply_text(fd, "404 Not Found", "<Error><Code>NoSuchKey</Code></Error>");
	ok = reply(fd, range != NULL ? "206 Partial Content" : "200 OK", copy, len);
	free(copy);
	return ok;
}

static bool delete (struct s3_fake *f, int fd, const char *name)
{
	struct object *o;

	(void)pthread_mutex_lock(&f->lock);
	o = find(f, name, false);
	if (o != NULL) {
		free(o->bytes);
		*o = (struct object){ .name = "" };
	}
	(void)pthread_mutex_unlock(&f->lock);
	return send_all(fd, "HTTP/1.1 204 No Content\r\n\r\n", 27);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp((*(const struct object *const *)a)->name,
		      (*(const struct object *const *)b)->name);
}

/* The objects behind the one that the token names. The names of tests need no escape. */
static bool
list(struct s3_fake *f, int fd, const char *query)
{
	const char *at = strstr(query, "continuation-token=");
	const struct object *all[OBJECTS_MAX];
	char after[NAME_BYTES] = "", *xml, *end;
	size_t n = 0, count = 0;
	bool ok;

	if (at != NULL && sscanf(at + 19, "p%%2F%150[0-9a-f]", after + 2) == 1)
		memcpy(after, "p/", 2);
	xml = malloc((size_t)PAGE * 300 + 1000);
	if (xml == NULL)
		return false;
	(void)pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < OBJECTS_MAX; i++)
		if (f->objects[i].name[0] != '\0' && strcmp(f->objects[i].name, after) > 0)
			all[n++] = &f->objects[i];
	qsort(all, n, sizeof(all[0]), by_name); /* NOLINT(bugprone-sizeof-expression): pointers */
	count = n < PAGE ? n : PAGE;
	end = xml + sprintf(xml, "<ListBucketResult><IsTruncated>%s</IsTruncated>",
			    n > PAGE ? "true" : "false");
	if (n > PAGE)
		end += sprintf(end, "<NextContinuationToken>%s</NextContinuationToken>",
			       all[PAGE - 1]->name);
	for (size_t i = 0; i < count; i++) {
		struct tm tm;
		char when[40];

		(void)gmtime_r(&all[i]->modified, &tm);
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
		end += sprintf(end,
			       "<Contents><Key>%s</Key><LastModified>%s</LastModified>"
			       "<Size>%zu</Size></Contents>",
			       all[i]->name, when, all[i]->len);
	}
	end += sprintf(end, "</ListBucketResult>");
	(void)pthread_mutex_unlock(&f->lock);
	ok = reply(fd, "200 OK", xml, (size_t)(end - xml));
	free(xml);
	return ok;
}

static bool
endless(int fd)
{
	char piece[4096];

	memset(piece, 'x', sizeof(piece));
	if (!send_all(fd, "HTTP/1.1 200 OK\r\n\r\n", 19))
		return false;
	while (send_all(fd, piece, sizeof(piece)))
		continue;
	return false;
}

static enum s3_fake_mode
mode_now(struct s3_fake *f)
{
	enum s3_fake_mode mode;

	(void)pthread_mutex_lock(&f->lock);
	mode = f->mode;
	while (f->mode == S3_FAKE_HANG && !f->stopping)
		(void)pthread_cond_wait(&f->changed, &f->lock);
	(void)pthread_mutex_unlock(&f->lock);
	return mode;
}

/* False: close the connection. */
static bool
answer(struct s3_fake *f, int fd, const char *request, const char *body, size_t len)
{
	char method[8], path[400], *query;
	const char *range = strcasestr(request, "\r\nRange: bytes=0-");

	switch (mode_now(f)) {
	case S3_FAKE_HANG:
		return false;
	case S3_FAKE_BROKEN:
		return reply_text(fd, "500 No", "<Error><Code>InternalError</Code></Error>");
	case S3_FAKE_NONSENSE:
		return reply_text(fd, "200 OK", "<html>It works!</html>");
	case S3_FAKE_ENDLESS:
		return endless(fd);
	case S3_FAKE_WELL:
		break;
	}
	if (sscanf(request, "%7s %399s", method, path) != 2 ||
	    strstr(request, "AWS4-HMAC-SHA256 Credential=AKID/") == NULL ||
	    strstr(request, "x-amz-content-sha256: ") == NULL)
		return reply_text(fd, "403 Forbidden", "<Error><Code>AccessDenied</Code></Error>");
	query = strchr(path, '?');
	if (query != NULL)
		return list(f, fd, query);
	if (strncmp(path, BUCKET, strlen(BUCKET)) != 0)
		return reply_text(fd, "404 No", "<Error><Code>NoSuchBucket</Code></Error>");
	if (strcmp(method, "PUT") == 0)
		return put(f, fd, path + strlen(BUCKET), body, len);
	if (strcmp(method, "DELETE") == 0)
		return delete (f, fd, path + strlen(BUCKET));
	return get(f, fd, path + strlen(BUCKET), range);
}

static void *
serve(void *arg)
{
	struct connection *c = arg;
	struct s3_fake *f = c->f;
	char *buf = malloc(REQUEST_MAX);
	const char *body;
	size_t len;

	while (buf != NULL && (body = read_request(c->fd, buf, &len)) != NULL &&
	       answer(f, c->fd, buf, body, len))
		continue;
	free(buf);
	(void)pthread_mutex_lock(&f->lock);
	f->fds[c->slot] = -1;
	(void)close(c->fd);
	(void)pthread_mutex_unlock(&f->lock);
	free(c);
	return NULL;
}

static void *
accept_all(void *arg)
{
	struct s3_fake *f = arg;
	int fd, on = 1;

	while ((fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct connection *c = malloc(sizeof(*c));

		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void)pthread_mutex_lock(&f->lock);
		if (c == NULL || f->count == CONNECTIONS_MAX)
			abort(); /* the test is wrong */
		*c = (struct connection){ f, f->count, fd };
		f->fds[f->count] = fd;
		if (pthread_create(&f->threads[f->count++], NULL, serve, c) != 0)
			abort();
		(void)pthread_mutex_unlock(&f->lock);
	}
	return NULL;
}

struct s3_fake *
s3_fake_start(void)
{
	struct s3_fake *f = calloc(1, sizeof(*f));
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(addr);

	if (f == NULL)
		return NULL;
	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_cond_init(&f->changed, NULL);
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->fd < 0 || bind(f->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(f->fd, 1024) < 0 || getsockname(f->fd, (struct sockaddr *)&addr, &len) < 0 ||
	    pthread_create(&f->acceptor, NULL, accept_all, f) != 0)
		abort();
	(void)snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%u" BUCKET "p",
		       (unsigned)ntohs(addr.sin_port));
	return f;
}

void
s3_fake_stop(struct s3_fake *f)
{
	(void)shutdown(f->fd, SHUT_RDWR);
	(void)pthread_join(f->acceptor, NULL);
	(void)pthread_mutex_lock(&f->lock);
	f->stopping = true;
	(void)pthread_cond_broadcast(&f->changed);
	for (unsigned i = 0; i < f->count; i++)
		if (f->fds[i] >= 0)
			(void)shutdown(f->fds[i], SHUT_RDWR);
	(void)pthread_mutex_unlock(&f->lock);
	for (unsigned i = 0; i < f->count; i++)
		(void)pthread_join(f->threads[i], NULL);
	(void)close(f->fd);
	for (size_t i = 0; i < OBJECTS_MAX; i++)
		free(f->objects[i].bytes);
	(void)pthread_mutex_destroy(&f->lock);
	(void)pthread_cond_destroy(&f->changed);
	free(f);
}

const char *
s3_fake_url(const struct s3_fake *f)
{
	return f->url;
}

void
s3_fake_mode(struct s3_fake *f, enum s3_fake_mode mode)
{
	(void)pthread_mutex_lock(&f->lock);
	f->mode = mode;
	(void)pthread_cond_broadcast(&f->changed);
	(void)pthread_mutex_unlock(&f->lock);
}

uint64_t
s3_fake_bytes(struct s3_fake *f)
{
	uint64_t n = 0;

	(void)pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < OBJECTS_MAX; i++)
		n += f->objects[i].len;
	(void)pthread_mutex_unlock(&f->lock);
	return n;
}

size_t
s3_fake_objects(struct s3_fake *f)
{
	size_t n = 0;

	(void)pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < OBJECTS_MAX; i++)
		n += f->objects[i].name[0] != '\0';
	(void)pthread_mutex_unlock(&f->lock);
	return n;
}

void
s3_fake_age(struct s3_fake *f, unsigned seconds)
{
	(void)pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < OBJECTS_MAX; i++)
		f->objects[i].modified -= seconds;
	(void)pthread_mutex_unlock(&f->lock);
}
