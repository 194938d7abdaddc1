/*
 * net/endpoint.c - listens for links, or keeps one dialled with back-off. Never looks inside a link.
 *
 *              dialled           HELLO                      link lost
 *   TRYING ---------------> link in HELLO ----> link is up ----------+
 *     ^  \                       |                                   |
 *     |   \ failed, or too long  | lost                              |
 *     |    v                     v                                   |
 *     +-- PAUSE (timer, full jitter) <-------------------------------+
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/pace.h"
#include "net/room.h"

#define TROUBLE_AGAIN_US UINT64_C(30000000) /* the same trouble is told again after so long */
#define TROUBLE_BURST    10                 /* a listener tells of so many in that time */

static void start_try(void *arg);

void
endpoint_unref(struct endpoint *ep)
{
	struct net *net = ep->net;

	if (--ep->refs > 0)
		return;
	free(ep);
	net_unpend(net);
}

/* A daemon that is down for an hour is worth a few lines, not one a try. */
static bool
dialer_told(struct endpoint *ep, const struct im_err *why, uint64_t now_us)
{
	if (ep->told_us != 0 && now_us - ep->told_us < TROUBLE_AGAIN_US &&
	    strcmp(ep->told, why->text) == 0)
		return true;
	ep->told_us = now_us;
	(void)snprintf(ep->told, sizeof(ep->told), "%s", why->text);
	return false;
}

/* Strangers come as often as they like: what they do must not fill the log. The first one told after a while of silence
 * says how many were not. */
static bool
listener_told(struct endpoint *ep, struct im_err *why, uint64_t now_us)
{
	if (ep->told_us == 0 || now_us - ep->told_us >= TROUBLE_AGAIN_US) {
		if (ep->untold > 0)
			err_prefix(why, "(%" PRIu64 " more were not logged)", ep->untold);
		ep->told_us = now_us;
		ep->told_count = 0;
		ep->untold = 0;
	}
	if (ep->told_count == TROUBLE_BURST) {
		ep->untold++;
		return true;
	}
	ep->told_count++;
	return false;
}

void
endpoint_trouble(struct endpoint *ep, const struct im_err *why)
{
	uint64_t now_us = clock_mono_us();
	struct im_err text = *why;

	if (ep->closed || ep->ops.trouble == NULL)
		return;
	if (ep->dialer != NULL ? dialer_told(ep, why, now_us) : listener_told(ep, &text, now_us))
		return;
	ep->ops.trouble(ep->user, &text);
}

static void
transport_closed(void *user)
{
	endpoint_unref(user);
}

/* A conn that we do not want. */

static void
discard_moved(void *user, size_t len, const struct im_err *err)
{
	(void)user;
	(void)len;
	(void)err;
}

static const struct conn_events discard_events = {
	.received = discard_moved,
	.sent = discard_moved,
	.closed = transport_closed,
};

static void
discard(struct endpoint *ep, struct conn *conn)
{
	ep->refs++;
	conn->events = &discard_events;
	conn->user = ep;
	conn_close(conn);
}

/* Listening. */

static void
on_accepted(void *user, struct conn *conn)
{
	struct endpoint *ep = user;
	struct link *link;
	struct im_err err;

	if (ep->links >= ep->net->params.max_links) {
		err_set(&err, IM_ELIMIT,
			"%s: turned away: there are %u links already; raise max_links",
			conn->address, ep->links);
		discard(ep, conn);
		endpoint_trouble(ep, &err);
		return;
	}
	if (link_open(ep, conn, &link) == IM_OK)
		return;
	err_set(&err, IM_ENOMEM, "%s: turned away: no memory", conn->address);
	discard(ep, conn);
	endpoint_trouble(ep, &err);
}

static void
on_accept_trouble(void *user, const struct im_err *why)
{
	endpoint_trouble(user, why);
}

static const struct acceptor_events acceptor_events = {
	.accepted = on_accepted,
	.trouble = on_accept_trouble,
	.closed = transport_closed,
};

/* Dialling. */

static void
pause_dialling(struct endpoint *ep)
{
	const struct net_params *p = &ep->net->params;
	uint64_t delay_us = backoff_delay_us(ep->attempt, p->reconnect_min_ms, p->reconnect_max_ms,
					     net_random(ep->net));

	if (ep->closed)
		return;
	if (ep->attempt < UINT32_MAX)
		ep->attempt++;
	ep->timer.fn = start_try;
	/* Without memory for the timer dial at once: it is not likely to succeed, but it is not given up. */
	if (loop_timer_set(ep->net->loop, &ep->timer, delay_us) != IM_OK)
		start_try(ep);
}

static void
give_up_try(void *arg)
{
	struct endpoint *ep = arg;

	dialer_abort(ep->dialer);
}

