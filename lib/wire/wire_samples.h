/*
 * wire/wire_samples.h - one sample of each message, and its decoder behind one signature, for the test and the fuzz target.
 */
#ifndef WIRE_SAMPLES_H
#define WIRE_SAMPLES_H

#include "wire/wire.h"

struct wire_sample {
	const char *name;
	void (*encode)(struct buf *out); /* the sample */
	/* Decode and encode again. */
	enum im_rc (*recode)(const uint8_t *buf, size_t len, struct arena *arena, struct buf *out,
			     struct im_err *err);
};

extern const struct wire_sample wire_samples[];
extern const size_t wire_samples_len;

#endif
