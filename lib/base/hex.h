/*
 * base/hex.h - bytes as text: lower-case hexadecimal, standard base64 (RFC 4648), and random bytes.
 */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Value of a hexadecimal digit of either case, or -1. */
static inline int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/** Write 2 * len digits and a NUL to 'out'. */
void hex_encode(const uint8_t *in, size_t len, char *out);

/** Exactly 2 * len lower- or upper-case digits at 'in' (NUL-terminated). False otherwise; 'out' may be half written. */
bool hex_decode(const char *in, uint8_t *out, size_t len);

/** Characters of base64 of 'len' bytes with padding, without the NUL. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)

/** Write BASE64_LEN(len) characters and a NUL to 'out'. */
void base64_encode(const uint8_t *in, size_t len, char *out);

/** Strict: padding required, no blanks, unused bits zero. 'cap' bytes fit into 'out'. False if it is not base64 or does
 *  not fit. */
bool base64_decode(const char *in, size_t in_len, uint8_t *out, size_t cap, size_t *ret_len);

/** Fill with getrandom(2). Aborts if the kernel has none, which cannot happen after boot. */
void random_bytes(void *out, size_t len);

#endif
