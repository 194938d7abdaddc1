/*
 * audit/verify_bench.c - records that one core verifies a second, and that memory does not grow with the log: the same for a
 * small log and for one five times as large. The log is in memory, so that the disk is not measured.
 *
 * usage: verify_bench [RECORDS]   (default: 500000)
 */
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "audit/log.h"
#include "audit/verify.h"
#include "base/clock.h"

#define BATCH 4096

static void
die(const char *what)
{
	(void)fprintf(stderr, "verify_bench: %s\n", what);
	exit(1); // NOLINT(concurrency-mt-unsafe): whichever thread ends it, it ends
}

static void
on_fatal(void *user, const struct im_err *err)
{
	(void)user;
	die(err->text);
}

/* What a router sends about one answered request. */
static void
make_event(struct audit_event *e, uint64_t n)
{
	bool answer = n % 2 != 0;

	*e = (struct audit_event){ .kind = answer ? RECORD_RESPONSE : RECORD_REQUEST,
				   .has_request_id = true,
				   .caller = "alice",
				   .tenant = "acme",
				   .model = "demo",
				   .request_time_us = 1700000000000000 + n,
				   .has_input = !answer,
				   .has_output = answer };
	n /= 2;
	memcpy(e->request_id, &n, sizeof(n));
	if (!answer)
		return;
	e->outcome = OUTCOME_OK;
	e->status_code = 200;
	e->has_usage = true;
	e->usage = (struct usage){ .prompt_tokens = 100, .completion_tokens = 200 };
	e->has_routing = true;
	e->routing = (struct routing){
		.worker = "w1", .policy = "least_connections", .reason = "", .attempts = 1
	};
}

static void
fill(struct audit_log *log, uint64_t records)
{
	struct audit_event e;
	struct im_err err;
	uint64_t index;

	for (uint64_t n = 0; n < records; n++) {
		make_event(&e, n);
		if (audit_log_add(log, &e, &index, &err) != IM_OK)
			die(err.text);
		if (((n + 1) % BATCH == 0 || n + 1 == records) &&
		    audit_log_commit(log, false, &err) != IM_OK)
			die(err.text);
		if ((n + 1) % (16UL * BATCH) == 0 &&
		    publisher_pass(&log->publisher, true, &err) != IM_OK)
			die(err.text);
	}
	if (publisher_pass(&log->publisher, true, &err) != IM_OK)
		die(err.text);
}

static double
cpu_seconds(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Resident now, in KiB. */
static long
rss_kib(void)
{
	char line[128] = "", *resident;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f == NULL || fgets(line, sizeof(line), f) == NULL ||
	    (resident = strchr(line, ' ')) == NULL)
		die("cannot read /proc/self/statm");
	(void)fclose(f);
	return strtol(resident, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
}

static long rss_most; /* of the verification that runs */

static bool
on_progress(void *user, uint64_t done, uint64_t total)
{
	long now = rss_kib();

	(void)user;
	(void)done;
	(void)total;
	if (now > rss_most)
		rss_most = now;
	return true;
}

static void
measure(const char *dir, const char *vkey)
{
	struct verify_options options = { .progress = on_progress };
	struct verify_report *r = calloc(1, sizeof(*r));
	struct im_err err;
	long before = rss_kib();
	uint64_t began_us = clock_mono_us();
	double cpu = cpu_seconds(), took;

	rss_most = before;
	if (r == NULL || audit_verify(dir, vkey, &options, r, &err) != IM_OK)
		die("the log could not be verified");
	cpu = cpu_seconds() - cpu;
	took = (double)(clock_mono_us() - began_us) / 1e6;
	if (r->problems != 0)
		die(r->problem[0]);
	(void)printf("verify: %8" PRIu64
		     " records, %8.0f records/s a core (%.2f s CPU, %.2f s), memory +%ld KiB\n",
		     r->size, (double)r->size / cpu, cpu, took, rss_most - before);
	free(r);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

static void
run(uint64_t records)
{
	char base[64], dir[80], key[80], subjects[96], vkey[NOTE_KEYTEXT_MAX];
	struct keyfile keys;
	struct audit_log *log = NULL;
	struct im_err err;
	const struct audit_log_params params = { .ops = &disk_posix,
						 .dir = dir,
						 .keys = &keys,
						 .subjects = subjects,
						 .segment_bytes = UINT64_C(4) << 20,
						 .batch_records = BATCH,
						 .batch_bytes = (size_t)4 << 20,
						 .publish_ms = 1000,
						 .now_us = clock_wall_us,
						 .fatal = on_fatal };

	(void)snprintf(base, sizeof(base), "%s/verify-bench-XXXXXX",
		       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(base) == NULL)
		die("cannot make a folder");
	(void)snprintf(dir, sizeof(dir), "%s/log", base);
	(void)snprintf(key, sizeof(key), "%s/key", base);
	(void)snprintf(subjects, sizeof(subjects), "%s" SUBJECTS_SUFFIX, key);
	if (keyfile_create(key, "bench.example/log", &keys, &err) != IM_OK ||
	    audit_log_open(&params, &log, &err) != IM_OK)
		die(err.text);
	note_signer_vkey(&keys.signer, vkey);
	fill(log, records);
	audit_log_close(log);
	keyfile_done(&keys);
	measure(dir, vkey);
	// NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread
	(void)nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int
main(int argc, char **argv)
{
	uint64_t records = argc > 1 ? strtoull(argv[1], NULL, 10) : 500000;

	if (records < 10)
		die("usage: verify_bench [RECORDS]");
	run(records / 5);
	run(records);
	return 0;
}
