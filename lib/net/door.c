/*
 * net/door.c - the REQ/REP door over nng's REP protocol with one context for each request answered at once; see door.h.
 *
 *   RECEIVING --request--> HELD --door_reply()--> REPLYING --sent--> RECEIVING
 *       |                                             |
 *       +------ failed ----> PAUSED ---timer----------+-----> RECEIVING
 *   When the door closes each of them becomes IDLE; a HELD one when its reply comes.
 */
#include "net/door.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/transport/ipc/ipc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "net/ipc_path.h"
#include "net/nng_init.h"

#define DOOR_MAX_BYTES  (16u << 20)
#define DOOR_CONCURRENT 64u
#define DOOR_PAUSE_US   100000u

enum request_state {
	REQUEST_IDLE,
	REQUEST_RECEIVING,
	REQUEST_HELD,
	REQUEST_REPLYING,
	REQUEST_PAUSED,
};

struct door_request {
	struct door *door;
	nng_ctx ctx;
	nng_aio *aio;
	struct loop_task task;
	struct loop_timer pause;
	enum request_state state;
};

struct door {
	struct loop *loop;
	door_fn fn;
	void *user;
	nng_socket socket;
	bool open; /* 'socket' is */
	struct ipc_path path;
	struct door_request *requests;
	uint32_t count;
	uint32_t busy; /* requests that are not IDLE */
	bool closing, socket_closed;
	struct loop_task socket_task, closed_task;
};

static void
receive(struct door_request *r)
{
	r->state = REQUEST_RECEIVING;
	nng_ctx_recv(r->ctx, r->aio);
}

static void
check_closed(struct door *d)
{
	if (d->closing && d->socket_closed && d->busy == 0)
		loop_post(d->loop, &d->closed_task);
}

static void
become_idle(struct door_request *r)
{
	r->state = REQUEST_IDLE;
	r->door->busy--;
	check_closed(r->door);
}

static void
pause_over(void *arg)
{
	receive(arg);
}

/* Receiving failed, which is lack of memory: not at once again, or it would spin. */
static void
pause_request(struct door_request *r)
{
	r->state = REQUEST_PAUSED;
	if (loop_timer_set(r->door->loop, &r->pause, DOOR_PAUSE_US) != IM_OK)
		receive(r);
}

static void
take_request(struct door_request *r, nng_msg *msg)
{
	r->state = REQUEST_HELD;
	r->door->fn(r->door->user, r, nng_msg_body(msg), nng_msg_len(msg));
	nng_msg_free(msg);
}

/* Receiving or replying is over. */
static void
request_step(void *arg)
{
	struct door_request *r = arg;
	bool received = r->state == REQUEST_RECEIVING;
	int rv = nng_aio_result(r->aio);
	nng_msg *msg = nng_aio_get_msg(r->aio);

	nng_aio_set_msg(r->aio, NULL);
	/* A reply that was not sent is still ours; the requester left or asks again. */
	if (r->door->closing || !received || rv != 0) {
		if (rv != 0 ? !received : received)
			nng_msg_free(msg);
		if (r->door->closing)
			become_idle(r);
		else if (received)
			pause_request(r);
		else
			receive(r);
		return;
	}
	take_request(r, msg);
}

static void
on_aio(void *arg) /* on a thread of nng */
{
	struct door_request *r = arg;

	loop_post(r->door->loop, &r->task);
}

void
door_reply(struct door_request *r, const uint8_t *body, size_t len)
{
	nng_msg *msg = NULL;

	if (r->door->closing) {
		become_idle(r);
		return;
	}
	if (nng_msg_alloc(&msg, 0) != 0 || nng_msg_append(msg, body, len) != 0) {
		nng_msg_free(msg);
		receive(r); /* nng forgets the request; its sender asks again after a while */
		return;
	}
	r->state = REQUEST_REPLYING;
	nng_aio_set_msg(r->aio, msg);
	nng_ctx_send(r->ctx, r->aio);
}

static void
free_requests(struct door *d)
{
	for (uint32_t i = 0; i < d->count; i++)
		nng_aio_reap(d->requests[i].aio);
	free(d->requests);
	d->requests = NULL;
	d->count = 0;
}

