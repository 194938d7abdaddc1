/*
 * inference/upstream_kinds_test.c - the upstream backend with requests that are no chat: where they go, and what comes back.
 */
#include <string.h>

#include "inference/upstream_rig.h"

static void
test_upstream_embedding_gives_vectors_in_order(void **state)
{
	char request[8192];
	struct im_err err;
	struct result r;

	(void)state;
	assert_int_equal(rig_backend_start(
			     ALL_MODELS "    extra: {thinking: '{\"type\":\"disabled\"}'}\n", &err),
			 IM_OK);
	rig.operation = OPERATION_EMBEDDING;
	rig.whole = true;
	rig_run("vectors", 0, &r);
	assert_false(r.failed);
	assert_string_equal(buf_cstr(&r.text), "1,2,3,4,F");
	assert_true(r.has_usage);
	assert_int_equal(r.usage.prompt_tokens, 7);
	fake_server_last(rig.server, request, sizeof(request));
	assert_non_null(strstr(request, "POST /v1/embeddings HTTP/1.1\r\n"));
	assert_non_null(strstr(
	    request,
	    "{\"model\":\"vectors\",\"input\":[\"a\",\"b\"],\"encoding_format\":\"base64\",\"user\":"));
	assert_null(strstr(request, "stream"));
	assert_null(strstr(request, "thinking"));
	buf_done(&r.text);
	/* The same handle for a chat again. */
	rig.operation = OPERATION_CHAT;
	rig_run("json", 0, &r);
	assert_string_equal(buf_cstr(&r.text), "RHelloF");
	fake_server_last(rig.server, request, sizeof(request));
	assert_non_null(strstr(request, "POST /v1/chat/completions HTTP/1.1\r\n"));
	buf_done(&r.text);
	rig_backend_stop();
}

static void
test_upstream_embedding_that_fails_says_what_a_chat_says(void **state)
{
	static const struct {
		const char *model;
		enum im_rc rc;
	} cases[] = { { "stream", IM_EUPSTREAM },   { "json", IM_EUPSTREAM },
		      { "limit", IM_ELIMIT },       { "broken", IM_EUPSTREAM },
		      { "empty", IM_EUPSTREAM },    { "cut-json", IM_EUPSTREAM },
		      { "bad-json", IM_EUPSTREAM }, { "torn-json", IM_EUPSTREAM } };
	struct im_err err;
	struct result r;

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	rig.operation = OPERATION_EMBEDDING;
	rig.whole = true;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_run(cases[i].model, 0, &r);
		assert_true(r.failed);
		assert_int_equal(r.err.rc, cases[i].rc);
		assert_int_equal(r.frames, 0);
		buf_done(&r.text);
	}
	/* Who leaves in the first frame of a whole answer. */
	for (int i = 0; i < 2; i++) {
		memset(&r, 0, sizeof(r));
		r.cancel_at_frame = true;
		assert_int_equal(rig_submit(i == 0 ? "vectors" : "json", 0, &r), IM_OK);
		rig_run_until(&r.ended);
		assert_int_equal(r.frames, 1);
		buf_done(&r.text);
		rig.operation = OPERATION_CHAT;
	}
	rig_backend_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upstream_embedding_gives_vectors_in_order),
		cmocka_unit_test(test_upstream_embedding_that_fails_says_what_a_chat_says),
	};

	return cmocka_run_group_tests_name("plain", tests, rig_setup, rig_teardown) +
	       cmocka_run_group_tests_name("libcurl", tests, rig_setup_by_curl, rig_teardown);
}
