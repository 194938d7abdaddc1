/*
 * wire/frame.c - frames of a link: the fixed header and the bodies of HELLO, REQUEST, END, CREDIT, GOAWAY; see wire.h.
 */
#include <stdio.h>
#include <string.h>

#include "infermesh/v1/link.pb-c.h"
#include "wire/pack.h"
#include "wire/reader.h"
#include "wire/text.h"
#include "wire/wire.h"

static void
put_u32(uint8_t *out, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t
get_u32(const uint8_t *in)
{
	return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 |
	       (uint32_t)in[3] << 24;
}

void
frame_header_put(uint8_t out[FRAME_HEADER_BYTES], const struct frame_header *h)
{
	put_u32(out, h->body_len);
	put_u32(out + 4, h->call_id);
	out[8] = h->kind;
	out[9] = h->flags;
	out[10] = 0;
	out[11] = 0;
}

void
frame_header_get(const uint8_t in[FRAME_HEADER_BYTES], struct frame_header *ret)
{
	ret->body_len = get_u32(in);
	ret->call_id = get_u32(in + 4);
	ret->kind = in[8];
	ret->flags = in[9];
}

/* Append header and packed message. */
static void
frame_encode(enum frame_kind kind, uint32_t call_id, const ProtobufCMessage *msg, struct buf *out)
{
	size_t len = pack_size(msg);
	struct frame_header h = { .body_len = (uint32_t)len,
				  .call_id = call_id,
				  .kind = (uint8_t)kind };
	uint8_t *at;

	if (len > UINT32_MAX) {
		out->failed = true;
		return;
	}
	at = buf_reserve(out, FRAME_HEADER_BYTES + len);
	if (at == NULL)
		return;
	frame_header_put(at, &h);
	out->len = (size_t)(pack_put(msg, at + FRAME_HEADER_BYTES) - out->data);
}

void
hello_encode(const struct hello *hello, struct buf *out)
{
	Infermesh__V1__Hello m = INFERMESH__V1__HELLO__INIT;

	m.version = hello->version;
	m.min_version = hello->min_version;
	m.role = text_out(hello->role);
	m.name = text_out(hello->name);
	m.instance = bytes_out(hello->instance.data, hello->instance.len);
	m.window_bytes = hello->window_bytes;
	m.max_frame_bytes = hello->max_frame_bytes;
	wire_pack(&m.base, out);
}

enum im_rc
hello_decode(const uint8_t *buf, size_t len, struct arena *arena, struct hello *ret,
	     struct im_err *err)
{
	ProtobufCMessage *msg;
	enum im_rc rc = wire_unpack(&infermesh__v1__hello__descriptor, buf, len, arena, &msg, err);
	const Infermesh__V1__Hello *m;

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__Hello *)msg;
	if (m->version == 0 || m->min_version > m->version)
		return err_set(err, IM_EPROTO, "HELLO: version %u, oldest %u: not a valid pair",
			       m->version, m->min_version);
	*ret = (struct hello){
		.version = m->version,
		.min_version = m->min_version,
		.role = m->role,
		.name = m->name,
		.instance = { m->instance.data, m->instance.len },
		.window_bytes = m->window_bytes,
		.max_frame_bytes = m->max_frame_bytes,
	};
	return IM_OK;
}

void
request_frame_encode(uint32_t call_id, const struct request_frame *req, struct buf *out)
{
	Infermesh__V1__Request m = INFERMESH__V1__REQUEST__INIT;

	m.method = text_out(req->method);
	m.budget_ms = req->budget_ms;
	m.traceparent = text_out(req->traceparent);
	m.priority = req->priority;
	m.body = bytes_out(req->body.data, req->body.len);
	frame_encode(FRAME_REQUEST, call_id, &m.base, out);
}

static uint32_t
clamp_u32(uint64_t v)
{
	return (uint32_t)v; /* as protobuf: the low bits */
}

