/*
 * cache/tier_rocks_test.c - a folder as a tier, with the real RocksDB: killed in the middle of writing, taken away, filled up, damaged.
 * Whatever happens, it opens again, and what it gives is what was put.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/prng.h"
#include "cache/tier_rig.h"
#include "cache/tier_rocks.h"

#define MIB         ((uint64_t)1 << 20)
#define MAX_BYTES   (64 * MIB)
#define QUEUE_BYTES (4 * MIB)
#define TTL_MS      3600000
#define ANSWER_US   10000000 /* a busy machine is no failure here */
#define KILLS       15

static struct tier_rig rig;
static char root[64], dir[80];

static void
open_tier(uint32_t answer_us)
{
	const struct tier_rocks_params params = {
		.rocks = { .dir = dir,
			   .max_bytes = MAX_BYTES,
			   .ttl_ms = TTL_MS,
			   .memory_bytes = MIB },
		.answer_us = answer_us,
		.queue_bytes = QUEUE_BYTES,
		.max_value_bytes = MIB,
	};
	struct im_err err;

	tier_rig_open(&rig);
	loop_enter(rig.loop);
	if (tier_rocks_new(rig.loop, &params, &rig.tier, &err) != IM_OK)
		fail_msg("%s", err.text);
	loop_leave(rig.loop);
}

static void
open_ready(void)
{
	open_tier(ANSWER_US);
	tier_rig_until(&rig, "ready");
}

static void
remove_all(const char *path)
{
	char command[160];

	(void)snprintf(command, sizeof(command), "rm -rf %s", path);
	// NOLINTNEXTLINE(cert-env33-c,concurrency-mt-unsafe): a test's own words
	assert_int_equal(system(command), 0);
}

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/im-rocks-XXXXXX");
	assert_non_null(mkdtemp(root));
	(void)snprintf(dir, sizeof(dir), "%s/l2", root);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	tier_rig_close(&rig);
	remove_all(root);
	return 0;
}

static void
reopen(void)
{
	tier_rig_close(&rig);
	open_ready();
}

static void
test_tier_rocks_what_was_put_is_found_also_after_a_restart(void **state)
{
	(void)state;
	open_ready();
	assert_int_equal(tier_rig_get(&rig, 1), TIER_MISS);
	for (unsigned i = 0; i < 500; i++)
		tier_rig_put(&rig, i, (size_t)i * 5, TTL_MS);
	tier_rig_settle(&rig);
	assert_int_equal(tier_rig_get_many(&rig, 0, 500), 500);
	tier_rig_remove(&rig, 7);
	tier_rig_settle(&rig);
	reopen();
	assert_int_equal(tier_rig_get_many(&rig, 0, 500), 499);
	assert_int_equal(tier_rig_get(&rig, 7), TIER_MISS);
}

static void
test_tier_rocks_keeps_the_time_to_live(void **state)
{
	(void)state;
	open_ready();
	tier_rig_put(&rig, 1, 100, 30);
	tier_rig_put(&rig, 2, 100, TTL_MS);
	tier_rig_settle(&rig);
	tier_rig_run(&rig, 40);
	assert_int_equal(tier_rig_get(&rig, 1), TIER_MISS);
	assert_int_equal(tier_rig_get(&rig, 2), TIER_HIT);
}

static void
test_tier_rocks_purge_takes_what_is_meant_alone(void **state)
{
	unsigned one = 11;

	(void)state;
	open_ready();
	for (unsigned i = 0; i < 1500; i++)
		tier_rig_put(&rig, i, 50, TTL_MS);
	/* Behind what still waits to be written. */
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, &one), 1);
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, &one), 0);
	assert_int_equal(tier_rig_purge(&rig, "t1", NULL, NULL), 500);
	assert_int_equal(tier_rig_purge(&rig, "t0", "m0", NULL), 100);
	assert_int_equal(tier_rig_get(&rig, 1), TIER_MISS);
	assert_int_equal(tier_rig_get(&rig, 3), TIER_HIT);
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, NULL), 1500 - 1 - 500 - 100);
	assert_int_equal(tier_rig_get_many(&rig, 0, 1500), 0);
}

