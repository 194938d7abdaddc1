/*
 * gateway/gateway.c - the gateway service: opens the door, hands each request to its handler, ends. See gateway.h.
 */
#include "gateway/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/chat.h"
#include "gateway/errors.h"
#include "gateway/mesh_link.h"
#include "gateway/models.h"
#include "gateway/pages.h"

#define KEYS_CHECK_US 1000000 /* how soon a new key works */

/* One request. */

static void
reply_preflight(struct gateway_request *rq)
{
	struct cors_preflight p;

	gateway_cors_preflight(http_header(rq->x, "access-control-request-headers"), &p);
	gateway_request_reply(rq, 204, p.list, p.count, NULL, NULL);
}

static void
reply_no_route(struct gateway_request *rq)
{
	struct im_err err;

	(void)err_set(&err, IM_EMETHOD,
		      "Unknown request URL: %s %.200s. Please check the URL for typos.",
		      http_method(rq->x), http_path(rq->x));
	gateway_request_fail(rq, &err);
}

static void
reply_wrong_method(struct gateway_request *rq)
{
	const struct api_error e = {
		.status = 405,
		.type = "invalid_request_error",
		.code = "method_not_allowed",
		.message = "This URL does not take this method; the Allow header says which.",
		.never_retry = true,
	};
	struct http_header list[API_ERROR_HEADERS_MAX + 1] = { { "Allow", rq->match.allow } };
	struct api_error_headers headers;
	struct buf body = { 0 };

	api_error_headers(&e, &headers);
	memcpy(list + 1, headers.list, headers.count * sizeof(list[0]));
	api_error_put(&e, &body);
	gateway_request_reply(rq, e.status, list, headers.count + 1, &body, e.code);
	buf_done(&body);
}

static void
serve_api(struct gateway_request *rq)
{
	const struct gateway_credentials credentials = {
		.authorization = http_header(rq->x, "authorization"),
		.api_key = http_header(rq->x, "api-key"),
		.x_api_key = http_header(rq->x, "x-api-key"),
	};
	struct im_err err;

	if (gateway_auth_check(&rq->gateway->auth, &credentials, &rq->caller, &err) != IM_OK)
		gateway_request_fail(rq, &err);
	else if (rq->match.route <= ROUTE_EMBEDDINGS)
		gateway_chat_begin(rq);
	else
		gateway_models_begin(rq);
}

static void
on_request(void *user, struct http_exchange *x)
{
	struct gateway_request *rq = gateway_request_new(user, x);

	if (rq == NULL)
		return;
	gateway_route_find(http_method(x), http_path(x), &rq->match);
	if (rq->match.status == 405)
		reply_wrong_method(rq);
	else if (rq->match.status == 404)
		reply_no_route(rq);
	else if (rq->match.route == ROUTE_PREFLIGHT)
		reply_preflight(rq);
	else if (gateway_route_is_api(rq->match.route))
		serve_api(rq);
	else
		gateway_page_reply(rq);
}

static void
on_gone(void *user, struct http_exchange *x)
{
	struct gateway_request *rq = http_user(x);

	(void)user;
	if (rq == NULL)
		http_abort(x);
	else
		gateway_request_gone(rq);
}

static void
on_writable(void *user, struct http_exchange *x)
{
	struct gateway_request *rq = http_user(x);

	(void)user;
	if (rq != NULL && rq->work != NULL)
		rq->work->writable(rq->work_data);
}

static enum im_rc
rc_of_refusal(int status)
{
	switch (status) {
	case 413:
		return IM_ETOOBIG;
	case 503:
		return IM_EUNAVAILABLE;
	case 500:
		return IM_EINTERNAL;
	default:
		return IM_EINVAL;
	}
}

static const char *
on_refused(void *user, int status, const char *text, struct buf *body)
{
	struct gateway *g = user;
	struct api_error e;
	struct im_err err;

	(void)err_set(&err, rc_of_refusal(status), "%s", text);
	if (err.rc == IM_ETOOBIG) {
		(void)err_set(
		    &err, IM_ETOOBIG,
		    "The request is too large: its body may have at most %lld bytes (gateway.body_bytes).",
		    (long long)config_int(g->config, "gateway.body_bytes"));
	}
	g->refused_status = status;
	api_error_of(&err, &e);
	api_error_put(&e, body);
	gateway_metrics_response(&g->metrics, ROUTE_OTHER, status,
				 e.code != NULL ? e.code : "invalid_request", 0);
	log_info("request refused", LOG_INT("http.response.status_code", status),
		 LOG_STR("error.message", text));
	return "application/json";
}

