/*
 * sim/sim_net.c - see sim_net.h.
 */
#include "sim_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/door.h"
#include "sim.h"
#include "sim_loop.h"

struct net {
	char name[NET_NAME_MAX];
	far_dialled_fn dialled;
	void *world;
	struct endpoint *listening;
	uint32_t calls_open; /* to workers */
};

struct endpoint {
	struct net *net;
	const struct endpoint_ops *ops;
	void *user;
	struct link *link; /* dialled */
	struct list links; /* accepted */
	bool listens;
};

struct link {
	struct list node; /* of endpoint.links */
	struct endpoint *ep;
	struct net *net;
	const struct endpoint_ops *ops; /* outlive the endpoint */
	void *ops_user;
	struct link_peer peer;
	void *user;
	const struct far_ops *far_ops;
	void *far;
	bool to_worker, draining, told_goaway, closing;
	struct list calls, served;
	struct loop_task close_task;
};

struct call {
	struct list node;
	struct link *link;
	const struct call_ops *ops;
	void *user, *far_user;
	struct loop_timer timer;
};

struct served {
	struct list node; /* of link.served */
	struct link *link;
	const struct served_ops *ops;
	void *user, *far_user;
	uint32_t credit;
	bool waiting, cancelled, in_request;
};

static void *
get(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL) {
		sim_fail("no memory for the simulation itself");
	}
	return p;
}

struct net *
far_net_new(const char *name, far_dialled_fn dialled, void *world)
{
	struct net *net = get(sizeof(*net));

	(void)snprintf(net->name, sizeof(net->name), "%s", name);
	net->dialled = dialled;
	net->world = world;
	return net;
}

void
far_net_free(struct net *net)
{
	free(net);
}

uint32_t
far_calls_open(const struct net *net)
{
	return net->calls_open;
}

/* --- endpoints --- */

static struct endpoint *
endpoint_new(struct net *net, const struct endpoint_ops *ops, void *user)
{
	struct endpoint *ep = get(sizeof(*ep));

	ep->net = net;
	ep->ops = ops;
	ep->user = user;
	list_init(&ep->links);
	return ep;
}

enum im_rc
net_listen(struct net *net, const char *url, const struct endpoint_ops *ops, void *user,
	   struct endpoint **ret_ep, struct im_err *err)
{
	(void)url;
	(void)err;
	*ret_ep = net->listening = endpoint_new(net, ops, user);
	net->listening->listens = true;
	return IM_OK;
}

enum im_rc
net_dial(struct net *net, const char *url, const struct endpoint_ops *ops, void *user,
	 struct endpoint **ret_ep, struct im_err *err)
{
	(void)err;
	*ret_ep = endpoint_new(net, ops, user);
	net->dialled(net->world, *ret_ep, url);
	return IM_OK;
}

static void link_gone(struct link *l, const struct im_err *why);

static void
close_fire(void *arg)
{
	struct link *l = arg;
	struct im_err err;
	void (*closed)(void *far) = l->far_ops->closed;
	void *far = l->far;

	(void)err_reason(&err, IM_EUNAVAILABLE, "link_lost", "closed by the router");
	link_gone(l, &err);
	closed(far);
}

static struct link *
link_new(struct endpoint *ep, const char *role, const char *name, const uint8_t instance[16],
	 const struct far_ops *ops, void *far)
{
	struct link *l = get(sizeof(*l));

	l->ep = ep;
	l->net = ep->net;
	l->ops = ep->ops;
	l->ops_user = ep->user;
	l->far_ops = ops;
	l->far = far;
	list_init(&l->calls);
	list_init(&l->served);
	(void)snprintf(l->peer.role, sizeof(l->peer.role), "%s", role);
	(void)snprintf(l->peer.name, sizeof(l->peer.name), "%s", name);
	memcpy(l->peer.instance, instance, sizeof(l->peer.instance));
	l->close_task = (struct loop_task){ .fn = close_fire, .arg = l };
	l->to_worker = strcmp(role, "inference") == 0;
	list_push_back(&ep->links, &l->node);
	return l;
}

