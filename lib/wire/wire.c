/*
 * wire/wire.c - the check of untrusted bytes and the unpacker; see wire.h.
 */
#include "wire/wire.h"

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "wire/reader.h"

#define FIELDS_MAX 48 /* of one message type; more is our own mistake */

/* Where the check is, for its messages: a chain from the inside out. */
struct place {
	const struct place *outer;
	const char *name;
	uint32_t index;
	bool repeated;
};

static void
place_print(const struct place *p, struct buf *out)
{
	if (p->outer != NULL) {
		place_print(p->outer, out);
		(void)buf_append_byte(out, '.');
	}
	(void)buf_append_str(out, p->name);
	if (p->repeated)
		(void)buf_printf(out, "[%u]", p->index);
}

static enum im_rc
fail(struct im_err *err, const struct place *p, const char *what)
{
	struct buf where = BUF_INIT(sizeof(err->param));

	if (p == NULL)
		return err_set(err, IM_EPROTO, "malformed message: %s", what);
	place_print(p, &where);
	(void)err_set(err, IM_EPROTO, "%s: %s", buf_cstr(&where), what);
	if (err != NULL)
		(void)snprintf(err->param, sizeof(err->param), "%s", buf_cstr(&where));
	buf_done(&where);
	return IM_EPROTO;
}

static enum reader_type
type_on_wire(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return READER_BYTES;
	case PROTOBUF_C_TYPE_DOUBLE:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return READER_FIXED64;
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return READER_FIXED32;
	default:
		return READER_VARINT;
	}
}

/* A packed array of varints, the only kind of packed array in our messages. */
static enum im_rc
check_packed(const struct reader_field *f, const struct place *p, struct im_err *err)
{
	struct reader r = { .at = f->data, .end = f->data + f->len };
	uint32_t count = 0;
	uint64_t v;

	while (!reader_at_end(&r)) {
		if (!reader_varint(&r, &v))
			return fail(err, p, "malformed packed array");
		if (++count > WIRE_ELEMENTS_MAX)
			return fail(err, p, "too many elements");
	}
	return IM_OK;
}

static enum im_rc check_message(const ProtobufCMessageDescriptor *desc, struct reader r,
				const struct place *outer, unsigned depth, struct im_err *err);

static enum im_rc
check_field(const ProtobufCFieldDescriptor *fd, const struct reader_field *f, const struct place *p,
	    unsigned depth, struct im_err *err)
{
	enum reader_type want = type_on_wire(fd->type);

	if (f->type == READER_BYTES && want == READER_VARINT &&
	    fd->label == PROTOBUF_C_LABEL_REPEATED)
		return check_packed(f, p, err);
	if (f->type != want)
		return fail(err, p, "wrong wire type");
	if (fd->type == PROTOBUF_C_TYPE_STRING && !utf8_valid((const char *)f->data, f->len))
		return fail(err, p, "not UTF-8, or holds U+0000");
	if (fd->type != PROTOBUF_C_TYPE_MESSAGE)
		return IM_OK;
	if (depth >= WIRE_DEPTH_MAX)
		return fail(err, p, "nested too deeply");
	return check_message(fd->descriptor,
			     (struct reader){ .at = f->data, .end = f->data + f->len }, p,
			     depth + 1, err);
}

/* Nothing more to look at: the wire type is right, and it is no message, nor text that is none. */
static bool
is_sound(const ProtobufCFieldDescriptor *fd, const struct reader_field *f)
{
	if (f->type != type_on_wire(fd->type) || fd->type == PROTOBUF_C_TYPE_MESSAGE)
		return false;
	return fd->type != PROTOBUF_C_TYPE_STRING || utf8_valid((const char *)f->data, f->len);
}

static const ProtobufCFieldDescriptor *
field_of(const ProtobufCMessageDescriptor *desc, uint32_t tag)
{
	uint32_t i;

	if (desc->n_field_ranges != 1)
		return protobuf_c_message_descriptor_get_field(desc, tag);
	i = tag - (uint32_t)desc->field_ranges[0].start_value; /* tags without a hole */
	return i < desc->n_fields ? &desc->fields[i] : NULL;
}

static enum im_rc
check_message(const ProtobufCMessageDescriptor *desc, struct reader r, const struct place *outer,
	      unsigned depth, struct im_err *err)
{
	uint32_t count[FIELDS_MAX] = { 0 };
	struct reader_field f;
	enum im_rc rc;

	while (reader_next(&r, &f)) {
		const ProtobufCFieldDescriptor *fd = field_of(desc, f.tag);
		struct place here;
		uint32_t n;

		if (fd == NULL)
			continue; /* of a later version */
		n = count[(fd - desc->fields) % FIELDS_MAX]++;
		if (n < WIRE_ELEMENTS_MAX && is_sound(fd, &f))
			continue;
		here = (struct place){ .outer = outer,
				       .name = fd->name,
				       .index = n,
				       .repeated = fd->label == PROTOBUF_C_LABEL_REPEATED };
		if (n >= WIRE_ELEMENTS_MAX)
			return fail(err, &here, "too many elements");
		rc = check_field(fd, &f, &here, depth, err);
		if (rc != IM_OK)
			return rc;
	}
	if (!reader_at_end(&r))
		return fail(err, outer, "truncated or malformed field");
	return IM_OK;
}

enum im_rc
wire_check(const struct ProtobufCMessageDescriptor *desc, const uint8_t *buf, size_t len,
	   struct im_err *err)
{
	static const uint8_t nothing[1];

	if (buf == NULL)
		buf = nothing;
	return check_message(desc, (struct reader){ .at = buf, .end = buf + len }, NULL, 1, err);
}

static void *
arena_alloc_cb(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void
arena_free_cb(void *arena, void *ptr)
{
	(void)arena; /* goes with the arena */
	(void)ptr;
}

enum im_rc
wire_unpack(const struct ProtobufCMessageDescriptor *desc, const uint8_t *buf, size_t len,
	    struct arena *arena, struct ProtobufCMessage **ret_msg, struct im_err *err)
{
	static const uint8_t nothing[1];
	ProtobufCAllocator allocator = { arena_alloc_cb, arena_free_cb, arena };
	enum im_rc rc = wire_check(desc, buf, len, err);
	ProtobufCMessage *msg;

	if (rc != IM_OK)
		return rc;
	msg = protobuf_c_message_unpack(desc, &allocator, len, buf == NULL ? nothing : buf);
	if (msg == NULL) {
		/* The bytes passed the check, so it was memory; but let a difference of opinion not abort us. */
		return err_set(err, IM_ENOMEM,
			       "a message of %zu bytes needs more memory than allowed", len);
	}
	*ret_msg = msg;
	return IM_OK;
}

void
wire_pack(const struct ProtobufCMessage *msg, struct buf *out)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	uint8_t *at = buf_reserve(out, len);

	if (at == NULL)
		return;
	out->len += protobuf_c_message_pack(msg, at);
}
