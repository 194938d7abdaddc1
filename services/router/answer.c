/*
 * router/answer.c - gathers answers and turns them into what the cache keeps; see answer.h.
 */
#include "router/answer.h"

#include <stdlib.h>
#include <string.h>

#include "router/answer_hash.h"

#define VALUE_VERSION 0x01

enum text {
	TEXT_ROLE,
	TEXT_CONTENT,
	TEXT_REASONING,
	TEXT_REFUSAL,
	TEXT_FINISH,
	TEXT_COUNT,
};

enum tool_text {
	TOOL_ID,
	TOOL_NAME,
	TOOL_ARGUMENTS,
	TOOL_COUNT,
};

struct gathered_tool {
	struct buf texts[TOOL_COUNT];
	bool seen;
};

struct gathered_choice {
	struct buf texts[TEXT_COUNT];
	struct gathered_tool *tools;
	size_t tool_count;
	struct buf vectors;
};

struct answer {
	struct gathered_choice *choices[GENERATE_CHOICES_MAX]; /* by index */
	size_t choice_count;
	size_t used_bytes, max_bytes;
	char *system_fingerprint;
	uint32_t dimensions; /* of the vectors */
};

struct answer *
router_answer_new(size_t max_bytes)
{
	struct answer *a = calloc(1, sizeof(*a));

	if (a != NULL) {
		a->max_bytes = max_bytes;
	}
	return a;
}

void
router_answer_free(struct answer *a)
{
	if (a == NULL) {
		return;
	}
	for (size_t i = 0; i < GENERATE_CHOICES_MAX; i++) {
		struct gathered_choice *c = a->choices[i];

		for (size_t k = 0; c != NULL && k < TEXT_COUNT; k++) {
			buf_done(&c->texts[k]);
		}
		for (size_t k = 0; c != NULL && k < c->tool_count * TOOL_COUNT; k++) {
			buf_done(&c->tools[k / TOOL_COUNT].texts[k % TOOL_COUNT]);
		}
		if (c != NULL) {
			buf_done(&c->vectors);
			free(c->tools);
		}
		free(c);
	}
	free(a->system_fingerprint);
	free(a);
}

/* Count 'len' bytes more. */
static enum im_rc
gather_count(struct answer *a, size_t len, struct im_err *err)
{
	if (len > a->max_bytes - a->used_bytes) {
		return err_reason(
		    err, IM_ETOOBIG, "answer_too_large",
		    "the answer is longer than %zu bytes; ask for a stream or set max_tokens",
		    a->max_bytes);
	}
	a->used_bytes += len;
	return IM_OK;
}

static enum im_rc
gather_no_memory(struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "no memory to gather an answer");
}

static enum im_rc
gather_vectors(struct answer *a, struct buf *b, const struct wire_bytes *v, struct im_err *err)
{
	enum im_rc rc = gather_count(a, v->len, err);

	if (rc != IM_OK || v->len == 0) {
		return rc;
	}
	return buf_append(b, v->data, v->len) ? IM_OK : gather_no_memory(err);
}

/* Append 'text' and keep it NUL-terminated. */
static enum im_rc
gather(struct answer *a, struct buf *b, const char *text, struct im_err *err)
{
	size_t len = strlen(text);
	enum im_rc rc = gather_count(a, len, err);

	if (rc != IM_OK) {
		return rc;
	}
	if (len > 0 && (!buf_append(b, text, len) || buf_reserve(b, 1) == NULL)) {
		return gather_no_memory(err);
	}
	if (len > 0) {
		b->data[b->len] = '\0';
	}
	return IM_OK;
}

/* The first one said counts. */
static enum im_rc
gather_first(struct answer *a, struct buf *b, const char *text, struct im_err *err)
{
	return b->len > 0 ? IM_OK : gather(a, b, text, err);
}

static enum im_rc
gather_tool(struct answer *a, struct gathered_choice *c, const struct tool_call_delta *t,
	    struct im_err *err)
{
	struct gathered_tool *tool;
	enum im_rc rc;

	if (t->index >= ANSWER_TOOL_CALLS_MAX) {
		return err_set(err, IM_EPROTO, "tool call %u of a choice: at most %d are taken",
			       t->index, ANSWER_TOOL_CALLS_MAX);
	}
	if (t->index >= c->tool_count) {
		struct gathered_tool *tools = realloc(c->tools, (t->index + 1) * sizeof(*tools));

		if (tools == NULL) {
			return gather_no_memory(err);
		}
		memset(&tools[c->tool_count], 0, (t->index + 1 - c->tool_count) * sizeof(*tools));
		c->tools = tools;
		c->tool_count = t->index + 1;
	}
	tool = &c->tools[t->index];
	tool->seen = true;
	rc = gather_first(a, &tool->texts[TOOL_ID], t->id, err);
	if (rc == IM_OK) {
		rc = gather_first(a, &tool->texts[TOOL_NAME], t->name, err);
	}
	return rc == IM_OK ? gather(a, &tool->texts[TOOL_ARGUMENTS], t->arguments, err) : rc;
}

