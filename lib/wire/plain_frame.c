/*
 * wire/plain_frame.c - see plain_frame.h. Source of the tags: proto/infermesh/v1/inference.proto.
 */
#include "wire/plain_frame.h"

#include <string.h>

#include "wire/texts.h"
#include "wire/wire.h"
#include "wire/writer.h"

enum frame_tag {
	FRAME_DELTAS = 2,
	FRAME_FINGERPRINT = 3,
	FRAME_DIMENSIONS = 4,
};

enum delta_tag {
	DELTA_INDEX = 1,
	DELTA_ROLE = 2,
	DELTA_CONTENT = 3,
	DELTA_REASONING = 4,
	DELTA_TOOL_CALLS = 5,
	DELTA_FINISH = 6,
	DELTA_LOGPROBS = 7,
	DELTA_REFUSAL = 8,
	DELTA_EMBEDDING = 9,
	DELTA_TAGS,
};

/* Encoding. */

/* The texts of a delta by tag, and how long they are. */
struct pieces {
	const void *at[DELTA_TAGS];
	size_t len[DELTA_TAGS];
};

static uint8_t *
put_bytes(uint8_t *to, unsigned tag, const void *at, size_t len)
{
	*to++ = (uint8_t)(tag << 3 | READER_BYTES);
	to = writer_put_varint(to, len);
	memcpy(to, at, len);
	return to + len;
}

static size_t
text_length(const char *s)
{
	return s == NULL || s[0] == '\0' ? 0 : strlen(s);
}

/* What is there of 'd'; the length of its body. */
static size_t
pieces_of(const struct delta *d, struct pieces *ret)
{
	const char *texts[DELTA_TAGS] = {
		[DELTA_ROLE] = d->role,
		[DELTA_CONTENT] = d->content,
		[DELTA_REASONING] = d->reasoning_content,
		[DELTA_FINISH] = d->finish_reason,
		[DELTA_LOGPROBS] = d->logprobs_json,
		[DELTA_REFUSAL] = d->refusal,
	};
	size_t body = d->index == 0 ? 0 : 1 + writer_varint_len(d->index);

	for (unsigned tag = DELTA_ROLE; tag < DELTA_TAGS; tag++) {
		ret->at[tag] = texts[tag];
		ret->len[tag] = text_length(texts[tag]);
	}
	ret->at[DELTA_EMBEDDING] = d->embedding.data;
	ret->len[DELTA_EMBEDDING] = d->embedding.len;
	for (unsigned tag = DELTA_ROLE; tag < DELTA_TAGS; tag++)
		if (ret->len[tag] > 0)
			body += 1 + writer_varint_len(ret->len[tag]) + ret->len[tag];
	return body;
}

static void
put_delta(const struct delta *d, struct buf *out)
{
	struct pieces p;
	size_t body = pieces_of(d, &p);
	uint8_t *to = buf_reserve(out, 1 + WRITER_VARINT_MAX + body);

	if (to == NULL)
		return;
	*to++ = FRAME_DELTAS << 3 | READER_BYTES;
	to = writer_put_varint(to, body);
	if (d->index != 0) {
		*to++ = DELTA_INDEX << 3 | READER_VARINT;
		to = writer_put_varint(to, d->index);
	}
	for (unsigned tag = DELTA_ROLE; tag < DELTA_TAGS; tag++)
		if (p.len[tag] > 0)
			to = put_bytes(to, tag, p.at[tag], p.len[tag]);
	out->len = (size_t)(to - out->data);
}

bool
plain_frame_encode(const struct generate_frame *frame, struct buf *out)
{
	size_t fingerprint = text_length(frame->system_fingerprint);
	uint8_t *to;

	if (frame->has_head)
		return false;
	for (size_t i = 0; i < frame->delta_count; i++)
		if (frame->deltas[i].tool_call_count > 0)
			return false;
	for (size_t i = 0; i < frame->delta_count; i++)
		put_delta(&frame->deltas[i], out);
	to = buf_reserve(out, (size_t)2 * (1 + WRITER_VARINT_MAX) + fingerprint);
	if (to == NULL)
		return true;
	if (fingerprint > 0)
		to = put_bytes(to, FRAME_FINGERPRINT, frame->system_fingerprint, fingerprint);
	if (frame->dimensions != 0) {
		*to++ = FRAME_DIMENSIONS << 3 | READER_VARINT;
		to = writer_put_varint(to, frame->dimensions);
	}
	out->len = (size_t)(to - out->data);
	return true;
}

/* Decoding. */

static bool
take_delta(const uint8_t *buf, size_t len, struct texts *t, struct delta *ret)
{
	struct reader r = { .at = buf, .end = buf + len };
	struct delta d = { .role = "",
			   .content = "",
			   .reasoning_content = "",
			   .finish_reason = "",
			   .logprobs_json = "",
			   .refusal = "" };
	struct reader_field f;

	while (reader_next(&r, &f)) {
		const char *text;

		if (f.tag == DELTA_INDEX && f.type == READER_VARINT) {
			d.index = (uint32_t)f.num;
			continue;
		}
		if (f.type != READER_BYTES || (text = texts_take(t, &f)) == NULL)
			return false;
		switch (f.tag) {
		case DELTA_ROLE:
			d.role = text;
			break;
		case DELTA_CONTENT:
			d.content = text;
			break;
		case DELTA_REASONING:
			d.reasoning_content = text;
			break;
		case DELTA_FINISH:
			d.finish_reason = text;
			break;
		case DELTA_LOGPROBS:
			d.logprobs_json = text;
			break;
		case DELTA_REFUSAL:
			d.refusal = text;
			break;
		default:
			return false;
		}
	}
	*ret = d;
	return reader_at_end(&r) && d.index < GENERATE_CHOICES_MAX;
}

/* How many deltas there are; false if there is anything else but a fingerprint. */
static bool
count_deltas(const uint8_t *buf, size_t len, size_t *ret)
{
	struct reader r = { .at = buf, .end = buf + len };
	struct reader_field f;
	size_t n = 0;

	while (reader_next(&r, &f)) {
		if (f.type != READER_BYTES || (f.tag != FRAME_DELTAS && f.tag != FRAME_FINGERPRINT))
			return false;
		n += f.tag == FRAME_DELTAS;
	}
	*ret = n;
	return reader_at_end(&r) && n > 0 && n <= WIRE_ELEMENTS_MAX;
}

bool
plain_frame_decode(const uint8_t *buf, size_t len, struct arena *arena, struct generate_frame *ret)
{
	struct generate_frame out = {
		.head = { .model = "", .cache = "", .worker = "", .fallback = "" },
		.system_fingerprint = "",
	};
	struct reader r = { .at = buf, .end = buf + len };
	struct reader_field f;
	struct texts t;
	size_t n;

	if (!count_deltas(buf, len, &n))
		return false;
	out.deltas = arena_alloc(arena, n * sizeof(*out.deltas));
	t.at = arena_alloc(arena, len);
	if (out.deltas == NULL || t.at == NULL)
		return false;
	while (reader_next(&r, &f)) {
		if (f.tag == FRAME_DELTAS) {
			if (!take_delta(f.data, f.len, &t, &out.deltas[out.delta_count++]))
				return false;
		} else if ((out.system_fingerprint = texts_take(&t, &f)) == NULL) {
			return false;
		}
	}
	*ret = out;
	return true;
}
