/*
 * gateway/chat_inputs_test.c - bodies of completions and embeddings: every form of their inputs, and every mistake in them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "gateway/chat_request.h"

static struct arena arena;
static struct chat_request req;
static struct im_err err;

static enum im_rc
parse(enum generate_op operation, const char *body)
{
	size_t len = strlen(body);
	uint8_t *exact = malloc(len + 1); /* so that a sanitizer sees a read behind the end */
	enum im_rc rc;

	assert_non_null(exact);
	memcpy(exact, body, len + 1);
	exact = realloc(exact, len);
	arena_done(&arena);
	memset(&req, 0xee, sizeof(req));
	memset(&err, 0, sizeof(err));
	rc = chat_request_parse(operation, exact, len, &arena, &req, &err);
	free(exact);
	return rc;
}

static int
teardown(void **state)
{
	(void)state;
	arena_done(&arena);
	return 0;
}

static void
test_inputs_in_each_form_are_read(void **state)
{
	const struct generate_request *g = &req.generate;

	(void)state;
	assert_int_equal(parse(OPERATION_EMBEDDING, "{\"model\":\"m\",\"input\":\"\\u00e9\"}"),
			 IM_OK);
	assert_int_equal(g->operation, OPERATION_EMBEDDING);
	assert_int_equal(g->input_count, 1);
	assert_string_equal(g->inputs[0].text, "\xc3\xa9");
	assert_false(req.base64);
	assert_false(g->dimensions.set);
	assert_int_equal(
	    parse(OPERATION_EMBEDDING,
		  "{\"input\":[\"a\",\"b\"],\"model\":\"m\",\"encoding_format\":\"base64\","
		  "\"dimensions\":64,\"user\":\"u\",\"truncate\":true,\"temperature\":9}"),
	    IM_OK);
	assert_int_equal(g->input_count, 2);
	assert_string_equal(g->inputs[1].text, "b");
	assert_true(req.base64);
	assert_true(g->dimensions.set && g->dimensions.v == 64);
	assert_string_equal(g->user, "u");
	/* What an embedding does not know travels on as it is. */
	assert_string_equal(g->extra_json, "{\"truncate\":true,\"temperature\":9}");
	assert_int_equal(parse(OPERATION_EMBEDDING, "{\"model\":\"m\",\"input\":[1,2,2147483647]}"),
			 IM_OK);
	assert_int_equal(g->input_count, 1);
	assert_int_equal(g->inputs[0].token_count, 3);
	assert_int_equal(g->inputs[0].tokens[2], 2147483647);
	assert_int_equal(
	    parse(OPERATION_EMBEDDING, "{\"model\":\"m\",\"input\":[[1],[2,3],\"c\"]}"), IM_OK);
	assert_int_equal(g->input_count, 3);
	assert_int_equal(g->inputs[1].token_count, 2);
	assert_string_equal(g->inputs[2].text, "c");
	assert_int_equal(g->inputs[2].token_count, 0);
}

struct mistake {
	const char *body, *reason, *param;
};

static void
expect_mistakes(enum generate_op operation, const struct mistake *m, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (parse(operation, m[i].body) != IM_EINVAL)
			fail_msg("taken: %s", m[i].body);
		assert_string_equal(err.reason, m[i].reason);
		assert_string_equal(err.param, m[i].param);
		assert_string_not_equal(err.text, "");
	}
}

static void
test_embedding_mistakes_say_where_they_are(void **state)
{
	static const struct mistake m[] = {
		{ "{\"model\":\"m\"}", "missing_required_parameter", "input" },
		{ "{\"input\":\"a\"}", "missing_required_parameter", "model" },
		{ "{\"model\":\"m\",\"input\":null}", "missing_required_parameter", "input" },
		{ "{\"model\":\"m\",\"input\":5}", "invalid_type", "input" },
		{ "{\"model\":\"m\",\"input\":{}}", "invalid_type", "input" },
		{ "{\"model\":\"m\",\"input\":\"\"}", "invalid_value", "input" },
		{ "{\"model\":\"m\",\"input\":[]}", "invalid_value", "input" },
		{ "{\"model\":\"m\",\"input\":[\"a\",\"\"]}", "invalid_value", "input[1]" },
		{ "{\"model\":\"m\",\"input\":[\"a\",7]}", "invalid_type", "input[1]" },
		{ "{\"model\":\"m\",\"input\":[\"a\",[]]}", "invalid_value", "input[1]" },
		{ "{\"model\":\"m\",\"input\":[true]}", "invalid_type", "input[0]" },
		{ "{\"model\":\"m\",\"input\":[1,\"a\"]}", "invalid_type", "input[1]" },
		{ "{\"model\":\"m\",\"input\":[1,-1]}", "invalid_value", "input[1]" },
		{ "{\"model\":\"m\",\"input\":[1,1.5]}", "invalid_value", "input[1]" },
		{ "{\"model\":\"m\",\"input\":[2147483648]}", "invalid_value", "input[0]" },
		{ "{\"model\":\"m\",\"input\":[[1],[1,null]]}", "invalid_type", "input[1][1]" },
		{ "{\"model\":\"m\",\"input\":\"a\",\"input\":\"b\"}", "invalid_value", "input" },
		{ "{\"model\":\"m\",\"input\":\"a\",\"encoding_format\":\"hex\"}", "invalid_value",
		  "encoding_format" },
		{ "{\"model\":\"m\",\"input\":\"a\",\"encoding_format\":1}", "invalid_type",
		  "encoding_format" },
		{ "{\"model\":\"m\",\"input\":\"a\",\"dimensions\":0}", "invalid_value",
		  "dimensions" },
		{ "{\"model\":\"m\",\"input\":\"a\",\"dimensions\":65537}", "invalid_value",
		  "dimensions" },
		{ "{\"model\":\"m\",\"input\":\"a\",\"dimensions\":\"8\"}", "invalid_type",
		  "dimensions" },
	};

	(void)state;
	expect_mistakes(OPERATION_EMBEDDING, m, sizeof(m) / sizeof(m[0]));
}

