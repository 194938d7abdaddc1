/*
 * wire/generate.c - GenerateRequest as a plain struct, with its ranges; see generate.h.
 */
#include "wire/generate.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "infermesh/v1/inference.pb-c.h"
#include "wire/text.h"

#define JSON_DEPTH_MAX 64

/* The value of a ..._set_case is the tag of its one member. */
#define TAG(field) INFERMESH__V1__GENERATE_REQUEST__##field
#define PUT_OPT(dst, src, field, tag)                                                              \
	((dst)->field = (src)->field.v, (dst)->field##_set_case = (src)->field.set ? TAG(tag) : 0)
#define GET_OPT(dst, src, field, tag)                                                              \
	((dst)->field.set = (src)->field##_set_case == TAG(tag),                                   \
	 (dst)->field.v = (dst)->field.set ? (src)->field : 0)

static void
message_out(const struct message *m, Infermesh__V1__Message *ret)
{
	infermesh__v1__message__init(ret);
	ret->role = text_out(m->role);
	if (m->content != NULL) {
		ret->content_set_case = INFERMESH__V1__MESSAGE__CONTENT_SET_CONTENT;
		ret->content = text_out(m->content);
	}
	ret->content_json = text_out(m->content_json);
	ret->name = text_out(m->name);
	ret->tool_call_id = text_out(m->tool_call_id);
	ret->tool_calls_json = text_out(m->tool_calls_json);
	ret->reasoning_content = text_out(m->reasoning_content);
	ret->extra_json = text_out(m->extra_json);
}

static void
parameters_out(const struct generate_request *req, Infermesh__V1__GenerateRequest *m)
{
	PUT_OPT(m, req, temperature, TEMPERATURE_SET_TEMPERATURE);
	PUT_OPT(m, req, top_p, TOP_P_SET_TOP_P);
	PUT_OPT(m, req, top_k, TOP_K_SET_TOP_K);
	PUT_OPT(m, req, min_p, MIN_P_SET_MIN_P);
	PUT_OPT(m, req, frequency_penalty, FREQUENCY_PENALTY_SET_FREQUENCY_PENALTY);
	PUT_OPT(m, req, presence_penalty, PRESENCE_PENALTY_SET_PRESENCE_PENALTY);
	PUT_OPT(m, req, repeat_penalty, REPEAT_PENALTY_SET_REPEAT_PENALTY);
	PUT_OPT(m, req, seed, SEED_SET_SEED);
	PUT_OPT(m, req, max_tokens, MAX_TOKENS_SET_MAX_TOKENS);
	PUT_OPT(m, req, logprobs, LOGPROBS_SET_LOGPROBS);
	PUT_OPT(m, req, top_logprobs, TOP_LOGPROBS_SET_TOP_LOGPROBS);
	PUT_OPT(m, req, dimensions, DIMENSIONS_SET_DIMENSIONS);
}

/* 'inputs' and 'list' have room for all. */
static void
inputs_out(const struct generate_request *req, Infermesh__V1__Input *inputs,
	   Infermesh__V1__Input **list)
{
	for (size_t i = 0; i < req->input_count; i++) {
		infermesh__v1__input__init(&inputs[i]);
		inputs[i].text = text_out(req->inputs[i].text);
		inputs[i].tokens = req->inputs[i].tokens;
		inputs[i].n_tokens = req->inputs[i].token_count;
		list[i] = &inputs[i];
	}
}

static void
scalars_out(const struct generate_request *req, Infermesh__V1__GenerateRequest *m)
{
	m->model = text_out(req->model);
	m->n = req->n;
	m->stream = req->stream;
	m->tools_json = text_out(req->tools_json);
	m->tool_choice_json = text_out(req->tool_choice_json);
	m->response_format_json = text_out(req->response_format_json);
	m->user = text_out(req->user);
	m->extra_json = text_out(req->extra_json);
	m->request_id = text_out(req->request_id);
	m->caller = text_out(req->caller);
	m->tenant = text_out(req->tenant);
	m->session = text_out(req->session);
	if (req->has_input_sha256)
		m->input_sha256 = bytes_out(req->input_sha256, sizeof(req->input_sha256));
	m->received_us = req->received_us;
	m->operation = (Infermesh__V1__Operation)req->operation;
	m->echo = req->echo;
	m->n_stop = req->stop_count;
	m->stop = texts_out(req->stop);
}

void
generate_request_encode(const struct generate_request *req, struct buf *out)
{
	Infermesh__V1__GenerateRequest m = INFERMESH__V1__GENERATE_REQUEST__INIT;
	Infermesh__V1__CachePolicy policy = INFERMESH__V1__CACHE_POLICY__INIT;
	struct arena tmp = { 0 };
	Infermesh__V1__Message *messages =
	    arena_calloc(&tmp, req->message_count + 1, sizeof(*messages));
	Infermesh__V1__Message **list = arena_calloc(&tmp, req->message_count + 1, sizeof(void *));
	Infermesh__V1__Input *inputs = NULL;

	if (req->input_count > 0) {
		inputs = arena_calloc(&tmp, req->input_count, sizeof(*inputs));
		m.inputs = arena_calloc(&tmp, req->input_count, sizeof(void *));
		m.n_inputs = req->input_count;
	}
	if (messages == NULL || list == NULL ||
	    (req->input_count > 0 && (inputs == NULL || m.inputs == NULL))) {
		out->failed = true;
		arena_done(&tmp);
		return;
	}
	for (size_t i = 0; i < req->message_count; i++) {
		message_out(&req->messages[i], &messages[i]);
		list[i] = &messages[i];
	}
	m.n_messages = req->message_count;
	m.messages = list;
	inputs_out(req, inputs, m.inputs);
	scalars_out(req, &m);
	parameters_out(req, &m);
	if (req->cache_no_store || req->cache_no_cache || req->cache_max_age_ms != 0) {
		policy.no_store = req->cache_no_store;
		policy.no_cache = req->cache_no_cache;
		policy.max_age_ms = req->cache_max_age_ms;
		m.cache = &policy;
	}
	wire_pack(&m.base, out);
	arena_done(&tmp);
}

static enum im_rc
invalid(struct im_err *err, const char *param, const char *allowed)
{
	(void)err_set(err, IM_EINVAL, "%s: allowed is %s", param, allowed);
	if (err != NULL)
		(void)snprintf(err->param, sizeof(err->param), "%s", param);
	return IM_EINVAL;
}

static bool
in_range(struct opt_double v, double lo, double hi)
{
	return !v.set || (v.v >= lo && v.v <= hi); /* false for NaN */
}

static enum im_rc
check_numbers(const struct generate_request *r, struct im_err *err)
{
	if (!in_range(r->temperature, 0, 2))
		return invalid(err, "temperature", "a number from 0 to 2");
	if (!in_range(r->top_p, 0, 1))
		return invalid(err, "top_p", "a number from 0 to 1");
	if (!in_range(r->min_p, 0, 1))
		return invalid(err, "min_p", "a number from 0 to 1");
	if (!in_range(r->frequency_penalty, -2, 2))
		return invalid(err, "frequency_penalty", "a number from -2 to 2");
	if (!in_range(r->presence_penalty, -2, 2))
		return invalid(err, "presence_penalty", "a number from -2 to 2");
	if (!in_range(r->repeat_penalty, 0, 10))
		return invalid(err, "repeat_penalty", "a number from 0 to 10");
	if (r->n > GENERATE_CHOICES_MAX)
		return invalid(err, "n", "a whole number from 1 to 128");
	if (r->top_logprobs.set && r->top_logprobs.v > 20)
		return invalid(err, "top_logprobs", "a whole number from 0 to 20");
	if (r->stop_count > GENERATE_STOPS_MAX)
		return invalid(err, "stop", "at most 16 strings");
	return IM_OK;
}

/* 'open' is the character that the text must begin with, 0 = any. */
static bool
json_or_empty(const char *s, char open)
{
	size_t len = strlen(s);

	if (len == 0)
		return true;
	return json_check(s, len, JSON_DEPTH_MAX, NULL) == IM_OK &&
	       (open == 0 || s[strspn(s, " \t\r\n")] == open);
}

static bool
role_known(const char *role)
{
	static const char *const roles[] = { "developer", "system",   "user",           "assistant",
					     "tool",      "function", "latest_reminder" };

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(role, roles[i]) == 0)
			return true;
	return false;
}

