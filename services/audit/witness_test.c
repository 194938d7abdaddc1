/*
 * audit/witness_test.c - the witness daemon: over HTTP, across restarts, and killed or failed by the disk at every system call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/cosignature.h"
#include "audit/testlog.h"
#include "audit/witness.h"
#include "audit/witness_host.h"
#include "audit/witness_rig.h"
#include "audit/witness_store.h"
#include "base/log.h"

struct fixture {
	struct witness_rig log, fork; /* the fork parts at leaf 5 */
	struct note_signer key;       /* of the witness, in tests of the store */
	struct note_verifier vkey;
	struct witness_log known;
	struct witness_store store;
	char dir[64];
	struct buf request, answer;
	struct im_err err;

	/* The daemon. */
	struct witness_host host;
	struct loop *loop;
	pthread_t thread;
	char socket[96];
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

static int
setup(void **state)
{
	static const uint8_t seed[NOTE_KEY_BYTES] = { 9 };
	struct fixture *f = calloc(1, sizeof(*f));

	log_capture(drop_line, NULL);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/infermesh-witness-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	witness_rig_init(&f->log, "example.com/log", 1, WITNESS_RIG_SIZE);
	witness_rig_init(&f->fork, "example.com/log", 1, 5);
	witness_rig_log(&f->log, &f->known);
	assert_int_equal(note_cosigner_new("example.com/w", seed, &f->key, NULL), IM_OK);
	note_verifier_of(&f->key, &f->vkey);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char cmd[128];

	(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", f->dir);
	shell(cmd);
	note_signer_done(&f->key);
	witness_rig_done(&f->log);
	witness_rig_done(&f->fork);
	buf_done(&f->request);
	buf_done(&f->answer);
	log_capture(NULL, NULL);
	free(f);
	return 0;
}

static void
reload(struct fixture *f)
{
	f->known.size = f->known.time_s = 0;
	memset(&f->known.root, 0, sizeof(f->known.root));
	if (witness_store_open(&f->store, &testdisk, f->dir, &f->key, &f->err) != IM_OK ||
	    witness_store_load(&f->store, &f->known, &f->err) != IM_OK)
		fail_msg("%s", f->err.text);
}

/* Judge and cosign as the daemon does. */
static enum im_rc
cosign(struct fixture *f, struct witness_rig *rig, uint64_t old, uint64_t size, uint64_t time_s,
       enum witness_result *ret)
{
	struct witness_verdict v;

	witness_rig_request(rig, old, size, &f->request);
	witness_judge(&f->known, 1, &f->store.hasher, buf_cstr(&f->request), f->request.len, &v);
	*ret = v.result;
	if (v.result != WITNESS_GOOD)
		return IM_OK;
	return witness_store_cosign(&f->store, &f->known, &v, time_s, &f->answer, &f->err);
}

static void
test_store_remembers_what_it_cosigned(void **state)
{
	struct fixture *f = *state;
	enum witness_result result;
	struct note note;
	uint64_t time_s;

	testdisk_arm(0, 0);
	reload(f);
	assert_int_equal(f->known.size, 0);
	assert_int_equal(cosign(f, &f->log, 0, 7, 1000, &result), IM_OK);
	assert_int_equal(result, WITNESS_GOOD);
	witness_store_close(&f->store);
	reload(f);
	assert_int_equal(f->known.size, 7);
	assert_int_equal(f->known.time_s, 1000);
	assert_int_equal(cosign(f, &f->fork, 7, 9, 1001, &result), IM_OK);
	assert_int_equal(result, WITNESS_INCONSISTENT);
	/* The clock was set back: the time of a cosignature never is. */
	assert_int_equal(cosign(f, &f->log, 7, 7, 10, &result), IM_OK);
	buf_clear(&f->request);
	witness_rig_request(&f->log, 0, 7, &f->request);
	(void)buf_append(&f->request, f->answer.data, f->answer.len);
	assert_int_equal(note_parse(buf_cstr(&f->request) + strlen("old 0\n\n"),
				    f->request.len - strlen("old 0\n\n"), &note, &f->err),
			 IM_OK);
	assert_int_equal(cosignature_verify(&note, &f->vkey, &time_s, &f->err), IM_OK);
	assert_int_equal(time_s, 1000);
	witness_store_close(&f->store);
}

static void
test_store_refuses_a_second_process_and_changed_state(void **state)
{
	struct fixture *f = *state;
	struct witness_store second;
	static const uint8_t other_seed[NOTE_KEY_BYTES] = { 10 };
	struct note_signer other;
	enum witness_result result;
	char cmd[256];

	testdisk_arm(0, 0);
	reload(f);
	assert_int_equal(witness_store_open(&second, &testdisk, f->dir, &f->key, &f->err),
			 IM_EEXIST);
	assert_non_null(strstr(f->err.text, "witness.dir"));
	assert_int_equal(cosign(f, &f->log, 0, 7, 1000, &result), IM_OK);
	witness_store_close(&f->store);
	/* Another key cannot vouch for what was cosigned. */
	assert_int_equal(note_cosigner_new("example.com/w", other_seed, &other, NULL), IM_OK);
	assert_int_equal(witness_store_open(&f->store, &testdisk, f->dir, &other, &f->err), IM_OK);
	assert_int_equal(witness_store_load(&f->store, &f->known, &f->err), IM_ECORRUPT);
	witness_store_close(&f->store);
	note_signer_done(&other);
	/* Nor may anybody turn it back by hand. */
	(void)snprintf(cmd, sizeof(cmd), "sed -i 's/^7$/6/' '%s'/*.checkpoint", f->dir);
	shell(cmd);
	assert_int_equal(witness_store_open(&f->store, &testdisk, f->dir, &f->key, &f->err), IM_OK);
	assert_int_equal(witness_store_load(&f->store, &f->known, &f->err), IM_ECORRUPT);
	assert_non_null(strstr(f->err.text, "rolled back"));
	witness_store_close(&f->store);
}

#define STEPS 4

/* Cosign step after step, old log or fork; what was given out goes to 'fd'. */
static void
live(struct fixture *f, int fd)
{
	static const uint64_t sizes[STEPS] = { 3, 5, 11, 30 };
	uint64_t old = 0;

	reload(f);
	for (unsigned i = 0; i < STEPS; i++) {
		enum witness_result result;
		enum im_rc rc = cosign(f, &f->log, old, sizes[i], 1000 + i, &result);

		if (rc != IM_OK || result != WITNESS_GOOD)
			_exit(3);
		if (write(fd, &sizes[i], sizeof(sizes[i])) != sizeof(sizes[i]))
			_exit(4);
		old = sizes[i];
	}
	_exit(0);
}

/* Killed at each system call that touches the folder: what left is known afterwards, and no fork of it is good. */
static void
test_store_killed_at_every_call_knows_all_that_left(void **state)
{
	struct fixture *f = *state;
	unsigned at = 0, killed = 0;
	int status = 0;

	do {
		uint64_t size, last = 0;
		enum witness_result result;
		char cmd[128];
		int fds[2];
		pid_t pid;

		(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'/*", f->dir);
		shell(cmd);
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			const struct rlimit no_core = { 0, 0 };

			(void)setrlimit(RLIMIT_CORE, &no_core);
			testdisk_arm(++at, TESTDISK_KILL);
			live(f, fds[1]);
		}
		at++;
		(void)close(fds[1]);
		while (read(fds[0], &size, sizeof(size)) == sizeof(size))
			last = size;
		(void)close(fds[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		killed += WIFSIGNALED(status) ? 1 : 0;
		testdisk_arm(0, 0);
		reload(f);
		if (f->known.size < last)
			fail_msg("call %u: cosigned %llu, knows %llu", at, (unsigned long long)last,
				 (unsigned long long)f->known.size);
		if (f->known.size > 5) {
			assert_int_equal(cosign(f, &f->fork, f->known.size, 40, 2000, &result),
					 IM_OK);
			assert_int_equal(result, WITNESS_INCONSISTENT);
		}
		witness_store_close(&f->store);
	} while (WIFSIGNALED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(killed >= STEPS * 5); /* open, write, sync, rename, and the folder's */
}

/* Each call fails once: no cosignature leaves then, and a failed sync is never asked again. */
static void
test_store_that_cannot_write_gives_nothing_out(void **state)
{
	static const int errors[] = { ENOSPC, EIO, EMFILE };
	struct fixture *f = *state;

	for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
		for (unsigned at = 1;; at++) {
			enum witness_result result;
			enum im_rc rc;
			bool hit;
			char cmd[128];

			(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'/*", f->dir);
			shell(cmd);
			testdisk_arm(0, 0);
			reload(f);
			assert_int_equal(cosign(f, &f->log, 0, 6, 1000, &result), IM_OK);
			buf_clear(&f->answer);
			testdisk_arm(at, errors[e]);
			rc = cosign(f, &f->log, 6, 8, 1001, &result);
			hit = testdisk_calls() >= at;
			assert_int_equal(result, WITNESS_GOOD);
			assert_int_equal(rc != IM_OK, hit);
			if (hit) {
				assert_int_equal(f->answer.len, 0);
				assert_int_equal(f->known.size, 6);
			}
			if (hit && strstr(testdisk_failed(), "sync") != NULL)
				assert_int_equal(rc, IM_EIO);
			testdisk_arm(0, 0);
			if (hit && rc == IM_EUNAVAILABLE) { /* later it works */
				assert_int_equal(cosign(f, &f->log, 6, 8, 1002, &result), IM_OK);
				assert_int_equal(f->known.size, 8);
			}
			witness_store_close(&f->store);
			reload(f);
			assert_true(f->known.size == 6 || f->known.size == 8);
			witness_store_close(&f->store);
			if (!hit)
				break;
		}
	}
}

static void *
run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void
daemon_start(struct fixture *f)
{
	char vkey[NOTE_KEYTEXT_MAX];
	struct buf yaml = { 0 };

	note_signer_vkey(&f->log.key, vkey);
	(void)snprintf(f->socket, sizeof(f->socket), "%s/http", f->dir);
	(void)buf_printf(&yaml,
			 "mesh: {state_dir: %s, run_dir: %s}\n"
			 "witness: {listen: 'unix:%s', prefix: /w1, name: example.com/w,\n"
			 "  logs: {example.com/log: '%s'}}\n",
			 f->dir, f->dir, f->socket, vkey);
	assert_int_equal(loop_new(&f->loop, NULL), IM_OK);
	if (witness_host_up(&f->host, f->loop, buf_cstr(&yaml), &f->err) != IM_OK)
		fail_msg("%s", f->err.text);
	buf_done(&yaml);
	assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f->loop), 0);
}

static void
daemon_stop(struct fixture *f)
{
	witness_host_down(&f->host, f->loop);
	loop_stop(f->loop);
	assert_int_equal(pthread_join(f->thread, NULL), 0);
	loop_free(f->loop);
	(void)unlink(f->socket);
}

/* Send, take the whole answer; returns the status. */
static int
ask(struct fixture *f, const char *method, const char *path, const void *body, size_t len)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char head[256], data[4096];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t n;

	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", f->socket);
	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	n = snprintf(
	    head, sizeof(head),
	    "%s %s HTTP/1.1\r\nHost: w\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", method,
	    path, len);
	assert_int_equal(send(fd, head, (size_t)n, MSG_NOSIGNAL), n);
	for (size_t sent = 0; sent < len && n > 0; sent += (size_t)n) {
		n = send(fd, (const char *)body + sent, len - sent, MSG_NOSIGNAL);
		if (n < 0)
			break; /* refused by its length */
	}
	buf_clear(&f->answer);
	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		assert_true(buf_append(&f->answer, data, (size_t)n));
	(void)close(fd);
	assert_true(strlen(buf_cstr(&f->answer)) > 12);
	return (int)strtol(buf_cstr(&f->answer) + 9, NULL, 10);
}

static int
submit(struct fixture *f, struct witness_rig *rig, uint64_t old, uint64_t size)
{
	witness_rig_request(rig, old, size, &f->request);
	return ask(f, "POST", "/w1/add-checkpoint", f->request.data, f->request.len);
}

static const char *
answer_body(struct fixture *f)
{
	const char *body = strstr(buf_cstr(&f->answer), "\r\n\r\n");

	assert_non_null(body);
	return body + 4;
}

static void
test_daemon_answers_as_the_protocol_says(void **state)
{
	struct fixture *f = *state;
	struct witness_rig other;
	char big[ADD_CHECKPOINT_MAX_BYTES + 1];

	daemon_start(f);
	assert_int_equal(submit(f, &f->log, 0, 6), 200);
	assert_memory_equal(answer_body(f), "\xe2\x80\x94 example.com/w ", 18);
	assert_int_equal(submit(f, &f->log, 0, 9), 409);
	assert_string_equal(answer_body(f), "6\n");
	assert_non_null(strstr(buf_cstr(&f->answer), "Content-Type: text/x.tlog.size\r\n"));
	assert_int_equal(submit(f, &f->log, 6, 9), 200);
	assert_int_equal(submit(f, &f->fork, 9, 12), 422);
	assert_int_equal(submit(f, &f->fork, 9, 9), 409);
	assert_null(strstr(buf_cstr(&f->answer), "text/x.tlog.size"));
	assert_int_equal(submit(f, &f->log, 9, 7), 400);
	witness_rig_init(&other, "example.com/other", 1, 0);
	assert_int_equal(submit(f, &other, 0, 3), 404);
	witness_rig_done(&other);
	witness_rig_init(&other, "example.com/log", 2, 0);
	assert_int_equal(submit(f, &other, 9, 12), 403);
	witness_rig_done(&other);
	assert_int_equal(ask(f, "POST", "/w1/add-checkpoint", "old 1\n", 6), 400);
	assert_int_equal(ask(f, "POST", "/w1/add-checkpoint", "", 0), 400);
	assert_int_equal(ask(f, "GET", "/w1/add-checkpoint", "", 0), 405);
	assert_int_equal(ask(f, "POST", "/add-checkpoint", "", 0), 404);
	memset(big, 'x', sizeof(big));
	assert_int_equal(ask(f, "POST", "/w1/add-checkpoint", big, sizeof(big)), 413);
	daemon_stop(f);
	/* And knows it all after a restart. */
	daemon_start(f);
	assert_int_equal(submit(f, &f->fork, 6, 12), 409);
	assert_string_equal(answer_body(f), "9\n");
	assert_int_equal(submit(f, &f->log, 9, 12), 200);
	daemon_stop(f);
}

struct racer {
	struct fixture *f;
	struct buf request;
	int status;
	bool fork;
};

static void *
race(void *arg)
{
	struct racer *r = arg;
	struct fixture own = { 0 };

	memcpy(own.socket, r->f->socket, sizeof(own.socket));
	r->status = ask(&own, "POST", "/w1/add-checkpoint", r->request.data, r->request.len);
	buf_done(&own.answer);
	return NULL;
}

/* The race of the specification: many at once from one old size. One history is cosigned. */
static void
test_daemon_asked_by_many_at_once_cosigns_one_history(void **state)
{
	struct fixture *f = *state;
	struct racer r[16] = { { 0 } };
	pthread_t thread[16];
	struct metrics_page page = { { 0 } };
	unsigned good = 0;

	daemon_start(f);
	for (unsigned i = 0; i < 16; i++) {
		r[i].f = f;
		r[i].fork = i % 2 == 0;
		witness_rig_request(r[i].fork ? &f->fork : &f->log, 0, 10 + i, &r[i].request);
	}
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, race, &r[i]), 0);
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		good += r[i].status == 200 ? 1 : 0;
		assert_true(r[i].status == 200 || r[i].status == 409);
		buf_done(&r[i].request);
	}
	assert_int_equal(good, 1);
	loop_enter(f->loop);
	witness_service.metrics(f->host.service, &page);
	loop_leave(f->loop);
	assert_non_null(strstr(buf_cstr(&page.out),
			       "infermesh_witness_requests_total{result=\"cosigned\"} 1\n"));
	assert_non_null(strstr(buf_cstr(&page.out),
			       "infermesh_witness_requests_total{result=\"other_size\"} 15\n"));
	buf_done(&page.out);
	daemon_stop(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_store_remembers_what_it_cosigned, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
		    test_store_refuses_a_second_process_and_changed_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store_killed_at_every_call_knows_all_that_left,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_store_that_cannot_write_gives_nothing_out,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_daemon_answers_as_the_protocol_says, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
		    test_daemon_asked_by_many_at_once_cosigns_one_history, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
