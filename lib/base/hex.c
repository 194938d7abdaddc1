/*
 * base/hex.c - bytes as text; see hex.h.
 */
#include "base/hex.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void
hex_encode(const uint8_t *in, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[in[i] >> 4];
		*out++ = digits[in[i] & 15];
	}
	*out = '\0';
}

bool
hex_decode(const char *in, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int hi = hex_digit((uint8_t)in[0]);
		int lo =
		    hi < 0 ? -1
			   : hex_digit((uint8_t)in[1]); /* in[1] exists only if in[0] was no NUL */

		if (lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
		in += 2;
	}
	return *in == '\0';
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(const uint8_t *in, size_t len, char *out)
{
	for (; len >= 3; len -= 3, in += 3) {
		*out++ = base64_digits[in[0] >> 2];
		*out++ = base64_digits[(in[0] & 3) << 4 | in[1] >> 4];
		*out++ = base64_digits[(in[1] & 15) << 2 | in[2] >> 6];
		*out++ = base64_digits[in[2] & 63];
	}
	if (len > 0) {
		unsigned second = len == 2 ? in[1] : 0;

		*out++ = base64_digits[in[0] >> 2];
		*out++ = base64_digits[(in[0] & 3) << 4 | second >> 4];
		*out++ = '=';
		if (len == 2)
			out[-1] = base64_digits[(second & 15) << 2];
		*out++ = '=';
	}
	*out = '\0';
}

/* Value of a base64 digit, or -1. */
static int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

bool
base64_decode(const char *in, size_t in_len, uint8_t *out, size_t cap, size_t *ret_len)
{
	size_t pad = 0, len;

	if (in_len % 4 != 0)
		return false;
	if (in_len > 0 && in[in_len - 1] == '=')
		pad = in[in_len - 2] == '=' ? 2 : 1;
	len = in_len / 4 * 3 - pad;
	if (len > cap)
		return false;
	for (size_t i = 0, o = 0; i < in_len; i += 4) {
		size_t chars = i + 4 == in_len ? 4 - pad : 4;
		uint32_t bits = 0;

		for (size_t j = 0; j < 4; j++) {
			int v = j < chars ? base64_digit(in[i + j]) : 0;

			if (v < 0)
				return false;
			bits = bits << 6 | (uint32_t)v;
		}
		for (size_t j = 0; j < chars - 1; j++)
			out[o++] = (uint8_t)(bits >> (16 - 8 * j));
		if (chars < 4 && (bits & (chars == 3 ? 0xffu : 0xffffu)) != 0)
			return false; /* unused bits set: a second spelling of the same bytes */
	}
	*ret_len = len;
	return true;
}

void
random_bytes(void *out, size_t len)
{
	uint8_t *at = out;

	while (len > 0) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort(); /* a key or an id that is not random must not exist */
		at += n;
		len -= (size_t)n;
	}
}
