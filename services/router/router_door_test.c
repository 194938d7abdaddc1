/*
 * router/router_door_test.c - the REQ/REP door as a program without our libraries sees it: bytes on a unix socket. Source of the
 * framing: the SP protocol's mappings for IPC (handshake, message type and length) and REQ (request id with its high bit set).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "router/fake_mesh.h"

#define SP_HEAD 13 /* type u8, length u64, request id u32 */

static const uint8_t request_id[4] = { 0x80, 0x00, 0x00, 0x2a };

static void
read_all(struct mesh *m, int fd, uint8_t *to, size_t len)
{
	size_t got = 0;
	ssize_t n = 0;

	while (got < len) {
		MESH_WAIT(m, (n = recv(fd, to + got, len - got, MSG_DONTWAIT)) >= 0);
		assert_true(n > 0);
		got += (size_t)n;
	}
}

static int
door_connect(struct mesh *m, const char *path)
{
	static const uint8_t hello[8] = { 0, 'S', 'P', 0, 0, 0x30, 0, 0 }; /* REQ */
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	uint8_t theirs[8];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(send(fd, hello, sizeof(hello), 0), sizeof(hello));
	read_all(m, fd, theirs, sizeof(theirs));
	assert_int_equal(theirs[5], 0x31); /* REP */
	return fd;
}

static void
door_ask(struct mesh *m, int fd, const struct buf *body, struct arena *arena,
	 struct generate_reply *ret)
{
	uint8_t head[SP_HEAD] = { 1, 0, 0, 0, 0, 0, 0, 0, (uint8_t)(body->len + 4) };
	uint8_t reply[65536];
	size_t len = 0;

	assert_true(body->len < 200);
	memcpy(head + 9, request_id, 4);
	assert_int_equal(send(fd, head, sizeof(head), 0), sizeof(head));
	assert_int_equal(send(fd, body->data, body->len, 0), body->len);
	read_all(m, fd, head, sizeof(head));
	assert_memory_equal(head + 9, request_id, 4);
	for (size_t i = 1; i < 9; i++) {
		len = len << 8 | head[i];
	}
	len -= 4;
	assert_in_range(len, 1, sizeof(reply));
	read_all(m, fd, reply, len);
	assert_int_equal(generate_reply_decode(reply, len, arena, ret, NULL), IM_OK);
}

static void
test_router_door_answers_whole_requests_and_errors(void **state)
{
	char dir[] = "/tmp/infermesh-door-XXXXXX", path[64], yaml[96];
	struct message msg = { .role = "user", .content = "hi" };
	struct generate_request req = { .model = "demo", .messages = &msg, .message_count = 1 };
	struct buf body = BUF_INIT(0), none = BUF_INIT(0);
	struct generate_reply reply;
	struct arena arena;
	struct mesh *m;
	int fd;

	(void)state;
	arena_init(&arena, 0);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/door", dir);
	(void)snprintf(yaml, sizeof(yaml), "door: 'ipc://%s'", path);
	m = mesh_start(yaml, "client");
	(void)mesh_worker(m, 0, "w1", 4);
	fd = door_connect(m, path);

	generate_request_encode(&req, &body);
	door_ask(m, fd, &body, &arena, &reply);
	assert_false(reply.failed);
	assert_string_equal(reply.choices[0].content, "Hello");
	assert_string_equal(reply.cache, "bypass"); /* no temperature was given */
	assert_string_equal(mesh_last(m, RECORD_REQUEST)->caller, "rpc:door");

	req.model = "nope";
	buf_clear(&body);
	generate_request_encode(&req, &body);
	door_ask(m, fd, &body, &arena, &reply);
	assert_true(reply.failed);
	assert_string_equal(reply.err.reason, "model_not_found");

	(void)buf_append_str(&none, "no protobuf");
	door_ask(m, fd, &none, &arena, &reply);
	assert_true(reply.failed);
	assert_int_equal(reply.err.rc, IM_EPROTO);

	assert_int_equal(close(fd), 0);
	mesh_settled(m);
	mesh_stop(m);
	assert_int_equal(rmdir(dir), 0); /* the socket is gone */
	buf_done(&body);
	buf_done(&none);
	arena_done(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_router_door_answers_whole_requests_and_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
