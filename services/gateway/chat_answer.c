/*
 * gateway/chat_answer.c - an answer gathered into one JSON object; see chat_response.h. Never holds more than its bound.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "gateway/chat_response.h"

/* The arrays of an object with log probabilities. */
#define LOGPROBS_LISTS 4
/* Of an answer with one choice, what is neither prefix nor text. */
#define FRAMING_BYTES 480

static const char *const chat_lists[LOGPROBS_LISTS] = { "content", "refusal" };
static const char *const completion_lists[LOGPROBS_LISTS] = { "tokens", "token_logprobs",
							      "top_logprobs", "text_offset" };

struct tool_call_text {
	bool used;
	struct buf id, name, arguments;
};

struct choice_text {
	bool begun;
	struct buf role, content, reasoning_content, refusal, finish_reason;
	struct buf logprobs[LOGPROBS_LISTS]; /* elements of each array, with commas */
	bool has_logprobs;
	struct tool_call_text *calls; /* by index */
	size_t call_count;
};

struct chat_answer {
	bool completion;   /* text, and no message with a role */
	struct buf prefix; /* {"id":…,"model":…, */
	struct buf fingerprint;
	size_t max_bytes, bytes;
	struct choice_text *choices; /* by index */
	size_t choice_count;
};

static enum im_rc
no_memory(struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "no memory for an answer; try again later");
}

enum im_rc
chat_answer_new(const struct chat_identity *id, size_t max_bytes, struct chat_answer **ret_answer,
		struct im_err *err)
{
	struct chat_answer *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return no_memory(err);
	a->max_bytes = max_bytes;
	a->completion = id->operation == OPERATION_COMPLETION;
	chat_put_prefix(&a->prefix, id, false);
	if (!buf_ok(&a->prefix)) {
		chat_answer_free(a);
		return no_memory(err);
	}
	*ret_answer = a;
	return IM_OK;
}

static void
choice_done(struct choice_text *c)
{
	for (size_t i = 0; i < c->call_count; i++) {
		buf_done(&c->calls[i].id);
		buf_done(&c->calls[i].name);
		buf_done(&c->calls[i].arguments);
	}
	free(c->calls);
	buf_done(&c->role);
	buf_done(&c->content);
	buf_done(&c->reasoning_content);
	buf_done(&c->refusal);
	buf_done(&c->finish_reason);
	for (size_t i = 0; i < LOGPROBS_LISTS; i++)
		buf_done(&c->logprobs[i]);
}

void
chat_answer_free(struct chat_answer *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->choice_count; i++)
		choice_done(&a->choices[i]);
	free(a->choices);
	buf_done(&a->prefix);
	buf_done(&a->fingerprint);
	free(a);
}

/* Make 'list' reach to 'index', new elements zeroed. False without memory. */
static bool
grow(void **list, size_t *count, size_t index, size_t element_bytes)
{
	size_t want = index + 1;
	char *grown;

	if (want <= *count)
		return true;
	grown = realloc(*list, want * element_bytes);
	if (grown == NULL)
		return false;
	memset(grown + *count * element_bytes, 0, (want - *count) * element_bytes);
	*list = grown;
	*count = want;
	return true;
}

static bool
add(struct chat_answer *a, struct buf *to, const char *s)
{
	size_t len = strlen(s);

	if (len > a->max_bytes - a->bytes)
		return false;
	a->bytes += len;
	return len == 0 || buf_append(to, s, len);
}

static bool
add_tool_call(struct chat_answer *a, struct choice_text *c, const struct tool_call_delta *d)
{
	struct tool_call_text *call;

	if (d->index >= CHAT_TOOL_CALLS_MAX ||
	    !grow((void **)&c->calls, &c->call_count, d->index, sizeof(*c->calls)))
		return false;
	call = &c->calls[d->index];
	call->used = true;
	/* Id and name come once; some servers repeat them on every piece. */
	return (call->id.len > 0 || add(a, &call->id, d->id)) &&
	       (call->name.len > 0 || add(a, &call->name, d->name)) &&
	       add(a, &call->arguments, d->arguments);
}

