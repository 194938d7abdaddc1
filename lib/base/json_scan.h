/*
 * base/json_scan.h - what the files behind json.h share: classes of bytes and steps over UTF-8. For nobody else.
 */
#ifndef BASE_JSON_SCAN_H
#define BASE_JSON_SCAN_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CLASS_PLAIN 1 /* stands for itself inside a string */
#define CLASS_SPACE 2
#define CLASS_DIGIT 4

extern const uint8_t json_class[256];

enum utf8_kind {
	UTF8_WHOLE, /* a character */
	UTF8_CUT,   /* the bytes end inside what could become one */
	UTF8_BAD,
};

/** Look at the bytes from 'p' on (n >= 1). '*ret_len' is the length of the character, or of the longest piece that could
 *  have begun one (at least 1). Source: RFC 3629, table 3-7 of the Unicode standard. */
enum utf8_kind utf8_step(const uint8_t *p, size_t n, size_t *ret_len);

/** Four hexadecimal digits at 'p', of which 'n' bytes exist; -1 if they are none. */
int32_t json_hex4(const uint8_t *p, size_t n);

#define JSON_ONES  0x0101010101010101ULL
#define JSON_HIGHS 0x8080808080808080ULL

/** How many of the eight bytes at 'p' come before a quote, a backslash, a control character or one beyond ASCII: what is
 *  below a bound, or equal to a byte, borrows from the top bit of its lane, and then maybe from lanes above. */
static inline size_t
json_plain_run(const void *p)
{
	uint64_t v, quote, slash, control, marks;

	memcpy(&v, p, 8);
	v = le64toh(v); /* the first byte in the lowest lane */
	quote = v ^ (JSON_ONES * '"');
	slash = v ^ (JSON_ONES * '\\');
	control = v - JSON_ONES * 0x20;
	marks = ((quote - JSON_ONES) | (slash - JSON_ONES) | control | v) & JSON_HIGHS;
	return marks == 0 ? 8 : (size_t)__builtin_ctzll(marks) / 8;
}

#endif
