/*
 * audit/committer_test.c - the commit and publishing threads on a real loop: many jobs, a disk that fails, a clean end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "audit/committer.h"
#include "audit/testlog.h"

#define JOBS 400

struct fixture {
	struct testlog t;
	struct loop *loop;
	struct audit_log *log;
	struct committer *c;
	struct {
		struct commit_job job;
		struct audit_event events[8];
		uint64_t index[8];
		bool done;
	} jobs[JOBS];
	unsigned submitted, done, failed, fatal;
	bool
	    turns; /* the log goes on in other shards meanwhile, whose keys are the commit thread's business */
	struct audit_event stop;
	struct loop_task begin;
	struct loop_timer patience;
	unsigned waited;
	pthread_mutex_t lock; /* 'fatal' comes from another thread */
};

static void
on_fatal(void *user, const struct im_err *err)
{
	struct fixture *f = user;

	assert_int_equal(err->rc, IM_EIO);
	(void)pthread_mutex_lock(&f->lock);
	f->fatal++;
	(void)pthread_mutex_unlock(&f->lock);
}

static void
fixture_init_at(struct fixture **ret, const struct disk_ops *ops, uint64_t (*now_us)(void))
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	testlog_init(&f->t);
	f->t.ops = ops;
	f->t.now_us = now_us;
	f->t.half_years = f->turns = now_us != NULL;
	f->t.batch_records = 64;
	testdisk_arm(0, 0);
	(void)pthread_mutex_init(&f->lock, NULL);
	assert_int_equal(loop_new(&f->loop, NULL), IM_OK);
	f->log = testlog_open(&f->t);
	assert_non_null(f->log);
	assert_int_equal(publisher_start(&f->log->publisher, NULL), IM_OK);
	loop_enter(f->loop);
	assert_int_equal(committer_new(f->loop, f->log, on_fatal, f, &f->c, NULL), IM_OK);
	loop_leave(f->loop);
	*ret = f;
}

static void
fixture_init(struct fixture **ret, const struct disk_ops *ops)
{
	fixture_init_at(ret, ops, NULL);
}

static void
on_stopped(void *arg)
{
	struct fixture *f = arg;

	loop_stop(f->loop);
}

/* Everything was answered: end. */
static void
stop(struct fixture *f)
{
	testlog_event(&f->stop, RECORD_STOP, 0);
	committer_stop(f->c, &f->stop, on_stopped, f);
}

static void
on_done(void *user, struct commit_job *job)
{
	struct fixture *f = user;
	struct checkpoint cp;

	f->done++;
	if (job->err.rc != IM_OK) {
		f->failed++;
	} else if (!f->turns) {
		/* The answer's checkpoint covers every event of the job. */
		assert_int_equal(checkpoint_open(job->checkpoint, strlen(job->checkpoint),
						 &f->log->shard.verifier, &cp, NULL),
				 IM_OK);
		for (size_t i = 0; i < job->events.count; i++)
			assert_true(job->index[i] < cp.size);
	}
	free(job->checkpoint);
	if (f->done == f->submitted)
		stop(f);
}

static void
submit(struct fixture *f, unsigned from, unsigned end)
{
	for (unsigned i = from; i < end; i++) {
		struct commit_job *job = &f->jobs[i].job;

		for (unsigned e = 0; e < 8; e++)
			testlog_event(&f->jobs[i].events[e],
				      e % 2 == 0 ? RECORD_REQUEST : RECORD_RESPONSE, i * 4 + e / 2);
		*job = (struct commit_job){ .events = { f->jobs[i].events, 8 },
					    .index = f->jobs[i].index,
					    .bytes = 1000,
					    .done = on_done,
					    .user = f };
		assert_int_equal(committer_submit(f->c, job, NULL), IM_OK);
		f->submitted++;
	}
}

static void
submit_all(void *arg)
{
	submit(arg, 0, JOBS);
}

static void
run_all(struct fixture *f)
{
	f->begin = (struct loop_task){ .fn = submit_all, .arg = f };
	loop_enter(f->loop);
	loop_post(f->loop, &f->begin);
	loop_leave(f->loop);
	loop_run(f->loop);
	assert_int_equal(f->done, JOBS);
}

static void
fixture_done(struct fixture *f)
{
	loop_enter(f->loop);
	committer_free(f->c);
	loop_leave(f->loop);
	audit_log_close(f->log);
	loop_free(f->loop);
	(void)pthread_mutex_destroy(&f->lock);
	testlog_done(&f->t);
	free(f);
}

