/*
 * net/transport_nng_ends.c - listening and dialling with nng: tcp://; see transport_nng.h for the rules.
 */
#include <nng/nng.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "net/nng_init.h"
#include "net/transport_nng.h"

#define ACCEPT_PAUSE_US 100000u /* after a failed accept, such as EMFILE */

struct stream_acceptor {
	struct acceptor base;
	struct loop *loop;
	nng_stream_listener *listener;
	nng_aio *aio;
	struct loop_task task, gone_task;
	struct loop_timer pause;
	char url[TRANSPORT_URL_MAX];
	bool accepting, closing;
};

struct stream_dialer {
	struct dialer base;
	struct loop *loop;
	nng_stream_dialer *dialer;
	nng_aio *aio;
	struct loop_task task, gone_task;
	char url[TRANSPORT_URL_MAX];
	bool dialling, closing;
};

/* Listening. */

static void
acceptor_gone(void *arg)
{
	struct stream_acceptor *a = arg;
	const struct acceptor_events *events = a->base.events;
	void *user = a->base.user;

	free(a);
	events->closed(user);
}

static void *
acceptor_dispose(void *arg)
{
	struct stream_acceptor *a = arg;

	nng_aio_reap(a->aio);
	nng_stream_listener_free(a->listener);
	loop_post(a->loop, &a->gone_task);
	return NULL;
}

static void
accept_next(void *arg)
{
	struct stream_acceptor *a = arg;

	a->accepting = true;
	nng_stream_listener_accept(a->listener, a->aio);
}

static void
on_accept(void *arg) /* on a thread of nng */
{
	struct stream_acceptor *a = arg;

	loop_post(a->loop, &a->task);
}

static void
accept_trouble(struct stream_acceptor *a, const char *what)
{
	struct im_err err;

	err_set(&err, IM_EIO, "cannot accept a link: %s; trying on", what);
	a->base.events->trouble(a->base.user, &err);
	/* Without a timer the listener would be deaf; without a pause it would spin. */
	if (!a->closing && loop_timer_set(a->loop, &a->pause, ACCEPT_PAUSE_US) != IM_OK)
		accept_next(a);
}

static void
accept_done(void *arg)
{
	struct stream_acceptor *a = arg;
	int rv = nng_aio_result(a->aio);
	nng_stream *stream = rv == 0 ? nng_aio_get_output(a->aio, 0) : NULL;
	struct conn *c;

	a->accepting = false;
	if (a->closing) {
		nng_stream_free(stream);
		net_off_loop(acceptor_dispose, a);
		return;
	}
	if (rv != 0) {
		accept_trouble(a, nng_strerror(rv));
		return;
	}
	c = stream_conn_new(a->loop, stream, a->url);
	if (c == NULL) {
		accept_trouble(a, "no memory");
		return;
	}
	a->base.events->accepted(a->base.user, c);
	if (!a->closing) /* else stream_acceptor_close() saw that nothing is posted */
		accept_next(a);
}

static void
stream_acceptor_close(struct acceptor *base)
{
	struct stream_acceptor *a = CONTAINER_OF(base, struct stream_acceptor, base);

	a->closing = true;
	loop_timer_cancel(a->loop, &a->pause);
	nng_stream_listener_close(a->listener);
	if (!a->accepting)
		net_off_loop(acceptor_dispose, a);
}

static const struct acceptor_vtable stream_acceptor_vtable = { .close = stream_acceptor_close };

/* Put the port that the kernel chose into 'url'. */
static void
url_set_port(nng_stream_listener *listener, char url[TRANSPORT_URL_MAX])
{
	char *colon = strrchr(url, ':');
	size_t at = (size_t)(colon - url);
	int port;

	if (nng_stream_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0)
		(void)snprintf(colon, TRANSPORT_URL_MAX - at, ":%d", port);
}

static enum im_rc
listen_on(struct stream_acceptor *a, struct im_err *err)
{
	int rv = nng_stream_listener_alloc(&a->listener, a->url);

	if (rv == 0)
		rv = nng_stream_listener_set_bool(a->listener, NNG_OPT_TCP_NODELAY, true);
	if (rv == 0)
		rv = nng_stream_listener_listen(a->listener);
	if (rv == NNG_EADDRINUSE)
		return err_set(err, IM_EEXIST,
			       "another process listens on %s; stop it or choose another address",
			       a->url);
	if (rv != 0)
		return err_set(
		    err, net_nng_rc(rv) == IM_EINVAL ? IM_EINVAL : IM_EIO,
		    "cannot listen on %s: %s; check the address, its folder and its permissions",
		    a->url, nng_strerror(rv));
	url_set_port(a->listener, a->url);
	return IM_OK;
}