static void
test_completion_mistakes_say_where_they_are(void **state)
{
	static const struct mistake m[] = {
		{ "{\"model\":\"m\"}", "missing_required_parameter", "prompt" },
		{ "{\"model\":\"m\",\"prompt\":7}", "invalid_type", "prompt" },
		{ "{\"model\":\"m\",\"prompt\":\"a\",\"echo\":1}", "invalid_type", "echo" },
		{ "{\"model\":\"m\",\"prompt\":\"a\",\"logprobs\":true}", "invalid_type",
		  "logprobs" },
		{ "{\"model\":\"m\",\"prompt\":\"a\",\"logprobs\":21}", "invalid_value",
		  "logprobs" },
		{ "{\"model\":\"m\",\"prompt\":\"a\",\"max_tokens\":-1}", "invalid_value",
		  "max_tokens" },
		{ "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"],\"n\":65}", "invalid_value",
		  "prompt" },
	};

	(void)state;
	expect_mistakes(OPERATION_COMPLETION, m, sizeof(m) / sizeof(m[0]));
	assert_int_equal(
	    parse(OPERATION_COMPLETION,
		  "{\"model\":\"m\",\"prompt\":[\"\",[1]],\"n\":64,\"echo\":true,\"logprobs\":0,"
		  "\"max_tokens\":0,\"stop\":\"x\",\"suffix\":\"s\",\"tools\":[]}"),
	    IM_OK);
	assert_true(req.generate.echo && req.generate.logprobs.v);
	assert_int_equal(req.generate.top_logprobs.v, 0);
	assert_true(req.generate.max_tokens.set && req.generate.max_tokens.v == 0);
	assert_string_equal(req.generate.extra_json, "{\"suffix\":\"s\",\"tools\":[]}");
}

/* '{"model":"m","input":[' and 'count' times 'one'. */
static char *
many(const char *one, size_t count)
{
	struct buf text = { 0 };
	char *body;

	(void)buf_append_str(&text, "{\"model\":\"m\",\"input\":[");
	for (size_t i = 0; i < count; i++) {
		(void)buf_append_str(&text, i == 0 ? "" : ",");
		(void)buf_append_str(&text, one);
	}
	(void)buf_append_str(&text, "]}");
	body = strdup(buf_cstr(&text));
	buf_done(&text);
	assert_non_null(body);
	return body;
}

static void
test_embedding_bounds_are_kept(void **state)
{
	static const struct {
		const char *one;
		size_t most;
	} bounds[] = { { "\"a\"", GENERATE_INPUTS_MAX },
		       { "[7]", GENERATE_INPUTS_MAX },
		       { "7", GENERATE_TOKENS_MAX } };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char *fits = many(bounds[i].one, bounds[i].most);
		char *not = many(bounds[i].one, bounds[i].most + 1);

		assert_int_equal(parse(OPERATION_EMBEDDING, fits), IM_OK);
		assert_int_equal(parse(OPERATION_EMBEDDING, not ), IM_EINVAL);
		assert_string_equal(err.param, "input");
		free(fits);
		free(not );
	}
}

static void
test_embedding_with_little_memory_fails_cleanly(void **state)
{
	static const char body[] =
	    "{\"model\":\"m\",\"input\":[\"a\",[1,2,3]],\"user\":\"u\",\"x\":1}";
	enum im_rc rc = IM_ENOMEM;

	(void)state;
	for (size_t max = 1; rc != IM_OK; max++) {
		struct arena small = { .max_bytes = max };

		rc = chat_request_parse(OPERATION_EMBEDDING, (const uint8_t *)body, strlen(body),
					&small, &req, &err);
		assert_true(rc == IM_OK || rc == IM_ENOMEM);
		arena_done(&small);
		assert_true(max < 65536);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_inputs_in_each_form_are_read, teardown),
		cmocka_unit_test_teardown(test_embedding_mistakes_say_where_they_are, teardown),
		cmocka_unit_test_teardown(test_completion_mistakes_say_where_they_are, teardown),
		cmocka_unit_test_teardown(test_embedding_bounds_are_kept, teardown),
		cmocka_unit_test_teardown(test_embedding_with_little_memory_fails_cleanly,
					  teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