static void
on_common_headers(void *user, struct http_exchange *x, struct buf *headers)
{
	gateway_request_common_headers(user, x == NULL ? NULL : http_user(x), x, headers);
}

/* Start. */

/* Who may call from now on is in the audit log as the digest of the file, and its owner. */
static void
report_keys(struct gateway *g)
{
	struct config_change report;

	config_change_fill(&report, "gateway", REPORT_KEYS, keys_digest(g->auth.keys),
			   keys_owner(g->auth.keys));
	reporter_submit(g->reporter, &report);
}

static void
on_keys_timer(void *arg)
{
	struct gateway *g = arg;
	struct im_err err = { 0 };
	bool changed;

	if (gateway_auth_reload(&g->auth, &changed, &err) != IM_OK)
		log_error("key file cannot be read; the keys from before still hold",
			  LOG_STR("error.message", err.text));
	else if (changed) {
		log_info("keys are loaded", LOG_UINT("infermesh.keys", keys_count(g->auth.keys)));
		report_keys(g);
	}
	if (loop_timer_set(g->loop, &g->keys_timer, KEYS_CHECK_US) != IM_OK)
		log_error("no memory to look after the key file; restart to have it read again");
}

static enum im_rc
check_exposure(const struct gateway *g, struct im_err *err)
{
	const char *listen = config_str(g->config, "gateway.listen");

	if (g->auth.keys != NULL || gateway_listen_is_local(listen))
		return IM_OK;
	if (!config_bool(g->config, "gateway.insecure")) {
		return err_set(
		    err, IM_EINVAL,
		    "gateway.listen is %s, which others can reach, and there are no API keys in %s: make one with "
		    "'infermesh key create', listen on 127.0.0.1, or set gateway.insecure: true to serve everybody",
		    listen, g->auth.path == NULL ? "gateway.keys_file" : g->auth.path);
	}
	log_warn("everybody who reaches this address may call: there are no API keys",
		 LOG_STR("server.address", listen));
	return IM_OK;
}

