/*
 * base/json.h - strict checking of JSON text and safe writing of it. Trees are cJSON's business (gateway, inference); this
 * is what stands in front of it, because cJSON takes what it should not. Source: RFC 8259.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* A piece of checked text. */
struct json_span {
	const char *at;
	size_t len;
};

/**
 * Check that the 'len' bytes at 'text' are one JSON value and nothing else: valid UTF-8, no raw control characters, no
 * U+0000, no lone surrogate, nesting up to 'max_depth', no duplicate test. Returns IM_OK, or IM_EINVAL with the byte
 * offset and what is wrong. Threads: reentrant.
 */
IM_MUST_CHECK enum im_rc json_check(const char *text, size_t len, unsigned max_depth,
				    struct im_err *err);

/* Walks the members of an object or the elements of an array in text that json_check() accepted. */
struct json_iter {
	const char *at, *end;
	bool object;
	bool started;
};

/** Start over the object or array at 'value'. False if it is neither. */
bool json_iter_init(struct json_iter *it, struct json_span value);

/** Next one: its name, raw and without quotes (empty in an array), and its value, verbatim. False at the end. */
bool json_iter_next(struct json_iter *it, struct json_span *ret_name, struct json_span *ret_value);

/** Value of the last member 'name' of the object at 'value', verbatim. False if it has none or is no object. */
bool json_member(struct json_span value, const char *name, struct json_span *ret_value);

/** Append 'len' bytes of UTF-8 as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD, so the output is JSON
 *  whatever comes in. False when the buffer failed. */
bool json_put_string(struct buf *b, const char *s, size_t len);
bool json_put_cstr(struct buf *b, const char *s);

/** Append a number that reads back as the same double; null for NaN and infinities. */
bool json_put_double(struct buf *b, double v);

/** True if the 'len' bytes at 's' are valid UTF-8 (RFC 3629) without U+0000. */
bool utf8_valid(const char *s, size_t len);

/** Append 'len' bytes as UTF-8 without U+0000: each longest piece that is none becomes U+FFFD. False when the buffer
 *  failed. */
bool utf8_mend(struct buf *b, const char *s, size_t len);

/** Length of the longest prefix that does not end inside a character that could still become valid. For streams. */
size_t utf8_whole_prefix(const char *s, size_t len);

#endif
