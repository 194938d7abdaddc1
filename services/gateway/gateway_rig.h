/*
 * gateway/gateway_rig.h - for tests: a gateway and a router that does as the test says, on one loop in a thread of its own.
 * The test thread is the HTTP client (http/harness.h). Not part of any program.
 */
#ifndef GATEWAY_GATEWAY_RIG_H
#define GATEWAY_GATEWAY_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/gateway.h"
#include "http/harness.h"
#include "wire/mesh.h"

struct rig {
	struct loop *loop;
	pthread_t thread;
	atomic_bool done; /* the last thing that was waited for */

	struct config *config;
	struct net *gateway_net;
	void *gateway;
	char address[160];

	/* The router. Answers Router/ListModels by itself: "m" and "org/m". */
	struct net *router_net;
	struct endpoint *router;
	struct link *router_link;
	struct served *served;       /* the last Router/Generate that is open */
	struct arena arena;          /* of 'req' */
	struct generate_request req; /* what it asked */
	char traceparent[64];
	uint32_t budget_ms;
	int32_t priority;
	atomic_uint calls, cancels;

	size_t flood_left;         /* frames still to be sent by rig_flood() */
	atomic_size_t flood_sent;  /* bytes */
	atomic_bool flood_blocked; /* it waits for credit */
	atomic_bool no_models;     /* the router knows of no worker */
};

/** Start a gateway with 'yaml' (its "gateway:" members beside listen), and a router unless 'alone'. */
void rig_start(struct rig *r, const char *gateway_yaml, bool alone);
/** Stop all; fails the test if anything is left. */
void rig_stop(struct rig *r);

/** Start only the gateway's service; the error, if any, is the caller's to check. */
enum im_rc rig_try(const char *gateway_yaml, struct im_err *err);

void rig_router_start(struct rig *r);
/** Close the router's end of the mesh: every link is lost. */
void rig_router_stop(struct rig *r);
/** Tell the gateway that the router drains. */
void rig_router_goaway(struct rig *r);
/** Wait until the gateway says that it is ready, or is not. */
void rig_await_ready(struct rig *r, bool ready);

/** Wait until 'n' calls were made, or cancelled. */
void rig_await_calls(struct rig *r, unsigned n);
void rig_await_cancels(struct rig *r, unsigned n);

/* What the router sends on the open call. */
void rig_head(struct rig *r, const char *model, const char *cache);
void rig_delta(struct rig *r, const char *role, const char *content, const char *finish_reason);
void rig_end(struct rig *r, const struct usage *usage);
void rig_fail(struct rig *r, enum im_rc rc, const char *reason, uint32_t retry_after_ms,
	      const char *text);
/** A head, or an error, with limits. */
void rig_head_limits(struct rig *r, const struct im_rates *limits);
void rig_fail_limits(struct rig *r, const struct im_rates *limits, uint32_t retry_after_ms);
void rig_bytes(struct rig *r, const void *frame, size_t len);
/** Send 'frames' frames of about 4 KiB as fast as credit allows, then end well. Returns at once. */
void rig_flood(struct rig *r, size_t frames);

/** POST 'json' to 'path' on 'fd'; 'headers' are lines that end in CRLF, or "". */
void rig_head_fallback(struct rig *r, const char *model, const char *fallback);
void rig_post(int fd, const char *path, const char *headers, const char *json);
void rig_chat(int fd, const char *json);
void rig_get(int fd, const char *path);
/** Read from 'fd' until 'text' came. */
void rig_read_until(int fd, const char *text);

/** The gateway's metrics page; the caller frees it. */
char *rig_metrics(struct rig *r);

/** Nobody waits and nothing is open any more. */
void rig_check_idle(struct rig *r);

#define RIG_MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

#endif
