/*
 * net/transport_unix_ends.c - listening and dialling on ipc://; see transport_unix.h for the rules. Knows nothing of the
 * bytes.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/list.h"
#include "net/ipc_path.h"
#include "net/transport_unix.h"

#define ACCEPT_PAUSE_US 100000u /* after a failed accept, such as EMFILE */
#define ACCEPT_BURST    16      /* peers taken in one turn of the loop */
#define BACKLOG         128

struct unix_acceptor {
	struct acceptor base;
	struct loop *loop;
	struct loop_fd watch;
	struct loop_task gone_task;
	struct loop_timer pause;
	struct ipc_path path;
	char url[TRANSPORT_URL_MAX];
	bool closing;
};

struct unix_dialer {
	struct dialer base;
	struct loop *loop;
	struct loop_task task, gone_task;
	struct sockaddr_un address;
	char url[TRANSPORT_URL_MAX];
};

static int
unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static const char *
why(int error)
{
	const char *text = strerrordesc_np(error);

	return text != NULL ? text : "unknown error";
}

/* Fill in 'path', which fits. */
static void
set_address(struct sockaddr_un *sa, const char *path)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	memcpy(sa->sun_path, path, strlen(path) + 1);
}

/* Listening. */

static void
acceptor_gone(void *arg)
{
	struct unix_acceptor *a = arg;
	const struct acceptor_events *events = a->base.events;
	void *user = a->base.user;

	free(a);
	events->closed(user);
}

static void
accept_again(void *arg)
{
	struct unix_acceptor *a = arg;

	loop_fd_events(a->loop, &a->watch, EPOLLIN);
}

static void
accept_trouble(struct unix_acceptor *a, const char *what)
{
	struct im_err err;

	err_set(&err, IM_EIO, "cannot accept a link: %s; trying on", what);
	a->base.events->trouble(a->base.user, &err);
	/* Without a timer the listener would be deaf; without a pause it would spin. */
	if (!a->closing && loop_timer_set(a->loop, &a->pause, ACCEPT_PAUSE_US) == IM_OK)
		loop_fd_events(a->loop, &a->watch, 0);
}