static enum im_rc
check_message(const struct message *m, size_t i, struct im_err *err)
{
	const char *member = NULL, *allowed = "JSON";
	char param[64];

	if (!role_known(m->role)) {
		member = "role";
		allowed = "developer, system, user, assistant, tool or function";
	} else if (!json_or_empty(m->content_json, '[')) {
		member = "content";
		allowed = "a string or an array of parts";
	} else if (!json_or_empty(m->tool_calls_json, '[')) {
		member = "tool_calls";
		allowed = "an array";
	} else if (!json_or_empty(m->extra_json, '{')) {
		member = "extra_json";
		allowed = "a JSON object";
	}
	if (member == NULL)
		return IM_OK;
	(void)snprintf(param, sizeof(param), "messages[%zu].%s", i, member);
	return invalid(err, param, allowed);
}

uint32_t
generate_choices(const struct generate_request *req)
{
	uint32_t n = req->n == 0 ? 1 : req->n;

	switch (req->operation) {
	case OPERATION_COMPLETION:
		return n * (uint32_t)req->input_count;
	case OPERATION_EMBEDDING:
		return 1;
	default:
		return n;
	}
}

/* Prompts or what is to be embedded, in the place of messages. */
static enum im_rc
check_inputs(const struct generate_request *r, struct im_err *err)
{
	size_t tokens = 0;

	if (r->operation == OPERATION_CHAT)
		return r->input_count == 0
			   ? IM_OK
			   : invalid(err, "inputs", "none in a chat: its text is in messages");
	if (r->message_count > 0)
		return invalid(err, "messages", "none beside inputs");
	if (r->input_count == 0 || r->input_count > GENERATE_INPUTS_MAX)
		return invalid(err, "inputs", "1 to 2048 texts or lists of tokens");
	if (r->operation == OPERATION_COMPLETION && generate_choices(r) > GENERATE_CHOICES_MAX)
		return invalid(err, "inputs", "as many as give at most 128 choices, n for each");
	if (r->dimensions.set && (r->dimensions.v == 0 || r->dimensions.v > GENERATE_VECTOR_MAX))
		return invalid(err, "dimensions", "a whole number from 1 to 65536");
	for (size_t i = 0; i < r->input_count; i++) {
		tokens += r->inputs[i].token_count;
		if (r->inputs[i].token_count > 0 && r->inputs[i].text[0] != '\0')
			return invalid(err, "inputs", "a text or tokens, not both");
	}
	if (tokens > GENERATE_TOKENS_MAX)
		return invalid(err, "inputs", "at most 1000000 tokens in all");
	return IM_OK;
}

