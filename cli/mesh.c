/*
 * cli/mesh.c - blocking calls over lib/net; see mesh.h.
 *
 * What callbacks tell the waiting thread is guarded by 'lock'; everything of lib/net is touched on the loop only.
 */
#include "cli/mesh.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define DIAL_TIMEOUT_MS 5000
#define PEERS_MAX       8

struct peer {
	struct mesh *mesh;
	struct endpoint *ep;
	struct link *link; /* on the loop */
	bool up;           /* guarded by lock */
	bool refused;      /* guarded by lock */
	struct im_err why;
};

struct mesh {
	struct loop *loop;
	struct net *net;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t news;
	bool closed;
	struct peer peers[PEERS_MAX];
	size_t peer_count;
};

/* One call of mesh_call(). */
struct question {
	struct mesh *mesh;
	struct buf *reply;
	bool done;
	enum im_rc rc;
	struct im_err err;
};

static void *
loop_main(void *arg)
{
	struct mesh *m = arg;

	loop_run(m->loop);
	return NULL;
}

static void
tell(struct mesh *m)
{
	(void)pthread_cond_broadcast(&m->news);
	(void)pthread_mutex_unlock(&m->lock);
}

static void
on_closed(void *arg)
{
	struct mesh *m = arg;

	(void)pthread_mutex_lock(&m->lock);
	m->closed = true;
	tell(m);
}

/* The loop's thread takes no signals: they are for the command. */
static bool
start_thread(struct mesh *m)
{
	sigset_t all, old;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &old);
	m->running = pthread_create(&m->thread, NULL, loop_main, m) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return m->running;
}

enum im_rc
mesh_open(const struct config *config, const char *role, const char *name, struct mesh **ret_mesh,
	  struct im_err *err)
{
	const struct net_params params = { .role = role,
					   .name = name,
					   .max_frame_bytes =
					       (size_t)config_int(config, "mesh.max_frame_bytes"),
					   .heartbeat_ms =
					       (uint32_t)config_int(config, "mesh.heartbeat_ms") };
	struct mesh *m = calloc(1, sizeof(*m));
	pthread_condattr_t attr;
	sigset_t all, old;
	enum im_rc rc;

