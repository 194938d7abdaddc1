/*
 * inference/chunk.c - see chunk.h.
 */
#include "inference/chunk.h"

#include <stdio.h>
#include <string.h>

#include "inference/errors.h"
#include "inference/json_text.h"

static enum im_rc
bad(struct im_err *err, const char *what)
{
	return err_reason(err, IM_EUPSTREAM, "upstream_error",
			  "the upstream sent a piece of an answer that cannot be used: %s", what);
}

static enum im_rc
no_memory(struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "no memory for a piece of the upstream's answer");
}

/* Text of a member, "" when it is missing. */
static enum im_rc
text_of(struct json_span object, const char *name, struct arena *a, const char **ret,
	struct im_err *err)
{
	const char *text = NULL;
	enum im_rc rc = json_text(object, name, a, &text);

	if (rc == IM_ENOMEM)
		return no_memory(err);
	if (rc != IM_OK) {
		char what[64];

		(void)snprintf(what, sizeof(what), "'%s' is no text", name);
		return bad(err, what);
	}
	*ret = text != NULL ? text : "";
	return IM_OK;
}

static size_t
elements(struct json_span array)
{
	struct json_iter it;
	struct json_span name, value;
	size_t n = 0;

	if (!json_iter_init(&it, array))
		return 0;
	while (json_iter_next(&it, &name, &value))
		n++;
	return n;
}

/* Arguments are JSON text in a string; some servers send the object itself. */
static enum im_rc
arguments_of(struct json_span function, struct arena *a, const char **ret, struct im_err *err)
{
	struct json_span v;

	if (!json_member(function, "arguments", &v) || !json_is_object(v))
		return text_of(function, "arguments", a, ret, err);
	*ret = json_verbatim(v, a);
	return *ret != NULL ? IM_OK : no_memory(err);
}

static enum im_rc
tool_call(struct json_span item, struct arena *a, struct tool_call_delta *t, struct im_err *err)
{
	struct json_span function;
	enum im_rc rc;

	if (!json_is_object(item))
		return bad(err, "a tool call is no object");
	t->name = t->arguments = "";
	if (!json_u32(item, "index", &t->index))
		t->index = CHUNK_NO_INDEX;
	rc = text_of(item, "id", a, &t->id, err);
	if (rc != IM_OK || !json_member(item, "function", &function))
		return rc;
	if (!json_is_object(function))
		return bad(err, "'function' of a tool call is no object");
	rc = text_of(function, "name", a, &t->name, err);
	if (rc != IM_OK)
		return rc;
	return arguments_of(function, a, &t->arguments, err);
}

static enum im_rc
tool_calls(struct json_span message, bool whole, struct arena *a, struct delta *d,
	   struct im_err *err)
{
	struct json_span list, name, item;
	struct json_iter it;

	if (!json_member(message, "tool_calls", &list) || !json_is_array(list))
		return IM_OK;
	d->tool_calls = arena_calloc(a, elements(list), sizeof(*d->tool_calls));
	if (d->tool_calls == NULL)
		return no_memory(err);
	(void)json_iter_init(&it, list);
	while (json_iter_next(&it, &name, &item)) {
		struct tool_call_delta *t = &d->tool_calls[d->tool_call_count];
		enum im_rc rc = tool_call(item, a, t, err);

		if (rc != IM_OK)
			return rc;
		if (whole)
			t->index = (uint32_t)d->tool_call_count;
		d->tool_call_count++;
	}
	return IM_OK;
}

/* A delta, or the message of a whole answer. */
static enum im_rc
message(struct json_span m, bool whole, struct arena *a, struct delta *d, struct im_err *err)
{
	enum im_rc rc;

	if ((rc = text_of(m, "role", a, &d->role, err)) != IM_OK ||
	    (rc = text_of(m, "content", a, &d->content, err)) != IM_OK ||
	    (rc = text_of(m, "refusal", a, &d->refusal, err)) != IM_OK ||
	    (rc = text_of(m, "reasoning_content", a, &d->reasoning_content, err)) != IM_OK)
		return rc;
	/* vLLM and others call it 'reasoning'; some send both. */
	if (d->reasoning_content[0] == '\0' &&
	    (rc = text_of(m, "reasoning", a, &d->reasoning_content, err)) != IM_OK)
		return rc;
	return tool_calls(m, whole, a, d, err);
}