static bool
request_id_ok(const char *id)
{
	return id[0] == '\0' || (strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32);
}

static enum im_rc
check_request(const struct generate_request *r, struct im_err *err)
{
	size_t model_len = strlen(r->model);
	enum im_rc rc = check_numbers(r, err);

	if (rc != IM_OK)
		return rc;
	if (model_len == 0 || model_len > GENERATE_MODEL_MAX)
		return invalid(err, "model", "a name of 1 to 256 bytes");
	if ((unsigned)r->operation >= OPERATION_COUNT)
		return invalid(err, "operation", "chat, completion or embedding");
	if (r->operation == OPERATION_CHAT &&
	    (r->message_count == 0 || r->message_count > GENERATE_MESSAGES_MAX))
		return invalid(err, "messages", "1 to 8192 messages");
	rc = check_inputs(r, err);
	if (rc != IM_OK)
		return rc;
	for (size_t i = 0; i < r->message_count; i++) {
		rc = check_message(&r->messages[i], i, err);
		if (rc != IM_OK)
			return rc;
	}
	if (!json_or_empty(r->tools_json, '['))
		return invalid(err, "tools", "an array");
	if (!json_or_empty(r->tool_choice_json, 0))
		return invalid(err, "tool_choice", "a string or an object");
	if (!json_or_empty(r->response_format_json, '{'))
		return invalid(err, "response_format", "an object");
	if (!json_or_empty(r->extra_json, '{'))
		return invalid(err, "extra_json", "a JSON object");
	if (strlen(r->session) > GENERATE_SESSION_MAX)
		return invalid(err, "session", "a name of at most 256 bytes");
	if (!request_id_ok(r->request_id))
		return invalid(err, "request_id", "32 lower-case hexadecimal digits");
	return IM_OK;
}

