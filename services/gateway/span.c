/*
 * gateway/span.c - values of JSON text; see span.h. The text was checked, so every escape is whole.
 */
#include "gateway/span.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum span_type
span_type(struct json_span v)
{
	switch (v.len == 0 ? 'n' : v.at[0]) {
	case '"':
		return SPAN_STRING;
	case '{':
		return SPAN_OBJECT;
	case '[':
		return SPAN_ARRAY;
	case 't':
	case 'f':
		return SPAN_BOOL;
	case 'n':
		return SPAN_NULL;
	default:
		return SPAN_NUMBER;
	}
}

const char *
span_type_text(enum span_type type)
{
	static const char *const texts[] = { "null",     "a boolean", "a number",
					     "a string", "an array",  "an object" };

	return texts[type];
}

static uint32_t
hex4(const char *p)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++) {
		char c = p[i];
		uint32_t digit = c <= '9' ? (uint32_t)(c - '0') : (uint32_t)((c | 0x20) - 'a' + 10);

		v = v << 4 | (digit & 0xf);
	}
	return v;
}

static char *
put_utf8(char *to, uint32_t cp)
{
	if (cp < 0x80) {
		*to++ = (char)cp;
		return to;
	}
	if (cp < 0x800) {
		*to++ = (char)(0xc0 | cp >> 6);
	} else {
		if (cp < 0x10000) {
			*to++ = (char)(0xe0 | cp >> 12);
		} else {
			*to++ = (char)(0xf0 | cp >> 18);
			*to++ = (char)(0x80 | (cp >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (cp >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (cp & 0x3f));
	return to;
}

/* The escape at '*p' (behind the backslash) to 'to'; moves '*p' behind it. Never writes more than it read. */
static char *
put_escape(char *to, const char **p, const char *end)
{
	static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
	char c = *(*p)++;
	const char *found;
	uint32_t cp;

	if (c != 'u' || end - *p < 4) {
		found = c == '\0' ? NULL : strchr(names, c);
		if (found != NULL)
			c = values[found - names];
		*to++ = c;
		return to;
	}
	cp = hex4(*p);
	*p += 4;
	if (cp >= 0xd800 && cp <= 0xdbff && end - *p >= 6) {
		cp = 0x10000 + ((cp - 0xd800) << 10) + (hex4(*p + 2) - 0xdc00);
		*p += 6;
	}
	return put_utf8(to, cp);
}

const char *
span_name(struct json_span raw, struct arena *a)
{
	const char *p = raw.at, *end = raw.at + raw.len;
	char *text = arena_alloc(a, raw.len + 1); /* no escape is shorter than what it stands for */
	char *to = text;

	if (text == NULL)
		return NULL;
	while (p < end) {
		const char *slash = memchr(p, '\\', (size_t)(end - p));
		size_t plain = (size_t)((slash == NULL ? end : slash) - p);

		memcpy(to, p, plain);
		to += plain;
		p += plain;
		if (slash != NULL && ++p < end)
			to = put_escape(to, &p, end);
	}
	*to = '\0';
	return text;
}

const char *
span_string(struct json_span v, struct arena *a)
{
	return span_name((struct json_span){ v.at + 1, v.len - 2 }, a);
}

const char *
span_verbatim(struct json_span v, struct arena *a)
{
	return arena_strndup(a, v.at, v.len);
}

double
span_double(struct json_span v)
{
	return strtod(v.at, NULL); /* in checked text something that is no digit follows */
}

bool
span_i64(struct json_span v, int64_t *ret)
{
	char text[32];
	double d;
	long long n;

	if (memchr(v.at, '.', v.len) != NULL || memchr(v.at, 'e', v.len) != NULL ||
	    memchr(v.at, 'E', v.len) != NULL) {
		d = span_double(v);
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
span_bool(struct json_span v)
{
	return v.len > 0 && v.at[0] == 't';
}
