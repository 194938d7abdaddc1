/*
 * tests/evidence/recovery.c - how long a start takes when nothing of the write-ahead log was published: as much of it as can be
 * there, for commits wait when PUBLISHER_BACKLOG_MAX is reached. All of it is read, checked, hashed and copied to a new epoch.
 *
 * usage: audit-recovery [--count MIB] [--seed N] [--dir DIR]
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/log.h"
#include "base/clock.h"
#include "evidence.h"

#define BATCH 1000
#define OPENS 5 /* the fastest counts */

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

static void
fill(struct audit_log *log, uint64_t bytes)
{
	struct im_err err;
	uint64_t index, id = 0, written = 0;

	while (written < bytes) {
		for (unsigned i = 0; i < BATCH; i++, id++) {
			struct audit_event e = { .kind =
						     id % 2 == 0 ? RECORD_REQUEST : RECORD_RESPONSE,
						 .has_request_id = true,
						 .caller = "alice",
						 .tenant = "acme",
						 .model = "demo",
						 .has_input = true };
			uint64_t request = id / 2;

			if (id % 2 != 0)
				e.outcome = OUTCOME_OK;
			memcpy(e.request_id, &request, sizeof(request));
			must(audit_log_add(log, &e, &index, &err), &err);
		}
		written += log->records.len;
		must(audit_log_commit(log, false, &err), &err);
	}
}

static double
open_once(const struct audit_log_params *params, struct audit_log **ret)
{
	uint64_t began_us = clock_mono_us();
	struct im_err err;

	must(audit_log_open(params, ret, &err), &err);
	return (double)(clock_mono_us() - began_us) / 1e6;
}

int
main(int argc, char **argv)
{
	char home[64], dir[80], key[80], subjects[96];
	struct evidence_args args;
	struct keyfile keys;
	struct audit_log *log;
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
	double best = 1e9;
	uint64_t records, bytes;

	evidence_parse(argc, argv, 50, NULL, &args);
	evidence_folder(&args, home);
	(void)snprintf(dir, sizeof(dir), "%s/log", home);
	(void)snprintf(key, sizeof(key), "%s/key", home);
	(void)snprintf(subjects, sizeof(subjects), "%s" SUBJECTS_SUFFIX, key);
	must(keyfile_create(key, "evidence.example/log", &keys, &err), &err);
	(void)open_once(&params, &log);
	fill(log, args.count << 20);
	records = audit_log_size(log);
	for (int i = 0; i < OPENS; i++) {
		double took;

		audit_log_close(log);
		took = open_once(&params, &log);
		best = took < best ? took : best;
		if (audit_log_size(log) != records)
			evidence_broken("%" PRIu64 " records of %" PRIu64, audit_log_size(log),
					records);
	}
	bytes = log->wal.offset;
	audit_log_close(log);
	(void)printf("{\"wal_bytes\":%" PRIu64 ",\"records\":%" PRIu64
		     ",\"seconds\":%.3f,\"seconds_per_gib\":%.2f}\n",
		     bytes, records, best, best * (double)(1 << 30) / (double)bytes);
	keyfile_done(&keys);
	evidence_remove(home);
	return evidence_breaches() == 0 ? 0 : 1;
}
