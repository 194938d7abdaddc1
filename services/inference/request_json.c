/*
 * inference/request_json.c - see request_json.h.
 */
#include "inference/request_json.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/sha256.h"

#define JSON_DEPTH_MAX 64
#define WRITTEN_MAX    40

struct writer {
	struct buf *out;
	bool first; /* no member of the present object was written */
	const struct request_extra *extra;
	size_t extra_count;
	const char *written[WRITTEN_MAX]; /* names of the typed members that stand in the body */
	size_t written_count;
	struct im_err *err;
	enum im_rc rc;
};

/* Ours alone, in a request and in a message. */
static const char *const reserved[] = { "model",          "messages", "stream",
					"stream_options", "user",     "user_id" };
static const char *const message_members[] = { "role",         "content",    "name",
					       "tool_call_id", "tool_calls", "reasoning_content",
					       "reasoning" };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Without regard to case: some servers (Ollama's Go) read "Model" as "model". */
static bool
is_among(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

static const struct request_extra *
find_extra(const struct writer *w, const char *name)
{
	for (size_t i = 0; i < w->extra_count; i++)
		if (strcmp(w->extra[i].name, name) == 0)
			return &w->extra[i];
	return NULL;
}

static bool
is_banned(const struct writer *w, const char *name)
{
	const struct request_extra *e = find_extra(w, name);

	return e != NULL && strcmp(e->value, "null") == 0;
}

/* Comma and name; the value follows. */
static void
put_name(struct writer *w, const char *name)
{
	if (!w->first)
		(void)buf_append_byte(w->out, ',');
	w->first = false;
	(void)json_put_cstr(w->out, name);
	(void)buf_append_byte(w->out, ':');
}

/* A typed member of the request. False: the configuration forbids it. */
static bool
begin_member(struct writer *w, const char *name)
{
	if (is_banned(w, name))
		return false;
	if (w->written_count < WRITTEN_MAX)
		w->written[w->written_count++] = name;
	put_name(w, name);
	return true;
}

static void
fail(struct writer *w, const char *param, const char *what)
{
	if (w->rc != IM_OK)
		return;
	w->rc = err_set(w->err, IM_EINVAL, "%s %s", param, what);
	if (w->err != NULL)
		(void)snprintf(w->err->param, sizeof(w->err->param), "%s", param);
}

static void
put_double(struct writer *w, const char *name, struct opt_double v)
{
	if (v.set && begin_member(w, name))
		(void)json_put_double(w->out, v.v);
}

static void
put_u32(struct writer *w, const char *name, struct opt_u32 v)
{
	if (v.set && begin_member(w, name))
		(void)buf_append_uint(w->out, v.v);
}

static void
put_text(struct writer *w, const char *name, const char *text)
{
	if (text == NULL || text[0] == '\0')
		return;
	put_name(w, name);
	(void)json_put_cstr(w->out, text);
}

/* Check 'json' and give it without blanks around it. False: failed, or nothing there. */
static bool
checked(struct writer *w, const char *param, const char *json, struct json_span *ret)
{
	if (json == NULL || json[0] == '\0')
		return false;
	*ret = json_trim(json, strlen(json));
	if (json_check(ret->at, ret->len, JSON_DEPTH_MAX, NULL) == IM_OK)
		return true;
	fail(w, param, "is not JSON");
	return false;
}

static void
put_json(struct writer *w, const char *name, const char *json)
{
	struct json_span v;

	if (checked(w, name, json, &v) && begin_member(w, name))
		(void)buf_append(w->out, v.at, v.len);
}

/* Members of the object 'json' that are not in 'names': verbatim, so that 64-bit integers keep their digits. */
static void
put_unknown(struct writer *w, const char *param, const char *json, const char *const *names,
	    size_t count, bool of_request)
{
	struct json_span object, raw, value;
	struct json_iter it;
	struct arena a;

	if (!checked(w, param, json, &object))
		return;
	if (json_type(object) != JSON_OBJECT || !json_iter_init(&it, object)) {
		fail(w, param, "is not a JSON object");
		return;
	}
	arena_init(&a, 0);
	while (json_iter_next(&it, &raw, &value)) {
		/* Names are compared as the upstream will read them: "\u006dodel" is "model". */
		const char *name = json_unescape(raw, &a);

		if (name == NULL) {
			w->out->failed = true;
			break;
		}
		if (is_among(name, names, count))
			continue;
		if (of_request &&
		    (is_among(name, w->written, w->written_count) || is_banned(w, name)))
			continue;
		put_name(w, name);
		(void)buf_append(w->out, value.at, value.len);
	}
	arena_done(&a);
}

/* What the configuration adds and nobody else gave. */
static void
put_extra(struct writer *w, const char *extra_json)
{
	struct json_span object = { "", 0 }, ignored;

	if (extra_json != NULL)
		object = json_trim(extra_json, strlen(extra_json));
	for (size_t i = 0; i < w->extra_count; i++) {
		const struct request_extra *e = &w->extra[i];

		if (strcmp(e->value, "null") == 0 ||
		    is_among(e->name, w->written, w->written_count) ||
		    is_among(e->name, reserved, COUNT(reserved)) ||
		    json_member(object, e->name, &ignored))
			continue;
		put_name(w, e->name);
		(void)buf_append_str(w->out, e->value);
	}
}

/* The newer name of the system's role is known to few servers, the older to all. */
static const char *
upstream_role(const char *role)
{
	return strcmp(role, "developer") == 0 ? "system" : role;
}

static void
put_content(struct writer *w, const struct message *m)
{
	struct json_span parts;

	put_name(w, "content");
	if (m->content != NULL)
		(void)json_put_cstr(w->out, m->content);
	else if (checked(w, "messages[].content", m->content_json, &parts))
		(void)buf_append(w->out, parts.at, parts.len);
	else
		(void)buf_append_str(w->out, "null");
}

static void
put_message(struct writer *w, const struct message *m)
{
	struct json_span calls;

	(void)buf_append_byte(w->out, '{');
	w->first = true;
	put_text(w, "role", upstream_role(m->role != NULL ? m->role : ""));
	put_content(w, m);
	put_text(w, "name", m->name);
	put_text(w, "tool_call_id", m->tool_call_id);
	if (checked(w, "messages[].tool_calls", m->tool_calls_json, &calls)) {
		put_name(w, "tool_calls");
		(void)buf_append(w->out, calls.at, calls.len);
	}
	/* DeepSeek reads the first name, vLLM the second. */
	put_text(w, "reasoning_content", m->reasoning_content);
	put_text(w, "reasoning", m->reasoning_content);
	put_unknown(w, "messages[]", m->extra_json, message_members, COUNT(message_members), false);
	(void)buf_append_byte(w->out, '}');
	w->first = false;
}

static void
put_tokens(struct writer *w, const struct input *in)
{
	for (size_t i = 0; i < in->token_count; i++) {
		(void)buf_append_byte(w->out, i == 0 ? '[' : ',');
		(void)buf_append_uint(w->out, in->tokens[i]);
	}
	(void)buf_append_byte(w->out, ']');
}

/* One input goes as it came, several as an array. */
static void
put_inputs(struct writer *w, const char *name, const struct generate_request *req)
{
	if (!begin_member(w, name))
		return;
	for (size_t i = 0; i < req->input_count; i++) {
		if (req->input_count > 1)
			(void)buf_append_byte(w->out, i == 0 ? '[' : ',');
		if (req->inputs[i].token_count > 0)
			put_tokens(w, &req->inputs[i]);
		else
			(void)json_put_cstr(w->out, req->inputs[i].text);
	}
	if (req->input_count > 1)
		(void)buf_append_byte(w->out, ']');
}

static void
put_messages(struct writer *w, const struct generate_request *req)
{
	put_name(w, "messages");
	(void)buf_append_byte(w->out, '[');
	for (size_t i = 0; i < req->message_count; i++) {
		if (i > 0)
			(void)buf_append_byte(w->out, ',');
		put_message(w, &req->messages[i]);
	}
	(void)buf_append_byte(w->out, ']');
}

static void
put_sampling(struct writer *w, const struct generate_request *req)
{
	put_double(w, "temperature", req->temperature);
	put_double(w, "top_p", req->top_p);
	put_u32(w, "top_k", req->top_k);
	put_double(w, "min_p", req->min_p);
	put_double(w, "frequency_penalty", req->frequency_penalty);
	put_double(w, "presence_penalty", req->presence_penalty);
	/* llama-server reads the first name, vLLM the second. */
	put_double(w, "repeat_penalty", req->repeat_penalty);
	put_double(w, "repetition_penalty", req->repeat_penalty);
	if (req->seed.set && begin_member(w, "seed"))
		(void)buf_printf(w->out, "%lld", (long long)req->seed.v);
	put_u32(w, "max_tokens", req->max_tokens);
	if (req->operation == OPERATION_COMPLETION)
		put_u32(w, "logprobs", req->top_logprobs);
	else if (req->logprobs.set && begin_member(w, "logprobs"))
		(void)buf_append_str(w->out, req->logprobs.v ? "true" : "false");
	if (req->operation == OPERATION_CHAT)
		put_u32(w, "top_logprobs", req->top_logprobs);
	if (req->n > 1 && begin_member(w, "n"))
		(void)buf_append_uint(w->out, req->n);
	if (req->stop_count > 0 && begin_member(w, "stop")) {
		for (size_t i = 0; i < req->stop_count; i++) {
			(void)buf_append_byte(w->out, i == 0 ? '[' : ',');
			(void)json_put_cstr(w->out, req->stop[i]);
		}
		(void)buf_append_byte(w->out, ']');
	}
}

static void
put_user(struct writer *w, const struct generate_request *req)
{
	bool named = req->user != NULL && req->user[0] != '\0';
	char name[REQUEST_USER_LEN + 1];

	if (req->tenant == NULL || req->tenant[0] == '\0')
		return;
	if (!request_opaque_user(req->tenant, req->user, name))
		w->out->failed = true;
	else if (begin_member(w, "user"))
		(void)json_put_cstr(w->out, name);
	if (named && !request_opaque_user(req->tenant, NULL, name))
		w->out->failed = true;
	else if (begin_member(w, "user_id")) /* DeepSeek: whose KV cache this is */
		(void)json_put_cstr(w->out, name);
}

static void
put_text_request(struct writer *w, const struct generate_request *req)
{
	if (req->operation == OPERATION_COMPLETION)
		put_inputs(w, "prompt", req);
	else
		put_messages(w, req);
	put_name(w, "stream");
	(void)buf_append_str(w->out, req->stream ? "true" : "false");
	/* Servers refuse it without a stream; a whole answer has its usage unasked. */
	if (req->stream && begin_member(w, "stream_options"))
		(void)buf_append_str(w->out, "{\"include_usage\":true}");
	put_sampling(w, req);
	if (req->echo && begin_member(w, "echo"))
		(void)buf_append_str(w->out, "true");
	put_json(w, "tools", req->tools_json);
	put_json(w, "tool_choice", req->tool_choice_json);
	put_json(w, "response_format", req->response_format_json);
}

/* Vectors travel as base64 where the upstream knows that: a quarter of the text, and nothing is rounded. */
static void
put_embedding_request(struct writer *w, const struct generate_request *req)
{
	put_inputs(w, "input", req);
	if (begin_member(w, "encoding_format"))
		(void)buf_append_str(w->out, "\"base64\"");
	put_u32(w, "dimensions", req->dimensions);
}

enum im_rc
request_json_write(const struct generate_request *req, const char *model,
		   const struct request_extra *extra, size_t extra_count, struct buf *out,
		   struct im_err *err)
{
	struct writer w = { .out = out,
			    .first = true,
			    .extra = extra,
			    .extra_count = extra_count,
			    .err = err,
			    .rc = IM_OK };

	(void)buf_append_byte(out, '{');
	put_text(&w, "model", model);
	if (req->operation == OPERATION_EMBEDDING)
		put_embedding_request(&w, req);
	else
		put_text_request(&w, req);
	put_user(&w, req);
	put_unknown(&w, "extra_json", req->extra_json, reserved, COUNT(reserved), true);
	if (w.rc == IM_OK && req->operation != OPERATION_EMBEDDING)
		put_extra(&w, req->extra_json);
	(void)buf_append_byte(out, '}');
	if (w.rc != IM_OK)
		return w.rc;
	if (buf_ok(out))
		return IM_OK;
	if (out->max_bytes != 0)
		return err_reason(err, IM_ETOOBIG, "request_too_large",
				  "the request is larger than %zu bytes for the upstream",
				  out->max_bytes);
	return err_set(err, IM_ENOMEM, "no memory for the upstream's request");
}

bool
request_opaque_user(const char *tenant, const char *user, char ret[REQUEST_USER_LEN + 1])
{
	uint8_t digest[SHA256_BYTES];
	EVP_MD_CTX *ctx = sha256_new();
	static const char domain[] = "infermesh upstream user v1";
	bool ok;

	/* The NULs between the parts keep ("a", "bc") and ("ab", "c") apart. */
	ok = ctx != NULL && EVP_DigestUpdate(ctx, domain, sizeof(domain)) == 1 &&
	     EVP_DigestUpdate(ctx, tenant, strlen(tenant) + 1) == 1 &&
	     (user == NULL || user[0] == '\0' ||
	      EVP_DigestUpdate(ctx, user, strlen(user) + 1) == 1) &&
	     EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return false;
	ret[0] = 't';
	ret[1] = '-';
	hex_encode(digest, 16, ret + 2);
	return true;
}
