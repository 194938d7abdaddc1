/*
 * inference/gguf_header.c - the check of a GGUF file; see gguf_header.h.
 */
#include "inference/gguf_header.h"

#include <stdbool.h>
#include <string.h>

#define KEY_BYTES_MAX   65535
#define NAME_BYTES_MAX  63 /* of a tensor; one less than llama.cpp's buffer */
#define DIMENSIONS_MAX  4
#define ALIGNMENT       32 /* unless the file says otherwise */
#define ALIGNMENT_MAX   (1u << 20)
#define VALUE_STRING    8
#define VALUE_ARRAY     9
#define VALUE_UINT16    2
#define VALUE_UINT32    4
#define VALUE_KINDS     13
#define TENSOR_ELEMENTS (1ULL << 48) /* more than any memory holds, less than what overflows */

/* Bytes of a value of each fixed-size kind. */
static const uint8_t value_bytes[VALUE_KINDS] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

const struct gguf_block gguf_blocks[GGUF_TYPES] = {
	[0] = { 1, 4 },      /* F32 */
	[1] = { 1, 2 },      /* F16 */
	[2] = { 32, 18 },    /* Q4_0 */
	[3] = { 32, 20 },    /* Q4_1 */
	[6] = { 32, 22 },    /* Q5_0 */
	[7] = { 32, 24 },    /* Q5_1 */
	[8] = { 32, 34 },    /* Q8_0 */
	[9] = { 32, 36 },    /* Q8_1 */
	[10] = { 256, 84 },  /* Q2_K */
	[11] = { 256, 110 }, /* Q3_K */
	[12] = { 256, 144 }, /* Q4_K */
	[13] = { 256, 176 }, /* Q5_K */
	[14] = { 256, 210 }, /* Q6_K */
	[15] = { 256, 292 }, /* Q8_K */
	[16] = { 256, 66 },  /* IQ2_XXS */
	[17] = { 256, 74 },  /* IQ2_XS */
	[18] = { 256, 98 },  /* IQ3_XXS */
	[19] = { 256, 50 },  /* IQ1_S */
	[20] = { 32, 18 },   /* IQ4_NL */
	[21] = { 256, 110 }, /* IQ3_S */
	[22] = { 256, 82 },  /* IQ2_S */
	[23] = { 256, 136 }, /* IQ4_XS */
	[24] = { 1, 1 },     /* I8 */
	[25] = { 1, 2 },     /* I16 */
	[26] = { 1, 4 },     /* I32 */
	[27] = { 1, 8 },     /* I64 */
	[28] = { 1, 8 },     /* F64 */
	[29] = { 256, 56 },  /* IQ1_M */
	[30] = { 1, 2 },     /* BF16 */
	[34] = { 256, 54 },  /* TQ1_0 */
	[35] = { 256, 66 },  /* TQ2_0 */
	[39] = { 32, 17 },   /* MXFP4 */
	[40] = { 64, 36 },   /* NVFP4 */
	[41] = { 128, 18 },  /* Q1_0 */
	[42] = { 64, 18 },   /* Q2_0 */
};

/* The rest of the file. After 'cut' every read gives zeros and the caller's loop ends. */
struct reader {
	const uint8_t *data;
	size_t len, at;
	bool cut;
	uint32_t alignment;
	bool split;
};

static enum im_rc
corrupt_end(const struct reader *r, struct im_err *err)
{
	return err_set(
	    err, IM_ECORRUPT,
	    "it ends or is damaged inside the header, after %zu of %zu bytes; fetch it again",
	    r->at, r->len);
}

static bool
skip(struct reader *r, uint64_t n)
{
	if (r->cut || n > r->len - r->at) {
		r->cut = true;
		return false;
	}
	r->at += (size_t)n;
	return true;
}

/* GGUF is little-endian, and so is every machine that this runs on with a model. */
static uint64_t
get(struct reader *r, size_t bytes)
{
	uint64_t v = 0;
	size_t from = r->at;

	if (!skip(r, bytes))
		return 0;
	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)r->data[from + i] << (8 * i);
	return v;
}

/* A string of at most 'max' bytes; its text, not terminated, or NULL. */
static const char *
get_string(struct reader *r, uint64_t max, size_t *ret_len)
{
	uint64_t len = get(r, 8);
	size_t from = r->at;

	if (len > max || !skip(r, len)) {
		r->cut = true;
		return NULL;
	}
	*ret_len = (size_t)len;
	return (const char *)r->data + from;
}

static void
skip_array(struct reader *r)
{
	uint64_t kind = get(r, 4), count = get(r, 8);
	size_t len;

	if (kind >= VALUE_KINDS || kind == VALUE_ARRAY || count > r->len) {
		r->cut = true;
		return;
	}
	if (kind != VALUE_STRING) {
		(void)skip(r, count * value_bytes[kind]);
		return;
	}
	for (uint64_t i = 0; i < count && !r->cut; i++)
		(void)get_string(r, UINT64_MAX, &len);
}

