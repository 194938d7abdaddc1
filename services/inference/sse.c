/*
 * inference/sse.c - see sse.h.
 */
#include "inference/sse.h"

#include <string.h>

void
sse_init(struct sse *s, size_t max_bytes)
{
	memset(s, 0, sizeof(*s));
	s->max_bytes = max_bytes;
	buf_init(&s->line, 0);
	buf_init(&s->data, 0);
}

void
sse_done(struct sse *s)
{
	buf_done(&s->line);
	buf_done(&s->data);
}

static size_t
line_max(const struct sse *s)
{
	return s->max_bytes + strlen("data: ");
}

static enum im_rc
too_big(const struct sse *s, struct im_err *err)
{
	return err_reason(err, IM_EUPSTREAM, "upstream_error",
			  "the upstream sent an event of more than %zu bytes", s->max_bytes);
}

/* Append to the line or to the data; the line may hold the field's name too. */
static enum im_rc
gather(const struct sse *s, struct buf *b, const char *bytes, size_t len, struct im_err *err)
{
	if (len > line_max(s) - b->len)
		return too_big(s, err);
	if (!buf_append(b, bytes, len))
		return err_set(err, IM_ENOMEM, "no memory for an event of the upstream");
	return IM_OK;
}

/* The data of one event. */
static enum im_rc
give(struct sse *s, const char *text, size_t len, sse_fn fn, void *user, struct im_err *err)
{
	if (len == 0)
		return IM_OK;
	if (len != 6 || memcmp(text, "[DONE]", 6) != 0)
		return fn(user, text, len, err);
	s->finished = true;
	return IM_OK;
}

static enum im_rc
dispatch(struct sse *s, sse_fn fn, void *user, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	if (s->has_data)
		rc = give(s, (const char *)s->data.data, s->data.len, fn, user, err);
	s->has_data = false;
	buf_clear(&s->data);
	return rc;
}

/* Of the line of 'len' bytes that begins with "data": that, the colon and one blank. */
static size_t
name_length(const char *line, size_t len)
{
	size_t n = 4;

	if (n < len) /* the colon */
		n++;
	if (n < len && line[n] == ' ')
		n++;
	return n;
}

/* One whole line without its end. */
static enum im_rc
take_line(struct sse *s, const char *line, size_t len, sse_fn fn, void *user, struct im_err *err)
{
	size_t skip;

	if (!s->started && len >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0) {
		line += 3;
		len -= 3;
	}
	s->started = true;
	if (len == 0)
		return dispatch(s, fn, user, err);
	if (len < 4 || memcmp(line, "data", 4) != 0 || (len > 4 && line[4] != ':'))
		return IM_OK;
	skip = name_length(line, len);
	line += skip;
	len -= skip;
	if (s->has_data) {
		enum im_rc rc = gather(s, &s->data, "\n", 1, err);

		if (rc != IM_OK)
			return rc;
	}
	s->has_data = true;
	return gather(s, &s->data, line, len, err);
}

static size_t
line_length(const char *bytes, size_t len)
{
	const char *lf = memchr(bytes, '\n', len);
	size_t n = lf != NULL ? (size_t)(lf - bytes) : len;
	const char *cr = memchr(bytes, '\r', n);

	return cr != NULL ? (size_t)(cr - bytes) : n;
}

/* True if the line of 'n' bytes and the end of line behind it are a whole event, as nearly always. */
static bool
is_whole_event(const struct sse *s, const char *line, size_t n, size_t len)
{
	return !s->has_data && n > 5 && memcmp(line, "data:", 5) == 0 && len - n >= 2 &&
	       line[n] == '\n' && line[n + 1] == '\n';
}

enum im_rc
sse_feed(struct sse *s, const char *bytes, size_t len, sse_fn fn, void *user, struct im_err *err)
{
	size_t at = 0;

	while (at < len && !s->finished) {
		size_t n;
		enum im_rc rc;

		if (s->after_cr && bytes[at] == '\n')
			at++;
		s->after_cr = false;
		if (at == len)
			break;
		n = line_length(bytes + at, len - at);
		if (at + n == len || s->line.len > 0) {
			rc = gather(s, &s->line, bytes + at, n, err);
			if (rc != IM_OK || at + n == len)
				return rc;
			rc = take_line(s, (const char *)s->line.data, s->line.len, fn, user, err);
			buf_clear(&s->line);
		} else if (n > line_max(s)) {
			return too_big(s, err);
		} else if (is_whole_event(s, bytes + at, n, len - at)) {
			size_t skip = name_length(bytes + at, n);

			s->started = true;
			rc = give(s, bytes + at + skip, n - skip, fn, user, err);
			at++; /* the second end of line */
		} else {
			rc = take_line(s, bytes + at, n, fn, user, err);
		}
		if (rc != IM_OK)
			return rc;
		s->after_cr = bytes[at + n] == '\r';
		at += n + 1;
	}
	return IM_OK;
}

enum im_rc
sse_end(const struct sse *s, struct im_err *err)
{
	if (s->finished)
		return IM_OK;
	return err_reason(err, IM_EUPSTREAM, "upstream_error",
			  "the upstream's stream ended before [DONE]: the answer is not whole");
}