static enum im_rc
choice(struct json_span item, size_t position, struct arena *a, struct delta *d, bool *ret_whole,
       struct im_err *err)
{
	struct json_span m, logprobs;
	enum im_rc rc;

	if (!json_is_object(item))
		return bad(err, "a choice is no object");
	d->role = d->content = d->reasoning_content = d->refusal = d->logprobs_json = "";
	if (!json_u32(item, "index", &d->index))
		d->index = (uint32_t)position;
	rc = text_of(item, "finish_reason", a, &d->finish_reason, err);
	if (rc != IM_OK)
		return rc;
	if (json_member(item, "logprobs", &logprobs) && json_is_object(logprobs)) {
		d->logprobs_json = json_verbatim(logprobs, a);
		if (d->logprobs_json == NULL)
			return no_memory(err);
	}
	if (json_member(item, "delta", &m) && json_is_object(m))
		return message(m, false, a, d, err);
	if (json_member(item, "message", &m) && json_is_object(m)) {
		*ret_whole = true;
		return message(m, true, a, d, err);
	}
	return IM_OK;
}

/* Usage as OpenAI, DeepSeek, vLLM and llama-server write it. */
static void
usage_of(struct json_span root, struct chunk *c)
{
	struct json_span u, details;

	if (!json_member(root, "usage", &u) || !json_is_object(u))
		return;
	c->has_usage = true;
	(void)json_u32(u, "prompt_tokens", &c->usage.prompt_tokens);
	(void)json_u32(u, "completion_tokens", &c->usage.completion_tokens);
	if (!json_u32(u, "prompt_cache_hit_tokens", &c->usage.cached_tokens) &&
	    json_member(u, "prompt_tokens_details", &details) && json_is_object(details))
		(void)json_u32(details, "cached_tokens", &c->usage.cached_tokens);
	if (json_member(u, "completion_tokens_details", &details) && json_is_object(details))
		(void)json_u32(details, "reasoning_tokens", &c->usage.reasoning_tokens);
}

static enum im_rc
choices_of(struct json_span root, struct arena *a, struct chunk *c, struct im_err *err)
{
	struct json_span list, name, item;
	struct json_iter it;
	size_t n;

	if (!json_member(root, "choices", &list) || !json_is_array(list))
		return c->has_usage ? IM_OK : bad(err, "it has no 'choices'");
	n = elements(list);
	if (n > GENERATE_CHOICES_MAX)
		return bad(err, "it has too many choices");
	c->deltas = arena_calloc(a, n, sizeof(*c->deltas));
	if (c->deltas == NULL)
		return no_memory(err);
	(void)json_iter_init(&it, list);
	while (json_iter_next(&it, &name, &item)) {
		enum im_rc rc = choice(item, c->count, a, &c->deltas[c->count], &c->whole, err);

		if (rc != IM_OK)
			return rc;
		c->count++;
	}
	return IM_OK;
}

enum im_rc
chunk_parse(const char *text, size_t len, struct arena *a, struct chunk *ret, struct im_err *err)
{
	struct json_span root = json_trim(text, len);
	struct chunk c = { .system_fingerprint = "" };
	struct im_err why;
	enum im_rc rc;

	if (json_check(root.at, root.len, CHUNK_DEPTH_MAX, &why) != IM_OK)
		return bad(err, why.text);
	if (!json_is_object(root))
		return bad(err, "it is no JSON object");
	if (errors_is_report(root))
		return errors_from_report(root, err);
	usage_of(root, &c);
	rc = text_of(root, "system_fingerprint", a, &c.system_fingerprint, err);
	if (rc == IM_OK)
		rc = choices_of(root, a, &c, err);
	if (rc == IM_OK)
		*ret = c;
	return rc;
}
