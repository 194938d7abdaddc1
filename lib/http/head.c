/*
 * http/head.c - strict parsing of a request's head; see head.h.
 */
#include "http/head.h"

#include <string.h>
#include <strings.h>

#include "base/hex.h"

enum {
	C_TOKEN = 1,  /* tchar, RFC 9110 section 5.6.2 */
	C_VALUE = 2,  /* field-vchar, SP, HTAB, obs-text */
	C_TARGET = 4, /* visible ASCII but '#': a fragment is never sent */
};

#define NAME   (C_TOKEN | C_VALUE | C_TARGET)
#define SYMBOL (C_VALUE | C_TARGET)

static const uint8_t class_of[256] = {
	['\t'] = C_VALUE,
	[' '] = C_VALUE,
	['!'] = NAME,
	['"'] = SYMBOL,
	['#'] = C_TOKEN | C_VALUE,
	['$' ... '\''] = NAME, /* $ % & ' */
	['(' ... ')'] = SYMBOL,
	['*' ... '+'] = NAME,
	[','] = SYMBOL,
	['-' ... '.'] = NAME,
	['/'] = SYMBOL,
	['0' ... '9'] = NAME,
	[':' ... '@'] = SYMBOL, /* : ; < = > ? @ */
	['A' ... 'Z'] = NAME,
	['[' ... ']'] = SYMBOL, /* [ \ ] */
	['^' ... 'z'] = NAME,   /* ^ _ ` and small letters */
	['{'] = SYMBOL,
	['|'] = NAME,
	['}'] = SYMBOL,
	['~'] = NAME,
	[0x80 ... 0xff] = C_VALUE,
};

struct parser {
	const uint8_t *buf;
	size_t len;
	size_t at;
	struct http_head *head;
	struct http_refusal *refusal;
	unsigned hosts;
	bool coding; /* Transfer-Encoding was given */
	bool bad_coding;
};

static bool
refuse(struct http_refusal *ret, int status, const char *text)
{
	ret->status = status;
	ret->text = text;
	return false;
}

static enum http_scan
scan_refuse(struct http_refusal *ret, int status, const char *text)
{
	(void)refuse(ret, status, text);
	return SCAN_REFUSED;
}

static enum http_scan
scan_too_long(bool in_first_line, struct http_refusal *ret)
{
	if (in_first_line)
		return scan_refuse(ret, 414, "the request target is too long");
	return scan_refuse(ret, 431, "the request headers are too large");
}

enum http_scan
http_head_scan(const uint8_t *buf, size_t len, size_t max_bytes, size_t *pos,
	       struct http_refusal *ret)
{
	const size_t line_max = HTTP_TARGET_MAX + HTTP_METHOD_MAX + sizeof("  HTTP/1.1\r\n\r\n");
	const uint8_t *nl;
	size_t i = *pos;

	if (len == 0)
		return SCAN_MORE;
	/* At once, so that a TLS hello on a plain port is not waited for. */
	if (i == 0 && buf[0] != '\r' && buf[0] != '\n' && (class_of[buf[0]] & C_TOKEN) == 0)
		return scan_refuse(ret, 400, "this is not an HTTP request");
	while ((nl = memchr(buf + i, '\n', len - i)) != NULL) {
		size_t at = (size_t)(nl - buf);

		if (at == 0 || buf[at - 1] != '\r')
			return scan_refuse(ret, 400, "a line ends in LF without CR");
		if (at >= max_bytes)
			return scan_too_long(memchr(buf, '\n', at) == NULL, ret);
		/* One empty line before the request is let through (RFC 9112 section 2.2). */
		if (at == 3 && buf[1] == '\n')
			return scan_refuse(ret, 400, "this is not an HTTP request");
		if (at > 3 && buf[at - 2] == '\n') {
			*pos = at + 1;
			return SCAN_END;
		}
		i = at + 1;
	}
	*pos = len;
	if (len > line_max && memchr(buf, '\n', line_max) == NULL)
		return scan_too_long(true, ret);
	if (len >= max_bytes)
		return scan_too_long(memchr(buf, '\n', len) == NULL, ret);
	return SCAN_MORE;
}

