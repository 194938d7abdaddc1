/*
 * wire/answer.c - GenerateFrame, GenerateEnd and GenerateReply as plain structs; see generate.h.
 */
#include <string.h>

#include "infermesh/v1/inference.pb-c.h"
#include "infermesh/v1/router.pb-c.h"
#include "wire/generate.h"
#include "wire/plain_frame.h"
#include "wire/text.h"
#include "wire/usage.h"

static enum im_rc
no_memory(struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "an answer needs more memory than allowed");
}

/* One delta and its tool calls; the arrays come from 'tmp'. */
static bool
delta_out(const struct delta *d, struct arena *tmp, Infermesh__V1__Delta *ret)
{
	Infermesh__V1__ToolCallDelta *calls;

	infermesh__v1__delta__init(ret);
	ret->index = d->index;
	ret->role = text_out(d->role);
	ret->content = text_out(d->content);
	ret->reasoning_content = text_out(d->reasoning_content);
	ret->finish_reason = text_out(d->finish_reason);
	ret->logprobs_json = text_out(d->logprobs_json);
	ret->refusal = text_out(d->refusal);
	ret->embedding = bytes_out(d->embedding.data, d->embedding.len);
	if (d->tool_call_count == 0)
		return true;
	calls = arena_calloc(tmp, d->tool_call_count, sizeof(*calls));
	ret->tool_calls = arena_calloc(tmp, d->tool_call_count, sizeof(void *));
	if (calls == NULL || ret->tool_calls == NULL)
		return false;
	ret->n_tool_calls = d->tool_call_count;
	for (size_t i = 0; i < d->tool_call_count; i++) {
		infermesh__v1__tool_call_delta__init(&calls[i]);
		calls[i].index = d->tool_calls[i].index;
		calls[i].id = text_out(d->tool_calls[i].id);
		calls[i].name = text_out(d->tool_calls[i].name);
		calls[i].arguments = text_out(d->tool_calls[i].arguments);
		ret->tool_calls[i] = &calls[i];
	}
	return true;
}

/* One delta without tool calls, the usual frame, needs no memory. */
static bool
deltas_out(const struct generate_frame *frame, struct arena *tmp, Infermesh__V1__GenerateFrame *m,
	   Infermesh__V1__Delta *one, Infermesh__V1__Delta **one_list)
{
	Infermesh__V1__Delta *deltas = one;
	Infermesh__V1__Delta **list = one_list;

	if (frame->delta_count > 1) {
		deltas = arena_calloc(tmp, frame->delta_count, sizeof(*deltas));
		list = arena_calloc(tmp, frame->delta_count, sizeof(void *));
		if (deltas == NULL || list == NULL)
			return false;
	}
	for (size_t i = 0; i < frame->delta_count; i++) {
		if (!delta_out(&frame->deltas[i], tmp, &deltas[i]))
			return false;
		list[i] = &deltas[i];
	}
	m->n_deltas = frame->delta_count;
	m->deltas = list;
	return true;
}

void
generate_frame_encode(const struct generate_frame *frame, struct buf *out)
{
	Infermesh__V1__GenerateFrame m = INFERMESH__V1__GENERATE_FRAME__INIT;
	Infermesh__V1__GenerateHead head = INFERMESH__V1__GENERATE_HEAD__INIT;
	Infermesh__V1__Delta one, *one_list[1];
	struct rates_packed limits;
	struct arena tmp = { 0 };

	if (plain_frame_encode(frame, out))
		return;
	if (frame->has_head) {
		head.model = text_out(frame->head.model);
		head.cache = text_out(frame->head.cache);
		head.worker = text_out(frame->head.worker);
		head.age_ms = frame->head.age_ms;
		head.fallback = text_out(frame->head.fallback);
		rates_out(&frame->head.limits, &limits);
		head.n_limits = limits.count;
		head.limits = limits.list;
		m.head = &head;
	}
	m.system_fingerprint = text_out(frame->system_fingerprint);
	m.dimensions = frame->dimensions;
	if (deltas_out(frame, &tmp, &m, &one, one_list))
		wire_pack(&m.base, out);
	else
		out->failed = true;
	arena_done(&tmp);
}

