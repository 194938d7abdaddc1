/*
 * inference/local_grammar.c - JSON schema → GBNF; see local_grammar.h. Each schema becomes one rule, whose name is made before its
 * text, so that a schema may refer to itself.
 */
#include "inference/local_grammar.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/local_schema.h"

/* White space is bounded: a model that likes it would fill its context with it. */
static const char json_rules[] =
    "value ::= object | array | string | number | boolean | null\n"
    "object ::= \"{\" ws (string ws \":\" ws value ws (\",\" ws string ws \":\" ws value ws)*)? \"}\"\n"
    "array ::= \"[\" ws (value ws (\",\" ws value ws)*)? \"]\"\n"
    "string ::= \"\\\"\" char* \"\\\"\"\n"
    "char ::= [^\"\\\\\\x00-\\x1F\\x7F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F])\n"
    "integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15})\n"
    "number ::= integer (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?\n"
    "boolean ::= \"true\" | \"false\"\n"
    "null ::= \"null\"\n"
    "ws ::= (\" \" | \"\\n\" [ \\t]{0,20})?\n";

enum im_rc
schema_refuse(struct im_err *err, const char *param, const char *what)
{
	enum im_rc rc =
	    err_reason(err, IM_EINVAL, "unsupported_parameter",
		       "a local model cannot follow this response_format: %.200s", what);

	if (err != NULL)
		(void)snprintf(err->param, sizeof(err->param), "%s", param);
	return rc;
}

static enum im_rc
from_schema(const cJSON *format, struct buf *out, struct im_err *err)
{
	const cJSON *outer = cJSON_GetObjectItemCaseSensitive(format, "json_schema");
	const cJSON *schema = cJSON_GetObjectItemCaseSensitive(outer, "schema");

	if (!cJSON_IsObject(outer))
		return schema_refuse(err, "response_format.json_schema",
				     "json_schema is to be an object with a schema");
	if (schema == NULL) /* OpenAI's API takes that for any object */
		return buf_append_str(out, "root ::= object\n") ? IM_OK : IM_ENOMEM;
	return schema_to_rules(schema, out, err);
}

enum im_rc
grammar_from_format(const char *format_json, struct buf *out, struct im_err *err)
{
	cJSON *format;
	const char *type;
	enum im_rc rc = IM_OK;

	if (strlen(format_json) > GRAMMAR_SCHEMA_MAX)
		return schema_refuse(err, "response_format", "it has more than 64 KiB");
	format = cJSON_Parse(format_json);
	type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(format, "type"));
	if (type == NULL || (strcmp(type, "json_object") != 0 && strcmp(type, "json_schema") != 0 &&
			     strcmp(type, "text") != 0)) {
		rc = schema_refuse(err, "response_format.type",
				   "its type is to be text, json_object or json_schema");
	} else if (strcmp(type, "text") != 0) {
		(void)buf_append_str(out, json_rules);
		if (strcmp(type, "json_object") == 0)
			(void)buf_append_str(out, "root ::= object\n");
		else
			rc = from_schema(format, out, err);
	}
	cJSON_Delete(format);
	if (rc == IM_OK && !buf_ok(out))
		rc = schema_refuse(err, "response_format", "its grammar becomes too large");
	return rc;
}