static struct http_span
span(size_t from, size_t to)
{
	return (struct http_span){ .at = (uint32_t)from, .len = (uint32_t)(to - from) };
}

static bool
percent_ok(const uint8_t *s, size_t len)
{
	const uint8_t *end = s + len;
	const uint8_t *p = s;

	while ((p = memchr(p, '%', (size_t)(end - p))) != NULL) {
		if (end - p < 3 || hex_digit(p[1]) < 0 || hex_digit(p[2]) < 0)
			return false;
		if (p[1] == '0' && p[2] == '0')
			return false;
		p += 3;
	}
	return true;
}

/* Length of "http://" or "https://" at 's', or 0. */
static size_t
scheme_len(const uint8_t *s, size_t len)
{
	if (len > 7 && strncasecmp((const char *)s, "http://", 7) == 0)
		return 7;
	if (len > 8 && strncasecmp((const char *)s, "https://", 8) == 0)
		return 8;
	return 0;
}

/* The target lies in [from, to). origin-form, absolute-form, or '*' for OPTIONS. */
static bool
parse_target(struct parser *p, size_t from, size_t to)
{
	const uint8_t *buf = p->buf;
	struct http_head *h = p->head;
	size_t path = from;
	const uint8_t *mark;

	if (to - from > HTTP_TARGET_MAX)
		return refuse(p->refusal, 414, "the request target is too long");
	for (size_t i = from; i < to; i++)
		if ((class_of[buf[i]] & C_TARGET) == 0)
			return refuse(p->refusal, 400,
				      "the request target holds a forbidden character");
	if (buf[from] == '*' && to - from == 1) {
		if (h->method.len != 7 || memcmp(buf + h->method.at, "OPTIONS", 7) != 0)
			return refuse(p->refusal, 400, "the target '*' is for OPTIONS only");
		h->path = span(from, to);
		h->query = span(to, to);
		return true;
	}
	if (buf[from] != '/') {
		size_t skip = scheme_len(buf + from, to - from);

		path = from + skip;
		if (skip == 0 || buf[path] == '/' || buf[path] == '?')
			return refuse(p->refusal, 400,
				      "the request target is neither a path nor a URL");
		while (path < to && buf[path] != '/' && buf[path] != '?')
			path++;
	}
	mark = memchr(buf + path, '?', to - path);
	h->path = span(path, mark != NULL ? (size_t)(mark - buf) : to);
	h->query = span(mark != NULL ? (size_t)(mark - buf) + 1 : to, to);
	if (!percent_ok(buf + h->path.at, h->path.len))
		return refuse(p->refusal, 400, "the path holds an invalid percent-encoding");
	return true;
}

