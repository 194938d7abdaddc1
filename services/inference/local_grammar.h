/*
 * inference/local_grammar.h - a request's response_format → a grammar (GBNF, as llama.cpp reads it) that every answer follows.
 * A JSON schema is honoured whole or refused: what an answer would have to hold and the grammar cannot say is an error. Pure.
 */
#ifndef INFERENCE_LOCAL_GRAMMAR_H
#define INFERENCE_LOCAL_GRAMMAR_H

#include "base/buf.h"
#include "base/err.h"

#define GRAMMAR_SCHEMA_MAX 65536  /* bytes of a response_format */
#define GRAMMAR_MAX        524288 /* bytes of a grammar */
#define GRAMMAR_DEPTH_MAX  32     /* schemas within each other */
#define GRAMMAR_REPEAT_MAX 1000   /* minLength, maxItems ... */

/**
 * Append the grammar for 'format_json', which is a JSON object: {"type":"json_object"} or {"type":"json_schema","json_schema":
 * {"schema":{...}}}; {"type":"text"} appends nothing. The rule to begin with is 'root'.
 * Schemas: type (also several), enum, const, anyOf, oneOf, allOf of one, $ref within it (also to itself), properties and required in their order,
 * additionalProperties, items, minItems, maxItems, minLength, maxLength; annotations are passed over.
 * IM_OK; IM_EINVAL with err->param: not understood, not supported, too large; IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc grammar_from_format(const char *format_json, struct buf *out,
					     struct im_err *err);

#endif
