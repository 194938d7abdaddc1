/*
 * daemon/reporter_test.c - changes reach the audit service whatever becomes of it meanwhile, and nobody keeps a link afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "daemon/loop_rig.h"
#include "daemon/reporter.h"

#define URL "inproc://reporter-test"

/* A daemon and an audit service on one loop. */
struct world {
	struct loop *loop;
	struct net *net, *audit;
	struct endpoint *listener;
	struct reporter reporter;
	unsigned nets;
	unsigned failures; /* Appends that are still to be refused */
	bool hold;         /* answer nothing */
	struct served *held;
	unsigned appends, links;
	uint8_t last_id[16];
	struct audit_event event[REPORTS_MAX + 8]; /* that were acknowledged: their fixed members */
	char reason[REPORTS_MAX + 8][16];
	size_t events;
};

static void
on_cancelled(void *user, struct served *served)
{
	struct world *w = user;

	w->held = NULL;
	served_end(served, NULL, NULL, 0);
}

static void
on_request(void *user, struct link *link, struct served *served, const struct served_request *req)
{
	static const struct served_ops ops = { .cancelled = on_cancelled };
	struct world *w = user;
	struct arena arena = { 0 };
	struct audit_append a;
	struct im_err err;

	(void)link;
	w->appends++;
	assert_string_equal(req->method, METHOD_AUDIT_APPEND);
	assert_int_equal(audit_append_decode(req->body, req->body_len, &arena, &a, &err), IM_OK);
	memcpy(w->last_id, a.events[0].request_id, sizeof(w->last_id));
	if (w->hold) {
		w->held = served;
		served_accept(served, &ops, w);
	} else if (w->failures > 0) {
		w->failures--;
		(void)err_set(&err, IM_EUNAVAILABLE, "no space");
		served_end(served, &err, NULL, 0);
	} else {
		for (size_t i = 0; i < a.count; i++) {
			(void)snprintf(w->reason[w->events], sizeof(w->reason[0]), "%s",
				       a.events[i].routing.reason);
			assert_string_equal(a.events[i].routing.worker, "gateway");
			assert_string_equal(a.events[i].caller, "uid:7");
			assert_string_equal(a.events[i].tenant, REPORT_OPERATOR);
			w->event[w->events++] = a.events[i];
		}
		served_end(served, NULL, NULL, 0);
	}
	arena_done(&arena);
}

static void
on_up(void *user, struct link *link)
{
	(void)link;
	((struct world *)user)->links++;
}

static void
on_down(void *user, struct link *link, const struct im_err *why)
{
	(void)link;
	(void)why;
	((struct world *)user)->links--;
}

static void
listen_(struct world *w)
{
	static const struct endpoint_ops ops = { .up = on_up,
						 .down = on_down,
						 .request = on_request };

	assert_int_equal(net_listen(w->audit, URL, &ops, w, &w->listener, NULL), IM_OK);
}

static void
setup(struct world *w)
{
	const struct net_params daemon = { .role = "gateway", .name = "gateway" };
	const struct net_params audit = { .role = "audit", .name = "audit" };

	memset(w, 0, sizeof(*w));
	assert_int_equal(loop_new(&w->loop, NULL), IM_OK);
	loop_enter(w->loop);
	assert_int_equal(net_new(w->loop, &daemon, &w->net, NULL), IM_OK);
	assert_int_equal(net_new(w->loop, &audit, &w->audit, NULL), IM_OK);
	reporter_init(&w->reporter, w->loop, w->net, URL);
	w->nets = 2;
	loop_leave(w->loop);
}

static void
net_gone(void *arg)
{
	((struct world *)arg)->nets--;
}

static bool
all_gone(void *user)
{
	const struct world *w = user;

	return w->nets == 0;
}

static void
teardown(struct world *w)
{
	loop_enter(w->loop);
	reporter_stop(&w->reporter);
	net_close(w->net, net_gone, w);
	net_close(w->audit, net_gone, w);
	loop_leave(w->loop);
	loop_rig_until(w->loop, all_gone, w);
	net_free(w->net);
	net_free(w->audit);
	loop_free(w->loop);
}

static void
submit(struct world *w, const char *what)
{
	const uint8_t digest[32] = { 1, 2, 3 };
	struct config_change change;

	config_change_fill(&change, "gateway", what, digest, 7);
	loop_enter(w->loop);
	reporter_submit(&w->reporter, &change);
	loop_leave(w->loop);
}

static bool
is_told(void *user)
{
	const struct world *w = user;

	return w->reporter.count == 0;
}

