/*
 * daemon/process_metrics.c - reads /proc/self; see process_metrics.h.
 */
#include "daemon/process_metrics.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* The whole of a small file of /proc. False if it cannot be read. */
static bool
read_proc(const char *path, char *out, size_t cap)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (f == NULL)
		return false;
	n = fread(out, 1, cap - 1, f);
	out[n] = '\0';
	(void)fclose(f);
	return n > 0;
}

/* Field 'wanted' (from 1) of /proc/self/stat; counted after the name, which may hold blanks and brackets. */
static unsigned long long
stat_field(const char *stat, int wanted)
{
	const char *at = strrchr(stat, ')');
	int field = 2;

	while (at != NULL && field < wanted) {
		at = strchr(at + 1, ' ');
		field++;
	}
	return at != NULL ? strtoull(at + 1, NULL, 10) : 0;
}

static long
open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;
	long n = 0;

	if (d == NULL)
		return -1;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): glibc's readdir() is safe on a stream of one's own */
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	(void)closedir(d);
	return n - 1; /* without the one that counts */
}

/* When the process began, in seconds since 1970. */
static double
start_time(const char *stat)
{
	struct timespec wall, boot;

	(void)clock_gettime(CLOCK_REALTIME, &wall);
	(void)clock_gettime(CLOCK_BOOTTIME, &boot);
	return (double)(wall.tv_sec - boot.tv_sec) + (double)(wall.tv_nsec - boot.tv_nsec) / 1e9 +
	       (double)stat_field(stat, 22) / (double)sysconf(_SC_CLK_TCK);
}

void
process_metrics(struct metrics_page *page)
{
	char stat[1024];
	struct rusage use;
	struct rlimit files;
	long fds = open_files();

	if (getrusage(RUSAGE_SELF, &use) == 0) {
		metrics_family(page, "process_cpu_seconds_total", "counter",
			       "User and system time in seconds.");
		metrics_value(page, "process_cpu_seconds_total", NULL, 0,
			      (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
				  (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
	}
	if (read_proc("/proc/self/stat", stat, sizeof(stat))) {
		metrics_gauge(page, "process_resident_memory_bytes", "Resident memory in bytes.",
			      (double)stat_field(stat, 24) * (double)sysconf(_SC_PAGESIZE));
		metrics_gauge(page, "process_virtual_memory_bytes", "Virtual memory in bytes.",
			      (double)stat_field(stat, 23));
		metrics_gauge(page, "process_threads", "Threads.", (double)stat_field(stat, 20));
		metrics_gauge(page, "process_start_time_seconds",
			      "Start time since 1970 in seconds.", start_time(stat));
	}
	if (fds >= 0)
		metrics_gauge(page, "process_open_fds", "Open file descriptors.", (double)fds);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		metrics_gauge(page, "process_max_fds", "Most file descriptors that may be open.",
			      (double)files.rlim_cur);
}