	if (m == NULL)
		return err_set(err, IM_ENOMEM, "not enough memory");
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&m->news, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_init(&m->lock, NULL);
	rc = loop_new(&m->loop, err);
	if (rc == IM_OK) {
		/* Its threads start here and keep this mask. */
		net_limit_threads(1);
		(void)sigfillset(&all);
		(void)pthread_sigmask(SIG_BLOCK, &all, &old);
		loop_enter(m->loop);
		rc = net_new(m->loop, &params, &m->net, err);
		loop_leave(m->loop);
		(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	if (rc == IM_OK && !start_thread(m))
		rc = err_set(err, IM_ENOMEM, "not enough memory for a thread");
	if (rc != IM_OK) {
		mesh_close(m);
		return rc;
	}
	*ret_mesh = m;
	return IM_OK;
}

void
mesh_close(struct mesh *m)
{
	if (m == NULL)
		return;
	if (m->net != NULL) {
		loop_enter(m->loop);
		net_close(m->net, on_closed, m);
		loop_leave(m->loop);
		(void)pthread_mutex_lock(&m->lock);
		while (!m->closed && m->running)
			(void)pthread_cond_wait(&m->news, &m->lock);
		(void)pthread_mutex_unlock(&m->lock);
	}
	if (m->running) {
		loop_stop(m->loop);
		(void)pthread_join(m->thread, NULL);
	}
	if (m->net != NULL) {
		loop_enter(m->loop);
		net_free(m->net);
		loop_leave(m->loop);
	}
	loop_free(m->loop);
	(void)pthread_cond_destroy(&m->news);
	(void)pthread_mutex_destroy(&m->lock);
	free(m);
}

static void
on_up(void *user, struct link *link)
{
	struct peer *p = user;

	p->link = link;
	(void)pthread_mutex_lock(&p->mesh->lock);
	p->up = true;
	tell(p->mesh);
}

static void
on_down(void *user, struct link *link, const struct im_err *why)
{
	struct peer *p = user;

	(void)link;
	p->link = NULL;
	(void)pthread_mutex_lock(&p->mesh->lock);
	p->up = false;
	if (why != NULL)
		p->why = *why;
	tell(p->mesh);
}

static void
on_trouble(void *user, const struct im_err *why)
{
	struct peer *p = user;

	(void)pthread_mutex_lock(&p->mesh->lock);
	p->refused = true;
	p->why = *why;
	tell(p->mesh);
}

static struct timespec
until(unsigned timeout_ms)
{
	uint64_t us = clock_mono_us() + timeout_ms * 1000ULL;

	return (struct timespec){ .tv_sec = (time_t)(us / 1000000),
				  .tv_nsec = (long)(us % 1000000) * 1000 };
}

enum im_rc
mesh_dial(struct mesh *m, const char *url, unsigned timeout_ms, struct peer **ret_peer,
	  struct im_err *err)
{
	static const struct endpoint_ops ops = { .up = on_up,
						 .down = on_down,
						 .trouble = on_trouble };
	const struct timespec deadline = until(timeout_ms);
	struct peer *p;
	enum im_rc rc;
	int waited = 0;

	if (m->peer_count == PEERS_MAX)
		return err_set(err, IM_ELIMIT, "more than %d daemons are dialled", PEERS_MAX);
	p = &m->peers[m->peer_count];
	p->mesh = m;
	loop_enter(m->loop);
	rc = net_dial(m->net, url, &ops, p, &p->ep, err);
	loop_leave(m->loop);
	if (rc != IM_OK)
		return rc;
	m->peer_count++;
	(void)pthread_mutex_lock(&m->lock);
	while (!p->up && !p->refused && waited != ETIMEDOUT)
		waited = pthread_cond_timedwait(&m->news, &m->lock, &deadline);
	if (p->up)
		rc = IM_OK;
	else if (p->refused)
		rc = err_set(err, IM_EUNAVAILABLE, "%s", p->why.text);
	else
		rc = err_set(err, IM_EUNAVAILABLE, "%s did not answer within %u ms", url,
			     timeout_ms);
	(void)pthread_mutex_unlock(&m->lock);
	if (rc == IM_OK)
		*ret_peer = p;
	return rc;
}

enum im_rc
mesh_dial_router(struct mesh *m, const struct config *config, struct peer **ret_peer,
		 struct im_err *err)
{
	enum im_rc rc = mesh_dial(m, config_strings_at(config, "router.addresses", 0),
				  DIAL_TIMEOUT_MS, ret_peer, err);
	struct im_err why;

	if (rc != IM_OK && err != NULL) {
		why = *err;
		rc = err_set(err, rc, "no router: %s Else start the mesh with 'infermesh up'",
			     why.text);
	}
	return rc;
}

static void
on_end(void *user, struct call *call, const struct im_err *error, const uint8_t *body, size_t len)
{
	struct question *q = user;

	(void)call;
	(void)pthread_mutex_lock(&q->mesh->lock);
	q->done = true;
	q->rc = IM_OK;
	if (error != NULL) {
		q->rc = error->rc;
		q->err = *error;
	} else if (!buf_append(q->reply, body, len)) {
		q->rc = err_set(&q->err, IM_ENOMEM, "not enough memory for the answer");
	}
	tell(q->mesh);
}

enum im_rc
mesh_call(struct peer *p, const char *method, const struct buf *body, unsigned timeout_ms,
	  struct buf *reply, struct im_err *err)
{
	static const struct call_ops ops = { .end = on_end };
	const struct call_request req = {
		.method = method, .budget_ms = timeout_ms, .body = body->data, .body_len = body->len
	};
	struct mesh *m = p->mesh;
	struct question q = { .mesh = m, .reply = reply };
	struct call *call;
	enum im_rc rc = IM_EUNAVAILABLE;

	buf_clear(reply);
	loop_enter(m->loop);
	if (p->link != NULL)
		rc = call_start(p->link, &req, &ops, &q, &call, err);
	else
		(void)err_set(err, rc, "%s: the link is lost: %s", endpoint_url(p->ep),
			      p->why.text);
	loop_leave(m->loop);
	if (rc != IM_OK)
		return rc;
	/* The deadline ends the call, so this wait ends. */
	(void)pthread_mutex_lock(&m->lock);
	while (!q.done)
		(void)pthread_cond_wait(&m->news, &m->lock);
	(void)pthread_mutex_unlock(&m->lock);
	if (q.rc != IM_OK && err != NULL)
		*err = q.err;
	return q.rc;
}

struct loop *
mesh_loop(struct peer *p)
{
	return p->mesh->loop;
}

struct link *
mesh_link(const struct peer *p)
{
	return p->link;
}
