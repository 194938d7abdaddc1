/*
 * client/dispatch.c - the thread on which a connection's callbacks run. It reads calls as a program's thread would, so a
 * callback never runs on the loop or inside a function that the program called, and may use the whole library.
 */
#include <signal.h>

#include "client.h"

/* All events of 'c' that are there. */
static void
deliver(struct infermesh_call *c)
{
	struct infermesh_error error;
	struct infermesh_event ev;
	struct im_err err;

	while (!c->ended && !atomic_load(&c->silent)) {
		enum im_rc rc = client_next(c, 0, &ev, &err);

		if (rc == IM_EAGAIN)
			return;
		if (rc != IM_OK) {
			c->ended = true;
			(void)client_error(&err, &error);
			ev = client_blank_event(INFERMESH_ERROR);
			ev.error = &error;
		}
		if (!atomic_load(&c->silent))
			c->fn(c->user, c, &ev);
	}
}

static void *
dispatch(void *arg)
{
	struct infermesh *mesh = arg;
	struct list *node;

	(void)pthread_mutex_lock(&mesh->lock);
	for (;;) {
		struct infermesh_call *c;

		while ((node = list_pop_front(&mesh->ready)) == NULL && !mesh->stopping)
			(void)client_wait(&mesh->changed, &mesh->lock, UINT64_MAX);
		if (node == NULL)
			break;
		c = CONTAINER_OF(node, struct infermesh_call, ready_node);
		mesh->delivering = c;
		(void)pthread_mutex_unlock(&mesh->lock);
		deliver(c);
		(void)pthread_mutex_lock(&mesh->lock);
		mesh->delivering = NULL;
		(void)pthread_cond_broadcast(&mesh->changed);
		(void)pthread_mutex_unlock(&mesh->lock);
		client_call_unref(c);
		(void)pthread_mutex_lock(&mesh->lock);
	}
	(void)pthread_mutex_unlock(&mesh->lock);
	return NULL;
}

enum im_rc
client_dispatcher_start(struct infermesh *mesh, struct im_err *err)
{
	enum im_rc rc = IM_OK;
	sigset_t all, before;
	int errnum;

	(void)sigfillset(&all);
	(void)pthread_mutex_lock(&mesh->lock);
	if (!mesh->dispatching) {
		(void)pthread_sigmask(SIG_SETMASK, &all, &before);
		errnum = pthread_create(&mesh->dispatcher, NULL, dispatch, mesh);
		(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
		mesh->dispatching = errnum == 0;
		if (errnum != 0)
			rc = err_errno(err, IM_EIO, errnum, "cannot start a thread for callbacks");
	}
	(void)pthread_mutex_unlock(&mesh->lock);
	return rc;
}

void
client_dispatcher_stop(struct infermesh *mesh)
{
	bool there;

	(void)pthread_mutex_lock(&mesh->lock);
	there = mesh->dispatching;
	mesh->stopping = true;
	(void)pthread_cond_broadcast(&mesh->changed);
	(void)pthread_mutex_unlock(&mesh->lock);
	if (there)
		(void)pthread_join(mesh->dispatcher, NULL);
}

void
client_dispatch(struct infermesh_call *c)
{
	struct infermesh *mesh = c->mesh;

	if (c->fn == NULL)
		return;
	(void)pthread_mutex_lock(&mesh->lock);
	if (!list_linked(&c->ready_node) && !atomic_load(&c->silent)) {
		client_call_ref(c);
		list_push_back(&mesh->ready, &c->ready_node);
		(void)pthread_cond_broadcast(&mesh->changed);
	}
	(void)pthread_mutex_unlock(&mesh->lock);
}

void
client_dispatch_no_more(struct infermesh_call *c)
{
	struct infermesh *mesh = c->mesh;
	bool queued;

	if (c->fn == NULL)
		return;
	(void)pthread_mutex_lock(&mesh->lock);
	queued = list_linked(&c->ready_node);
	list_remove(&c->ready_node);
	while (mesh->delivering == c && pthread_equal(mesh->dispatcher, pthread_self()) == 0)
		(void)client_wait(&mesh->changed, &mesh->lock, UINT64_MAX);
	(void)pthread_mutex_unlock(&mesh->lock);
	if (queued)
		client_call_unref(c);
}
