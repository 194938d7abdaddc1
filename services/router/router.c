/*
 * router/router.c - the service: start, drain, stop; see router.h. Who links up and asks is router_peers.c's, requests are request*.c's.
 */
#include "router/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "router/core.h"
#include "router/request.h"

#define ONCE_SLACK_BYTES (64U << 10) /* of a reply besides its texts */
#define DOOR_CONCURRENT  256
#define LAST_WORDS_MS                                                                              \
	2000 /* for the records of what a stop cuts off; a daemon's whole stop may take 10 s */
#define LAST_POLL_US 2000

static void
audit_changed(void *user, bool connected, const struct im_err *why)
{
	struct router *router = user;

	if (router->closing) {
		loop_post(router->loop, &router->stop_task);
		return;
	}
	if (connected != router->audit_was_up) {
		if (connected) {
			log_info("audit service takes records");
		} else {
			log_warn("audit service takes no records",
				 LOG_STR("error.message", why != NULL ? why->text : ""));
		}
	}
	router->audit_was_up = connected;
}

static void
cache_changed(void *user, const char *url, bool connected, const struct im_err *why)
{
	struct router *router = user;

	if (router->closing) {
		loop_post(router->loop, &router->stop_task);
		return;
	}
	if (connected) {
		log_info("cache reached", LOG_STR("server.address", url));
	} else {
		log_warn("cache lost, answers go on without it", LOG_STR("server.address", url),
			 LOG_STR("error.message", why != NULL ? why->text : ""));
	}
}

static void
door_asked(void *user, struct door_request *request, const uint8_t *body, size_t len)
{
	struct caller caller = { .kind = CALLER_DOOR, .door = request };
	struct served_request req = { .method = METHOD_GENERATE_ONCE,
				      .body = body,
				      .body_len = len };

	router_request_admit(user, &caller, NULL, &req);
}

static void
tick_fire(void *arg)
{
	struct router *router = arg;

	router_sweep_waiting(router);
	workers_tick(&router->workers, clock_mono_ms());
	routes_tick(router, clock_mono_ms());
	limits_tick(&router->limits);
	audit_client_tick(&router->audit);
	if (router->stopping) {
		loop_post(router->loop, &router->stop_task);
		return;
	}
	if (loop_timer_set(router->loop, &router->tick, ROUTER_TICK_MS * 1000ULL) != IM_OK) {
		/* Cannot happen: the timer that has just fired gave its place back. */
		log_error("the router's clock has stopped for want of memory; restart it");
	}
}

static void
read_settings(struct router *router, const struct config *c)
{
	const char *mode = config_str(c, "router.audit_mode");

	router->set.calls_max = (uint32_t)config_int(c, "router.calls_max");
	router->set.request_ms = (uint32_t)config_int(c, "router.request_ms");
	router->set.retries = (uint32_t)config_int(c, "router.retries");
	router->set.coalesce = config_bool(c, "router.coalesce");
	coalesce_init(&router->coalesce, (size_t)config_int(c, "router.coalesce_bytes"));
	router->set.cache_answer_bytes = (size_t)config_int(c, "router.cache_answer_bytes");
	router->set.once_bytes = (size_t)config_int(c, "mesh.max_frame_bytes");
	router->set.once_bytes -= router->set.once_bytes > (size_t)2 * ONCE_SLACK_BYTES
				      ? ONCE_SLACK_BYTES
				      : router->set.once_bytes / 2;
	router->set.audit_mode = strcmp(mode, "off") == 0         ? AUDIT_OFF
				 : strcmp(mode, "fail-open") == 0 ? AUDIT_FAIL_OPEN
								  : AUDIT_FAIL_CLOSED;
}

static void
start_queue(struct router *router, const struct config *c)
{
	struct queue_settings set = {
		.line_max = (uint32_t)config_int(c, "router.queue_max"),
		.all_max = (uint32_t)config_int(c, "router.queue_all_max"),
		.weight = { [QUEUE_LOW] = (uint32_t)config_int(c, "router.weight_low"),
			    [QUEUE_NORMAL] = (uint32_t)config_int(c, "router.weight_normal"),
			    [QUEUE_HIGH] = (uint32_t)config_int(c, "router.weight_high") },
	};

	random_bytes(&set.salt, sizeof(set.salt));
	queue_init(&router->queue, &set);
}

