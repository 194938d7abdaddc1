/*
 * wire/float32.h - one number of a vector as it travels: IEEE 754 binary32, little-endian, whatever the host is.
 */
#ifndef WIRE_FLOAT32_H
#define WIRE_FLOAT32_H

#include <stdint.h>
#include <string.h>

#define FLOAT32_BYTES ((size_t)4)

static inline void
float32_put(uint8_t to[FLOAT32_BYTES], float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	for (size_t i = 0; i < FLOAT32_BYTES; i++)
		to[i] = (uint8_t)(bits >> (8 * i));
}

static inline float
float32_get(const uint8_t at[FLOAT32_BYTES])
{
	uint32_t bits =
	    (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

#endif
