/*
 * router/request_shared.c - requests that share one generation; see request.h, coalesce.h and request_state.h.
 *
 * The generation is a request of its own, without a record and without a caller (CALLER_FOLLOWERS): it finds the worker, retries
 * and fills the cache as any request does. Those who asked follow it, the first as well as the others. Frames are handed on at
 * once; its end, and that nobody listens any more, after the present callback: so a loop over requests never sees one
 * vanish because of another.
 *
 *      followers ◀──frames, end── generation ◀──call── worker
 *          └────── last one left ─────▶ │ cancel
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "router/request.h"

#define GENERATION_MS 86400000U /* callers have deadlines, it has none */

static struct request *
request_of(struct follower *f)
{
	return CONTAINER_OF(f, struct request, follower);
}

struct request *
router_request_doer(struct request *r)
{
	struct generation *g = r->follower.generation;

	return g == NULL ? r : CONTAINER_OF(g, struct request, generation);
}

bool
router_request_may_follow(const struct router *router, const uint8_t key[CACHE_KEY_BYTES],
			  bool streams)
{
	return coalesce_find(&router->coalesce, key, streams) != NULL;
}

/* Free a generation that is over and to which nobody refers. */
static void
free_unless_followed(struct request *doer)
{
	if (doer->over && !doer->telling && list_empty(&doer->generation.followers)) {
		loop_cancel(doer->router->loop, &doer->share_task);
		generation_done(&doer->generation);
		router_request_free(doer);
	}
}

static void
take_over(struct request *r, const struct request *doer)
{
	r->usage = doer->usage;
	r->has_usage = doer->has_usage;
	r->st.attempts = doer->st.attempts;
	r->err = doer->err;
	r->waited_us = doer->waited_us;
	r->worker_us = doer->worker_us;
	if (r->st.coalesced) { /* whatever it was, it happened elsewhere */
		r->waited_us = 0;
		r->worker_us = clock_mono_us() - r->part_us;
	}
}

/* What the generation came to, as if it were the follower's worker. */
static void
tell_end(struct request *r, const struct request *doer)
{
	bool whole = r->caller.kind == CALLER_STREAM || doer->answer != NULL;

	take_over(r, doer);
	if (doer->st.outcome != OUTCOME_OK && doer->not_here && router_request_falls_back(r)) {
		return;
	}
	if (doer->st.outcome == OUTCOME_OK && whole) {
		router_request_event(r, REQUEST_EV_WORKER_OK);
	} else if (doer->st.outcome == OUTCOME_OK) {
		(void)err_set(&r->err, IM_ETOOBIG,
			      "the answer is too long for one reply; ask for a stream");
		router_request_event(r, REQUEST_EV_FAILED);
	} else if (doer->st.outcome == OUTCOME_REJECTED) {
		router_request_event(r, REQUEST_EV_NO_WORKER);
	} else {
		router_request_event(r, REQUEST_EV_WORKER_FAILED);
	}
}

void
router_request_let_go(struct request *doer)
{
	LIST_FOREACH_SAFE (&doer->generation.followers, f, struct follower, node) {
		struct request *r = request_of(f);

		if (f->listening && r->st.late) {
			take_over(r, doer);
			(void)router_request_falls_back(r);
		}
	}
}

static void
share_fire(void *arg)
{
	struct request *doer = arg;

	if (!doer->over) {
		if (doer->generation.listening == 0) {
			router_request_event(doer, REQUEST_EV_CANCEL);
		}
		return;
	}
	doer->telling = true;
	LIST_FOREACH_SAFE (&doer->generation.followers, f, struct follower, node) {
		if (f->listening) {
			tell_end(request_of(f), doer);
		}
	}
	doer->telling = false;
	free_unless_followed(doer);
}

void
router_request_shared_over(struct request *doer)
{
	list_remove(&doer->node);
	generation_close(&doer->generation);
	if (!list_empty(&doer->generation.followers)) {
		loop_post(doer->router->loop, &doer->share_task);
	}
	free_unless_followed(doer);
}

/* A generation for what 'r' asks. It gets the request's bytes, which 'r' needs no more. NULL without memory. */
static struct request *
doer_new(struct request *r)
{
	struct router *router = r->router;
	struct request *doer = router_request_copy(r);

	if (doer == NULL) {
		return NULL;
	}
	doer->caller = (struct caller){ .kind = CALLER_FOLLOWERS };
	if (!router_request_answer_reset(doer)) {
		router_request_free(doer);
		return NULL;
	}
	doer->body_len = r->body_len;
	if (r->st.late) { /* it may need its bytes for another model */
		doer->body = malloc(r->body_len);
		if (doer->body == NULL) {
			router_request_free(doer);
			return NULL;
		}
		memcpy(doer->body, r->body, r->body_len);
	} else {
		doer->body = r->body;
		r->body = NULL;
	}
	doer->share_task = (struct loop_task){ .fn = share_fire, .arg = doer };
	request_state_init(&doer->st, AUDIT_OFF, false, router->set.retries, clock_mono_ms(),
			   GENERATION_MS);
	generation_begin(&doer->generation, &router->coalesce, r->key, r->streams);
	list_push_back(&router->requests, &doer->node);
	return doer;
}

