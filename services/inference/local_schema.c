/*
 * inference/local_schema.c - see local_schema.h. A schema becomes an expression; what is named, or refers to itself, a rule.
 */
#include "inference/local_schema.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/local_grammar.h"

#define SCHEMA_PARAM "response_format.json_schema.schema"
#define RULES_MAX    2048
#define NODES_MAX    4096 /* schemas, each reference counted once */
#define MEMBERS_MAX  1000 /* of one object */
#define COUNT(a)     (sizeof(a) / sizeof((a)[0]))

struct walk {
	const cJSON *root;
	struct buf *out;
	struct im_err *err;
	const cJSON *named[RULES_MAX]; /* rule 'sI' is for named[I] */
	unsigned rules, written, nodes, depth;
};

static enum im_rc expression(struct walk *w, const cJSON *s, struct buf *out);

static enum im_rc
refuse(struct walk *w, const char *what)
{
	return schema_refuse(w->err, SCHEMA_PARAM, what);
}

static const cJSON *
get(const cJSON *s, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(s, name);
}

/* What an answer must hold, and the grammar says or is told below; everything else with a meaning is refused. */
static enum im_rc
check_keywords(struct walk *w, const cJSON *s)
{
	static const char *const known[] = { "type",        "enum",       "const",
					     "anyOf",       "oneOf",      "allOf",
					     "$ref",        "properties", "required",
					     "items",       "minItems",   "maxItems",
					     "minLength",   "maxLength",  "$defs",
					     "definitions", "$schema",    "$id",
					     "$comment",    "title",      "default",
					     "examples",    "deprecated", "readOnly",
					     "description", "writeOnly",  "additionalProperties" };
	const cJSON *m = NULL;
	char text[160];

	cJSON_ArrayForEach(m, s)
	{
		size_t i = 0;

		while (i < COUNT(known) && strcmp(known[i], m->string) != 0)
			i++;
		if (i == COUNT(known)) {
			(void)snprintf(text, sizeof(text), "the keyword '%.60s' is not supported",
				       m->string);
			return refuse(w, text);
		}
	}
	return IM_OK;
}

/* 'text' as a literal of the grammar. */
static void
put_literal(struct buf *out, const char *text)
{
	(void)buf_append_byte(out, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			(void)buf_append_byte(out, '\\');
		(void)buf_append_byte(out, (uint8_t)*text);
	}
	(void)buf_append_byte(out, '"');
}

/* The JSON text of 'v' as a literal. */
static enum im_rc
put_value(struct walk *w, const cJSON *v, struct buf *out)
{
	char *text = cJSON_PrintUnformatted(v);

	if (text == NULL)
		return err_set(w->err, IM_ENOMEM, "no memory for the request; try again later");
	put_literal(out, text);
	cJSON_free(text);
	return IM_OK;
}

/* Any of the list, each written by 'one'; 'refusal' says what else it was. */
static enum im_rc
put_any_of(struct walk *w, const cJSON *list, const char *refusal,
	   enum im_rc (*one)(struct walk *w, const cJSON *item, struct buf *out), struct buf *out)
{
	const cJSON *item = NULL;
	const char *between = "(";

	if (!cJSON_IsArray(list) || list->child == NULL)
		return refuse(w, refusal);
	cJSON_ArrayForEach(item, list)
	{
		enum im_rc rc;

		(void)buf_append_str(out, between);
		rc = one(w, item, out);
		if (rc != IM_OK)
			return rc;
		between = " | ";
	}
	(void)buf_append_byte(out, ')');
	return IM_OK;
}

