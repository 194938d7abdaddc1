/*
 * inference/chunk.c - see chunk.h.
 */
#include "inference/chunk.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "inference/errors.h"

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

/* Text of the member 'name' whose value is 'v', "" when it is missing. */
static enum im_rc
text_of(struct json_span v, const char *name, struct arena *a, const char **ret, struct im_err *err)
{
	char what[64];

	switch (json_type(v)) {
	case JSON_NULL:
		*ret = "";
		return IM_OK;
	case JSON_STRING:
		*ret = json_string(v, a);
		return *ret != NULL ? IM_OK : no_memory(err);
	default:
		(void)snprintf(what, sizeof(what), "'%s' is no text", name);
		return bad(err, what);
	}
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
arguments_of(struct json_span v, struct arena *a, const char **ret, struct im_err *err)
{
	if (json_type(v) != JSON_OBJECT)
		return text_of(v, "arguments", a, ret, err);
	*ret = json_verbatim(v, a);
	return *ret != NULL ? IM_OK : no_memory(err);
}

static enum im_rc
tool_call(struct json_span item, struct arena *a, struct tool_call_delta *t, struct im_err *err)
{
	static const char *const names[] = { "index", "id", "function" };
	static const char *const function_names[] = { "name", "arguments" };
	struct json_span v[3], f[2];
	enum im_rc rc;

	if (!json_members(item, names, 3, v))
		return bad(err, "a tool call is no object");
	t->name = t->arguments = "";
	if (!json_u32(v[0], &t->index))
		t->index = CHUNK_NO_INDEX;
	rc = text_of(v[1], "id", a, &t->id, err);
	if (rc != IM_OK || v[2].len == 0)
		return rc;
	if (!json_members(v[2], function_names, 2, f))
		return bad(err, "'function' of a tool call is no object");
	rc = text_of(f[0], "name", a, &t->name, err);
	if (rc != IM_OK)
		return rc;
	return arguments_of(f[1], a, &t->arguments, err);
}

static enum im_rc
tool_calls(struct json_span list, bool whole, struct arena *a, struct delta *d, struct im_err *err)
{
	struct json_span name, item;
	struct json_iter it;

	if (json_type(list) != JSON_ARRAY)
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

/* A delta, or the message of a whole answer. '*ret_said': the text in it, if it is one. */
static enum im_rc
message(struct json_span m, bool whole, struct arena *a, struct delta *d,
	struct json_span *ret_said, struct im_err *err)
{
	enum {
		ROLE,
		CONTENT,
		REFUSAL,
		REASONING_CONTENT,
		REASONING,
		TOOL_CALLS,
		MEMBERS
	};
	static const char *const names[MEMBERS] = { "role",      "content",
						    "refusal",   "reasoning_content",
						    "reasoning", "tool_calls" };
	struct json_span v[MEMBERS];
	enum im_rc rc;

	(void)json_members(m, names, MEMBERS, v);
	if ((rc = text_of(v[ROLE], names[ROLE], a, &d->role, err)) != IM_OK ||
	    (rc = text_of(v[CONTENT], names[CONTENT], a, &d->content, err)) != IM_OK ||
	    (rc = text_of(v[REFUSAL], names[REFUSAL], a, &d->refusal, err)) != IM_OK ||
	    (rc = text_of(v[REASONING_CONTENT], names[REASONING_CONTENT], a, &d->reasoning_content,
			  err)) != IM_OK)
		return rc;
	/* vLLM and others call it 'reasoning'; some send both. */
	if (d->reasoning_content[0] == '\0' &&
	    (rc = text_of(v[REASONING], names[REASONING], a, &d->reasoning_content, err)) != IM_OK)
		return rc;
	if (d->content[0] != '\0')
		*ret_said = v[CONTENT];
	else
		*ret_said =
		    json_type(v[REASONING_CONTENT]) == JSON_STRING && v[REASONING_CONTENT].len > 2
			? v[REASONING_CONTENT]
			: v[REASONING];
	return tool_calls(v[TOOL_CALLS], whole, a, d, err);
}

static enum im_rc
choice(struct json_span item, size_t position, struct arena *a, struct delta *d, struct chunk *c,
       struct im_err *err)
{
	enum {
		INDEX,
		FINISH_REASON,
		LOGPROBS,
		DELTA,
		MESSAGE,
		MEMBERS
	};
	static const char *const names[MEMBERS] = { "index", "finish_reason", "logprobs", "delta",
						    "message" };
	struct json_span v[MEMBERS], text;
	enum im_rc rc;

	if (!json_members(item, names, MEMBERS, v))
		return bad(err, "a choice is no object");
	d->role = d->content = d->reasoning_content = d->refusal = d->logprobs_json = "";
	if (!json_u32(v[INDEX], &d->index))
		d->index = (uint32_t)position;
	rc = text_of(v[FINISH_REASON], names[FINISH_REASON], a, &d->finish_reason, err);
	if (rc != IM_OK)
		return rc;
	if (json_type(v[LOGPROBS]) == JSON_OBJECT) {
		d->logprobs_json = json_verbatim(v[LOGPROBS], a);
		if (d->logprobs_json == NULL)
			return no_memory(err);
	}
	if (json_type(v[DELTA]) == JSON_OBJECT)
		return message(v[DELTA], false, a, d, &c->said, err);
	if (json_type(v[MESSAGE]) == JSON_OBJECT) {
		c->whole = true;
		return message(v[MESSAGE], true, a, d, &c->said, err);
	}
	if (!json_member(item, "text", &text)) /* of a completion */
		return IM_OK;
	c->said = text;
	return text_of(text, "text", a, &d->content, err);
}

bool
chunk_usage(struct json_span u, struct usage *ret)
{
	enum {
		PROMPT,
		COMPLETION,
		CACHE_HIT,
		PROMPT_DETAILS,
		COMPLETION_DETAILS,
		MEMBERS
	};
	static const char *const names[MEMBERS] = { "prompt_tokens", "completion_tokens",
						    "prompt_cache_hit_tokens",
						    "prompt_tokens_details",
						    "completion_tokens_details" };
	struct json_span v[MEMBERS], detail;

	if (!json_members(u, names, MEMBERS, v))
		return false;
	(void)json_u32(v[PROMPT], &ret->prompt_tokens);
	(void)json_u32(v[COMPLETION], &ret->completion_tokens);
	if (!json_u32(v[CACHE_HIT], &ret->cached_tokens) &&
	    json_member(v[PROMPT_DETAILS], "cached_tokens", &detail))
		(void)json_u32(detail, &ret->cached_tokens);
	if (json_member(v[COMPLETION_DETAILS], "reasoning_tokens", &detail))
		(void)json_u32(detail, &ret->reasoning_tokens);
	return true;
}

static enum im_rc
choices_of(struct json_span list, struct arena *a, struct chunk *c, struct im_err *err)
{
	struct json_span name, item;
	struct json_iter it;
	size_t n;

	if (json_type(list) != JSON_ARRAY)
		return c->has_usage ? IM_OK : bad(err, "it has no 'choices'");
	n = elements(list);
	if (n > GENERATE_CHOICES_MAX)
		return bad(err, "it has too many choices");
	c->deltas = arena_calloc(a, n, sizeof(*c->deltas));
	if (c->deltas == NULL)
		return no_memory(err);
	(void)json_iter_init(&it, list);
	while (json_iter_next(&it, &name, &item)) {
		enum im_rc rc = choice(item, c->count, a, &c->deltas[c->count], c, err);

		if (rc != IM_OK)
			return rc;
		c->count++;
	}
	return IM_OK;
}

/* One text of the assistant's and nothing else. */
static bool
says_one_text(const struct chunk *c)
{
	const struct delta *d = c->deltas;

	return c->count == 1 && !c->whole && !c->has_usage &&
	       (d->content[0] != '\0') != (d->reasoning_content[0] != '\0') &&
	       (d->role[0] == '\0' || strcmp(d->role, "assistant") == 0) && d->refusal[0] == '\0' &&
	       d->finish_reason[0] == '\0' && d->logprobs_json[0] == '\0' &&
	       d->tool_call_count == 0;
}

enum im_rc
chunk_parse(const char *text, size_t len, struct arena *a, struct chunk *ret, struct im_err *err)
{
	enum {
		ERROR,
		OBJECT,
		USAGE,
		SYSTEM_FINGERPRINT,
		CHOICES,
		MEMBERS
	};
	static const char *const names[MEMBERS] = { "error", "object", "usage",
						    "system_fingerprint", "choices" };
	struct json_span root = json_trim(text, len), v[MEMBERS];
	struct chunk c = { .system_fingerprint = "" };
	struct im_err why;
	enum im_rc rc;

	if (json_check(root.at, root.len, CHUNK_DEPTH_MAX, &why) != IM_OK)
		return bad(err, why.text);
	if (!json_members(root, names, MEMBERS, v))
		return bad(err, "it is no JSON object");
	if (errors_is_report(v[ERROR], v[OBJECT]))
		return errors_from_report(root, err);
	c.has_usage = chunk_usage(v[USAGE], &c.usage);
	rc = text_of(v[SYSTEM_FINGERPRINT], names[SYSTEM_FINGERPRINT], a, &c.system_fingerprint,
		     err);
	if (rc == IM_OK)
		rc = choices_of(v[CHOICES], a, &c, err);
	if (rc != IM_OK)
		return rc;
	if (!says_one_text(&c))
		c.said = (struct json_span){ "", 0 };
	*ret = c;
	return rc;
}
