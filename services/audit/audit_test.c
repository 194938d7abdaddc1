/*
 * audit/audit_test.c - the service as routers meet it: over links inside this process, started and stopped by its host.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/testlog.h"
#include "base/clock.h"
#include "wire/audit_admin.h"
#include "wire/mesh.h"

#define ROUTERS 3
#define CALLS   40

struct fixture;

struct router {
	struct fixture *f;
	struct endpoint *ep;
	struct net *net;
	unsigned number, sent, answered;
};

struct fixture {
	struct testlog t; /* its folder; the service makes its own keys */
	struct loop *loop;
	struct config *config;
	struct host *host;
	struct router router[ROUTERS];
	struct net *operator; /* dials when the routers are done */
	bool dialled;
	unsigned closed, refused, twice, erased;
	uint64_t first_index;
	struct audit_status status;
	char vkey[NOTE_KEYTEXT_MAX];
	struct loop_timer tick;
	bool stopping;
};

static void
event(struct audit_event *e, enum record_kind kind, uint64_t n)
{
	testlog_event(e, kind, n);
}

static void send_more(struct router *r);

static void
on_answer(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct router *r = user;
	struct audit_appended reply;
	struct arena arena = { 0 };

	(void)call;
	if (err != NULL)
		fail_msg("%s", err->text);
	assert_int_equal(audit_appended_decode(body, len, &arena, &reply, NULL), IM_OK);
	assert_int_equal(reply.count, 2);
	assert_true(reply.index[0] < reply.index[1]);
	assert_non_null(strstr(reply.checkpoint, "infermesh.local/log\n"));
	arena_done(&arena);
	r->answered++;
	send_more(r);
}

static void
on_refused(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct fixture *f = user;

	(void)call;
	(void)body;
	(void)len;
	assert_non_null(err);
	assert_true(err->rc == IM_EINVAL || err->rc == IM_EPERM || err->rc == IM_EPROTO ||
		    err->rc == IM_EMETHOD || err->rc == IM_ENOTFOUND);
	f->refused++;
}

static void
on_status(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct fixture *f = user;
	struct arena arena = { 0 };

	(void)call;
	assert_null(err);
	assert_int_equal(audit_status_decode(body, len, &arena, &f->status, NULL), IM_OK);
	assert_string_equal(f->status.state, "writable");
	assert_string_equal(f->status.origin, "infermesh.local/log");
	(void)snprintf(f->vkey, sizeof(f->vkey), "%s", f->status.vkey);
	arena_done(&arena);
}

static void
append(struct link *link, struct audit_event *events, size_t count, const struct call_ops *ops,
       void *user)
{
	struct audit_append a = { events, count };
	struct buf body = { 0 };
	struct call *call;
	struct call_request req = { .method = METHOD_AUDIT_APPEND };

	audit_append_encode(&a, &body);
	assert_true(buf_ok(&body));
	req.body = body.data;
	req.body_len = body.len;
	assert_int_equal(call_start(link, &req, ops, user, &call, NULL), IM_OK);
	buf_done(&body);
}

static void
on_erased(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct fixture *f = user;
	struct audit_erase_reply reply;
	struct arena arena = { 0 };

	(void)call;
	if (err != NULL)
		fail_msg("%s", err->text);
	assert_int_equal(audit_erase_reply_decode(body, len, &arena, &reply, NULL), IM_OK);
	assert_int_equal(reply.before, f->erased++ > 0);
	arena_done(&arena);
}

static void
erase(struct link *link, const struct audit_erase *e, const struct call_ops *ops, void *user)
{
	struct call_request req = { .method = METHOD_AUDIT_ERASE };
	struct buf body = { 0 };
	struct call *call;

	audit_erase_encode(e, &body);
	req.body = body.data;
	req.body_len = body.len;
	assert_int_equal(call_start(link, &req, ops, user, &call, NULL), IM_OK);
	buf_done(&body);
}

/* What the service must not record. */
static void
send_bad(struct fixture *f, struct link *link)
{
	static const struct call_ops refused = { .end = on_refused };
	struct call_request req = { .method = "Audit/Nothing",
				    .body = (const uint8_t *)"\xff",
				    .body_len = 1 };
	struct audit_event e;
	struct call *call;

	event(&e, RECORD_REQUEST, 1);
	e.has_request_id = false;
	append(link, &e, 1, &refused, f);
	event(&e, RECORD_STOP, 1);
	append(link, &e, 1, &refused, f);
	event(&e, RECORD_CONFIG, 1);
	e.has_input = true;
	append(link, &e, 1, &refused, f);
	append(link, &e, 0, &refused, f);
	assert_int_equal(call_start(link, &req, &refused, f, &call, NULL), IM_OK);
	req.method = METHOD_AUDIT_APPEND;
	assert_int_equal(call_start(link, &req, &refused, f, &call, NULL), IM_OK);
	erase(link, &(struct audit_erase){ "acme", "alice" }, &refused, f); /* no operator */
}

