/*
 * bench/upstream.c - infermesh-upstream: an OpenAI-compatible server that answers at once, or so many tokens at such a pace.
 * For benchmarks and the exactness tests; it understands no more of a request than "stream": true, "tokens-N" and
 * "delay-MS" in the body; with -k it answers only who has that key.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "http/http.h"

#define CHUNK                                                                                           \
	"data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000," \
	"\"model\":\"instant\",\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":%s}]}\n\n"

static struct {
	struct loop *loop;
	struct http_server *server;
	unsigned tokens;
	unsigned delay_ms;
	const char *key; /* NULL: for all */
	unsigned long long requests, left;
} g = { .tokens = 4 };

/* One that is being sent at a pace, or as a whole when its time has come. */
struct answer {
	struct http_exchange *x;
	struct loop_timer timer;
	unsigned sent, tokens, delay_ms;
};

static void
put_token(struct http_exchange *x, unsigned i)
{
	char chunk[512];
	int n = snprintf(chunk, sizeof(chunk), CHUNK,
			 i == 0 ? "{\"role\":\"assistant\",\"content\":\"Hello\"}"
				: "{\"content\":\" world\"}",
			 "null");

	(void)http_stream_write(x, chunk, (size_t)n);
}

static void
put_end(struct http_exchange *x, unsigned tokens)
{
	char text[512];
	int n = snprintf(text, sizeof(text), CHUNK, "{}", "\"stop\"");

	(void)http_stream_write(x, text, (size_t)n);
	n = snprintf(
	    text, sizeof(text),
	    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
	    "\"model\":\"instant\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":%u,"
	    "\"total_tokens\":%u}}\n\ndata: [DONE]\n\n",
	    tokens, tokens + 9);
	(void)http_stream_write(x, text, (size_t)n);
	http_stream_end(x);
}

static void
answer_step(void *arg)
{
	struct answer *a = arg;

	if (a->sent < a->tokens)
		put_token(a->x, a->sent++);
	if (a->sent < a->tokens) {
		if (loop_timer_set(g.loop, &a->timer, (uint64_t)a->delay_ms * 1000) == IM_OK)
			return;
		abort();
	}
	put_end(a->x, a->tokens);
	free(a);
}

/* 'fn' gets what it returns, and frees it when the exchange is over. */
static struct answer *
answer_new(struct http_exchange *x, unsigned tokens, unsigned delay_ms, loop_fn fn)
{
	struct answer *a = calloc(1, sizeof(*a));

	if (a == NULL)
		abort();
	a->x = x;
	a->tokens = tokens;
	a->delay_ms = delay_ms;
	a->timer.fn = fn;
	a->timer.arg = a;
	http_set_user(x, a);
	return a;
}

static void
answer_stream(struct http_exchange *x, unsigned tokens, unsigned delay_ms)
{
	static const struct http_header headers[] = { { "Content-Type", "text/event-stream" } };

	http_stream_begin(x, 200, headers, 1);
	if (delay_ms == 0) {
		for (unsigned i = 0; i < tokens; i++)
			put_token(x, i);
		put_end(x, tokens);
		return;
	}
	answer_step(answer_new(x, tokens, delay_ms, answer_step));
}

static void
reply_json(struct http_exchange *x, unsigned tokens)
{
	static const struct http_header headers[] = { { "Content-Type", "application/json" } };
	char content[4096] = "Hello";
	char body[8192];
	int n;

	for (size_t i = 1; i < tokens && i < 600; i++)
		memcpy(content + 5 + (i - 1) * 6, " world", 7);
	n = snprintf(
	    body, sizeof(body),
	    "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"instant\","
	    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},"
	    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":%u,"
	    "\"total_tokens\":%u}}",
	    content, tokens, tokens + 9);
	http_reply(x, 200, headers, 1, body, (size_t)n);
}

static void
answer_due(void *arg)
{
	struct answer *a = arg;

	reply_json(a->x, a->tokens);
	free(a);
}

/* A whole answer comes when its last token would have been sent. */
static void
answer_json(struct http_exchange *x, unsigned tokens, unsigned delay_ms)
{
	struct answer *a;

	if (delay_ms == 0) {
		reply_json(x, tokens);
		return;
	}
	a = answer_new(x, tokens, delay_ms, answer_due);
	if (loop_timer_set(g.loop, &a->timer, (uint64_t)tokens * delay_ms * 1000) != IM_OK)
		abort();
}

