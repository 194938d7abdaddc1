/*
 * inference/upstream_kept_test.c - connections to an upstream that are kept between requests: which are used again, and what if they fail then.
 */
#include <string.h>

#include "inference/upstream_rig.h"

/* The upstream may close a kept connection just when it is used again. What is lost on a new one is not sent again. */
static void
test_upstream_request_lost_on_a_kept_connection_is_sent_once_more(void **state)
{
	unsigned before;
	struct im_err err;
	struct result r;

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	for (int i = 0; i < 3; i++) {
		rig_run("once", 0, &r);
		assert_string_equal(buf_cstr(&r.text), "RHiF");
		buf_done(&r.text);
		before = fake_server_requests(rig.server);
		rig_run("json", 0, &r);
		assert_string_equal(buf_cstr(&r.text), "RHelloF");
		assert_int_equal(fake_server_requests(rig.server), before + 2);
		buf_done(&r.text);
		/* the one that is kept now, then a new one: this server closes both */
		before = fake_server_requests(rig.server);
		rig_run("unknown", 0, &r);
		assert_int_equal(r.err.rc, IM_EUPSTREAM);
		assert_int_equal(fake_server_requests(rig.server), before + 2);
		before = fake_server_requests(rig.server);
		rig_run("unknown", 0, &r);
		assert_int_equal(r.err.rc, IM_EUPSTREAM);
		assert_int_equal(fake_server_requests(rig.server), before + 1);
	}
	rig_backend_stop();
}

/* What it says unasked behind an answer is nobody's next one, also where it comes by itself. */
static void
test_upstream_that_speaks_unasked_is_not_used_again(void **state)
{
	static const char *const models[] = { "stray", "late-stray" };
	unsigned before;
	struct im_err err;
	struct result r;

	(void)state;
	assert_int_equal(rig_backend_start(ALL_MODELS, &err), IM_OK);
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		rig_run(models[i], 0, &r);
		assert_string_equal(buf_cstr(&r.text), "RHiF");
		buf_done(&r.text);
		assert_true(fake_server_wait_open(rig.server, 0)); /* and nobody has looked since */
		before = fake_server_requests(rig.server);
		rig_run("json", 0, &r);
		assert_string_equal(buf_cstr(&r.text), "RHelloF");
		assert_int_equal(fake_server_requests(rig.server), before + 1);
		buf_done(&r.text);
	}
	rig_backend_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upstream_request_lost_on_a_kept_connection_is_sent_once_more),
		cmocka_unit_test(test_upstream_that_speaks_unasked_is_not_used_again),
	};

	return cmocka_run_group_tests_name("plain", tests, rig_setup, rig_teardown) +
	       cmocka_run_group_tests_name("libcurl", tests, rig_setup_by_curl, rig_teardown);
}
