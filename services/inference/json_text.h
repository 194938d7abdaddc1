/*
 * inference/json_text.h - values out of JSON text that json_check() accepted: strings without their escapes, whole
 * numbers, members. Works on spans, so what must stay verbatim stays verbatim. Never builds a tree.
 */
#ifndef INFERENCE_JSON_TEXT_H
#define INFERENCE_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"

/** 'text' without blanks at both ends. */
struct json_span json_trim(const char *text, size_t len);

static inline bool
json_is_string(struct json_span v)
{
	return v.len >= 2 && v.at[0] == '"';
}

static inline bool
json_is_object(struct json_span v)
{
	return v.len >= 2 && v.at[0] == '{';
}

static inline bool
json_is_array(struct json_span v)
{
	return v.len >= 2 && v.at[0] == '[';
}

/** Undo the escapes of what stands between two quotes (a member's name as json_iter_next() gives it). NULL without
 *  memory. */
const char *json_unescape(struct json_span raw, struct arena *a);

/**
 * Text of member 'name' of 'object' into '*ret': in 'a', NULL when it is missing or null. IM_OK, IM_ENOMEM, or IM_EPROTO when it
 * is something else than a string ('*ret' is untouched).
 */
IM_MUST_CHECK enum im_rc json_text(struct json_span object, const char *name, struct arena *a,
				   const char **ret);

/** Whole number without sign, 0..UINT32_MAX, of member 'name'. False when it is missing or no such number. */
bool json_u32(struct json_span object, const char *name, uint32_t *ret);

/** A copy of 'v' with a NUL, in 'a'; NULL without memory. */
const char *json_verbatim(struct json_span v, struct arena *a);

#endif