static bool
delta_in(const Infermesh__V1__Delta *m, struct arena *arena, struct delta *ret)
{
	*ret = (struct delta){
		.index = m->index,
		.role = m->role,
		.content = m->content,
		.reasoning_content = m->reasoning_content,
		.finish_reason = m->finish_reason,
		.logprobs_json = m->logprobs_json,
		.refusal = m->refusal,
		.tool_call_count = m->n_tool_calls,
		.embedding = { m->embedding.data, m->embedding.len },
	};
	if (m->n_tool_calls == 0)
		return true;
	ret->tool_calls = arena_calloc(arena, m->n_tool_calls, sizeof(*ret->tool_calls));
	if (ret->tool_calls == NULL)
		return false;
	for (size_t i = 0; i < m->n_tool_calls; i++)
		ret->tool_calls[i] = (struct tool_call_delta){
			.index = m->tool_calls[i]->index,
			.id = m->tool_calls[i]->id,
			.name = m->tool_calls[i]->name,
			.arguments = m->tool_calls[i]->arguments,
		};
	return true;
}

/* Vectors are whole. */
static enum im_rc
check_vectors(const struct wire_bytes *v, uint32_t dimensions, struct im_err *err)
{
	if (v->len == 0)
		return IM_OK;
	if (dimensions == 0 || dimensions > GENERATE_VECTOR_MAX ||
	    v->len % (dimensions * sizeof(float)) != 0)
		return err_set(err, IM_EPROTO, "an answer has %zu bytes of vectors of %u numbers",
			       v->len, dimensions);
	return IM_OK;
}

static enum im_rc
bad_choice(struct im_err *err)
{
	return err_set(err, IM_EPROTO, "an answer has a choice over %d", GENERATE_CHOICES_MAX - 1);
}

enum im_rc
generate_frame_decode(const uint8_t *buf, size_t len, struct arena *arena,
		      struct generate_frame *ret, struct im_err *err)
{
	struct generate_frame out = {
		.head = { .model = "", .cache = "", .worker = "", .fallback = "" }
	};
	const Infermesh__V1__GenerateFrame *m;
	ProtobufCMessage *msg;
	enum im_rc rc;

	if (plain_frame_decode(buf, len, arena, ret))
		return IM_OK;
	rc = wire_unpack(&infermesh__v1__generate_frame__descriptor, buf, len, arena, &msg, err);
	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__GenerateFrame *)msg;
	out.has_head = m->head != NULL;
	if (out.has_head)
		out.head = (struct generate_head){
			m->head->model,    m->head->cache,
			m->head->worker,   m->head->age_ms,
			m->head->fallback, rates_in(m->head->limits, m->head->n_limits)
		};
	out.system_fingerprint = m->system_fingerprint;
	out.dimensions = m->dimensions;
	out.delta_count = m->n_deltas;
	out.deltas = arena_calloc(arena, m->n_deltas + 1, sizeof(*out.deltas));
	if (out.deltas == NULL)
		return no_memory(err);
	for (size_t i = 0; i < m->n_deltas; i++) {
		if (m->deltas[i]->index >= GENERATE_CHOICES_MAX)
			return bad_choice(err);
		if (!delta_in(m->deltas[i], arena, &out.deltas[i]))
			return no_memory(err);
		if (check_vectors(&out.deltas[i].embedding, out.dimensions, err) != IM_OK)
			return IM_EPROTO;
	}
	*ret = out;
	return IM_OK;
}

void
generate_end_encode(const struct generate_end *end, struct buf *out)
{
	Infermesh__V1__GenerateEnd m = INFERMESH__V1__GENERATE_END__INIT;
	Infermesh__V1__Usage usage;
	Infermesh__V1__Load load;

	if (end->has_usage) {
		usage_out(&end->usage, &usage);
		m.usage = &usage;
	}
	if (end->has_load) {
		load_out(&end->load, &load);
		m.load = &load;
	}
	wire_pack(&m.base, out);
}

enum im_rc
generate_end_decode(const uint8_t *buf, size_t len, struct generate_end *ret, struct im_err *err)
{
	const Infermesh__V1__GenerateEnd *m;
	struct arena arena = { .max_bytes = SMALL_MESSAGE_BYTES };
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__generate_end__descriptor, buf, len, &arena, &msg, err);

	if (rc == IM_OK) {
		m = (const Infermesh__V1__GenerateEnd *)msg;
		*ret = (struct generate_end){
			.usage = usage_in(m->usage),
			.load = load_in(m->load),
			.has_usage = m->usage != NULL,
			.has_load = m->load != NULL,
		};
	}
	arena_done(&arena);
	return rc;
}