/* Add the elements of array 'name' of the object 'json'. */
static bool
add_elements(struct chat_answer *a, struct buf *to, struct json_span json, const char *name)
{
	struct json_span list, element, none;
	struct json_iter it;

	if (!json_member(json, name, &list) || !json_iter_init(&it, list) || it.object)
		return true;
	while (json_iter_next(&it, &none, &element)) {
		if (element.len + 1 > a->max_bytes - a->bytes)
			return false;
		a->bytes += element.len + 1;
		if (to->len > 0)
			(void)buf_append_byte(to, ',');
		(void)buf_append(to, element.at, element.len);
	}
	return buf_ok(to);
}

static bool
add_logprobs(struct chat_answer *a, struct choice_text *c, const char *text)
{
	const char *const *lists = a->completion ? completion_lists : chat_lists;
	struct json_span json = { text, strlen(text) };

	if (json.len == 0 || json_check(text, json.len, 64, NULL) != IM_OK || text[0] != '{')
		return true; /* what cannot be read is left out, as in a stream */
	c->has_logprobs = true;
	for (size_t i = 0; i < LOGPROBS_LISTS && lists[i] != NULL; i++)
		if (!add_elements(a, &c->logprobs[i], json, lists[i]))
			return false;
	return true;
}

static bool
add_delta(struct chat_answer *a, const struct delta *d)
{
	struct choice_text *c;

	if (d->index >= GENERATE_CHOICES_MAX ||
	    !grow((void **)&a->choices, &a->choice_count, d->index, sizeof(*a->choices)))
		return false;
	c = &a->choices[d->index];
	if (c->finish_reason.len > 0)
		return true;
	c->begun = true;
	for (size_t i = 0; i < d->tool_call_count; i++)
		if (!add_tool_call(a, c, &d->tool_calls[i]))
			return false;
	return (c->role.len > 0 || add(a, &c->role, d->role)) && add(a, &c->content, d->content) &&
	       add(a, &c->reasoning_content, d->reasoning_content) &&
	       add(a, &c->refusal, d->refusal) && add_logprobs(a, c, d->logprobs_json) &&
	       add(a, &c->finish_reason, d->finish_reason);
}

enum im_rc
chat_answer_frame(struct chat_answer *a, const struct generate_frame *frame, struct im_err *err)
{
	if (a->fingerprint.len == 0 && !add(a, &a->fingerprint, frame->system_fingerprint))
		return no_memory(err);
	for (size_t i = 0; i < frame->delta_count; i++) {
		if (add_delta(a, &frame->deltas[i]))
			continue;
		return err_set(
		    err, IM_EUPSTREAM,
		    "The answer does not fit: more than %zu bytes, %d choices, %d tool calls or the free memory. "
		    "Stream it, or lower max_tokens.",
		    a->max_bytes, GENERATE_CHOICES_MAX, CHAT_TOOL_CALLS_MAX);
	}
	return IM_OK;
}

static void
put_buf(struct buf *out, const struct buf *text)
{
	(void)json_put_string(out, text->data == NULL ? "" : (const char *)text->data, text->len);
}

static void
put_tool_calls(const struct choice_text *c, struct buf *out)
{
	const char *comma = "";

	(void)buf_append_str(out, ",\"tool_calls\":[");
	for (size_t i = 0; i < c->call_count; i++) {
		const struct tool_call_text *call = &c->calls[i];

		if (!call->used)
			continue;
		(void)buf_printf(out, "%s{\"id\":", comma);
		put_buf(out, &call->id);
		(void)buf_append_str(out, ",\"type\":\"function\",\"function\":{\"name\":");
		put_buf(out, &call->name);
		(void)buf_append_str(out, ",\"arguments\":");
		put_buf(out, &call->arguments);
		(void)buf_append_str(out, "}}");
		comma = ",";
	}
	(void)buf_append_byte(out, ']');
}

