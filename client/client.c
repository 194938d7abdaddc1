/*
 * client/client.c - connections to a router: made, kept and ended; see infermesh.h. Knows nothing of what is asked.
 */
#include "client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

void
client_ref(struct infermesh *mesh)
{
	atomic_fetch_add(&mesh->refs, 1);
}

void
client_unref(struct infermesh *mesh)
{
	if (atomic_fetch_sub(&mesh->refs, 1) != 1)
		return;
	(void)pthread_cond_destroy(&mesh->changed);
	(void)pthread_mutex_destroy(&mesh->lock);
	free(mesh);
}

void
client_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
}

bool
client_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_us)
{
	struct timespec until = { .tv_sec = (time_t)(until_us / 1000000),
				  .tv_nsec = (long)(until_us % 1000000) * 1000 };

	if (until_us == UINT64_MAX)
		return pthread_cond_wait(cond, lock) == 0;
	return pthread_cond_timedwait(cond, lock, &until) != ETIMEDOUT;
}

/* The endpoint. */

static void
on_up(void *user, struct link *link)
{
	struct infermesh *mesh = user;

	(void)link;
	(void)pthread_mutex_lock(&mesh->lock);
	mesh->up = true;
	(void)pthread_cond_broadcast(&mesh->changed);
	(void)pthread_mutex_unlock(&mesh->lock);
}

static void
on_trouble(void *user, const struct im_err *why)
{
	struct infermesh *mesh = user;

	(void)pthread_mutex_lock(&mesh->lock);
	mesh->trouble = *why;
	(void)pthread_mutex_unlock(&mesh->lock);
}

static void
on_net_closed(void *arg)
{
	struct infermesh *mesh = arg;

	(void)pthread_mutex_lock(&mesh->lock);
	mesh->net_closed = true;
	(void)pthread_cond_broadcast(&mesh->changed);
	(void)pthread_mutex_unlock(&mesh->lock);
}

static void *
run(void *loop)
{
	loop_run(loop);
	return NULL;
}

static enum im_rc
dial(struct infermesh *mesh, const char *address, const char *name, struct im_err *err)
{
	static const struct endpoint_ops ops = { .up = on_up, .trouble = on_trouble };
	const struct net_params params = { .role = "client", .name = name };
	enum im_rc rc;
	int errnum;

	rc = loop_new(&mesh->loop, err);
	if (rc != IM_OK)
		return rc;
	errnum = pthread_create(&mesh->thread, NULL, run, mesh->loop);
	if (errnum != 0)
		return err_errno(err, IM_EIO, errnum, "cannot start a thread");
	mesh->running = true;
	loop_enter(mesh->loop);
	rc = net_new(mesh->loop, &params, &mesh->net, err);
	if (rc == IM_OK)
		rc = net_dial(mesh->net, address, &ops, mesh, &mesh->ep, err);
	loop_leave(mesh->loop);
	return rc;
}

static enum im_rc
await_up(struct infermesh *mesh, uint32_t timeout_ms, struct im_err *err)
{
	uint64_t until_us = clock_mono_us() + timeout_ms * UINT64_C(1000);
	enum im_rc rc = IM_OK;

	(void)pthread_mutex_lock(&mesh->lock);
	while (!mesh->up && client_wait(&mesh->changed, &mesh->lock, until_us))
		continue;
	if (!mesh->up && mesh->trouble.rc != IM_OK)
		rc = err_set(
		    err, IM_EUNAVAILABLE,
		    "no router answered at %s within %u ms; is it running? The last attempt: %s",
		    mesh->address, timeout_ms, mesh->trouble.text);
	else if (!mesh->up)
		rc = err_set(err, IM_EUNAVAILABLE,
			     "no router answered at %s within %u ms; is the address right?",
			     mesh->address, timeout_ms);
	(void)pthread_mutex_unlock(&mesh->lock);
	return rc;
}

enum infermesh_code
infermesh_connect(const char *address, const char *name, uint32_t timeout_ms,
		  struct infermesh **ret_mesh, struct infermesh_error *ret_err)
{
	struct infermesh *mesh = calloc(1, sizeof(*mesh));
	struct im_err err = { .rc = IM_OK };
	sigset_t all, before;
	enum im_rc rc;

