/*
 * gateway/request.c - the life of one HTTP request; see request.h.
 *
 *   new ──▶ handler ──▶ reply | fail | stream_end ──▶ access log, metrics ──▶ gone
 *                 └──▶ work ──client left──▶ drop ──┘
 */
#include "gateway/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "gateway/errors.h"
#include "gateway/headers.h"
#include "gateway/rates.h"

#define STATUS_CLIENT_LEFT 499 /* for the log: nobody receives it */

/* Random bytes for many are fetched at once. */
static void
make_id(struct gateway *g, char out[REQUEST_ID_LEN + 1])
{
	const size_t len = REQUEST_ID_LEN / 2;

	if (g->random_left < len) {
		random_bytes(g->random, sizeof(g->random));
		g->random_left = sizeof(g->random);
	}
	g->random_left -= len;
	hex_encode(g->random + g->random_left, len, out);
}

struct gateway_request *
gateway_request_new(struct gateway *g, struct http_exchange *x)
{
	struct gateway_request *rq = calloc(1, sizeof(*rq));
	const char *traceparent = http_header(x, "traceparent");

	if (rq == NULL) {
		http_reply(x, 503, NULL, 0, NULL, 0);
		return NULL;
	}
	rq->gateway = g;
	rq->x = x;
	rq->received_us = clock_wall_us();
	make_id(g, rq->id);
	if (gateway_traceparent_valid(traceparent)) {
		rq->traceparent = traceparent;
		(void)snprintf(rq->trace_id, sizeof(rq->trace_id), "%.32s", traceparent + 3);
	}
	list_push_back(&g->requests, &rq->node);
	g->running++;
	http_set_user(x, rq);
	return rq;
}

uint64_t
gateway_request_age_us(const struct gateway_request *rq)
{
	uint64_t now = clock_mono_us(), from = http_started_us(rq->x);

	return now > from ? now - from : 0;
}

#define LOG_FIELDS_MAX 14

/* What is not known is left out. */
static void
access_log(const struct gateway_request *rq, enum log_level level, int status, const char *error,
	   uint64_t age_us)
{
	const struct log_field all[LOG_FIELDS_MAX] = {
		LOG_STR("http.request.method", http_method(rq->x)),
		LOG_STR("url.path", http_path(rq->x)),
		LOG_INT("http.response.status_code", status),
		LOG_STR("http.request.id", rq->id),
		LOG_STR("trace.id", rq->trace_id),
		LOG_UINT("event.duration", age_us * 1000),
		LOG_STR("client.address", http_peer(rq->x)),
		LOG_STR("user.name", rq->caller.caller),
		LOG_STR("organization.name", rq->caller.tenant),
		LOG_STR("gen_ai.request.model", rq->model),
		LOG_STR("infermesh.cache", rq->cache),
		LOG_STR("error.type", error == NULL ? "" : error),
		LOG_UINT("gen_ai.usage.input_tokens", rq->usage.prompt_tokens),
		LOG_UINT("gen_ai.usage.output_tokens", rq->usage.completion_tokens),
	};
	struct log_field known[LOG_FIELDS_MAX + 1] = { 0 };
	size_t n = 0, end = rq->has_usage ? LOG_FIELDS_MAX : LOG_FIELDS_MAX - 2;

	for (size_t i = 0; i < end; i++)
		if (all[i].type != LOG_FIELD_STR || all[i].str[0] != '\0')
			known[n++] = all[i];
	log_write(level, "request", known);
}

/* Say what became of it, while the exchange is still there. */
static void
account(const struct gateway_request *rq, int status, const char *error)
{
	uint64_t age_us = gateway_request_age_us(rq);
	/* Probes and scrapes come every few seconds and say nothing unless they fail. */
	enum log_level level =
	    gateway_route_is_api(rq->match.route) || error != NULL ? LOG_INFO : LOG_DEBUG;

	if (log_enabled(level))
		access_log(rq, level, status, error, age_us);
	gateway_metrics_response(&rq->gateway->metrics, rq->match.route, status, error,
				 (double)age_us / 1e6);
}