static enum im_rc
start_clients(struct router *router, const struct service_env *env, struct im_err *err)
{
	struct audit_client_params audit = {
		.mode = router->set.audit_mode,
		.audit_ms = (uint32_t)config_int(env->config, "router.audit_ms"),
		.pending_max = (uint32_t)config_int(env->config, "router.audit_pending_max"),
		.changed = audit_changed,
		.user = router
	};
	const char *urls[CACHE_HOMES_MAX];
	struct config_change report;
	size_t caches = 0;
	enum im_rc rc;

	rc = audit_client_start(&router->audit, env->loop, env->net, mesh_address(env, "audit"),
				&audit, err);
	if (rc != IM_OK) {
		return rc;
	}
	while (caches < CACHE_HOMES_MAX &&
	       (urls[caches] = mesh_cache_address(env, caches)) != NULL) {
		caches++;
	}
	rc = cache_client_start(&router->cache, env->net, urls, caches,
				(uint32_t)config_int(env->config, "router.cache_ms"), cache_changed,
				router, err);
	if (rc != IM_OK) {
		return rc;
	}
	config_change_start(&report, env->name, env->config);
	(void)audit_client_submit(&router->audit, &report.event, NULL, NULL, NULL);
	return IM_OK;
}

static enum im_rc
start_listening(struct router *router, const struct service_env *env, struct im_err *err)
{
	const char *urls[] = { config_str(env->config, "router.listen"),
			       env->single_process ? mesh_address(env, "router") : NULL };
	struct door_params door = { .url = config_str(env->config, "router.door"),
				    .max_message_bytes =
					(size_t)config_int(env->config, "mesh.max_frame_bytes"),
				    .concurrent = DOOR_CONCURRENT };

	/* In the single-process mode links are made in memory, but the command line still comes from outside. */
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		enum im_rc rc;

		if (urls[i] == NULL || strcmp(urls[i], "off") == 0) {
			continue;
		}
		rc = net_listen(env->net, urls[i], &router_peer_ops, router,
				&router->listen[router->listen_count], err);
		if (rc != IM_OK) {
			return rc;
		}
		router->listen_count++;
	}
	if (door.url == NULL || strcmp(door.url, "off") == 0) {
		return IM_OK;
	}
	return door_open(env->loop, &door, door_asked, router, &router->door, err);
}

static void stop_step(void *arg);
static void door_closed(void *arg);

static void
router_free(struct router *router)
{
	limits_done(&router->limits);
	routes_done(router);
	workers_done(&router->workers);
	policy_rules_done(&router->policies);
	cache_rules_done(&router->cache_rules);
	door_free(router->door);
	free(router);
}

static void
close_all(struct router *router)
{
	loop_timer_cancel(router->loop, &router->tick);
	for (size_t i = 0; i < router->listen_count; i++) {
		endpoint_close(router->listen[i]);
	}
	router->listen_count = 0;
	audit_client_stop(&router->audit);
	cache_client_stop(&router->cache);
}

static enum im_rc
router_start(const struct service_env *env, void **ret_service, struct im_err *err)
{
	struct router *router = calloc(1, sizeof(*router));
	uint64_t seed;
	enum im_rc rc;

	if (router == NULL) {
		return err_set(err, IM_ENOMEM, "no memory for the router");
	}
	router->loop = env->loop;
	router->net = env->net;
	router->started_ms = clock_mono_ms();
	(void)snprintf(router->name, sizeof(router->name), "%s", env->name);
	list_init(&router->peers);
	list_init(&router->requests);
	list_init(&router->pump);
	random_bytes(&seed, sizeof(seed));
	workers_init(&router->workers, (uint32_t)config_int(env->config, "router.slow_start_ms"),
		     seed);
	router->overhead.bounds = &histogram_overhead;
	router->pump_task = (struct loop_task){ .fn = router_pump_fire, .arg = router };
	router->stop_task = (struct loop_task){ .fn = stop_step, .arg = router };
	router->tick = (struct loop_timer){ .fn = tick_fire, .arg = router };
	read_settings(router, env->config);
	router_health_start(router, env->config);
	start_queue(router, env->config);
	rc = routes_start(router, env->config, err);
	if (rc == IM_OK) {
		rc = policy_rules_load(&router->policies, env->config, err);
		if (rc == IM_OK)
			rc = cache_rules_load(&router->cache_rules, env->config, err);
	}
	if (rc == IM_OK) {
		rc = limits_start(&router->limits, env, err);
	}
	if (rc == IM_OK) {
		rc = start_clients(router, env, err);
	}
	if (rc == IM_OK) {
		rc = start_listening(router, env, err);
	}
	if (rc == IM_OK) {
		rc = loop_timer_set(router->loop, &router->tick, ROUTER_TICK_MS * 1000ULL);
	}
	if (rc != IM_OK) {
		/* Nothing came up yet: a link reports itself in a later callback only. */
		close_all(router);
		router_free(router);
		return rc;
	}
	*ret_service = router;
	return IM_OK;
}

