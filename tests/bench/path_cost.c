/*
 * tests/bench/path_cost.c - the hot paths of a request, each alone and again and again, for counting their instructions
 * (path_cost.py). No socket, no thread, and nothing that a clock or the machine decides. Any failure ends the process.
 *
 * usage: path_cost PATH TIMES
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/testlog.h"
#include "base/sha256.h"
#include "cache/l1.h"
#include "cache/value.h"
#include "gateway/chat_request.h"
#include "gateway/chat_response.h"
#include "http/request.h"
#include "router/answer.h"
#include "router/cache_key.h"
#include "router_field.h"

#define WARM_UP    20 /* steps: tables grow, what is looked up once is looked up */
#define WORKERS    1000
#define ENTRIES    1000 /* of the cache */
#define ARENA_MAX  ((size_t)1024 * 1024)
#define TIME_US    1700000000000000
#define REQUEST_ID "0123456789abcdef0123456789abcdef"
#define SYSTEM     "You are a helpful assistant of a small shop. Say what you know and no more. "
#define BODY                                                                                       \
	"{\"model\":\"instant\",\"messages\":[{\"role\":\"system\",\"content\":\"" SYSTEM SYSTEM   \
	"\"},{\"role\":\"user\",\"content\":\"Where is my order number 17?\"}],"                   \
	"\"temperature\":0,\"max_tokens\":64,\"user\":\"alice\"}"
#define ANSWER "Your order has left us on Monday, and should be with you by the end of the week."

static char http[2048]; /* a whole request */
static struct generate_request request;
static struct delta delta = { .role = "assistant",
			      .content = ANSWER,
			      .reasoning_content = "",
			      .finish_reason = "stop",
			      .logprobs_json = "",
			      .refusal = "" };
static struct generate_frame frame = {
	.has_head = true,
	.head = { .model = "instant", .cache = "MISS", .worker = "w17", .fallback = "" },
	.deltas = &delta,
	.delta_count = 1,
	.system_fingerprint = "fp"
};
static const struct usage usage = { .prompt_tokens = 41, .completion_tokens = 17 };

static void
must(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "path_cost: %s failed\n", what);
		exit(1);
	}
}

/* parse: from the bytes of a connection to a request of the mesh. */

static void
parse(uint64_t n)
{
	struct reader reader = { 0 };
	struct chat_request chat;
	struct arena arena;
	struct request *req;
	struct im_err err;
	size_t used;

	(void)n;
	http_reader_init(&reader, 65536, 65536);
	for (size_t at = 0; at < strlen(http); at += used) {
		enum reader_event event =
		    http_reader_feed(&reader, (const uint8_t *)http + at, strlen(http) - at, &used);

		must(event == READER_HEAD || event == READER_REQUEST, "http_reader_feed()");
	}
	req = http_reader_take(&reader);
	must(req != NULL && http_request_header(req, "authorization") != NULL, "a request");
	arena_init(&arena, ARENA_MAX);
	must(chat_request_parse(OPERATION_CHAT, req->body.data, req->body.len, &arena, &chat,
				&err) == IM_OK,
	     "chat_request_parse()");
	arena_done(&arena);
	http_request_free(req);
	http_reader_done(&reader);
}

/* encode: the request as a frame to the next daemon, a frame of the answer, and the answer as JSON. */

static void
encode(uint64_t n)
{
	const struct chat_identity identity = { REQUEST_ID, "instant", n, OPERATION_CHAT };
	struct buf body = { 0 }, out = { 0 };
	struct chat_answer *answer;
	struct im_err err;

	generate_request_encode(&request, &body);
	request_frame_encode(2,
			     &(struct request_frame){ .method = METHOD_GENERATE,
						      .budget_ms = 30000,
						      .body = { body.data, body.len } },
			     &out);
	generate_frame_encode(&frame, &out);
	must(chat_answer_new(&identity, 65536, &answer, &err) == IM_OK &&
		 chat_answer_frame(answer, &frame, &err) == IM_OK &&
		 chat_answer_end(answer, &usage, &out, &err) == IM_OK && buf_ok(&out),
	     "encoding");
	chat_answer_free(answer);
	buf_done(&body);
	buf_done(&out);
}

/* route: a worker among many, and a place freed. */

static struct field field;

static void
route_begin(void)
{
	field_init(&field, WORKERS);
	field_fill(&field, POLICY_LEAST_CONNECTIONS);
}

static void
route(uint64_t n)
{
	(void)n;
	field_step(&field, POLICY_LEAST_CONNECTIONS);
}

static void
route_end(void)
{
	field_done(&field);
}

/* hit: the key of a request, what the memory tier has for it, and the answer in it. */

static struct l1 *l1;

static void
hit_key(uint64_t n, uint8_t ret[CACHE_KEY_BYTES])
{
	struct generate_request asked = request;

	asked.seed = (struct opt_i64){ true, (int64_t)(n % ENTRIES) };
	must(cache_key_make(&asked, "acme", "", ret), "cache_key_make()");
}

