/*
 * wire/unpack_agrees.c - see unpack_agrees.h.
 */
#include "wire/unpack_agrees.h"

#include <protobuf-c/protobuf-c.h>
#include <string.h>

#include "infermesh/v1/audit.pb-c.h"
#include "infermesh/v1/cache.pb-c.h"
#include "infermesh/v1/inference.pb-c.h"
#include "infermesh/v1/link.pb-c.h"
#include "infermesh/v1/router.pb-c.h"
#include "wire/reader.h"
#include "wire/wire.h"
#include "wire/writer.h"

#define MEMORY_MAX ((size_t)16 * 1024 * 1024)
#define KEY_MAX    5 /* bytes of a key */

static const ProtobufCMessageDescriptor *const types[] = {
	&infermesh__v1__hello__descriptor,
	&infermesh__v1__request__descriptor,
	&infermesh__v1__end__descriptor,
	&infermesh__v1__generate_request__descriptor,
	&infermesh__v1__generate_frame__descriptor,
	&infermesh__v1__generate_end__descriptor,
	&infermesh__v1__generate_reply__descriptor,
	&infermesh__v1__models_reply__descriptor,
	&infermesh__v1__announce_request__descriptor,
	&infermesh__v1__status_reply__descriptor,
	&infermesh__v1__list_routes_reply__descriptor,
	&infermesh__v1__set_route_request__descriptor,
	&infermesh__v1__ramp_route_request__descriptor,
	&infermesh__v1__append_request__descriptor,
	&infermesh__v1__append_reply__descriptor,
	&infermesh__v1__record__descriptor,
	&infermesh__v1__lookup_reply__descriptor,
	&infermesh__v1__cache_tiers_reply__descriptor,
	&infermesh__v1__entry_request__descriptor,
	&infermesh__v1__credit__descriptor,
	&infermesh__v1__go_away__descriptor,
	&infermesh__v1__lookup_request__descriptor,
	&infermesh__v1__store_request__descriptor,
	&infermesh__v1__store_reply__descriptor,
	&infermesh__v1__cache_stats_reply__descriptor,
	&infermesh__v1__cache_get_request__descriptor,
	&infermesh__v1__cache_get_reply__descriptor,
	&infermesh__v1__cache_purge_request__descriptor,
	&infermesh__v1__cache_purge_reply__descriptor,
	&infermesh__v1__cache_purged__descriptor,
	&infermesh__v1__entry_reply__descriptor,
	&infermesh__v1__audit_status_reply__descriptor,
	&infermesh__v1__erase_request__descriptor,
	&infermesh__v1__erase_reply__descriptor,
	&infermesh__v1__prune_request__descriptor,
	&infermesh__v1__prune_reply__descriptor,
	&infermesh__v1__witnesses_request__descriptor,
	&infermesh__v1__witnesses_reply__descriptor,
	&infermesh__v1__witness_status__descriptor,
	&infermesh__v1__rotate_key_request__descriptor,
	&infermesh__v1__rotate_key_reply__descriptor,
	&infermesh__v1__report_request__descriptor,
	&infermesh__v1__list_models_reply__descriptor,
	&infermesh__v1__set_worker_request__descriptor,
	&infermesh__v1__change_model_request__descriptor,
	&infermesh__v1__change_model_reply__descriptor,
};

const size_t unpack_types = sizeof(types) / sizeof(types[0]);

