/*
 * http/response_reader.c - see response_reader.h.
 */
#include "http/response_reader.h"

static enum response_event
take_chunks(struct response_reader *r, const uint8_t *bytes, size_t len, struct buf *scratch,
	    const struct response_ops *ops, void *user, size_t *ret_used)
{
	enum chunk_rc rc;

	buf_clear(scratch);
	rc = http_chunk_decode(&r->chunk, bytes, len, SIZE_MAX, scratch, ret_used);
	if (scratch->len > 0 && !ops->body(user, scratch->data, scratch->len))
		return RESPONSE_STOPPED;
	switch (rc) {
	case CHUNK_MORE:
		return RESPONSE_MORE;
	case CHUNK_END:
		return RESPONSE_END;
	case CHUNK_NOMEM:
		return RESPONSE_NOMEM;
	case CHUNK_BAD:
	case CHUNK_TOOBIG:
		break;
	}
	return RESPONSE_BAD;
}

/* Bytes behind the head; none is also fine. */
static enum response_event
take_body(struct response_reader *r, const uint8_t *bytes, size_t len, struct buf *scratch,
	  const struct response_ops *ops, void *user, size_t *ret_used)
{
	const enum http_body kind = r->head.body;
	size_t n = len;

	if (kind == HTTP_BODY_CHUNKED)
		return take_chunks(r, bytes, len, scratch, ops, user, ret_used);
	if (kind == HTTP_BODY_NONE)
		n = 0;
	if (kind == HTTP_BODY_LENGTH) {
		n = len < r->left ? len : (size_t)r->left;
		r->left -= n;
	}
	*ret_used = n;
	if (n > 0 && !ops->body(user, bytes, n))
		return RESPONSE_STOPPED;
	return kind == HTTP_BODY_CLOSE || (kind == HTTP_BODY_LENGTH && r->left > 0) ? RESPONSE_MORE
										    : RESPONSE_END;
}

/* Heads at 'bytes', all but the last one preliminary. RESPONSE_END: the last one is whole, '*ret_at' is where the body begins.
 * RESPONSE_MORE: it is not, and begins at '*ret_at'. */
static enum response_event
read_heads(struct response_reader *r, const uint8_t *bytes, size_t len,
	   const struct response_ops *ops, void *user, size_t *ret_at)
{
	*ret_at = 0;
	while (*ret_at < len) {
		const uint8_t *at = bytes + *ret_at;
		enum http_scan scan = http_response_scan(at, len - *ret_at, &r->scanned);
		size_t head = r->scanned;

		if (scan == SCAN_MORE)
			return RESPONSE_MORE;
		if (scan == SCAN_REFUSED || !http_response_parse(at, head, &r->head) ||
		    r->head.status == 101)
			return RESPONSE_BAD;
		r->scanned = 0;
		*ret_at += head;
		if (r->head.status < 200)
			continue;
		r->in_body = true;
		r->left = r->head.length;
		ops->head(user, &r->head, at, head);
		return RESPONSE_END;
	}
	return RESPONSE_MORE;
}

enum response_event
http_response_feed(struct response_reader *r, const uint8_t *bytes, size_t len, struct buf *scratch,
		   const struct response_ops *ops, void *user, size_t *ret_used)
{
	struct buf whole = { 0 }; /* with what came before */
	enum response_event ev;
	size_t before = 0, at, used;

	if (r->in_body)
		return take_body(r, bytes, len, scratch, ops, user, ret_used);
	if (r->partial.len > 0) {
		before = r->partial.len;
		whole = r->partial;
		r->partial = (struct buf){ 0 };
		if (!buf_append(&whole, bytes, len)) {
			buf_done(&whole);
			return RESPONSE_NOMEM;
		}
		bytes = whole.data;
		len = whole.len;
	}
	ev = read_heads(r, bytes, len, ops, user, &at);
	if (ev == RESPONSE_END) {
		ev = take_body(r, bytes + at, len - at, scratch, ops, user, &used);
		*ret_used =
		    at + used - before; /* a head that was whole before would not have waited */
	} else if (ev == RESPONSE_MORE && at == 0 && whole.len > 0) {
		r->partial = whole;
		return RESPONSE_MORE;
	} else if (ev == RESPONSE_MORE && !buf_append(&r->partial, bytes + at, len - at)) {
		ev = RESPONSE_NOMEM;
	}
	buf_done(&whole);
	return ev;
}

bool
http_response_eof(const struct response_reader *r)
{
	return r->in_body && r->head.body == HTTP_BODY_CLOSE;
}

void
http_response_reset(struct response_reader *r)
{
	buf_done(&r->partial);
	*r = (struct response_reader){ 0 };
}
