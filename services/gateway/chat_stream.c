/*
 * gateway/chat_stream.c - an answer as server-sent events; see chat_response.h. Whatever a worker leaves out that clients
 * rely on (the role in the first chunk) is put in, and what they cannot read (two tool calls in one chunk) is split.
 */
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "gateway/chat_response.h"

#define CHOICES      "\"choices\":["
#define NOTHING_MORE ",\"logprobs\":null,\"finish_reason\":null}]"

/* One chunk of one choice. */
struct chunk {
	uint32_t index;
	const char *role, *content, *reasoning_content, *refusal; /* NULL = left out */
	const struct tool_call_delta *tool_call;                  /* NULL = none */
	const char *logprobs_json;                                /* "" = none */
	const char *finish_reason;                                /* "" = not yet */
};

enum im_rc
chat_stream_init(struct chat_stream *s, const struct chat_identity *id, bool include_usage,
		 struct im_err *err)
{
	*s = (struct chat_stream){ .include_usage = include_usage,
				   .completion = id->operation == OPERATION_COMPLETION };
	(void)buf_append_str(&s->head, "data: ");
	chat_put_prefix(&s->head, id, true);
	(void)buf_append_str(&s->head, CHOICES);
	if (buf_ok(&s->head))
		return IM_OK;
	chat_stream_done(s);
	return err_set(err, IM_ENOMEM, "no memory for an answer; try again later");
}

void
chat_stream_done(struct chat_stream *s)
{
	buf_done(&s->head);
}

static void
put_event_begin(const struct chat_stream *s, struct buf *out)
{
	(void)buf_append(out, s->head.data, s->head.len);
}

static void
put_event_end(struct buf *out)
{
	(void)buf_append_str(out, "}\n\n");
}

/* "name":"value" with a comma in front unless it is the first. */
static void
put_member(struct buf *out, bool *first, const char *name, const char *value)
{
	if (value == NULL)
		return;
	(void)buf_append_str(out, *first ? "\"" : ",\"");
	(void)buf_append_str(out, name);
	(void)buf_append_str(out, "\":");
	(void)json_put_cstr(out, value);
	*first = false;
}

static void
put_tool_call(struct buf *out, bool *first, const struct tool_call_delta *call)
{
	bool begins = call->id[0] != '\0' || call->name[0] != '\0';
	bool first_inside = true;

	(void)buf_printf(out, "%s\"tool_calls\":[{\"index\":%" PRIu32, *first ? "" : ",",
			 call->index);
	*first = false;
	if (call->id[0] != '\0') {
		(void)buf_append_str(out, ",\"id\":");
		(void)json_put_cstr(out, call->id);
	}
	if (begins)
		(void)buf_append_str(out, ",\"type\":\"function\"");
	(void)buf_append_str(out, ",\"function\":{");
	put_member(out, &first_inside, "name", call->name[0] != '\0' ? call->name : NULL);
	put_member(out, &first_inside, "arguments", call->arguments);
	(void)buf_append_str(out, "}}]");
}

static void
put_delta_object(const struct chunk *c, struct buf *out)
{
	bool first = true;

	(void)buf_append_str(out, ",\"delta\":{");
	put_member(out, &first, "role", c->role);
	put_member(out, &first, "content", c->content);
	put_member(out, &first, "reasoning_content", c->reasoning_content);
	put_member(out, &first, "refusal", c->refusal);
	if (c->tool_call != NULL)
		put_tool_call(out, &first, c->tool_call);
	(void)buf_append_byte(out, '}');
}

static void
put_chunk(const struct chat_stream *s, const struct chunk *c, struct buf *out)
{
	put_event_begin(s, out);
	(void)buf_append_str(out, "{\"index\":");
	(void)buf_append_uint(out, c->index);
	if (s->completion) {
		(void)buf_append_str(out, ",\"text\":");
		(void)json_put_cstr(out, c->content != NULL ? c->content : "");
	} else {
		put_delta_object(c, out);
	}
	(void)buf_append_str(out, ",\"logprobs\":");
	if (c->logprobs_json[0] == '\0' || !chat_put_json(out, c->logprobs_json))
		(void)buf_append_str(out, "null");
	(void)buf_append_str(out, ",\"finish_reason\":");
	if (c->finish_reason[0] != '\0')
		(void)json_put_cstr(out, c->finish_reason);
	else
		(void)buf_append_str(out, "null");
	(void)buf_append_str(out, s->include_usage ? "}],\"usage\":null" : "}]");
	put_event_end(out);
}

/* Nothing but content, as nearly all. */
static void
put_content(const struct chat_stream *s, uint32_t index, const char *content, struct buf *out)
{
	const char *name = s->completion ? ",\"text\":" : ",\"delta\":{\"content\":";
	const char *end =
	    s->include_usage ? NOTHING_MORE ",\"usage\":null}\n\n" : NOTHING_MORE "}\n\n";

	put_event_begin(s, out);
	(void)buf_append_str(out, "{\"index\":");
	(void)buf_append_uint(out, index);
	(void)buf_append_str(out, name);
	(void)json_put_cstr(out, content);
	if (!s->completion)
		(void)buf_append_byte(out, '}');
	(void)buf_append_str(out, end);
}

