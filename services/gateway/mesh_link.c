/*
 * gateway/mesh_link.c - see mesh_link.h. Keeps no state beside gateway.link.
 */
#include "gateway/mesh_link.h"

#include "base/log.h"
#include "gateway/errors.h"
#include "wire/mesh.h"

#define RETRY_ROUTER_MS 1000 /* by then a router that restarts is back */

#define LOOK_BUDGET_MS 5000
#define LOOK_US        1000000 /* between looks at whether anybody can answer */
#define LOOK_SOON_US   100000  /* while nobody can */
#define LOOK_MAX_BYTES (16UL * 1024 * 1024)

static void
on_looked(void *user, struct call *call, const struct im_err *why, const uint8_t *body, size_t len)
{
	struct gateway *g = user;
	struct model_list list;
	struct arena arena;

	(void)call;
	g->look = NULL;
	arena_init(&arena, LOOK_MAX_BYTES);
	if (why == NULL && model_list_decode(body, len, &arena, &list, NULL) == IM_OK)
		g->has_models = list.count > 0;
	arena_done(&arena);
	/* Without memory for a timer the last answer holds until the router is reached anew. */
	(void)!loop_timer_set(g->loop, &g->look_timer, g->has_models ? LOOK_US : LOOK_SOON_US);
}

static void
look(void *arg)
{
	static const struct call_ops ops = { .end = on_looked };
	const struct call_request req = { .method = METHOD_LIST_MODELS,
					  .budget_ms = LOOK_BUDGET_MS };
	struct gateway *g = arg;

	if (!gateway_link_usable(g) || g->look != NULL)
		return;
	if (call_start(g->link, &req, &ops, g, &g->look, NULL) != IM_OK) {
		g->look = NULL;
		(void)!loop_timer_set(g->loop, &g->look_timer, LOOK_US);
	}
}

static void
on_up(void *user, struct link *link)
{
	struct gateway *g = user;

	g->link = link;
	g->has_models = false;
	look(g);
	log_info("router is there", LOG_STR("router.name", link_peer(link)->name),
		 LOG_STR("router.address", link_peer(link)->address));
}

static void
on_down(void *user, struct link *link, const struct im_err *why)
{
	struct gateway *g = user;

	(void)link;
	g->link = NULL;
	loop_timer_cancel(g->loop, &g->look_timer);
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

	g->look_timer = (struct loop_timer){ .fn = look, .arg = g };
	return net_dial(env->net, mesh_address(env, "router"), &ops, g, &g->router, err);
}

void
gateway_link_close(struct gateway *g)
{
	if (g->look != NULL)
		call_cancel(g->look);
	g->look = NULL;
	loop_timer_cancel(g->loop, &g->look_timer);
	endpoint_close(g->router);
	g->router = NULL;
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