struct link *
far_open(struct net *net, const char *role, const char *name, const uint8_t instance[16],
	 const struct far_ops *ops, void *far)
{
	struct link *l;

	if (net == NULL || net->listening == NULL) {
		return NULL;
	}
	l = link_new(net->listening, role, name, instance, ops, far);
	l->ops->up(l->ops_user, l);
	return l;
}

struct link *
far_open_dialled(struct endpoint *ep, const char *role, const struct far_ops *ops, void *far)
{
	static const uint8_t instance[16] = { 1 };
	struct link *l = link_new(ep, role, role, instance, ops, far);

	ep->link = l;
	l->ops->up(l->ops_user, l);
	return l;
}

static void
call_over(struct call *c)
{
	loop_timer_cancel(sim_loop(), &c->timer);
	list_remove(&c->node);
	c->link->net->calls_open -= c->link->to_worker;
}

static void
link_gone(struct link *l, const struct im_err *why)
{
	struct list *node;

	l->closing = true;
	while ((node = list_pop_front(&l->calls)) != NULL) {
		struct call *c = CONTAINER_OF(node, struct call, node);

		call_over(c);
		l->far_ops->gone(c->far_user);
		c->ops->end(c->user, c, why, NULL, 0);
		free(c);
	}
	while ((node = list_pop_front(&l->served)) != NULL) {
		struct served *s = CONTAINER_OF(node, struct served, node);

		s->cancelled = true;
		s->link = NULL;
		if (s->ops != NULL && s->ops->cancelled != NULL) {
			s->ops->cancelled(s->user, s);
		}
	}
	if (l->ep != NULL && l->ep->link == l) {
		l->ep->link = NULL;
	}
	list_remove(&l->node);
	l->ops->down(l->ops_user, l, why);
	loop_cancel(sim_loop(), &l->close_task);
	free(l);
}

void
far_lose(struct link *link, const char *why)
{
	struct im_err err;

	(void)err_reason(&err, IM_EUNAVAILABLE, "link_lost", "%s", why);
	link_gone(link, &err);
}

void
link_close(struct link *l, const struct im_err *why)
{
	(void)why;
	loop_post(sim_loop(), &l->close_task);
}

void
endpoint_close(struct endpoint *ep)
{
	if (ep == NULL) {
		return;
	}
	LIST_FOREACH_SAFE (&ep->links, l, struct link, node) {
		list_remove(&l->node);
		l->ep = NULL;
		link_close(l, NULL);
	}
	if (ep->net->listening == ep) {
		ep->net->listening = NULL;
	}
	if (!ep->listens) {
		ep->net->dialled(ep->net->world, ep, NULL);
	}
	free(ep);
}

const char *
endpoint_url(const struct endpoint *ep)
{
	(void)ep;
	return "sim://";
}

/* --- links --- */

const struct link_peer *
link_peer(const struct link *link)
{
	return &link->peer;
}

void
link_set_user(struct link *link, void *user)
{
	link->user = user;
}

void *
link_user(const struct link *link)
{
	return link->user;
}

bool
link_draining(const struct link *link)
{
	return link->draining;
}

void
link_goaway(struct link *link, const char *reason)
{
	(void)reason;
	if (!link->told_goaway) {
		link->told_goaway = true;
		link->far_ops->goaway(link->far);
	}
}

void
far_goaway(struct link *link)
{
	link->draining = true;
	if (link->ops->goaway != NULL) {
		link->ops->goaway(link->ops_user, link);
	}
}

/* --- calls that the router opens --- */

static void
call_late(void *arg)
{
	struct call *c = arg;
	struct im_err err;

	(void)err_reason(&err, IM_EDEADLINE, "deadline", "no answer before the deadline");
	call_over(c);
	c->link->far_ops->gone(c->far_user);
	c->ops->end(c->user, c, &err, NULL, 0);
	free(c);
}

