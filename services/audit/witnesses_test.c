/*
 * audit/witnesses_test.c - a log and its witnesses: real ones, ones that are away, ones that lie, and a log that was rolled back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "audit/testlog.h"
#include "audit/witness_host.h"
#include "audit/witnesses.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/http.h"

#define WITNESSES 3

struct fixture {
	struct testlog t;
	struct audit_log *log;
	struct witnesses *w;
	struct loop *loop;
	pthread_t thread;
	struct witness_host daemon[WITNESSES];
	char dir[64]; /* of the witnesses */

	/* One that says what it was told to. */
	struct http_server *liar;
	int status;
	const char *type;
	char body[40000];
	unsigned asked;
};

/* Nothing of what it runs touches what other threads do. */
static void
shell(const char *cmd)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe,cert-env33-c): a test's own command */
	assert_int_equal(system(cmd), 0);
}

static void
drop_line(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

static void *
run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void
daemon_up(struct fixture *f, unsigned i, const char *listen)
{
	struct buf yaml = { 0 };
	char dir[96];

	(void)snprintf(dir, sizeof(dir), "%s/%u", f->dir, i);
	(void)buf_printf(&yaml,
			 "mesh: {state_dir: %s, run_dir: %s}\n"
			 "witness: {listen: '%s', name: example.com/w%u, logs: {%s: '%s'}}\n",
			 dir, f->dir, listen, i, f->t.keys.signer.name, f->t.vkey);
	if (witness_host_up(&f->daemon[i], f->loop, buf_cstr(&yaml), &f->t.err) != IM_OK)
		fail_msg("%s", f->t.err.text);
	buf_done(&yaml);
}

static void
daemon_down(struct fixture *f, unsigned i)
{
	witness_host_down(&f->daemon[i], f->loop);
}

static void
open_log(struct fixture *f)
{
	f->log = testlog_open(&f->t);
	if (f->log == NULL)
		fail_msg("%s", f->t.err.text);
}

static void
on_published(void *user, const char *checkpoint, size_t len)
{
	witnesses_publish(user, checkpoint, len);
}

static enum im_rc
open_witnesses(struct fixture *f, size_t count, unsigned quorum)
{
	struct witnesses_params p = { .ops = &disk_posix,
				      .dir = f->t.dir,
				      .key = &f->t.keys.signer,
				      .log_dir = f->t.dir,
				      .log_origin = f->t.keys.signer.name,
				      .count = count,
				      .quorum = quorum,
				      .interval_ms = 10 };
	enum im_rc rc;

	for (size_t i = 0; i < count; i++) {
		p.url[i] = f->daemon[i].url;
		p.vkey[i] = f->daemon[i].vkey;
	}
	rc = witnesses_open(&p, &f->w, &f->t.err);
	if (rc == IM_OK) {
		f->log->publisher.told = on_published;
		f->log->publisher.told_user = f->w;
	}
	return rc;
}

static void
close_log(struct fixture *f)
{
	audit_log_close(f->log);
	witnesses_close(f->w);
	f->log = NULL;
	f->w = NULL;
}

/* Two more records a pair, published. */
static uint64_t
grow(struct fixture *f, uint64_t from, uint64_t pairs)
{
	if (testlog_pairs(&f->t, f->log, from, pairs, 100) != IM_OK ||
	    publisher_pass(&f->log->publisher, true, &f->t.err) != IM_OK)
		fail_msg("%s", f->t.err.text);
	return publisher_published(&f->log->publisher);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_capture(drop_line, NULL);
	testlog_init(&f->t);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/infermesh-witnesses-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(loop_new(&f->loop, NULL), IM_OK);
	assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f->loop), 0);
	for (unsigned i = 0; i < WITNESSES; i++)
		daemon_up(f, i, "127.0.0.1:0");
	open_log(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char cmd[256];

	close_log(f);
	for (unsigned i = 0; i < WITNESSES; i++)
		daemon_down(f, i);
	loop_enter(f->loop);
	http_server_close(f->liar);
	loop_leave(f->loop);
	loop_stop(f->loop);
	assert_int_equal(pthread_join(f->thread, NULL), 0);
	loop_free(f->loop);
	testlog_done(&f->t);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s' '%s.old'", f->dir, f->dir);
	shell(cmd);
	log_capture(NULL, NULL);
	free(f);
	return 0;
}

typedef bool (*stats_fn)(const struct witnesses_stats *s, uint64_t arg);

static void
wait_for(struct fixture *f, stats_fn fn, uint64_t arg, const char *what)
{
	uint64_t deadline_ms = clock_mono_ms() + 60000;
	struct witnesses_stats s;

	for (;;) {
		witnesses_stats(f->w, &s);
		if (fn(&s, arg))
			return;
		if (clock_mono_ms() > deadline_ms)
			fail_msg("in vain: %s; cosigned %llu; %s: %s", what,
				 (unsigned long long)s.cosigned, witness_peer_text(s.by[0].state),
				 s.by[0].why);
		(void)poll(NULL, 0, 5);
	}
}