/* "minItems" and its like: '*ret_min' and '*ret_max' (UINT32_MAX = none). */
static enum im_rc
read_bounds(struct walk *w, const cJSON *s, const char *low, const char *high, unsigned *ret_min,
	    unsigned *ret_max)
{
	const cJSON *bounds[] = { get(s, low), get(s, high) };
	unsigned n[] = { 0, UINT32_MAX };
	char text[160];

	for (size_t i = 0; i < 2; i++) {
		double v = bounds[i] != NULL ? cJSON_GetNumberValue(bounds[i]) : 0;

		if (bounds[i] == NULL)
			continue;
		if (!(v >= 0 && v <= GRAMMAR_REPEAT_MAX) || v != floor(v)) {
			(void)snprintf(text, sizeof(text), "%s is to be a whole number up to %d",
				       i == 0 ? low : high, GRAMMAR_REPEAT_MAX);
			return refuse(w, text);
		}
		n[i] = (unsigned)v;
	}
	if (n[0] > n[1]) {
		(void)snprintf(text, sizeof(text), "%s is more than %s", low, high);
		return refuse(w, text);
	}
	*ret_min = n[0];
	*ret_max = n[1];
	return IM_OK;
}

static void
put_times(struct buf *out, unsigned min, unsigned max)
{
	if (max == UINT32_MAX)
		(void)buf_printf(out, "{%u,}", min);
	else
		(void)buf_printf(out, "{%u,%u}", min, max);
}

static enum im_rc
put_string(struct walk *w, const cJSON *s, struct buf *out)
{
	unsigned min = 0, max = 0;
	enum im_rc rc = read_bounds(w, s, "minLength", "maxLength", &min, &max);

	if (rc != IM_OK)
		return rc;
	(void)buf_append_str(out, "\"\\\"\" char");
	put_times(out, min, max);
	(void)buf_append_str(out, " \"\\\"\"");
	return IM_OK;
}

/* The name of a rule for 's', which is written later. */
static enum im_rc
put_rule(struct walk *w, const cJSON *s, struct buf *out)
{
	unsigned i = 0;

	if (s == NULL || cJSON_IsTrue(s)) {
		(void)buf_append_str(out, "value");
		return IM_OK;
	}
	while (i < w->rules && w->named[i] != s)
		i++;
	if (i == w->rules) {
		if (w->rules == RULES_MAX)
			return refuse(w, "it is too large");
		w->named[w->rules++] = s;
	}
	(void)buf_printf(out, "s%u", i);
	return IM_OK;
}

static enum im_rc
put_array(struct walk *w, const cJSON *s, struct buf *out)
{
	struct buf item = BUF_INIT(64);
	unsigned min = 0, max = 0;
	enum im_rc rc = read_bounds(w, s, "minItems", "maxItems", &min, &max);

	if (rc == IM_OK)
		rc = put_rule(w, get(s, "items"), &item);
	if (rc == IM_OK && max == 0) {
		(void)buf_append_str(out, "\"[\" ws \"]\"");
	} else if (rc == IM_OK) {
		const char *name = buf_cstr(&item);

		(void)buf_printf(out, "\"[\" ws %s%s ws (\",\" ws %s ws)", min == 0 ? "(" : "",
				 name, name);
		put_times(out, min == 0 ? 0 : min - 1, max == UINT32_MAX ? max : max - 1);
		(void)buf_printf(out, "%s \"]\"", min == 0 ? ")?" : "");
	}
	buf_done(&item);
	return rc;
}

static bool
is_required(const cJSON *s, const char *name)
{
	const cJSON *r = NULL;

	cJSON_ArrayForEach(r,
			   get(s, "required")) if (cJSON_IsString(r) &&
						   strcmp(r->valuestring, name) == 0) return true;
	return false;
}

/* "name": value */
static enum im_rc
put_member(struct walk *w, const cJSON *p, struct buf *out)
{
	cJSON *name = cJSON_CreateStringReference(p->string);
	enum im_rc rc;

	if (name == NULL)
		return err_set(w->err, IM_ENOMEM, "no memory for the request; try again later");
	rc = put_value(w, name, out);
	cJSON_Delete(name);
	(void)buf_append_str(out, " ws \":\" ws ");
	return rc == IM_OK ? put_rule(w, p, out) : rc;
}

/* The members of 's' in their order, optional ones there or not. Two rules for each place: nothing was written before (f), or
 * something was, and a comma comes first (n). */
