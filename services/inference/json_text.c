/*
 * inference/json_text.c - see json_text.h.
 */
#include "inference/json_text.h"

#include <string.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct json_span
json_trim(const char *text, size_t len)
{
	struct json_span s = { text, len };

	while (s.len > 0 && is_blank(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

static uint32_t
hex4(const char *s)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++) {
		char c = s[i];

		v = v << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return v;
}

static char *
put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		*out++ = (char)c;
	} else if (c < 0x800) {
		*out++ = (char)(0xC0 | c >> 6);
		*out++ = (char)(0x80 | (c & 0x3F));
	} else if (c < 0x10000) {
		*out++ = (char)(0xE0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3F));
		*out++ = (char)(0x80 | (c & 0x3F));
	} else {
		*out++ = (char)(0xF0 | c >> 18);
		*out++ = (char)(0x80 | (c >> 12 & 0x3F));
		*out++ = (char)(0x80 | (c >> 6 & 0x3F));
		*out++ = (char)(0x80 | (c & 0x3F));
	}
	return out;
}

static char
simple_escape(char c)
{
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default: /* the quote, the backslash, the slash */
		return c;
	}
}

const char *
json_unescape(struct json_span raw, struct arena *a)
{
	/* No escape is shorter than what it stands for. */
	char *text = arena_alloc(a, raw.len + 1);
	const char *at = raw.at, *end = raw.at + raw.len;
	char *out = text;

	if (text == NULL)
		return NULL;
	while (at < end) {
		const char *backslash = memchr(at, '\\', (size_t)(end - at));
		size_t plain = (size_t)((backslash != NULL ? backslash : end) - at);

		memcpy(out, at, plain);
		out += plain;
		at += plain;
		if (end - at < 2)
			break;
		if (at[1] != 'u') {
			*out++ = simple_escape(at[1]);
			at += 2;
		} else if (end - at >= 6) {
			uint32_t c = hex4(at + 2);

			at += 6;
			if (c >= 0xD800 && c < 0xDC00 && end - at >= 6) {
				c = 0x10000 + ((c - 0xD800) << 10) + (hex4(at + 2) - 0xDC00);
				at += 6;
			}
			out = put_utf8(out, c);
		} else {
			break;
		}
	}
	*out = '\0';
	return text;
}

enum im_rc
json_text(struct json_span object, const char *name, struct arena *a, const char **ret)
{
	struct json_span v;
	const char *text;

	if (!json_member(object, name, &v) || (v.len == 4 && memcmp(v.at, "null", 4) == 0)) {
		*ret = NULL;
		return IM_OK;
	}
	if (!json_is_string(v))
		return IM_EPROTO;
	text = json_unescape((struct json_span){ v.at + 1, v.len - 2 }, a);
	if (text == NULL)
		return IM_ENOMEM;
	*ret = text;
	return IM_OK;
}

bool
json_u32(struct json_span object, const char *name, uint32_t *ret)
{
	struct json_span v;
	uint64_t n = 0;

	if (!json_member(object, name, &v) || v.len == 0 || v.len > 10)
		return false;
	for (size_t i = 0; i < v.len; i++) {
		if (v.at[i] < '0' || v.at[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(v.at[i] - '0');
	}
	if (n > UINT32_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

const char *
json_verbatim(struct json_span v, struct arena *a)
{
	return arena_strndup(a, v.at, v.len);
}
