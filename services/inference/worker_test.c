/*
 * inference/worker_test.c - the worker with a backend that does as it is told, seen by a router over an in-process link.
 */
#include "inference/worker_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
test_worker_announces_itself_its_models_and_aliases(void **state)
{
	(void)state;
	assert_string_equal(router.announcement,
			    "w1 fake 0/4+0 own 0 x250 backup: m1=d1 m2 small=d1");
	/* and again, without being asked */
	RUN_UNTIL(router.announced > 1);
}

static void
test_worker_streams_frames_in_order_and_ends_with_usage_and_load(void **state)
{
	struct ask a = { 0 };
	struct job *j = ask(&a, "small");

	(void)state;
	assert_non_null(j);
	assert_string_equal(fake_state.model, "m1");
	assert_string_equal(fake_state.content, "hi");
	assert_string_equal(fake_state.traceparent, "trace");
	assert_in_range(fake_state.budget_ms, 1, 5000);
	ON_LOOP({
		fake_frame(j, "Hel");
		fake_frame(j, "lo");
		fake_end(j, IM_OK);
	});
	RUN_UNTIL(a.ended);
	assert_false(a.failed);
	assert_string_equal(buf_cstr(&a.text), "Hello");
	assert_true(a.end.has_usage);
	assert_int_equal(a.end.usage.completion_tokens, 5);
	assert_true(a.end.has_load);
	assert_int_equal(a.end.load.in_flight, 0);
	assert_int_equal(a.end.load.capacity, 4);
	buf_done(&a.text);
}

#define LARGE 65536 /* bytes of a frame that waits for no other */

static void
test_worker_frames_of_one_turn_leave_together(void **state)
{
	struct ask a = { 0 }, b = { 0 };
	struct job *j = ask(&a, "m1"), *k = ask(&b, "m2");
	char large[LARGE + 1];

	(void)state;
	memset(large, 'x', LARGE);
	large[LARGE] = '\0';
	ON_LOOP({
		fake_frame(j, "Hel");
		fake_frame(j, "lo");
	});
	RUN_UNTIL(a.frames == 1);
	assert_string_equal(buf_cstr(&a.text), "Hello");
	/* Those of another request stand between, and the last is large: each goes as soon as the next is no fit. */
	ON_LOOP({
		fake_frame(j, ", ");
		fake_frame(k, "by");
		fake_frame(k, "e");
		fake_frame(j, "you");
		fake_frame(j, large);
		fake_frame(j, "!");
		fake_end(j, IM_OK);
		fake_end(k, IM_OK);
	});
	RUN_UNTIL(a.ended && b.ended);
	assert_int_equal(a.frames, 4);
	assert_int_equal(b.frames, 1);
	assert_int_equal(a.text.len, strlen("Hello, you!") + LARGE);
	assert_memory_equal(a.text.data, "Hello, youx", 11);
	assert_int_equal(a.text.data[a.text.len - 1], '!');
	assert_string_equal(buf_cstr(&b.text), "bye");
	buf_done(&a.text);
	buf_done(&b.text);
}

static void
test_worker_backend_failure_reaches_the_caller(void **state)
{
	struct ask a = { 0 };
	struct job *j = ask(&a, "m2");

	(void)state;
	ON_LOOP({
		fake_frame(j, "x");
		fake_end(j, IM_EUPSTREAM);
	});
	RUN_UNTIL(a.ended);
	assert_true(a.failed);
	assert_int_equal(a.err.rc, IM_EUPSTREAM);
	assert_string_equal(a.err.reason, "fake");
	assert_int_equal(a.frames, 1);
	buf_done(&a.text);
}

static void
test_worker_says_how_much_of_its_load_is_the_hearers_own(void **state)
{
	struct ask a = { 0 }, b = { 0 };
	struct job *j = ask(&a, "m1"), *k = ask(&b, "m2");

	(void)state;
	ON_LOOP(fake_end(j, IM_OK));
	RUN_UNTIL(a.ended);
	assert_int_equal(a.end.load.in_flight, 1);
	assert_true(a.end.load.has_own);
	assert_int_equal(a.end.load.own, 1);
	RUN_UNTIL(strstr(router.announcement, " 1/4+0 own 1 ") != NULL);
	ON_LOOP(fake_end(k, IM_OK));
	RUN_UNTIL(b.ended);
	assert_int_equal(b.end.load.own, 0);
	buf_done(&a.text);
	buf_done(&b.text);
}