static enum im_rc
gather_delta(struct answer *a, const struct delta *d, struct im_err *err)
{
	const char *texts[TEXT_COUNT] = { d->role, d->content, d->reasoning_content, d->refusal,
					  d->finish_reason };
	struct gathered_choice *c;
	enum im_rc rc = IM_OK;

	if (d->index >= GENERATE_CHOICES_MAX) {
		return err_set(err, IM_EPROTO, "choice %u of an answer: at most %d are taken",
			       d->index, GENERATE_CHOICES_MAX);
	}
	c = a->choices[d->index];
	if (c == NULL) {
		c = a->choices[d->index] = calloc(1, sizeof(*c));
		a->choice_count += c != NULL;
	}
	if (c == NULL) {
		return gather_no_memory(err);
	}
	for (size_t i = 0; i < TEXT_COUNT && rc == IM_OK; i++) {
		rc = i == TEXT_ROLE || i == TEXT_FINISH
			 ? gather_first(a, &c->texts[i], texts[i], err)
			 : gather(a, &c->texts[i], texts[i], err);
	}
	if (rc == IM_OK) {
		rc = gather_vectors(a, &c->vectors, &d->embedding, err);
	}
	for (size_t i = 0; i < d->tool_call_count && rc == IM_OK; i++) {
		rc = gather_tool(a, c, &d->tool_calls[i], err);
	}
	return rc;
}

enum im_rc
router_answer_add(struct answer *a, const struct generate_frame *frame, struct im_err *err)
{
	if (a->system_fingerprint == NULL && frame->system_fingerprint[0] != '\0') {
		a->system_fingerprint = strndup(frame->system_fingerprint, ANSWER_NAME_MAX);
		if (a->system_fingerprint == NULL) {
			return gather_no_memory(err);
		}
	}
	if (frame->dimensions != 0 && a->dimensions != 0 && frame->dimensions != a->dimensions) {
		return err_set(err, IM_EPROTO, "vectors of %u and of %u numbers in one answer",
			       a->dimensions, frame->dimensions);
	}
	if (frame->dimensions != 0) {
		a->dimensions = frame->dimensions;
	}
	for (size_t i = 0; i < frame->delta_count; i++) {
		enum im_rc rc = gather_delta(a, &frame->deltas[i], err);

		if (rc != IM_OK) {
			return rc;
		}
	}
	return IM_OK;
}

bool
router_answer_is_whole(const struct answer *a)
{
	for (size_t i = 0; i < GENERATE_CHOICES_MAX; i++) {
		if (a->choices[i] != NULL && a->choices[i]->texts[TEXT_FINISH].len == 0) {
			return false;
		}
	}
	return a->choice_count > 0;
}

static const char *
text_of(const struct buf *b)
{
	return b->len > 0 ? (const char *)b->data : "";
}

static size_t
tools_seen(const struct gathered_choice *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->tool_count; i++) {
		n += c->tools[i].seen;
	}
	return n;
}

static bool
fill_delta(const struct gathered_choice *c, struct arena *arena, struct delta *d)
{
	size_t n = tools_seen(c);

	d->role = text_of(&c->texts[TEXT_ROLE]);
	d->content = text_of(&c->texts[TEXT_CONTENT]);
	d->reasoning_content = text_of(&c->texts[TEXT_REASONING]);
	d->refusal = text_of(&c->texts[TEXT_REFUSAL]);
	d->finish_reason = text_of(&c->texts[TEXT_FINISH]);
	d->logprobs_json = "";
	d->embedding = (struct wire_bytes){ c->vectors.data, c->vectors.len };
	d->tool_calls = arena_calloc(arena, n + 1, sizeof(*d->tool_calls));
	if (d->tool_calls == NULL) {
		return false;
	}
	for (size_t i = 0; i < c->tool_count; i++) {
		const struct gathered_tool *t = &c->tools[i];

		if (t->seen) {
			d->tool_calls[d->tool_call_count++] = (struct tool_call_delta){
				.index = (uint32_t)i,
				.id = text_of(&t->texts[TOOL_ID]),
				.name = text_of(&t->texts[TOOL_NAME]),
				.arguments = text_of(&t->texts[TOOL_ARGUMENTS]),
			};
		}
	}
	return true;
}

bool
router_answer_frame(const struct answer *a, struct arena *arena, struct generate_frame *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->system_fingerprint = a->system_fingerprint != NULL ? a->system_fingerprint : "";
	ret->dimensions = a->dimensions;
	ret->deltas = arena_calloc(arena, a->choice_count + 1, sizeof(*ret->deltas));
	if (ret->deltas == NULL) {
		return false;
	}
	for (size_t i = 0; i < GENERATE_CHOICES_MAX; i++) {
		if (a->choices[i] == NULL) {
			continue;
		}
		ret->deltas[ret->delta_count].index = (uint32_t)i;
		if (!fill_delta(a->choices[i], arena, &ret->deltas[ret->delta_count++])) {
			return false;
		}
	}
	return true;
}

