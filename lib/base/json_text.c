/*
 * base/json_text.c - the walker over checked text, and the writers; see json.h.
 */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_scan.h"

/* The walker: the text was checked, so it only has to find where things end. */

static const char *
skip_space(const char *p, const char *end)
{
	while (p < end && (json_class[(uint8_t)*p] & CLASS_SPACE))
		p++;
	return p;
}

/* 'p' at the opening quote; returns behind the closing one, which has an even number of backslashes before it. */
static const char *
skip_string(const char *p, const char *end)
{
	const char *from = ++p, *quote, *slash;

	while ((quote = memchr(p, '"', (size_t)(end - p))) != NULL) {
		slash = quote;
		while (slash > from && slash[-1] == '\\')
			slash--;
		p = quote + 1;
		if ((quote - slash) % 2 == 0)
			return p;
	}
	return end;
}

static const char *
skip_value(const char *p, const char *end)
{
	size_t depth = 0;

	do {
		if (p >= end)
			return end;
		if (*p == '"') {
			p = skip_string(p, end);
			continue;
		}
		if (*p == '{' || *p == '[') {
			depth++;
			p++;
		} else if (*p == '}' || *p == ']') {
			depth--;
			p++;
		} else if (depth > 0) {
			p++;
		} else {
			while (p < end && strchr(",]} \t\n\r", *p) == NULL)
				p++;
		}
	} while (depth > 0);
	return p;
}

bool
json_iter_init(struct json_iter *it, struct json_span value)
{
	const char *end = value.at + value.len;
	const char *p = skip_space(value.at, end);

	if (p == end || (*p != '{' && *p != '['))
		return false;
	*it = (struct json_iter){ .at = p + 1, .end = end, .object = *p == '{' };
	return true;
}

bool
json_iter_next(struct json_iter *it, struct json_span *ret_name, struct json_span *ret_value)
{
	const char *p = skip_space(it->at, it->end);
	struct json_span name = { p, 0 };

	if (it->started && p < it->end && *p == ',')
		p = skip_space(p + 1, it->end);
	it->started = true;
	if (p == it->end || *p == '}' || *p == ']') {
		it->at = it->end;
		return false;
	}
	if (it->object) {
		const char *from = p;

		p = skip_string(p, it->end);
		name = (struct json_span){ from + 1, p - from >= 2 ? (size_t)(p - from) - 2 : 0 };
		p = skip_space(p, it->end);
		if (p < it->end) /* the colon */
			p = skip_space(p + 1, it->end);
	}
	ret_value->at = p;
	it->at = p = skip_value(p, it->end);
	ret_value->len = (size_t)(p - ret_value->at);
	*ret_name = name;
	return true;
}

/* The writers. */

static void
put_escape(struct buf *b, uint8_t c)
{
	static const char short_for[] = { '\b', '\f', '\n', '\r', '\t', '"', '\\' };
	static const char short_is[] = "bfnrt\"\\";

	for (size_t i = 0; i < sizeof(short_for); i++) {
		if ((uint8_t)short_for[i] == c) {
			(void)buf_append_byte(b, '\\');
			(void)buf_append_byte(b, (uint8_t)short_is[i]);
			return;
		}
	}
	(void)buf_printf(b, "\\u%04x", c);
}

/* How many of the bytes stand for themselves, from the first on. */
static size_t
plain_prefix(const uint8_t *p, size_t len)
{
	size_t n = 0, run = 8;

	while (run == 8 && len - n >= 8)
		n += run = json_plain_run(p + n);
	while (n < len && (json_class[p[n]] & CLASS_PLAIN))
		n++;
	return n;
}

bool
json_plain(const char *text, size_t len)
{
	return plain_prefix((const uint8_t *)text, len) == len;
}

bool
json_put_string(struct buf *b, const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)(len > 0 ? s : "");
	const uint8_t *end = p + len;
	uint8_t *to = buf_has_room(b, len + 2) ? b->data + b->len : buf_reserve(b, len + 2);
	size_t n;

	if (to == NULL)
		return false;
	n = plain_prefix(p, len);
	*to = '"';
	memcpy(to + 1, p, n);
	p += n;
	if (p == end) {
		to[n + 1] = '"';
		b->len += n + 2;
		return true;
	}
	b->len += n + 1;
	while (p < end) {
		n = plain_prefix(p, (size_t)(end - p));
		(void)buf_append(b, p, n);
		p += n;
		if (p == end)
			break;
		if (*p == 0) { /* it would not be accepted back */
			(void)buf_append_str(b, "\xef\xbf\xbd");
			p++;
		} else if (*p < 0x80) {
			put_escape(b, *p++);
		} else {
			if (utf8_step(p, (size_t)(end - p), &n) == UTF8_WHOLE)
				(void)buf_append(b, p, n);
			else
				(void)buf_append_str(b, "\xef\xbf\xbd");
			p += n;
		}
	}
	return buf_append_byte(b, '"');
}

bool
json_put_cstr(struct buf *b, const char *s)
{
	return json_put_string(b, s, strlen(s));
}

bool
json_put_double(struct buf *b, double v)
{
	char text[40];

	if (!isfinite(v))
		return buf_append_str(b, "null");
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	return buf_append_str(b, text);
}
