/*
 * gateway/gateway_state.h - the service's state, for its handlers. Inside this room only.
 *
 * Threads: all of it belongs to the loop.
 */
#ifndef GATEWAY_GATEWAY_STATE_H
#define GATEWAY_GATEWAY_STATE_H

#include "base/buf.h"
#include "base/list.h"
#include "daemon/daemon.h"
#include "gateway/auth.h"
#include "gateway/cors.h"
#include "gateway/gateway_metrics.h"
#include "http/http.h"

struct gateway {
	struct loop *loop;
	const struct config *config;
	uint32_t request_ms;   /* gateway.request_ms: looked up once */
	uint64_t keepalive_us; /* gateway.keepalive_ms */
	struct http_server *http;

	struct endpoint *router; /* dials for ever */
	struct link *link;       /* NULL while the router is not there */
	struct call *look;       /* asks the router for its models; NULL = not now */
	struct loop_timer look_timer;
	bool has_models; /* there were some when it was asked last */

	struct gateway_auth auth;
	struct gateway_cors cors;
	struct gateway_metrics metrics;
	struct loop_timer keys_timer;
	struct reporter *reporter; /* told which keys hold; may be NULL */

	struct buf events; /* of the frame at hand, on its way to a connection */

	struct list requests; /* of struct gateway_request */
	uint32_t running;     /* length of 'requests' */
	uint8_t random[512];  /* for ids of requests */
	size_t random_left;
	int refused_status; /* between http_ops.refused and .common_headers of one refusal */
	bool draining;

	void (*link_gone)(struct gateway *g); /* stopping: to be called when the link is down */
	loop_fn stopped;
	void *stopped_arg;
};

#endif
