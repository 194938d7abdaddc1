/*
 * base/buf.c - growing bytes; see buf.h.
 */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf)BUF_INIT(max_bytes);
}

void
buf_done(struct buf *b)
{
	if (b == NULL)
		return;
	free(b->data);
	buf_init(b, b->max_bytes);
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

uint8_t *
buf_reserve(struct buf *b, size_t extra)
{
	size_t need, cap;
	uint8_t *data;

	if (b->failed)
		return NULL;
	if (__builtin_add_overflow(b->len, extra, &need) ||
	    (b->max_bytes != 0 && need > b->max_bytes)) {
		b->failed = true;
		return NULL;
	}
	if (need <= b->cap && b->data != NULL)
		return b->data + b->len;
	cap = b->cap < 64 ? 64 : b->cap;
	while (cap < need && cap <= SIZE_MAX / 2)
		cap *= 2;
	if (cap < need)
		cap = need;
	data = realloc(b->data, cap);
	if (data == NULL) {
		b->failed = true;
		return NULL;
	}
	b->data = data;
	b->cap = cap;
	return b->data + b->len;
}

/* Format into the memory that there is, '*ret_len' bytes and a NUL if they fit. */
static bool
format_into(struct buf *b, const char *fmt, va_list ap, size_t *ret_len)
{
	char none[1];
	size_t room = b->data == NULL ? 0 : b->cap - b->len;
	int n = vsnprintf(room > 0 ? (char *)b->data + b->len : none, room, fmt, ap);

	*ret_len = n < 0 ? 0 : (size_t)n;
	return n >= 0;
}

bool
buf_append_uint(struct buf *b, uint64_t n)
{
	char digits[20];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	return buf_append(b, digits + i, sizeof(digits) - i);
}

bool
buf_printf(struct buf *b, const char *fmt, ...)
{
	size_t max_bytes = b->max_bytes, n;
	va_list ap;
	bool ok;

	if (b->failed)
		return false;
	va_start(ap, fmt);
	ok = format_into(b, fmt, ap, &n);
	va_end(ap);
	/* The NUL that vsnprintf() writes is not contents: it must not count against the bound. */
	if (!ok || (max_bytes != 0 && n > max_bytes - b->len)) {
		b->failed = true;
		return false;
	}
	if (b->data == NULL || n >= b->cap - b->len) {
		b->max_bytes = 0;
		ok = buf_reserve(b, n + 1) != NULL;
		b->max_bytes = max_bytes;
		if (!ok)
			return false;
		va_start(ap, fmt);
		(void)format_into(b, fmt, ap, &n);
		va_end(ap);
	}
	b->len += n;
	return true;
}

bool
buf_ok(const struct buf *b)
{
	return !b->failed;
}

void
buf_consume(struct buf *b, size_t n)
{
	b->len -= n;
	if (b->len > 0)
		memmove(b->data, b->data + n, b->len);
}

const char *
buf_cstr(struct buf *b)
{
	bool failed = b->failed;
	size_t max_bytes = b->max_bytes;
	uint8_t *at;

	b->failed = false;
	b->max_bytes = 0; /* the NUL is not contents */
	at = buf_reserve(b, 1);
	b->failed = failed;
	b->max_bytes = max_bytes;
	if (at == NULL)
		return "";
	*at = '\0';
	return (const char *)b->data;
}

uint8_t *
buf_take(struct buf *b, size_t *ret_len)
{
	uint8_t *data = b->data;

	*ret_len = b->len;
	buf_init(b, b->max_bytes);
	return data;
}
