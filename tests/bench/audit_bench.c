/*
 * tests/bench/audit_bench.c - durable records a second and the time to an acknowledgement, through the real audit daemon's link
 * from four clients, fdatasync on; beside a bare loop of writes and fdatasync and beside SQLite on the same disk. Rounds of all
 * of them take turns, and the medians are reported. So it is for times: the percentiles of each second with 1,000 calls, of which
 * there are three a round with three of the bare loop between them, and of those the median; and the worst second. Where these
 * figures were made first, a thread of the kernel that watches memory (kdamond) keeps a processor for 40 ms every 5 s, and whatever
 * waits for a disk there waits for it too, ours or the bare loop: it would be the p99 of all seconds together. And the daemon's
 * memory, at most and after each round, when all is published.
 *
 * usage: audit_bench [--json] [--dir DIR] [--rounds N]   (default: /var/tmp, 5)
 *        audit_bench --memory [--dir DIR] [--rounds N]   only what memory does under full load; 1 if it is not bounded or grows
 */
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit_base.h"
#include "audit_daemon.h"
#include "audit_load.h"
#include "base/clock.h"
#include "evidence.h"

#define ROUNDS_MAX   21
#define ROUND_US     1000000
#define WINDOWS      3 /* of paced calls, a round */
#define WINDOWS_MAX  (ROUNDS_MAX * WINDOWS)
#define PACE         1000 /* calls a second */
#define PACE_BYTES   900  /* of a frame with one record */
#define BATCH        250
#define TARGET_BATCH 100000.0
#define TARGET_ONE   20000.0
#define TARGET_RATIO 3.0
#define SETTLE_MS    60000 /* for the tiles of a round to be written */
#define SETTLE_LOOKS 20
#define MEMORY_WARM  3    /* rounds; by then all tables have the size that they keep */
#define MEMORY_GROWS 8192 /* KiB at most, from then on */
#define MEMORY_MAX                                                                                 \
	(112L *                                                                                    \
	 1024) /* KiB: the backlog of the publisher, 64 MiB, and what comes and goes beside it */

enum row {
	ROW_BATCH,
	ROW_ONE,
	ROW_SYNC,
	ROW_SQLITE_BATCH,
	ROW_SQLITE_ONE,
	ROWS
};

/* Percentiles of each window of all rounds, in milliseconds. */
struct times {
	double p50[WINDOWS_MAX], p99[WINDOWS_MAX];
	unsigned count;
};

struct bench {
	struct audit_daemon daemon;
	struct audit_load *load;
	unsigned rounds;
	double rate[ROWS][ROUNDS_MAX];
	struct times ack, sync;
	uint64_t records, refused;
	long rss_kib[ROUNDS_MAX]; /* at rest */
	long rss_most_kib;
};

static int
compare_us(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), compare);
	return v[n / 2];
}

static void
keep(struct times *t, uint32_t *us, size_t len)
{
	size_t middle = len / 2, high = len * 99 / 100;

	if (len == 0)
		evidence_die("no call was answered");
	qsort(us, len, sizeof(*us), compare_us);
	t->p50[t->count] = (double)us[middle] / 1e3;
	t->p99[t->count++] = (double)us[high] / 1e3;
}

/* VmRSS or VmHWM. */
static long
memory_kib(const struct audit_daemon *d, const char *what)
{
	char path[64], line[128];
	long kib = -1;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)d->pid);
	f = fopen(path, "re");
	while (f != NULL && kib < 0 && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, what, strlen(what)) == 0)
			kib = strtol(line + strlen(what) + 1, NULL, 10);
	if (f == NULL || kib < 0)
		evidence_die("cannot read %s", path);
	(void)fclose(f);
	return kib;
}

static uint64_t
published(const struct audit_daemon *d)
{
	char path[512], line[256] = "";
	uint64_t size = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/checkpoint", d->dir);
	f = fopen(path, "re");
	if (f != NULL && fgets(line, sizeof(line), f) != NULL &&
	    fgets(line, sizeof(line), f) != NULL)
		size = strtoull(line, NULL, 10);
	if (f != NULL)
		(void)fclose(f);
	return size;
}

/* Wait until all that was acknowledged is published. */
static void
settle(const struct bench *b)
{
	uint64_t until_ms = clock_mono_ms() + SETTLE_MS;

	while (published(&b->daemon) < b->records) {
		if (clock_mono_ms() >= until_ms)
			evidence_die("what was acknowledged is not published: see %s",
				     b->daemon.log);
		(void)usleep(20000);
	}
}

/* Settle, and note what memory is left. */
static void
note_rest(struct bench *b, unsigned round)
{
	settle(b);
	b->rss_kib[round] = LONG_MAX;
	for (int i = 0; i < SETTLE_LOOKS;
	     i++) { /* memory goes back after the checkpoint is there */
		long now = memory_kib(&b->daemon, "VmRSS");

		b->rss_kib[round] = now < b->rss_kib[round] ? now : b->rss_kib[round];
		(void)usleep(20000);
	}
	b->rss_most_kib = memory_kib(&b->daemon, "VmHWM");
}