/* Somebody more urgent joins a generation that waits: it waits as that one would. */
static void
hurry(struct request *doer, const struct request *r)
{
	struct queue *q = &r->router->queue;
	struct queue_line *line = doer->waiting.line;
	struct queue_entry *e = &doer->waiting;
	uint64_t since_ms = e->since_ms;

	queue_leave(q, e);
	e->cls = r->waiting.cls > e->cls ? r->waiting.cls : e->cls;
	e->deadline_ms =
	    r->waiting.deadline_ms < e->deadline_ms ? r->waiting.deadline_ms : e->deadline_ms;
	doer->priority = r->priority > doer->priority ? r->priority : doer->priority;
	if (line != NULL) {
		enum im_rc rc = queue_join(q, line, e, since_ms, NULL);

		assert(rc == IM_OK); /* it had a place */
		(void)rc;
	}
}

void
router_request_follow(struct request *r)
{
	struct generation *g = coalesce_find(&r->router->coalesce, r->key, r->streams);
	struct request *doer =
	    g == NULL ? doer_new(r) : CONTAINER_OF(g, struct request, generation);

	if (doer == NULL) {
		(void)err_set(&r->err, IM_ENOMEM, "the router is out of memory; try again later");
		router_request_event(r, REQUEST_EV_FAILED);
		return;
	}
	/* What the answer costs is paid for by who began it, when the generation ends, whoever listens by then. */
	if (g == NULL) {
		limits_pass(&r->router->limits, &r->claim, &doer->claim);
	} else {
		limits_ease(&r->router->limits, &r->claim);
		r->st.coalesced = true;
		(void)snprintf(r->cache_word, sizeof(r->cache_word), "coalesced");
		hurry(doer, r);
	}
	if (!r->st.late) {
		free(r->body);
		r->body = NULL;
	}
	r->part_us = clock_mono_us();
	generation_join(&doer->generation, &r->follower);
	router_request_event(r, REQUEST_EV_FOLLOWS);
	if (g == NULL) {
		router_request_event(doer, REQUEST_EV_ADMIT);
	} else if (follower_next(&r->follower) != NULL) {
		router_request_event(r, REQUEST_EV_FRAME);
	}
}

void
router_request_leave_shared(struct request *r)
{
	struct request *doer = router_request_doer(r);

	/* It had read all there was, and its time is up: for request_retry.c. */
	if (r->st.ending == REQUEST_END_DEADLINE && doer != r &&
	    follower_next(&r->follower) == NULL) {
		doer->timed_out = true;
	}
	if (generation_leave(&r->follower) && !doer->over) {
		loop_post(r->router->loop, &doer->share_task);
	}
}

void
router_request_forget_shared(struct request *r)
{
	struct request *doer = router_request_doer(r);

	if (doer != r) {
		router_request_leave_shared(r);
		generation_forget(&r->follower);
		free_unless_followed(doer);
	}
}

/* 'r' has read the frame at its place. */
static void
took(struct request *r)
{
	struct request *doer = router_request_doer(r);
	bool first = r->follower.at == 0;
	size_t credit = follower_took(&r->follower);

	if (credit > 0 && doer->call != NULL) {
		call_grant(doer->call, credit);
	}
	if (first && r->caller.kind == CALLER_STREAM) {
		router_request_event(r, REQUEST_EV_DELIVERED);
		router_request_delivered(doer);
	}
}

bool
router_request_flush_shared(struct request *r, enum im_rc *ret_rc)
{
	const struct said *said;

	assert(r->driving); /* so that no event ends the request under this loop */
	while ((said = follower_next(&r->follower)) != NULL) {
		enum im_rc rc = r->caller.kind == CALLER_STREAM
				    ? served_send(r->caller.served, said->bytes, said->len)
				    : IM_OK;

		if (rc != IM_OK) {
			*ret_rc = rc;
			return false;
		}
		took(r);
	}
	return true;
}

static void
cut_off(struct request *r)
{
	(void)err_reason(
	    &r->err, IM_EUNAVAILABLE, "too_slow",
	    "the answer is shared with others and was read too slowly; ask again, or with Cache-Control: no-cache");
	router_request_event(r, REQUEST_EV_FAILED);
}

enum im_rc
router_request_say(struct request *doer, const uint8_t *bytes, size_t len, size_t credit)
{
	enum im_rc rc = generation_say(&doer->generation, bytes, len, credit);

	if (rc != IM_OK) {
		return rc;
	}
	LIST_FOREACH_SAFE (&doer->generation.followers, f, struct follower, node) {
		if (f->listening && follower_lags(f)) {
			cut_off(request_of(f));
		} else if (f->listening) {
			router_request_event(request_of(f), REQUEST_EV_FRAME);
		}
	}
	return IM_OK;
}