enum im_rc
request_frame_decode(const uint8_t *buf, size_t len, struct arena *arena, struct request_frame *ret,
		     struct im_err *err)
{
	struct request_frame out = { .method = "", .traceparent = "" };
	enum im_rc rc = wire_check(&infermesh__v1__request__descriptor, buf, len, err);
	struct reader r = { .at = buf, .end = buf + len };
	struct reader_field f;
	bool nomem = false;

	if (rc != IM_OK)
		return rc;
	while (len > 0 && reader_next(&r, &f)) {
		switch (f.tag) {
		case 1:
			out.method = arena_strndup(arena, (const char *)f.data, f.len);
			nomem = nomem || out.method == NULL;
			break;
		case 2:
			out.budget_ms = clamp_u32(f.num);
			break;
		case 3:
			out.traceparent = arena_strndup(arena, (const char *)f.data, f.len);
			nomem = nomem || out.traceparent == NULL;
			break;
		case 4:
			out.priority = (int32_t)clamp_u32(f.num);
			break;
		case 5:
			out.body = (struct wire_bytes){ f.data, f.len };
			break;
		default:
			break;
		}
	}
	if (nomem)
		return err_set(err, IM_ENOMEM, "a request needs more memory than allowed");
	*ret = out;
	return IM_OK;
}

void
end_frame_encode(uint32_t call_id, const struct im_err *error, const uint8_t *body, size_t len,
		 struct buf *out)
{
	Infermesh__V1__End m = INFERMESH__V1__END__INIT;
	struct error_packed e;

	if (error != NULL) {
		error_out(error, &e);
		m.error = &e.m;
	}
	m.body = bytes_out(body, len);
	frame_encode(FRAME_END, call_id, &m.base, out);
}

enum im_rc
end_frame_decode(const uint8_t *buf, size_t len, struct end_frame *ret, struct im_err *err)
{
	enum im_rc rc = wire_check(&infermesh__v1__end__descriptor, buf, len, err);
	struct end_frame out = { 0 };
	struct reader r = { .at = buf, .end = buf + len };
	struct reader_field f;

	if (rc != IM_OK)
		return rc;
	while (len > 0 && reader_next(&r, &f)) {
		if (f.tag == 1) {
			out.failed = true;
			error_in_raw(f.data, f.len, &out.err);
		} else if (f.tag == 2) {
			out.body = (struct wire_bytes){ f.data, f.len };
		}
	}
	*ret = out;
	return IM_OK;
}

void
credit_encode(uint32_t bytes, struct buf *out)
{
	Infermesh__V1__Credit m = INFERMESH__V1__CREDIT__INIT;

	m.bytes = bytes;
	wire_pack(&m.base, out);
}

enum im_rc
credit_decode(const uint8_t *buf, size_t len, uint32_t *ret_bytes, struct im_err *err)
{
	enum im_rc rc = wire_check(&infermesh__v1__credit__descriptor, buf, len, err);
	struct reader r = { .at = buf, .end = buf + len };
	struct reader_field f;
	uint32_t bytes = 0;

	if (rc != IM_OK)
		return rc;
	while (len > 0 && reader_next(&r, &f))
		if (f.tag == 1)
			bytes = clamp_u32(f.num);
	*ret_bytes = bytes;
	return IM_OK;
}

void
goaway_encode(const char *reason, struct buf *out)
{
	Infermesh__V1__GoAway m = INFERMESH__V1__GO_AWAY__INIT;

	m.reason = text_out(reason);
	wire_pack(&m.base, out);
}

enum im_rc
goaway_decode(const uint8_t *buf, size_t len, char *ret_reason, size_t cap, struct im_err *err)
{
	enum im_rc rc = wire_check(&infermesh__v1__go_away__descriptor, buf, len, err);
	struct reader r = { .at = buf, .end = buf + len };
	struct reader_field f;

	if (rc != IM_OK)
		return rc;
	ret_reason[0] = '\0';
	while (len > 0 && reader_next(&r, &f))
		if (f.tag == 1)
			text_copy(ret_reason, cap, (const char *)f.data, f.len);
	return IM_OK;
}
