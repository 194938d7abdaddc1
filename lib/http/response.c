/*
 * http/response.c - see response.h.
 */
#include "http/response.h"

#include <string.h>
#include <strings.h>

#define VERSION "HTTP/1."

/* A line of the head without its end. */
struct line {
	const char *at;
	size_t len;
};

/* The line at '*pos', which moves behind it. False at the end. */
static bool
next_line(const uint8_t *buf, size_t len, size_t *pos, struct line *ret)
{
	const uint8_t *from = buf + *pos;
	const uint8_t *nl = *pos < len ? memchr(from, '\n', len - *pos) : NULL;
	size_t n;

	if (nl == NULL)
		return false;
	n = (size_t)(nl - from);
	*pos += n + 1;
	if (n > 0 && from[n - 1] == '\r')
		n--;
	*ret = (struct line){ (const char *)from, n };
	return true;
}

enum http_scan
http_response_scan(const uint8_t *buf, size_t len, size_t *pos)
{
	const size_t begin = sizeof(VERSION) - 1;
	const uint8_t *nl;

	if (memcmp(buf, VERSION, len < begin ? len : begin) != 0)
		return SCAN_REFUSED;
	while ((nl = memchr(buf + *pos, '\n', len - *pos)) != NULL) {
		size_t at = (size_t)(nl - buf);

		if (at >= HTTP_RESPONSE_HEAD_MAX)
			return SCAN_REFUSED;
		*pos = at + 1;
		if (buf[at - 1] == '\n' || (buf[at - 1] == '\r' && buf[at - 2] == '\n'))
			return SCAN_END;
	}
	*pos = len;
	return len < HTTP_RESPONSE_HEAD_MAX ? SCAN_MORE : SCAN_REFUSED;
}

/* HTTP/1.x SP 3 digits, then nothing or SP and a reason. */
static bool
read_status(struct line l, struct http_response *r)
{
	const char *s = l.at + sizeof(VERSION) - 1;

	if (l.len < sizeof(VERSION "1 200") - 1 || (s[0] != '0' && s[0] != '1') || s[1] != ' ' ||
	    (l.len > sizeof(VERSION "1 200") - 1 && s[5] != ' '))
		return false;
	for (int i = 2; i < 5; i++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	r->status = (uint16_t)((s[2] - '0') * 100 + (s[3] - '0') * 10 + (s[4] - '0'));
	r->keep = s[0] == '1';
	return r->status >= 100 && r->status < 600;
}

/* Its name and its value without the blanks around it. False: it is none. */
static bool
split(struct line l, struct line *ret_name, struct line *ret_value)
{
	const char *colon = memchr(l.at, ':', l.len);
	const char *end = l.at + l.len, *value;

	if (colon == NULL || colon == l.at)
		return false;
	value = colon + 1;
	while (colon > l.at && (colon[-1] == ' ' || colon[-1] == '\t'))
		colon--;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*ret_name = (struct line){ l.at, (size_t)(colon - l.at) };
	*ret_value = (struct line){ value, (size_t)(end - value) };
	return true;
}

static bool
is(struct line l, const char *text)
{
	return l.len == strlen(text) && strncasecmp(l.at, text, l.len) == 0;
}

/* 'option' is one of a comma-separated list. */
static bool
has_option(struct line list, const char *option)
{
	const char *at = list.at, *end = list.at + list.len;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *to = comma != NULL ? comma : end;

		while (at < to && (*at == ' ' || *at == '\t'))
			at++;
		while (to > at && (to[-1] == ' ' || to[-1] == '\t'))
			to--;
		if (is((struct line){ at, (size_t)(to - at) }, option))
			return true;
		at = comma != NULL ? comma + 1 : end;
	}
	return false;
}

static bool
read_length(struct line value, uint64_t *ret)
{
	uint64_t n = 0;

	for (size_t i = 0; i < value.len; i++)
		if (value.at[i] < '0' || value.at[i] > '9' || __builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(value.at[i] - '0'), &n))
			return false;
	*ret = n;
	return value.len > 0;
}

/* What the fields say, as they come. */
struct framing {
	bool has_length, chunked, close, keep_alive;
	bool last; /* the last field was one of these */
};

static bool
take_field(struct line name, struct line value, struct framing *f, uint64_t *length)
{
	uint64_t n;

	f->last = true;
	if (is(name, "content-length")) {
		if (!read_length(value, &n) || (f->has_length && n != *length))
			return false;
		f->has_length = true;
		*length = n;
	} else if (is(name, "transfer-encoding")) {
		if (f->chunked || !is(value, "chunked"))
			return false;
		f->chunked = true;
	} else if (is(name, "connection")) {
		f->close = f->close || has_option(value, "close");
		f->keep_alive = f->keep_alive || has_option(value, "keep-alive");
	} else {
		f->last = false;
	}
	return true;
}

/* RFC 9112 section 6.3, and 9.3 for what becomes of the connection. */
static void
conclude(const struct framing *f, struct http_response *r)
{
	if (r->status < 200 || r->status == 204 || r->status == 304)
		r->body = HTTP_BODY_NONE;
	else if (f->chunked)
		r->body = HTTP_BODY_CHUNKED;
	else
		r->body = f->has_length ? HTTP_BODY_LENGTH : HTTP_BODY_CLOSE;
	/* Before HTTP/1.1 there was no coding, and with both nobody knows what was meant (section 6.1). */
	if (f->close || r->body == HTTP_BODY_CLOSE || (f->chunked && (f->has_length || !r->keep)))
		r->keep = false;
	else if (f->keep_alive)
		r->keep = true;
}

bool
http_response_parse(const uint8_t *buf, size_t len, struct http_response *ret)
{
	struct framing f = { 0 };
	struct line l, name, value;
	size_t pos = 0;

	*ret = (struct http_response){ 0 };
	if (!next_line(buf, len, &pos, &l) || !read_status(l, ret))
		return false;
	while (next_line(buf, len, &pos, &l) && l.len > 0) {
		if (l.at[0] == ' ' || l.at[0] == '\t') { /* the rest of a folded value */
			if (f.last)
				return false;
			continue;
		}
		if (!split(l, &name, &value) || !take_field(name, value, &f, &ret->length))
			return false;
	}
	conclude(&f, ret);
	return true;
}

bool
http_response_field(const uint8_t *buf, size_t len, const char *name, char *out, size_t cap)
{
	struct line l, at, value;
	size_t pos = 0;

	out[0] = '\0';
	(void)next_line(buf, len, &pos, &l); /* the status */
	while (next_line(buf, len, &pos, &l) && l.len > 0) {
		if (!split(l, &at, &value) || !is(at, name))
			continue;
		if (value.len >= cap)
			return false;
		memcpy(out, value.at, value.len);
		out[value.len] = '\0';
		return true;
	}
	return false;
}