static void
test_tier_rocks_size_is_bounded_and_the_oldest_go(void **state)
{
	struct tier_stats s;

	(void)state;
	open_ready();
	for (unsigned i = 0; i < 1200; i++) {
		tier_rig_put(&rig, i, 100000, TTL_MS);
		if (i % 20 == 19)
			tier_rig_settle(&rig);
	}
	tier_rig_run(&rig, 1200); /* sizes are looked at once a second */
	s = tier_rig_stats(&rig);
	assert_int_equal(s.dropped, 0);
	assert_in_range(s.bytes, MAX_BYTES / 2, MAX_BYTES + MAX_BYTES / 8);
	assert_int_equal(tier_rig_get(&rig, 0), TIER_MISS);
	assert_int_equal(tier_rig_get(&rig, 1199), TIER_HIT);
}

static void
test_tier_rocks_what_waits_to_be_written_is_bounded(void **state)
{
	struct tier_stats s;

	(void)state;
	open_ready();
	for (unsigned i = 0; i < 2000; i++) {
		tier_rig_put(&rig, i, 50000, TTL_MS);
		assert_in_range(tier_rig_stats(&rig).waiting_bytes, 0, QUEUE_BYTES);
	}
	tier_rig_settle(&rig);
	s = tier_rig_stats(&rig);
	assert_int_equal(s.stored + s.dropped, 2000);
	assert_int_equal(s.waiting_bytes, 0);
}

static void
test_tier_rocks_folder_removed_is_a_miss_and_heals(void **state)
{
	(void)state;
	open_ready();
	for (unsigned i = 0; i < 100; i++)
		tier_rig_put(&rig, i, 100, TTL_MS);
	tier_rig_settle(&rig);
	remove_all(dir);
	tier_rig_until(&rig, "away");
	assert_int_equal(tier_rig_get(&rig, 1), TIER_FAILED);
	assert_int_equal(tier_rig_purge(&rig, NULL, NULL, NULL), -1);
	tier_rig_put(&rig, 1, 100, TTL_MS);
	assert_int_equal(tier_rig_stats(&rig).dropped, 1);
	tier_rig_until(&rig, "ready");
	assert_int_equal(tier_rig_get(&rig, 1), TIER_MISS);
	tier_rig_put(&rig, 1, 100, TTL_MS);
	tier_rig_settle(&rig);
	assert_int_equal(tier_rig_get(&rig, 1), TIER_HIT);
}

/* Who may not mount (no root, or a container) gets a limit of file sizes instead: writes fail as well. */
static bool
mount_small(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", root, "tmpfs", 0, "size=12m") == 0;
}

