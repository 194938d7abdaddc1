/*
 * net/listen_test.c - addresses: what may be listened on, socket files, and what is refused with which words.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/rig.h"

struct fixture {
	struct rig_loop loop;
	struct rig_end end;
	char dir[64], path[80], url[96];
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/im-net-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof(f->path), "%s/socket", f->dir);
	(void)snprintf(f->url, sizeof(f->url), "ipc://%s", f->path);
	rig_loop_start(&f->loop);
	rig_end_init(&f->end, &f->loop, "router", NULL);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	rig_end_done(&f->end);
	rig_loop_stop(&f->loop);
	(void)unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0); /* no private name was left */
	free(f);
	return 0;
}

static enum im_rc
listen_again(struct fixture *f, const char *url, struct im_err *err)
{
	struct endpoint *ep;
	enum im_rc rc;

	memset(err, 0, sizeof(*err));
	loop_enter(f->loop.loop);
	rc = net_listen(f->end.net, url, &rig_ops, &f->end, &ep, err);
	loop_leave(f->loop.loop);
	return rc;
}

/* A socket file at 'path'; with 'fd' NULL its listener is dead. */
static void
make_socket(const char *path, int *ret_fd)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	if (ret_fd != NULL)
		*ret_fd = fd;
	else
		(void)close(fd);
}

static void
test_socket_file_has_mode_0600_and_goes_away(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	rig_listen(&f->end, f->url);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	loop_enter(f->loop.loop);
	endpoint_close(f->end.ep);
	loop_leave(f->loop.loop);
	assert_int_equal(stat(f->path, &st), -1);
}

static void
test_stale_socket_file_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct rig_end client;

	make_socket(f->path, NULL);
	rig_listen(&f->end, f->url);
	rig_end_init(&client, &f->loop, "gateway", NULL);
	rig_dial(&client, f->url);
	rig_wait(&client, client.ups, 1);
	rig_end_done(&client);
}

static void
test_socket_file_of_a_live_process_is_refused(void **state)
{
	struct fixture *f = *state;
	struct im_err err;
	struct stat st;
	int fd;

	make_socket(f->path, &fd);
	assert_int_equal(listen_again(f, f->url, &err), IM_EEXIST);
	assert_non_null(strstr(err.text, "another process listens"));
	assert_int_equal(stat(f->path, &st), 0);
	(void)close(fd);
}

static void
test_file_that_is_no_socket_is_refused_and_kept(void **state)
{
	struct fixture *f = *state;
	int fd = open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	struct im_err err;
	struct stat st;

	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(listen_again(f, f->url, &err), IM_EEXIST);
	assert_non_null(strstr(err.text, "no socket"));
	assert_int_equal(stat(f->path, &st), 0);
}

static void
test_socket_file_of_somebody_else_survives_our_close(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	int fd;

	rig_listen(&f->end, f->url);
	assert_int_equal(unlink(f->path), 0);
	make_socket(f->path, &fd);
	loop_enter(f->loop.loop);
	endpoint_close(f->end.ep);
	loop_leave(f->loop.loop);
	assert_int_equal(stat(f->path, &st), 0);
	(void)close(fd);
}

static void
test_address_in_use_is_refused(void **state)
{
	struct fixture *f = *state;
	const char *urls[] = { f->url, "tcp://127.0.0.1:0", "inproc://one-only" };
	struct im_err err;

	for (int i = 0; i < 3; i++) {
		rig_listen(&f->end, urls[i]);
		assert_int_equal(listen_again(f, endpoint_url(f->end.ep), &err), IM_EEXIST);
	}
	assert_null(strstr(endpoint_url(f->end.ep), ":0"));
}

static void
test_url_that_is_none_is_refused_with_the_remedy(void **state)
{
	const char *urls[] = { "",
			       "ipc",
			       "ipc://",
			       "inproc://",
			       "tcp://",
			       "tcp://localhost",
			       "tcp://localhost:",
			       "http://localhost:80",
			       "/run/x.sock",
			       "tcp://127.0.0.1:99999999" };
	struct fixture *f = *state;
	char longest[400] = "ipc:///tmp/";
	struct im_err err;

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		assert_int_equal(listen_again(f, urls[i], &err), IM_EINVAL);
		assert_true(strlen(err.text) > 20);
	}
	memset(longest + 11, 'x', 150); /* longer than a Unix socket address */
	assert_int_equal(listen_again(f, longest, &err), IM_EINVAL);
	memset(longest + 11, 'x', 380);
	assert_int_equal(listen_again(f, longest, &err), IM_EINVAL);
	assert_int_equal(listen_again(f, "ipc:///no/such/folder/socket", &err), IM_EIO);
}

static void
test_dial_of_nobody_is_told_once_and_goes_on(void **state)
{
	struct fixture *f = *state;
	struct rig_end client;

	rig_end_init(&client, &f->loop, "gateway", NULL);
	rig_dial(&client, f->url);
	rig_wait(&client, client.troubles, 1);
	assert_non_null(strstr(client.trouble.text, "is the daemon there running?"));
	assert_int_equal(client.trouble.rc, IM_EUNAVAILABLE);
	rig_listen(&f->end, f->url);
	rig_wait(&client, client.ups, 1);
	assert_int_equal(client.troubles, 1);
	rig_end_done(&client);
}

static void
test_net_new_checks_its_parameters(void **state)
{
	struct fixture *f = *state;
	struct net_params p = { .role = "a-role-that-is-too-long" };
	struct im_err err;
	struct net *net;

	assert_int_equal(net_new(f->loop.loop, &p, &net, &err), IM_EINVAL);
	p.role = NULL;
	assert_int_equal(net_new(f->loop.loop, &p, &net, &err), IM_EINVAL);
	p.role = "router";
	p.max_frame_bytes = 10;
	assert_int_equal(net_new(f->loop.loop, &p, &net, &err), IM_EINVAL);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_socket_file_has_mode_0600_and_goes_away),
		T(test_stale_socket_file_is_replaced),
		T(test_socket_file_of_a_live_process_is_refused),
		T(test_file_that_is_no_socket_is_refused_and_kept),
		T(test_socket_file_of_somebody_else_survives_our_close),
		T(test_address_in_use_is_refused),
		T(test_url_that_is_none_is_refused_with_the_remedy),
		T(test_dial_of_nobody_is_told_once_and_goes_on),
		T(test_net_new_checks_its_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
