/*
 * gateway/pages.c - see pages.h.
 */
#include "gateway/pages.h"

#include "base/json.h"
#include "gateway/mesh_link.h"

#define METRICS_PAGE_MAX (16UL * 1024 * 1024)

static const struct http_header type_json = { "Content-Type", "application/json" };

void
gateway_ready(const struct gateway *g, struct buf *why)
{
	if (g->draining)
		(void)buf_append_str(why, "draining");
	else if (g->link == NULL)
		(void)buf_append_str(why, "no link to the router");
	else if (!gateway_link_usable(g))
		(void)buf_append_str(why, "the router is draining");
	else if (!g->has_models)
		(void)buf_append_str(why, "no healthy worker");
}

static void
reply_metrics(struct gateway_request *rq)
{
	static const struct http_header type = { "Content-Type",
						 "text/plain; version=0.0.4; charset=utf-8" };
	struct metrics_page page = { .out = BUF_INIT(METRICS_PAGE_MAX) };
	struct im_err err;

	host_metrics(NULL, &page);
	if (buf_ok(&page.out)) {
		gateway_request_reply(rq, 200, &type, 1, &page.out, NULL);
	} else {
		(void)err_set(&err, IM_ENOMEM, "no memory for the page; try again later");
		gateway_request_fail(rq, &err);
	}
	buf_done(&page.out);
}

/* 'why' empty = ready. */
static void
reply_ready(struct gateway_request *rq, struct buf *why)
{
	struct buf body = { 0 };
	bool ready = why->len == 0 && buf_ok(why);

	if (ready) {
		(void)buf_append_str(&body, "{\"status\":\"ready\"}\n");
	} else {
		(void)buf_append_str(&body, "{\"status\":\"not ready\",\"reason\":");
		(void)json_put_cstr(&body, buf_cstr(why));
		(void)buf_append_str(&body, "}\n");
	}
	gateway_request_reply(rq, ready ? 200 : 503, &type_json, 1, &body,
			      ready ? NULL : "not_ready");
	buf_done(&body);
}

static void
reply_alive(struct gateway_request *rq)
{
	struct buf body = { 0 };

	(void)buf_append_str(&body, "{\"status\":\"alive\"}\n");
	gateway_request_reply(rq, 200, &type_json, 1, &body, NULL);
	buf_done(&body);
}

void
gateway_page_reply(struct gateway_request *rq)
{
	struct buf why = { 0 };

	switch (rq->match.route) {
	case ROUTE_METRICS:
		reply_metrics(rq);
		break;
	case ROUTE_READYZ:
		/* All services of the process count; outside a daemon (tests) this one alone. */
		host_ready(&why);
		if (why.len == 0)
			gateway_ready(rq->gateway, &why);
		reply_ready(rq, &why);
		break;
	default: /* livez, healthz: that this runs is the answer */
		reply_alive(rq);
		break;
	}
	buf_done(&why);
}