static void *
take(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void
leave(void *arena, void *p)
{
	(void)arena;
	(void)p;
}

bool
unpack_has_twice(const ProtobufCMessageDescriptor *desc, const uint8_t *buf, size_t len)
{
	struct reader r = { .at = buf, .end = buf + len };
	struct reader_field f;
	uint64_t seen = 0;

	while (reader_next(&r, &f)) {
		const ProtobufCFieldDescriptor *fd =
		    protobuf_c_message_descriptor_get_field(desc, f.tag);
		uint64_t bit;

		if (fd == NULL || fd->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		bit = (uint64_t)1 << (fd - desc->fields);
		if (fd->label != PROTOBUF_C_LABEL_REPEATED && (seen & bit) != 0)
			return true;
		seen |= bit;
		if (unpack_has_twice(fd->descriptor, f.data, f.len))
			return true;
	}
	return false;
}

static void
drop_unknown(ProtobufCMessage *msg)
{
	msg->n_unknown_fields = 0;
	for (unsigned i = 0; i < msg->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *fd = &msg->descriptor->fields[i];
		void *at = (char *)msg + fd->offset;
		ProtobufCMessage **list = at;
		size_t n = 1;

		if (fd->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (fd->label == PROTOBUF_C_LABEL_REPEATED) {
			n = *(size_t *)(void *)((char *)msg + fd->quantifier_offset);
			list = *(ProtobufCMessage ***)at;
		}
		for (size_t k = 0; k < n; k++)
			if (list[k] != NULL)
				drop_unknown(list[k]);
	}
}

struct ProtobufCMessage *
unpack_by_protobuf(const struct ProtobufCMessageDescriptor *type, const uint8_t *buf, size_t len,
		   struct arena *arena)
{
	ProtobufCAllocator allocator = { take, leave, arena };
	ProtobufCMessage *msg = protobuf_c_message_unpack(type, &allocator, len, buf);

	if (msg != NULL)
		drop_unknown(msg);
	return msg;
}

/* 'ours' and 'theirs' packed by protobuf-c, and 'ours' by us, give the same bytes. */
static bool
are_alike(const ProtobufCMessage *ours, const ProtobufCMessage *theirs, struct arena *arena)
{
	size_t len = protobuf_c_message_get_packed_size(theirs);
	uint8_t *want = arena_alloc(arena, len), *got = arena_alloc(arena, len);
	struct buf packed = { 0 };
	bool alike;

	if (want == NULL || got == NULL)
		return true;
	if (protobuf_c_message_get_packed_size(ours) != len)
		return false;
	(void)protobuf_c_message_pack(theirs, want);
	(void)protobuf_c_message_pack(ours, got);
	wire_pack(ours, &packed);
	alike = memcmp(want, got, len) == 0 && packed.len == len &&
		(len == 0 || memcmp(want, packed.data, len) == 0);
	buf_done(&packed);
	return alike;
}

static bool
has_long_varint(const uint8_t *at, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (++n == WRITER_VARINT_MAX && at[i] > 1)
			return true;
		if (at[i] < 0x80)
			n = 0;
	}
	return false;
}

/* The field at 'at', which our reader refuses, has a tag that is none, or a number of more than 64 bits. */
static bool
is_odd_field(const uint8_t *at, size_t len)
{
	uint64_t key = 0;
	size_t n = 0;

	do {
		if (n == len || n == KEY_MAX)
			return false;
		key |= (uint64_t)(at[n] & 0x7f) << 7 * n;
	} while (at[n++] >= 0x80);
	return key >> 3 == 0 || key >> 3 > READER_TAG_MAX ||
	       ((key & 7) == READER_VARINT &&
		has_long_varint(at + n, len - n < WRITER_VARINT_MAX ? len - n : WRITER_VARINT_MAX));
}

static bool
is_packed(ProtobufCType type)
{
	return type != PROTOBUF_C_TYPE_STRING && type != PROTOBUF_C_TYPE_BYTES &&
	       type != PROTOBUF_C_TYPE_MESSAGE;
}

/* Something that wire.h says is refused, whatever protobuf-c makes of it, is in a field, at any depth. */
static bool
has_odd_field(const ProtobufCMessageDescriptor *desc, const uint8_t *buf, size_t len)
{
	struct reader r = { .at = buf, .end = buf + len };
	struct reader_field f;

	for (;;) {
		const uint8_t *at = r.at;
		const ProtobufCFieldDescriptor *fd;

		if (!reader_next(&r, &f))
			return r.malformed && is_odd_field(at, (size_t)(r.end - at));
		fd = protobuf_c_message_descriptor_get_field(desc, f.tag);
		if (fd == NULL)
			continue;
		if (fd->type == PROTOBUF_C_TYPE_BOOL && f.type != READER_VARINT)
			return true;
		if (fd->label == PROTOBUF_C_LABEL_REPEATED && f.type == READER_BYTES &&
		    is_packed(fd->type) && has_long_varint(f.data, f.len))
			return true;
		if (fd->type == PROTOBUF_C_TYPE_MESSAGE && f.type == READER_BYTES &&
		    has_odd_field(fd->descriptor, f.data, f.len))
			return true;
	}
}

/* The same in what is well-formed. */
static bool
is_stricter(const char *why)
{
	static const char *const reasons[] = { "not UTF-8, or holds U+0000", "nested too deeply",
					       "too many elements" };

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (strstr(why, reasons[i]) != NULL)
			return true;
	return false;
}

bool
unpack_agrees(size_t type, const uint8_t *buf, size_t len, bool *ret_taken)
{
	struct arena ours, theirs = { 0 };
	ProtobufCMessage *msg, *other;
	struct im_err err, check_err;
	bool agrees;
	enum im_rc rc;

	arena_init(&ours, MEMORY_MAX);
	rc = wire_unpack(types[type], buf, len, &ours, &msg, &err);
	agrees = rc == IM_ENOMEM || rc == wire_check(types[type], buf, len, &check_err);
	other = unpack_by_protobuf(types[type], buf, len, &theirs);
	if (rc == IM_EPROTO)
		agrees = agrees && strcmp(err.text, check_err.text) == 0 &&
			 strcmp(err.param, check_err.param) == 0 &&
			 (other == NULL || is_stricter(err.text) ||
			  has_odd_field(types[type], buf, len));
	if (rc == IM_OK && !unpack_has_twice(types[type], buf, len))
		agrees = agrees && other != NULL && are_alike(msg, other, &theirs);
	if (ret_taken != NULL)
		*ret_taken = rc == IM_OK;
	arena_done(&ours);
	arena_done(&theirs);
	return agrees;
}
