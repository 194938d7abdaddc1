/*
 * router/router_shared_test.c - identical requests among fakes: one generation, and each caller with a record, a deadline and a
 * pace of his own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "router/fake_mesh.h"

#define COALESCED(n) "infermesh_coalesced_total " #n "\n"

/* What 'ask' has read so far. */
#define HEARD(ask, words) (strcmp(buf_cstr(&(ask)->text), words) == 0)

static void
hang(struct mesh *m, struct ask *ask, const char *method)
{
	mesh_ask(m, ask, method, "demo", "hang", 0);
}

/* 'a' begins a generation at 'w', and 'b' joins it. */
static void
share(struct mesh *m, const struct fake_worker *w, struct ask *a, struct ask *b)
{
	hang(m, a, METHOD_GENERATE);
	MESH_WAIT(m, w->in_flight == 1);
	hang(m, b, METHOD_GENERATE);
	MESH_WAIT(m, mesh_metric(m, COALESCED(1)));
}

static void
stop_two(struct mesh *m, struct ask *a, struct ask *b)
{
	ask_done(a);
	ask_done(b);
	mesh_stop(m);
}

static void
test_shared_late_follower_hears_all_and_each_has_a_record(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask a = { 0 }, b = { 0 }, c = { 0 };
	const struct recorded *first, *second;

	(void)state;
	hang(m, &a, METHOD_GENERATE);
	MESH_WAIT(m, w->in_flight == 1 && a.has_head);
	mesh_worker_say(w, "He", "");
	MESH_WAIT(m, HEARD(&a, "He"));
	hang(m, &b, METHOD_GENERATE);
	MESH_WAIT(m, HEARD(&b, "He"));
	mesh_worker_say(w, "llo", "stop");
	mesh_worker_end(w, IM_OK);
	MESH_WAIT(m, a.ended && b.ended);
	assert_true(!a.failed && !b.failed);
	assert_string_equal(buf_cstr(&b.text), "Hello");
	assert_string_equal(a.cache, "miss");
	assert_string_equal(b.cache, "coalesced");
	assert_string_equal(b.worker, "w1");
	mesh_settled(m);
	assert_int_equal(w->started, 1);
	assert_true(mesh_metric(m, COALESCED(1)));
	assert_int_equal(mesh_count(m, RECORD_REQUEST, OUTCOME_NONE), 2);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_OK), 1);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_COALESCED), 1);
	first = &m->records[m->record_count - 2];
	second = &m->records[m->record_count - 1];
	assert_false(first->has_leader);
	assert_true(second->has_leader);
	assert_memory_equal(second->leader, first->request_id, 16);
	assert_memory_not_equal(second->request_id, first->request_id, 16);
	assert_true(first->has_output && second->has_output);
	assert_memory_equal(second->output_sha256, first->output_sha256, 32);
	assert_string_equal(second->worker, "w1");
	assert_int_equal(second->attempts, 1);
	assert_int_equal(second->status_code, 200);
	MESH_WAIT(m, m->entry_count == 1); /* it is cached once */
	hang(m, &c, METHOD_GENERATE);
	MESH_WAIT(m, c.ended);
	assert_string_equal(c.cache, "hit-l1");
	mesh_settled(m);
	ask_done(&a);
	ask_done(&b);
	ask_done(&c);
	mesh_stop(m);
}

static void
test_shared_leader_leaves_and_the_follower_hears_the_rest(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask a = { 0 }, b = { 0 };

	(void)state;
	share(m, w, &a, &b);
	mesh_worker_say(w, "He", "");
	MESH_WAIT(m, HEARD(&a, "He") && HEARD(&b, "He"));
	ask_cancel(&a);
	MESH_WAIT(m, mesh_count(m, RECORD_RESPONSE, OUTCOME_CANCELLED) == 1);
	assert_true(mesh_last(m, RECORD_RESPONSE)->has_output);
	assert_int_equal(w->cancelled, 0);
	mesh_worker_say(w, "llo", "stop");
	mesh_worker_end(w, IM_OK);
	MESH_WAIT(m, b.ended);
	assert_string_equal(buf_cstr(&b.text), "Hello");
	mesh_settled(m);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_COALESCED), 1);
	stop_two(m, &a, &b);
}