static void
test_tier_rocks_disk_full_is_a_miss_and_heals(void **state)
{
	struct rlimit was, small;
	bool mounted = mount_small();
	unsigned n = 0;

	(void)state;
	print_message("%s\n", mounted ? "on a tmpfs of 12 MiB" : "with RLIMIT_FSIZE");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = was;
	small.rlim_cur = MIB;
	(void)signal(SIGXFSZ, SIG_IGN);
	open_ready();
	if (!mounted)
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	while (strcmp(tier_rig_stats(&rig).state, "ready") == 0) {
		tier_rig_put(&rig, n++, 50000, TTL_MS);
		tier_rig_settle(&rig);
		assert_int_not_equal(n, 1000);
	}
	assert_true(tier_rig_stats(&rig).errors > 0);
	assert_int_equal(tier_rig_get(&rig, 1), TIER_FAILED);
	if (mounted)
		assert_int_equal(mount("tmpfs", root, "tmpfs", MS_REMOUNT, "size=512m"), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	tier_rig_until(&rig, "ready");
	tier_rig_put(&rig, 5000, 100, TTL_MS);
	tier_rig_settle(&rig);
	assert_int_equal(tier_rig_get(&rig, 5000), TIER_HIT);
	(void)tier_rig_get_many(&rig, 0, n); /* the rig looks whether they are right */
	tier_rig_close(&rig);
	if (mounted)
		assert_int_equal(umount2(root, MNT_DETACH), 0);
	open_ready(); /* for teardown */
}

/* Write bytes of chance into the middle of each table. */
static void
damage(uint64_t seed, const char *suffix)
{
	struct prng prng;
	struct dirent *e;
	DIR *d = opendir(dir);

	assert_non_null(d);
	prng_seed(&prng, seed);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the folder is ours alone */
	while ((e = readdir(d)) != NULL) {
		char path[400];
		int fd;
		off_t size;

		if (strstr(e->d_name, suffix) == NULL)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		assert_true(fd >= 0);
		size = lseek(fd, 0, SEEK_END);
		for (int i = 0; i < 20 && size > 0; i++) {
			uint64_t noise = prng_next(&prng);

			assert_true(pwrite(fd, &noise, sizeof(noise),
					   (off_t)prng_below(&prng, (uint32_t)size)) > 0);
		}
		(void)close(fd);
	}
	(void)closedir(d);
}

static void
test_tier_rocks_damaged_files_give_no_wrong_answer(void **state)
{
	static const char *const suffixes[] = { ".sst", ".log", "MANIFEST" };
	uint64_t seed = clock_wall_us();

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	open_ready();
	for (size_t k = 0; k < 3; k++) {
		for (unsigned i = 0; i < 150; i++) {
			tier_rig_put(&rig, i, 20000, TTL_MS);
			if (i % 20 == 19)
				tier_rig_settle(&rig);
		}
		tier_rig_settle(&rig);
		tier_rig_close(&rig);
		damage(seed + k, suffixes[k]);
		open_ready();
		(void)tier_rig_get_many(&rig, 0, 150);
		tier_rig_put(&rig, 999, 100, TTL_MS);
		tier_rig_settle(&rig);
		assert_int_equal(tier_rig_get(&rig, 999), TIER_HIT);
	}
}

/* The life of a process that is killed: it writes until then, and says what was written. */
static int
child(const char *at, unsigned first, int out)
{
	(void)snprintf(dir, sizeof(dir), "%s", at);
	open_ready();
	for (unsigned n = first;; n++) {
		tier_rig_put(&rig, n, 3000, TTL_MS);
		tier_rig_settle(&rig);
		if (tier_rig_stats(&rig).dropped > 0 || write(out, &n, sizeof(n)) != sizeof(n))
			return 1;
	}
}

static void
test_tier_rocks_killed_again_and_again_opens_and_has_what_was_written(void **state)
{
	uint64_t seed = clock_wall_us();
	struct prng prng;
	unsigned first = 0;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	prng_seed(&prng, seed);
	for (int i = 0; i < KILLS; i++) {
		unsigned last = first, n;
		char number[16];
		int said[2];
		pid_t pid;

		assert_int_equal(pipe2(said, O_CLOEXEC), 0);
		pid = fork();
		if (pid == 0) {
			(void)dup2(said[1], 3);
			(void)snprintf(number, sizeof(number), "%u", first);
			(void)execl("/proc/self/exe", "tier_rocks_test", dir, number, (char *)NULL);
			_exit(127);
		}
		(void)close(said[1]);
		assert_int_equal(read(said[0], &last, sizeof(last)), sizeof(last));
		(void)usleep(prng_below(&prng, 60000));
		assert_int_equal(kill(pid, SIGKILL), 0);
		while (read(said[0], &n, sizeof(n)) == sizeof(n))
			last = n;
		(void)close(said[0]);
		(void)waitpid(pid, NULL, 0);
		open_ready();
		assert_int_equal(tier_rig_get_many(&rig, first, last - first + 1),
				 last - first + 1);
		tier_rig_close(&rig);
		first = last + 1;
	}
	open_ready(); /* for teardown */
	assert_int_equal(tier_rig_get_many(&rig, 0, first), first);
}

int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_tier_rocks_what_was_put_is_found_also_after_a_restart),
		T(test_tier_rocks_keeps_the_time_to_live),
		T(test_tier_rocks_purge_takes_what_is_meant_alone),
		T(test_tier_rocks_size_is_bounded_and_the_oldest_go),
		T(test_tier_rocks_what_waits_to_be_written_is_bounded),
		T(test_tier_rocks_folder_removed_is_a_miss_and_heals),
		T(test_tier_rocks_disk_full_is_a_miss_and_heals),
		T(test_tier_rocks_damaged_files_give_no_wrong_answer),
		T(test_tier_rocks_killed_again_and_again_opens_and_has_what_was_written),
	};

	if (argc == 3)
		return child(argv[1], (unsigned)strtoul(argv[2], NULL, 10), 3);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