static const char *
null_if_empty(const char *s)
{
	return s[0] != '\0' ? s : NULL;
}

/* One delta: a chunk for what it says and the first tool call, one more for each further tool call; the last of them
 * carries the finish_reason. */
static void
put_delta(struct chat_stream *s, const struct delta *d, struct buf *out)
{
	bool begins = !s->begun[d->index];
	size_t chunks = d->tool_call_count > 1 ? d->tool_call_count : 1;
	struct chunk c = {
		.index = d->index,
		.content = null_if_empty(d->content),
		.reasoning_content = null_if_empty(d->reasoning_content),
		.refusal = null_if_empty(d->refusal),
		.logprobs_json = d->logprobs_json,
		.finish_reason = "",
	};
	bool says = c.content != NULL || c.reasoning_content != NULL || c.refusal != NULL ||
		    d->tool_call_count > 0 || d->logprobs_json[0] != '\0' ||
		    d->finish_reason[0] != '\0';

	if (s->finished[d->index] || (!begins && !says))
		return;
	if (!begins && c.content != NULL && c.reasoning_content == NULL && c.refusal == NULL &&
	    d->tool_call_count == 0 && d->logprobs_json[0] == '\0' && d->finish_reason[0] == '\0') {
		put_content(s, d->index, c.content, out);
		return;
	}
	if (s->completion && !says) { /* a role alone */
		s->begun[d->index] = true;
		return;
	}
	if (begins) {
		c.role = d->role[0] != '\0' ? d->role : "assistant";
		if (c.content == NULL)
			c.content = "";
		s->begun[d->index] = true;
	}
	for (size_t i = 0; i < chunks; i++) {
		c.tool_call = d->tool_call_count > 0 ? &d->tool_calls[i] : NULL;
		if (i + 1 == chunks)
			c.finish_reason = d->finish_reason;
		put_chunk(s, &c, out);
		c = (struct chunk){ .index = d->index, .logprobs_json = "", .finish_reason = "" };
	}
	s->finished[d->index] = d->finish_reason[0] != '\0';
}

static void
learn_fingerprint(struct chat_stream *s, const char *fingerprint)
{
	if (fingerprint[0] == '\0' || s->has_fingerprint)
		return;
	s->has_fingerprint = true;
	s->head.len -= sizeof(CHOICES) - 1;
	(void)buf_append_str(&s->head, "\"system_fingerprint\":");
	(void)json_put_cstr(&s->head, fingerprint);
	(void)buf_append_str(&s->head, "," CHOICES);
}

enum im_rc
chat_stream_frame(struct chat_stream *s, const struct generate_frame *frame, struct buf *out,
		  struct im_err *err)
{
	learn_fingerprint(s, frame->system_fingerprint);
	for (size_t i = 0; i < frame->delta_count; i++) {
		if (frame->deltas[i].index >= GENERATE_CHOICES_MAX) {
			return err_set(err, IM_EUPSTREAM,
				       "the answer has a choice %" PRIu32
				       "; at most %d are allowed",
				       frame->deltas[i].index, GENERATE_CHOICES_MAX);
		}
		put_delta(s, &frame->deltas[i], out);
	}
	if (!buf_ok(out) || !buf_ok(&s->head))
		return err_set(err, IM_ENOMEM,
			       "no memory for a piece of the answer; try again later");
	return IM_OK;
}

static bool
is_whole(const struct chat_stream *s)
{
	bool any = false;

	for (size_t i = 0; i < GENERATE_CHOICES_MAX; i++) {
		if (s->begun[i] && !s->finished[i])
			return false;
		any = any || s->finished[i];
	}
	return any;
}

enum im_rc
chat_stream_end(const struct chat_stream *s, const struct usage *usage, struct buf *out,
		struct im_err *err)
{
	if (!is_whole(s))
		return err_reason(err, IM_EUPSTREAM, "upstream_error",
				  "The answer ended before its finish_reason; try again.");
	if (s->include_usage && usage != NULL) {
		put_event_begin(s, out);
		(void)buf_append_str(out, "],\"usage\":");
		chat_put_usage(out, usage);
		put_event_end(out);
	}
	(void)buf_append_str(out, "data: [DONE]\n\n");
	if (!buf_ok(out))
		return err_set(err, IM_ENOMEM,
			       "no memory for the end of the answer; try again later");
	return IM_OK;
}

void
chat_stream_error(const struct api_error *e, struct buf *out)
{
	(void)buf_append_str(out, "data: ");
	api_error_put(e, out);
	(void)buf_append_str(out, "\n\n");
}