static void
test_worker_refuses_what_it_cannot_do(void **state)
{
	struct ask a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

	(void)state;
	(void)ask(&a, "lost");
	RUN_UNTIL(a.ended);
	assert_int_equal(a.err.rc, IM_ENOTFOUND);
	assert_string_equal(a.err.reason, MODEL_UNLOADED);
	ask_raw(&b, "Inference/Unknown", "", 0);
	RUN_UNTIL(b.ended);
	assert_int_equal(b.err.rc, IM_EMETHOD);
	ask_raw(&c, METHOD_WORKER_GENERATE, "\xff\xff\xff", 3);
	RUN_UNTIL(c.ended);
	assert_int_equal(c.err.rc, IM_EPROTO);
	fake_state.refuse = true;
	(void)ask(&d, "m1");
	RUN_UNTIL(d.ended);
	assert_int_equal(d.err.rc, IM_EAGAIN);
	assert_int_equal(d.end.load.in_flight, 0);
	assert_true(host_drained(router.host));
}

/* A link keeps the order, so what was sent before this call was refused is there. */
static void
flush_link(void)
{
	struct ask a = { 0 };

	ask_raw(&a, "No/Method", "", 0);
	RUN_UNTIL(a.ended);
}

static void
test_worker_that_was_full_tells_the_refused_router_of_a_free_place(void **state)
{
	struct ask first = { 0 }, second = { 0 }, third = { 0 };
	struct job *j = ask(&first, "m1");
	unsigned before;

	(void)state;
	fake_state.refuse = true;
	(void)ask(&second, "m1");
	RUN_UNTIL(second.ended);
	assert_int_equal(second.err.rc, IM_EAGAIN);
	assert_string_equal(second.err.reason, "worker_busy");
	before = router.reported;
	ON_LOOP(fake_end(j, IM_OK));
	RUN_UNTIL(first.ended);
	flush_link();
	assert_int_equal(router.reported, before + 1);
	assert_int_equal(router.load.in_flight, 0);

	/* Cancelling frees a place too. */
	fake_state.refuse = false;
	(void)ask(&first, "m1");
	fake_state.refuse = true;
	second = (struct ask){ 0 };
	(void)ask(&second, "m1");
	RUN_UNTIL(second.ended);
	before = router.reported;
	ON_LOOP(call_cancel(first.call));
	ask_raw(&third, "No/Method", "", 0);
	RUN_UNTIL(third.ended);
	assert_int_equal(router.reported, before + 1);
}

static void
test_worker_tells_only_the_other_routers_of_a_routers_requests(void **state)
{
	struct ask a = { 0 }, b = { 0 };
	struct job *j = ask(&a, "m1"), *k;

	(void)state;
	RUN_UNTIL(router.second.reported == 1);
	assert_int_equal(router.second.load.in_flight, 1);
	assert_int_equal(router.second.load.own, 0);
	k = ask_second(&b, "m1");
	RUN_UNTIL(router.reported == 1);
	assert_int_equal(router.load.in_flight, 2);
	assert_int_equal(router.load.own, 1);
	ON_LOOP(fake_end(j, IM_OK));
	RUN_UNTIL(a.ended && router.second.reported == 2);
	assert_int_equal(router.second.load.in_flight, 1);
	assert_int_equal(router.second.load.own, 1);
	ON_LOOP(fake_end(k, IM_OK));
	RUN_UNTIL(b.ended && router.reported == 2);
	assert_int_equal(router.second.reported, 2);
	buf_done(&a.text);
	buf_done(&b.text);
}

static void
test_worker_alone_with_a_router_reports_nothing(void **state)
{
	struct ask a = { 0 }, b = { 0 };
	struct job *j = ask(&a, "m1"), *k = ask(&b, "m1");

	(void)state;
	ON_LOOP(fake_end(j, IM_OK));
	ON_LOOP(fake_end(k, IM_OK));
	RUN_UNTIL(a.ended && b.ended);
	assert_int_equal(router.reported, 0);
	buf_done(&a.text);
	buf_done(&b.text);
}

