/*
 * http/request.c - the reader of requests; see request.h.
 *
 *  IDLE ──first byte──▶ IN_HEAD ──head, no body──────────────────▶ COMPLETE ──http_reader_take()──▶ IDLE
 *                          │ └─────head, body follows─▶ IN_BODY ──last byte──▶┘
 *                          └───────refused────────────────┴──▶ BROKEN
 */
#include "http/request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BODY_AT_ONCE                                                                               \
	65536 /* larger bodies get their memory as they come: a promise costs a stranger nothing */

void
http_reader_init(struct reader *r, size_t header_bytes, size_t body_bytes)
{
	memset(r, 0, sizeof(*r));
	r->header_bytes = header_bytes;
	r->body_bytes = body_bytes;
}

void
http_request_free(struct request *req)
{
	if (req == NULL)
		return;
	buf_done(&req->body);
	arena_done(&req->joined);
	free(req);
}

void
http_reader_done(struct reader *r)
{
	buf_done(&r->partial);
	http_request_free(r->request);
	r->request = NULL;
}

struct request *
http_reader_take(struct reader *r)
{
	struct request *req = r->request;

	r->request = NULL;
	if (r->state == READER_COMPLETE)
		r->state = READER_IDLE;
	return req;
}

static enum reader_event
refuse(struct reader *r, int status, const char *text)
{
	r->refusal = (struct http_refusal){ .status = status, .text = text };
	r->state = READER_BROKEN;
	return READER_REFUSED;
}

/* One block: the struct, its head with as many fields as there are, and the text. */
static struct request *
request_new(const struct http_head *head, const uint8_t *text, size_t len)
{
	size_t head_size =
	    offsetof(struct http_head, fields) + head->field_count * sizeof(struct http_field);
	struct request *req = malloc(sizeof(*req) + head_size + len + 1);

	if (req == NULL)
		return NULL;
	memset(req, 0, sizeof(*req));
	req->head = (struct http_head *)(void *)(req + 1);
	req->text = (char *)(req + 1) + head_size;
	memcpy(req->head, head, head_size);
	memcpy(req->text, text, len);
	req->text[len] = '\0';
	http_head_own(req->head, req->text);
	return req;
}

static enum reader_event
take_head(struct reader *r, const uint8_t *text, size_t len)
{
	struct http_head head;
	struct request *req;

	if (!http_head_parse(text, len, &head, &r->refusal)) {
		r->state = READER_BROKEN;
		return READER_REFUSED;
	}
	r->request = req = request_new(&head, text, len);
	if (req == NULL)
		return refuse(r, 503, "the server is out of memory");
	if (head.length > r->body_bytes)
		return refuse(r, 413, "the request body is too large");
	if (!head.chunked && head.length == 0) {
		r->state = READER_COMPLETE;
		return READER_REQUEST;
	}
	if (head.length > 0 && head.length <= BODY_AT_ONCE &&
	    buf_reserve(&req->body, (size_t)head.length) == NULL)
		return refuse(r, 503, "the server is out of memory");
	r->state = READER_IN_BODY;
	return READER_HEAD;
}

static enum reader_event
feed_head(struct reader *r, const uint8_t *data, size_t len, size_t *ret_used)
{
	size_t before = r->partial.len;
	enum reader_event event;
	enum http_scan scan;

	*ret_used = len;
	if (before == 0) {
		/* The usual case: the whole head in one read, and no copy. */
		scan = http_head_scan(data, len, r->header_bytes, &r->scanned, &r->refusal);
		if (scan == SCAN_END) {
			*ret_used = r->scanned;
			r->scanned = 0;
			return take_head(r, data, *ret_used);
		}
		if (scan == SCAN_MORE && !buf_append(&r->partial, data, len))
			return refuse(r, 503, "the server is out of memory");
	} else {
		if (!buf_append(&r->partial, data, len))
			return refuse(r, 503, "the server is out of memory");
		scan = http_head_scan(r->partial.data, r->partial.len, r->header_bytes, &r->scanned,
				      &r->refusal);
	}
	if (scan == SCAN_REFUSED) {
		r->state = READER_BROKEN;
		return READER_REFUSED;
	}
	if (scan == SCAN_MORE)
		return READER_MORE;
	*ret_used = r->scanned - before;
	event = take_head(r, r->partial.data, r->scanned);
	buf_done(&r->partial);
	r->scanned = 0;
	return event;
}

static enum reader_event
feed_body(struct reader *r, const uint8_t *data, size_t len, size_t *ret_used)
{
	struct request *req = r->request;
	struct buf *body = &req->body;
	size_t n;

	if (req->head->chunked) {
		switch (http_chunk_decode(&req->chunks, data, len, r->body_bytes, body, ret_used)) {
		case CHUNK_MORE:
			return READER_MORE;
		case CHUNK_END:
			break;
		case CHUNK_BAD:
			return refuse(r, 400, "the chunked request body is malformed");
		case CHUNK_TOOBIG:
			return refuse(r, 413, "the request body is too large");
		case CHUNK_NOMEM:
			return refuse(r, 503, "the server is out of memory");
		}
	} else {
		n = req->head->length - body->len < len ? (size_t)(req->head->length - body->len)
							: len;
		*ret_used = n;
		if (!buf_append(body, data, n))
			return refuse(r, 503, "the server is out of memory");
		if (body->len < req->head->length)
			return READER_MORE;
	}
	r->state = READER_COMPLETE;
	return READER_REQUEST;
}

enum reader_event
http_reader_feed(struct reader *r, const uint8_t *data, size_t len, size_t *ret_used)
{
	*ret_used = 0;
	switch (r->state) {
	case READER_IDLE:
		if (len == 0)
			return READER_MORE;
		r->state = READER_IN_HEAD;
		return feed_head(r, data, len, ret_used);
	case READER_IN_HEAD:
		return feed_head(r, data, len, ret_used);
	case READER_IN_BODY:
		return feed_body(r, data, len, ret_used);
	case READER_COMPLETE:
		return READER_REQUEST;
	case READER_BROKEN:
		break;
	}
	return READER_REFUSED;
}

/* All values of the fields called 'name', with ", " in between. */
static const char *
join(struct request *req, const char *name, size_t size)
{
	char *joined = arena_alloc(&req->joined, size);
	char *at = joined;

	if (joined == NULL)
		return NULL;
	for (uint32_t i = 0; i < req->head->field_count; i++) {
		const struct http_field *f = &req->head->fields[i];

		if (strcasecmp(req->text + f->name.at, name) != 0)
			continue;
		if (at != joined) {
			memcpy(at, ", ", 2);
			at += 2;
		}
		memcpy(at, req->text + f->value.at, f->value.len);
		at += f->value.len;
	}
	*at = '\0';
	return joined;
}

const char *
http_request_header(struct request *req, const char *name)
{
	const char *first = NULL;
	size_t size = 0, name_len = strlen(name);
	unsigned found = 0;

	for (uint32_t i = 0; i < req->head->field_count; i++) {
		const struct http_field *f = &req->head->fields[i];

		/* Nearly all that are asked for are not there, and few are as long as another. */
		if (f->name.len != name_len || strcasecmp(req->text + f->name.at, name) != 0)
			continue;
		if (found++ == 0)
			first = req->text + f->value.at;
		size += f->value.len + 2;
	}
	return found > 1 ? join(req, name, size + 1) : first;
}
