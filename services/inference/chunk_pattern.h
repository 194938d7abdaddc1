/*
 * inference/chunk_pattern.h - reads the pieces of a stream, which differ from one to the next in one string only: what stands
 * around that string is compared with a piece that was parsed, and only the string is checked and read. Same results as
 * chunk_parse(), at a tenth of its cost. Pure; a pattern says nothing of whose stream it came from, so one serves many.
 */
#ifndef INFERENCE_CHUNK_PATTERN_H
#define INFERENCE_CHUNK_PATTERN_H

#include "base/buf.h"
#include "inference/chunk.h"

#define CHUNK_PATTERN_MAX     2048 /* bytes of a piece that is remembered */
#define CHUNK_PATTERN_FP_SIZE 128

/* Zero-initialised is valid: nothing is remembered. chunk_pattern_done() after use. */
struct chunk_pattern {
	struct buf text;    /* a piece without the inside of its string; empty = none */
	size_t before;      /* of it, up to the opening quote */
	struct delta delta; /* what it says but for the string */
	struct delta given; /* what the last piece said: its reader may write to it */
	bool reasoning;     /* the string is its reasoning, else its content */
	char fingerprint[CHUNK_PATTERN_FP_SIZE];
};

void chunk_pattern_done(struct chunk_pattern *p);

/** As chunk_parse(). '*ret' also points into 'p', until the next call. */
IM_MUST_CHECK enum im_rc chunk_pattern_parse(struct chunk_pattern *p, const char *text, size_t len,
					     struct arena *arena, struct chunk *ret,
					     struct im_err *err);

#endif