enum im_rc
stream_acceptor_open(struct loop *loop, const char *url, struct acceptor **ret_acceptor,
		     char ret_url[TRANSPORT_URL_MAX], struct im_err *err)
{
	struct stream_acceptor *a;
	enum im_rc rc = net_nng_start(err);

	if (rc != IM_OK)
		return rc;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return err_set(err, IM_ENOMEM, "no memory to listen on %s", url);
	a->base.vt = &stream_acceptor_vtable;
	a->loop = loop;
	a->task.fn = accept_done;
	a->gone_task.fn = acceptor_gone;
	a->pause.fn = accept_next;
	a->task.arg = a->gone_task.arg = a->pause.arg = a;
	(void)snprintf(a->url, sizeof(a->url), "%s", url);
	if (nng_aio_alloc(&a->aio, on_accept, a) != 0)
		rc = err_set(err, IM_ENOMEM, "no memory to listen on %s", url);
	if (rc == IM_OK)
		rc = listen_on(a, err);
	if (rc != IM_OK) {
		nng_stream_listener_free(a->listener);
		nng_aio_reap(a->aio);
		free(a);
		return rc;
	}
	(void)snprintf(ret_url, TRANSPORT_URL_MAX, "%s", a->url);
	accept_next(a);
	*ret_acceptor = &a->base;
	return IM_OK;
}

/* Dialling. */

static void
dialer_gone(void *arg)
{
	struct stream_dialer *d = arg;
	const struct dialer_events *events = d->base.events;
	void *user = d->base.user;

	free(d);
	events->closed(user);
}

static void *
dialer_dispose(void *arg)
{
	struct stream_dialer *d = arg;

	nng_aio_reap(d->aio);
	nng_stream_dialer_free(d->dialer);
	loop_post(d->loop, &d->gone_task);
	return NULL;
}

static void
on_dial(void *arg) /* on a thread of nng */
{
	struct stream_dialer *d = arg;

	loop_post(d->loop, &d->task);
}

static void
dial_done(void *arg)
{
	struct stream_dialer *d = arg;
	int rv = nng_aio_result(d->aio);
	nng_stream *stream = rv == 0 ? nng_aio_get_output(d->aio, 0) : NULL;
	struct conn *c;
	struct im_err err;

	d->dialling = false;
	if (d->closing) {
		nng_stream_free(stream);
		net_off_loop(dialer_dispose, d);
		return;
	}
	if (rv != 0) {
		err_set(&err, net_nng_rc(rv), "cannot reach %s: %s; is the daemon there running?",
			d->url, rv == NNG_ECANCELED ? "no answer in time" : nng_strerror(rv));
		d->base.events->dialled(d->base.user, NULL, &err);
		return;
	}
	c = stream_conn_new(d->loop, stream, d->url);
	if (c == NULL)
		err_set(&err, IM_ENOMEM, "no memory for a link to %s", d->url);
	d->base.events->dialled(d->base.user, c, c != NULL ? NULL : &err);
}

static void
stream_dial(struct dialer *base)
{
	struct stream_dialer *d = CONTAINER_OF(base, struct stream_dialer, base);

	d->dialling = true;
	nng_stream_dialer_dial(d->dialer, d->aio);
}

static void
stream_dial_abort(struct dialer *base)
{
	struct stream_dialer *d = CONTAINER_OF(base, struct stream_dialer, base);

	if (d->dialling)
		nng_aio_cancel(d->aio);
}

static void
stream_dialer_close(struct dialer *base)
{
	struct stream_dialer *d = CONTAINER_OF(base, struct stream_dialer, base);

	d->closing = true;
	if (d->dialling)
		nng_stream_dialer_close(d->dialer);
	else
		net_off_loop(dialer_dispose, d);
}

static const struct dialer_vtable stream_dialer_vtable = {
	.dial = stream_dial,
	.abort = stream_dial_abort,
	.close = stream_dialer_close,
};

enum im_rc
stream_dialer_open(struct loop *loop, const char *url, struct dialer **ret_dialer,
		   struct im_err *err)
{
	struct stream_dialer *d;
	enum im_rc rc = net_nng_start(err);
	int rv;

	if (rc != IM_OK)
		return rc;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return err_set(err, IM_ENOMEM, "no memory to dial %s", url);
	d->base.vt = &stream_dialer_vtable;
	d->loop = loop;
	d->task.fn = dial_done;
	d->gone_task.fn = dialer_gone;
	d->task.arg = d->gone_task.arg = d;
	(void)snprintf(d->url, sizeof(d->url), "%s", url);
	rv = nng_stream_dialer_alloc(&d->dialer, url);
	if (rv == 0)
		rv = nng_stream_dialer_set_bool(d->dialer, NNG_OPT_TCP_NODELAY, true);
	if (rv == 0)
		rv = nng_aio_alloc(&d->aio, on_dial, d);
	if (rv != 0) {
		nng_aio_reap(d->aio);
		nng_stream_dialer_free(d->dialer);
		free(d);
		return err_set(err, net_nng_rc(rv) == IM_ENOMEM ? IM_ENOMEM : IM_EINVAL,
			       "cannot dial '%s': %s", url, nng_strerror(rv));
	}
	*ret_dialer = &d->base;
	return IM_OK;
}