static void
test_committer_makes_every_job_durable_and_ends_with_a_published_stop(void **state)
{
	struct fixture *f;
	struct commit_stats s;
	struct verify_report r;

	(void)state;
	fixture_init(&f, NULL);
	run_all(f);
	committer_stats(f->c, &s);
	assert_int_equal(f->failed, 0);
	assert_int_equal(s.records[RECORD_REQUEST], 4 * JOBS);
	assert_int_equal(s.pending, 0);
	assert_true(s.frames >= 8 * JOBS / 64);
	testlog_verify(&f->t, &r);
	assert_int_equal(r.size, 8 * JOBS + 1);
	assert_int_equal(r.published_size, 8 * JOBS + 1);
	assert_int_equal(r.kinds[RECORD_STOP], 1);
	assert_int_equal(r.open, 0);
	fixture_done(f);
}

/* Two hours pass from one look at the clock to the next, from the end of 2026 on. */
static uint64_t
hurrying_now(void)
{
	static _Atomic uint64_t us = UINT64_C(1798000000) * 1000000;

	return atomic_fetch_add(&us, UINT64_C(7200) * 1000000);
}

static void
test_committer_goes_on_in_a_new_shard_and_loses_no_job(void **state)
{
	struct fixture *f;
	struct commit_stats s;
	struct verify_report r;

	(void)state;
	fixture_init_at(&f, NULL, hurrying_now);
	run_all(f);
	committer_stats(f->c, &s);
	assert_int_equal(f->failed, 0);
	testlog_verify(&f->t, &r);
	assert_int_equal(r.kinds[RECORD_REQUEST], 4 * JOBS);
	assert_int_equal(r.kinds[RECORD_RESPONSE], 4 * JOBS);
	assert_int_equal(r.open + r.orphans, 0);
	assert_true(r.shards >= 2);
	assert_int_equal(r.kinds[RECORD_KEY_ROTATE], 2 * (r.shards - 1));
	assert_int_equal(s.records[RECORD_KEY_ROTATE], 2 * (r.shards - 1));
	assert_int_equal(r.size, 8 * JOBS + 1 + 2 * (r.shards - 1));
	assert_int_equal(r.published_size, r.size);
	assert_int_equal(s.size + 1, r.size); /* STOP came after it */
	assert_string_equal(s.origin, r.shard[r.shards - 1].origin);
	assert_int_equal(s.first, r.shard[r.shards - 1].first);
	fixture_done(f);
}

static void
test_committer_without_space_fails_jobs_and_recovers(void **state)
{
	struct fixture *f;
	struct verify_report r;

	(void)state;
	fixture_init(&f, &testdisk);
	testdisk_arm(1, ENOSPC); /* the first call, which is a frame's write or a tile's */
	run_all(f);
	assert_int_equal(f->fatal, 0);
	testdisk_arm(0, 0);
	testlog_verify(&f->t, &r);
	assert_int_equal(r.kinds[RECORD_STOP], 1);
	fixture_done(f);
}

/* A disk where one frame's write waits, and the first one may find no space. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t news;
	unsigned writes, wait_at; /* frames written; which of them waits, 0 = none */
	bool fail_first;
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER };

static ssize_t
gated_pwrite(int fd, const void *data, size_t len, off_t at)
{
	bool fails;
	unsigned n;

	if (memmem(data, len, WAL_MAGIC, 8) == NULL)
		return pwrite(fd, data, len, at);
	(void)pthread_mutex_lock(&gate.lock);
	n = ++gate.writes;
	fails = gate.fail_first && n <= 2; /* past the page cache, and through it */
	(void)pthread_cond_broadcast(&gate.news);
	while (gate.wait_at == n)
		(void)pthread_cond_wait(&gate.news, &gate.lock);
	(void)pthread_mutex_unlock(&gate.lock);
	if (!fails)
		return pwrite(fd, data, len, at);
	errno = ENOSPC;
	return -1;
}

/* Wait until frame 'n' is being written. */
static void
gate_await(unsigned n)
{
	(void)pthread_mutex_lock(&gate.lock);
	while (gate.writes < n)
		(void)pthread_cond_wait(&gate.news, &gate.lock);
	(void)pthread_mutex_unlock(&gate.lock);
}

