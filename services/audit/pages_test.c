/*
 * audit/pages_test.c - the log by HTTP: what is asked for, in bytes over a socket, and what comes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "audit/pages.h"
#include "audit/testlog.h"
#include "audit/turn.h"

struct fixture {
	struct testlog t;
	struct loop *loop;
	struct pages *pages;
	pthread_t thread;
	char address[128];
	char shard[SHARD_NAME_MAX];
};

static void *
run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

/* 301 published records and a second shard, served at a Unix socket. */
static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct audit_rotated rotated;
	struct audit_log *log;

	testlog_init(&f->t);
	log = testlog_open(&f->t);
	assert_non_null(log);
	assert_int_equal(testlog_pairs(&f->t, log, 0, 150, 100), IM_OK);
	assert_int_equal(publisher_pass(&log->publisher, true, &f->t.err), IM_OK);
	assert_int_equal(audit_log_rotate(log, NULL, &rotated, &f->t.err), IM_OK);
	(void)snprintf(f->shard, sizeof(f->shard), "%s", log->shard.name);
	audit_log_close(log);
	(void)snprintf(f->address, sizeof(f->address), "unix:%s.http", f->t.dir);
	assert_int_equal(loop_new(&f->loop, NULL), IM_OK);
	loop_enter(f->loop);
	if (pages_open(f->loop, f->address, f->t.dir, &f->pages, &f->t.err) != IM_OK)
		fail_msg("%s", f->t.err.text);
	loop_leave(f->loop);
	assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f->loop), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	loop_enter(f->loop);
	pages_close(f->pages);
	loop_leave(f->loop);
	loop_stop(f->loop);
	assert_int_equal(pthread_join(f->thread, NULL), 0);
	loop_free(f->loop);
	(void)unlink(f->address + strlen("unix:"));
	testlog_done(&f->t);
	free(f);
	return 0;
}

static int
dial(const struct fixture *f)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", f->address + strlen("unix:"));
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Ask and take the whole answer; '*ret_body' points to its body. */
static void
ask(const struct fixture *f, const char *method, const char *path, struct buf *ret,
    const char **ret_body)
{
	char request[512], data[4096];
	int fd = dial(f);
	ssize_t n =
	    snprintf(request, sizeof(request),
		     "%s %s HTTP/1.1\r\nHost: log\r\nConnection: close\r\n\r\n", method, path);

	assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
	buf_clear(ret);
	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		assert_true(buf_append(ret, data, (size_t)n));
	(void)close(fd);
	*ret_body = strstr(buf_cstr(ret), "\r\n\r\n");
	assert_non_null(*ret_body);
	*ret_body += 4;
}

static void
expect_status(const struct fixture *f, const char *method, const char *path, const char *status)
{
	struct buf answer = { 0 };
	const char *body;

	ask(f, method, path, &answer, &body);
	if (strncmp(buf_cstr(&answer) + strlen("HTTP/1.1 "), status, strlen(status)) != 0)
		fail_msg("%s %s: %.40s, not %s", method, path, buf_cstr(&answer), status);
	buf_done(&answer);
}

/* The body is the file's first 'len' bytes (0 = all). */
static void
expect_file(const struct fixture *f, const char *path, const char *file, size_t len,
	    const char *header)
{
	struct buf answer = { 0 }, want = { 0 };
	char name[256];
	const char *body;
	size_t body_len;

	(void)snprintf(name, sizeof(name), "%s/%s", f->t.dir, file);
	assert_int_equal(disk_read(name, 1 << 20, &want, NULL), IM_OK);
	ask(f, "GET", path, &answer, &body);
	body_len = answer.len - (size_t)(body - (const char *)answer.data);
	assert_memory_equal(answer.data, "HTTP/1.1 200", 12);
	assert_int_equal(body_len, len != 0 ? len : want.len);
	assert_memory_equal(body, want.data, body_len);
	if (strstr((const char *)answer.data, header) == NULL)
		fail_msg("%s: no '%s' in %.400s", path, header, (const char *)answer.data);
	buf_done(&answer);
	buf_done(&want);
}

static void
test_pages_give_the_files_with_type_and_caching(void **state)
{
	const struct fixture *f = *state;

	expect_file(f, "/checkpoint", "checkpoint", 0,
		    "Content-Type: text/plain; charset=utf-8\r\n");
	expect_file(f, "/checkpoint", "checkpoint", 0, "Cache-Control: no-cache\r\n");
	expect_file(f, "/tile/0/000", "tile/0/000", 0,
		    "Content-Type: application/octet-stream\r\n");
	expect_file(f, "/tile/0/001.p/45", "tile/0/001.p/45", 0, "max-age=31536000, immutable\r\n");
	expect_file(f, "/tile/1/000.p/1", "tile/1/000.p/1", 0, "Access-Control-Allow-Origin: *");
	expect_file(f, "/tile/entries/000", "tile/entries/000", 0, "nosniff");
}

