/*
 * router/request_answer.c - frames on their way to the caller, and the cache; see request.h. Bytes of a worker go on unparsed; they are decoded
 * beside it, for the digest and the cache.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/request.h"

#define FRAME_ARENA_SLACK (64U << 10)

/* 'keep': the answer may go to the cache, if it can. */
static bool
answer_reset(struct request *r, bool keep)
{
	bool once = r->caller.kind != CALLER_STREAM; /* or somebody who follows may be */

	answer_hash_free(r->hash);
	router_answer_free(r->answer);
	r->answer = NULL;
	r->hash = NULL;
	r->has_usage = false;
	memset(&r->usage, 0, sizeof(r->usage));
	limits_see_nothing(&r->claim);
	if (r->router->set.audit_mode != AUDIT_OFF) { /* else nobody is told the digest */
		r->hash = answer_hash_new();
		if (r->hash == NULL) {
			return false;
		}
	}
	if (once || (keep && r->cacheable)) {
		r->answer = router_answer_new(once ? r->router->set.once_bytes
						   : r->router->set.cache_answer_bytes);
	}
	return r->answer != NULL ||
	       !once; /* an answer that is not gathered is not cached, and that is all */
}

void
router_request_drop_held(struct request *r, bool head_too)
{
	LIST_FOREACH_SAFE (&r->held, f, struct held_frame, node) {
		if (head_too || !f->head) {
			list_remove(&f->node);
			free(f);
		}
	}
}

bool
router_request_answer_reset(struct request *r)
{
	return answer_reset(r, true);
}

static bool
hold(struct request *r, const uint8_t *bytes, size_t len, size_t credit, bool head)
{
	struct held_frame *f = malloc(sizeof(*f) + len);

	if (f == NULL) {
		return false;
	}
	memset(f, 0, sizeof(*f));
	f->head = head;
	f->credit = credit;
	f->len = len;
	memcpy(f->bytes, bytes, len);
	if (head) {
		list_push_front(&r->held, &f->node);
	} else {
		list_push_back(&r->held, &f->node);
	}
	return true;
}

static void
out_of_memory(struct request *r)
{
	(void)err_set(&r->err, IM_ENOMEM, "the router is out of memory; try again later");
	router_request_event(r, REQUEST_EV_FAILED);
}

/* The caller's link refused a frame for good. */
static void
cannot_send(struct request *r, enum im_rc rc)
{
	if (rc == IM_EUNAVAILABLE) {
		return; /* it left: 'cancelled' says so */
	}
	(void)err_set(&r->err, rc, "a part of the answer cannot be sent: %s", im_rc_text(rc));
	router_request_event(r, REQUEST_EV_FAILED);
}

void
router_request_delivered(struct request *r)
{
	if (r->body != NULL) {
		free(r->body);
		r->body = NULL;
		router_request_event(r, REQUEST_EV_DELIVERED);
	}
}

void
router_request_flush(struct request *r)
{
	struct list *node;
	enum im_rc shared_rc;

	while (r->caller.kind == CALLER_STREAM && (node = list_pop_front(&r->held)) != NULL) {
		struct held_frame *f = CONTAINER_OF(node, struct held_frame, node);
		enum im_rc rc = served_send(r->caller.served, f->bytes, f->len);

		if (rc != IM_OK) {
			list_push_front(&r->held, node);
			if (rc != IM_EAGAIN) { /* else 'writable' follows */
				cannot_send(r, rc);
			}
			return;
		}
		if (!f->head) {
			if (r->call != NULL) {
				call_grant(r->call, f->credit);
			}
			assert(r->driving); /* so that no event ends the request under this loop */
			router_request_delivered(r);
		}
		free(f);
	}
	if (!router_request_flush_shared(r, &shared_rc)) {
		if (shared_rc != IM_EAGAIN) {
			cannot_send(r, shared_rc);
		}
		return;
	}
	router_request_event(r, REQUEST_EV_FLUSHED);
}

