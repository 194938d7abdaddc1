/*
 * base/le.h - little-endian integers of 1 to 8 bytes in formats of ours. Any thread.
 */
#ifndef BASE_LE_H
#define BASE_LE_H

#include <stdint.h>

/** Write the low 'bytes' bytes of 'v', the lowest first. */
static inline void
put_le(uint8_t *out, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		out[i] = (uint8_t)(v >> (8 * i));
}

static inline uint64_t
get_le(const uint8_t *in, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)in[i] << (8 * i);
	return v;
}

#endif