static bool
name_is(const char *name, size_t len, const char *want)
{
	return len == strlen(want) && memcmp(name, want, len) == 0;
}

static void
read_key(struct reader *r)
{
	size_t name_len = 0, len;
	const char *name = get_string(r, KEY_BYTES_MAX, &name_len);
	uint64_t kind = get(r, 4), v;

	if (r->cut || kind >= VALUE_KINDS) {
		r->cut = true;
	} else if (kind == VALUE_STRING) {
		(void)get_string(r, UINT64_MAX, &len);
	} else if (kind == VALUE_ARRAY) {
		skip_array(r);
	} else {
		v = get(r, value_bytes[kind]);
		if (name_is(name, name_len, "general.alignment")) {
			if (kind != VALUE_UINT32 || v == 0 || v > ALIGNMENT_MAX ||
			    (v & (v - 1)) != 0)
				r->cut = true;
			r->alignment = (uint32_t)v;
		}
		if (name_is(name, name_len, "split.count"))
			r->split = kind != VALUE_UINT16 || v > 1;
	}
}

/* One tensor's description. '*ret_end' is where its data end, relative to the start of the data. */
static enum im_rc
read_tensor(struct reader *r, uint64_t *ret_end, struct im_err *err)
{
	size_t name_len = 0;
	const char *name = get_string(r, NAME_BYTES_MAX, &name_len);
	uint64_t dims = get(r, 4), elements = 1, row = 1, type, offset;

	if (r->cut || dims > DIMENSIONS_MAX)
		return corrupt_end(r, err);
	for (uint64_t i = 0; i < dims; i++) {
		uint64_t n = get(r, 8);

		if (n == 0 || n > TENSOR_ELEMENTS || elements > TENSOR_ELEMENTS / n)
			return corrupt_end(r, err);
		elements *= n;
		if (i == 0)
			row = n;
	}
	type = get(r, 4);
	offset = get(r, 8);
	if (r->cut)
		return corrupt_end(r, err);
	if (type >= GGUF_TYPES || gguf_blocks[type].elements == 0)
		return err_set(
		    err, IM_ECORRUPT,
		    "tensor '%.*s' has the unknown type %llu; convert the model with a llama.cpp of our age",
		    (int)name_len, name, (unsigned long long)type);
	if (row % gguf_blocks[type].elements != 0 || offset % r->alignment != 0 ||
	    offset > UINT64_MAX / 4)
		return err_set(err, IM_ECORRUPT, "tensor '%.*s' is damaged; fetch the file again",
			       (int)name_len, name);
	*ret_end = offset + elements / gguf_blocks[type].elements * gguf_blocks[type].bytes;
	return IM_OK;
}

static enum im_rc
read_start(struct reader *r, struct gguf_header *h, struct im_err *err)
{
	if (r->len < 24 || memcmp(r->data, "GGUF", 4) != 0)
		return err_set(err, IM_ECORRUPT,
			       "this is no GGUF file; give a model in GGUF format");
	r->at = 4;
	h->version = (uint32_t)get(r, 4);
	h->tensors = get(r, 8);
	h->keys = get(r, 8);
	if (h->version != 2 && h->version != 3)
		return err_set(
		    err, IM_ECORRUPT,
		    "GGUF version %u is not known, only 2 and 3; convert the model again",
		    h->version);
	if (h->tensors == 0)
		return err_set(err, IM_ECORRUPT,
			       "it has no weights, only a vocabulary; give a whole model");
	if (h->tensors > GGUF_TENSORS_MAX || h->keys > GGUF_KEYS_MAX)
		return corrupt_end(r, err);
	return IM_OK;
}

enum im_rc
gguf_header_check(const uint8_t *data, size_t len, struct gguf_header *ret, struct im_err *err)
{
	struct reader r = { .data = data, .len = len, .alignment = ALIGNMENT };
	struct gguf_header h = { 0 };
	uint64_t end = 0;
	enum im_rc rc = read_start(&r, &h, err);

	if (rc != IM_OK)
		return rc;
	for (uint64_t i = 0; i < h.keys && !r.cut; i++)
		read_key(&r);
	if (r.cut)
		return corrupt_end(&r, err);
	if (r.split)
		return err_set(
		    err, IM_ECORRUPT,
		    "it is one part of a split model; join the parts with llama-gguf-split --merge");
	for (uint64_t i = 0; i < h.tensors; i++) {
		uint64_t tensor_end = 0;

		rc = read_tensor(&r, &tensor_end, err);
		if (rc != IM_OK)
			return rc;
		if (tensor_end > end)
			end = tensor_end;
	}
	h.data_offset = ((uint64_t)r.at + r.alignment - 1) / r.alignment * r.alignment;
	if (h.data_offset > len || end > len - h.data_offset)
		return err_set(
		    err, IM_ECORRUPT,
		    "it has %zu bytes, its header promises %llu: it was cut; fetch it again", len,
		    (unsigned long long)h.data_offset + (unsigned long long)end);
	*ret = h;
	return IM_OK;
}