static void
test_pages_give_later_shards_and_the_way_to_them(void **state)
{
	static const char *const bad[] = { "",         "/",
					   "/lock",    "/wal/0000000100000000.wal",
					   "/../lock", "/../checkpoint" };
	const struct fixture *f = *state;
	char path[128];

	expect_file(f, "/" SHARD_NEXT, SHARD_NEXT, 0,
		    "Content-Type: text/plain; charset=utf-8\r\n");
	(void)snprintf(path, sizeof(path), "/%s/checkpoint", f->shard);
	expect_file(f, path, path + 1, 0, "Cache-Control: no-cache\r\n");
	(void)snprintf(path, sizeof(path), "/%s/tile/entries/000.p/1", f->shard);
	expect_file(f, path, path + 1, 0, "immutable\r\n");
	(void)snprintf(path, sizeof(path), "/%s/" SHARD_NEXT, f->shard);
	expect_status(f, "GET", path, "404");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(path, sizeof(path), "/%s%s", f->shard, bad[i]);
		expect_status(f, "GET", path, "4");
	}
	expect_status(f, "GET", "/2026h3-1/checkpoint", "404");
	expect_status(f, "GET", "/2026h1-77/checkpoint", "404");
}

static void
test_pages_cut_partial_tiles_from_later_ones(void **state)
{
	const struct fixture *f = *state;

	expect_file(f, "/tile/0/000.p/7", "tile/0/000", (size_t)7 * HASH_BYTES, "");
	expect_file(f, "/tile/0/001.p/3", "tile/0/001.p/45", (size_t)3 * HASH_BYTES, "");
	expect_status(f, "GET", "/tile/0/001.p/46", "404");
	expect_status(f, "GET", "/tile/entries/000.p/255", "200");
}

static void
test_pages_give_nothing_else(void **state)
{
	static const char *const bad[] = { "/",
					   "/lock",
					   "/wal/0000000100000000.wal",
					   "/tile/0/../../lock",
					   "/tile/0/%2e%2e/%2e%2e/lock",
					   "/tile/0/0",
					   "/tile/0/000.p/0",
					   "/tile/0/000.p/256",
					   "/tile/00/000",
					   "/tile/9/000",
					   "/tile/entries",
					   "/tile/entries/x000/000",
					   "/tile/0/002",
					   "/checkpoint/",
					   "//checkpoint",
					   "/checkpoint%00",
					   "/metrics" };
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_status(f, "GET", bad[i], "4");
	expect_status(f, "POST", "/checkpoint", "405");
	expect_status(f, "HEAD", "/checkpoint", "200");
}

static void
test_pages_of_a_damaged_file_say_500_and_no_byte_of_it(void **state)
{
	const struct fixture *f = *state;
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/tile/0/000", f->t.dir);
	assert_int_equal(truncate(path, 100), 0);
	expect_status(f, "GET", "/tile/0/000", "500");
}

/* Clients that ask and leave: the thread may be reading for them. */
static void
test_pages_outlive_clients_that_leave(void **state)
{
	static const char request[] = "GET /tile/entries/000 HTTP/1.1\r\nHost: log\r\n\r\n";
	struct fixture *f = *state;
	struct pages_stats s;

	for (int i = 0; i < 200; i++) {
		int fd = dial(f);

		assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
		(void)close(fd);
	}
	expect_status(f, "GET", "/checkpoint", "200");
	loop_enter(f->loop);
	pages_stats(f->pages, &s);
	loop_leave(f->loop);
	assert_true(s.served >= 1);
	assert_int_equal(s.failed, 0);
}

static void
test_pages_close_while_files_are_asked_for(void **state)
{
	static const char request[] = "GET /tile/entries/000 HTTP/1.1\r\nHost: log\r\n\r\n";
	struct fixture *f = *state;
	int fd[50];

	for (int i = 0; i < 50; i++) {
		fd[i] = dial(f);
		assert_int_equal(send(fd[i], request, strlen(request), MSG_NOSIGNAL),
				 strlen(request));
	}
	loop_enter(f->loop);
	pages_close(f->pages);
	f->pages = NULL;
	loop_leave(f->loop);
	for (int i = 0; i < 50; i++)
		(void)close(fd[i]);
}

static void
test_pages_at_a_bad_address_name_the_key(void **state)
{
	struct fixture *f = *state;
	struct pages *none;

	loop_enter(f->loop);
	assert_int_equal(pages_open(f->loop, "nonsense", f->t.dir, &none, &f->t.err), IM_EINVAL);
	loop_leave(f->loop);
	assert_non_null(strstr(f->t.err.text, "audit.serve"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pages_give_the_files_with_type_and_caching,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_give_later_shards_and_the_way_to_them,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_cut_partial_tiles_from_later_ones, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_pages_give_nothing_else, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_pages_of_a_damaged_file_say_500_and_no_byte_of_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_outlive_clients_that_leave, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_pages_close_while_files_are_asked_for, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_pages_at_a_bad_address_name_the_key, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