static void
gate_set(unsigned wait_at)
{
	(void)pthread_mutex_lock(&gate.lock);
	gate.wait_at = wait_at;
	(void)pthread_cond_broadcast(&gate.news);
	(void)pthread_mutex_unlock(&gate.lock);
}

static void
gated_init(struct fixture **ret, bool fail_first)
{
	static struct disk_ops gated;

	gated = disk_posix;
	gated.pwrite = gated_pwrite;
	gate.writes = 0;
	gate.wait_at = 1;
	gate.fail_first = fail_first;
	fixture_init(ret, &gated);
}

/* A RESPONSE must not be recorded when the REQUEST before it was not. */
static void
test_committer_lets_nothing_overtake_a_job_that_failed(void **state)
{
	struct fixture *f;

	(void)state;
	gated_init(&f, true);
	loop_enter(f->loop);
	submit(f, 0, 1);
	gate_await(1);
	submit(f, 1, JOBS);
	gate_set(0);
	loop_leave(f->loop);
	loop_run(f->loop);
	assert_int_equal(f->done, JOBS);
	assert_int_equal(f->failed, JOBS);
	fixture_done(f);
}

static void
on_patience(void *arg)
{
	struct fixture *f = arg;

	f->waited++;
	if (f->done >= 9 || f->waited > 2000)
		gate_set(0);
	else
		assert_int_equal(loop_timer_set(f->loop, &f->patience, 5000), IM_OK);
}

/* Many frames are waiting: who is in the first need not wait for the last. */
static void
test_committer_answers_after_each_frame(void **state)
{
	struct fixture *f;

	(void)state;
	gated_init(&f, false);
	f->patience = (struct loop_timer){ .fn = on_patience, .arg = f };
	loop_enter(f->loop);
	submit(f, 0, 1);
	gate_await(1);
	submit(f, 1, JOBS);
	gate_set(3); /* jobs 1 to 8 are in the second frame */
	assert_int_equal(loop_timer_set(f->loop, &f->patience, 0), IM_OK);
	loop_leave(f->loop);
	loop_run(f->loop);
	assert_true(f->waited <= 2000);
	assert_int_equal(f->failed, 0);
	fixture_done(f);
}

static void
test_committer_on_a_lying_disk_writes_nothing_more(void **state)
{
	struct fixture *f;
	struct verify_report r;
	uint64_t acked;

	(void)state;
	fixture_init(&f, &testdisk);
	testdisk_arm_name("fdatasync", EIO);
	run_all(f);
	assert_int_equal(f->failed, JOBS);
	assert_true(f->fatal > 0);
	acked = audit_log_size(f->log);
	assert_int_equal(acked, 0);
	testdisk_arm(0, 0);
	/* Whatever reached the disk is consistent all the same. */
	assert_int_equal(audit_verify(f->t.dir, f->t.vkey, NULL, &r, NULL), IM_OK);
	assert_int_equal(r.problems, 0);
	fixture_done(f);
}

static void
test_committer_refuses_when_too_much_waits(void **state)
{
	struct fixture *f;
	struct commit_job job = { .bytes = COMMITTER_BYTES_MAX + 1 };
	struct audit_event e;
	uint64_t index;
	struct im_err err;

	(void)state;
	fixture_init(&f, NULL);
	testlog_event(&e, RECORD_REQUEST, 1);
	job.events = (struct audit_append){ &e, 1 };
	job.index = &index;
	loop_enter(f->loop);
	assert_int_equal(committer_submit(f->c, &job, &err), IM_EUNAVAILABLE);
	assert_string_equal(err.reason, "audit_unavailable");
	stop(f);
	job.bytes = 1;
	assert_int_equal(committer_submit(f->c, &job, &err), IM_EUNAVAILABLE);
	loop_leave(f->loop);
	loop_run(f->loop);
	fixture_done(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_committer_makes_every_job_durable_and_ends_with_a_published_stop),
		cmocka_unit_test(test_committer_goes_on_in_a_new_shard_and_loses_no_job),
		cmocka_unit_test(test_committer_without_space_fails_jobs_and_recovers),
		cmocka_unit_test(test_committer_lets_nothing_overtake_a_job_that_failed),
		cmocka_unit_test(test_committer_answers_after_each_frame),
		cmocka_unit_test(test_committer_on_a_lying_disk_writes_nothing_more),
		cmocka_unit_test(test_committer_refuses_when_too_much_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
