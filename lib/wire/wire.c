/*
 * wire/wire.c - untrusted bytes are checked and unpacked in one walk, which protobuf-c's descriptors guide; see wire.h.
 */
#include "wire/wire.h"

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "wire/pack.h"
#include "wire/reader.h"

#define FIELDS_MAX 64 /* of one message type, as a word has bits; more is our own mistake */

/* Where the walk is, for its messages: a chain from the inside out. */
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

/* One message on the way. 'msg' NULL: it is checked only, and there is no arena. */
struct level {
	const ProtobufCMessageDescriptor *desc;
	struct reader reader; /* behind the field in hand */
	ProtobufCMessage *msg;
	struct arena *arena;
	const struct place *place;
	unsigned depth;
	struct im_err *err;
};

static void *
member(ProtobufCMessage *msg, unsigned offset)
{
	return (char *)msg + offset;
}

/* How many varints end in the bytes of a packed array. */
static size_t
packed_count(const struct reader_field *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->len; i++)
		n += f->data[i] < 0x80;
	return n;
}

static bool
is_packed(const ProtobufCFieldDescriptor *fd, const struct reader_field *f)
{
	return f->type == READER_BYTES && shapes[fd->type].wire == READER_VARINT &&
	       fd->label == PROTOBUF_C_LABEL_REPEATED;
}

/* Elements of 'fd' in 'f' and behind it: no fewer than the walk will come to. */
static size_t
elements_left(const struct level *l, const ProtobufCFieldDescriptor *fd,
	      const struct reader_field *first)
{
	struct reader r = l->reader;
	struct reader_field f = *first;
	size_t n = 0;

	do {
		if (f.tag == fd->id)
			n += is_packed(fd, &f) ? packed_count(&f) : 1;
	} while (n < WIRE_ELEMENTS_MAX && reader_next(&r, &f));
	return n < WIRE_ELEMENTS_MAX ? n : WIRE_ELEMENTS_MAX;
}

/* Room for all elements of 'fd' that are left, behind those of an earlier occurrence of the whole message. */
static __attribute__((noinline)) bool
make_room(const struct level *l, const ProtobufCFieldDescriptor *fd, const struct reader_field *f)
{
	const size_t *n = member(l->msg, fd->quantifier_offset);
	void **list = member(l->msg, fd->offset);
	size_t size = shapes[fd->type].size;
	void *room = arena_calloc(l->arena, *n + elements_left(l, fd, f), size);

	if (room == NULL)
		return false;
	if (*n > 0)
		memcpy(room, *list, *n * size);
	*list = room;
	return true;
}

/* 'fd' is what is set of its oneof. */
static void
choose(ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
	uint32_t *set = member(msg, fd->quantifier_offset);

	if (*set != fd->id)
		memset(member(msg, fd->offset), 0, shapes[fd->type].size);
	*set = fd->id;
}

/* Where the next element goes; NULL without memory. 'seen': elements before it. */
static void *
element_room(const struct level *l, const ProtobufCFieldDescriptor *fd,
	     const struct reader_field *f, uint32_t seen)
{
	size_t *n = member(l->msg, fd->quantifier_offset);
	char **list = member(l->msg, fd->offset);

	if (seen == 0 && !make_room(l, fd, f))
		return NULL;
	return *list + (*n)++ * shapes[fd->type].size;
}

