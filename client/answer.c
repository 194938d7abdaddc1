/*
 * client/answer.c - what comes back as programs see it: events, whole answers, models; see infermesh.h.
 */
#include <stdlib.h>

#include "client.h"
#include "wire/mesh.h"

struct infermesh_usage
client_usage(const struct usage *u)
{
	return (struct infermesh_usage){ .prompt_tokens = u->prompt_tokens,
					 .completion_tokens = u->completion_tokens,
					 .cached_tokens = u->cached_tokens,
					 .reasoning_tokens = u->reasoning_tokens };
}

static struct infermesh_rate
rate_of(const struct im_rate *r)
{
	return (struct infermesh_rate){ .limit = r->limit,
					.remaining = r->remaining,
					.reset_ms = r->reset_ms };
}

struct infermesh_limits
client_limits(const struct im_rates *rates)
{
	return (struct infermesh_limits){ .requests = rate_of(&rates->requests),
					  .tokens = rate_of(&rates->tokens) };
}

struct infermesh_event
client_blank_event(enum infermesh_event_type type)
{
	return (struct infermesh_event){ .type = type,
					 .model = "",
					 .cache = "",
					 .worker = "",
					 .role = "",
					 .content = "",
					 .reasoning_content = "",
					 .refusal = "",
					 .finish_reason = "" };
}

static enum im_rc
delta_event(const struct delta *d, struct arena *arena, struct infermesh_event *ret)
{
	struct infermesh_tool_call *tools = NULL;

	if (d->tool_call_count > 0) {
		tools = arena_calloc(arena, d->tool_call_count, sizeof(*tools));
		if (tools == NULL)
			return IM_ENOMEM;
		for (size_t i = 0; i < d->tool_call_count; i++)
			tools[i] =
			    (struct infermesh_tool_call){ .index = d->tool_calls[i].index,
							  .id = d->tool_calls[i].id,
							  .name = d->tool_calls[i].name,
							  .arguments = d->tool_calls[i].arguments };
	}
	*ret = client_blank_event(INFERMESH_DELTA);
	ret->index = d->index;
	ret->role = d->role;
	ret->content = d->content;
	ret->reasoning_content = d->reasoning_content;
	ret->refusal = d->refusal;
	ret->finish_reason = d->finish_reason;
	ret->tool_calls = tools;
	ret->tool_call_count = d->tool_call_count;
	return IM_OK;
}

bool
client_event(const struct generate_frame *frame, size_t n, struct arena *arena,
	     struct infermesh_event *ret, enum im_rc *ret_rc)
{
	*ret_rc = IM_OK;
	if (frame->has_head && n == 0) {
		*ret = client_blank_event(INFERMESH_START);
		ret->model = frame->head.model;
		ret->cache = frame->head.cache;
		ret->worker = frame->head.worker;
		return true;
	}
	n -= frame->has_head ? 1 : 0;
	if (n >= frame->delta_count)
		return false;
	*ret_rc = delta_event(&frame->deltas[n], arena, ret);
	return true;
}

/* Whole answers and lists of models: the public struct and the memory that it points into. */

struct answer {
	struct infermesh_answer public;
	struct arena arena;
};

struct models {
	struct infermesh_models public;
	struct arena arena;
};

static enum im_rc
fill_choice(const struct choice *from, struct arena *arena, struct infermesh_choice *to)
{
	struct infermesh_tool_call *tools =
	    arena_calloc(arena, from->tool_call_count, sizeof(*tools));

	if (tools == NULL && from->tool_call_count > 0)
		return IM_ENOMEM;
	for (size_t i = 0; i < from->tool_call_count; i++)
		tools[i] =
		    (struct infermesh_tool_call){ .index = (uint32_t)i,
						  .id = from->tool_calls[i].id,
						  .name = from->tool_calls[i].name,
						  .arguments = from->tool_calls[i].arguments };
	*to = (struct infermesh_choice){ .index = from->index,
					 .role = from->role,
					 .content = from->content,
					 .reasoning_content = from->reasoning_content,
					 .refusal = from->refusal,
					 .finish_reason = from->finish_reason,
					 .tool_calls = tools,
					 .tool_call_count = from->tool_call_count };
	return IM_OK;
}