static bool
file_says(const struct witnesses_stats *s, uint64_t size)
{
	return s->cosigned == size;
}

static bool
all_cosigned(const struct witnesses_stats *s, uint64_t size)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->by[i].cosigned != size || s->by[i].lag_ms != 0)
			return false;
	return s->cosigned == size;
}

static bool
first_is(const struct witnesses_stats *s, uint64_t state)
{
	return s->by[0].state == (enum witness_peer_state)state;
}

/* What the file says to a reader who knows the keys of the witnesses. */
static unsigned
read_file(struct fixture *f, uint64_t *ret_size)
{
	struct note_verifier log_key, key[WITNESSES];
	struct audit_source source;
	struct cosigned c;
	unsigned count;

	source_folder(&source, f->t.dir);
	assert_int_equal(note_verifier_parse(f->t.vkey, &log_key, NULL), IM_OK);
	for (unsigned i = 0; i < WITNESSES; i++)
		assert_int_equal(note_cosigner_parse(f->daemon[i].vkey, &key[i], NULL), IM_OK);
	if (cosigned_read(&source, &log_key, key, WITNESSES, &c, &f->t.err) != IM_OK)
		fail_msg("%s", f->t.err.text);
	for (unsigned i = 0; i < WITNESSES; i++) {
		if (c.by[i].cosigned)
			assert_true(c.by[i].time_s + 3600 > clock_wall_us() / 1000000);
		note_verifier_done(&key[i]);
	}
	note_verifier_done(&log_key);
	*ret_size = c.at.size;
	count = c.count;
	cosigned_done(&c);
	return count;
}

static void
test_witnesses_cosign_as_the_log_grows(void **state)
{
	struct fixture *f = *state;
	uint64_t size = 0, read_size;

	assert_int_equal(open_witnesses(f, 3, 0), IM_OK);
	for (uint64_t n = 0; n < 5; n++) {
		size = grow(f, n * 200, 1 + n * 70); /* over tiles */
		wait_for(f, all_cosigned, size, "all cosign");
	}
	assert_int_equal(read_file(f, &read_size), 3);
	assert_int_equal(read_size, size);
	/* A restart goes on where they are, without being told. */
	close_log(f);
	open_log(f);
	assert_int_equal(open_witnesses(f, 3, 3), IM_OK);
	size = grow(f, 5000, 3);
	wait_for(f, all_cosigned, size, "all cosign after a restart");
	testlog_verify(&f->t, &(struct verify_report){ 0 });
}

/* Two of three are enough; one of three is not, and the log goes on all the same. */
static void
test_witnesses_quorum_is_needed_and_the_log_never_waits(void **state)
{
	struct fixture *f = *state;
	char address[64];
	uint64_t size, enough, read_size;

	daemon_down(f, 2);
	assert_int_equal(open_witnesses(f, 3, 0), IM_OK);
	enough = grow(f, 0, 10);
	wait_for(f, file_says, enough, "two of three cosign");
	assert_int_equal(read_file(f, &read_size), 2);
	(void)snprintf(address, sizeof(address), "%s", f->daemon[0].url + strlen("http://"));
	daemon_down(f, 0);
	size = grow(f, 100, 10); /* published without anybody */
	assert_true(size > enough);
	wait_for(f, first_is, WITNESS_PEER_SILENT, "the first is away");
	assert_int_equal(read_file(f, &read_size), 2);
	assert_int_equal(read_size, enough); /* what the file says is always whole */
	daemon_up(f, 0, address);
	wait_for(f, file_says, size, "two of three are back");
}

static void
keep_copy(struct fixture *f)
{
	char cmd[256];

	(void)snprintf(cmd, sizeof(cmd), "cp -a '%s' '%s.old'", f->t.dir, f->dir);
	shell(cmd);
}

static void
roll_back(struct fixture *f, const char *but)
{
	char cmd[512];

	close_log(f);
	(void)snprintf(
	    cmd, sizeof(cmd),
	    "cd '%s' && cp -a '%s' ../kept.$$ 2>/dev/null; rm -rf '%s' && cp -a '%s.old' '%s' && "
	    "if [ -e ../kept.$$ ]; then mv ../kept.$$ '%s/%s'; fi",
	    f->t.dir, but, f->t.dir, f->dir, f->t.dir, f->t.dir, but);
	shell(cmd);
	open_log(f);
}

static void
test_log_that_was_rolled_back_is_told_by_its_witnesses(void **state)
{
	struct fixture *f = *state;
	uint64_t size, before;

	assert_int_equal(open_witnesses(f, 3, 0), IM_OK);
	before = grow(f, 0, 10);
	wait_for(f, all_cosigned, before, "all cosign");
	close_log(f); /* all is in the folder */
	keep_copy(f);
	open_log(f);
	assert_int_equal(open_witnesses(f, 3, 0), IM_OK);
	size = grow(f, 100, 40);
	wait_for(f, all_cosigned, size, "all cosign");
	roll_back(f, "nothing");
	assert_int_equal(open_witnesses(f, 3, 0), IM_OK);
	assert_true(grow(f, 1000, 3) < size);
	wait_for(f, first_is, WITNESS_PEER_AHEAD, "rolled back");
	/* It goes on, and nobody ever cosigns that. */
	(void)grow(f, 2000, 100);
	wait_for(f, first_is, WITNESS_PEER_FORK, "forked");
	assert_int_equal(read_file(f, &size), 3);
	assert_int_equal(size, before);
}