static void
on_peers(void *arg, uint32_t events)
{
	struct unix_acceptor *a = arg;

	(void)events;
	for (int i = 0; i < ACCEPT_BURST && !a->closing; i++) {
		int fd = accept4(a->watch.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct conn *c;

		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
			continue;
		if (fd < 0) {
			accept_trouble(a, why(errno));
			return;
		}
		c = unix_conn_new(a->loop, fd, a->url);
		if (c == NULL) {
			accept_trouble(a, "no memory");
			return;
		}
		a->base.events->accepted(a->base.user, c);
	}
}

static void
unix_acceptor_close(struct acceptor *base)
{
	struct unix_acceptor *a = CONTAINER_OF(base, struct unix_acceptor, base);

	a->closing = true;
	loop_timer_cancel(a->loop, &a->pause);
	loop_fd_del(a->loop, &a->watch);
	ipc_path_remove(&a->path);
	(void)close(a->watch.fd);
	loop_post(a->loop, &a->gone_task);
}

static const struct acceptor_vtable unix_acceptor_vtable = { .close = unix_acceptor_close };

/* Nobody can connect before listen(), so the mode is right before it matters, whatever the umask is. */
static enum im_rc
listen_on(struct unix_acceptor *a, struct im_err *err)
{
	const char *name = a->path.private_path;
	struct sockaddr_un sa;
	enum im_rc rc;

	set_address(&sa, name);
	a->watch.fd = unix_socket();
	if (a->watch.fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot listen on %s; check 'ulimit -n'",
				 a->url);
	if (bind(a->watch.fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
		return err_errno(
		    err, IM_EIO, errno,
		    "cannot listen on %s; check the address, its folder and its permissions",
		    a->url);
	if (chmod(name, 0600) != 0 || listen(a->watch.fd, BACKLOG) != 0)
		rc = err_errno(err, IM_EIO, errno, "cannot listen on %s", a->url);
	else if ((rc = loop_fd_add(a->loop, &a->watch, EPOLLIN)) != IM_OK)
		err_set(err, rc, "cannot listen on %s: no memory to watch it", a->url);
	else
		rc = ipc_path_publish(&a->path, err);
	if (rc != IM_OK)
		(void)unlink(name);
	return rc;
}

enum im_rc
unix_acceptor_open(struct loop *loop, const char *url, struct acceptor **ret_acceptor,
		   struct im_err *err)
{
	struct unix_acceptor *a = calloc(1, sizeof(*a));
	enum im_rc rc;

	if (a == NULL)
		return err_set(err, IM_ENOMEM, "no memory to listen on %s", url);
	a->base.vt = &unix_acceptor_vtable;
	a->loop = loop;
	a->watch.fn = on_peers;
	a->watch.fd = -1;
	a->gone_task.fn = acceptor_gone;
	a->pause.fn = accept_again;
	a->watch.arg = a->gone_task.arg = a->pause.arg = a;
	(void)snprintf(a->url, sizeof(a->url), "%s", url);
	rc = ipc_path_init(&a->path, url, err);
	if (rc == IM_OK)
		rc = listen_on(a, err);
	if (rc != IM_OK) {
		loop_fd_del(loop, &a->watch);
		if (a->watch.fd >= 0)
			(void)close(a->watch.fd);
		free(a);
		return rc;
	}
	*ret_acceptor = &a->base;
	return IM_OK;
}

/* Dialling. */

static void
dialer_gone(void *arg)
{
	struct unix_dialer *d = arg;
	const struct dialer_events *events = d->base.events;
	void *user = d->base.user;

	free(d);
	events->closed(user);
}

static void
dial_failed(struct unix_dialer *d, int error)
{
	enum im_rc rc = IM_EIO;
	const char *what;
	struct im_err err;

	switch (error) {
	case ENOENT: /* no socket file: nobody listens */
	case ECONNREFUSED:
		rc = IM_EUNAVAILABLE;
		what = "Connection refused";
		break;
	case EAGAIN:
		rc = IM_EUNAVAILABLE;
		what = "too many others are waiting to be let in";
		break;
	case EACCES:
	case EPERM:
		rc = IM_EPERM;
		what = why(error);
		break;
	default:
		what = why(error);
		break;
	}
	err_set(&err, rc, "cannot reach %s: %s; is the daemon there running?", d->url, what);
	d->base.events->dialled(d->base.user, NULL, &err);
}

static void
dial_now(void *arg)
{
	struct unix_dialer *d = arg;
	int fd = unix_socket();
	struct conn *c;
	struct im_err err;

	if (fd < 0 || connect(fd, (struct sockaddr *)&d->address, sizeof(d->address)) != 0) {
		int error = errno;

		if (fd >= 0)
			(void)close(fd);
		dial_failed(d, error);
		return;
	}
	c = unix_conn_new(d->loop, fd, d->url);
	if (c == NULL)
		err_set(&err, IM_ENOMEM, "no memory for a link to %s", d->url);
	d->base.events->dialled(d->base.user, c, c != NULL ? NULL : &err);
}

static void
unix_dial(struct dialer *base)
{
	struct unix_dialer *d = CONTAINER_OF(base, struct unix_dialer, base);

	loop_post(d->loop, &d->task);
}

/* A try is never under way for longer than until its task runs. */
static void
unix_dial_abort(struct dialer *base)
{
	(void)base;
}

static void
unix_dialer_close(struct dialer *base)
{
	struct unix_dialer *d = CONTAINER_OF(base, struct unix_dialer, base);

	loop_cancel(d->loop, &d->task);
	loop_post(d->loop, &d->gone_task);
}

static const struct dialer_vtable unix_dialer_vtable = {
	.dial = unix_dial,
	.abort = unix_dial_abort,
	.close = unix_dialer_close,
};

enum im_rc
unix_dialer_open(struct loop *loop, const char *url, struct dialer **ret_dialer, struct im_err *err)
{
	const char *path = url + strlen("ipc://");
	struct unix_dialer *d;

	if (strlen(path) >= sizeof(d->address.sun_path))
		return err_set(err, IM_EINVAL,
			       "cannot dial '%s': the path is too long for a Unix socket", url);
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return err_set(err, IM_ENOMEM, "no memory to dial %s", url);
	d->base.vt = &unix_dialer_vtable;
	d->loop = loop;
	d->task.fn = dial_now;
	d->gone_task.fn = dialer_gone;
	d->task.arg = d->gone_task.arg = d;
	set_address(&d->address, path);
	(void)snprintf(d->url, sizeof(d->url), "%s", url);
	*ret_dialer = &d->base;
	return IM_OK;
}
