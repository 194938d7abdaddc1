/*
 * inference/local_text.h - the text of one choice as it comes, token by token: whole characters only, and nothing that
 * might be the beginning of a stop string. Pure; knows no tokens.
 */
#ifndef INFERENCE_LOCAL_TEXT_H
#define INFERENCE_LOCAL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Zero-initialised, then stops are set. They are the owner's and stay valid. */
struct local_text {
	const char *const *stops;
	size_t stop_count;
	struct buf held; /* came, but was not given out yet */
	uint64_t given;  /* bytes that came and were given out */
	bool stopped;
};

/** Free. NULL is fine. */
void local_text_done(struct local_text *t);

/**
 * The bytes of one token. What can be given out now is appended to 'out': valid UTF-8 without U+0000, whatever comes in.
 * Returns false when memory ran out. After a stop string t->stopped is set: what is before it was given out, it and all that
 * follows never is.
 */
bool local_text_push(struct local_text *t, const char *bytes, size_t len, struct buf *out);

/** No more tokens: give out what was held back. Does nothing after a stop. False when memory ran out. */
bool local_text_finish(struct local_text *t, struct buf *out);

#endif
