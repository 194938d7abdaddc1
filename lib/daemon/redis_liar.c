/*
 * daemon/redis_liar.c - see redis_liar.h.
 */
#include "daemon/redis_liar.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PAIRS_MAX 16

struct redis_liar {
	pthread_t thread;
	pthread_mutex_t lock; /* for what stands until the blank line */
	unsigned delay_ms, spare;
	const char *say;
	size_t say_len;
	bool stop;

	int listener, behind_port;
	struct {
		int client, server; /* -1 = none */
	} pair[PAIRS_MAX];
};

static struct sockaddr_in
loopback(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				     .sin_port = htons((uint16_t)port) };
}

static void
end_pair(struct redis_liar *l, size_t i)
{
	(void)close(l->pair[i].client);
	if (l->pair[i].server >= 0)
		(void)close(l->pair[i].server);
	l->pair[i].client = l->pair[i].server = -1;
}

static void
take_client(struct redis_liar *l)
{
	struct sockaddr_in to = loopback(l->behind_port);
	int fd = accept(l->listener, NULL, NULL), server;

	for (size_t i = 0; fd >= 0 && i < PAIRS_MAX; i++) {
		if (l->pair[i].client >= 0)
			continue;
		server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(server, (struct sockaddr *)&to, sizeof(to)) != 0) {
			(void)close(server);
			server = -1; /* a liar needs nobody to lie */
		}
		l->pair[i].client = fd;
		l->pair[i].server = server;
		return;
	}
	if (fd >= 0)
		(void)close(fd);
}

/* Each write whole, or the pair ends. */
static bool
pass(int to, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(to, bytes, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
from_client(struct redis_liar *l, size_t i, char *bytes, size_t len)
{
	const char *say;
	size_t say_len;

	(void)pthread_mutex_lock(&l->lock);
	say = l->spare > 0 ? NULL : l->say;
	say_len = l->say_len;
	l->spare -= l->spare > 0;
	(void)pthread_mutex_unlock(&l->lock);
	if (say != NULL)
		return pass(l->pair[i].client, say, say_len);
	return pass(l->pair[i].server, bytes, len);
}

static bool
from_server(struct redis_liar *l, size_t i, char *bytes, size_t len)
{
	unsigned delay_ms;

	(void)pthread_mutex_lock(&l->lock);
	delay_ms = l->delay_ms;
	(void)pthread_mutex_unlock(&l->lock);
	if (delay_ms > 0)
		(void)usleep(delay_ms * 1000);
	return pass(l->pair[i].client, bytes, len);
}

static void
serve(struct redis_liar *l, size_t i, short client, short server)
{
	static _Thread_local char bytes[65536];
	ssize_t n = 1;
	bool well = true;

	if (client != 0) {
		n = recv(l->pair[i].client, bytes, sizeof(bytes), 0);
		well = n > 0 && from_client(l, i, bytes, (size_t)n);
	}
	if (well && server != 0) {
		n = recv(l->pair[i].server, bytes, sizeof(bytes), 0);
		well = n > 0 && from_server(l, i, bytes, (size_t)n);
	}
	if (!well)
		end_pair(l, i);
}

static void *
run(void *arg)
{
	struct redis_liar *l = arg;
	bool stop = false;

	while (!stop) {
		struct pollfd fds[1 + 2 * PAIRS_MAX] = { { .fd = l->listener, .events = POLLIN } };

		for (size_t i = 0; i < PAIRS_MAX; i++) {
			fds[1 + 2 * i] =
			    (struct pollfd){ .fd = l->pair[i].client, .events = POLLIN };
			fds[2 + 2 * i] =
			    (struct pollfd){ .fd = l->pair[i].server, .events = POLLIN };
		}
		(void)poll(fds, 1 + 2 * PAIRS_MAX, 20);
		for (size_t i = 0; i < PAIRS_MAX; i++)
			if (fds[1 + 2 * i].revents != 0 || fds[2 + 2 * i].revents != 0)
				serve(l, i, fds[1 + 2 * i].revents, fds[2 + 2 * i].revents);
		if (fds[0].revents != 0)
			take_client(l);
		(void)pthread_mutex_lock(&l->lock);
		stop = l->stop;
		(void)pthread_mutex_unlock(&l->lock);
	}
	return NULL;
}

struct redis_liar *
redis_liar_start(int behind_port, int *ret_port)
{
	struct redis_liar *l = calloc(1, sizeof(*l));
	struct sockaddr_in a = loopback(0);
	socklen_t len = sizeof(a);

	assert_non_null(l);
	(void)pthread_mutex_init(&l->lock, NULL);
	for (size_t i = 0; i < PAIRS_MAX; i++)
		l->pair[i].client = l->pair[i].server = -1;
	l->behind_port = behind_port;
	l->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(l->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(l->listener, PAIRS_MAX), 0);
	assert_int_equal(getsockname(l->listener, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&l->thread, NULL, run, l), 0);
	return l;
}

void
redis_liar_stop(struct redis_liar *l)
{
	if (l == NULL)
		return;
	(void)pthread_mutex_lock(&l->lock);
	l->stop = true;
	(void)pthread_mutex_unlock(&l->lock);
	(void)pthread_join(l->thread, NULL);
	for (size_t i = 0; i < PAIRS_MAX; i++)
		if (l->pair[i].client >= 0)
			end_pair(l, i);
	(void)close(l->listener);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

void
redis_liar_delay(struct redis_liar *l, unsigned delay_ms)
{
	(void)pthread_mutex_lock(&l->lock);
	l->delay_ms = delay_ms;
	(void)pthread_mutex_unlock(&l->lock);
}

void
redis_liar_say(struct redis_liar *l, const char *bytes, size_t len)
{
	(void)pthread_mutex_lock(&l->lock);
	l->say = bytes;
	l->say_len = len;
	(void)pthread_mutex_unlock(&l->lock);
}

void
redis_liar_spare(struct redis_liar *l, unsigned answers)
{
	(void)pthread_mutex_lock(&l->lock);
	l->spare = answers;
	(void)pthread_mutex_unlock(&l->lock);
}