static enum im_rc
make_requests(struct door *d, uint32_t count, struct im_err *err)
{
	int rv = 0;

	d->requests = calloc(count, sizeof(*d->requests));
	if (d->requests == NULL)
		return err_set(err, IM_ENOMEM, "no memory for %u requests at once", count);
	for (; d->count < count; d->count++) {
		struct door_request *r = &d->requests[d->count];

		r->door = d;
		r->task.fn = request_step;
		r->pause.fn = pause_over;
		r->task.arg = r->pause.arg = r;
		rv = nng_ctx_open(&r->ctx, d->socket);
		if (rv == 0)
			rv = nng_aio_alloc(&r->aio, on_aio, r);
		if (rv != 0)
			return err_set(err, IM_ENOMEM, "cannot prepare %u requests at once: %s",
				       count, nng_strerror(rv));
	}
	return IM_OK;
}

static enum im_rc
listen_on(struct door *d, const char *url, struct im_err *err)
{
	bool ipc = d->path.path[0] != '\0';
	char nng_url[2 * TRANSPORT_URL_MAX];
	nng_listener listener;
	int rv;

	(void)snprintf(nng_url, sizeof(nng_url), "%s%s", ipc ? "ipc://" : url,
		       d->path.private_path);
	rv = nng_listener_create(&listener, d->socket, nng_url);
	if (rv == 0 && ipc)
		rv = nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, 0600);
	else if (rv == 0 && strncmp(url, "tcp://", 6) == 0)
		rv = nng_listener_set_bool(listener, NNG_OPT_TCP_NODELAY, true);
	if (rv == 0)
		rv = nng_listener_start(listener, 0);
	if (rv == NNG_EADDRINUSE)
		return err_set(err, IM_EEXIST,
			       "another process listens on %s; stop it or choose another address",
			       url);
	if (rv != 0)
		return err_set(
		    err, net_nng_rc(rv) == IM_EINVAL ? IM_EINVAL : IM_EIO,
		    "cannot listen on %s: %s; check the address, its folder and its permissions",
		    url, nng_strerror(rv));
	return ipc_path_publish(&d->path, err);
}

static void
socket_gone(void *arg)
{
	struct door *d = arg;

	d->socket_closed = true;
	check_closed(d);
}

static enum im_rc
open_socket(struct door *d, const struct door_params *p, struct im_err *err)
{
	size_t max_bytes = p->max_message_bytes != 0 ? p->max_message_bytes : DOOR_MAX_BYTES;
	int rv = nng_rep0_open(&d->socket);

	d->open = rv == 0;
	if (rv == 0)
		rv = nng_socket_set_size(d->socket, NNG_OPT_RECVMAXSZ, max_bytes);
	if (rv != 0)
		return err_set(err, IM_ENOMEM, "cannot make a REP socket: %s", nng_strerror(rv));
	return IM_OK;
}

enum im_rc
door_open(struct loop *loop, const struct door_params *p, door_fn fn, void *user,
	  struct door **ret_door, struct im_err *err)
{
	struct door *d;
	enum im_rc rc = net_nng_start(err);

	if (rc != IM_OK)
		return rc;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the door on %s", p->url);
	d->loop = loop;
	d->fn = fn;
	d->user = user;
	d->socket_task.fn = socket_gone;
	d->socket_task.arg = d;
	rc = ipc_path_init(&d->path, p->url, err);
	if (rc == IM_OK)
		rc = open_socket(d, p, err);
	if (rc == IM_OK)
		rc = make_requests(d, p->concurrent != 0 ? p->concurrent : DOOR_CONCURRENT, err);
	if (rc == IM_OK)
		rc = listen_on(d, p->url, err);
	if (rc != IM_OK) {
		if (d->open)
			(void)nng_close(d->socket);
		free_requests(d);
		free(d);
		return rc;
	}
	d->busy = d->count;
	for (uint32_t i = 0; i < d->count; i++)
		receive(&d->requests[i]);
	*ret_door = d;
	return IM_OK;
}

static void *
close_socket(void *arg)
{
	struct door *d = arg;

	(void)nng_close(d->socket);
	loop_post(d->loop, &d->socket_task);
	return NULL;
}

void
door_close(struct door *d, loop_fn closed, void *arg)
{
	d->closing = true;
	d->closed_task.fn = closed;
	d->closed_task.arg = arg;
	ipc_path_remove(&d->path);
	for (uint32_t i = 0; i < d->count; i++) {
		struct door_request *r = &d->requests[i];

		if (r->state != REQUEST_PAUSED)
			continue;
		loop_timer_cancel(d->loop, &r->pause);
		become_idle(r);
	}
	net_off_loop(close_socket, d);
}

void
door_free(struct door *d)
{
	if (d == NULL)
		return;
	free_requests(d);
	free(d);
}
