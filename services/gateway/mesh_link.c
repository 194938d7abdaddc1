/*
 * gateway/mesh_link.c - see mesh_link.h. Keeps no state beside gateway.link.
 */
#include "gateway/mesh_link.h"

#include "base/log.h"
#include "gateway/errors.h"

#define RETRY_ROUTER_MS 1000 /* by then a router that restarts is back */

static void
on_up(void *user, struct link *link)
{
	struct gateway *g = user;

	g->link = link;
	log_info("router is there", LOG_STR("router.name", link_peer(link)->name),
		 LOG_STR("router.address", link_peer(link)->address));
}

static void
on_down(void *user, struct link *link, const struct im_err *why)
{
	struct gateway *g = user;

	(void)link;
	g->link = NULL;
	if (g->link_gone != NULL) {
		g->link_gone(g);
		return;
	}
	log_warn("router is gone; dialling",
		 LOG_STR("error.message", why == NULL ? "" : why->text));
}

static void
on_trouble(void *user, const struct im_err *why)
{
	(void)user;
	log_debug("router is not there yet", LOG_STR("error.message", why->text));
}

static void
on_goaway(void *user, struct link *link)
{
	(void)user;
	log_info("router is draining", LOG_STR("router.name", link_peer(link)->name));
}

enum im_rc
gateway_link_open(struct gateway *g, const struct service_env *env, struct im_err *err)
{
	static const struct endpoint_ops ops = {
		.up = on_up, .down = on_down, .goaway = on_goaway, .trouble = on_trouble
	};

	return net_dial(env->net, mesh_address(env, "router"), &ops, g, &g->router, err);
}

bool
gateway_link_usable(const struct gateway *g)
{
	return g->link != NULL && !link_draining(g->link);
}

enum im_rc
gateway_link_call(struct gateway *g, const struct call_request *req, const struct call_ops *ops,
		  void *user, struct call **ret_call, struct im_err *err)
{
	enum im_rc rc = IM_EUNAVAILABLE;

	if (gateway_link_usable(g))
		rc = call_start(g->link, req, ops, user, ret_call, err);
	if (rc == IM_EUNAVAILABLE) {
		(void)err_reason(err, rc, "router_unavailable",
				 g->link == NULL
				     ? "The router is not reachable at present; try again."
				     : "The router takes no new requests at present; try again.");
		if (err != NULL)
			err->retry_after_ms = RETRY_ROUTER_MS;
	} else if (rc == IM_EAGAIN && err != NULL) {
		api_error_from_mesh(err);
	}
	return rc;
}