static double
run_load(struct bench *b, unsigned batch, unsigned outstanding)
{
	const struct load_phase phase = { batch, outstanding, 0, ROUND_US };
	struct load_result r;

	audit_load_run(b->load, &phase, &r);
	b->records += r.records;
	b->refused += r.refused;
	return (double)r.records / r.seconds;
}

/* One record a call at PACE, on a disk that has nothing left to do. 'ret' = NULL: nobody looks. */
static void
run_paced(struct bench *b, struct times *ret)
{
	const struct load_phase phase = { 1, 0, PACE, ROUND_US };
	struct load_result r;

	settle(b);
	sync();
	audit_load_run(b->load, &phase, &r);
	b->records += r.records;
	b->refused += r.refused;
	if (ret != NULL)
		keep(ret, r.took_us, r.took_len);
}

static void
run_round(struct bench *b, unsigned round)
{
	static uint32_t took_us[2 * PACE * ROUND_US / 1000000];
	const char *home = b->daemon.home;
	size_t len;

	b->rate[ROW_BATCH][round] = run_load(b, BATCH, 8);
	b->rate[ROW_SYNC][round] =
	    base_sync(home, (size_t)BATCH * BASE_RECORD_BYTES, 0, ROUND_US / 2, NULL, NULL);
	b->rate[ROW_SQLITE_BATCH][round] = base_sqlite(home, BATCH, ROUND_US);
	b->rate[ROW_ONE][round] = run_load(b, 1, 128);
	b->rate[ROW_SQLITE_ONE][round] = base_sqlite(home, 1, ROUND_US);
	/* The first frees the segments of the 200,000 records before: no part of 1,000 a second. */
	run_paced(b, NULL);
	for (int i = 0; i < WINDOWS; i++) {
		run_paced(b, &b->ack);
		(void)base_sync(home, PACE_BYTES, PACE, ROUND_US, took_us, &len);
		keep(&b->sync, took_us, len);
	}
	note_rest(b, round);
}

/* Full load, one record and many in a call; what is left at rest must not grow. */
static int
report_memory(const struct bench *b)
{
	unsigned last = b->rounds - 1, warm = last < MEMORY_WARM ? last : MEMORY_WARM;
	long grown = b->rss_kib[last] - b->rss_kib[warm];
	int ok = grown <= MEMORY_GROWS && b->rss_most_kib <= MEMORY_MAX;

	(void)printf("memory: %u rounds, %" PRIu64 " records, %" PRIu64 " calls refused\n",
		     b->rounds, b->records, b->refused);
	(void)printf(
	    "memory: at rest %ld KiB after round 1, %ld after round %u, %ld after the last (at most %d more)\n",
	    b->rss_kib[0], b->rss_kib[warm], warm + 1, b->rss_kib[last], MEMORY_GROWS);
	(void)printf("memory: never more than %ld KiB (at most %ld)\n", b->rss_most_kib,
		     MEMORY_MAX);
	(void)printf("memory: %s\n", ok ? "flat and bounded" : "NOT BOUNDED");
	return ok ? 0 : 1;
}

static uint64_t blocks;

static int
add_blocks(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)where;
	if (type == FTW_F && strstr(path, "/tile/") != NULL)
		blocks += (uint64_t)st->st_blocks;
	return 0;
}

static double
bytes_a_record(const struct bench *b)
{
	// NOLINTNEXTLINE(concurrency-mt-unsafe): the daemon has ended, the clients wait
	(void)nftw(b->daemon.dir, add_blocks, 16, FTW_PHYS);
	return (double)blocks * 512 / (double)b->records;
}