static void
message_in(const Infermesh__V1__Message *m, struct message *ret)
{
	ret->role = m->role;
	ret->content =
	    m->content_set_case == INFERMESH__V1__MESSAGE__CONTENT_SET_CONTENT ? m->content : NULL;
	ret->content_json = m->content_json;
	ret->name = m->name;
	ret->tool_call_id = m->tool_call_id;
	ret->tool_calls_json = m->tool_calls_json;
	ret->reasoning_content = m->reasoning_content;
	ret->extra_json = m->extra_json;
}

static void
parameters_in(const Infermesh__V1__GenerateRequest *m, struct generate_request *r)
{
	GET_OPT(r, m, temperature, TEMPERATURE_SET_TEMPERATURE);
	GET_OPT(r, m, top_p, TOP_P_SET_TOP_P);
	GET_OPT(r, m, top_k, TOP_K_SET_TOP_K);
	GET_OPT(r, m, min_p, MIN_P_SET_MIN_P);
	GET_OPT(r, m, frequency_penalty, FREQUENCY_PENALTY_SET_FREQUENCY_PENALTY);
	GET_OPT(r, m, presence_penalty, PRESENCE_PENALTY_SET_PRESENCE_PENALTY);
	GET_OPT(r, m, repeat_penalty, REPEAT_PENALTY_SET_REPEAT_PENALTY);
	GET_OPT(r, m, seed, SEED_SET_SEED);
	GET_OPT(r, m, max_tokens, MAX_TOKENS_SET_MAX_TOKENS);
	GET_OPT(r, m, logprobs, LOGPROBS_SET_LOGPROBS);
	GET_OPT(r, m, top_logprobs, TOP_LOGPROBS_SET_TOP_LOGPROBS);
	GET_OPT(r, m, dimensions, DIMENSIONS_SET_DIMENSIONS);
}

static void
scalars_in(const Infermesh__V1__GenerateRequest *m, struct generate_request *r)
{
	r->model = m->model;
	r->stop = texts_in(m->stop);
	r->stop_count = m->n_stop;
	r->n = m->n;
	r->stream = m->stream;
	r->tools_json = m->tools_json;
	r->tool_choice_json = m->tool_choice_json;
	r->response_format_json = m->response_format_json;
	r->user = m->user;
	r->extra_json = m->extra_json;
	r->request_id = m->request_id;
	r->caller = m->caller;
	r->tenant = m->tenant;
	r->session = m->session;
	r->received_us = m->received_us;
	r->operation = (enum generate_op)m->operation;
	r->echo = m->echo;
	if (m->cache != NULL) {
		r->cache_no_store = m->cache->no_store;
		r->cache_no_cache = m->cache->no_cache;
		r->cache_max_age_ms = m->cache->max_age_ms;
	}
}

enum im_rc
generate_request_decode(const uint8_t *buf, size_t len, struct arena *arena,
			struct generate_request *ret, struct im_err *err)
{
	struct generate_request out = { 0 };
	const Infermesh__V1__GenerateRequest *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__generate_request__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__GenerateRequest *)msg;
	scalars_in(m, &out);
	parameters_in(m, &out);
	if (m->input_sha256.len != 0 && m->input_sha256.len != sizeof(out.input_sha256))
		return invalid(err, "input_sha256", "32 bytes");
	out.has_input_sha256 = m->input_sha256.len != 0;
	if (out.has_input_sha256)
		memcpy(out.input_sha256, m->input_sha256.data, sizeof(out.input_sha256));
	out.message_count = m->n_messages;
	out.messages = arena_calloc(arena, m->n_messages + 1, sizeof(*out.messages));
	if (out.messages == NULL)
		return err_set(err, IM_ENOMEM, "a request needs more memory than allowed");
	for (size_t i = 0; i < m->n_messages; i++)
		message_in(m->messages[i], &out.messages[i]);
	out.input_count = m->n_inputs;
	if (m->n_inputs > 0)
		out.inputs = arena_calloc(arena, m->n_inputs, sizeof(*out.inputs));
	if (m->n_inputs > 0 && out.inputs == NULL)
		return err_set(err, IM_ENOMEM, "a request needs more memory than allowed");
	for (size_t i = 0; i < m->n_inputs; i++)
		out.inputs[i] = (struct input){ m->inputs[i]->text, m->inputs[i]->tokens,
						m->inputs[i]->n_tokens };
	rc = check_request(&out, err);
	if (rc == IM_OK)
		*ret = out;
	return rc;
}
