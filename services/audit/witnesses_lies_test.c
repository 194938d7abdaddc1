/*
 * audit/witnesses_lies_test.c - witnesses that say what no witness should say: none of it is believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/witnesses_rig.h"
#include "base/json.h"
#include "http/http.h"

/* One that says what it was told to. */
struct liar {
	struct http_server *server;
	int status;
	const char *type;
	char body[40000];
};

static void
lie(void *user, struct http_exchange *x)
{
	struct liar *l = user;
	const struct http_header type = { "Content-Type", l->type };

	http_reply(x, l->status, &type, 1, l->body, strlen(l->body));
}

static void
gone(void *user, struct http_exchange *x)
{
	(void)user;
	http_abort(x);
}

/* In place of the first witness, with its key in the log's configuration. */
static void
liar_up(struct witnesses_rig *f, struct liar *l)
{
	static const struct http_ops ops = { .request = lie, .gone = gone };
	const struct http_params params = { .listen = "127.0.0.1:0" };

	loop_enter(f->loop);
	assert_int_equal(http_server_open(f->loop, &params, &ops, l, &l->server, &f->t.err), IM_OK);
	(void)snprintf(f->daemon[0].url, sizeof(f->daemon[0].url), "http://%s",
		       http_server_address(l->server));
	loop_leave(f->loop);
}

static void
say(struct witnesses_rig *f, struct liar *l, int status, const char *type, const char *body)
{
	loop_enter(f->loop);
	l->status = status;
	l->type = type;
	(void)snprintf(l->body, sizeof(l->body), "%s", body);
	loop_leave(f->loop);
}

static void
liar_down(struct witnesses_rig *f, struct liar *l)
{
	loop_enter(f->loop);
	http_server_close(l->server);
	loop_leave(f->loop);
}

static bool
first_failed(const struct witnesses_stats *s, uint64_t than)
{
	return s->by[0].failed > than;
}

static void
test_witness_that_lies_is_never_believed(void **state)
{
	static const struct {
		int status;
		const char *type, *body;
		enum witness_peer_state want;
	} lies[] = {
		{ 200, "text/plain", "", WITNESS_PEER_SILENT },
		{ 200, "text/plain", "hello\n", WITNESS_PEER_SILENT },
		{ 200, "text/plain",
		  "\xe2\x80\x94 example.com/w0 AAAAAAAAAABlU/EANCz2O6DkpPPrjow8GDWQhCIfSl+CWuwStBbRwtFJwePV9R8FtGguCNEv+gni2+CPDLE0MEsl0fWoBGECRXoiAw==\n",
		  WITNESS_PEER_SILENT },
		{ 204, "text/plain", "", WITNESS_PEER_SILENT },
		{ 301, "text/plain", "", WITNESS_PEER_SILENT },
		{ 409, "text/plain", "7\n", WITNESS_PEER_FORK },
		{ 409, "text/x.tlog.size", "7", WITNESS_PEER_FORK },
		{ 409, "text/x.tlog.size", "0\n", WITNESS_PEER_SILENT },
		{ 409, "text/x.tlog.size", "18446744073709551615\n", WITNESS_PEER_AHEAD },
		{ 422, "text/plain", "\x1b[31mno", WITNESS_PEER_FORK },
		{ 404, "text/plain", "no such log\n", WITNESS_PEER_REFUSED },
		{ 503, "text/plain", "later\n", WITNESS_PEER_SILENT },
		{ 503, "text/plain", "\xff\xe2\x80", WITNESS_PEER_SILENT },
	};
	struct witnesses_rig *f = *state;
	struct liar l = { 0 };
	struct witnesses_stats stats;
	struct buf big = { 0 };

	liar_up(f, &l);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		say(f, &l, lies[i].status, lies[i].type, lies[i].body);
		assert_int_equal(rig_open_witnesses(f, 1, 1), IM_OK);
		(void)rig_grow(f, i * 10, 1);
		rig_wait_for(f, first_failed, 0, "it fails");
		rig_wait_for(f, rig_first_is, lies[i].want, lies[i].body);
		rig_wait_for(f, rig_file_says, 0, "nothing is cosigned");
		witnesses_stats(f->w, &stats); /* its reason is sent on as text */
		assert_true(utf8_valid(stats.by[0].why, strlen(stats.by[0].why)));
		witnesses_close(f->w);
		f->w = NULL;
		f->log->publisher.told = NULL;
	}
	while (big.len < 30000)
		(void)buf_append_str(&big, "\xe2\x80\x94 somebody.else q83vAAAAAAAAAA==\n");
	say(f, &l, 200, "text/plain", buf_cstr(&big));
	buf_done(&big);
	assert_int_equal(rig_open_witnesses(f, 1, 1), IM_OK);
	(void)rig_grow(f, 5000, 1);
	rig_wait_for(f, first_failed, 0, "it is too long");
	rig_wait_for(f, rig_first_is, WITNESS_PEER_SILENT, "it is too long");
	liar_down(f, &l);
}

/* A cosignature that is right, of the checkpoint before. */
static void
test_witness_that_repeats_itself_is_not_believed(void **state)
{
	struct witnesses_rig *f = *state;
	struct liar l = { 0 };
	struct buf text = { 0 };
	char path[128];
	uint64_t size;
	const char *line;

	assert_int_equal(rig_open_witnesses(f, 1, 1), IM_OK);
	size = rig_grow(f, 0, 10);
	rig_wait_for(f, rig_all_cosigned, size, "it cosigns");
	(void)snprintf(path, sizeof(path), "%s/" COSIGNED_FILE, f->t.dir);
	assert_int_equal(disk_read(path, NOTE_MAX_BYTES, &text, NULL), IM_OK);
	line = strstr(buf_cstr(&text), "\xe2\x80\x94 example.com/w0 ");
	assert_non_null(line);
	liar_up(f, &l);
	say(f, &l, 200, "text/plain", line);
	rig_close_log(f);
	rig_open_log(f);
	assert_int_equal(rig_open_witnesses(f, 1, 1), IM_OK);
	(void)rig_grow(f, 100, 3);
	rig_wait_for(f, first_failed, 0, "it is not believed");
	rig_wait_for(f, rig_file_says, size, "the file stays");
	liar_down(f, &l);
	buf_done(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_witness_that_lies_is_never_believed,
						witnesses_rig_setup, witnesses_rig_teardown),
		cmocka_unit_test_setup_teardown(test_witness_that_repeats_itself_is_not_believed,
						witnesses_rig_setup, witnesses_rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
