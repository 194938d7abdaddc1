/*
 * router/router_peers.c - who has a link to the router, and which of its methods is called; see core.h. Answers none itself.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "router/core.h"
#include "router/request.h"

static void
peer_up(void *user, struct link *link)
{
	struct router *router = user;
	struct peer *peer = calloc(1, sizeof(*peer));
	struct im_err err;

	if (peer == NULL) {
		(void)err_set(&err, IM_ENOMEM, "the router is out of memory");
		link_close(link, &err);
		return;
	}
	peer->router = router;
	peer->link = link;
	list_push_back(&router->peers, &peer->node);
	link_set_user(link, peer);
}

static void
peer_down(void *user, struct link *link, const struct im_err *why)
{
	struct router *router = user;
	struct peer *peer = link_user(link);

	if (peer == NULL) {
		return;
	}
	if (peer->worker != NULL) {
		workers_lost(&router->workers, peer->worker, clock_mono_ms());
		if (!router->closing && !peer->worker->retired) {
			log_warn("worker lost", LOG_STR("worker.name", peer->worker->name->text),
				 LOG_STR("error.message", why != NULL ? why->text : ""));
		}
	}
	link_set_user(link, NULL);
	list_remove(&peer->node);
	free(peer);
	if (router->closing) {
		loop_post(router->loop, &router->stop_task);
	}
}

static void
peer_goaway(void *user, struct link *link)
{
	struct peer *peer = link_user(link);

	(void)user;
	if (peer != NULL && peer->worker != NULL) {
		workers_health_event(peer->worker, HEALTH_EV_DRAIN, clock_mono_ms());
	}
}

static void
no_method(struct served *served, const char *method)
{
	struct im_err err;

	(void)err_set(&err, IM_EMETHOD, "the router has no method %.64s", method);
	served_end(served, &err, NULL, 0);
}

static void
peer_request(void *user, struct link *link, struct served *served, const struct served_request *req)
{
	struct router *router = user;
	struct peer *peer = link_user(link);
	struct caller caller = { .kind = CALLER_STREAM, .served = served };
	struct im_err err;

	if (peer == NULL) {
		(void)err_set(&err, IM_EUNAVAILABLE, "this link is being closed");
		served_end(served, &err, NULL, 0);
	} else if (strcmp(req->method, METHOD_GENERATE) == 0) {
		router_request_admit(router, &caller, link_peer(link), req);
	} else if (strcmp(req->method, METHOD_GENERATE_ONCE) == 0) {
		caller.kind = CALLER_ONCE;
		router_request_admit(router, &caller, link_peer(link), req);
	} else if (strcmp(req->method, METHOD_ANNOUNCE) == 0) {
		router_announce(router, peer, served, req);
	} else if (strcmp(req->method, METHOD_REPORT) == 0) {
		router_report(router, peer, served, req);
	} else if (strcmp(req->method, METHOD_LIST_MODELS) == 0) {
		router_list_models(router, served);
	} else if (strcmp(req->method, METHOD_STATUS) == 0) {
		router_status(router, served);
	} else if (!router_operator_request(router, link_peer(link), served, req)) {
		no_method(served, req->method);
	}
}

static void
peer_trouble(void *user, const struct im_err *why)
{
	(void)user;
	log_warn("a peer was turned away", LOG_STR("error.message", why->text));
}

const struct endpoint_ops router_peer_ops = { .up = peer_up,
					      .down = peer_down,
					      .request = peer_request,
					      .goaway = peer_goaway,
					      .trouble = peer_trouble };
