/*
 * daemon/redis_rig.c - see redis_rig.h.
 */
#include "daemon/redis_rig.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "base/clock.h"

#define START_US 10000000

static redisContext *
connect_to(struct redis_rig *r)
{
	const struct timeval patience = { 5, 0 };
	redisContext *c = redisConnectWithTimeout("127.0.0.1", r->port, patience);

	if (c != NULL && c->err == 0 && redisSetTimeout(c, patience) == REDIS_OK) {
		redisReply *reply =
		    redisCommand(c, r->password != NULL ? "AUTH %s" : "PING", r->password);
		bool well = reply != NULL && reply->type == REDIS_REPLY_STATUS;

		freeReplyObject(reply);
		if (well) {
			return c;
		}
	}
	if (c != NULL) {
		redisFree(c);
	}
	return NULL;
}

static void
run_server(struct redis_rig *r)
{
	char port[16];
	const char *argv[32] = { "redis-server", "--port",     port,     "--bind",
				 "127.0.0.1",    "--save",     "",       "--appendonly",
				 "no",           "--loglevel", "warning" };
	size_t n = 11;
	/* execvp()'s prototype lacks a const. */
	union {
		const char **ours;
		char *const *theirs;
	} words = { .ours = argv };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves none behind */
	(void)snprintf(port, sizeof(port), "%d", r->port);
	if (r->password != NULL) {
		argv[n++] = "--requirepass";
		argv[n++] = r->password;
	}
	if (r->dir[0] != '\0') {
		argv[n++] = "--dir";
		argv[n++] = r->dir;
	}
	for (size_t i = 0; r->more != NULL && r->more[i] != NULL && n + 1 < 32; i++)
		argv[n++] = r->more[i];
	if (freopen("/dev/null", "w", stdout) != NULL)
		(void)execvp("redis-server", words.theirs);
	_exit(127);
}

void
redis_rig_up(struct redis_rig *r)
{
	uint64_t end_us = clock_mono_us() + START_US;
	redisContext *c;

	assert_int_equal(r->pid, 0);
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (r->pid == 0) {
		run_server(r);
	}
	while ((c = connect_to(r)) == NULL) {
		if (waitpid(r->pid, NULL, WNOHANG) != 0 || clock_mono_us() > end_us) {
			fail_msg("redis-server does not run on port %d; is it installed?", r->port);
		}
		(void)usleep(5000);
	}
	redisFree(c);
}

void
redis_rig_reserve(struct redis_rig *r)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(r, 0, sizeof(*r));
	(void)signal(SIGPIPE, SIG_IGN); /* as daemon_run() has it: hiredis writes to what is gone */
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	(void)close(fd);
	r->port = ntohs(a.sin_port);
	(void)snprintf(r->url, sizeof(r->url), "redis://127.0.0.1:%d", r->port);
}

void
redis_rig_start(struct redis_rig *r, const char *password)
{
	redis_rig_reserve(r);
	r->password = password;
	redis_rig_up(r);
}

void
redis_rig_kill(struct redis_rig *r)
{
	if (r->pid > 0) {
		(void)kill(r->pid, SIGKILL);
		(void)waitpid(r->pid, NULL, 0);
		r->pid = 0;
	}
}

void
redis_rig_freeze(struct redis_rig *r)
{
	assert_int_equal(kill(r->pid, SIGSTOP), 0);
}

void
redis_rig_thaw(struct redis_rig *r)
{
	assert_int_equal(kill(r->pid, SIGCONT), 0);
}

int64_t
redis_rig_ask(struct redis_rig *r, int db, const char *command)
{
	redisContext *c = connect_to(r);
	redisReply *reply;
	int64_t n = INT64_MIN;

	assert_non_null(c);
	freeReplyObject(redisCommand(c, "SELECT %d", db));
	reply = redisCommand(c, command);
	assert_non_null(reply);
	if (reply->type == REDIS_REPLY_ERROR) {
		fail_msg("%s: %s", command, reply->str);
	}
	if (reply->type == REDIS_REPLY_INTEGER) {
		n = reply->integer;
	} else if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) {
		n = strtoll(reply->str, NULL, 10);
	}
	freeReplyObject(reply);
	redisFree(c);
	return n;
}