enum im_rc
call_start(struct link *link, const struct call_request *req, const struct call_ops *ops,
	   void *user, struct call **ret_call, struct im_err *err)
{
	struct call *c;

	if (link->closing || link->draining) {
		return err_reason(err, IM_EUNAVAILABLE, link->draining ? "draining" : "link_lost",
				  "the peer takes no calls");
	}
	c = get(sizeof(*c));
	c->link = link;
	c->ops = ops;
	c->user = user;
	c->timer = (struct loop_timer){ .fn = call_late, .arg = c };
	list_push_back(&link->calls, &c->node);
	link->net->calls_open += link->to_worker;
	if (req->budget_ms > 0) {
		sim_at(&c->timer, sim_now_us() + req->budget_ms * 1000ULL);
	}
	*ret_call = c;
	c->far_user = link->far_ops->opened(link->far, c, req);
	return IM_OK;
}

void
call_grant(struct call *call, size_t bytes)
{
	(void)call;
	(void)bytes;
}

void
call_cancel(struct call *call)
{
	if (!list_linked(&call->node)) {
		return; /* inside its own end */
	}
	call_over(call);
	call->link->far_ops->gone(call->far_user);
	free(call);
}

void
far_data(struct call *call, const uint8_t *body, size_t len)
{
	call->ops->data(call->user, call, body, len);
}

void
far_end(struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	call_over(call);
	call->ops->end(call->user, call, err, body, len);
	free(call);
}

void *
far_call_user(const struct call *call)
{
	return call->user;
}

struct link *
far_call_link(const struct call *call)
{
	return call->link;
}

/* --- calls that the router answers --- */

void
far_serve(struct link *link, const struct served_request *req, uint32_t credit, void *user,
	  struct served **ret_served)
{
	struct served *s = get(sizeof(*s));

	s->link = link;
	s->far_user = user;
	s->credit = credit;
	list_push_back(&link->served, &s->node);
	*ret_served = s;
	link->ops->request(link->ops_user, link, s, req);
}

void
far_cancel(struct served *served)
{
	list_remove(&served->node);
	served->cancelled = true;
	if (served->ops != NULL && served->ops->cancelled != NULL) {
		served->ops->cancelled(served->user, served);
	}
}

void
far_credit(struct served *served, uint32_t messages)
{
	served->credit += messages;
	if (served->waiting && !served->cancelled) {
		served->waiting = false;
		served->ops->writable(served->user, served);
	}
}

void
served_accept(struct served *served, const struct served_ops *ops, void *user)
{
	served->ops = ops;
	served->user = user;
}

enum im_rc
served_send(struct served *served, const uint8_t *body, size_t len)
{
	if (served->cancelled) {
		return IM_EUNAVAILABLE;
	}
	if (served->credit == 0) {
		served->waiting = true;
		return IM_EAGAIN;
	}
	served->credit--;
	served->link->far_ops->data(served->far_user, body, len);
	return IM_OK;
}

void
served_end(struct served *served, const struct im_err *err, const uint8_t *body, size_t len)
{
	if (!served->cancelled) {
		list_remove(&served->node);
	}
	if (!served->cancelled && !sim_loses(served->link->peer.role)) {
		served->link->far_ops->ended(served->far_user, err, body, len);
	}
	free(served);
}

/* --- the door, which is not simulated, and the addresses of daemon.h --- */

enum im_rc
door_open(struct loop *loop, const struct door_params *params, door_fn fn, void *user,
	  struct door **ret_door, struct im_err *err)
{
	(void)loop;
	(void)params;
	(void)fn;
	(void)user;
	(void)ret_door;
	return err_set(err, IM_EINVAL, "the simulation has no door");
}

void
door_reply(struct door_request *request, const uint8_t *body, size_t len)
{
	(void)request;
	(void)body;
	(void)len;
}

void
door_close(struct door *door, loop_fn closed, void *arg)
{
	(void)door;
	(void)closed;
	(void)arg;
}

void
door_free(struct door *door)
{
	(void)door;
}
