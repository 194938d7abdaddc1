/*
 * base/json.h - strict checking of JSON text, values out of text that was checked, and safe writing. Works on spans of the
 * text, so what is not looked at stays verbatim; never builds a tree. Source: RFC 8259.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct arena;

/* A piece of checked text. */
struct json_span {
	const char *at;
	size_t len;
};

enum json_type {
	JSON_NULL,
	JSON_BOOL,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
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

/** True if a member's raw name, as json_iter_next() gives it, is the text 'name' once its escapes are undone. */
bool json_name_is(struct json_span raw, const char *name);

/** Value of the last member 'name' of the object at 'value', verbatim. False if it has none or is no object. */
bool json_member(struct json_span value, const char *name, struct json_span *ret_value);

/** The same for 'count' members in one walk. '*ret_values' gets a value for each of 'names', of length 0 where there is no
 *  such member. False if it is no object. */
bool json_members(struct json_span value, const char *const *names, size_t count,
		  struct json_span *ret_values);

/** What 'v' is. An empty span is null, so that a missing member reads as one. */
enum json_type json_type(struct json_span v);

/** "null", "a string", … for error texts. */
const char *json_type_text(enum json_type type);

/** 'text' without blanks at both ends. */
struct json_span json_trim(const char *text, size_t len);

/** The text of the string 'v', escapes undone, with a NUL, in 'a'; NULL without memory. */
const char *json_string(struct json_span v, struct arena *a);

/** The same for what stands between quotes, such as the raw name of a member. */
const char *json_unescape(struct json_span raw, struct arena *a);

/** True if 'len' bytes at 'text' stand for themselves inside a JSON string: ASCII, no quote, no backslash, no control character. */
bool json_plain(const char *text, size_t len);

/** A copy of the text as it stands, with a NUL, in 'a'; NULL without memory. */
const char *json_verbatim(struct json_span v, struct arena *a);

/** Value of a number that is a member or an element (so that text follows); may be infinite. */
double json_double(struct json_span v);

/** Value of such a number if it is whole (also written 2.0 or 1e3, if exact). False if it is not or does not fit. */
bool json_i64(struct json_span v, int64_t *ret);

/** Value of a whole number that is written in digits alone, 0..UINT32_MAX. False for anything else. */
bool json_u32(struct json_span v, uint32_t *ret);

/** True for the text true. */
bool json_is_true(struct json_span v);

/** True if 'v' is 'text', byte for byte. */
bool json_is(struct json_span v, const char *text);

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

/** Put '?' in the place of each byte of 's' that is not part of valid UTF-8: for texts that were cut somewhere. */
void utf8_mask(char *s);

/** Length of the longest prefix that does not end inside a character that could still become valid. For streams. */
size_t utf8_whole_prefix(const char *s, size_t len);

#endif