static void
test_shared_last_one_who_leaves_cancels_the_worker(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	share(m, w, &a, &b);
	ask_cancel(&a);
	ask_cancel(&b);
	hang(m, &c, METHOD_GENERATE); /* does not join what is dying */
	MESH_WAIT(m, w->cancelled == 1 && w->in_flight == 1);
	assert_int_equal(w->started, 2);
	ask_cancel(&c);
	MESH_WAIT(m, w->cancelled == 2);
	mesh_settled(m);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_CANCELLED), 3);
	ask_done(&a);
	ask_done(&b);
	ask_done(&c);
	mesh_stop(m);
}

static void
test_shared_strangers_never_share(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 8);
	struct ask asks[4] = {
		{ .tenant = "one" },
		{ .tenant = "two" },                   /* another's data */
		{ .tenant = "one", .no_cache = true }, /* wants no other's answer */
		{ .tenant = "one", .whole = true },    /* this one may join the first */
	};

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		hang(m, &asks[i], METHOD_GENERATE);
		MESH_WAIT(m, w->started == i + 1);
	}
	assert_true(mesh_metric(m, COALESCED(0)));
	hang(m, &asks[3], METHOD_GENERATE);
	MESH_WAIT(m, mesh_metric(m, COALESCED(1)));
	for (size_t i = 0; i < 4; i++) {
		ask_cancel(&asks[i]);
	}
	MESH_WAIT(m, w->cancelled == 3);
	mesh_settled(m);
	for (size_t i = 0; i < 4; i++) {
		ask_done(&asks[i]);
	}
	mesh_stop(m);
}

static void
test_shared_stream_does_not_follow_what_comes_whole(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 8);
	struct ask whole = { .whole = true }, stream = { 0 };

	(void)state;
	hang(m, &whole, METHOD_GENERATE);
	MESH_WAIT(m, w->started == 1);
	hang(m, &stream, METHOD_GENERATE);
	MESH_WAIT(m, w->started == 2);
	ask_done(&whole);
	ask_done(&stream);
	MESH_WAIT(m, w->cancelled == 2);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_shared_switched_off_shares_nothing(void **state)
{
	struct mesh *m = mesh_start("coalesce: false", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask a = { 0 }, b = { 0 };

	(void)state;
	hang(m, &a, METHOD_GENERATE);
	hang(m, &b, METHOD_GENERATE);
	MESH_WAIT(m, w->started == 2);
	ask_done(&a);
	ask_done(&b);
	MESH_WAIT(m, w->cancelled == 2);
	mesh_settled(m);
	mesh_stop(m);
}

static void
test_shared_leaders_deadline_is_only_the_leaders(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask a = { 0 }, b = { 0 };

	(void)state;
	mesh_ask(m, &a, METHOD_GENERATE, "demo", "hang", 60);
	MESH_WAIT(m, w->in_flight == 1);
	hang(m, &b, METHOD_GENERATE);
	MESH_WAIT(m, a.ended);
	assert_int_equal(a.err.rc, IM_EDEADLINE);
	mesh_worker_say(w, "Hello", "stop");
	mesh_worker_end(w, IM_OK);
	MESH_WAIT(m, b.ended);
	assert_false(b.failed);
	assert_string_equal(buf_cstr(&b.text), "Hello");
	mesh_settled(m);
	assert_int_equal(w->cancelled, 0);
	stop_two(m, &a, &b);
}

static void
test_shared_failure_before_the_first_frame_is_retried_for_all(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4), *w2;
	struct ask a = { 0 }, b = { 0 };

	(void)state;
	share(m, w, &a, &b);
	w2 = mesh_worker(m, 1, "w2", 4);
	mesh_worker_end(w, IM_EUPSTREAM);
	MESH_WAIT(m, w2->in_flight == 1);
	mesh_worker_say(w2, "Hello", "stop");
	mesh_worker_end(w2, IM_OK);
	MESH_WAIT(m, a.ended && b.ended);
	assert_true(!a.failed && !b.failed);
	assert_string_equal(buf_cstr(&a.text), "Hello");
	assert_string_equal(buf_cstr(&b.text), "Hello");
	mesh_settled(m);
	for (size_t i = 1; i <= 2; i++) {
		assert_int_equal(m->records[m->record_count - i].attempts, 2);
		assert_string_equal(m->records[m->record_count - i].worker, "w2");
	}
	stop_two(m, &a, &b);
}