static void
forget(struct gateway_request *rq)
{
	list_remove(&rq->node);
	rq->gateway->running--;
	free(rq);
}

void
gateway_request_reply(struct gateway_request *rq, int status, const struct http_header *headers,
		      size_t header_count, const struct buf *body, const char *error)
{
	account(rq, status, error);
	http_reply(rq->x, status, headers, header_count, body == NULL ? NULL : body->data,
		   body == NULL ? 0 : body->len);
	forget(rq); /* after it: the common headers look at the request */
}

void
gateway_request_fail(struct gateway_request *rq, const struct im_err *err)
{
	struct api_error_headers headers;
	struct buf body = { 0 };
	struct api_error e;

	api_error_of(err, &e);
	api_error_headers(&e, &headers);
	api_error_put(&e, &body);
	gateway_request_reply(rq, e.status, headers.list, headers.count, &body,
			      e.code != NULL ? e.code : "other");
	buf_done(&body);
}

void
gateway_request_stream_end(struct gateway_request *rq, const char *error)
{
	account(rq, 200, error);
	if (error == NULL)
		http_stream_end(rq->x);
	else
		http_abort(rq->x);
	forget(rq);
}

void
gateway_request_gone(struct gateway_request *rq)
{
	if (rq->work != NULL)
		rq->work->drop(rq->work_data);
	account(rq, STATUS_CLIENT_LEFT, "client_closed_request");
	http_abort(rq->x);
	forget(rq);
}

void
gateway_request_discard(struct gateway_request *rq)
{
	if (rq->work != NULL)
		rq->work->drop(rq->work_data);
	account(rq, 503, "other");
	forget(rq);
}

/* What a refusal by the parser cannot put next to its body. */
static void
put_refusal(int status, struct buf *headers)
{
	struct im_err err = { .rc = status == 503 ? IM_EUNAVAILABLE : IM_EINVAL };
	struct api_error_headers list;
	struct api_error e;

	if (status == 408) /* worth another try, now */
		return;
	api_error_of(&err, &e);
	api_error_headers(&e, &list);
	for (size_t i = 1; i < list.count; i++) /* all but Content-Type, which is the body's */
		(void)http_put_header(headers, list.list[i].name, list.list[i].value);
}

static void
put_number(struct buf *headers, const char *name_colon, uint64_t value)
{
	(void)buf_append_str(headers, name_colon);
	(void)buf_append_uint(headers, value);
	(void)buf_append(headers, "\r\n", 2);
}

void
gateway_request_common_headers(struct gateway *g, const struct gateway_request *rq,
			       const struct http_exchange *x, struct buf *headers)
{
	char id[REQUEST_ID_LEN + 1];

	if (rq == NULL)
		make_id(g, id);
	(void)http_put_header(headers, "x-request-id", rq == NULL ? id : rq->id);
	put_number(headers,
		   "openai-processing-ms: ", rq == NULL ? 0 : gateway_request_age_us(rq) / 1000);
	if (rq != NULL && rq->cache[0] != '\0')
		(void)http_put_header(headers, "x-infermesh-cache", rq->cache);
	if (rq != NULL && strncmp(rq->cache, "hit-", 4) == 0)
		put_number(headers, "age: ", rq->age_ms / 1000);
	if (rq != NULL && rq->fallback[0] != '\0')
		(void)http_put_header(headers, "x-infermesh-fallback", rq->fallback);
	if (rq != NULL)
		gateway_rates_put(&rq->rates, headers);
	if (rq == NULL && g->refused_status != 0)
		put_refusal(g->refused_status, headers);
	g->refused_status = 0;
	gateway_cors_put(&g->cors, x == NULL ? NULL : http_header(x, "origin"), headers);
}