void
router_request_open(struct request *r)
{
	char fallback[AUDIT_ROUTE_MAX + 1];
	const struct worker *worker = router_request_doer(r)->worker;
	struct generate_frame frame = { .has_head = true,
					.head = {
					    .model = r->model->id,
					    .cache = r->cache_word,
					    .worker = worker != NULL ? worker->name->text : "",
					    .age_ms = r->age_ms,
					    .fallback = router_request_fallback_text(r, fallback),
					    .limits = r->claim.rates } };
	struct buf bytes = BUF_INIT(0);

	if (r->caller.kind != CALLER_STREAM) {
		return;
	}
	generate_frame_encode(&frame, &bytes);
	if (!buf_ok(&bytes) || !hold(r, bytes.data, bytes.len, 0, true)) {
		out_of_memory(r);
	}
	buf_done(&bytes);
}

/* To the caller's link if nothing is before it, else behind what is held. The worker's frame took 'credit' bytes. */
static void
relay(struct request *r, const uint8_t *bytes, size_t len, size_t credit)
{
	enum im_rc rc = IM_EAGAIN;

	if (r->caller.kind == CALLER_FOLLOWERS) {
		if (router_request_say(r, bytes, len, credit) != IM_OK) {
			out_of_memory(r);
		}
		return;
	}
	if (list_empty(&r->held) && request_state_relays(&r->st)) {
		rc = served_send(r->caller.served, bytes, len);
	}
	if (rc == IM_OK) {
		call_grant(r->call, credit);
		router_request_delivered(r);
	} else if (rc != IM_EAGAIN) {
		cannot_send(r, rc);
	} else if (hold(r, bytes, len, credit, false)) {
		router_request_event(r, REQUEST_EV_FRAME);
	} else {
		out_of_memory(r);
	}
}

/* Digest it and, where wanted, keep what it says. */
static enum im_rc
account(struct request *r, const struct generate_frame *frame, struct im_err *err)
{
	enum im_rc rc = r->hash != NULL ? answer_hash_add(r->hash, frame, err) : IM_OK;

	if (rc != IM_OK || r->answer == NULL) {
		return rc;
	}
	rc = router_answer_add(r->answer, frame, err);
	if (rc != IM_OK && r->caller.kind != CALLER_ONCE && r->caller.kind != CALLER_DOOR) {
		router_answer_free(r->answer); /* too long for the cache: that is no failure */
		r->answer = NULL;
		rc = IM_OK;
	}
	return rc;
}

/* The worker broke the rules, or we ran out of something. */
static void
frame_failed(struct request *r, enum im_rc rc)
{
	struct im_err err = r->err;

	if (rc == IM_EPROTO) {
		router_request_cancel_worker(r);
		router_request_attempt_failed(r, &err, true);
		return;
	}
	router_request_event(r, REQUEST_EV_FAILED);
}

void
router_request_take_frame(struct request *r, const uint8_t *body, size_t len)
{
	struct generate_frame frame;
	struct buf again = BUF_INIT(0);
	struct arena arena;
	enum im_rc rc;

	arena_init(&arena, 16 * len + FRAME_ARENA_SLACK);
	rc = generate_frame_decode(body, len, &arena, &frame, &r->err);
	if (rc == IM_OK) {
		rc = account(r, &frame, &r->err);
		limits_see(&r->claim, &frame);
	}
	router_request_heard(r, rc == IM_OK && frame.delta_count > 0);
	if (rc != IM_OK) {
		frame_failed(r, rc);
	} else if (r->caller.kind == CALLER_ONCE || r->caller.kind == CALLER_DOOR) {
		call_grant(r->call, len);
	} else if (frame.has_head && frame.delta_count == 0) {
		call_grant(r->call, len); /* nothing of an answer: a retry stays possible */
	} else if (frame.has_head) {      /* only the router says heads */
		frame.has_head = false;
		generate_frame_encode(&frame, &again);
		if (buf_ok(&again)) {
			relay(r, again.data, again.len, len);
		} else {
			out_of_memory(r);
		}
		buf_done(&again);
	} else {
		relay(r, body, len, len);
	}
	arena_done(&arena);
}

