/*
 * inference/worker_link.c - the worker's links to its routers, and what it tells them. Never chooses among routers: each
 * of them hears the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "inference/worker_state.h"

#define ANNOUNCE_BUDGET_MS 10000

/* Models of the backend and the aliases that lead to one of them. '*ret_models' is the caller's to free. */
static enum im_rc
offered(const struct worker *w, struct model_info **ret_models, size_t *ret_count)
{
	const struct config *item = w->env.item;
	size_t aliases = item != NULL ? config_map_len(item, "workers[].aliases") : 0;
	size_t count, n;
	const struct model_info *models = w->ops->models(w->b, &count);
	struct model_info *all = calloc(count + aliases + 1, sizeof(*all));

	if (all == NULL)
		return IM_ENOMEM;
	for (n = 0; n < count && n < ANNOUNCE_MODELS_MAX; n++)
		all[n] = models[n];
	for (size_t i = 0; i < aliases && n < ANNOUNCE_MODELS_MAX; i++) {
		const char *alias, *model;
		size_t at = 0;

		config_map_at(item, "workers[].aliases", i, &alias, &model);
		while (at < count && strcmp(models[at].id, model) != 0)
			at++;
		if (at == count || strlen(alias) > GENERATE_MODEL_MAX)
			continue;
		all[n] = models[at];
		all[n++].id = alias;
	}
	*ret_models = all;
	*ret_count = n;
	return IM_OK;
}

static void announce_to(struct router_link *r);

static void
on_announced(void *user, struct call *call, const struct im_err *err, const uint8_t *body,
	     size_t len)
{
	struct router_link *r = user;

	(void)call;
	(void)body;
	(void)len;
	r->call = NULL;
	if (err != NULL && !r->refused && err->rc != IM_EUNAVAILABLE)
		log_warn("a router does not take this worker",
			 LOG_STR("destination.address", link_peer(r->link)->address),
			 LOG_STR("error.message", err->text));
	r->refused = err != NULL;
	if (r->again && err == NULL)
		announce_to(r);
}

static void
announce_to(struct router_link *r)
{
	static const struct call_ops ops = { .end = on_announced };
	struct worker *w = r->w;
	struct announce a = {
		.worker = w->env.name,
		.backend = w->ops->name,
		.load = worker_tell_load(w, r),
		.draining = w->draining,
		.weight = w->weight,
		.backup = w->backup,
	};

	r->again = r->call != NULL;
	if (r->again)
		return;
	if (offered(w, &a.models, &a.model_count) != IM_OK)
		return; /* the next second tries again */
	buf_clear(&w->scratch);
	announce_encode(&a, &w->scratch);
	free(a.models);
	if (buf_ok(&w->scratch)) {
		struct call_request req = {
			.method = METHOD_ANNOUNCE,
			.budget_ms = ANNOUNCE_BUDGET_MS,
			.body = w->scratch.data,
			.body_len = w->scratch.len,
		};

		/* A link that is about to go down refuses; the next one is told anew. */
		if (call_start(r->link, &req, &ops, r, &r->call, NULL) != IM_OK)
			r->call = NULL;
	}
}

void
worker_announce(struct worker *w)
{
	LIST_FOREACH (&w->links, r, struct router_link, node)
		announce_to(r);
}

static void tell_news(struct router_link *r);

static void
on_news_answered(void *user, struct call *call, const struct im_err *err, const uint8_t *body,
		 size_t len)
{
	struct router_link *r = user;

	(void)call;
	(void)body;
	(void)len;
	r->news_call = NULL;
	load_news_answered(&r->news);
	/* An error is one of the link, or the router does not take this worker: the next announcement tells. */
	if (err == NULL)
		tell_news(r);
}

static void
send_news(struct router_link *r)
{
	static const struct call_ops ops = { .end = on_news_answered };
	struct worker *w = r->w;
	struct load load = worker_load(w, r);
	struct call_request req = { .method = METHOD_REPORT, .budget_ms = ANNOUNCE_BUDGET_MS };

	buf_clear(&w->scratch);
	report_encode(&load, &w->scratch);
	req.body = w->scratch.data;
	req.body_len = w->scratch.len;
	/* Where it cannot be sent the next second's announcement tells. */
	if (r->news_call != NULL || !buf_ok(&w->scratch) ||
	    call_start(r->link, &req, &ops, r, &r->news_call, NULL) != IM_OK)
		return;
	load_news_sent(&r->news, &load, clock_mono_us());
}

static void
tell_news_fire(void *arg)
{
	tell_news(arg);
}

static void
tell_news(struct router_link *r)
{
	struct worker *w = r->w;
	struct load load = worker_load(w, r);
	uint64_t due_us = load_news_due_us(&r->news, &load, w->offered_us, clock_mono_us());

	if (due_us == 0)
		send_news(r);
	else if (due_us != LOAD_NEWS_NONE &&
		 loop_timer_set(w->env.loop, &r->news_later, due_us) != IM_OK)
		log_debug("no memory for a timer; routers hear of the load a second later");
}