/* Whoever keeps the one file keeps the service from going on with an older log. */
static void
test_log_older_than_its_cosigned_checkpoint_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t size;

	assert_int_equal(open_witnesses(f, 3, 0), IM_OK);
	size = grow(f, 0, 10);
	wait_for(f, all_cosigned, size, "all cosign");
	close_log(f);
	keep_copy(f);
	open_log(f);
	assert_int_equal(open_witnesses(f, 3, 0), IM_OK);
	size = grow(f, 100, 40);
	wait_for(f, all_cosigned, size, "all cosign");
	roll_back(f, COSIGNED_FILE);
	assert_int_equal(open_witnesses(f, 3, 0), IM_ECORRUPT);
	assert_non_null(strstr(f->t.err.text, "witnesses have cosigned"));
	(void)grow(f, 2000, 100); /* as large again, and something else */
	assert_int_equal(open_witnesses(f, 3, 0), IM_ECORRUPT);
	assert_non_null(strstr(f->t.err.text, "is not what witnesses cosigned"));
}

static void
lie(void *user, struct http_exchange *x)
{
	struct fixture *f = user;
	const struct http_header type = { "Content-Type", f->type };

	f->asked++;
	http_reply(x, f->status, &type, 1, f->body, strlen(f->body));
}

static void
gone(void *user, struct http_exchange *x)
{
	(void)user;
	http_abort(x);
}

/* In place of the first witness, with its key in the log's configuration. */
static void
liar_up(struct fixture *f)
{
	static const struct http_ops ops = { .request = lie, .gone = gone };
	const struct http_params params = { .listen = "127.0.0.1:0" };

	loop_enter(f->loop);
	assert_int_equal(http_server_open(f->loop, &params, &ops, f, &f->liar, &f->t.err), IM_OK);
	(void)snprintf(f->daemon[0].url, sizeof(f->daemon[0].url), "http://%s",
		       http_server_address(f->liar));
	loop_leave(f->loop);
}

static void
say(struct fixture *f, int status, const char *type, const char *body)
{
	loop_enter(f->loop);
	f->status = status;
	f->type = type;
	(void)snprintf(f->body, sizeof(f->body), "%s", body);
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
	};
	struct fixture *f = *state;
	struct buf big = { 0 };

	liar_up(f);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		say(f, lies[i].status, lies[i].type, lies[i].body);
		assert_int_equal(open_witnesses(f, 1, 1), IM_OK);
		(void)grow(f, i * 10, 1);
		wait_for(f, first_failed, 0, "it fails");
		wait_for(f, first_is, lies[i].want, lies[i].body);
		wait_for(f, file_says, 0, "nothing is cosigned");
		witnesses_close(f->w);
		f->w = NULL;
		f->log->publisher.told = NULL;
	}
	while (big.len < 30000)
		(void)buf_append_str(&big, "\xe2\x80\x94 somebody.else q83vAAAAAAAAAA==\n");
	say(f, 200, "text/plain", buf_cstr(&big));
	buf_done(&big);
	assert_int_equal(open_witnesses(f, 1, 1), IM_OK);
	(void)grow(f, 5000, 1);
	wait_for(f, first_failed, 0, "it is too long");
	wait_for(f, first_is, WITNESS_PEER_SILENT, "it is too long");
}

/* A cosignature that is right, of the checkpoint before. */
static void
test_witness_that_repeats_itself_is_not_believed(void **state)
{
	struct fixture *f = *state;
	struct buf text = { 0 };
	char path[128];
	uint64_t size;
	const char *line;

	assert_int_equal(open_witnesses(f, 1, 1), IM_OK);
	size = grow(f, 0, 10);
	wait_for(f, all_cosigned, size, "it cosigns");
	(void)snprintf(path, sizeof(path), "%s/" COSIGNED_FILE, f->t.dir);
	assert_int_equal(disk_read(path, NOTE_MAX_BYTES, &text, NULL), IM_OK);
	line = strstr(buf_cstr(&text), "\xe2\x80\x94 example.com/w0 ");
	assert_non_null(line);
	liar_up(f);
	say(f, 200, "text/plain", line);
	close_log(f);
	open_log(f);
	assert_int_equal(open_witnesses(f, 1, 1), IM_OK);
	(void)grow(f, 100, 3);
	wait_for(f, first_failed, 0, "it is not believed");
	wait_for(f, file_says, size, "the file stays");
	buf_done(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_witnesses_cosign_as_the_log_grows, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
		    test_witnesses_quorum_is_needed_and_the_log_never_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_log_that_was_rolled_back_is_told_by_its_witnesses, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_log_older_than_its_cosigned_checkpoint_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_witness_that_lies_is_never_believed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_witness_that_repeats_itself_is_not_believed,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