/* Where the value of 'f' goes; NULL without memory. */
static void *
value_room(const struct level *l, const ProtobufCFieldDescriptor *fd, const struct reader_field *f,
	   uint32_t seen)
{
	if (fd->label == PROTOBUF_C_LABEL_REPEATED)
		return element_room(l, fd, f, seen);
	if ((fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
		choose(l->msg, fd);
	return member(l->msg, fd->offset);
}

static uint64_t
little_endian(const uint8_t *at, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)at[i] << 8 * i;
	return v;
}

static bool
put_text(struct arena *arena, const struct reader_field *f, char **to)
{
	return (*to = arena_strndup(arena, (const char *)f->data, f->len)) != NULL;
}

static bool
put_bytes(struct arena *arena, const struct reader_field *f, ProtobufCBinaryData *to)
{
	*to = (ProtobufCBinaryData){ .len = f->len };
	if (f->len == 0)
		return true;
	to->data = arena_take(arena, f->len);
	return to->data != NULL && memcpy(to->data, f->data, f->len) != NULL;
}

/* Anything but a message. False without memory. */
static bool
put_value(struct arena *arena, ProtobufCType type, const struct reader_field *f, void *to)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
		return put_text(arena, f, to);
	case PROTOBUF_C_TYPE_BYTES:
		return put_bytes(arena, f, to);
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)to = f->num != 0;
		return true;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		*(uint64_t *)to = f->num;
		return true;
	case PROTOBUF_C_TYPE_SINT32:
		*(uint32_t *)to = (uint32_t)f->num >> 1 ^ -((uint32_t)f->num & 1);
		return true;
	case PROTOBUF_C_TYPE_SINT64:
		*(uint64_t *)to = f->num >> 1 ^ -(f->num & 1);
		return true;
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		memcpy(to, &(uint32_t){ (uint32_t)little_endian(f->data, 4) }, 4);
		return true;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		memcpy(to, &(uint64_t){ little_endian(f->data, 8) }, 8);
		return true;
	default:
		*(uint32_t *)to = (uint32_t)f->num; /* as protobuf: the low bits */
		return true;
	}
}

/* A packed array of varints, the only kind of packed array in our messages. */
static enum im_rc
take_packed(const struct level *l, const ProtobufCFieldDescriptor *fd, const struct reader_field *f,
	    const struct place *p, uint32_t *seen)
{
	struct reader r = { .at = f->data, .end = f->data + f->len };
	struct reader_field one = *f;
	void *to;

	while (!reader_at_end(&r)) {
		if (!reader_varint(&r, &one.num))
			return fail(l->err, p, "malformed packed array");
		if (*seen >= WIRE_ELEMENTS_MAX)
			return fail(l->err, p, "too many elements");
		if (l->msg != NULL) {
			to = value_room(l, fd, f, *seen);
			if (to == NULL || !put_value(l->arena, fd->type, &one, to))
				return IM_ENOMEM;
		}
		++*seen;
	}
	return IM_OK;
}

static enum im_rc walk(struct level *l);

static enum im_rc
take_message(const struct level *l, const ProtobufCFieldDescriptor *fd,
	     const struct reader_field *f, const struct place *p, uint32_t seen)
{
	const ProtobufCMessageDescriptor *desc = fd->descriptor;
	struct level inner = { .desc = desc,
			       .reader = { .at = f->data, .end = f->data + f->len },
			       .arena = l->arena,
			       .place = p,
			       .depth = l->depth + 1,
			       .err = l->err };
	ProtobufCMessage **to;

	if (l->depth >= WIRE_DEPTH_MAX)
		return fail(l->err, p, "nested too deeply");
	if (l->msg == NULL)
		return walk(&inner);
	to = value_room(l, fd, f, seen);
	if (to == NULL)
		return IM_ENOMEM;
	if (*to == NULL) { /* else it is there twice, and both are one */
		*to = arena_take(l->arena, desc->sizeof_message);
		if (*to == NULL)
			return IM_ENOMEM;
		desc->message_init(*to);
	}
	inner.msg = *to;
	return walk(&inner);
}

/* What is wrong with a field, or what takes more than a value. */
static enum im_rc
take_other(const struct level *l, const ProtobufCFieldDescriptor *fd, const struct reader_field *f,
	   uint32_t *seen)
{
	const struct place here = { .outer = l->place,
				    .name = fd->name,
				    .index = *seen,
				    .repeated = fd->label == PROTOBUF_C_LABEL_REPEATED };

	if (*seen >= WIRE_ELEMENTS_MAX)
		return fail(l->err, &here, "too many elements");
	if (is_packed(fd, f))
		return take_packed(l, fd, f, &here, seen);
	if (f->type != (enum reader_type)shapes[fd->type].wire)
		return fail(l->err, &here, "wrong wire type");
	if (fd->type != PROTOBUF_C_TYPE_MESSAGE)
		return fail(l->err, &here, "not UTF-8, or holds U+0000");
	return take_message(l, fd, f, &here, (*seen)++);
}