	if (mesh == NULL) {
		(void)err_set(&err, IM_ENOMEM, "no memory for a connection");
		return client_error(&err, ret_err);
	}
	atomic_init(&mesh->refs, 1);
	(void)pthread_mutex_init(&mesh->lock, NULL);
	client_cond_init(&mesh->changed);
	list_init(&mesh->ready);
	(void)snprintf(mesh->address, sizeof(mesh->address), "%s", address);
	/* The threads that start now, nng's too, inherit this: signals are the program's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = dial(mesh, address, name, &err);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == IM_OK)
		rc = await_up(mesh, timeout_ms, &err);
	if (rc != IM_OK) {
		infermesh_close(mesh);
		return client_error(&err, ret_err);
	}
	*ret_mesh = mesh;
	return INFERMESH_OK;
}

int
infermesh_connected(struct infermesh *mesh)
{
	const struct link *link;
	int up;

	loop_enter(mesh->loop);
	link = endpoint_link(mesh->ep);
	up = link != NULL && !link_draining(link);
	loop_leave(mesh->loop);
	return up;
}

static void
close_net(struct infermesh *mesh)
{
	loop_enter(mesh->loop);
	net_close(mesh->net, on_net_closed, mesh);
	loop_leave(mesh->loop);
	(void)pthread_mutex_lock(&mesh->lock);
	while (!mesh->net_closed)
		(void)client_wait(&mesh->changed, &mesh->lock, UINT64_MAX);
	(void)pthread_mutex_unlock(&mesh->lock);
	loop_enter(mesh->loop);
	net_free(mesh->net);
	loop_leave(mesh->loop);
}

void
infermesh_close(struct infermesh *mesh)
{
	if (mesh == NULL)
		return;
	/* Waiting here for ourselves would never end; better to say where the mistake is. */
	if (mesh->dispatching && pthread_equal(mesh->dispatcher, pthread_self()) != 0)
		abort();
	if (mesh->net != NULL)
		close_net(mesh); /* ends all calls */
	client_dispatcher_stop(mesh);
	if (mesh->running) {
		loop_stop(mesh->loop);
		(void)pthread_join(mesh->thread, NULL);
	}
	loop_free(mesh->loop);
	atomic_store(&mesh->closed, true);
	client_unref(mesh);
}

/* Calls. */

enum im_rc
client_start(struct infermesh *mesh, const struct call_request *req, const struct call_ops *ops,
	     void *user, struct call **ret_call, struct im_err *err)
{
	struct link *link = endpoint_link(mesh->ep);

	if (link == NULL)
		return err_set(
		    err, IM_EUNAVAILABLE,
		    "there is no connection to the router at %s now; it is being made again",
		    mesh->address);
	return call_start(link, req, ops, user, ret_call, err);
}

/* Somebody waits for the end of a call. */
struct asked {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
	struct im_err err;
	struct buf *reply;
};

static void
on_reply(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct asked *a = user;

	(void)call;
	(void)pthread_mutex_lock(&a->lock);
	if (err != NULL)
		a->err = *err;
	else if (!buf_append(a->reply, body, len))
		(void)err_set(&a->err, IM_ENOMEM, "no memory for the reply");
	a->done = true;
	(void)pthread_cond_signal(&a->changed);
	(void)pthread_mutex_unlock(&a->lock);
}

enum im_rc
client_ask(struct infermesh *mesh, const struct call_request *req, struct buf *reply,
	   struct im_err *err)
{
	static const struct call_ops ops = { .end = on_reply };
	struct asked a = { .reply = reply, .err = { .rc = IM_OK } };
	struct call *call;
	enum im_rc rc;

	(void)pthread_mutex_init(&a.lock, NULL);
	client_cond_init(&a.changed);
	loop_enter(mesh->loop);
	rc = client_start(mesh, req, &ops, &a, &call, err);
	loop_leave(mesh->loop);
	if (rc == IM_OK) {
		(void)pthread_mutex_lock(&a.lock);
		while (!a.done)
			(void)client_wait(&a.changed, &a.lock, UINT64_MAX);
		(void)pthread_mutex_unlock(&a.lock);
		if (a.err.rc != IM_OK)
			*err = a.err;
		rc = a.err.rc;
	}
	(void)pthread_cond_destroy(&a.changed);
	(void)pthread_mutex_destroy(&a.lock);
	return rc;
}