static void
hit_begin(void)
{
	struct answer *answer = router_answer_new(65536);
	struct buf kept = { 0 };
	struct im_err err;

	must(l1_new((size_t)16 * 1024 * 1024, &l1) == IM_OK, "l1_new()");
	must(answer != NULL && router_answer_add(answer, &frame, &err) == IM_OK,
	     "router_answer_add()");
	router_answer_value_encode(answer, &usage, &kept);
	for (uint64_t n = 0; n < ENTRIES; n++) {
		uint8_t key[CACHE_KEY_BYTES];
		struct value_meta meta = { .key = key,
					   .created_us = TIME_US,
					   .expires_us = 2 * TIME_US };
		struct buf value = { 0 };

		hit_key(n, key);
		must(value_pack(&meta, kept.data, kept.len, &value) == IM_OK &&
			 l1_put(l1, key, value.data, value.len, 1, 3600000) == IM_OK,
		     "l1_put()");
		buf_done(&value);
	}
	buf_done(&kept);
	router_answer_free(answer);
}

static void
hit(uint64_t n)
{
	uint8_t key[CACHE_KEY_BYTES];
	struct generate_frame found_frame;
	struct buf payload = { 0 };
	struct l1_found found;
	struct usage used;
	struct arena arena;
	struct im_err err;

	hit_key(n, key);
	arena_init(&arena, ARENA_MAX);
	must(l1_get(l1, key, 2, &found) &&
		 value_unpack(key, found.data, found.len, ARENA_MAX, NULL, &payload) == IM_OK &&
		 router_answer_value_decode(payload.data, payload.len, &arena, &found_frame, &used,
					    &err) == IM_OK,
	     "a hit");
	arena_done(&arena);
	buf_done(&payload);
}

static void
hit_end(void)
{
	l1_free(l1);
}

/* record: both events of a request, from the router's encoding to two records of a frame, with commitments and leaf hashes. Frames are
 * not written: that is the disk's part. */

static struct testlog testlog;
static struct audit_log *audit_log;

static uint64_t
still(void)
{
	return TIME_US;
}

static void
record_begin(void)
{
	testlog_init(&testlog);
	testlog.now_us = still;
	testlog.batch_records = AUDIT_EVENTS_MAX;
	audit_log = testlog_open(&testlog);
	must(audit_log != NULL, "audit_log_open()");
}

static void
record(uint64_t n)
{
	struct audit_event events[2];
	struct audit_append append = { events, 2 };
	struct buf bytes = { 0 };
	struct arena arena;
	struct im_err err;
	uint64_t number;

	testlog_event(&events[0], RECORD_REQUEST, n);
	testlog_event(&events[1], RECORD_RESPONSE, n);
	events[1].has_input = true; /* as the router says it, both times */
	audit_append_encode(&append, &bytes);
	arena_init(&arena, ARENA_MAX);
	must(buf_ok(&bytes) &&
		 audit_append_decode(bytes.data, bytes.len, &arena, &append, &err) == IM_OK &&
		 audit_log_add(audit_log, &append.events[0], &number, &err) == IM_OK &&
		 audit_log_add(audit_log, &append.events[1], &number, &err) == IM_OK,
	     "a record");
	arena_done(&arena);
	buf_done(&bytes);
}

static void
record_end(void)
{
	audit_log_close(audit_log);
	testlog_done(&testlog);
}

static void
nothing(void)
{
}

static const struct path {
	const char *name;
	void (*begin)(void);
	void (*step)(uint64_t n);
	void (*end)(void);
} paths[] = {
	{ "parse", nothing, parse, nothing },           { "encode", nothing, encode, nothing },
	{ "route", route_begin, route, route_end },     { "hit", hit_begin, hit, hit_end },
	{ "record", record_begin, record, record_end },
};

void path_counted(void (*step)(uint64_t n), uint64_t n);

/* What is counted, by its name: so it must stay a function of its own. */
__attribute__((noinline)) void
path_counted(void (*step)(uint64_t n), uint64_t n)
{
	step(n);
}

int
main(int argc, char **argv)
{
	static struct arena arena;
	struct chat_request chat;
	struct im_err err;

	(void)snprintf(http, sizeof(http),
		       "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
		       "Accept: application/json\r\nContent-Type: application/json\r\n"
		       "Authorization: Bearer sk-0123456789abcdef\r\nUser-Agent: path_cost/1\r\n"
		       "Content-Length: %zu\r\n\r\n%s",
		       strlen(BODY), BODY);
	must(chat_request_parse(OPERATION_CHAT, (const uint8_t *)BODY, strlen(BODY), &arena, &chat,
				&err) == IM_OK,
	     "the request");
	request = chat.generate;
	request.request_id = REQUEST_ID;
	request.caller = "alice";
	request.tenant = "acme";
	for (size_t i = 0; argc == 3 && i < sizeof(paths) / sizeof(paths[0]); i++) {
		const struct path *p = &paths[i];
		uint64_t times = strtoull(argv[2], NULL, 10);

		if (strcmp(p->name, argv[1]) != 0)
			continue;
		p->begin();
		for (uint64_t n = 0; n < WARM_UP; n++)
			p->step(n);
		for (uint64_t n = 0; n < times; n++)
			path_counted(p->step, WARM_UP + n);
		p->end();
		arena_done(&arena);
		return 0;
	}
	(void)fprintf(stderr, "usage: path_cost parse|encode|route|hit|record TIMES\n");
	return 2;
}
