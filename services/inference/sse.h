/*
 * inference/sse.h - an incremental reader of server-sent events, as the worker meets them at upstreams. Pure: bytes in,
 * events out. Source: WHATWG HTML, "9.2.6 Interpreting an event stream". Only 'data' matters here; comments, event, id,
 * retry and unknown fields are swallowed. Knows nothing of JSON.
 *
 *   bytes ──▶ line ──(blank line)──▶ event: the data lines joined with LF
 */
#ifndef INFERENCE_SSE_H
#define INFERENCE_SSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* sse_init() before use, sse_done() after. Not thread-safe. */
struct sse {
	struct buf line;  /* what came of the present line */
	struct buf data;  /* data lines of the present event */
	size_t max_bytes; /* of one event, and of one line */
	bool has_data;    /* a data line was seen in this event */
	bool after_cr;    /* an LF now belongs to the CR before it */
	bool started;     /* the first line was seen: no byte order mark any more */
	bool finished;    /* [DONE] was seen: everything after it is ignored */
};

/** One event's data, at least one byte, without a NUL behind it; valid inside the call only. Anything but IM_OK stops the reader. */
typedef enum im_rc (*sse_fn)(void *user, const char *data, size_t len, struct im_err *err);

void sse_init(struct sse *s, size_t max_bytes);
void sse_done(struct sse *s);

/**
 * Take the next 'len' bytes and call 'fn' for each event that is complete; events without data and the final "[DONE]" are
 * not given. Returns IM_OK, what 'fn' returned, IM_EUPSTREAM (an event over the bound) or IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc sse_feed(struct sse *s, const char *bytes, size_t len, sse_fn fn,
				  void *user, struct im_err *err);

/** The stream has ended: IM_OK if "[DONE]" was seen, else IM_EUPSTREAM. An event that is not complete is dropped. */
IM_MUST_CHECK enum im_rc sse_end(const struct sse *s, struct im_err *err);

#endif