static enum im_rc
load_cors(struct gateway_cors *cors, const struct config *config, struct im_err *err)
{
	size_t count = config_strings_len(config, "gateway.cors_origins");

	cors->origins = calloc(count + 1, sizeof(*cors->origins));
	if (cors->origins == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the gateway");
	for (size_t i = 0; i < count; i++) {
		cors->origins[i] = config_strings_at(config, "gateway.cors_origins", i);
		cors->any = cors->any || strcmp(cors->origins[i], "*") == 0;
	}
	cors->count = count;
	return IM_OK;
}

static enum im_rc
open_http(struct gateway *g, struct im_err *err)
{
	static const struct http_ops ops = {
		.request = on_request,
		.gone = on_gone,
		.writable = on_writable,
		.refused = on_refused,
		.common_headers = on_common_headers,
	};
	const struct config *c = g->config;
	const struct http_params params = {
		.listen = config_str(c, "gateway.listen"),
		.header_bytes = (size_t)config_int(c, "gateway.header_bytes"),
		.body_bytes = (size_t)config_int(c, "gateway.body_bytes"),
		.max_connections = (uint32_t)config_int(c, "gateway.connections"),
		.header_timeout_ms = (uint32_t)config_int(c, "gateway.header_ms"),
		.body_timeout_ms = (uint32_t)config_int(c, "gateway.body_ms"),
		.idle_timeout_ms = (uint32_t)config_int(c, "gateway.idle_ms"),
		.write_timeout_ms = (uint32_t)config_int(c, "gateway.write_ms"),
		.tls_cert_file = config_str(c, "gateway.tls_cert"),
		.tls_key_file = config_str(c, "gateway.tls_key"),
	};
	enum im_rc rc = http_server_open(g->loop, &params, &ops, g, &g->http, err);

	if (rc != IM_OK)
		err_prefix(err, "gateway.listen");
	return rc;
}

static void
gateway_free(struct gateway *g)
{
	loop_timer_cancel(g->loop, &g->keys_timer);
	http_server_close(g->http);
	gateway_auth_done(&g->auth);
	gateway_metrics_done(&g->metrics);
	free(g->cors.origins);
	buf_done(&g->events);
	free(g);
}

static enum im_rc
prepare(struct gateway *g, struct im_err *err)
{
	enum im_rc rc;

	rc = load_cors(&g->cors, g->config, err);
	if (rc == IM_OK)
		rc = gateway_auth_init(&g->auth, config_str(g->config, "gateway.keys_file"), err);
	if (rc == IM_OK)
		rc = check_exposure(g, err);
	if (rc == IM_OK)
		rc = loop_timer_set(g->loop, &g->keys_timer, KEYS_CHECK_US);
	return rc;
}

static enum im_rc
gateway_start(const struct service_env *env, void **ret_service, struct im_err *err)
{
	struct gateway *g = calloc(1, sizeof(*g));
	enum im_rc rc;

	if (g == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the gateway");
	g->loop = env->loop;
	g->config = env->config;
	g->reporter = env->reporter;
	g->request_ms = (uint32_t)config_int(g->config, "gateway.request_ms");
	g->keepalive_us = (uint64_t)config_int(g->config, "gateway.keepalive_ms") * 1000;
	g->keys_timer = (struct loop_timer){ .fn = on_keys_timer, .arg = g };
	list_init(&g->requests);
	gateway_metrics_init(&g->metrics);
	rc = prepare(g, err);
	if (rc == IM_OK)
		rc = open_http(g, err);
	if (rc == IM_OK)
		rc = gateway_link_open(g, env,
				       err); /* last: what it reports needs a gateway that stays */
	if (rc != IM_OK) {
		gateway_free(g);
		return rc;
	}
	if (g->auth.keys != NULL)
		report_keys(g);
	log_info("serving HTTP", LOG_STR("server.address", http_server_address(g->http)),
		 LOG_STR("tls", config_str(g->config, "gateway.tls_cert") == NULL ? "off" : "on"),
		 LOG_UINT("infermesh.keys", g->auth.keys == NULL ? 0 : keys_count(g->auth.keys)));
	*ret_service = g;
	return IM_OK;
}

static const char *
address(const void *service)
{
	const struct gateway *g = service;

	return http_server_address(g->http);
}

/* End. */

static void
gateway_drain(void *service)
{
	struct gateway *g = service;

	g->draining = true;
	http_server_drain(g->http);
}

static bool
gateway_drained(const void *service)
{
	const struct gateway *g = service;

	return g->running == 0 && http_server_connections(g->http) == 0;
}

/* The last that the mesh had to tell us is told. */
static void
finish_stop(struct gateway *g)
{
	loop_fn stopped = g->stopped;
	void *arg = g->stopped_arg;

	gateway_free(g);
	stopped(arg);
}

static void
gateway_stop(void *service, loop_fn stopped, void *arg)
{
	struct gateway *g = service;

	g->draining = true;
	LIST_FOREACH_SAFE (&g->requests, rq, struct gateway_request, node)
		gateway_request_discard(rq);
	http_server_close(g->http);
	g->http = NULL;
	loop_timer_cancel(g->loop, &g->keys_timer);
	gateway_link_close(g);
	g->stopped = stopped;
	g->stopped_arg = arg;
	if (g->link == NULL)
		finish_stop(g);
	else
		g->link_gone = finish_stop;
}

static void
ready(const void *service, struct buf *why)
{
	gateway_ready(service, why);
}

static void
put_metrics(const void *service, struct metrics_page *page)
{
	const struct gateway *g = service;

	gateway_metrics_put(&g->metrics, g->running, http_server_connections(g->http), page);
}

const struct service_ops gateway_service = {
	.name = "gateway",
	.summary =
	    "Serves the HTTP API: chat, completions, embeddings and models, for SDKs and browsers.",
	.reports = true,
	.start = gateway_start,
	.drain = gateway_drain,
	.drained = gateway_drained,
	.stop = gateway_stop,
	.ready = ready,
	.address = address,
	.metrics = put_metrics,
};
