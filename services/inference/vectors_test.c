/*
 * inference/vectors_test.c - an upstream's vectors: every form that servers send, and what cannot be used.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/vectors.h"
#include "wire/float32.h"

static struct vectors v;
static struct im_err err;

static enum im_rc
parse(const char *text, size_t inputs, uint32_t dimensions)
{
	struct vectors_want want = { inputs, dimensions };
	size_t len = strlen(text);
	char *exact = malloc(len + 1); /* so that a sanitizer sees a read behind the end */
	enum im_rc rc;

	assert_non_null(exact);
	memcpy(exact, text, len + 1);
	exact = realloc(exact, len);
	vectors_done(&v);
	v = (struct vectors){ 0 };
	memset(&err, 0, sizeof(err));
	rc = vectors_parse(exact, len, &want, &v, &err);
	free(exact);
	return rc;
}

static int
teardown(void **state)
{
	(void)state;
	vectors_done(&v);
	return 0;
}

static void
expect(const float *numbers, size_t count)
{
	assert_int_equal(v.numbers.len, count * FLOAT32_BYTES);
	for (size_t i = 0; i < count; i++)
		assert_true(float32_get(v.numbers.data + i * FLOAT32_BYTES) == numbers[i]);
}

static void
test_vectors_in_each_form_are_the_same(void **state)
{
	/* 1, -2 and 0.5, 3 */
	static const char *const forms[] = {
		"{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[1,-2.0]},"
		"{\"index\":1,\"embedding\":[5e-1,3]}],\"usage\":{\"prompt_tokens\":4,\"total_tokens\":4}}",
		" {\"usage\":{\"prompt_tokens\":4},\"data\":[{\"embedding\":\"AAAAPwAAQEA=\",\"index\":1},"
		"{\"embedding\":\"AACAPwAAAMA=\",\"index\":0}]}\n",
		"{\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":9},\"data\":[{\"embedding\":[1,-2]},"
		"{\"embedding\":\"AAAAPwAAQEA=\"}]}",
	};
	static const float numbers[] = { 1, -2, 0.5F, 3 };

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		assert_int_equal(parse(forms[i], 2, i == 1 ? 2 : 0), IM_OK);
		assert_int_equal(v.dimensions, 2);
		expect(numbers, 4);
		assert_true(v.has_usage);
		assert_int_equal(v.usage.prompt_tokens, 4);
		assert_int_equal(v.usage.completion_tokens, 0);
	}
}

static void
test_vectors_that_cannot_be_used_are_refused(void **state)
{
	static const char *const bad[] = {
		"[1]",
		"{}",
		"{\"data\":1}",
		"{\"data\":[]}",
		"{\"data\":[{\"embedding\":[1,2]}]}",
		"{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[1,2]},{\"embedding\":[1,2]}]}",
		"{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[1]}]}",
		"{\"data\":[{\"embedding\":[1,2]},3]}",
		"{\"data\":[{\"embedding\":[1,2],\"index\":1},{\"embedding\":[1,2],\"index\":1}]}",
		"{\"data\":[{\"embedding\":[1,2],\"index\":0},{\"embedding\":[1,2],\"index\":2}]}",
		"{\"data\":[{\"embedding\":[1,\"2\"]},{\"embedding\":[1,2]}]}",
		"{\"data\":[{\"embedding\":[1,1e60]},{\"embedding\":[1,2]}]}",
		"{\"data\":[{\"embedding\":[]},{\"embedding\":[]}]}",
		"{\"data\":[{\"embedding\":\"\"},{\"embedding\":\"\"}]}",
		"{\"data\":[{\"embedding\":\"AAAA\"},{\"embedding\":\"AAAA\"}]}",
		"{\"data\":[{\"embedding\":\"AACAPw!=\"},{\"embedding\":\"AACAPw==\"}]}",
		"{\"data\":[{\"embedding\":\"AACAfwAAAMA=\"},{\"embedding\":\"AACAPwAAAMA=\"}]}", /* infinity */
		"{\"data\":[{\"embedding\":null},{\"embedding\":[1,2]}]}",
		"{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[1,2]}]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse(bad[i], 2, 0) != IM_EUPSTREAM)
			fail_msg("taken: %s", bad[i]);
		assert_string_equal(err.reason, "upstream_error");
	}
	/* Asked for three numbers, and two came. */
	assert_int_equal(parse("{\"data\":[{\"embedding\":[1,2]}]}", 1, 3), IM_EUPSTREAM);
	assert_int_equal(parse("{\"error\":{\"message\":\"no such model\"}}", 1, 0), IM_EUPSTREAM);
}

static void
test_vectors_beyond_the_bound_are_refused_before_they_are_kept(void **state)
{
	(void)state;
	/* 2 numbers for each of so many inputs: the bound is looked at with the first one. */
	assert_int_equal(GENERATE_VECTORS_MAX / 8, 1966080);
	assert_int_equal(parse("{\"data\":[{\"embedding\":[1,2]}]}", 1966081, 0), IM_EUPSTREAM);
	assert_int_equal(v.numbers.len, 0);
}

static void
test_vectors_go_out_in_frames_of_whole_vectors_and_an_end(void **state)
{
	struct buf text = { 0 };
	struct generate_frame frame;
	struct delta delta;
	size_t bytes = 0, frames = 0;

	(void)state;
	(void)buf_append_str(&text, "{\"data\":[");
	for (size_t i = 0; i < 100; i++) {
		(void)buf_append_str(&text, i == 0 ? "{\"embedding\":[0" : ",{\"embedding\":[0");
		for (size_t k = 1; k < 1000; k++)
			(void)buf_append_str(&text, ",1");
		(void)buf_append_str(&text, "]}");
	}
	(void)buf_append_str(&text, "]}");
	assert_int_equal(parse(buf_cstr(&text), 100, 1000), IM_OK);
	assert_false(v.has_usage);
	while (vectors_next(&v, &delta, &frame)) {
		frames++;
		assert_true(delta.embedding.len <= VECTORS_FRAME_BYTES);
		assert_int_equal(delta.embedding.len % 4000, 0);
		assert_int_equal(delta.embedding.len == 0, delta.finish_reason[0] != '\0');
		bytes += delta.embedding.len;
	}
	assert_int_equal(bytes, 400000);
	assert_int_equal(frames, 8); /* 16 of 4,000 bytes fit into 64 KiB */
	buf_done(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_vectors_in_each_form_are_the_same, teardown),
		cmocka_unit_test_teardown(test_vectors_that_cannot_be_used_are_refused, teardown),
		cmocka_unit_test_teardown(
		    test_vectors_beyond_the_bound_are_refused_before_they_are_kept, teardown),
		cmocka_unit_test_teardown(test_vectors_go_out_in_frames_of_whole_vectors_and_an_end,
					  teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