static bool
parse_version(struct parser *p, size_t from, size_t to)
{
	const uint8_t *v = p->buf + from;

	if (to - from != 8 || memcmp(v, "HTTP/", 5) != 0 || v[6] != '.' || v[5] < '0' ||
	    v[5] > '9' || v[7] < '0' || v[7] > '9')
		return refuse(p->refusal, 400, "the request line is malformed");
	if (v[5] != '1' || v[7] > '1')
		return refuse(p->refusal, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	p->head->minor = (uint8_t)(v[7] - '0');
	return true;
}

/* The line lies in [from, to) without its CRLF. */
static bool
parse_request_line(struct parser *p, size_t from, size_t to)
{
	const uint8_t *buf = p->buf;
	size_t i = from;
	const uint8_t *blank;

	while (i < to && (class_of[buf[i]] & C_TOKEN) != 0)
		i++;
	if (i == from || i == to || buf[i] != ' ' || i - from > HTTP_METHOD_MAX)
		return refuse(p->refusal, 400, "the request line is malformed");
	p->head->method = span(from, i);
	from = i + 1;
	blank = from < to ? memchr(buf + from, ' ', to - from) : NULL;
	if (blank == NULL || blank == buf + from)
		return refuse(p->refusal, 400, "the request line is malformed");
	i = (size_t)(blank - buf);
	if (!parse_version(p, i + 1, to))
		return false;
	if (p->head->method.len == 7 && memcmp(buf + p->head->method.at, "CONNECT", 7) == 0)
		return refuse(p->refusal, 501, "CONNECT is not served here");
	return parse_target(p, from, i);
}

static bool
span_is(const struct parser *p, struct http_span s, const char *text)
{
	return s.len == strlen(text) && strncasecmp((const char *)p->buf + s.at, text, s.len) == 0;
}

static bool
take_length(struct parser *p, struct http_span value)
{
	const uint8_t *s = p->buf + value.at;
	uint64_t n = 0;

	if (value.len == 0)
		return refuse(p->refusal, 400, "Content-Length is empty");
	for (uint32_t i = 0; i < value.len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return refuse(p->refusal, 400, "Content-Length is not a number");
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(s[i] - '0'), &n))
			return refuse(p->refusal, 400, "Content-Length is too large a number");
	}
	if (p->head->has_length && p->head->length != n)
		return refuse(p->refusal, 400, "there are several Content-Lengths");
	p->head->has_length = true;
	p->head->length = n;
	return true;
}

/* The comma-separated options of a Connection field. */
static void
take_connection(struct parser *p, struct http_span value)
{
	size_t at = value.at, end = value.at + value.len;

	while (at < end) {
		size_t from, to;

		while (at < end && (p->buf[at] == ',' || p->buf[at] == ' ' || p->buf[at] == '\t'))
			at++;
		from = at;
		while (at < end && p->buf[at] != ',')
			at++;
		to = at;
		while (to > from && (p->buf[to - 1] == ' ' || p->buf[to - 1] == '\t'))
			to--;
		if (span_is(p, span(from, to), "close"))
			p->head->close = true;
	}
}

static bool
host_ok(const struct parser *p, struct http_span value)
{
	for (uint32_t i = 0; i < value.len; i++) {
		uint8_t c = p->buf[value.at + i];

		if ((class_of[c] & C_TARGET) == 0 || strchr("/?@\\,<>\"", c) != NULL)
			return false;
	}
	return true;
}

/* What the fields mean for the framing of the request. */
static bool
take_field(struct parser *p, const struct http_field *f)
{
	if (span_is(p, f->name, "content-length"))
		return take_length(p, f->value);
	if (span_is(p, f->name, "transfer-encoding")) {
		p->bad_coding = p->coding || !span_is(p, f->value, "chunked");
		p->coding = true;
		return true;
	}
	if (span_is(p, f->name, "connection")) {
		take_connection(p, f->value);
		return true;
	}
	if (span_is(p, f->name, "host")) {
		p->hosts++;
		if (!host_ok(p, f->value))
			return refuse(p->refusal, 400, "the Host header is malformed");
		return true;
	}
	if (span_is(p, f->name, "expect") && p->head->minor == 1) {
		if (!span_is(p, f->value, "100-continue"))
			return refuse(p->refusal, 417,
				      "the only expectation met here is 100-continue");
		p->head->expect_continue = true;
	}
	return true;
}