static void
test_shared_failure_in_the_middle_is_everybodys(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask a = { 0 }, b = { 0 }, once = { 0 };

	(void)state;
	hang(m, &a, METHOD_GENERATE);
	MESH_WAIT(m, w->in_flight == 1);
	hang(m, &b, METHOD_GENERATE);
	hang(m, &once, METHOD_GENERATE_ONCE);
	MESH_WAIT(m, mesh_metric(m, COALESCED(2)));
	mesh_worker_say(w, "He", "");
	MESH_WAIT(m, HEARD(&a, "He") && HEARD(&b, "He"));
	mesh_worker_end(w, IM_EUPSTREAM);
	MESH_WAIT(m, a.ended && b.ended && once.ended);
	assert_true(a.failed && b.failed && once.failed);
	assert_string_equal(b.err.reason, "upstream_error");
	assert_string_equal(a.err.text, b.err.text);
	mesh_settled(m);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_ERROR), 3);
	ask_done(&a);
	ask_done(&b);
	ask_done(&once);
	mesh_stop(m);
}

static void
test_shared_one_reply_is_gathered_from_the_stream(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask a = { 0 }, once = { 0 };
	struct generate_reply reply;
	struct arena arena;

	(void)state;
	hang(m, &a, METHOD_GENERATE);
	MESH_WAIT(m, w->in_flight == 1);
	mesh_worker_say(w, "He", "");
	MESH_WAIT(m, HEARD(&a, "He"));
	hang(m, &once, METHOD_GENERATE_ONCE);
	MESH_WAIT(m, mesh_metric(m, COALESCED(1)));
	ask_cancel(&a); /* who only gathers keeps it alive, too */
	mesh_worker_say(w, "llo", "stop");
	mesh_worker_end(w, IM_OK);
	MESH_WAIT(m, once.ended);
	assert_false(once.failed);
	arena_init(&arena, 0);
	assert_int_equal(
	    generate_reply_decode(once.reply.data, once.reply.len, &arena, &reply, NULL), IM_OK);
	assert_int_equal(reply.choice_count, 1);
	assert_string_equal(reply.choices[0].content, "Hello");
	assert_string_equal(reply.cache, "coalesced");
	assert_int_equal(reply.usage.completion_tokens, 5);
	arena_done(&arena);
	mesh_settled(m);
	ask_done(&a);
	ask_done(&once);
	mesh_stop(m);
}

