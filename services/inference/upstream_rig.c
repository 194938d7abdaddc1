/*
 * inference/upstream_rig.c - see upstream_rig.h.
 */
#include "inference/upstream_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/upstream.h"
#include "wire/float32.h"

#define OK_SSE   "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8"
#define OK_JSON  "HTTP/1.1 200 OK\r\nContent-Type: application/json"
#define DELTA(d) "data: {\"choices\":[{\"index\":0,\"delta\":" d "}]}\n\n"
#define FINISH                                                                                     \
	"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":"    \
	"{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n"
#define DONE  "data: [DONE]\n\n"
#define HELLO DELTA("{\"role\":\"assistant\",\"content\":\"Hel\"}") DELTA("{\"content\":\"lo\"}")

#define HELLO_JSON                                                                                       \
	"{\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\"," \
	"\"content\":\"Hello\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,"            \
	"\"completion_tokens\":2}}"
#define HI_JSON   "{\"choices\":[{\"message\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}"
#define TOO_LARGE "{\"error\":{\"message\":\"too large\"}}"

static char big_piece[1200];

static struct fake_reply replies[] = {
	{ "stream", OK_SSE, ": hi\n\n" HELLO FINISH DONE, FAKE_CHUNKED, 0 },
	{ "mislabelled", "HTTP/1.1 200 OK\r\nContent-Type: text/plain", HELLO FINISH DONE,
	  FAKE_CHUNKED, 0 },
	{ "lingers", OK_SSE, HELLO FINISH DONE, FAKE_CHUNKED_HANG, 0 },
	{ "json", OK_JSON, "\n\n\n" HELLO_JSON, FAKE_CHUNKED, 0 },
	{ "cut", OK_SSE, HELLO, FAKE_CHUNKED_CUT, 0 },
	{ "no-done", OK_SSE, HELLO FINISH, FAKE_CHUNKED, 0 },
	{ "error", OK_SSE, HELLO "data: {\"error\":{\"message\":\"CUDA\"}}\n\n", FAKE_CHUNKED, 0 },
	{ "bad-json", OK_SSE, "data: {nope\n\n", FAKE_CHUNKED, 0 },
	{ "page", "HTTP/1.1 200 OK\r\nContent-Type: text/html", "<html>", FAKE_LENGTH, 0 },
	{ "empty", OK_JSON, "", FAKE_LENGTH, 0 },
	{ "cut-json", OK_JSON, "{\"choices\":[", FAKE_LENGTH, 0 },
	{ "torn-json", OK_JSON, "\n{\"choices\":[", FAKE_CHUNKED_CUT, 0 },
	{ "limit", "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7",
	  "{\"error\":{\"message\":\"slow\"}}", FAKE_LENGTH, 0 },
	{ "broken", "HTTP/1.1 500 Oops", "<html>", FAKE_LENGTH, 0 },
	{ "huge-error", "HTTP/1.1 400 Bad", "xxxxxxxxxxxxxxxx", FAKE_LENGTH, 65536 },
	{ "redirect", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/", "", FAKE_LENGTH, 0 },
	{ "key", "HTTP/1.1 401 No", "{\"error\":{\"message\":\"key sk-test is bad\"}}", FAKE_LENGTH,
	  0 },
	{ "hang", "", "", FAKE_HANG, 0 },
	{ "drip", OK_SSE, HELLO, FAKE_CHUNKED_HANG, 0 },
	{ "once", OK_JSON, HI_JSON, FAKE_LENGTH_ONCE, 0 },
	{ "stray", OK_JSON, HI_JSON, FAKE_LENGTH_STRAY, 0 },
	{ "late-stray", OK_JSON, HI_JSON, FAKE_LENGTH_LATE_STRAY, 0 },
	{ "big", OK_SSE, big_piece, FAKE_CHUNKED_CUT, BIG_PIECES },
	{ "vectors", OK_JSON,
	  "{\"object\":\"list\",\"data\":[{\"index\":1,\"embedding\":[3,4]},{\"index\":0,\"embedding\":\"AACAPwAAAEA=\"}],"
	  "\"usage\":{\"prompt_tokens\":7,\"total_tokens\":7}}",
	  FAKE_CHUNKED, 0 },
	/* What HTTP allows besides. */
	{ "hints",
	  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" OK_SSE,
	  HELLO FINISH DONE, FAKE_CHUNKED, 0 },
	{ "closes", OK_JSON "\r\nConnection: close", HELLO_JSON, FAKE_LENGTH, 0 },
	{ "old", "HTTP/1.0 200 OK\r\nContent-Type: application/json", HELLO_JSON, FAKE_LENGTH, 0 },
	{ "until-close", OK_SSE, HELLO FINISH DONE, FAKE_CLOSE, 0 },
	{ "until-close-json", "HTTP/1.0 200 OK", HELLO_JSON, FAKE_CLOSE, 0 },
	{ "cut-close", OK_JSON, "{\"choices\":[", FAKE_CLOSE, 0 },
	/* Before the whole request is there. */
	{ "slow", OK_JSON, HELLO_JSON, FAKE_SLOW, 0 },
	{ "early", OK_SSE, HELLO FINISH DONE, FAKE_EARLY, 0 },
	{ "early-413", "HTTP/1.1 413 Content Too Large\r\nConnection: close", TOO_LARGE, FAKE_EARLY,
	  0 },
	{ "gone-413", "HTTP/1.1 413 Content Too Large", TOO_LARGE, FAKE_EARLY_CLOSE, 0 },
	{ "/models", OK_JSON,
	  "{\"object\":\"list\",\"data\":[{\"id\":\"stream\",\"owned_by\":\"x\"},{\"id\":\"b\"},{\"noise\":1}]}",
	  FAKE_LENGTH, 0 },
	{ NULL, NULL, NULL, FAKE_HANG, 0 },
};

struct rig rig;

static void
on_resume(void *arg)
{
	struct result *r = arg;

	if (!r->ended)
		backend_upstream.pause(r->job, false);
}

static void
on_frame(void *user, const struct generate_frame *frame)
{
	struct result *r = user;

	assert_false(r->ended);
	r->frames++;
	for (size_t i = 0; i < frame->delta_count; i++) {
		const struct delta *d = &frame->deltas[i];

		if (d->role[0] != '\0')
			(void)buf_append_byte(&r->text, 'R');
		(void)buf_append_str(&r->text, d->content);
		for (size_t k = 0; k < d->embedding.len; k += FLOAT32_BYTES)
			(void)buf_printf(&r->text, "%g,",
					 (double)float32_get(d->embedding.data + k));
		if (d->finish_reason[0] != '\0')
			(void)buf_append_byte(&r->text, 'F');
	}
	if (r->cancel_at_frame) {
		r->ended = true;
		backend_upstream.cancel(r->job);
		loop_stop(rig.loop);
	} else if (r->pause_at_frame) {
		backend_upstream.pause(r->job, true);
		loop_post(rig.loop, &r->resume);
	}
	if (r->stop_at_frame)
		loop_stop(rig.loop);
}

static void
on_end(void *user, const struct im_err *err, const struct usage *usage)
{
	struct result *r = user;

	assert_false(r->ended);
	r->ended = true;
	r->failed = err != NULL;
	r->has_usage = usage != NULL;
	if (err != NULL)
		r->err = *err;
	if (usage != NULL)
		r->usage = *usage;
	loop_stop(rig.loop);
}

static const struct job_ops job_ops = { .frame = on_frame, .end = on_end };

static void
on_alarm(void *arg)
{
	(void)arg;
	(void)fprintf(stderr, "nothing happened within 20 s\n");
	abort(); /* cmocka's jump out of a callback would leave the loop held */
}

void
rig_run_until(const bool *done)
{
	loop_enter(rig.loop);
	assert_int_equal(loop_timer_set(rig.loop, &rig.alarm, 20000000), IM_OK);
	loop_leave(rig.loop);
	while (!*done)
		loop_run(rig.loop);
	loop_enter(rig.loop);
	loop_timer_cancel(rig.loop, &rig.alarm);
	loop_leave(rig.loop);
}

static void
on_stopped(void *arg)
{
	(void)arg;
	rig.stopped = true;
	loop_stop(rig.loop);
}

enum im_rc
rig_backend_start(const char *members, struct im_err *err)
{
	char yaml[2048];
	enum im_rc rc;

	(void)snprintf(
	    yaml, sizeof(yaml),
	    "workers:\n  - name: w\n    backend: upstream\n    url: http://127.0.0.1:%u/v1/\n%s",
	    fake_server_port(rig.server), members);
	config_free(rig.config);
	rig.config = NULL;
	rc = config_parse("test.yaml", yaml, strlen(yaml), &rig.config, err);
	if (rc != IM_OK)
		return rc;
	loop_enter(rig.loop);
	rc = backend_upstream.start(rig.loop, config_item(rig.config, "workers", 0), &rig.b, err);
	loop_leave(rig.loop);
	if (rc == IM_OK)
		assert_ptr_equal(rig.b->carrier, rig.by_curl ? &carrier_curl : &carrier_plain);
	return rc;
}

void
rig_backend_stop(void)
{
	rig.stopped = false;
	rig.whole = false;
	rig.content = NULL;
	rig.operation = OPERATION_CHAT;
	loop_enter(rig.loop);
	backend_upstream.stop(rig.b, on_stopped, NULL);
	loop_leave(rig.loop);
	rig_run_until(&rig.stopped);
	assert_true(fake_server_wait_open(rig.server, 0));
}

/* A proxy of the environment has requests carried by libcurl, also where there is none on the way because of a range that it alone reads. */
static void
set_environment(bool by_curl)
{
	static const char *const names[] = { "http_proxy", "https_proxy", "HTTPS_PROXY",
					     "all_proxy", "ALL_PROXY" };

	/* NOLINTBEGIN(concurrency-mt-unsafe): before any thread */
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unsetenv(names[i]);
	(void)setenv("no_proxy", "127.0.0.0/8", 1);
	if (by_curl)
		(void)setenv("http_proxy", "http://127.0.0.1:1", 1);
	/* NOLINTEND(concurrency-mt-unsafe) */
}

static int
setup(bool by_curl)
{
	(void)snprintf(big_piece, sizeof(big_piece),
		       "data: {\"choices\":[{\"delta\":{\"content\":\"%01024d\"}}]}\n\n", 0);
	set_environment(by_curl);
	rig.by_curl = by_curl;
	rig.alarm.fn = on_alarm;
	rig.server = fake_server_start(replies);
	return rig.server != NULL && loop_new(&rig.loop, NULL) == IM_OK ? 0 : -1;
}

int
rig_setup(void **state)
{
	(void)state;
	return setup(false);
}

int
rig_setup_by_curl(void **state)
{
	(void)state;
	return setup(true);
}

int
rig_teardown(void **state)
{
	(void)state;
	fake_server_stop(rig.server);
	config_free(rig.config);
	loop_free(rig.loop);
	memset(&rig, 0, sizeof(rig));
	return 0;
}

enum im_rc
rig_submit(const char *model, uint32_t budget_ms, struct result *r)
{
	struct message m = { .role = "user", .content = rig.content != NULL ? rig.content : "hi" };
	struct input inputs[2] = { { .text = "a" }, { .text = "b" } };
	struct generate_request req = { .model = model,
					.operation = rig.operation,
					.stream = !rig.whole,
					.request_id = "0123456789abcdef0123456789abcdef",
					.tenant = "t" };
	enum im_rc rc;

	if (rig.operation == OPERATION_CHAT) {
		req.messages = &m;
		req.message_count = 1;
	} else {
		req.inputs = inputs;
		req.input_count = 2;
	}
	r->resume.fn = on_resume;
	r->resume.arg = r;
	loop_enter(rig.loop);
	rc = backend_upstream.submit(rig.b, &req, budget_ms,
				     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
				     &job_ops, r, &r->job, &r->err);
	loop_leave(rig.loop);
	return rc;
}

void
rig_run(const char *model, uint32_t budget_ms, struct result *r)
{
	memset(r, 0, sizeof(*r));
	assert_int_equal(rig_submit(model, budget_ms, r), IM_OK);
	rig_run_until(&r->ended);
}
