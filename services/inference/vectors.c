/*
 * inference/vectors.c - see vectors.h.
 */
#include "inference/vectors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"
#include "inference/chunk.h"
#include "inference/errors.h"
#include "wire/float32.h"

static enum im_rc
bad(struct im_err *err, const char *what)
{
	return err_reason(err, IM_EUPSTREAM, "upstream_error",
			  "the upstream sent vectors that cannot be used: %s", what);
}

static enum im_rc
no_memory(struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "no memory for the upstream's vectors");
}

static size_t
elements(struct json_span array)
{
	struct json_span name, value;
	struct json_iter it;
	size_t n = 0;

	if (!json_iter_init(&it, array))
		return 0;
	while (json_iter_next(&it, &name, &value))
		n++;
	return n;
}

/* How many numbers the vector 'v' has; 0 = it is none. */
static size_t
length_of(struct json_span v)
{
	size_t text_len = v.len - 2, pad = 0;

	if (json_type(v) == JSON_ARRAY)
		return elements(v);
	if (json_type(v) != JSON_STRING || text_len == 0 || text_len % 4 != 0)
		return 0;
	while (pad < 2 && v.at[v.len - 2 - pad] == '=')
		pad++;
	return (text_len / 4 * 3 - pad) / FLOAT32_BYTES;
}

/* 'dimensions' numbers to 'to'. */
static enum im_rc
take_numbers(struct json_span v, uint32_t dimensions, uint8_t *to, struct im_err *err)
{
	size_t bytes = dimensions * FLOAT32_BYTES, got = 0;
	struct json_span name, value;
	struct json_iter it;
	uint32_t n = 0;

	if (json_type(v) == JSON_STRING) {
		if (!base64_decode(v.at + 1, v.len - 2, to, bytes, &got) || got != bytes)
			return bad(err, "a vector is no base64 of whole numbers");
	} else {
		(void)json_iter_init(&it, v);
		for (; json_iter_next(&it, &name, &value); n++) {
			if (json_type(value) != JSON_NUMBER)
				return bad(err, "a vector has something that is no number");
			float32_put(to + n * FLOAT32_BYTES, (float)json_double(value));
		}
	}
	for (size_t i = 0; i < bytes; i += FLOAT32_BYTES)
		if (!isfinite(float32_get(to + i)))
			return bad(err, "a vector has a number that is not finite");
	return IM_OK;
}

/* Room for all, when the first one is known. */
static enum im_rc
make_room(struct vectors *v, const struct vectors_want *want, size_t length, struct im_err *err)
{
	size_t bytes = length * FLOAT32_BYTES * want->inputs;
	uint8_t *room;

	if (length == 0 || length > GENERATE_VECTOR_MAX)
		return bad(err, "a vector has none or too many numbers");
	if (want->dimensions != 0 && length != want->dimensions)
		return bad(err, "they have not the 'dimensions' that were asked for");
	if (bytes > GENERATE_VECTORS_MAX)
		return bad(err, "they take more than 15 MiB; embed less at once");
	buf_init(&v->numbers, bytes);
	room = buf_reserve(&v->numbers, bytes);
	if (room == NULL)
		return no_memory(err);
	memset(room, 0, bytes);
	v->numbers.len = bytes;
	v->dimensions = (uint32_t)length;
	return IM_OK;
}

/* One element of data; 'seen' has a flag for each input. */
static enum im_rc
take_element(struct vectors *v, const struct vectors_want *want, struct json_span item,
	     size_t position, bool *seen, struct im_err *err)
{
	static const char *const names[] = { "index", "embedding" };
	struct json_span m[2];
	uint32_t index = (uint32_t)position;
	enum im_rc rc = IM_OK;
	size_t length;

	if (!json_members(item, names, 2, m))
		return bad(err, "an element of 'data' is no object");
	(void)json_u32(m[0], &index);
	if (index >= want->inputs || seen[index])
		return bad(err, "their indices are not those of the inputs");
	seen[index] = true;
	length = length_of(m[1]);
	if (v->dimensions == 0)
		rc = make_room(v, want, length, err);
	if (rc != IM_OK)
		return rc;
	if (length != v->dimensions)
		return bad(err, "they have different lengths");
	return take_numbers(m[1], v->dimensions,
			    v->numbers.data + (size_t)index * v->dimensions * FLOAT32_BYTES, err);
}

static enum im_rc
take_data(struct vectors *v, const struct vectors_want *want, struct json_span data,
	  struct im_err *err)
{
	bool *seen = calloc(want->inputs + 1, sizeof(*seen));
	struct json_span name, item;
	struct json_iter it;
	enum im_rc rc = IM_OK;
	size_t n = 0;

	if (seen == NULL)
		return no_memory(err);
	if (json_type(data) != JSON_ARRAY || elements(data) != want->inputs) {
		free(seen);
		return bad(err, "there is not one for each input");
	}
	(void)json_iter_init(&it, data);
	while (rc == IM_OK && json_iter_next(&it, &name, &item))
		rc = take_element(v, want, item, n++, seen, err);
	free(seen);
	return rc;
}

enum im_rc
vectors_parse(const char *text, size_t len, const struct vectors_want *want, struct vectors *ret,
	      struct im_err *err)
{
	enum {
		ERROR,
		OBJECT,
		USAGE,
		DATA,
		MEMBERS
	};
	static const char *const names[MEMBERS] = { "error", "object", "usage", "data" };
	struct json_span root = json_trim(text, len), v[MEMBERS];
	struct im_err why;

	if (json_check(root.at, root.len, CHUNK_DEPTH_MAX, &why) != IM_OK)
		return bad(err, why.text);
	if (!json_members(root, names, MEMBERS, v))
		return bad(err, "it is no JSON object");
	if (errors_is_report(v[ERROR], v[OBJECT]))
		return errors_from_report(root, err);
	ret->has_usage = chunk_usage(v[USAGE], &ret->usage);
	ret->usage.completion_tokens = 0;
	return take_data(ret, want, v[DATA], err);
}

void
vectors_done(struct vectors *v)
{
	buf_done(&v->numbers);
}

bool
vectors_next(struct vectors *v, struct delta *delta, struct generate_frame *ret)
{
	size_t vector = v->dimensions * FLOAT32_BYTES, left = v->numbers.len - v->given;
	size_t take =
	    vector >= VECTORS_FRAME_BYTES ? vector : VECTORS_FRAME_BYTES / vector * vector;

	if (v->finished)
		return false;
	*delta = (struct delta){ .role = "",
				 .content = "",
				 .reasoning_content = "",
				 .finish_reason = "",
				 .logprobs_json = "",
				 .refusal = "" };
	*ret = (struct generate_frame){ .head = { .model = "", .cache = "", .worker = "" },
					.deltas = delta,
					.delta_count = 1,
					.system_fingerprint = "" };
	if (left > 0) {
		ret->dimensions = v->dimensions;
		delta->embedding =
		    (struct wire_bytes){ v->numbers.data + v->given, take < left ? take : left };
		v->given += delta->embedding.len;
	} else {
		delta->finish_reason = "stop";
		v->finished = true;
	}
	return true;
}