static void
test_shared_slow_follower_is_cut_off_and_stalls_nobody(void **state)
{
	struct mesh *m = mesh_start("coalesce_bytes: 64KiB", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask fast = { 0 }, slow = { .stingy = true };
	char kib[1025];
	size_t said = 0;

	(void)state;
	memset(kib, 'x', sizeof(kib) - 1);
	kib[sizeof(kib) - 1] = '\0';
	hang(m, &fast, METHOD_GENERATE);
	MESH_WAIT(m, w->in_flight == 1);
	hang(m, &slow, METHOD_GENERATE);
	MESH_WAIT(m, mesh_metric(m, COALESCED(1)));
	for (int i = 0; i < 1000; i++) { /* far more than all windows together */
		mesh_worker_say(w, kib, "");
		said += 1024;
		MESH_WAIT(m, fast.text.len == said);
	}
	mesh_worker_say(w, "", "stop");
	mesh_worker_end(w, IM_OK);
	MESH_WAIT(m, fast.ended && slow.ended);
	assert_false(fast.failed);
	assert_true(slow.failed);
	assert_string_equal(slow.err.reason, "too_slow");
	mesh_settled(m);
	ask_done(&fast);
	ask_done(&slow);
	mesh_stop(m);
}

static void
test_shared_follower_that_reads_late_gets_it_all_after_the_end(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask fast = { 0 }, slow = { .stingy = true };
	char kib[1025];

	(void)state;
	memset(kib, 'x', sizeof(kib) - 1);
	kib[sizeof(kib) - 1] = '\0';
	hang(m, &fast, METHOD_GENERATE);
	MESH_WAIT(m, w->in_flight == 1);
	hang(m, &slow, METHOD_GENERATE);
	MESH_WAIT(m, mesh_metric(m, COALESCED(1)));
	for (size_t i = 1; i <= 500; i++) {
		mesh_worker_say(w, kib, i < 500 ? "" : "stop");
		MESH_WAIT(m, fast.text.len == i * 1024);
	}
	mesh_worker_end(w, IM_OK);
	MESH_WAIT(m, fast.ended);
	assert_false(slow.ended);
	assert_true(slow.text.len < fast.text.len);
	MESH_WAIT(m, mesh_metric(m, "infermesh_worker_inflight{worker=\"w1\"} 0\n"));
	loop_enter(m->loop);
	slow.stingy = false;
	call_grant(slow.call, 1 << 20);
	loop_leave(m->loop);
	MESH_WAIT(m, slow.ended);
	assert_false(slow.failed);
	assert_int_equal(slow.text.len, fast.text.len);
	mesh_settled(m);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_COALESCED), 1);
	ask_done(&fast);
	ask_done(&slow);
	mesh_stop(m);
}

