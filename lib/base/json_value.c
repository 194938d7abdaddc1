/*
 * base/json_value.c - what checked text says: types, strings without their escapes, numbers, members; see json.h. The text
 * was checked, so an escape is whole; bounds are kept all the same. Never builds a tree.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/json_scan.h"

enum json_type
json_type(struct json_span v)
{
	switch (v.len == 0 ? 'n' : v.at[0]) {
	case '"':
		return JSON_STRING;
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case 't':
	case 'f':
		return JSON_BOOL;
	case 'n':
		return JSON_NULL;
	default:
		return JSON_NUMBER;
	}
}

const char *
json_type_text(enum json_type type)
{
	static const char *const texts[] = { "null",     "a boolean", "a number",
					     "a string", "an array",  "an object" };

	return texts[type];
}

struct json_span
json_trim(const char *text, size_t len)
{
	struct json_span s = { text, len };

	while (s.len > 0 && (json_class[(uint8_t)s.at[0]] & CLASS_SPACE)) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && (json_class[(uint8_t)s.at[s.len - 1]] & CLASS_SPACE))
		s.len--;
	return s;
}

/* Append a code point to 'out' as UTF-8; returns its length. */
static size_t
utf8_put(uint32_t cp, char out[4])
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

/* The escape whose backslash is at 'p', as UTF-8, which is never longer than the escape; returns behind it. */
static const char *
unescape(const char *p, const char *end, char out[4], size_t *ret_len)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *found;
	int32_t unit, low;
	uint32_t cp;

	*ret_len = 1;
	if (end - p < 2 || p[1] != 'u') {
		out[0] = '\\';
		if (end - p >= 2)
			out[0] = p[1];
		found = out[0] == '\0' ? NULL : strchr(from, out[0]);
		if (found != NULL)
			out[0] = to[found - from];
		return end - p < 2 ? end : p + 2;
	}
	*ret_len = 0;
	unit = json_hex4((const uint8_t *)p + 2, (size_t)(end - p) - 2);
	if (unit < 0)
		return end;
	cp = (uint32_t)unit;
	p += 6;
	if (cp >= 0xd800 && cp <= 0xdbff && end - p >= 6) {
		low = json_hex4((const uint8_t *)p + 2, 4);
		cp = 0x10000 + ((cp - 0xd800) << 10) + (((uint32_t)low - 0xdc00) & 0x3ff);
		p += 6;
	}
	*ret_len = utf8_put(cp, out);
	return p;
}

const char *
json_unescape(struct json_span raw, struct arena *a)
{
	const char *p = raw.at, *end = raw.at + raw.len;
	char *text = arena_alloc(a, raw.len + 1);
	char *to = text;
	char c[4];
	size_t n;

	if (text == NULL)
		return NULL;
	while (p < end) {
		const char *slash = memchr(p, '\\', (size_t)(end - p));

		n = (size_t)((slash == NULL ? end : slash) - p);
		memcpy(to, p, n);
		to += n;
		if (slash == NULL)
			break;
		p = unescape(slash, end, c, &n);
		memcpy(to, c, n);
		to += n;
	}
	*to = '\0';
	return text;
}

const char *
json_string(struct json_span v, struct arena *a)
{
	return json_unescape((struct json_span){ v.at + 1, v.len - 2 }, a);
}

const char *
json_verbatim(struct json_span v, struct arena *a)
{
	return arena_strndup(a, v.at, v.len);
}

double
json_double(struct json_span v)
{
	return strtod(v.at, NULL); /* in checked text something that is no digit follows */
}

bool
json_i64(struct json_span v, int64_t *ret)
{
	char text[32];
	double d;
	long long n;

	if (memchr(v.at, '.', v.len) != NULL || memchr(v.at, 'e', v.len) != NULL ||
	    memchr(v.at, 'E', v.len) != NULL) {
		d = json_double(v);
		if (!(fabs(d) <= 9007199254740992.0) || d != trunc(d))
			return false;
		*ret = (int64_t)d;
		return true;
	}
	if (v.len >= sizeof(text))
		return false;
	memcpy(text, v.at, v.len);
	text[v.len] = '\0';
	errno = 0;
	n = strtoll(text, NULL, 10);
	if (errno != 0)
		return false;
	*ret = n;
	return true;
}

bool
json_u32(struct json_span v, uint32_t *ret)
{
	uint64_t n = 0;

	if (v.len == 0 || v.len > 10)
		return false;
	for (size_t i = 0; i < v.len; i++) {
		if (!(json_class[(uint8_t)v.at[i]] & CLASS_DIGIT))
			return false;
		n = n * 10 + (uint64_t)(v.at[i] - '0');
	}
	if (n > UINT32_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

bool
json_is_true(struct json_span v)
{
	return v.len > 0 && v.at[0] == 't';
}

bool
json_is(struct json_span v, const char *text)
{
	return v.len == strlen(text) && memcmp(v.at, text, v.len) == 0;
}

bool
json_name_is(struct json_span raw, const char *name)
{
	const char *p = raw.at, *end = raw.at + raw.len;
	size_t left = strlen(name);
	char c[4];
	size_t n;

	if (raw.len == left)
		return memcmp(p, name, left) == 0 && memchr(p, '\\', left) == NULL;
	/* Escapes only ever shorten. */
	if (raw.len < left || memchr(p, '\\', raw.len) == NULL)
		return false;
	while (p < end) {
		if (*p == '\\') {
			p = unescape(p, end, c, &n);
		} else {
			c[0] = *p++;
			n = 1;
		}
		if (n > left || memcmp(c, name, n) != 0)
			return false;
		name += n;
		left -= n;
	}
	return left == 0;
}

bool
json_members(struct json_span value, const char *const *names, size_t count,
	     struct json_span *ret_values)
{
	struct json_iter it;
	struct json_span n, v;

	for (size_t i = 0; i < count; i++)
		ret_values[i] = (struct json_span){ "", 0 };
	if (!json_iter_init(&it, value) || !it.object)
		return false;
	while (json_iter_next(&it, &n, &v)) {
		for (size_t i = 0; i < count; i++) {
			if (json_name_is(n, names[i])) {
				ret_values[i] = v;
				break;
			}
		}
	}
	return true;
}

bool
json_member(struct json_span value, const char *name, struct json_span *ret_value)
{
	struct json_span v;

	if (!json_members(value, &name, 1, &v) || v.len == 0)
		return false;
	*ret_value = v;
	return true;
}