static bool
is_told_and_hung_up(void *user)
{
	const struct world *w = user;

	return w->reporter.count == 0 && w->reporter.ep == NULL && w->links == 0;
}

static bool
is_held(void *user)
{
	const struct world *w = user;

	return w->held != NULL;
}

static bool
was_refused(void *user)
{
	const struct world *w = user;

	return w->reporter.backoff_ms > 0;
}

static void
test_reporter_tells_what_changed_and_hangs_up(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	loop_enter(w.loop);
	listen_(&w);
	loop_leave(w.loop);
	submit(&w, REPORT_START);
	submit(&w, REPORT_KEYS);
	loop_rig_until(w.loop, is_told_and_hung_up, &w);
	assert_int_equal(w.events, 2);
	assert_string_equal(w.reason[0], REPORT_START);
	assert_string_equal(w.reason[1], REPORT_KEYS);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(w.event[i].kind, RECORD_CONFIG);
		assert_true(w.event[i].has_reporter && w.event[i].has_request_id);
		assert_memory_equal(w.event[i].reporter, w.reporter.id, AUDIT_REPORTER_BYTES);
		assert_int_equal(w.event[i].config_digest[2], 3);
	}
	submit(&w, REPORT_KEYS); /* a new link for the next one */
	loop_rig_until(w.loop, is_told_and_hung_up, &w);
	assert_int_equal(w.events, 3);
	teardown(&w);
}

static void
test_reporter_waits_for_an_audit_service_that_comes_later(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	submit(&w, REPORT_START);
	loop_enter(w.loop);
	assert_int_equal(w.reporter.count, 1);
	listen_(&w);
	loop_leave(w.loop);
	loop_rig_until(w.loop, is_told, &w);
	assert_int_equal(w.events, 1);
	teardown(&w);
}

static void
test_reporter_sends_the_same_event_again_until_it_is_durable(void **state)
{
	uint8_t id[16];
	struct world w;

	(void)state;
	setup(&w);
	w.failures = 2;
	loop_enter(w.loop);
	listen_(&w);
	loop_leave(w.loop);
	submit(&w, REPORT_START);
	loop_rig_until(w.loop, was_refused, &w);
	memcpy(id, w.last_id, sizeof(id));
	submit(&w, REPORT_KEYS); /* meanwhile */
	loop_rig_until(w.loop, is_told, &w);
	assert_int_equal(w.events, 2);
	assert_memory_equal(w.event[0].request_id, id, sizeof(id));
	assert_true(w.appends >= 3);
	teardown(&w);
}

static void
test_reporter_sends_again_what_a_lost_link_left_open(void **state)
{
	uint8_t id[16];
	struct world w;

	(void)state;
	setup(&w);
	w.hold = true;
	loop_enter(w.loop);
	listen_(&w);
	loop_leave(w.loop);
	submit(&w, REPORT_START);
	loop_rig_until(w.loop, is_held, &w);
	memcpy(id, w.last_id, sizeof(id));
	loop_enter(w.loop);
	endpoint_close(w.listener);
	w.hold = false;
	listen_(&w);
	loop_leave(w.loop);
	loop_rig_until(w.loop, is_told, &w);
	assert_int_equal(w.events, 1);
	assert_memory_equal(w.event[0].request_id, id, sizeof(id));
	teardown(&w);
}

static void
test_reporter_keeps_a_bounded_number_and_forgets_them_when_stopped(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	for (int i = 0; i < REPORTS_MAX + 5; i++)
		submit(&w, REPORT_KEYS);
	assert_int_equal(w.reporter.count, REPORTS_MAX);
	teardown(&w);
	assert_int_equal(w.reporter.count, 0);
}

static void
test_reporter_without_an_audit_service_keeps_nothing(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	loop_enter(w.loop);
	reporter_init(&w.reporter, w.loop, w.net, NULL);
	loop_leave(w.loop);
	submit(&w, REPORT_START);
	assert_int_equal(w.reporter.count, 0);
	reporter_submit(NULL, NULL);
	teardown(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reporter_tells_what_changed_and_hangs_up),
		cmocka_unit_test(test_reporter_waits_for_an_audit_service_that_comes_later),
		cmocka_unit_test(test_reporter_sends_the_same_event_again_until_it_is_durable),
		cmocka_unit_test(test_reporter_sends_again_what_a_lost_link_left_open),
		cmocka_unit_test(
		    test_reporter_keeps_a_bounded_number_and_forgets_them_when_stopped),
		cmocka_unit_test(test_reporter_without_an_audit_service_keeps_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
