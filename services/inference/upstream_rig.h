/*
 * inference/upstream_rig.h - what the tests of the upstream backend share: a server that answers by model, the backend, and
 * requests that write down what they came to.
 */
#ifndef INFERENCE_UPSTREAM_RIG_H
#define INFERENCE_UPSTREAM_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inference/backend.h"
#include "inference/fake_server.h"

#define BIG_PIECES 3000

/* For rig_backend_start(): every model of the server. */
#define ALL_MODELS                                                                                                        \
	"    models: [stream, mislabelled, lingers, json, cut, no-done, error, bad-json, page, empty, "                   \
	"cut-json, torn-json, limit, broken, huge-error, redirect, key, hang, drip, once, stray, big, vectors, unknown, " \
	"hints, closes, old, until-close, until-close-json, cut-close, slow, early, early-413, gone-413, late-stray]\n"

struct rig {
	struct fake_server *server;
	struct loop *loop;
	struct config *config;
	struct backend *b;
	struct loop_timer alarm;
	bool stopped;
	enum generate_op operation; /* of requests; rig_backend_stop() resets it, and: */
	bool whole;                 /* requests do not ask for a stream */
	const char *content;        /* of the message of a chat; NULL = something short */
	bool by_curl;
};
extern struct rig rig;

/* What one request came to. */
struct result {
	struct buf text; /* contents, with R at a role and F at a finish_reason */
	struct usage usage;
	struct im_err err;
	struct job *job;
	unsigned frames;
	bool ended, failed, has_usage;
	bool cancel_at_frame, pause_at_frame, stop_at_frame;
	struct loop_task resume;
};

/** Exchanges are carried by exchange_plain.c. */
int rig_setup(void **state);
/** By libcurl. */
int rig_setup_by_curl(void **state);
int rig_teardown(void **state);

/** Run the loop until *done; aborts after 20 s. */
void rig_run_until(const bool *done);

/** A backend whose entry of 'workers' has these members too (YAML, indented by four). */
enum im_rc rig_backend_start(const char *members, struct im_err *err);

/** Stop it; the server has no connection left then. */
void rig_backend_stop(void);

/** Submit a request for 'model'; what happens goes to '*r', which was zeroed. */
enum im_rc rig_submit(const char *model, uint32_t budget_ms, struct result *r);

/** The same, and wait for its end. */
void rig_run(const char *model, uint32_t budget_ms, struct result *r);

#endif
