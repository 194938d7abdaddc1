/*
 * net/limits_test.c - what is bounded: calls, links, frames, descriptors, memory, threads.
 */
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/raw_peer.h"

static void
small_limits(struct net_params *p)
{
	p->max_frame_bytes = 1024;
	p->max_calls = 3;
	p->max_links = 2;
}

static void
test_limits_refuse_calls_and_links(void **state)
{
	struct rig_place f;
	struct raw_peer p, second, third;
	struct frame_header h;
	struct end_frame end;
	struct buf b = BUF_INIT(0), body = BUF_INIT(0);

	(void)state;
	rig_place_open(&f, small_limits);
	raw_connect(&p, f.url);
	raw_hello_bytes(&b, 0);
	for (uint32_t id = 2; id <= 8; id += 2)
		raw_request_bytes(&b, id, "Test/Hold");
	assert_true(raw_write(&p, b.data, b.len));
	assert_true(raw_expect(&p, FRAME_END, &h, &body));
	assert_int_equal(h.call_id, 8);
	assert_int_equal(end_frame_decode(body.data, body.len, &end, NULL), IM_OK);
	assert_int_equal(end.err.rc, IM_ELIMIT);
	raw_connect(&second, f.url);
	assert_true(raw_hello(&second));
	rig_wait(&f.server, f.server.ups, 2);
	raw_connect(&third, f.url);
	raw_expect_end(&third);
	rig_wait(&f.server, f.server.troubles, 1);
	assert_non_null(strstr(f.server.trouble.text, "max_links"));
	raw_close(&p);
	raw_close(&second);
	raw_close(&third);
	buf_done(&b);
	buf_done(&body);
	rig_place_close(&f);
}

static void
big_frames(struct net_params *p)
{
	p->max_frame_bytes = 1u << 20;
}

static void
test_replies_over_the_limit_of_the_peer_become_errors(void **state)
{
	struct rig_place f;
	struct raw_peer p;
	struct frame_header h;
	struct end_frame end;
	struct request_frame req = { .method = "Test/Echo" };
	struct buf b = BUF_INIT(0), body = BUF_INIT(0);
	uint8_t *large = calloc(1, 100000);

	(void)state;
	assert_non_null(large);
	rig_place_open(&f, big_frames);
	raw_connect(&p, f.url);
	raw_hello_bytes(&b, 0);
	req.body = (struct wire_bytes){ large, 100000 }; /* the raw peer takes 65536 */
	request_frame_encode(2, &req, &b);
	req.body.len = 65535; /* fits, but not with the fields around it */
	request_frame_encode(4, &req, &b);
	assert_true(raw_write(&p, b.data, b.len));
	for (uint32_t id = 2; id <= 4; id += 2) {
		assert_true(raw_expect(&p, FRAME_END, &h, &body));
		assert_int_equal(h.call_id, id);
		assert_int_equal(end_frame_decode(body.data, body.len, &end, NULL), IM_OK);
		assert_true(end.failed);
		assert_int_equal(end.err.rc, IM_ETOOBIG);
	}
	raw_close(&p);
	free(large);
	buf_done(&b);
	buf_done(&body);
	rig_place_close(&f);
}

/* Entries of a folder of /proc; for threads those whose name begins with 'prefix'. */
static unsigned
count_entries(const char *dir, const char *prefix)
{
	unsigned n = 0;
	struct dirent *e;
	DIR *d = opendir(dir);
	char path[512], name[32];

	assert_non_null(d);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): glibc's readdir() is safe on a stream of one's own */
	while ((e = readdir(d)) != NULL) {
		FILE *f;

		if (e->d_name[0] == '.')
			continue;
		if (prefix == NULL) {
			n++;
			continue;
		}
		(void)snprintf(path, sizeof(path), "%s/%s/comm", dir, e->d_name);
		f = fopen(path, "re");
		if (f == NULL)
			continue;
		n += fgets(name, sizeof(name), f) != NULL &&
		     strncmp(name, prefix, strlen(prefix)) == 0;
		(void)fclose(f);
	}
	(void)closedir(d);
	return n;
}

static bool
has_no_links(void *arg)
{
	struct net_counters n;

	net_counters(((struct rig_end *)arg)->net, &n);
	return n.links == 0;
}

struct fd_goal {
	unsigned want;
};

static bool
fds_are_back(void *arg)
{
	return count_entries("/proc/self/fd", NULL) <= ((struct fd_goal *)arg)->want;
}

static void
test_thousand_links_leave_no_descriptors_and_no_memory(void **state)
{
	struct rig_place f;
	struct raw_peer p;
	struct buf b = BUF_INIT(0), body = BUF_INIT(0);
	struct frame_header h;
	struct fd_goal fds = { 0 };
	size_t memory = 0;

	(void)state;
	rig_place_open(&f, NULL);
	raw_hello_bytes(&b, 0);
	raw_request_bytes(&b, 2, "Test/Hold");
	raw_ping_bytes(&b);
	for (unsigned i = 1; i <= 1100; i++) {
		raw_connect(&p, f.url);
		assert_true(raw_write(&p, b.data, b.len));
		assert_true(raw_expect(&p, FRAME_PONG, &h, &body)); /* so the call is open */
		raw_close(&p);
		if (i % 100 == 0) {
			rig_wait(&f.server, f.server.downs, i);
			rig_until(&f.loop, has_no_links, &f.server);
		}
		if (i == 100) {
			fds.want = count_entries("/proc/self/fd", NULL);
			memory = mallinfo2().uordblks;
		}
	}
	rig_until(&f.loop, fds_are_back, &fds);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_in_range(mallinfo2().uordblks, 0, memory + (256u << 10));
#endif
	(void)memory;
	assert_int_equal(rig_counters(&f.server).served, 0);
	assert_int_equal(f.server.cancels, 1100);
	buf_done(&b);
	buf_done(&body);
	rig_place_close(&f);
}

#ifdef __SANITIZE_THREAD__
#	define RIG_THREADS ((size_t)3) /* this one, the rig's and tsan's own */
#else
#	define RIG_THREADS ((size_t)2)
#endif

static bool
are_only_the_rigs(void *arg)
{
	(void)arg;
	return count_entries("/proc/self/task", NULL) == RIG_THREADS;
}

static void
test_nng_starts_few_threads(void **state)
{
	struct rig_place f;

	(void)state;
	rig_place_open(&f, NULL);
	/* ipc:// needs none. One that was joined before may take a moment to vanish. */
	rig_until(&f.loop, are_only_the_rigs, NULL);
	rig_listen(&f.server, "tcp://127.0.0.1:0");
	/* Not counted by name: a thread names itself when it first runs, which may be later. */
	assert_in_range(count_entries("/proc/self/task", NULL), RIG_THREADS + 5, RIG_THREADS + 10);
	rig_place_close(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits_refuse_calls_and_links),
		cmocka_unit_test(test_replies_over_the_limit_of_the_peer_become_errors),
		cmocka_unit_test(test_thousand_links_leave_no_descriptors_and_no_memory),
		cmocka_unit_test(test_nng_starts_few_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