static void
test_worker_refuses_who_has_not_read_that_it_is_busier_and_takes_him_afterwards(void **state)
{
	struct ask a = { 0 }, b = { 0 }, c = { 0 };
	struct job *j;

	(void)state;
	router.second.silent = true;
	j = ask(&a, "m1");
	RUN_UNTIL(router.second.unanswered != NULL);
	(void)ask_second(&b, "m1");
	RUN_UNTIL(b.ended);
	assert_int_equal(b.err.rc, IM_EAGAIN);
	assert_string_equal(b.err.reason, LOAD_CHANGED);
	assert_int_equal(b.end.load.in_flight, 1);
	/* A change meanwhile is told when the first word was answered, not before. */
	ON_LOOP(fake_end(j, IM_OK));
	RUN_UNTIL(a.ended);
	assert_int_equal(router.second.reported, 1);
	answer_second();
	RUN_UNTIL(router.second.reported == 2);
	assert_int_equal(router.second.load.in_flight, 0);
	/* Less than it knew is no reason to refuse. */
	j = ask_second(&c, "m1");
	assert_false(c.ended);
	ON_LOOP(fake_end(j, IM_OK));
	RUN_UNTIL(c.ended);
	assert_false(c.failed);
	answer_second();
	buf_done(&a.text);
	buf_done(&c.text);
}

static void
test_worker_offers_a_free_place_first_to_who_was_refused(void **state)
{
	struct ask asks[4] = { { 0 } }, refused = { 0 };
	struct job *j = NULL;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		j = ask(&asks[i], "m1");
	fake_state.refuse = true;
	(void)ask(&refused, "m1");
	RUN_UNTIL(refused.ended);
	RUN_UNTIL(router.second.load.in_flight == 4);
	ON_LOOP(fake_end(j, IM_OK));
	RUN_UNTIL(router.reported == 1);
	assert_int_equal(router.load.in_flight, 3);
	/* It does not come. */
	RUN_UNTIL(router.second.load.in_flight == 3);
	assert_int_equal(router.second.after, 1);
	for (size_t i = 0; i < 4; i++) {
		if (!asks[i].ended)
			ON_LOOP(call_cancel(asks[i].call));
		buf_done(&asks[i].text);
	}
}

static void
test_worker_cancelled_call_cancels_the_job_at_once(void **state)
{
	struct ask a = { 0 };

	(void)state;
	(void)ask(&a, "m1");
	assert_int_equal(fake_state.jobs, 1);
	assert_false(host_drained(router.host));
	ON_LOOP(call_cancel(a.call));
	RUN_UNTIL(host_drained(router.host));
	assert_int_equal(fake_state.cancels, 1);
	assert_int_equal(fake_state.jobs, 0);
	assert_false(a.ended);
}

static void
test_worker_lost_link_cancels_its_jobs_and_joins_again(void **state)
{
	struct ask a = { 0 };
	struct im_err why;
	struct job *j;
	unsigned announced;

	(void)state;
	j = ask(&a, "m1");
	announced = router.announced;
	err_set(&why, IM_EIO, "cut by the test");
	ON_LOOP({
		fake_frame(j, "waits for the end of this turn");
		link_close(router.link, &why);
	});
	RUN_UNTIL(fake_state.cancels == 1);
	RUN_UNTIL(router.announced > announced);
	RUN_UNTIL(a.ended);
	assert_int_equal(a.err.rc, IM_EUNAVAILABLE);
	assert_true(host_drained(router.host));
}

static void
test_worker_slow_reader_pauses_the_backend_and_gets_everything(void **state)
{
	struct ask a = { .withhold = true };
	struct job *j = ask(&a, "m1");
	char piece[256], wanted[30 * 255 + 1];

	(void)state;
	for (int i = 0; i < 30; i++) {
		(void)snprintf(piece, sizeof(piece), "%0255d", i);
		memcpy(wanted + (size_t)i * 255, piece, 256);
		ON_LOOP(fake_frame(j, piece));
	}
	assert_int_equal(fake_state.pauses, 1);
	assert_true(fake_state.paused);
	RUN_UNTIL(a.held_bytes >= WINDOW_BYTES);
	assert_true(a.frames < 10);
	/* The backend ends; END must wait behind the frames. */
	ON_LOOP(fake_end(j, IM_OK));
	a.withhold = false;
	ON_LOOP(call_grant(a.call, a.held_bytes));
	RUN_UNTIL(a.ended);
	assert_int_equal(a.frames, 30);
	assert_string_equal(buf_cstr(&a.text), wanted);
	assert_false(a.failed);
	buf_done(&a.text);
}

