/*
 * http/server.c - the server as a whole: listens, accepts, drains and closes; see http.h. What happens on a connection is
 * conn.c's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/conn.h"
#include "http/listen.h"

#define ACCEPTS_A_TURN 64
#define PAUSE_US       100000u /* without descriptors the next try comes after this */

static void
take_params(struct http_params *to, const struct http_params *from)
{
	*to = *from;
	to->listen = to->tls_cert_file = to->tls_key_file = NULL;
	if (to->header_bytes == 0)
		to->header_bytes = (size_t)32 * 1024;
	if (to->body_bytes == 0)
		to->body_bytes = (size_t)10 * 1024 * 1024;
	if (to->max_connections == 0)
		to->max_connections = 16384;
	if (to->header_timeout_ms == 0)
		to->header_timeout_ms = 10 * 1000;
	if (to->body_timeout_ms == 0)
		to->body_timeout_ms = 60 * 1000;
	if (to->idle_timeout_ms == 0)
		to->idle_timeout_ms = 75 * 1000;
	if (to->write_timeout_ms == 0)
		to->write_timeout_ms = 60 * 1000;
	if (to->write_high_bytes == 0)
		to->write_high_bytes = (size_t)64 * 1024;
}

static int
open_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* There are no descriptors: turn one client away, so that it need not wait for nothing, and rest. */
static void
out_of_descriptors(struct http_server *s)
{
	if (s->reserve_fd >= 0) {
		int fd;

		(void)close(s->reserve_fd);
		fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			(void)close(fd);
		s->reserve_fd = open_reserve();
	}
	/* Without a timer it goes on at once: busy, but alive. */
	if (loop_timer_set(s->loop, &s->pause, PAUSE_US) == IM_OK)
		loop_fd_events(s->loop, &s->listener, 0);
}

static void
pause_over(void *arg)
{
	struct http_server *s = arg;

	if (s->reserve_fd < 0)
		s->reserve_fd = open_reserve();
	loop_fd_events(s->loop, &s->listener, EPOLLIN);
}

static void
acceptable(void *arg, uint32_t events)
{
	struct http_server *s = arg;

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer);
		int fd = accept4(s->listener.fd, (struct sockaddr *)&peer, &len,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 &&
		    (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
			out_of_descriptors(s);
			return;
		}
		if (fd < 0 && errno != ECONNABORTED && errno != EINTR)
			return;
		if (fd < 0)
			continue;
		if (s->open >= s->params.max_connections + CONN_EXTRA)
			(void)close(fd);
		else
			http_conn_open(s, fd, (struct sockaddr *)&peer, len,
				       s->open >= s->params.max_connections);
	}
}

static void
stop_listening(struct http_server *s)
{
	if (s->listener.fd < 0)
		return;
	loop_timer_cancel(s->loop, &s->pause);
	loop_fd_del(s->loop, &s->listener);
	(void)close(s->listener.fd);
	s->listener.fd = -1;
	if (s->unix_path[0] != '\0')
		(void)unlink(s->unix_path);
	if (s->reserve_fd >= 0)
		(void)close(s->reserve_fd);
	s->reserve_fd = -1;
}

void
http_server_unref(struct http_server *s)
{
	if (!s->closed || s->alive > 0)
		return;
	http_tls_server_free(s->tls);
	free(s->scratch);
	free(s);
}

static enum im_rc
start(struct http_server *s, const struct http_params *params, struct im_err *err)
{
	enum im_rc rc;

	s->scratch = malloc(CONN_READ_BYTES);
	if (s->scratch == NULL)
		return err_set(err, IM_ENOMEM, "no memory for an HTTP server");
	if ((params->tls_cert_file == NULL) != (params->tls_key_file == NULL))
		return err_set(err, IM_EINVAL,
			       "TLS needs a certificate and a key; give both files or none");
	if (params->tls_cert_file != NULL) {
		rc = http_tls_server_new(params->tls_cert_file, params->tls_key_file, &s->tls, err);
		if (rc != IM_OK)
			return rc;
	}
	rc = http_listen_open(params->listen, &s->listener.fd, s->address, sizeof(s->address), err);
	if (rc != IM_OK)
		return rc;
	if (strncmp(s->address, "unix:", 5) == 0)
		(void)snprintf(s->unix_path, sizeof(s->unix_path), "%s", s->address + 5);
	s->reserve_fd = open_reserve();
	rc = loop_fd_add(s->loop, &s->listener, EPOLLIN);
	if (rc != IM_OK)
		return err_set(err, rc, "cannot watch the socket of %s; check 'ulimit -n'",
			       s->address);
	return IM_OK;
}

enum im_rc
http_server_open(struct loop *loop, const struct http_params *params, const struct http_ops *ops,
		 void *user, struct http_server **ret_server, struct im_err *err)
{
	struct http_server *s = calloc(1, sizeof(*s));
	enum im_rc rc;

	if (s == NULL)
		return err_set(err, IM_ENOMEM, "no memory for an HTTP server");
	s->loop = loop;
	take_params(&s->params, params);
	s->ops = *ops;
	s->user = user;
	s->listener = (struct loop_fd){ .fn = acceptable, .arg = s, .fd = -1 };
	s->pause = (struct loop_timer){ .fn = pause_over, .arg = s };
	s->reserve_fd = -1;
	list_init(&s->conns);
	rc = start(s, params, err);
	if (rc != IM_OK) {
		http_server_close(s);
		return rc;
	}
	*ret_server = s;
	return IM_OK;
}

const char *
http_server_address(const struct http_server *server)
{
	return server->address;
}

uint32_t
http_server_connections(const struct http_server *server)
{
	return server->open;
}

void
http_server_drain(struct http_server *s)
{
	if (s->draining)
		return;
	s->draining = true;
	stop_listening(s);
	LIST_FOREACH_SAFE (&s->conns, c, struct conn, node) {
		if (http_conn_idle(c))
			http_conn_destroy(c);
	}
}

void
http_server_close(struct http_server *s)
{
	if (s == NULL)
		return;
	stop_listening(s);
	LIST_FOREACH_SAFE (&s->conns, c, struct conn, node) {
		http_conn_destroy(c);
	}
	s->closed = true;
	http_server_unref(s);
}