/* The line lies in [from, to) without its CRLF. */
static bool
parse_field(struct parser *p, size_t from, size_t to)
{
	const uint8_t *buf = p->buf;
	struct http_field *f = &p->head->fields[p->head->field_count];
	size_t i = from;

	if (p->head->field_count == HTTP_FIELDS_MAX)
		return refuse(p->refusal, 431, "there are too many request headers");
	if (buf[from] == ' ' || buf[from] == '\t')
		return refuse(p->refusal, 400, "a header is folded over several lines");
	while (i < to && (class_of[buf[i]] & C_TOKEN) != 0)
		i++;
	if (i == from || i == to || buf[i] != ':')
		return refuse(p->refusal, 400, "a header name is malformed");
	f->name = span(from, i);
	i++;
	for (size_t k = i; k < to; k++)
		if ((class_of[buf[k]] & C_VALUE) == 0)
			return refuse(p->refusal, 400, "a header value holds a control character");
	while (i < to && (buf[i] == ' ' || buf[i] == '\t'))
		i++;
	while (to > i && (buf[to - 1] == ' ' || buf[to - 1] == '\t'))
		to--;
	f->value = span(i, to);
	p->head->field_count++;
	return take_field(p, f);
}

/* What only the whole head can tell. */
static bool
check_framing(struct parser *p)
{
	struct http_head *h = p->head;

	if (p->hosts > 1 || (p->hosts == 0 && h->minor == 1))
		return refuse(p->refusal, 400, "there must be one Host header");
	if (p->coding && h->has_length)
		return refuse(p->refusal, 400,
			      "Content-Length and Transfer-Encoding exclude each other");
	if (p->coding && h->minor == 0)
		return refuse(p->refusal, 400, "HTTP/1.0 has no Transfer-Encoding");
	if (p->bad_coding)
		return refuse(p->refusal, 501, "the only Transfer-Encoding read here is chunked");
	h->chunked = p->coding;
	if (h->minor == 0)
		h->close = true;
	if (!h->chunked && h->length == 0)
		h->expect_continue = false;
	return true;
}

bool
http_head_parse(const uint8_t *buf, size_t len, struct http_head *ret_head,
		struct http_refusal *ret)
{
	struct parser p = { .buf = buf, .len = len, .head = ret_head, .refusal = ret };
	bool first = true;

	memset(ret_head, 0, offsetof(struct http_head, fields));
	if (len > UINT32_MAX)
		return refuse(ret, 431, "the request headers are too large");
	if (len >= 2 && buf[0] == '\r' && buf[1] == '\n')
		p.at = 2;
	for (;;) {
		const uint8_t *nl = memchr(buf + p.at, '\n', len - p.at);
		size_t end = nl != NULL ? (size_t)(nl - buf) : 0;
		bool ok;

		if (nl == NULL || end == p.at || buf[end - 1] != '\r')
			return refuse(ret, 400, "a line ends in LF without CR");
		end--;
		if (end == p.at && !first)
			return check_framing(&p);
		ok = first ? parse_request_line(&p, p.at, end) : parse_field(&p, p.at, end);
		if (!ok)
			return false;
		first = false;
		p.at = end + 2;
	}
}

void
http_head_own(struct http_head *head, char *text)
{
	uint8_t *path = (uint8_t *)text + head->path.at;
	uint32_t n = 0;

	for (uint32_t i = 0; i < head->path.len; i++) {
		if (path[i] == '%') {
			path[n++] = (uint8_t)(hex_digit(path[i + 1]) * 16 + hex_digit(path[i + 2]));
			i += 2;
		} else {
			path[n++] = path[i];
		}
	}
	text[head->query.at + head->query.len] = '\0';
	path[n] = '\0';
	head->path.len = n;
	text[head->method.at + head->method.len] = '\0';
	for (uint32_t i = 0; i < head->field_count; i++) {
		const struct http_field *f = &head->fields[i];

		text[f->name.at + f->name.len] = '\0';
		text[f->value.at + f->value.len] = '\0';
	}
}

bool
http_field_valid(const char *name, const char *value)
{
	if (name[0] == '\0')
		return false;
	for (; *name != '\0'; name++)
		if ((class_of[(uint8_t)*name] & C_TOKEN) == 0)
			return false;
	for (; *value != '\0'; value++)
		if ((class_of[(uint8_t)*value] & C_VALUE) == 0)
			return false;
	return true;
}
