/*
 * gateway/span.h - values out of JSON text that json_check() accepted, as spans of that text: what they are, and their
 * value as C types. What is not looked at stays verbatim. Pure; never builds a tree.
 */
#ifndef GATEWAY_SPAN_H
#define GATEWAY_SPAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/json.h"

enum span_type {
	SPAN_NULL,
	SPAN_BOOL,
	SPAN_NUMBER,
	SPAN_STRING,
	SPAN_ARRAY,
	SPAN_OBJECT
};

enum span_type span_type(struct json_span v);

/** "a string", "null", … for error texts. */
const char *span_type_text(enum span_type type);

/** The text between the quotes of a string, escapes undone, with a NUL, in 'a'; NULL without memory. */
const char *span_string(struct json_span v, struct arena *a);

/** As span_string() for a member's name as json_iter_next() gives it, without quotes. */
const char *span_name(struct json_span raw, struct arena *a);

/** A copy of the text as it stands, with a NUL, in 'a'; NULL without memory. */
const char *span_verbatim(struct json_span v, struct arena *a);

/** Value of a number that is a member or an element (so that text follows); may be infinite. */
double span_double(struct json_span v);

/** Value of a whole number (also written 2.0 or 1e3, if exact). False if it is none or does not fit. */
bool span_i64(struct json_span v, int64_t *ret);

/** True for the text true. */
bool span_bool(struct json_span v);

#endif