static bool
choice_out(const struct choice *c, struct arena *tmp, Infermesh__V1__Choice *ret)
{
	Infermesh__V1__ToolCall *calls;

	infermesh__v1__choice__init(ret);
	ret->index = c->index;
	ret->role = text_out(c->role);
	ret->content = text_out(c->content);
	ret->reasoning_content = text_out(c->reasoning_content);
	ret->finish_reason = text_out(c->finish_reason);
	ret->refusal = text_out(c->refusal);
	ret->embedding = bytes_out(c->embedding.data, c->embedding.len);
	calls = arena_calloc(tmp, c->tool_call_count + 1, sizeof(*calls));
	ret->tool_calls = arena_calloc(tmp, c->tool_call_count + 1, sizeof(void *));
	if (calls == NULL || ret->tool_calls == NULL)
		return false;
	ret->n_tool_calls = c->tool_call_count;
	for (size_t i = 0; i < c->tool_call_count; i++) {
		infermesh__v1__tool_call__init(&calls[i]);
		calls[i].id = text_out(c->tool_calls[i].id);
		calls[i].name = text_out(c->tool_calls[i].name);
		calls[i].arguments = text_out(c->tool_calls[i].arguments);
		ret->tool_calls[i] = &calls[i];
	}
	return true;
}

void
generate_reply_encode(const struct generate_reply *reply, struct buf *out)
{
	Infermesh__V1__GenerateReply m = INFERMESH__V1__GENERATE_REPLY__INIT;
	struct error_packed error;
	struct rates_packed limits;
	Infermesh__V1__Usage usage;
	struct arena tmp = { 0 };
	Infermesh__V1__Choice *choices =
	    arena_calloc(&tmp, reply->choice_count + 1, sizeof(*choices));
	Infermesh__V1__Choice **list = arena_calloc(&tmp, reply->choice_count + 1, sizeof(void *));
	bool ok = choices != NULL && list != NULL;

	if (reply->failed) {
		error_out(&reply->err, &error);
		m.error = &error.m;
	}
	m.request_id = text_out(reply->request_id);
	m.model = text_out(reply->model);
	m.cache = text_out(reply->cache);
	m.fallback = text_out(reply->fallback);
	rates_out(&reply->limits, &limits);
	m.n_limits = limits.count;
	m.limits = limits.list;
	usage_out(&reply->usage, &usage);
	m.usage = &usage;
	for (size_t i = 0; ok && i < reply->choice_count; i++) {
		ok = choice_out(&reply->choices[i], &tmp, &choices[i]);
		list[i] = &choices[i];
	}
	m.n_choices = reply->choice_count;
	m.dimensions = reply->dimensions;
	m.choices = list;
	if (ok)
		wire_pack(&m.base, out);
	else
		out->failed = true;
	arena_done(&tmp);
}

static bool
choice_in(const Infermesh__V1__Choice *m, struct arena *arena, struct choice *ret)
{
	*ret = (struct choice){
		.index = m->index,
		.role = m->role,
		.content = m->content,
		.reasoning_content = m->reasoning_content,
		.finish_reason = m->finish_reason,
		.refusal = m->refusal,
		.tool_call_count = m->n_tool_calls,
		.embedding = { m->embedding.data, m->embedding.len },
	};
	ret->tool_calls = arena_calloc(arena, m->n_tool_calls + 1, sizeof(*ret->tool_calls));
	if (ret->tool_calls == NULL)
		return false;
	for (size_t i = 0; i < m->n_tool_calls; i++)
		ret->tool_calls[i] =
		    (struct tool_call){ m->tool_calls[i]->id, m->tool_calls[i]->name,
					m->tool_calls[i]->arguments };
	return true;
}

enum im_rc
generate_reply_decode(const uint8_t *buf, size_t len, struct arena *arena,
		      struct generate_reply *ret, struct im_err *err)
{
	struct generate_reply out = { 0 };
	const Infermesh__V1__GenerateReply *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__generate_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__GenerateReply *)msg;
	out.failed = m->error != NULL;
	if (out.failed)
		error_in(m->error, &out.err);
	out.request_id = m->request_id;
	out.model = m->model;
	out.cache = m->cache;
	out.fallback = m->fallback;
	out.limits = rates_in(m->limits, m->n_limits);
	out.usage = usage_in(m->usage);
	out.choice_count = m->n_choices;
	out.dimensions = m->dimensions;
	out.choices = arena_calloc(arena, m->n_choices + 1, sizeof(*out.choices));
	if (out.choices == NULL)
		return no_memory(err);
	for (size_t i = 0; i < m->n_choices; i++) {
		if (m->choices[i]->index >= GENERATE_CHOICES_MAX)
			return bad_choice(err);
		if (!choice_in(m->choices[i], arena, &out.choices[i]))
			return no_memory(err);
		if (check_vectors(&out.choices[i].embedding, out.dimensions, err) != IM_OK)
			return IM_EPROTO;
	}
	*ret = out;
	return IM_OK;
}
