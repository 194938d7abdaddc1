/*
 * gateway/embedding_answer.c - see embedding_answer.h.
 */
#include "gateway/embedding_answer.h"

#include <math.h>
#include <stdio.h>

#include "base/hex.h"
#include "base/json.h"
#include "wire/float32.h"

#define BODY_MAX    ((size_t)64 * 1024 * 1024) /* what the largest vectors take as text */
#define NUMBER_SIZE 24

void
embedding_answer_init(struct embedding_answer *a, size_t inputs, bool base64)
{
	*a = (struct embedding_answer){
		.body = BUF_INIT(BODY_MAX),
		.inputs = inputs,
		.base64 = base64,
	};
}

void
embedding_answer_begin(struct embedding_answer *a, const char *model)
{
	(void)buf_append_str(&a->body, "{\"object\":\"list\",\"model\":");
	(void)json_put_cstr(&a->body, model);
	(void)buf_append_str(&a->body, ",\"data\":[");
}

void
embedding_answer_done(struct embedding_answer *a)
{
	buf_done(&a->body);
}

static bool
all_finite(const uint8_t *vector, uint32_t dimensions)
{
	for (uint32_t i = 0; i < dimensions; i++)
		if (!isfinite(float32_get(vector + i * FLOAT32_BYTES)))
			return false;
	return true;
}

static void
put_base64(struct buf *out, const uint8_t *vector, size_t len)
{
	size_t text_len = BASE64_LEN(len);
	uint8_t *to;

	(void)buf_append_byte(out, '"');
	to = buf_reserve(out, text_len + 1); /* it ends its text with a NUL */
	if (to == NULL)
		return;
	base64_encode(vector, len, (char *)to);
	out->len += text_len;
	(void)buf_append_byte(out, '"');
}

static void
put_numbers(struct buf *out, const uint8_t *vector, uint32_t dimensions)
{
	char text[NUMBER_SIZE];

	for (uint32_t i = 0; i < dimensions; i++) {
		/* Nine digits read back as the same float32. */
		int n = snprintf(text, sizeof(text), "%c%.9g", i == 0 ? '[' : ',',
				 (double)float32_get(vector + i * FLOAT32_BYTES));

		(void)buf_append(out, text, (size_t)n);
	}
	(void)buf_append_byte(out, ']');
}

static void
put_vector(struct embedding_answer *a, const uint8_t *vector)
{
	(void)buf_append_str(&a->body, a->vectors == 0 ? "" : ",");
	(void)buf_append_str(&a->body, "{\"object\":\"embedding\",\"index\":");
	(void)buf_append_uint(&a->body, a->vectors);
	(void)buf_append_str(&a->body, ",\"embedding\":");
	if (a->base64)
		put_base64(&a->body, vector, a->dimensions * FLOAT32_BYTES);
	else
		put_numbers(&a->body, vector, a->dimensions);
	(void)buf_append_byte(&a->body, '}');
	a->vectors++;
}

static enum im_rc
broken(struct im_err *err, const char *what)
{
	return err_reason(err, IM_EUPSTREAM, "upstream_error",
			  "The answer is broken: %s; try again.", what);
}

static enum im_rc
take_vectors(struct embedding_answer *a, const struct generate_frame *frame,
	     const struct wire_bytes *v, struct im_err *err)
{
	size_t vector_len;

	if (a->dimensions == 0)
		a->dimensions = frame->dimensions;
	if (a->dimensions != frame->dimensions || frame->dimensions == 0)
		return broken(err, "its vectors have different lengths");
	vector_len = a->dimensions * FLOAT32_BYTES;
	for (size_t at = 0; at + vector_len <= v->len; at += vector_len) {
		if (a->vectors == a->inputs)
			return broken(err, "it has more vectors than there are inputs");
		if (!all_finite(v->data + at, a->dimensions))
			return broken(err, "a vector has a number that is none");
		put_vector(a, v->data + at);
	}
	return IM_OK;
}

static enum im_rc
check_room(const struct embedding_answer *a, struct im_err *err)
{
	if (buf_ok(&a->body))
		return IM_OK;
	return err_set(
	    err, IM_EUPSTREAM,
	    "The answer does not fit into %zu bytes or the free memory. Embed less at once, or "
	    "ask for encoding_format 'base64'.",
	    BODY_MAX);
}

enum im_rc
embedding_answer_frame(struct embedding_answer *a, const struct generate_frame *frame,
		       struct im_err *err)
{
	for (size_t i = 0; i < frame->delta_count; i++) {
		const struct delta *d = &frame->deltas[i];
		enum im_rc rc = IM_OK;

		if (d->embedding.len > 0)
			rc = take_vectors(a, frame, &d->embedding, err);
		if (rc != IM_OK)
			return rc;
		a->finished = a->finished || d->finish_reason[0] != '\0';
	}
	return check_room(a, err);
}

enum im_rc
embedding_answer_end(struct embedding_answer *a, const struct usage *usage, struct im_err *err)
{
	if (!a->finished || a->vectors != a->inputs)
		return broken(err, "it has not a vector for each input");
	(void)buf_append_byte(&a->body, ']');
	if (usage != NULL)
		(void)buf_printf(&a->body, ",\"usage\":{\"prompt_tokens\":%u,\"total_tokens\":%u}",
				 usage->prompt_tokens, usage->prompt_tokens);
	(void)buf_append_byte(&a->body, '}');
	return check_room(a, err);
}
