/*
 * base/utf8.c - UTF-8: is it valid, where does it stop being whole; see json.h and json_scan.h.
 */
#include "base/json.h"

#include "base/json_scan.h"

enum utf8_kind
utf8_step(const uint8_t *p, size_t n, size_t *ret_len)
{
	uint8_t lo = 0x80, hi = 0xbf; /* bounds of the second byte */
	size_t len;

	*ret_len = 1;
	if (p[0] < 0x80)
		return UTF8_WHOLE;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return UTF8_BAD;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		lo = 0xa0; /* overlong */
	else if (p[0] == 0xed)
		hi = 0x9f; /* surrogates */
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f; /* beyond U+10FFFF */
	for (size_t i = 1; i < len; i++) {
		if (i == n)
			return UTF8_CUT;
		if (p[i] < lo || p[i] > hi)
			return UTF8_BAD;
		lo = 0x80;
		hi = 0xbf;
		*ret_len = i + 1;
	}
	return UTF8_WHOLE;
}

/* 1 to 8 bytes in one word, each of them once or more. */
static uint64_t
up_to_eight(const uint8_t *p, size_t n)
{
	uint32_t first, last;
	uint64_t v;

	if (n == 8) {
		memcpy(&v, p, 8);
		return v;
	}
	if (n < 4)
		return JSON_ONES << 24 | p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16;
	memcpy(&first, p, 4);
	memcpy(&last, p + n - 4, 4);
	return first | (uint64_t)last << 32;
}

/* True if the 'n' bytes at 'p', 1 to 8, are ASCII and none is 0; a byte above 0x7f or a borrow from 0 sets a top bit. */
static bool
is_ascii(const uint8_t *p, size_t n)
{
	uint64_t v = up_to_eight(p, n);

	return ((v | (v - JSON_ONES)) & JSON_HIGHS) == 0;
}

bool
utf8_valid(const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t n;

	for (; len > 0; p += n, len -= n) {
		n = len < 8 ? len : 8;
		if (is_ascii(p, n))
			continue;
		n = 1;
		if (*p >= 1 && *p < 0x80)
			continue;
		if (*p == 0 || utf8_step(p, len, &n) != UTF8_WHOLE)
			return false;
	}
	return true;
}

void
utf8_mask(char *s)
{
	size_t len = strlen(s), n;

	for (; len > 0; s += n, len -= n)
		if (utf8_step((const uint8_t *)s, len, &n) != UTF8_WHOLE)
			memset(s, '?', n);
}

size_t
utf8_whole_prefix(const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t n;

	for (size_t back = 1; back <= 3 && back <= len; back++) {
		if ((p[len - back] & 0xc0) == 0x80)
			continue;
		if (utf8_step(p + len - back, back, &n) == UTF8_CUT)
			return len - back;
		break;
	}
	return len;
}

bool
utf8_mend(struct buf *b, const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t good = 0; /* bytes at 'p' that are not appended yet */
	size_t n;

	while (good < len) {
		n = 1;
		if (p[good] != 0 && utf8_step(p + good, len - good, &n) == UTF8_WHOLE) {
			good += n;
			continue;
		}
		(void)buf_append(b, p, good);
		(void)buf_append_str(b, "\xef\xbf\xbd");
		p += good + n;
		len -= good + n;
		good = 0;
	}
	return buf_append(b, p, good);
}