static int
report(struct bench *b, double disk_bytes, int json)
{
	struct times *ack = &b->ack, *sync = &b->sync;
	double row[ROWS], ack50 = median(ack->p50, ack->count),
			  ack99 = median(ack->p99, ack->count);
	double sync50 = median(sync->p50, sync->count), sync99 = median(sync->p99, sync->count);
	double ack_worst = ack->p99[ack->count - 1], sync_worst = sync->p99[sync->count - 1];
	int ok; /* median() sorts */

	for (int i = 0; i < ROWS; i++)
		row[i] = median(b->rate[i], b->rounds);
	ok = row[ROW_BATCH] >= TARGET_BATCH && row[ROW_ONE] >= TARGET_ONE &&
	     ack99 <= TARGET_RATIO * sync99;
	if (json) {
		(void)printf(
		    "{\"bench\":\"audit\",\"clients\":%d,\"rounds\":%u,\"batch\":%d,\"batched_records_per_s\":%.0f,"
		    "\"single_records_per_s\":%.0f,\"ack_p50_ms\":%.3f,\"ack_p99_ms\":%.3f,\"sync_p50_ms\":%.3f,"
		    "\"sync_p99_ms\":%.3f,\"ack_worst_p99_ms\":%.3f,\"sync_worst_p99_ms\":%.3f,\"syncs_per_s\":%.0f,\"sqlite_batched_per_s\":%.0f,\"sqlite_single_per_s\":%.0f,"
		    "\"refused\":%" PRIu64
		    ",\"disk_bytes_a_record\":%.0f,\"rss_first_kib\":%ld,\"rss_last_kib\":%ld,\"rss_most_kib\":%ld,\"ok\":%s}\n",
		    LOAD_CLIENTS, b->rounds, BATCH, row[ROW_BATCH], row[ROW_ONE], ack50, ack99,
		    sync50, sync99, ack_worst, sync_worst, row[ROW_SYNC], row[ROW_SQLITE_BATCH],
		    row[ROW_SQLITE_ONE], b->refused, disk_bytes, b->rss_kib[0],
		    b->rss_kib[b->rounds - 1], b->rss_most_kib, ok ? "true" : "false");
		return ok ? 0 : 1;
	}
	(void)printf("audit: records/s, %d in a call       %9.0f     (at least %.0f)\n", BATCH,
		     row[ROW_BATCH], TARGET_BATCH);
	(void)printf("audit: records/s, one in a call       %9.0f     (at least %.0f)\n",
		     row[ROW_ONE], TARGET_ONE);
	(void)printf("audit: SQLite, %d in a transaction    %9.0f     ours is %.1f times that\n",
		     BATCH, row[ROW_SQLITE_BATCH], row[ROW_BATCH] / row[ROW_SQLITE_BATCH]);
	(void)printf("audit: SQLite, one in a transaction   %9.0f     ours is %.1f times that\n",
		     row[ROW_SQLITE_ONE], row[ROW_ONE] / row[ROW_SQLITE_ONE]);
	(void)printf("audit: %d B written and synced, /s %9.0f\n", BATCH * BASE_RECORD_BYTES,
		     row[ROW_SYNC]);
	(void)printf("audit: acknowledged, %d/s, p50       %9.3f ms\n", PACE, ack50);
	(void)printf("audit: acknowledged, %d/s, p99       %9.3f ms\n", PACE, ack99);
	(void)printf("audit: bare fdatasync, %d/s, p50     %9.3f ms\n", PACE, sync50);
	(void)printf("audit: bare fdatasync, %d/s, p99     %9.3f ms\n", PACE, sync99);
	(void)printf("audit: p99 of the worst of %2u seconds    %9.3f ms, bare %.3f\n", ack->count,
		     ack_worst, sync_worst);
	(void)printf("audit: p99 against p99                %9.2f     (at most %.1f)\n",
		     ack99 / sync99, TARGET_RATIO);
	(void)printf(
	    "audit: %" PRIu64 " records, %" PRIu64
	    " calls refused, %.0f bytes of disk each; RSS %ld to %ld KiB at rest, at most %ld\n",
	    b->records, b->refused, disk_bytes, b->rss_kib[0], b->rss_kib[b->rounds - 1],
	    b->rss_most_kib);
	(void)printf("audit: %s\n", ok ? "targets met" : "TARGETS MISSED");
	return ok ? 0 : 1;
}

int
main(int argc, char **argv)
{
	static struct bench b = { .rounds = 5 };
	struct evidence_args args = { .dir = "/var/tmp" };
	int json = 0, memory = 0, status;
	char home[64];
	double disk_bytes;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			json = 1;
		else if (strcmp(argv[i], "--memory") == 0)
			memory = 1;
		else if (i + 1 < argc && strcmp(argv[i], "--dir") == 0)
			args.dir = argv[++i];
		else if (i + 1 < argc && strcmp(argv[i], "--rounds") == 0)
			b.rounds = (unsigned)strtoul(argv[++i], NULL, 10);
		else
			evidence_die(
			    "usage: audit_bench [--json | --memory] [--dir DIR] [--rounds N]");
	}
	if (b.rounds < 1 || b.rounds > ROUNDS_MAX)
		evidence_die("audit_bench: --rounds is 1 to %d", ROUNDS_MAX);
	evidence_folder(&args, home);
	audit_daemon_init(&b.daemon, home, 1000, NULL);
	audit_daemon_start(&b.daemon);
	audit_daemon_wait(&b.daemon);
	b.load = audit_load_new(b.daemon.url);
	(void)run_load(&b, 1, 128); /* warm */
	for (unsigned i = 0; i < b.rounds && !memory; i++)
		run_round(&b, i);
	for (unsigned i = 0; i < b.rounds && memory; i++) {
		(void)run_load(&b, BATCH, 8);
		(void)run_load(&b, 1, 128);
		note_rest(&b, i);
	}
	audit_load_free(b.load);
	if (!audit_daemon_stop(&b.daemon))
		evidence_die("the daemon did not end well: see %s", b.daemon.log);
	disk_bytes = bytes_a_record(&b);
	status = memory ? report_memory(&b) : report(&b, disk_bytes, json);
	evidence_remove(home);
	return status;
}
