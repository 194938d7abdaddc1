/*
 * inference/local_format_test.c - the local backend with the real demo model: answers that follow a format, and their
 * probabilities.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "base/json.h"
#include "inference/local_rig.h"

#define SCHEMA(s) "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":" s "}}"

static void
asks(struct answer *a, struct rig *r, const char *format, int64_t seed)
{
	answer_init(a, r, "Where is my order A12345?");
	a->req.response_format_json = format;
	a->req.temperature.v = seed == 0 ? 0 : 1.5;
	a->req.seed = (struct opt_i64){ true, seed };
	a->req.max_tokens.v = 300;
}

static void
test_format_json_object_is_one_whatever_the_draw(void **state)
{
	unsigned whole = 0;
	struct answer a;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	for (int64_t seed = 0; seed < 8; seed++) {
		cJSON *v;

		asks(&a, &r, "{\"type\":\"json_object\"}", seed);
		(void)answer_ask(&a);
		assert_int_equal(a.text[0].data[0], '{');
		v = cJSON_Parse(buf_cstr(&a.text[0]));
		if (strcmp(a.finish[0], "stop") == 0) { /* else it was cut off */
			assert_true(cJSON_IsObject(v));
			whole++;
		}
		cJSON_Delete(v);
		answer_done(&a);
	}
	assert_true(whole > 0);
	rig_stop(&r);
}

static void
test_format_schema_is_followed_whatever_the_draw(void **state)
{
	static const char format[] = SCHEMA(
	    "{\"type\":\"object\",\"required\":[\"state\",\"days\",\"tags\"],\"properties\":{"
	    "\"state\":{\"enum\":[\"sent\",\"lost\"]},\"days\":{\"type\":\"integer\"},"
	    "\"note\":{\"type\":[\"string\",\"null\"],\"maxLength\":12},"
	    "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"minItems\":1,\"maxItems\":3}}}");
	struct answer a;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	for (int64_t seed = 0; seed < 12; seed++) {
		const char *said;
		cJSON *v, *note;
		int tags;

		asks(&a, &r, format, seed);
		v = cJSON_Parse(answer_ask(&a));
		assert_string_equal(a.finish[0], "stop");
		said = cJSON_GetStringValue(cJSON_GetObjectItem(v, "state"));
		assert_true(said != NULL &&
			    (strcmp(said, "sent") == 0 || strcmp(said, "lost") == 0));
		assert_true(cJSON_IsNumber(cJSON_GetObjectItem(v, "days")));
		tags = cJSON_GetArraySize(cJSON_GetObjectItem(v, "tags"));
		assert_in_range(tags, 1, 3);
		note = cJSON_GetObjectItem(v, "note");
		assert_true(note == NULL || cJSON_IsNull(note) || cJSON_IsString(note));
		cJSON_Delete(v);
		answer_done(&a);
	}
	rig_stop(&r);
}

static void
test_format_grammar_that_llama_refuses_is_an_error(void **state)
{
	struct answer a, b;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	asks(&a, &r, SCHEMA("{\"$ref\":\"#\"}"), 0);
	assert_int_equal(answer_submit(&a), IM_OK);
	rig_run(&r);
	assert_true(a.failed);
	assert_int_equal(a.err.rc, IM_EINVAL);
	assert_string_equal(a.err.reason, "unsupported_parameter");
	asks(&b, &r, SCHEMA("{\"minimum\":1}"), 0);
	assert_int_equal(answer_submit(&b), IM_EINVAL);
	assert_non_null(strstr(b.err.text, "minimum"));
	asks(&b, &r, NULL, 0); /* and the worker goes on */
	assert_true(strlen(answer_ask(&b)) > 10);
	answer_done(&a);
	answer_done(&b);
	rig_stop(&r);
}

/* The bytes of all tokens, from their entries. */
static void
check_entries(const struct answer *a, struct buf *bytes)
{
	cJSON *list = cJSON_Parse(buf_cstr((struct buf *)&a->logprobs)), *e = NULL, *b = NULL;
	unsigned count = 0;

	assert_true(cJSON_IsArray(list));
	cJSON_ArrayForEach(e, list)
	{
		double p = cJSON_GetNumberValue(cJSON_GetObjectItem(e, "logprob")), last = 0;
		cJSON *top = cJSON_GetObjectItem(e, "top_logprobs"), *t = NULL;

		assert_true(p <= 0 && cJSON_IsString(cJSON_GetObjectItem(e, "token")));
		assert_int_equal(cJSON_GetArraySize(top), 3);
		cJSON_ArrayForEach(t, top)
		{
			double q = cJSON_GetNumberValue(cJSON_GetObjectItem(t, "logprob"));

			assert_true(q <= last);
			last = q;
		}
		/* Greedy: what came is the likeliest. */
		assert_true(fabs(cJSON_GetNumberValue(cJSON_GetObjectItem(top->child, "logprob")) -
				 p) < 1e-6);
		cJSON_ArrayForEach(b, cJSON_GetObjectItem(e, "bytes"))
		    assert_true(buf_append_byte(bytes, (uint8_t)b->valueint));
		count++;
	}
	assert_in_range(count, 2, a->usage.completion_tokens);
	cJSON_Delete(list);
}

static void
test_format_logprobs_go_with_their_text(void **state)
{
	static const char *stops[] = { "xyzzy", "A12345" };
	struct answer a;
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	for (int stopped = 0; stopped < 2; stopped++) {
		struct buf bytes = BUF_INIT(0);

		asks(&a, &r, NULL, 0);
		a.req.logprobs = (struct opt_bool){ true, true };
		a.req.top_logprobs = (struct opt_u32){ true, 3 };
		a.req.stop = stops;
		a.req.stop_count = stopped ? 2 : 1;
		(void)answer_ask(&a);
		check_entries(&a, &bytes);
		/* The last token may reach into the stop string. */
		assert_true(bytes.len >= a.text[0].len && bytes.len < a.text[0].len + 16);
		assert_true(stopped || bytes.len == a.text[0].len);
		assert_memory_equal(bytes.data, a.text[0].data, a.text[0].len);
		buf_done(&bytes);
		answer_done(&a);
	}
	rig_stop(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format_json_object_is_one_whatever_the_draw),
		cmocka_unit_test(test_format_schema_is_followed_whatever_the_draw),
		cmocka_unit_test(test_format_grammar_that_llama_refuses_is_an_error),
		cmocka_unit_test(test_format_logprobs_go_with_their_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