static void
test_shared_follower_hears_nothing_before_its_own_record_is_durable(void **state)
{
	struct mesh *m = mesh_start("audit_ms: 60s", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
	struct ask a = { 0 }, b = { 0 };

	(void)state;
	hang(m, &a, METHOD_GENERATE);
	MESH_WAIT(m, w->in_flight == 1 && a.has_head);
	m->audit_holds = true;
	hang(m, &b, METHOD_GENERATE);
	MESH_WAIT(m, mesh_metric(m, COALESCED(1)) && !list_empty(&m->audit_held));
	mesh_worker_say(w, "He", "");
	MESH_WAIT(m, HEARD(&a, "He"));
	for (int i = 0; i < 20; i++) {
		mesh_turn(m);
	}
	assert_false(b.has_head);
	mesh_audit_release(m, false);
	MESH_WAIT(m, HEARD(&b, "He"));
	mesh_worker_say(w, "llo", "stop");
	mesh_worker_end(w, IM_OK);
	MESH_WAIT(m, a.ended && b.ended);
	mesh_settled(m);
	stop_two(m, &a, &b);
}

static void
test_shared_generation_waits_as_its_most_urgent_follower(void **state)
{
	struct mesh *m = mesh_start("queue_max: 2", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 1);
	struct ask running = { 0 }, low = { .priority = -1 }, other = { 0 };
	struct ask high = { .priority = 1 };

	(void)state;
	hang(m, &running, METHOD_GENERATE);
	MESH_WAIT(m, w->in_flight == 1);
	mesh_ask(m, &low, METHOD_GENERATE, "demo", "first", 0);
	mesh_ask(m, &other, METHOD_GENERATE, "demo", "second", 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_waiting 2\n"));
	/* The queue is full, but this one needs no place of its own. */
	mesh_ask(m, &high, METHOD_GENERATE, "demo", "first", 0);
	MESH_WAIT(m, mesh_metric(m, COALESCED(1)));
	assert_true(mesh_metric(m, "infermesh_requests_waiting 2\n"));
	ask_cancel(&running);
	MESH_WAIT(m, low.ended && high.ended && other.ended);
	assert_true(!low.failed && !high.failed && !other.failed);
	mesh_settled(m);
	assert_int_equal(w->started, 3);
	/* One waited in the class of the follower, and nobody in the one it came with. */
	assert_true(mesh_metric(m, "infermesh_queue_wait_seconds_count{class=\"high\"} 1\n"));
	assert_true(mesh_metric(m, "infermesh_queue_wait_seconds_count{class=\"low\"} 0\n"));
	ask_done(&running);
	ask_done(&low);
	ask_done(&other);
	ask_done(&high);
	mesh_stop(m);
}

static void
test_shared_generation_without_a_worker_rejects_all(void **state)
{
	struct mesh *m = mesh_start("", "gateway");
	struct fake_worker *w = mesh_worker(m, 0, "w1", 1);
	struct ask a = { 0 }, b = { 0 };

	(void)state;
	mesh_worker_leaves(w); /* its models stay known for a while */
	hang(m, &a, METHOD_GENERATE);
	hang(m, &b, METHOD_GENERATE);
	MESH_WAIT(m, a.ended && b.ended);
	assert_string_equal(a.err.reason, "no_healthy_worker");
	assert_string_equal(b.err.reason, "no_healthy_worker");
	mesh_settled(m);
	assert_int_equal(mesh_count(m, RECORD_RESPONSE, OUTCOME_REJECTED), 2);
	stop_two(m, &a, &b);
}

static void
test_shared_stop_under_way_leaves_nothing(void **state)
{
	(void)state;
	for (int audit = 0; audit < 2; audit++) {
		struct mesh *m = mesh_start("audit_ms: 60s", "gateway");
		struct fake_worker *w = mesh_worker(m, 0, "w1", 4);
		struct ask a = { 0 }, b = { 0 };

		hang(m, &a, METHOD_GENERATE);
		hang(m, &b, METHOD_GENERATE);
		MESH_WAIT(m, w->in_flight == 1 && mesh_metric(m, COALESCED(1)));
		m->audit_holds = audit == 0; /* then it is all cut short after a while */
		mesh_halt(m);
		MESH_WAIT(m, a.ended && b.ended);
		assert_true(a.failed && b.failed);
		ask_done(&a);
		ask_done(&b);
		mesh_stop(m);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared_late_follower_hears_all_and_each_has_a_record),
		cmocka_unit_test(test_shared_leader_leaves_and_the_follower_hears_the_rest),
		cmocka_unit_test(test_shared_last_one_who_leaves_cancels_the_worker),
		cmocka_unit_test(test_shared_strangers_never_share),
		cmocka_unit_test(test_shared_stream_does_not_follow_what_comes_whole),
		cmocka_unit_test(test_shared_switched_off_shares_nothing),
		cmocka_unit_test(test_shared_leaders_deadline_is_only_the_leaders),
		cmocka_unit_test(test_shared_failure_before_the_first_frame_is_retried_for_all),
		cmocka_unit_test(test_shared_failure_in_the_middle_is_everybodys),
		cmocka_unit_test(test_shared_one_reply_is_gathered_from_the_stream),
		cmocka_unit_test(test_shared_slow_follower_is_cut_off_and_stalls_nobody),
		cmocka_unit_test(test_shared_follower_that_reads_late_gets_it_all_after_the_end),
		cmocka_unit_test(
		    test_shared_follower_hears_nothing_before_its_own_record_is_durable),
		cmocka_unit_test(test_shared_generation_waits_as_its_most_urgent_follower),
		cmocka_unit_test(test_shared_generation_without_a_worker_rejects_all),
		cmocka_unit_test(test_shared_stop_under_way_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