static enum im_rc
fill_answer(struct answer *a, const struct buf *reply, struct im_err *err)
{
	struct generate_reply r;
	struct infermesh_choice *choices;
	enum im_rc rc = generate_reply_decode(reply->data, reply->len, &a->arena, &r, err);

	if (rc != IM_OK)
		return rc;
	if (r.failed) {
		*err = r.err;
		return r.err.rc;
	}
	choices = arena_calloc(&a->arena, r.choice_count + 1, sizeof(*choices));
	for (size_t i = 0; choices != NULL && rc == IM_OK && i < r.choice_count; i++)
		rc = fill_choice(&r.choices[i], &a->arena, &choices[i]);
	if (choices == NULL || rc != IM_OK)
		return err_set(err, IM_ENOMEM, "no memory for the answer");
	a->public = (struct infermesh_answer){ .request_id = r.request_id,
					       .model = r.model,
					       .cache = r.cache,
					       .choices = choices,
					       .choice_count = r.choice_count,
					       .usage = client_usage(&r.usage),
					       .limits = client_limits(&r.limits) };
	return IM_OK;
}

enum infermesh_code
infermesh_once(struct infermesh *mesh, const struct infermesh_request *req,
	       const struct infermesh_answer **ret_answer, struct infermesh_error *ret_err)
{
	struct answer *a = calloc(1, sizeof(*a));
	struct buf body = BUF_INIT(0), reply = BUF_INIT(0);
	struct im_err err = { .rc = IM_OK };
	enum im_rc rc;

	if (a == NULL) {
		(void)err_set(&err, IM_ENOMEM, "no memory for an answer");
		return client_error(&err, ret_err);
	}
	a->arena.max_bytes = CLIENT_ARENA_MAX;
	rc = client_encode(req, false, &body, &err);
	if (rc == IM_OK) {
		const struct call_request call = { .method = METHOD_GENERATE_ONCE,
						   .budget_ms = req->timeout_ms,
						   .traceparent = req->traceparent,
						   .priority = req->priority,
						   .body = body.data,
						   .body_len = body.len };

		rc = client_ask(mesh, &call, &reply, &err);
	}
	if (rc == IM_OK)
		rc = fill_answer(a, &reply, &err);
	buf_done(&body);
	buf_done(&reply);
	if (rc != IM_OK) {
		infermesh_answer_free(&a->public);
		return client_error(&err, ret_err);
	}
	*ret_answer = &a->public;
	return INFERMESH_OK;
}

void
infermesh_answer_free(const struct infermesh_answer *answer)
{
	struct answer *a = (struct answer *)answer; /* the first member; const is for the program */

	if (a == NULL)
		return;
	arena_done(&a->arena);
	free(a);
}

static enum im_rc
fill_models(struct models *m, const struct buf *reply, struct im_err *err)
{
	struct model_list list;
	struct infermesh_model *models;
	enum im_rc rc = model_list_decode(reply->data, reply->len, &m->arena, &list, err);

	if (rc != IM_OK)
		return rc;
	models = arena_calloc(&m->arena, list.count + 1, sizeof(*models));
	if (models == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the list of models");
	for (size_t i = 0; i < list.count; i++)
		models[i] =
		    (struct infermesh_model){ .id = list.models[i].id,
					      .owned_by = list.models[i].owned_by,
					      .digest = list.models[i].digest,
					      .created = list.models[i].created,
					      .context_tokens = list.models[i].context_tokens };
	m->public = (struct infermesh_models){ .models = models, .count = list.count };
	return IM_OK;
}

enum infermesh_code
infermesh_models(struct infermesh *mesh, uint32_t timeout_ms,
		 const struct infermesh_models **ret_models, struct infermesh_error *ret_err)
{
	const struct call_request call = { .method = METHOD_LIST_MODELS, .budget_ms = timeout_ms };
	struct models *m = calloc(1, sizeof(*m));
	struct buf reply = BUF_INIT(0);
	struct im_err err = { .rc = IM_OK };
	enum im_rc rc;

	if (m == NULL) {
		(void)err_set(&err, IM_ENOMEM, "no memory for the list of models");
		return client_error(&err, ret_err);
	}
	m->arena.max_bytes = CLIENT_ARENA_MAX;
	rc = client_ask(mesh, &call, &reply, &err);
	if (rc == IM_OK)
		rc = fill_models(m, &reply, &err);
	buf_done(&reply);
	if (rc != IM_OK) {
		infermesh_models_free(&m->public);
		return client_error(&err, ret_err);
	}
	*ret_models = &m->public;
	return INFERMESH_OK;
}

void
infermesh_models_free(const struct infermesh_models *models)
{
	struct models *m = (struct models *)models; /* the first member; const is for the program */

	if (m == NULL)
		return;
	arena_done(&m->arena);
	free(m);
}
