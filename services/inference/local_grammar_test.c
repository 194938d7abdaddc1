/*
 * inference/local_grammar_test.c - response_format → grammar: what it says, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/local_grammar.h"

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define SCHEMA(s) "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":" s "}}"

/* The rules that 'format' adds to those for any JSON. */
static void
expect_rules(const char *format, const char *want)
{
	struct buf out = BUF_INIT(GRAMMAR_MAX);
	struct im_err err;
	const char *own;

	if (grammar_from_format(format, &out, &err) != IM_OK)
		fail_msg("%s: %s", format, err.text);
	own = strstr(buf_cstr(&out), "ws ::=");
	assert_non_null(own);
	assert_string_equal(strchr(own, '\n') + 1, want);
	buf_done(&out);
}

static void
expect_refusal(const char *format, const char *text)
{
	struct buf out = BUF_INIT(GRAMMAR_MAX);
	struct im_err err;

	assert_int_equal(grammar_from_format(format, &out, &err), IM_EINVAL);
	assert_non_null(strstr(err.text, text));
	assert_string_equal(err.reason, "unsupported_parameter");
	assert_int_equal(strncmp(err.param, "response_format", 15), 0);
	buf_done(&out);
}

static void
test_grammar_text_needs_none(void **state)
{
	struct buf out = BUF_INIT(GRAMMAR_MAX);

	(void)state;
	assert_int_equal(grammar_from_format("{ \"type\" : \"text\" }", &out, NULL), IM_OK);
	assert_int_equal(out.len, 0);
}

static void
test_grammar_object_is_any_object(void **state)
{
	(void)state;
	expect_rules("{\"type\":\"json_object\"}", "root ::= object\n");
	expect_rules("{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\"}}",
		     "root ::= object\n");
}

static void
test_grammar_schemas_become_rules(void **state)
{
	static const char *const cases[][2] = {
		{ SCHEMA("{}"), "s0 ::= value\nroot ::= s0\n" },
		{ SCHEMA("{\"type\":[\"integer\",\"null\"]}"),
		  "s0 ::= (integer | null)\nroot ::= s0\n" },
		{ SCHEMA("{\"const\":\"a\\\"b\"}"),
		  "s0 ::= \"\\\"a\\\\\\\"b\\\"\"\nroot ::= s0\n" },
		{ SCHEMA("{\"enum\":[1,\"x\",null]}"),
		  "s0 ::= (\"1\" | \"\\\"x\\\"\" | \"null\")\nroot ::= s0\n" },
		{ SCHEMA("{\"type\":\"string\",\"minLength\":1,\"maxLength\":9}"),
		  "s0 ::= \"\\\"\" char{1,9} \"\\\"\"\nroot ::= s0\n" },
		{ SCHEMA("{\"type\":\"array\",\"items\":{\"type\":\"number\"},\"maxItems\":3}"),
		  "s0 ::= \"[\" ws (s1 ws (\",\" ws s1 ws){0,2})? \"]\"\ns1 ::= number\nroot ::= s0\n" },
		{ SCHEMA("{\"type\":\"array\",\"minItems\":2}"),
		  "s0 ::= \"[\" ws value ws (\",\" ws value ws){1,} \"]\"\nroot ::= s0\n" },
		{ SCHEMA("{\"type\":\"array\",\"maxItems\":0}"),
		  "s0 ::= \"[\" ws \"]\"\nroot ::= s0\n" },
		{ SCHEMA("{\"type\":\"object\",\"additionalProperties\":{\"type\":\"null\"}}"),
		  "s0 ::= \"{\" ws (string ws \":\" ws s1 ws (\",\" ws string ws \":\" ws s1 ws)*)? \"}\"\n"
		  "s1 ::= null\nroot ::= s0\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		expect_rules(cases[i][0], cases[i][1]);
}

static void
test_grammar_optional_members_may_be_left_out(void **state)
{
	(void)state;
	expect_rules(
	    SCHEMA("{\"properties\":{\"a\":{},\"b\":{\"type\":\"null\"}},\"required\":[\"b\"]}"),
	    "m1n0 ::= \",\" ws \"\\\"a\\\"\" ws \":\" ws s1 ws m1n1 | m1n1\n"
	    "m1f0 ::= \"\\\"a\\\"\" ws \":\" ws s1 ws m1n1 | m1f1\n"
	    "m1n1 ::= \",\" ws \"\\\"b\\\"\" ws \":\" ws s2 ws m1n2\n"
	    "m1f1 ::= \"\\\"b\\\"\" ws \":\" ws s2 ws m1n2\n"
	    "m1f2 ::= \"\"\nm1n2 ::= \"\"\n"
	    "s0 ::= \"{\" ws m1f0 \"}\"\ns1 ::= value\ns2 ::= null\nroot ::= s0\n");
}

static void
test_grammar_schema_may_refer_to_itself(void **state)
{
	(void)state;
	expect_rules(
	    SCHEMA(
		"{\"$ref\":\"#/$defs/t\",\"$defs\":{\"t\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"}}}}"),
	    "s0 ::= s1\ns1 ::= \"[\" ws (s2 ws (\",\" ws s2 ws){0,})? \"]\"\ns2 ::= s1\nroot ::= s0\n");
}

