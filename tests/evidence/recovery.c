/*
 * tests/evidence/recovery.c - how long a start takes when nothing of the write-ahead log was published: as much of it as can be
 * there, for commits wait when PUBLISHER_BACKLOG_MAX is reached. All of it is read, checked, hashed and copied to a new epoch. Beside
 * it, on the same bytes: SHA-256 of the same tree on one core, and reading, writing and syncing as much. Once with records as a
 * mesh writes them, once with the smallest.
 *
 * usage: audit-recovery [--count MIB] [--seed N] [--dir DIR]
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/log.h"
#include "base/clock.h"
#include "evidence.h"

#define BATCH 1000
#define OPENS 7 /* the fastest counts, of the baselines too: they take turns */
#define PIECE ((size_t)1024 * 1024)

/* Of the fastest turn. */
struct figures {
	uint64_t bytes, records;
	double seconds, cpu; /* of a start */
	double hash;         /* of SHA-256 of the same leaves and nodes, one core */
	double copy;         /* of reading the same bytes, writing and syncing them */
};

static void
must(enum im_rc rc, const struct im_err *err)
{
	if (rc != IM_OK)
		evidence_die("%s", err->text);
}

static void
on_fatal(void *user, const struct im_err *err)
{
	(void)user;
	evidence_die("%s", err->text);
}

