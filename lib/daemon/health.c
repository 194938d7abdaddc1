/*
 * daemon/health.c - one request over a blocking socket with timeouts; see health.h.
 */
#include "daemon/health.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

static const char request[] =
    "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

static void
set_timeouts(int fd, unsigned timeout_ms)
{
	const struct timeval t = { .tv_sec = timeout_ms / 1000,
				   .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000 };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

static int
connect_unix(const char *path, unsigned timeout_ms)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	set_timeouts(fd, timeout_ms);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static int
connect_tcp(const char *address, unsigned timeout_ms, struct im_err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	char host[256];
	const char *colon = strrchr(address, ':');
	size_t n = colon != NULL ? (size_t)(colon - address) : 0;
	int fd = -1, rv;

	if (n >= 2 && address[0] == '[' && colon[-1] == ']') {
		address++;
		n -= 2;
	}
	if (n == 0 || n >= sizeof(host)) {
		(void)err_set(err, IM_EINVAL,
			      "%.200s is no address, allowed: HOST:PORT or unix:PATH", address);
		return -1;
	}
	memcpy(host, address, n);
	host[n] = '\0';
	rv = getaddrinfo(host, colon + 1, &hints, &list);
	if (rv != 0) {
		(void)err_set(err, IM_EINVAL, "cannot resolve %s: %s", host, gai_strerror(rv));
		return -1;
	}
	(void)err_set(err, IM_EUNAVAILABLE, "no address of %s answers", host);
	for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd < 0)
			continue;
		set_timeouts(fd, timeout_ms);
		if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
			(void)err_errno(err, IM_EUNAVAILABLE, errno,
					"cannot connect to port %s of %s", colon + 1, host);
			(void)close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	return fd;
}

/* Read until the end, 'cap' or the deadline, by either way. */
static size_t
read_reply(int fd, SSL *ssl, char *out, size_t cap, uint64_t until_ms)
{
	size_t len = 0;

	while (len < cap - 1 && clock_mono_ms() < until_ms) {
		ssize_t n = ssl != NULL ? SSL_read(ssl, out + len, (int)(cap - 1 - len))
					: recv(fd, out + len, cap - 1 - len, 0);

		if (n < 0 && ssl == NULL && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	out[len] = '\0';
	return len;
}

static size_t
ask_tls(int fd, char *out, size_t cap, uint64_t until_ms)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx != NULL ? SSL_new(ctx) : NULL;
	size_t n = 0;

	if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1 &&
	    SSL_write(ssl, request, (int)sizeof(request) - 1) == (int)sizeof(request) - 1)
		n = read_reply(fd, ssl, out, cap, until_ms);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return n;
}

enum im_rc
health_check(const char *address, bool tls, unsigned timeout_ms, struct im_err *err)
{
	uint64_t until_ms = clock_mono_ms() + timeout_ms;
	char reply[2048];
	const char *body;
	size_t n;
	int fd;

	if (strncmp(address, "unix:", 5) == 0) {
		fd = connect_unix(address + 5, timeout_ms);
		if (fd < 0)
			return err_errno(err, IM_EUNAVAILABLE, errno, "cannot connect to %s",
					 address);
	} else {
		fd = connect_tcp(address, timeout_ms, err);
		if (fd < 0)
			return err != NULL ? err->rc : IM_EUNAVAILABLE;
	}
	reply[0] = '\0';
	if (tls)
		n = ask_tls(fd, reply, sizeof(reply), until_ms);
	else if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) ==
		 (ssize_t)sizeof(request) - 1)
		n = read_reply(fd, NULL, reply, sizeof(reply), until_ms);
	else
		n = 0;
	(void)close(fd);
	if (n >= 12 && memcmp(reply, "HTTP/1.1 200", 12) == 0)
		return IM_OK;
	if (n < 12 || memcmp(reply, "HTTP/1.1 ", 9) != 0)
		return err_set(err, IM_EUNAVAILABLE, "%s did not answer /readyz within %u ms",
			       address, timeout_ms);
	body = strstr(reply, "\r\n\r\n");
	return err_set(err, IM_EUNAVAILABLE, "%s answered %.3s: %.*s", address, reply + 9,
		       body != NULL ? (int)strcspn(body + 4, "\r\n") : 0,
		       body != NULL ? body + 4 : "");
}