static enum im_rc
put_members(struct walk *w, const cJSON *s, unsigned id)
{
	const cJSON *p = NULL;
	unsigned i = 0;
	enum im_rc rc = IM_OK;

	cJSON_ArrayForEach(p, get(s, "properties"))
	{
		bool required = is_required(s, p->string);

		for (int first = 0; first < 2 && rc == IM_OK; first++) {
			(void)buf_printf(w->out, "m%u%c%u ::= %s", id, first ? 'f' : 'n', i,
					 first ? "" : "\",\" ws ");
			rc = put_member(w, p, w->out);
			(void)buf_printf(w->out, " ws m%un%u", id, i + 1);
			if (!required)
				(void)buf_printf(w->out, " | m%u%c%u", id, first ? 'f' : 'n',
						 i + 1);
			(void)buf_append_byte(w->out, '\n');
		}
		if (rc != IM_OK)
			return rc;
		i++;
	}
	(void)buf_printf(w->out, "m%uf%u ::= \"\"\nm%un%u ::= \"\"\n", id, i, id, i);
	return rc;
}

static enum im_rc
check_required(struct walk *w, const cJSON *s)
{
	const cJSON *r = NULL, *required = get(s, "required");

	if (required != NULL && !cJSON_IsArray(required))
		return refuse(w, "required is to be a list of names");
	if (cJSON_GetArraySize(required) > MEMBERS_MAX ||
	    cJSON_GetArraySize(get(s, "properties")) > MEMBERS_MAX)
		return refuse(w, "an object has too many properties");
	cJSON_ArrayForEach(
	    r, required) if (!cJSON_IsString(r) ||
			     get(get(s, "properties"), r->valuestring) ==
				 NULL) return refuse(w,
						     "required names what is not among properties");
	return IM_OK;
}

static enum im_rc
put_object(struct walk *w, const cJSON *s, struct buf *out)
{
	const cJSON *properties = get(s, "properties"), *more = get(s, "additionalProperties");
	unsigned id = w->nodes;
	enum im_rc rc = check_required(w, s);

	if (rc != IM_OK)
		return rc;
	if (properties != NULL && !cJSON_IsObject(properties))
		return refuse(w, "properties is to be an object");
	if (properties != NULL && properties->child != NULL) {
		(void)buf_printf(out, "\"{\" ws m%uf0 \"}\"", id);
		return put_members(w, s, id);
	}
	if (cJSON_IsFalse(more)) {
		(void)buf_append_str(out, "\"{\" ws \"}\"");
		return IM_OK;
	}
	(void)buf_append_str(out, "\"{\" ws (string ws \":\" ws ");
	rc = put_rule(w, more, out);
	if (rc != IM_OK)
		return rc;
	(void)buf_append_str(out, " ws (\",\" ws string ws \":\" ws ");
	rc = put_rule(w, more, out);
	(void)buf_append_str(out, " ws)*)? \"}\"");
	return rc;
}

static enum im_rc
put_type(struct walk *w, const cJSON *s, const char *type, struct buf *out)
{
	static const char *const plain[] = { "number", "integer", "boolean", "null" };

	if (type == NULL)
		return refuse(w, "a type is to be a name");
	for (size_t i = 0; i < COUNT(plain); i++)
		if (strcmp(type, plain[i]) == 0)
			return buf_append_str(out, type) ? IM_OK : refuse(w, "it is too large");
	if (strcmp(type, "string") == 0)
		return put_string(w, s, out);
	if (strcmp(type, "array") == 0)
		return put_array(w, s, out);
	if (strcmp(type, "object") == 0)
		return put_object(w, s, out);
	return refuse(w, "a type is to be object, array, string, number, integer, boolean or null");
}

/* A member by a piece of a JSON pointer of 'len' bytes, which has no escapes. */
static const cJSON *
member_at(const cJSON *s, const char *name, size_t len)
{
	const cJSON *m = NULL;

	cJSON_ArrayForEach(m, s) if (m->string != NULL && strlen(m->string) == len &&
				     memcmp(m->string, name, len) == 0) return m;
	return NULL;
}

