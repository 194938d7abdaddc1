/*
 * bench/load_read.c - the response reader and the latency histogram of the load generator; see load.h.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "load.h"

static bool
head_line(struct response *r)
{
	char *l = r->line;

	if (r->status == 0) {
		if (strncmp(l, "HTTP/1.1 ", 9) != 0)
			return false;
		r->status = (int)strtol(l + 9, NULL, 10);
	} else if (strncasecmp(l, "content-length:", 15) == 0) {
		r->body_left = strtoull(l + 15, NULL, 10);
	} else if (strncasecmp(l, "transfer-encoding: chunked", 26) == 0) {
		r->chunked = true;
	} else if (strncasecmp(l, "content-type: text/event-stream", 31) == 0) {
		r->sse = true;
	} else if (strncasecmp(l, "x-request-id: ", 14) == 0 && strlen(l + 14) < sizeof(r->id)) {
		memcpy(r->id, l + 14, strlen(l + 14) + 1);
	} else if (strncasecmp(l, "connection: close", 17) == 0) {
		r->close = true;
	} else if (l[0] == '\0' && r->status == 100) {
		r->status = 0;
	} else if (l[0] == '\0') {
		r->head_done = true;
		r->done = !r->chunked && r->body_left == 0;
	}
	return true;
}

static bool
has(const char *at, size_t len, const char *what)
{
	return memmem(at, len, what, strlen(what)) != NULL;
}

/* Look for the marks of an SSE stream, also across the border to what came before. */
static void
body_bytes(struct response *r, const char *at, size_t len)
{
	char border[32];
	size_t head = len < 16 ? len : 16;

	r->body_bytes += len;
	if (!r->sse)
		return;
	for (size_t i = 0; i < len; i++)
		r->events += at[i] == '\n' && (i > 0             ? at[i - 1]
					       : r->tail_len > 0 ? r->tail[r->tail_len - 1]
								 : 0) == '\n';
	memcpy(border, r->tail, r->tail_len);
	memcpy(border + r->tail_len, at, head);
	r->saw_done = r->saw_done || has(at, len, "data: [DONE]") ||
		      has(border, r->tail_len + head, "data: [DONE]");
	r->saw_token = r->saw_token || has(at, len, "data: {\"id\"") ||
		       has(border, r->tail_len + head, "data: {\"id\"");
	r->saw_error = r->saw_error || has(at, len, "data: {\"error\"") ||
		       has(border, r->tail_len + head, "data: {\"error\"");
	if (len >= sizeof(r->tail)) {
		memcpy(r->tail, at + len - sizeof(r->tail), sizeof(r->tail));
		r->tail_len = sizeof(r->tail);
	} else {
		size_t keep =
		    sizeof(r->tail) - len < r->tail_len ? sizeof(r->tail) - len : r->tail_len;

		memmove(r->tail, r->tail + r->tail_len - keep, keep);
		memcpy(r->tail + keep, at, len);
		r->tail_len = keep + len;
	}
}

/* A line is whole in r->line. */
static bool
line_done(struct response *r)
{
	bool ok = true;

	if (!r->head_done) {
		ok = head_line(r);
	} else if (r->chunk == CHUNK_SIZE) {
		r->body_left = strtoull(r->line, NULL, 16);
		r->chunk = r->body_left == 0 ? CHUNK_TRAILER : CHUNK_DATA;
	} else if (r->chunk == CHUNK_CRLF) {
		ok = r->line[0] == '\0';
		r->chunk = CHUNK_SIZE;
	} else {
		r->done = r->line[0] == '\0';
	}
	r->line_len = 0;
	return ok;
}

bool
response_feed(struct response *r, const char *at, size_t len)
{
	while (len > 0 && !r->done) {
		size_t n = 1;

		if (r->head_done && (!r->chunked || r->chunk == CHUNK_DATA)) {
			n = len < r->body_left ? len : (size_t)r->body_left;
			body_bytes(r, at, n);
			r->body_left -= n;
			if (r->body_left == 0) {
				r->chunk = CHUNK_CRLF;
				r->done = !r->chunked;
			}
		} else if (*at == '\n') {
			if (r->line_len > 0 && r->line[r->line_len - 1] == '\r')
				r->line_len--;
			r->line[r->line_len] = '\0';
			if (!line_done(r))
				return false;
		} else if (r->line_len < sizeof(r->line) - 1) {
			r->line[r->line_len++] = *at;
		}
		at += n;
		len -= n;
	}
	return true;
}

/* 64 buckets for each power of two. */
static size_t
bucket_of(uint64_t us)
{
	unsigned exp;
	size_t b;

	if (us < 64)
		return (size_t)us;
	exp = 63u - (unsigned)__builtin_clzll(us) - 6;
	b = (size_t)(exp + 1) * 64 + (size_t)(us >> exp) - 64;
	return b < LOAD_BUCKETS ? b : LOAD_BUCKETS - 1;
}

static uint64_t
bucket_low(size_t b)
{
	return b < 64 ? b : (uint64_t)(64 + b % 64) << (b / 64 - 1);
}

void
histo_add(struct histo *h, uint64_t us)
{
	h->count[bucket_of(us)]++;
	h->total++;
	if (us > h->max)
		h->max = us;
}

uint64_t
histo_at(const struct histo *h, double share)
{
	uint64_t want = (uint64_t)(share * (double)h->total), seen = 0;

	for (size_t b = 0; b < LOAD_BUCKETS; b++) {
		seen += h->count[b];
		if (seen > want)
			return bucket_low(b);
	}
	return h->max;
}