static void
start_try(void *arg)
{
	struct endpoint *ep = arg;

	ep->timer.fn = give_up_try;
	/* Without the timer the kernel's own limit holds. */
	if (loop_timer_set(ep->net->loop, &ep->timer, ep->net->params.hello_timeout_ms * 1000ull) !=
	    IM_OK)
		loop_timer_cancel(ep->net->loop, &ep->timer);
	dialer_dial(ep->dialer);
}

static void
on_dialled(void *user, struct conn *conn, const struct im_err *err)
{
	struct endpoint *ep = user;
	struct im_err nomem;

	loop_timer_cancel(ep->net->loop, &ep->timer);
	if (conn != NULL && link_open(ep, conn, &ep->link) == IM_OK)
		return;
	if (conn != NULL) {
		discard(ep, conn);
		err_set(&nomem, IM_ENOMEM, "no memory for a link to %s", ep->url);
		err = &nomem;
	}
	endpoint_trouble(ep, err);
	pause_dialling(ep);
}

static const struct dialer_events dialer_events = {
	.dialled = on_dialled,
	.closed = transport_closed,
};

void
endpoint_lost(struct endpoint *ep, const struct link *link)
{
	ep->links--;
	if (ep->link != link)
		return;
	ep->link = NULL;
	/* A peer that takes us in and throws us out at once must not be dialled without pause. */
	if (link->was_up &&
	    clock_mono_us() - link->up_us >= ep->net->params.reconnect_max_ms * 1000ull) {
		ep->attempt = 0;
		ep->told_us = 0;
	}
	pause_dialling(ep);
}

/* Both. */

static struct endpoint *
endpoint_new(struct net *net, const char *url, const struct endpoint_ops *ops, void *user)
{
	struct endpoint *ep = calloc(1, sizeof(*ep));

	if (ep == NULL)
		return NULL;
	ep->net = net;
	ep->ops = *ops;
	ep->user = user;
	ep->refs = 2; /* ours, and the acceptor's or dialer's */
	ep->timer.arg = ep;
	(void)snprintf(ep->url, sizeof(ep->url), "%s", url);
	return ep;
}

/* It is what net_listen() or net_dial() returns. */
static void
endpoint_started(struct endpoint *ep)
{
	ep->net->pending++;
	list_push_back(&ep->net->endpoints, &ep->node);
}

enum im_rc
net_listen(struct net *net, const char *url, const struct endpoint_ops *ops, void *user,
	   struct endpoint **ret_ep, struct im_err *err)
{
	struct endpoint *ep;
	enum im_rc rc;

	if (net->closing)
		return err_set(err, IM_EUNAVAILABLE, "cannot listen on %s: shutting down", url);
	ep = endpoint_new(net, url, ops, user);
	if (ep == NULL)
		return err_set(err, IM_ENOMEM, "no memory to listen on %s", url);
	rc = acceptor_open(net->loop, url, &acceptor_events, ep, &ep->acceptor, ep->url, err);
	if (rc != IM_OK) {
		free(ep);
		return rc;
	}
	endpoint_started(ep);
	*ret_ep = ep;
	return IM_OK;
}

enum im_rc
net_dial(struct net *net, const char *url, const struct endpoint_ops *ops, void *user,
	 struct endpoint **ret_ep, struct im_err *err)
{
	struct endpoint *ep;
	enum im_rc rc;

	if (net->closing)
		return err_set(err, IM_EUNAVAILABLE, "cannot dial %s: shutting down", url);
	ep = endpoint_new(net, url, ops, user);
	if (ep == NULL)
		return err_set(err, IM_ENOMEM, "no memory to dial %s", url);
	rc = dialer_open(net->loop, url, &dialer_events, ep, &ep->dialer, err);
	if (rc != IM_OK) {
		free(ep);
		return rc;
	}
	endpoint_started(ep);
	start_try(ep);
	*ret_ep = ep;
	return IM_OK;
}

struct link *
endpoint_link(const struct endpoint *ep)
{
	return ep->link != NULL && ep->link->state == LINK_UP ? ep->link : NULL;
}

const char *
endpoint_url(const struct endpoint *ep)
{
	return ep->url;
}

void
endpoint_close(struct endpoint *ep)
{
	struct im_err why;

	if (ep == NULL)
		return;
	ep->closed = true;
	list_remove(&ep->node);
	loop_timer_cancel(ep->net->loop, &ep->timer);
	if (ep->acceptor != NULL)
		acceptor_close(ep->acceptor);
	else
		dialer_close(ep->dialer);
	err_set(&why, IM_EUNAVAILABLE, "the link was closed here");
	LIST_FOREACH (&ep->net->links, link, struct link, node)
		if (link->ep == ep)
			link_fail(link, &why);
	endpoint_unref(ep);
}