static void
test_grammar_what_it_cannot_say_is_refused(void **state)
{
	static const char *const cases[][2] = {
		{ "{\"type\":\"xml\"}", "text, json_object or json_schema" },
		{ "[]", "text, json_object or json_schema" },
		{ "{\"type\":\"json_schema\"}", "an object with a schema" },
		{ SCHEMA("5"), "a schema is to be an object" },
		{ SCHEMA("{\"type\":\"integer\",\"minimum\":3}"), "'minimum' is not supported" },
		{ SCHEMA("{\"type\":\"string\",\"pattern\":\"a\"}"), "'pattern' is not supported" },
		{ SCHEMA("{\"type\":\"strin\"}"), "a type is to be object" },
		{ SCHEMA("{\"type\":[]}"), "a list of names" },
		{ SCHEMA("{\"type\":[5]}"), "a type is to be a name" },
		{ SCHEMA("{\"enum\":[]}"), "not empty" },
		{ SCHEMA("{\"anyOf\":{}}"), "not empty" },
		{ SCHEMA("{\"allOf\":[{},{}]}"), "one schema only" },
		{ SCHEMA("{\"$ref\":\"other.json\"}"), "#/$defs/NAME" },
		{ SCHEMA("{\"$ref\":\"#/$defs/no\"}"), "names nothing" },
		{ SCHEMA("{\"type\":\"object\",\"required\":[\"x\"]}"), "not among properties" },
		{ SCHEMA("{\"type\":\"string\",\"maxLength\":1001}"), "whole number up to 1000" },
		{ SCHEMA("{\"type\":\"array\",\"minItems\":1.5}"), "whole number up to 1000" },
		{ SCHEMA("{\"type\":\"array\",\"minItems\":3,\"maxItems\":2}"), "more than" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		expect_refusal(cases[i][0], cases[i][1]);
}

static void
test_grammar_too_large_or_deep_is_refused(void **state)
{
	static char text[GRAMMAR_SCHEMA_MAX + 100];
	size_t n = 0;

	(void)state;
	n += (size_t)snprintf(text, sizeof(text),
			      "{\"type\":\"json_schema\",\"json_schema\":{\"schema\":");
	for (int i = 0; i < GRAMMAR_DEPTH_MAX + 1; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "{\"anyOf\":[");
	n += (size_t)snprintf(text + n, sizeof(text) - n, "{}");
	for (int i = 0; i < GRAMMAR_DEPTH_MAX + 1; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "]}");
	(void)snprintf(text + n, sizeof(text) - n, "}}");
	expect_refusal(text, "too deep");
	memset(text, ' ', sizeof(text) - 1);
	expect_refusal(text, "64 KiB");
	n = (size_t)snprintf(
	    text, sizeof(text),
	    "{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"properties\":{\"p\":{}");
	for (int i = 0; i < 1000; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, ",\"p%d\":{}", i);
	(void)snprintf(text + n, sizeof(text) - n, "}}}}");
	expect_refusal(text, "too many properties");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar_text_needs_none),
		cmocka_unit_test(test_grammar_object_is_any_object),
		cmocka_unit_test(test_grammar_schemas_become_rules),
		cmocka_unit_test(test_grammar_optional_members_may_be_left_out),
		cmocka_unit_test(test_grammar_schema_may_refer_to_itself),
		cmocka_unit_test(test_grammar_what_it_cannot_say_is_refused),
		cmocka_unit_test(test_grammar_too_large_or_deep_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
