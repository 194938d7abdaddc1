/*
 * inference/local_schema.h - the part of local_grammar.h that walks a JSON schema. Only local_grammar.c includes it.
 */
#ifndef INFERENCE_LOCAL_SCHEMA_H
#define INFERENCE_LOCAL_SCHEMA_H

#include "base/buf.h"
#include "base/err.h"

struct cJSON;

/** Append rules for 'schema', the first of them 'root', over the rules for any JSON. As grammar_from_format(). */
IM_MUST_CHECK enum im_rc schema_to_rules(const struct cJSON *schema, struct buf *out,
					 struct im_err *err);

/** Set 'err' for what cannot be followed. Returns IM_EINVAL. */
enum im_rc schema_refuse(struct im_err *err, const char *param, const char *what);

#endif