bool
router_answer_choices(const struct answer *a, struct arena *arena, struct generate_reply *ret)
{
	struct generate_frame frame;

	if (!router_answer_frame(a, arena, &frame)) {
		return false;
	}
	ret->choices = arena_calloc(arena, frame.delta_count + 1, sizeof(*ret->choices));
	if (ret->choices == NULL) {
		return false;
	}
	ret->choice_count = frame.delta_count;
	ret->dimensions = frame.dimensions;
	for (size_t i = 0; i < frame.delta_count; i++) {
		const struct delta *d = &frame.deltas[i];
		struct choice *c = &ret->choices[i];

		*c = (struct choice){ .index = d->index,
				      .role = d->role,
				      .content = d->content,
				      .reasoning_content = d->reasoning_content,
				      .finish_reason = d->finish_reason,
				      .refusal = d->refusal,
				      .embedding = d->embedding };
		c->tool_calls = arena_calloc(arena, d->tool_call_count + 1, sizeof(*c->tool_calls));
		if (c->tool_calls == NULL) {
			return false;
		}
		c->tool_call_count = d->tool_call_count;
		for (size_t k = 0; k < d->tool_call_count; k++) {
			c->tool_calls[k].id = d->tool_calls[k].id;
			c->tool_calls[k].name = d->tool_calls[k].name;
			c->tool_calls[k].arguments = d->tool_calls[k].arguments;
		}
	}
	return true;
}

static void
put_u32(uint8_t out[4], size_t v)
{
	for (size_t i = 0; i < 4; i++) {
		out[i] = (uint8_t)(v >> (8 * i));
	}
}

/* Leave room for a length, write the part behind it, fill the length in. */
static void
close_part(struct buf *out, size_t at)
{
	if (buf_ok(out)) {
		put_u32(out->data + at, out->len - at - 4);
	}
}

void
router_answer_value_encode(const struct answer *a, const struct usage *usage, struct buf *out)
{
	static const uint8_t room[4];
	struct generate_end end = { .usage = *usage, .has_usage = true };
	struct generate_frame frame;
	struct arena arena;
	size_t at;

	arena_init(&arena, 0);
	if (!router_answer_frame(a, &arena, &frame)) {
		out->failed = true;
		arena_done(&arena);
		return;
	}
	buf_append_byte(out, VALUE_VERSION);
	at = out->len;
	buf_append(out, room, sizeof(room));
	generate_frame_encode(&frame, out);
	close_part(out, at);
	at = out->len;
	buf_append(out, room, sizeof(room));
	generate_end_encode(&end, out);
	close_part(out, at);
	arena_done(&arena);
}

/* The next length and its bytes. */
static bool
take_part(const uint8_t **at, size_t *left, const uint8_t **ret_part, size_t *ret_len)
{
	size_t len;

	if (*left < 4) {
		return false;
	}
	len = (size_t)(*at)[0] | (size_t)(*at)[1] << 8 | (size_t)(*at)[2] << 16 |
	      (size_t)(*at)[3] << 24;
	if (len > *left - 4) {
		return false;
	}
	*ret_part = *at + 4;
	*ret_len = len;
	*at += 4 + len;
	*left -= 4 + len;
	return true;
}

static bool
plausible(const struct generate_frame *f)
{
	if (f->has_head || f->delta_count == 0) {
		return false;
	}
	for (size_t i = 0; i < f->delta_count; i++) {
		if (f->deltas[i].finish_reason[0] == '\0' ||
		    f->deltas[i].index >= GENERATE_CHOICES_MAX) {
			return false;
		}
	}
	return true;
}

enum im_rc
router_answer_value_decode(const uint8_t *buf, size_t len, struct arena *arena,
			   struct generate_frame *ret_frame, struct usage *ret_usage,
			   struct im_err *err)
{
	const uint8_t *at, *frame_at, *end_at;
	size_t left, frame_len, end_len;
	struct generate_frame frame;
	struct generate_end end;
	enum im_rc rc;

	if (len == 0 || buf[0] != VALUE_VERSION) {
		return err_set(err, IM_ECORRUPT,
			       "a cached answer is of another version; it is ignored");
	}
	at = buf + 1;
	left = len - 1;
	if (!take_part(&at, &left, &frame_at, &frame_len) ||
	    !take_part(&at, &left, &end_at, &end_len) || left != 0) {
		return err_set(err, IM_ECORRUPT, "a cached answer is cut; it is ignored");
	}
	rc = generate_frame_decode(frame_at, frame_len, arena, &frame, err);
	if (rc == IM_OK) {
		rc = generate_end_decode(end_at, end_len, &end, err);
	}
	if (rc == IM_ENOMEM) {
		return rc;
	}
	if (rc != IM_OK || !plausible(&frame) || !end.has_usage) {
		return err_set(err, IM_ECORRUPT, "a cached answer cannot be read; it is ignored");
	}
	*ret_frame = frame;
	*ret_usage = end.usage;
	return IM_OK;
}