static double
now_s(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
keep(double *best, double took)
{
	*best = *best == 0 || took < *best ? took : *best;
}

static void
make_event(struct audit_event *e, uint64_t id, bool small)
{
	uint64_t request = id / 2;
	bool answer = id % 2 != 0;

	*e = (struct audit_event){ .kind = answer ? RECORD_RESPONSE : RECORD_REQUEST,
				   .has_request_id = true,
				   .caller = "alice",
				   .tenant = "acme",
				   .model = "demo",
				   .has_input = small || !answer,
				   .outcome = answer ? OUTCOME_OK : 0 };
	memcpy(e->request_id, &request, sizeof(request));
	if (small)
		return;
	e->request_time_us = 1700000000000000 + id;
	e->has_reporter = true;
	if (!answer)
		return;
	e->response_time_us = e->request_time_us + 1000;
	e->has_output = true;
	e->model_digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
	e->status_code = 200;
	e->has_usage = true;
	e->usage = (struct usage){ .prompt_tokens = 100, .completion_tokens = 200 };
	e->has_routing = true;
	e->routing = (struct routing){
		.worker = "inference-1",
		.policy = "least_connections",
		.reason = "",
		.attempts = 1,
		.seen = { { "inference-1", 3, SEEN_READY, SEEN_BREAKER_CLOSED, 1 },
			  { "inference-2", 4, SEEN_READY, SEEN_BREAKER_CLOSED, 1 } },
		.seen_count = 2,
	};
}

static void
fill(struct audit_log *log, uint64_t bytes, bool small)
{
	struct im_err err;
	uint64_t index, id = 0, written = 0;

	while (written < bytes) {
		for (unsigned i = 0; i < BATCH; i++, id++) {
			struct audit_event e;

			make_event(&e, id, small);
			must(audit_log_add(log, &e, &index, &err), &err);
		}
		written += log->records.len;
		must(audit_log_commit(log, false, &err), &err);
	}
}

static void
open_once(const struct audit_log_params *params, struct audit_log **ret, struct figures *f)
{
	double began = now_s(CLOCK_MONOTONIC), cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
	struct im_err err;

	must(audit_log_open(params, ret, &err), &err);
	keep(&f->cpu, now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	keep(&f->seconds, now_s(CLOCK_MONOTONIC) - began);
}

/* SHA-256 of as many leaves and nodes as the log's tree has, of the same lengths. */
static void
hash_tree(const struct audit_log *log, struct figures *f)
{
	double began = now_s(CLOCK_THREAD_CPUTIME_ID);
	struct tlog_range range = { 0 };
	struct im_err err;
	struct hasher h;

	must(hasher_init(&h, &err), &err);
	LIST_FOREACH (&log->publisher.chunks, c, struct chunk, node) {
		struct bundle_iter it = { c->records, c->records_len };
		const uint8_t *entry;
		struct hash leaf;
		size_t len;

		while (bundle_next(&it, &entry, &len)) {
			tlog_leaf(&h, entry, len, &leaf);
			tlog_range_add(&range, &h, &leaf, NULL, NULL);
		}
	}
	keep(&f->hash, now_s(CLOCK_THREAD_CPUTIME_ID) - began);
	hasher_done(&h);
	if (range.size != f->records)
		evidence_die("%" PRIu64 " records wait to be published", range.size);
}

/* Read the segment and write it elsewhere, as a program would that does nothing else. */
static void
copy_bytes(const struct audit_log *log, const char *home, struct figures *f)
{
	double began = now_s(CLOCK_MONOTONIC);
	uint8_t *piece = evidence_alloc(PIECE);
	uint64_t at = 0;
	char to[96];
	int in, out;

	(void)snprintf(to, sizeof(to), "%s/copy", home);
	in = open(log->wal.path, O_RDONLY | O_CLOEXEC);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (in < 0 || out < 0)
		evidence_die("cannot open %s or %s", log->wal.path, to);
	while (at < f->bytes) {
		size_t want = f->bytes - at < PIECE ? (size_t)(f->bytes - at) : PIECE;
		ssize_t n = pread(in, piece, want, (off_t)at);

		if (n <= 0 || pwrite(out, piece, (size_t)n, (off_t)at) != n)
			evidence_die("cannot copy %s", log->wal.path);
		at += (uint64_t)n;
	}
	if (fsync(out) < 0)
		evidence_die("cannot sync %s", to);
	keep(&f->copy, now_s(CLOCK_MONOTONIC) - began);
	(void)close(in);
	(void)close(out);
	(void)unlink(to);
	free(piece);
}

static void
measure(const struct evidence_args *args, bool small, struct figures *f)
{
	char home[64], dir[80], key[80], subjects[96];
	struct keyfile keys;
	struct audit_log *log;
	struct figures ignored = { 0 };
	struct im_err err;
	const struct audit_log_params params = { .ops = &disk_posix,
						 .dir = dir,
						 .keys = &keys,
						 .subjects = subjects,
						 .segment_bytes = UINT64_C(64) << 20,
						 .batch_records = 4096,
						 .batch_bytes = (size_t)256 << 10,
						 .publish_ms = 1000,
						 .now_us = clock_wall_us,
						 .fatal = on_fatal };

	evidence_folder(args, home);
	(void)snprintf(dir, sizeof(dir), "%s/log", home);
	(void)snprintf(key, sizeof(key), "%s/key", home);
	(void)snprintf(subjects, sizeof(subjects), "%s" SUBJECTS_SUFFIX, key);
	must(keyfile_create(key, "evidence.example/log", &keys, &err), &err);
	open_once(&params, &log, &ignored);
	fill(log, args->count << 20, small);
	f->records = audit_log_size(log);
	f->bytes = log->wal.offset;
	for (int i = 0; i < OPENS; i++) {
		hash_tree(log, f);
		copy_bytes(log, home, f);
		audit_log_close(log);
		open_once(&params, &log, f);
		if (audit_log_size(log) != f->records)
			evidence_broken("%" PRIu64 " records of %" PRIu64, audit_log_size(log),
					f->records);
	}
	audit_log_close(log);
	keyfile_done(&keys);
	evidence_remove(home);
}

static void
print(const char *name, const struct figures *f)
{
	double gib = (double)f->bytes / (double)(1 << 30);

	(void)printf("\"%s\":{\"wal_bytes\":%" PRIu64 ",\"records\":%" PRIu64
		     ",\"seconds\":%.3f,\"seconds_per_gib\":%.2f,\"cpu_per_gib\":%.2f"
		     ",\"hash_per_gib\":%.2f,\"copy_per_gib\":%.2f}",
		     name, f->bytes, f->records, f->seconds, f->seconds / gib, f->cpu / gib,
		     f->hash / gib, f->copy / gib);
}

int
main(int argc, char **argv)
{
	struct figures mesh = { 0 }, small = { 0 };
	struct evidence_args args;

	evidence_parse(argc, argv, 50, NULL, &args);
	measure(&args, false, &mesh);
	measure(&args, true, &small);
	(void)printf("{");
	print("mesh", &mesh);
	(void)printf(",");
	print("small", &small);
	(void)printf("}\n");
	return evidence_breaches() == 0 ? 0 : 1;
}