/* The operator comes last: twice the same, and what is malformed. */
static void
on_operator_up(void *user, struct link *link)
{
	static const struct call_ops erased = { .end = on_erased }, refused = { .end = on_refused };
	char longer[AUDIT_SUBJECT_NAME_MAX + 2];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	erase(link, &(struct audit_erase){ "acme", "alice" }, &erased, user);
	erase(link, &(struct audit_erase){ "acme", "alice" }, &erased, user);
	erase(link, &(struct audit_erase){ "acme", "nobody" }, &refused, user);
	erase(link, &(struct audit_erase){ "", "" }, &refused, user);
	erase(link, &(struct audit_erase){ "acme", longer }, &refused, user);
}

static void
on_net_closed(void *arg)
{
	struct fixture *f = arg;

	if (++f->closed == ROUTERS + 2)
		loop_stop(f->loop);
}

static void
end(struct fixture *f)
{
	if (f->stopping)
		return;
	f->stopping = true;
	for (unsigned i = 0; i < ROUTERS; i++)
		net_close(f->router[i].net, on_net_closed, f);
	net_close(f->operator, on_net_closed, f);
	host_drain(f->host);
	host_stop(f->host, on_net_closed, f);
}

static void
send_more(struct router *r)
{
	static const struct call_ops answer = { .end = on_answer };
	static const struct call_ops status = { .end = on_status };
	struct link *link = endpoint_link(r->ep);
	struct audit_event e[2];
	struct call_request req = { .method = METHOD_AUDIT_STATUS };
	struct call *call;

	/* Three Appends under way at once. */
	while (r->sent < CALLS && r->sent - r->answered < 3) {
		uint64_t n = (uint64_t)r->number * 1000 + r->sent;

		event(&e[0], RECORD_REQUEST, n);
		event(&e[1], RECORD_RESPONSE, n);
		append(link, e, 2, &answer, r);
		r->sent++;
	}
	if (r->answered == CALLS && r->number == 0)
		assert_int_equal(call_start(link, &req, &status, r->f, &call, NULL), IM_OK);
}

static void
on_up(void *user, struct link *link)
{
	struct router *r = user;

	if (r->number == 0)
		send_bad(r->f, link);
	send_more(r);
}

/* Ends the test once everything was answered. */
static void
on_tick(void *arg)
{
	struct fixture *f = arg;
	static const struct endpoint_ops ops = { .up = on_operator_up };
	bool all = f->refused >= 7 && f->vkey[0] != '\0';
	struct endpoint *ep;

	for (unsigned i = 0; i < ROUTERS; i++)
		all = all && f->router[i].answered == CALLS;
	if (all && !f->dialled) {
		f->dialled = true;
		assert_int_equal(net_dial(f->operator, "inproc://audit", &ops, f, &ep, NULL),
				 IM_OK);
	}
	if (f->erased == 2 && f->refused == 10)
		end(f);
	else
		assert_int_equal(loop_timer_set(f->loop, &f->tick, 1000), IM_OK);
}

static void
test_audit_serves_several_routers_and_leaves_a_log_that_verifies(void **state)
{
	static const struct endpoint_ops ops = { .up = on_up };
	struct fixture *f = calloc(1, sizeof(*f));
	struct verify_report r;
	struct buf text = { 0 };
	char yaml[512], key[128];

	(void)state;
	assert_non_null(f);
	testlog_init(&f->t);
	(void)snprintf(key, sizeof(key), "%s.key2", f->t.dir);
	(void)snprintf(
	    yaml, sizeof(yaml),
	    "audit:\n  dir: %s\n  key_file: %s\n  segment_bytes: 1MiB\n  publish_ms: 10\n"
	    "  listen: ipc://%s.ipc\n",
	    f->t.dir, key, f->t.dir);
	assert_int_equal(config_parse("test", yaml, strlen(yaml), &f->config, &f->t.err), IM_OK);
	assert_int_equal(loop_new(&f->loop, NULL), IM_OK);
	loop_enter(f->loop);
	if (host_start(f->loop, f->config, NULL, &audit_service, "audit", true, NULL, &f->host,
		       &f->t.err) != IM_OK)
		fail_msg("%s", f->t.err.text);
	for (unsigned i = 0; i < ROUTERS; i++) {
		struct net_params params = { .role = "router", .name = "test" };

		f->router[i].f = f;
		f->router[i].number = i;
		assert_int_equal(net_new(f->loop, &params, &f->router[i].net, NULL), IM_OK);
		assert_int_equal(net_dial(f->router[i].net, "inproc://audit", &ops, &f->router[i],
					  &f->router[i].ep, NULL),
				 IM_OK);
	}
	assert_int_equal(net_new(f->loop,
				 &(struct net_params){ .role = "operator", .name = "test" },
				 &f->operator, NULL),
			 IM_OK);
	f->tick = (struct loop_timer){ .fn = on_tick, .arg = f };
	assert_int_equal(loop_timer_set(f->loop, &f->tick, 1000), IM_OK);
	loop_leave(f->loop);
	loop_run(f->loop);
	loop_enter(f->loop);
	for (unsigned i = 0; i < ROUTERS; i++)
		net_free(f->router[i].net);
	net_free(f->operator);
	loop_leave(f->loop);
	loop_free(f->loop);
	config_free(f->config);
	memcpy(f->t.vkey, f->vkey, sizeof(f->vkey));
	testlog_verify(&f->t, &r);
	/* START, the pairs, one ERASE, STOP. */
	assert_int_equal(r.size, 3 + 2 * ROUTERS * CALLS);
	assert_int_equal(r.kinds[RECORD_ERASE], 1);
	assert_int_equal(r.published_size, r.size);
	assert_int_equal(r.kinds[RECORD_START], 1);
	assert_int_equal(r.kinds[RECORD_STOP], 1);
	assert_int_equal(r.open, 0);
	buf_done(&text);
	(void)unlink(key);
	(void)snprintf(key, sizeof(key), "%s.key2" SUBJECTS_SUFFIX, f->t.dir);
	(void)unlink(key);
	testlog_done(&f->t);
	free(f);
}