/* A value that can be taken as it is. */
static bool
is_sound(const ProtobufCFieldDescriptor *fd, const struct reader_field *f)
{
	if (f->type != (enum reader_type)shapes[fd->type].wire ||
	    fd->type == PROTOBUF_C_TYPE_MESSAGE)
		return false;
	return fd->type != PROTOBUF_C_TYPE_STRING || utf8_valid((const char *)f->data, f->len);
}

/* The place of 'tag' among the fields of 'desc'; n_fields: it is of a later version. */
static unsigned
field_of(const ProtobufCMessageDescriptor *desc, uint32_t tag)
{
	const ProtobufCIntRange *range = desc->field_ranges;

	for (unsigned i = 0; i < desc->n_field_ranges; i++) {
		uint32_t at = tag - (uint32_t)range[i].start_value;

		if (at < range[i + 1].orig_index - range[i].orig_index)
			return range[i].orig_index + at;
	}
	return desc->n_fields;
}

static enum im_rc
walk(struct level *l)
{
	uint32_t seen[FIELDS_MAX]; /* elements, of the fields that 'met' has a bit for */
	uint64_t met = 0;
	struct reader_field f;
	enum im_rc rc;

	if (l->desc->n_fields > FIELDS_MAX)
		return fail(l->err, l->place, "of a type with too many fields");
	while (reader_next(&l->reader, &f)) {
		unsigned i = field_of(l->desc, f.tag);
		const ProtobufCFieldDescriptor *fd;
		uint32_t *n;
		void *to;

		if (i == l->desc->n_fields)
			continue; /* of a later version */
		fd = &l->desc->fields[i];
		n = &seen[i];
		if ((met >> i & 1) == 0)
			*n = 0;
		met |= (uint64_t)1 << i;
		if (*n >= WIRE_ELEMENTS_MAX || !is_sound(fd, &f)) {
			rc = take_other(l, fd, &f, n);
			if (rc != IM_OK)
				return rc;
			continue;
		}
		if (l->msg != NULL) {
			to = value_room(l, fd, &f, *n);
			if (to == NULL || !put_value(l->arena, fd->type, &f, to))
				return IM_ENOMEM;
		}
		++*n;
	}
	if (!reader_at_end(&l->reader))
		return fail(l->err, l->place, "truncated or malformed field");
	return IM_OK;
}

static struct level
outermost(const ProtobufCMessageDescriptor *desc, const uint8_t *buf, size_t len,
	  struct im_err *err)
{
	static const uint8_t nothing[1];

	if (buf == NULL)
		buf = nothing;
	return (struct level){
		.desc = desc, .reader = { .at = buf, .end = buf + len }, .depth = 1, .err = err
	};
}

enum im_rc
wire_check(const struct ProtobufCMessageDescriptor *desc, const uint8_t *buf, size_t len,
	   struct im_err *err)
{
	struct level l = outermost(desc, buf, len, err);

	return walk(&l);
}

enum im_rc
wire_unpack(const struct ProtobufCMessageDescriptor *desc, const uint8_t *buf, size_t len,
	    struct arena *arena, struct ProtobufCMessage **ret_msg, struct im_err *err)
{
	struct level l = outermost(desc, buf, len, err);
	enum im_rc rc = IM_ENOMEM;

	l.arena = arena;
	l.msg = arena_take(arena, desc->sizeof_message);
	if (l.msg != NULL) {
		desc->message_init(l.msg);
		rc = walk(&l);
	}
	if (rc == IM_OK) {
		*ret_msg = l.msg;
		return IM_OK;
	}
	/* What is malformed is called so, also where memory ended before it was met. */
	if (rc == IM_ENOMEM)
		rc = wire_check(desc, buf, len, err);
	if (rc == IM_OK)
		rc = err_set(err, IM_ENOMEM,
			     "a message of %zu bytes needs more memory than allowed", len);
	return rc;
}