static void
router_drain(void *service)
{
	struct router *router = service;

	router->draining = true;
	LIST_FOREACH (&router->peers, peer, struct peer, node) {
		const char *role = link_peer(peer->link)->role;

		/* Workers go on to report, operators go on to ask. */
		if (strcmp(role, "inference") != 0 && strcmp(role, "operator") != 0 &&
		    !peer->told_goaway) {
			peer->told_goaway = true;
			link_goaway(peer->link, "the router is being stopped");
		}
	}
}

static bool
router_drained(const void *service)
{
	const struct router *router = service;

	return router->running == 0 && router->audit.pending == 0;
}

static void
door_closed(void *arg)
{
	struct router *router = arg;

	router->door_closed = true;
	loop_post(router->loop, &router->stop_task);
}

static void
leases_returned(void *arg)
{
	struct router *router = arg;

	router->leases_returned = true;
	loop_post(router->loop, &router->stop_task);
}

static void
begin_closing(struct router *router)
{
	if (router->running > 0 || router->audit.pending > 0) {
		log_warn("stopping without the audit log: these records are lost",
			 LOG_UINT("infermesh.records", router->audit.pending));
	}
	router->closing = true;
	LIST_FOREACH_SAFE (&router->requests, r, struct request, node) {
		router_request_abort(r);
	}
	routes_close(router);
	close_all(router);
	limits_stop(&router->limits, leases_returned, router);
	if (router->door != NULL) {
		door_close(router->door, door_closed, router);
	}
}

/* First the last records land, or their time is over; then, when every link has been reported lost and nng is out of the
 * door, nobody will call us any more. */
static void
stop_step(void *arg)
{
	struct router *router = arg;
	loop_fn stopped = router->stopped;
	void *stopped_arg = router->stopped_arg;

	if (!router->closing && router->audit.link != NULL &&
	    (router->running > 0 || router->audit.pending > 0) &&
	    clock_mono_ms() < router->close_at_ms &&
	    loop_timer_set(router->loop, &router->tick, LAST_POLL_US) == IM_OK) {
		return;
	}
	if (!router->closing) {
		begin_closing(router);
	}
	if (!list_empty(&router->peers) || router->audit.link != NULL ||
	    cache_client_links(&router->cache) > 0 || !router->leases_returned ||
	    !routes_closed(router) || (router->door != NULL && !router->door_closed)) {
		return;
	}
	loop_cancel(router->loop, &router->pump_task);
	loop_cancel(router->loop, &router->audit.flush_task);
	router_free(router);
	stopped(stopped_arg);
}

static void
router_stop(void *service, loop_fn stopped, void *arg)
{
	struct router *router = service;

	router->stopping = router->draining = true;
	router->close_at_ms = clock_mono_ms() + LAST_WORDS_MS;
	router->stopped = stopped;
	router->stopped_arg = arg;
	LIST_FOREACH_SAFE (&router->requests, r, struct request, node) {
		router_request_cut(r);
	}
	loop_post(router->loop, &router->stop_task);
}

static void
add_reason(struct buf *why, bool *first, const char *text)
{
	if (!*first) {
		buf_append_str(why, ", ");
	}
	*first = false;
	buf_append_str(why, text);
}

static void
router_ready(const void *service, struct buf *why)
{
	const struct router *router = service;
	bool worker = false, first = true;

	if (router->draining) {
		add_reason(why, &first, "draining");
	}
	if (router->set.audit_mode == AUDIT_FAIL_CLOSED &&
	    !audit_client_available(&router->audit)) {
		add_reason(why, &first, "the audit service takes no records");
	}
	if (!limits_ready(&router->limits)) {
		add_reason(why, &first, "the Redis that keeps the limits is away");
	}
	LIST_FOREACH (&router->workers.all, w, struct worker, node) {
		worker = worker || workers_usable(w);
	}
	if (!worker) {
		add_reason(why, &first, "no healthy worker");
	}
}

const struct service_ops router_service = {
	.name = "router",
	.summary = "Admits requests, balances them over workers, and sees that each is recorded.",
	.start = router_start,
	.drain = router_drain,
	.drained = router_drained,
	.stop = router_stop,
	.ready = router_ready,
	.metrics = router_metrics,
};