static void
test_audit_without_its_key_file_does_not_start_on_an_old_log(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct config *config;
	struct host *host;
	struct loop *loop;
	char yaml[512];

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	assert_int_equal(testlog_pairs(&t, log, 0, 2, 2), IM_OK);
	audit_log_close(log);
	(void)snprintf(yaml, sizeof(yaml),
		       "audit:\n  dir: %s\n  key_file: %s.gone\n  segment_bytes: 1MiB\n", t.dir,
		       t.dir);
	assert_int_equal(config_parse("test", yaml, strlen(yaml), &config, &t.err), IM_OK);
	assert_int_equal(loop_new(&loop, NULL), IM_OK);
	loop_enter(loop);
	assert_int_equal(
	    host_start(loop, config, NULL, &audit_service, "audit", true, NULL, &host, &t.err),
	    IM_ENOTFOUND);
	assert_non_null(strstr(t.err.text, "key file"));
	loop_leave(loop);
	loop_free(loop);
	config_free(config);
	testlog_done(&t);
}

static uint64_t
long_ago(void)
{
	return UINT64_C(1000000000) * 1000000; /* 2001 */
}

/* Ends the test once the last old bundle is deleted. */
static void
on_pruned_tick(void *arg)
{
	struct fixture *f = arg;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/tile/entries/002", f->t.dir);
	if (access(path, F_OK) == 0) {
		assert_int_equal(loop_timer_set(f->loop, &f->tick, 1000), IM_OK);
		return;
	}
	f->closed = ROUTERS + 1;
	host_drain(f->host);
	host_stop(f->host, on_net_closed, f);
}

static void
test_audit_start_deletes_what_is_older_than_its_retention(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct verify_report r;
	struct audit_log *log;
	char yaml[512];

	(void)state;
	assert_non_null(f);
	testlog_init(&f->t);
	f->t.now_us = long_ago;
	log = testlog_open(&f->t);
	assert_int_equal(testlog_pairs(&f->t, log, 0, 400, 80), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &f->t.err), IM_OK);
	audit_log_close(log);
	(void)snprintf(
	    yaml, sizeof(yaml),
	    "audit:\n  dir: %s\n  key_file: %s.key\n  segment_bytes: 1MiB\n  publish_ms: 10\n"
	    "  listen: ipc://%s.ipc\n  origin: test.example/log\n  retention_days: 30\n",
	    f->t.dir, f->t.dir, f->t.dir);
	assert_int_equal(config_parse("test", yaml, strlen(yaml), &f->config, &f->t.err), IM_OK);
	assert_int_equal(loop_new(&f->loop, NULL), IM_OK);
	loop_enter(f->loop);
	if (host_start(f->loop, f->config, NULL, &audit_service, "audit", true, NULL, &f->host,
		       &f->t.err) != IM_OK)
		fail_msg("%s", f->t.err.text);
	f->tick = (struct loop_timer){ .fn = on_pruned_tick, .arg = f };
	assert_int_equal(loop_timer_set(f->loop, &f->tick, 1000), IM_OK);
	loop_leave(f->loop);
	loop_run(f->loop);
	loop_free(f->loop);
	config_free(f->config);
	testlog_verify(&f->t, &r);
	assert_int_equal(r.pruned, 768);
	assert_int_equal(r.kinds[RECORD_PRUNE], 1);
	assert_int_equal(r.kinds[RECORD_KEY_ROTATE], 2); /* long ago was another shard */
	assert_int_equal(r.size, 805);                   /* with START and STOP */
	testlog_done(&f->t);
	free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_audit_serves_several_routers_and_leaves_a_log_that_verifies),
		cmocka_unit_test(test_audit_start_deletes_what_is_older_than_its_retention),
		cmocka_unit_test(test_audit_without_its_key_file_does_not_start_on_an_old_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
