/*
 * base/err.c - error codes and texts; see err.h.
 */
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *
im_rc_text(enum im_rc rc)
{
	switch (rc) {
#define X(name, num, http, text)                                                                   \
	case name:                                                                                 \
		return text;
		IM_RC_MAP(X)
#undef X
	}
	return "unknown error";
}

int
im_rc_http(enum im_rc rc)
{
	switch (rc) {
#define X(name, num, http, text)                                                                   \
	case name:                                                                                 \
		return http;
		IM_RC_MAP(X)
#undef X
	}
	return 500;
}

enum im_rc
im_rc_from_wire(uint32_t num)
{
	switch (num) {
#define X(name, num, http, text)                                                                   \
	case num:                                                                                  \
		return name;
		IM_RC_MAP(X)
#undef X
	default:
		return IM_EINTERNAL;
	}
}

/* Cut 's' of capacity 'cap' back to a whole UTF-8 character after a truncating print. */
static void
trim_utf8(char *s, size_t cap)
{
	size_t n = strnlen(s, cap);
	size_t i = n;

	if (n + 1 < cap)
		return;
	while (i > 0 && ((unsigned char)s[i - 1] & 0xc0) == 0x80)
		i--;
	if (i > 0 && (unsigned char)s[i - 1] >= 0xc0)
		s[i - 1] = '\0';
}

static void fill(struct im_err *err, enum im_rc rc, const char *fmt, va_list ap) IM_PRINTF(3, 0);

static void
fill(struct im_err *err, enum im_rc rc, const char *fmt, va_list ap)
{
	err->rc = rc;
	err->retry_after_ms = 0;
	err->rates = (struct im_rates){ 0 };
	err->reason[0] = '\0';
	err->param[0] = '\0';
	(void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
	trim_utf8(err->text, sizeof(err->text));
}

enum im_rc
err_set(struct im_err *err, enum im_rc rc, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return rc;
	va_start(ap, fmt);
	fill(err, rc, fmt, ap);
	va_end(ap);
	return rc;
}

enum im_rc
err_reason(struct im_err *err, enum im_rc rc, const char *reason, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return rc;
	va_start(ap, fmt);
	fill(err, rc, fmt, ap);
	va_end(ap);
	(void)snprintf(err->reason, sizeof(err->reason), "%s", reason);
	return rc;
}

void
err_prefix(struct im_err *err, const char *fmt, ...)
{
	char head[sizeof(err->text)];
	char text[sizeof(err->text)];
	va_list ap;

	if (err == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	memcpy(text, err->text, sizeof(text));
	/* A text that no longer fits is cut at its end: the place comes first. */
	if (snprintf(err->text, sizeof(err->text), "%s: %s", head, text) >= (int)sizeof(err->text))
		trim_utf8(err->text, sizeof(err->text));
}

enum im_rc
err_errno(struct im_err *err, enum im_rc rc, int errnum, const char *fmt, ...)
{
	char why[128];
	size_t used;
	va_list ap;

	if (err == NULL)
		return rc;
	va_start(ap, fmt);
	fill(err, rc, fmt, ap);
	va_end(ap);
	used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s",
		       strerror_r(errnum, why, sizeof(why)));
	return rc;
}

void
err_clear(struct im_err *err)
{
	err->rc = IM_OK;
	err->retry_after_ms = 0;
	err->rates = (struct im_rates){ 0 };
	err->reason[0] = err->param[0] = err->text[0] = '\0';
}

struct im_err *
err_copy(const struct im_err *err)
{
	struct im_err *copy = malloc(sizeof(*copy));

	if (copy != NULL)
		*copy = *err;
	return copy;
}