/* Take a cached answer as if a worker had said it. False if it cannot be used. */
static bool
take_cached(struct request *r, const struct cache_found *found, struct arena *arena)
{
	struct generate_frame frame;
	struct buf bytes = BUF_INIT(0);
	bool ok;

	if (!answer_reset(r, false) ||
	    router_answer_value_decode(found->value.data, found->value.len, arena, &frame,
				       &r->usage, NULL) != IM_OK) {
		return false;
	}
	ok = account(r, &frame, NULL) == IM_OK;
	if (ok && r->caller.kind == CALLER_STREAM) {
		generate_frame_encode(&frame, &bytes);
		ok = buf_ok(&bytes) && hold(r, bytes.data, bytes.len, 0, false);
		buf_done(&bytes);
	}
	r->usage.cached_tokens = r->usage.prompt_tokens; /* nobody read the prompt again */
	r->has_usage = ok;
	r->age_ms = found->age_ms;
	if (ok) {
		(void)snprintf(r->cache_word, sizeof(r->cache_word), "hit-%s",
			       found->tier[0] != '\0' ? found->tier : "l1");
		memcpy(r->model_digest, r->key_digest, sizeof(r->model_digest));
	}
	return ok;
}

enum im_rc
router_request_answer_static(struct request *r, const char *text, uint32_t choices)
{
	struct generate_frame frame = { .delta_count = choices };
	struct buf bytes = BUF_INIT(0);
	bool ok;

	frame.deltas = calloc(choices, sizeof(*frame.deltas));
	ok = frame.deltas != NULL;
	for (uint32_t i = 0; ok && i < choices; i++) {
		frame.deltas[i] = (struct delta){ .index = i,
						  .role = "assistant",
						  .content = text,
						  .reasoning_content = "",
						  .finish_reason = "stop",
						  .logprobs_json = "",
						  .refusal = "" };
	}
	frame.system_fingerprint = "";
	ok = ok && account(r, &frame, NULL) == IM_OK;
	if (ok && r->caller.kind == CALLER_STREAM) {
		generate_frame_encode(&frame, &bytes);
		ok = buf_ok(&bytes) && hold(r, bytes.data, bytes.len, 0, false);
		buf_done(&bytes);
	}
	free(frame.deltas);
	r->usage = (struct usage){ 0 };
	r->has_usage = true; /* nothing was used */
	return ok ? IM_OK : IM_ENOMEM;
}

/* The first token takes longer than the cache: the REQUEST record goes before it. */
static void
cache_missed(struct request *r)
{
	if (r->streams) {
		audit_client_flush(&r->router->audit);
	}
	router_request_event(r, REQUEST_EV_CACHE_MISS);
}

static void
lookup_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct request *r = user;
	struct cache_found found;
	struct arena arena;
	bool hit;

	(void)call;
	r->cache_call = NULL;
	arena_init(&arena, 32 * len + FRAME_ARENA_SLACK);
	hit = cache_client_found(&r->router->cache, err, body, len, &arena, &found) &&
	      take_cached(r, &found, &arena);
	arena_done(&arena);
	if (hit) {
		router_request_event(r, REQUEST_EV_CACHE_HIT);
		return;
	}
	router_request_drop_held(r, true);
	if (!r->shareable && !router_request_answer_reset(r)) {
		out_of_memory(r);
		return;
	}
	cache_missed(r);
}

void
router_request_ask_cache(struct request *r)
{
	static const struct call_ops ops = { .end = lookup_end };
	struct cache_lookup lookup = { .max_age_ms = r->max_age_ms };

	memcpy(lookup.key, r->key, sizeof(lookup.key));
	if (!cache_client_lookup(&r->router->cache, &lookup, &ops, r, &r->cache_call)) {
		cache_missed(r);
	}
}

void
router_request_fill_cache(struct request *r)
{
	struct cache_store store = { .tenant = r->tenant, .model = r->model->id };
	struct buf value = BUF_INIT(0);

	if (!r->cacheable || r->st.outcome != OUTCOME_OK || r->answer == NULL ||
	    !router_answer_is_whole(r->answer)) {
		return;
	}
	/* Workers may have different weights under one name: an answer is kept for those that gave it only. */
	if (strcmp(r->model_digest, r->key_digest) != 0) {
		return;
	}
	router_answer_value_encode(r->answer, &r->usage, &value);
	if (buf_ok(&value) && value.len <= r->router->set.cache_answer_bytes) {
		memcpy(store.key, r->key, sizeof(store.key));
		store.value = (struct wire_bytes){ value.data, value.len };
		cache_client_store(&r->router->cache, &store);
	}
	buf_done(&value);
}