static enum im_rc
put_ref(struct walk *w, const cJSON *ref, struct buf *out)
{
	const char *at = cJSON_GetStringValue(ref);
	const cJSON *s = w->root;

	if (at == NULL || at[0] != '#' || strpbrk(at, "~%") != NULL)
		return refuse(w, "a $ref is to be of the form #/$defs/NAME");
	for (at++; s != NULL && *at == '/'; at += strcspn(at, "/")) {
		at++;
		s = member_at(s, at, strcspn(at, "/"));
	}
	if (s == NULL || *at != '\0' || !cJSON_IsObject(s))
		return refuse(w, "a $ref names nothing that is there");
	return put_rule(w, s, out);
}

static enum im_rc
put_types(struct walk *w, const cJSON *s, const cJSON *type, struct buf *out)
{
	const cJSON *t = NULL;
	const char *between = "(";
	enum im_rc rc = IM_OK;

	if (cJSON_IsString(type))
		return put_type(w, s, type->valuestring, out);
	if (!cJSON_IsArray(type) || type->child == NULL || cJSON_GetArraySize(type) > 7)
		return refuse(w, "type is to be a name or a list of names");
	cJSON_ArrayForEach(t, type)
	{
		(void)buf_append_str(out, between);
		rc = put_type(w, s, cJSON_GetStringValue(t), out);
		if (rc != IM_OK)
			return rc;
		w->nodes++; /* each has names of its own */
		between = " | ";
	}
	(void)buf_append_byte(out, ')');
	return rc;
}

static enum im_rc
choose(struct walk *w, const cJSON *s, struct buf *out)
{
	const cJSON *all = get(s, "allOf"), *v;

	if ((v = get(s, "$ref")) != NULL)
		return put_ref(w, v, out);
	if ((v = get(s, "const")) != NULL)
		return put_value(w, v, out);
	if ((v = get(s, "enum")) != NULL)
		return put_any_of(w, v, "enum is to be a list that is not empty", put_value, out);
	if ((v = get(s, "anyOf")) != NULL || (v = get(s, "oneOf")) != NULL)
		return put_any_of(w, v, "anyOf is to be a list that is not empty", expression, out);
	if (all != NULL && (!cJSON_IsArray(all) || cJSON_GetArraySize(all) != 1))
		return refuse(w, "allOf is supported with one schema only");
	if (all != NULL)
		return expression(w, all->child, out);
	if ((v = get(s, "type")) != NULL)
		return put_types(w, s, v, out);
	if (get(s, "properties") != NULL)
		return put_object(w, s, out);
	if (get(s, "items") != NULL)
		return put_array(w, s, out);
	(void)buf_append_str(out, "value");
	return IM_OK;
}

static enum im_rc
expression(struct walk *w, const cJSON *s, struct buf *out)
{
	enum im_rc rc;

	if (cJSON_IsTrue(s)) {
		(void)buf_append_str(out, "value");
		return IM_OK;
	}
	if (!cJSON_IsObject(s))
		return refuse(w, "a schema is to be an object");
	if (++w->nodes > NODES_MAX || w->depth == GRAMMAR_DEPTH_MAX)
		return refuse(w, "it is too large or too deep");
	rc = check_keywords(w, s);
	w->depth++;
	if (rc == IM_OK)
		rc = choose(w, s, out);
	w->depth--;
	return rc;
}

enum im_rc
schema_to_rules(const cJSON *schema, struct buf *out, struct im_err *err)
{
	struct walk *w = calloc(1, sizeof(*w));
	struct buf text = BUF_INIT(GRAMMAR_MAX);
	enum im_rc rc = IM_OK;

	if (w == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the request; try again later");
	*w = (struct walk){
		.root = schema, .out = out, .err = err, .named = { schema }, .rules = 1
	};
	/* Writing a rule may name further ones. */
	for (; rc == IM_OK && w->written < w->rules; w->written++) {
		buf_clear(&text);
		rc = expression(w, w->named[w->written], &text);
		(void)buf_printf(out, "s%u ::= %s\n", w->written, buf_cstr(&text));
		if (rc == IM_OK && (!buf_ok(&text) || !buf_ok(out)))
			rc = refuse(w, "its grammar becomes too large");
	}
	(void)buf_append_str(out, "root ::= s0\n");
	buf_done(&text);
	free(w);
	return rc;
}