void
worker_load_changed(struct worker *w)
{
	LIST_FOREACH (&w->links, r, struct router_link, node)
		if (!w->stopping)
			tell_news(r);
}

void
worker_turned_away(struct router_link *r)
{
	if (r != NULL && !list_linked(&r->refused_node))
		list_push_back(&r->w->refused, &r->refused_node);
}

/*
 * All routers that have requests waiting would come for one place, and each but one would be refused. So it is offered to the one
 * that was refused first, and the others hear of it only if it is still free after a moment.
 */
void
worker_place_free(struct worker *w)
{
	struct list *node = w->stopping ? NULL : list_pop_front(&w->refused);

	if (node != NULL) {
		struct router_link *r = CONTAINER_OF(node, struct router_link, refused_node);

		w->offered_us = clock_mono_us() + LOAD_NEWS_OFFER_US;
		if (r->news_call == NULL)
			send_news(r);
		else
			announce_to(r);
	}
	worker_load_changed(w);
}

bool
worker_news_crossed(const struct worker *w, const struct router_link *r)
{
	struct load load = worker_load(w, r);

	return r != NULL && load_news_crossed(&r->news, &load);
}

void
worker_goaway(struct worker *w)
{
	LIST_FOREACH (&w->links, r, struct router_link, node)
		link_goaway(r->link, "draining");
}

static void
on_up(void *user, struct link *link)
{
	struct worker *w = user;
	struct router_link *r = calloc(1, sizeof(*r));
	struct im_err why;

	w->trouble_logged = false;
	if (r == NULL) {
		err_set(&why, IM_ENOMEM, "no memory for a link");
		link_close(link, &why);
		return;
	}
	r->w = w;
	r->link = link;
	r->news_later = (struct loop_timer){ .fn = tell_news_fire, .arg = r };
	link_set_user(link, r);
	list_push_back(&w->links, &r->node);
	log_info("joined a router", LOG_STR("destination.address", link_peer(link)->address));
	announce_to(r);
	if (w->draining)
		link_goaway(link, "draining");
}

static void
on_down(void *user, struct link *link, const struct im_err *why)
{
	struct worker *w = user;
	struct router_link *r = link_user(link);

	if (r == NULL)
		return;
	if (link_draining(link))
		log_info("a router has stopped; dialling until it is back",
			 LOG_STR("destination.address", link_peer(link)->address));
	else if (!w->stopping)
		log_warn("a router is lost",
			 LOG_STR("destination.address", link_peer(link)->address),
			 LOG_STR("error.message", why != NULL ? why->text : ""));
	loop_timer_cancel(w->env.loop, &r->news_later);
	list_remove(&r->refused_node);
	list_remove(&r->node);
	free(r);
	if (w->stopping)
		worker_try_finish(w);
}

static void
on_trouble(void *user, const struct im_err *why)
{
	struct worker *w = user;

	/* It dials on, many times a second: once is enough to know. */
	if (!w->trouble_logged)
		log_warn("a router is not reached; dialling on",
			 LOG_STR("error.message", why->text));
	w->trouble_logged = true;
}

enum im_rc
worker_dial(struct worker *w, struct im_err *err)
{
	static const struct endpoint_ops ops = {
		.up = on_up,
		.down = on_down,
		.request = worker_request,
		.trouble = on_trouble,
	};
	const struct service_env *env = &w->env;
	size_t count =
	    env->single_process ? 1 : config_strings_len(env->config, "router.addresses");

	if (count == 0 || count > WORKER_ROUTERS_MAX)
		return err_set(err, IM_EINVAL, "router.addresses: found %zu, allowed: 1 to %d",
			       count, WORKER_ROUTERS_MAX);
	for (size_t i = 0; i < count; i++) {
		const char *url = env->single_process
				      ? mesh_address(env, "router")
				      : config_strings_at(env->config, "router.addresses", i);
		enum im_rc rc = net_dial(env->net, url, &ops, w, &w->routers[i], err);

		if (rc != IM_OK) {
			worker_hang_up(w);
			return rc;
		}
		w->router_count++;
	}
	return IM_OK;
}

void
worker_hang_up(struct worker *w)
{
	LIST_FOREACH (&w->links, r, struct router_link, node) {
		if (r->call != NULL)
			call_cancel(r->call);
		if (r->news_call != NULL)
			call_cancel(r->news_call);
		r->call = r->news_call = NULL;
		r->again = false;
	}
	for (size_t i = 0; i < w->router_count; i++)
		endpoint_close(w->routers[i]);
	w->router_count = 0;
}
