/*
 * base/json.c - the strict checker; see json.h. Walks the text once, with a stack of one bit a level.
 */
#include "base/json.h"

#include <string.h>

#include "base/hex.h"
#include "base/json_scan.h"

#define JSON_DEPTH_MAX 1024 /* levels that the stack of kinds has room for */

struct scan {
	const uint8_t *at, *end;
	unsigned depth;
	uint64_t in_object[JSON_DEPTH_MAX / 64]; /* one bit a level */
};

const uint8_t json_class[256] = {
	[0x20] = CLASS_PLAIN | CLASS_SPACE,
	['\t'] = CLASS_SPACE,
	['\n'] = CLASS_SPACE,
	['\r'] = CLASS_SPACE,
	[0x21] = CLASS_PLAIN,
	[0x23 ... 0x2f] = CLASS_PLAIN,
	['0' ... '9'] = CLASS_PLAIN | CLASS_DIGIT,
	[0x3a ... 0x5b] = CLASS_PLAIN,
	[0x5d ... 0x7f] = CLASS_PLAIN,
};

int32_t
json_hex4(const uint8_t *p, size_t n)
{
	int32_t v = 0;

	if (n < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int32_t digit = hex_digit(p[i]);

		if (digit < 0)
			return -1;
		v = v << 4 | digit;
	}
	return v;
}

/* 'uXXXX' at s->at, the backslash is behind us. Returns what is wrong, or NULL. */
static const char *
scan_unicode(struct scan *s)
{
	int32_t unit = json_hex4(s->at + 1, (size_t)(s->end - s->at) - 1);

	if (unit < 0)
		return "\\u needs four hexadecimal digits";
	if (unit == 0)
		return "U+0000 is not allowed";
	if (unit >= 0xdc00 && unit <= 0xdfff)
		return "lone surrogate";
	s->at += 5;
	if (unit < 0xd800 || unit > 0xdbff)
		return NULL;
	if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u')
		return "lone surrogate";
	unit = json_hex4(s->at + 2, 4);
	if (unit < 0xdc00 || unit > 0xdfff)
		return "lone surrogate";
	s->at += 6;
	return NULL;
}

static const char *
scan_escape(struct scan *s)
{
	s->at++;
	if (s->at == s->end)
		return "the text ends inside a string";
	if (*s->at == 'u')
		return scan_unicode(s);
	if (*s->at == 0 || strchr("\"\\/bfnrt", *s->at) == NULL)
		return "unknown escape";
	s->at++;
	return NULL;
}

/* A string whose opening quote is at s->at. */
static const char *
scan_string(struct scan *s)
{
	const char *why;
	size_t n;

	s->at++;
	for (;;) {
		n = 8;
		while (n == 8 && s->end - s->at >= 8)
			s->at += n = json_plain_run(s->at);
		while (s->at < s->end && (json_class[*s->at] & CLASS_PLAIN))
			s->at++;
		if (s->at == s->end)
			return "the text ends inside a string";
		if (*s->at == '"') {
			s->at++;
			return NULL;
		}
		if (*s->at == '\\') {
			why = scan_escape(s);
			if (why != NULL)
				return why;
		} else if (*s->at < 0x20) {
			return "a control character inside a string must be escaped";
		} else {
			if (utf8_step(s->at, (size_t)(s->end - s->at), &n) != UTF8_WHOLE)
				return "invalid UTF-8";
			s->at += n;
		}
	}
}

/* One or more digits. */
static bool
scan_digits(struct scan *s)
{
	const uint8_t *from = s->at;

	while (s->at < s->end && (json_class[*s->at] & CLASS_DIGIT))
		s->at++;
	return s->at > from;
}

static const char *
scan_number(struct scan *s)
{
	if (*s->at == '-')
		s->at++;
	if (s->at < s->end && *s->at == '0')
		s->at++;
	else if (!scan_digits(s))
		return "a number needs digits";
	if (s->at < s->end && *s->at == '.') {
		s->at++;
		if (!scan_digits(s))
			return "a number needs digits after its point";
	}
	if (s->at < s->end && (*s->at | 0x20) == 'e') {
		s->at++;
		if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
			s->at++;
		if (!scan_digits(s))
			return "a number needs digits in its exponent";
	}
	if (s->at < s->end && (json_class[*s->at] & CLASS_DIGIT))
		return "a number must not begin with 0";
	return NULL;
}

