/*
 * http/hello_bench.c - a server that answers "hello" to everything: what the HTTP layer alone costs, for wrk beside an
 * nginx with 'return 200'. Usage: http_hello [HOST:PORT]
 */
#include <stdio.h>

#include "http/http.h"

static void
hello(void *user, struct http_exchange *x)
{
	(void)user;
	http_reply(x, 200, &(struct http_header){ "Content-Type", "text/plain" }, 1, "hello", 5);
}

int
main(int argc, char **argv)
{
	struct http_params params = { .listen = argc > 1 ? argv[1] : "127.0.0.1:8090" };
	const struct http_ops ops = { .request = hello };
	struct http_server *server;
	struct loop *loop;
	struct im_err err;

	if (loop_new(&loop, &err) != IM_OK) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	loop_enter(loop);
	if (http_server_open(loop, &params, &ops, NULL, &server, &err) != IM_OK) {
		loop_leave(loop);
		loop_free(loop);
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	(void)printf("%s\n", http_server_address(server));
	(void)fflush(stdout);
	loop_leave(loop);
	loop_run(loop);
	return 0;
}