static bool
has_key(const struct http_exchange *x)
{
	const char *said = g.key != NULL ? http_header(x, "authorization") : NULL;

	return g.key == NULL ||
	       (said != NULL && strncmp(said, "Bearer ", 7) == 0 && strcmp(said + 7, g.key) == 0);
}

/* The number behind 'mark' in the body; 'otherwise' without it. The byte behind the body is no digit's: a JSON body ends in '}'. */
static unsigned
number_of(const char *body, size_t len, const char *mark, unsigned otherwise)
{
	const char *at = memmem(body, len, mark, strlen(mark));

	if (at == NULL || at + strlen(mark) + 1 >= body + len)
		return otherwise;
	return (unsigned)strtoul(at + strlen(mark), NULL, 10);
}

static void
on_request(void *user, struct http_exchange *x)
{
	static const char models[] =
	    "{\"object\":\"list\",\"data\":[{\"id\":\"instant\",\"object\":\"model\",\"created\":1,"
	    "\"owned_by\":\"bench\"}]}";
	static const char refusal[] =
	    "{\"error\":{\"message\":\"who are you?\",\"type\":\"authentication_error\"}}";
	size_t len;
	const char *body = (const char *)http_body(x, &len);
	unsigned tokens, delay_ms;

	(void)user;
	g.requests++;
	if (!has_key(x)) {
		http_reply(x, 401, NULL, 0, refusal, sizeof(refusal) - 1);
		return;
	}
	if (strcmp(http_method(x), "GET") == 0) {
		http_reply(x, 200, NULL, 0, models, sizeof(models) - 1);
		return;
	}
	tokens = number_of(body, len, "tokens-", g.tokens);
	delay_ms = number_of(body, len, "delay-", g.delay_ms);
	if (memmem(body, len, "\"stream\":true", 13) != NULL)
		answer_stream(x, tokens, delay_ms);
	else
		answer_json(x, tokens, delay_ms);
}

static void
on_gone(void *user, struct http_exchange *x)
{
	struct answer *a = http_user(x);

	(void)user;
	g.left++;
	if (a != NULL)
		loop_timer_cancel(g.loop, &a->timer);
	free(a);
	http_abort(x);
}

static void
on_signal(int sig)
{
	(void)sig;
	loop_stop(g.loop); /* NOLINT(bugprone-signal-handler): async-signal-safe, see loop.h */
}

int
main(int argc, char **argv)
{
	static const struct http_ops ops = { .request = on_request, .gone = on_gone };
	struct http_params params = { .listen = "127.0.0.1:0", .max_connections = 100000 };
	struct im_err err;
	int opt;

	while ((opt = getopt(argc, argv, "l:n:d:k:")) != -1) {
		if (opt == 'l')
			params.listen = optarg;
		else if (opt == 'n')
			g.tokens = (unsigned)strtoul(optarg, NULL, 10);
		else if (opt == 'd')
			g.delay_ms = (unsigned)strtoul(optarg, NULL, 10);
		else if (opt == 'k')
			g.key = optarg;
		else {
			fputs(
			    "usage: infermesh-upstream [-l HOST:PORT] [-n TOKENS] [-d MS-PER-TOKEN] [-k KEY]\n",
			    stderr);
			return 2;
		}
	}
	if (loop_new(&g.loop, &err) != IM_OK)
		goto fail;
	loop_enter(g.loop);
	if (http_server_open(g.loop, &params, &ops, NULL, &g.server, &err) != IM_OK) {
		loop_leave(g.loop);
		goto fail;
	}
	loop_leave(g.loop);
	(void)signal(SIGTERM, on_signal);
	(void)signal(SIGINT, on_signal);
	printf("%s\n", http_server_address(g.server));
	(void)fflush(stdout);
	loop_run(g.loop);
	loop_enter(g.loop);
	http_server_close(g.server);
	loop_leave(g.loop);
	loop_free(g.loop);
	fprintf(stderr, "requests %llu, left early %llu\n", g.requests, g.left);
	return 0;
fail:
	fprintf(stderr, "infermesh-upstream: %s\n", err.text);
	return 1;
}