static const char *
scan_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		return "a value was expected";
	s->at += len;
	return NULL;
}

static void
scan_space(struct scan *s)
{
	while (s->at < s->end && (json_class[*s->at] & CLASS_SPACE))
		s->at++;
}

/* A name with its colon. */
static const char *
scan_name(struct scan *s)
{
	const char *why;

	if (s->at == s->end || *s->at != '"')
		return "a name in quotes was expected";
	why = scan_string(s);
	if (why != NULL)
		return why;
	scan_space(s);
	if (s->at == s->end || *s->at != ':')
		return "':' was expected";
	s->at++;
	scan_space(s);
	return NULL;
}

static bool
inside_object(const struct scan *s)
{
	unsigned level = s->depth - 1;

	return s->in_object[level / 64] >> (level % 64) & 1;
}

/* '{' or '[' at s->at. Behind it either its end, which '*ret_ended' says, or the first value. */
static const char *
scan_open(struct scan *s, unsigned max_depth, bool *ret_ended)
{
	bool object = *s->at == '{';
	uint64_t bit;

	if (s->depth == max_depth || s->depth == JSON_DEPTH_MAX)
		return "nested too deeply";
	bit = 1ULL << (s->depth % 64);
	if (object)
		s->in_object[s->depth / 64] |= bit;
	else
		s->in_object[s->depth / 64] &= ~bit;
	s->depth++;
	s->at++;
	scan_space(s);
	*ret_ended = s->at < s->end && *s->at == (object ? '}' : ']');
	if (*ret_ended) {
		s->at++;
		s->depth--;
		return NULL;
	}
	return object ? scan_name(s) : NULL;
}

/* What follows a value inside a container: ends of containers, then a comma and what must stand before the next value.
 * With depth 0 afterwards the whole value is over. */
static const char *
scan_after(struct scan *s)
{
	while (s->depth > 0) {
		bool object = inside_object(s);

		scan_space(s);
		if (s->at == s->end)
			return "the text ends too early";
		if (*s->at == ',') {
			s->at++;
			scan_space(s);
			return object ? scan_name(s) : NULL;
		}
		if (*s->at != (object ? '}' : ']'))
			return object ? "',' or '}' was expected" : "',' or ']' was expected";
		s->at++;
		s->depth--;
	}
	return NULL;
}

/* A value at s->at, without what a container holds: '*ret_open' says that its first member follows. */
static const char *
scan_value(struct scan *s, unsigned max_depth, bool *ret_open)
{
	bool ended = true;
	const char *why;

	*ret_open = false;
	if (s->at == s->end)
		return "the text ends too early";
	switch (*s->at) {
	case '{':
	case '[':
		why = scan_open(s, max_depth, &ended);
		*ret_open = !ended;
		return why;
	case '"':
		return scan_string(s);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	default:
		if (*s->at != '-' && !(json_class[*s->at] & CLASS_DIGIT))
			return "a value was expected";
		return scan_number(s);
	}
}

enum im_rc
json_check(const char *text, size_t len, unsigned max_depth, struct im_err *err)
{
	struct scan s;
	const char *why;
	bool open;

	if (len == 0)
		text = ""; /* an empty buffer's memory may be NULL, which arithmetic must not see */
	s.at = (const uint8_t *)text;
	s.end = s.at + len;
	s.depth = 0;
	memset(s.in_object, 0, sizeof(s.in_object));
	scan_space(&s);
	do {
		why = scan_value(&s, max_depth, &open);
		if (why == NULL && !open)
			why = scan_after(&s);
	} while (why == NULL && s.depth > 0);
	if (why == NULL) {
		scan_space(&s);
		if (s.at != s.end)
			why = "there is more after the value";
	}
	if (why == NULL)
		return IM_OK;
	return err_reason(err, IM_EINVAL, "invalid_json", "not valid JSON at byte %zu: %s",
			  (size_t)(s.at - (const uint8_t *)text), why);
}
