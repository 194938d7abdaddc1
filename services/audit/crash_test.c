/*
 * audit/crash_test.c - a process that appends is killed again and again at random points: what it was told is durable is
 * there afterwards, at the index that it was told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/testlog.h"

#define KILLS      100
#define PAIRS      2 /* of a frame */
#define LEDGER_MAX 2000000

struct ack {
	uint64_t request;
	uint64_t index; /* of its RESPONSE */
};

/* In the child: append pairs for ever and tell the parent what is durable. The publisher's thread runs beside. */
static void
child(struct testlog *t, uint64_t from, int fd)
{
	struct audit_log *log = testlog_open(t);
	struct ack acks[PAIRS];

	if (log == NULL || publisher_start(&log->publisher, NULL) != IM_OK) {
		(void)fprintf(stderr, "child: %s\n", t->err.text);
		_exit(3);
	}
	for (uint64_t n = from;; n += PAIRS) {
		for (uint64_t i = 0; i < PAIRS; i++) {
			struct audit_event e;
			uint64_t index;

			testlog_event(&e, RECORD_REQUEST, n + i);
			if (audit_log_add(log, &e, &index, &t->err) != IM_OK)
				_exit(4);
			testlog_event(&e, RECORD_RESPONSE, n + i);
			if (audit_log_add(log, &e, &index, &t->err) != IM_OK)
				_exit(4);
			acks[i] = (struct ack){ n + i, index };
		}
		if (audit_log_commit(log, false, &t->err) != IM_OK)
			_exit(5);
		if (write(fd, acks, sizeof(acks)) != sizeof(acks))
			_exit(6);
	}
}

static struct ack *ledger;
static size_t ledger_len;

static void
read_acks(int fd)
{
	struct ack a[64];
	ssize_t n;

	while ((n = read(fd, a, sizeof(a))) > 0) {
		assert_int_equal(n % (ssize_t)sizeof(a[0]), 0);
		assert_true(ledger_len + (size_t)n / sizeof(a[0]) <= LEDGER_MAX);
		memcpy(ledger + ledger_len, a, (size_t)n);
		ledger_len += (size_t)n / sizeof(a[0]);
	}
}

/* One life: until some acknowledgements came, and then a random few microseconds more. Not a pause that a result hangs on:
 * the kill may come at any time. */
static void
live_and_die(struct testlog *t, uint64_t from, unsigned *seed)
{
	int fds[2], status;
	struct pollfd p;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(fds[0]);
		child(t, from, fds[1]);
	}
	(void)close(fds[1]);
	p = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	if (rand_r(seed) % 8 != 0) /* else it may be killed while it recovers */
		assert_true(poll(&p, 1, 60000) > 0);
	(void)poll(NULL, 0, rand_r(seed) % 10);
	assert_int_equal(kill(pid, SIGKILL), 0);
	read_acks(fds[0]);
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void
test_log_killed_at_random_keeps_all_that_was_acknowledged(void **state)
{
	struct testlog t;
	struct verify_report r;
	struct audit_log *log;
	unsigned seed = 20240607;
	uint64_t published = 0;

	(void)state;
	ledger = malloc(LEDGER_MAX * sizeof(*ledger));
	assert_non_null(ledger);
	testlog_init(&t);
	for (unsigned life = 0; life < KILLS; life++) {
		live_and_die(&t, (uint64_t)life << 32, &seed);
		if (life % 10 == 9) {
			testlog_verify(&t, &r);
			assert_true(r.published_size >= published); /* never rolled back */
			published = r.published_size;
		}
	}
	log = testlog_open(&t);
	if (log == NULL)
		fail_msg("%s", t.err.text);
	for (size_t i = 0; i < ledger_len; i++) {
		struct audit_event e;
		uint64_t index;

		/* The last ones are still in the table: the log must answer with the very index. */
		assert_true(ledger[i].index < audit_log_size(log));
		if (ledger[i].index + DEDUP_RECENT < audit_log_size(log))
			continue;
		testlog_event(&e, RECORD_RESPONSE, ledger[i].request);
		assert_int_equal(audit_log_add(log, &e, &index, &t.err), IM_OK);
		assert_int_equal(index, ledger[i].index);
	}
	assert_true(audit_log_idle(log)); /* every one was a duplicate */
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.open, 0); /* a pair is in one frame: there or not */
	assert_true(ledger_len > 0);
	print_message("%u kills, %zu pairs acknowledged, %lu records, none lost\n", KILLS,
		      ledger_len, (unsigned long)r.size);
	free(ledger);
	testlog_done(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_killed_at_random_keeps_all_that_was_acknowledged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