static void
test_worker_reader_that_reads_again_resumes_the_backend(void **state)
{
	struct ask a = { .withhold = true };
	struct job *j = ask(&a, "m1");
	char piece[1025];

	(void)state;
	(void)snprintf(piece, sizeof(piece), "%01024d", 1);
	for (int i = 0; i < 3; i++)
		ON_LOOP(fake_frame(j, piece));
	RUN_UNTIL(a.frames == 1);
	assert_int_equal(fake_state.resumes, 0);
	a.withhold = false;
	ON_LOOP(call_grant(a.call, a.held_bytes));
	RUN_UNTIL(a.frames == 3);
	assert_int_equal(fake_state.resumes, 1);
	assert_false(fake_state.paused);
	ON_LOOP(fake_end(j, IM_OK));
	RUN_UNTIL(a.ended);
	buf_done(&a.text);
}

static void
test_worker_drains_by_refusing_new_and_finishing_old_work(void **state)
{
	struct ask a = { 0 };
	struct job *j = ask(&a, "m1");

	(void)state;
	ON_LOOP(host_drain(router.host));
	RUN_UNTIL(router.draining && router.goaways == 1);
	assert_true(link_draining(router.link));
	assert_false(host_drained(router.host));
	ON_LOOP({
		fake_frame(j, "last");
		fake_end(j, IM_OK);
	});
	RUN_UNTIL(a.ended);
	assert_false(a.failed);
	assert_string_equal(buf_cstr(&a.text), "last");
	assert_true(host_drained(router.host));
	buf_done(&a.text);
}

static void
test_worker_stopped_in_the_middle_ends_every_call(void **state)
{
	struct ask a[6] = { 0 };

	(void)state;
	for (int i = 0; i < 6; i++)
		(void)ask(&a[i], "m1");
	assert_int_equal(fake_state.jobs, 6);
	stop_host();
	for (int i = 0; i < 6; i++) {
		RUN_UNTIL(a[i].ended);
		assert_true(a[i].failed);
		assert_int_equal(a[i].err.rc, IM_EUNAVAILABLE);
	}
	assert_int_equal(fake_state.cancels, 6);
}

static void
test_worker_metrics_page_holds_its_counts(void **state)
{
	struct metrics_page page = { .out = BUF_INIT(0) };
	struct ask a = { 0 };
	struct job *j = ask(&a, "m1");

	(void)state;
	ON_LOOP(fake_end(j, IM_OK));
	RUN_UNTIL(a.ended);
	ON_LOOP(host_metrics(router.host, &page));
	assert_non_null(strstr(buf_cstr(&page.out),
			       "infermesh_worker_requests_total{worker=\"w1\",result=\"ok\"} 1\n"));
	assert_non_null(
	    strstr(buf_cstr(&page.out),
		   "infermesh_worker_tokens_total{worker=\"w1\",type=\"completion\"} 5\n"));
	assert_non_null(
	    strstr(buf_cstr(&page.out), "infermesh_worker_capacity{worker=\"w1\"} 4\n"));
	buf_done(&page.out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, worker_rig_setup, worker_rig_teardown)
#define TEST_TWO(name)                                                                             \
	cmocka_unit_test_setup_teardown(name, worker_rig_setup_two_routers, worker_rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_worker_announces_itself_its_models_and_aliases),
		TEST(test_worker_streams_frames_in_order_and_ends_with_usage_and_load),
		TEST(test_worker_frames_of_one_turn_leave_together),
		TEST(test_worker_backend_failure_reaches_the_caller),
		TEST(test_worker_says_how_much_of_its_load_is_the_hearers_own),
		TEST(test_worker_refuses_what_it_cannot_do),
		TEST(test_worker_that_was_full_tells_the_refused_router_of_a_free_place),
		TEST(test_worker_alone_with_a_router_reports_nothing),
		TEST_TWO(test_worker_tells_only_the_other_routers_of_a_routers_requests),
		TEST_TWO(
		    test_worker_refuses_who_has_not_read_that_it_is_busier_and_takes_him_afterwards),
		TEST_TWO(test_worker_offers_a_free_place_first_to_who_was_refused),
		TEST(test_worker_cancelled_call_cancels_the_job_at_once),
		TEST(test_worker_lost_link_cancels_its_jobs_and_joins_again),
		TEST(test_worker_slow_reader_pauses_the_backend_and_gets_everything),
		TEST(test_worker_reader_that_reads_again_resumes_the_backend),
		TEST(test_worker_drains_by_refusing_new_and_finishing_old_work),
		TEST(test_worker_stopped_in_the_middle_ends_every_call),
		TEST(test_worker_metrics_page_holds_its_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
