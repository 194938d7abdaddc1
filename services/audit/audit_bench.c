/*
 * audit/audit_bench.c - durable records a second and the time to an acknowledgement, through the commit thread with fdatasync
 * on, beside a loop that only writes and syncs as many bytes on the same disk.
 *
 * usage: audit_bench [FOLDER]   (default: /var/tmp)
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/committer.h"
#include "base/clock.h"

#define SECONDS   2
#define ALIVE_MAX 4096

struct slot {
	struct bench *b;
	struct commit_job job;
	struct audit_event event;
	uint64_t index;
	uint64_t began_us;
};

struct bench {
	struct loop *loop;
	struct audit_log *log;
	struct committer *c;
	struct loop_task begin;
	unsigned alive, ended;
	uint64_t number, until_us, count;
	uint32_t *took_us;
	size_t took_len, took_cap;
	struct slot *slot;
};

static void
die(const char *what)
{
	(void)fprintf(stderr, "audit_bench: %s\n", what);
	exit(1); // NOLINT(concurrency-mt-unsafe): whichever thread ends it, it ends
}

static void
on_fatal(void *user, const struct im_err *err)
{
	(void)user;
	die(err->text);
}

static void
submit(struct slot *s)
{
	struct bench *b = s->b;
	uint64_t n = b->number++;
	struct im_err err;

	s->event = (struct audit_event){ .kind = n % 2 == 0 ? RECORD_REQUEST : RECORD_RESPONSE,
					 .has_request_id = true,
					 .caller = "alice",
					 .tenant = "acme",
					 .model = "demo",
					 .has_input = true,
					 .has_output = n % 2 != 0,
					 .outcome = n % 2 != 0 ? OUTCOME_OK : OUTCOME_NONE,
					 .has_routing = true,
					 .routing = { .worker = "w1",
						      .policy = "least_connections",
						      .reason = "",
						      .attempts = 1 } };
	n /= 2;
	memcpy(s->event.request_id, &n, sizeof(n));
	s->began_us = clock_mono_us();
	if (committer_submit(b->c, &s->job, &err) != IM_OK)
		die(err.text);
}

static void
on_stopped(void *arg)
{
	struct bench *b = arg;

	loop_stop(b->loop);
}

static void
on_done(void *user, struct commit_job *job)
{
	struct slot *s = user;
	struct bench *b = s->b;

	if (job->err.rc != IM_OK)
		die(job->err.text);
	free(job->checkpoint);
	b->count++;
	if (b->took_len < b->took_cap)
		b->took_us[b->took_len++] = (uint32_t)(clock_mono_us() - s->began_us);
	if (clock_mono_us() < b->until_us)
		submit(s);
	else if (++b->ended == b->alive)
		committer_stop(b->c, NULL, on_stopped, b);
}

static void
begin(void *arg)
{
	struct bench *b = arg;

	b->until_us = clock_mono_us() + UINT64_C(1000000) * SECONDS;
	for (unsigned i = 0; i < b->alive; i++) {
		b->slot[i].b = b;
		b->slot[i].job = (struct commit_job){ .events = { &b->slot[i].event, 1 },
						      .index = &b->slot[i].index,
						      .bytes = 1000,
						      .done = on_done,
						      .user = &b->slot[i] };
		submit(&b->slot[i]);
	}
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* In milliseconds; the times are sorted. */
static double
percentile(const struct bench *b, unsigned percent)
{
	size_t at = b->took_len * percent / 100;

	return (double)b->took_us[at] / 1e3;
}

static void
run(const char *folder, unsigned alive)
{
	char dir[256], key[300], subjects[320], clean[1000];
	struct bench b = { .alive = alive, .took_cap = 4000000 };
	struct keyfile keys;
	struct audit_log_params params = { .ops = &disk_posix,
					   .dir = dir,
					   .keys = &keys,
					   .subjects = subjects,
					   .segment_bytes = UINT64_C(64) << 20,
					   .batch_records = 4096,
					   .batch_bytes = (size_t)256 << 10,
					   .publish_ms = 1000,
					   .now_us = clock_wall_us,
					   .fatal = on_fatal };
	struct commit_stats stats;
	struct im_err err;

	(void)snprintf(dir, sizeof(dir), "%s/audit-bench-XXXXXX", folder);
	if (mkdtemp(dir) == NULL)
		die("cannot make a folder");
	(void)snprintf(key, sizeof(key), "%s.key", dir);
	(void)snprintf(subjects, sizeof(subjects), "%s" SUBJECTS_SUFFIX, key);
	b.took_us = malloc(b.took_cap * sizeof(*b.took_us));
	b.slot = calloc(alive, sizeof(*b.slot));
	if (b.took_us == NULL || b.slot == NULL || loop_new(&b.loop, &err) != IM_OK)
		die("no memory");
	if (keyfile_create(key, "bench.example/log", &keys, &err) != IM_OK ||
	    audit_log_open(&params, &b.log, &err) != IM_OK ||
	    publisher_start(&b.log->publisher, &err) != IM_OK)
		die(err.text);
	b.begin = (struct loop_task){ .fn = begin, .arg = &b };
	loop_enter(b.loop);
	if (committer_new(b.loop, b.log, on_fatal, NULL, &b.c, &err) != IM_OK)
		die(err.text);
	loop_post(b.loop, &b.begin);
	loop_leave(b.loop);
	loop_run(b.loop);
	committer_stats(b.c, &stats);
	qsort(b.took_us, b.took_len, sizeof(*b.took_us), compare);
	printf(
	    "%5u outstanding: %8.0f records/s, %6.1f records a sync, acknowledged in p50 %.2f ms, p99 %.2f ms\n",
	    alive, (double)b.count / SECONDS,
	    (double)b.count / (double)(stats.frames > 0 ? stats.frames : 1), percentile(&b, 50),
	    percentile(&b, 99));
	loop_enter(b.loop);
	committer_free(b.c);
	loop_leave(b.loop);
	audit_log_close(b.log);
	loop_free(b.loop);
	keyfile_done(&keys);
	free(b.took_us);
	free(b.slot);
	(void)snprintf(clean, sizeof(clean), "rm -r '%s' '%s' '%s'", dir, key, subjects);
	// NOLINTNEXTLINE(cert-env33-c,concurrency-mt-unsafe): our own folder, and the threads have ended
	if (system(clean) != 0)
		die("cannot remove the folder");
}

/* What the disk can do: 'bytes' written and synced, again and again. */
static void
baseline(const char *folder, size_t bytes)
{
	char path[256];
	uint8_t *data = calloc(1, bytes);
	uint64_t at = 0, count = 0, until_us;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/audit-bench-XXXXXX", folder);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0 || data == NULL || fallocate(fd, 0, 0, 64 << 20) != 0 || fsync(fd) != 0)
		die("cannot set up the baseline");
	until_us = clock_mono_us() + 1000000;
	for (; clock_mono_us() < until_us; count++) {
		if (pwrite(fd, data, bytes, (off_t)at) < 0 || fdatasync(fd) != 0)
			die("cannot write");
		at = (at + bytes) % (UINT64_C(60) << 20);
	}
	printf("baseline: %5zu bytes a write, %6lu write+fdatasync/s\n", bytes,
	       (unsigned long)count);
	(void)close(fd);
	(void)unlink(path);
	free(data);
}

int
main(int argc, char **argv)
{
	const char *folder = argc > 1 ? argv[1] : "/var/tmp";

	baseline(folder, 600);
	baseline(folder, 65536);
	run(folder, 1);
	run(folder, 64);
	run(folder, 1024);
	run(folder, ALIVE_MAX);
	return 0;
}