static void
put_logprobs(const struct chat_answer *a, const struct choice_text *c, struct buf *out)
{
	const char *const *lists = a->completion ? completion_lists : chat_lists;

	if (!c->has_logprobs) {
		(void)buf_append_str(out, "null");
		return;
	}
	for (size_t i = 0; i < LOGPROBS_LISTS && lists[i] != NULL; i++) {
		(void)buf_printf(out, "%s\"%s\":", i == 0 ? "{" : ",", lists[i]);
		if (c->logprobs[i].len > 0 || i == 0) {
			(void)buf_append_byte(out, '[');
			(void)buf_append(out, c->logprobs[i].data, c->logprobs[i].len);
			(void)buf_append_byte(out, ']');
		} else {
			(void)buf_append_str(out, "null");
		}
	}
	(void)buf_append_byte(out, '}');
}

static void
put_message(const struct choice_text *c, struct buf *out)
{
	(void)buf_append_str(out, ",\"message\":{\"role\":");
	if (c->role.len > 0)
		put_buf(out, &c->role);
	else
		(void)buf_append_str(out, "\"assistant\"");
	(void)buf_append_str(out, ",\"content\":");
	if (c->content.len == 0 && (c->call_count > 0 || c->refusal.len > 0))
		(void)buf_append_str(out, "null");
	else
		put_buf(out, &c->content);
	if (c->reasoning_content.len > 0) {
		(void)buf_append_str(out, ",\"reasoning_content\":");
		put_buf(out, &c->reasoning_content);
	}
	(void)buf_append_str(out, ",\"refusal\":");
	if (c->refusal.len > 0)
		put_buf(out, &c->refusal);
	else
		(void)buf_append_str(out, "null");
	if (c->call_count > 0)
		put_tool_calls(c, out);
	(void)buf_append_byte(out, '}');
}

static void
put_choice(const struct chat_answer *a, const struct choice_text *c, size_t index, struct buf *out)
{
	(void)buf_append_str(out, "{\"index\":");
	(void)buf_append_uint(out, index);
	if (a->completion) {
		(void)buf_append_str(out, ",\"text\":");
		put_buf(out, &c->content);
	} else {
		put_message(c, out);
	}
	(void)buf_append_str(out, ",\"logprobs\":");
	put_logprobs(a, c, out);
	(void)buf_append_str(out, ",\"finish_reason\":");
	put_buf(out, &c->finish_reason);
	(void)buf_append_byte(out, '}');
}

static bool
is_whole(const struct chat_answer *a)
{
	bool any = false;

	for (size_t i = 0; i < a->choice_count; i++) {
		if (a->choices[i].begun && a->choices[i].finish_reason.len == 0)
			return false;
		any = any || a->choices[i].begun;
	}
	return any;
}

enum im_rc
chat_answer_end(const struct chat_answer *a, const struct usage *usage, struct buf *out,
		struct im_err *err)
{
	const char *comma = "";

	if (!is_whole(a))
		return err_reason(err, IM_EUPSTREAM, "upstream_error",
				  "The answer ended before its finish_reason; try again.");
	(void)buf_reserve(out,
			  a->prefix.len + a->bytes + FRAMING_BYTES); /* at once, not by doubling */
	(void)buf_append(out, a->prefix.data, a->prefix.len);
	(void)buf_append_str(out, "\"choices\":[");
	for (size_t i = 0; i < a->choice_count; i++) {
		if (!a->choices[i].begun)
			continue;
		(void)buf_append_str(out, comma);
		put_choice(a, &a->choices[i], i, out);
		comma = ",";
	}
	(void)buf_append_byte(out, ']');
	if (usage != NULL) {
		(void)buf_append_str(out, ",\"usage\":");
		chat_put_usage(out, usage);
	}
	if (a->fingerprint.len > 0) {
		(void)buf_append_str(out, ",\"system_fingerprint\":");
		put_buf(out, &a->fingerprint);
	}
	(void)buf_append_byte(out, '}');
	return buf_ok(out) ? IM_OK : no_memory(err);
}
