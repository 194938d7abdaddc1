/*
 * inference/local_rig.c - for tests; see local_rig.h. Callbacks may run in the decode thread, where a failed assertion of
 * cmocka cannot jump back: there it is abort().
 */
#include "inference/local_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

#define PATIENCE_US 60000000ULL

static void
give_up(void *arg)
{
	(void)arg;
	(void)fprintf(stderr, "an answer did not end within a minute\n");
	abort();
}

static void
one_ended(struct rig *r)
{
	if (--r->open == 0)
		loop_stop(r->loop);
}

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "%s\n", what);
	abort();
}

static void
take_delta(struct answer *a, const struct delta *d)
{
	uint32_t i = d->index;

	must(i < RIG_CHOICES, "index of a choice");
	must(a->finish[i] == NULL, "nothing after the finish reason");
	must(a->role[i] == (d->role[0] == '\0'), "the role in the first delta, and only there");
	must(d->role[0] == '\0' || strcmp(d->role, "assistant") == 0, "role");
	must(d->finish_reason[0] == '\0' || d->role[0] == '\0',
	     "the finish reason in a later delta");
	must(utf8_valid(d->content, strlen(d->content)), "a delta is whole UTF-8");
	a->role[i] = true;
	must(buf_append_str(&a->text[i], d->content), "memory");
	if (d->logprobs_json[0] != '\0') {
		static const char before[] = "{\"content\":[";
		size_t len = strlen(d->logprobs_json);

		must(strncmp(d->logprobs_json, before, sizeof(before) - 1) == 0, "logprobs");
		must(buf_append_byte(&a->logprobs, a->logprobs.len == 0 ? '[' : ',') &&
			 buf_append(&a->logprobs, d->logprobs_json + sizeof(before) - 1,
				    len - (sizeof(before) - 1) - 2),
		     "memory");
	}
	if (d->finish_reason[0] != '\0')
		a->finish[i] = strcmp(d->finish_reason, "stop") == 0 ? "stop" : "length";
}

static void
on_frame(void *user, const struct generate_frame *frame)
{
	struct answer *a = user;

	must(loop_is_held(a->rig->loop), "frames come on the loop");
	must(!a->ended && !a->cancelled, "no frame after the end");
	for (size_t i = 0; i < frame->delta_count; i++)
		take_delta(a, &frame->deltas[i]);
	if (a->frames++ == 0 && a->beside != NULL)
		a->beside_frames = a->beside->frames;
	if (a->frames == a->pause_at)
		backend_local.pause(a->job, true);
	if (a->frames == a->cancel_at) {
		a->cancelled = true;
		backend_local.cancel(a->job);
		one_ended(a->rig);
	}
}

static void
on_end(void *user, const struct im_err *err, const struct usage *usage)
{
	struct answer *a = user;

	must(loop_is_held(a->rig->loop), "the end comes on the loop");
	must(!a->ended && !a->cancelled, "one end, and none after a cancel");
	a->ended = true;
	must(a->logprobs.len == 0 || buf_append_byte(&a->logprobs, ']'), "memory");
	a->failed = err != NULL;
	if (err != NULL)
		a->err = *err;
	a->usage = *usage;
	one_ended(a->rig);
}

static const struct config *
parse(struct rig *r, const char *yaml)
{
	char text[2048];
	struct im_err err;
	int n;

	if (yaml == NULL)
		return NULL;
	n = snprintf(text, sizeof(text), "workers:\n  - name: w\n    backend: local\n%s", yaml);
	assert_true(n > 0 && n < (int)sizeof(text));
	if (config_parse("test", text, (size_t)n, &r->config, &err) != IM_OK)
		fail_msg("%s", err.text);
	return config_item(r->config, "workers", 0);
}

static enum im_rc
try_start(struct rig *r, const char *yaml, struct im_err *err)
{
	const struct config *item;
	enum im_rc rc;

	*r = (struct rig){ .deadline = { .fn = give_up } };
	assert_int_equal(loop_new(&r->loop, err), IM_OK);
	item = parse(r, yaml);
	loop_enter(r->loop);
	rc = backend_local.start(r->loop, item, &r->backend, err);
	loop_leave(r->loop);
	return rc;
}

void
rig_start(struct rig *r, const char *yaml)
{
	struct im_err err;

	if (try_start(r, yaml, &err) != IM_OK)
		fail_msg("%s", err.text);
}

struct im_err
rig_start_fails(const char *yaml)
{
	struct rig r;
	struct im_err err;

	assert_int_not_equal(try_start(&r, yaml, &err), IM_OK);
	loop_free(r.loop);
	config_free(r.config);
	return err;
}

static void
on_stopped(void *arg)
{
	struct rig *r = arg;

	r->stopped = true;
	loop_stop(r->loop);
}

static void
run(struct rig *r)
{
	loop_enter(r->loop);
	assert_int_equal(loop_timer_set(r->loop, &r->deadline, PATIENCE_US), IM_OK);
	loop_leave(r->loop);
	loop_run(r->loop);
	loop_enter(r->loop);
	loop_timer_cancel(r->loop, &r->deadline);
	loop_leave(r->loop);
}

void
rig_stop(struct rig *r)
{
	loop_enter(r->loop);
	backend_local.stop(r->backend, on_stopped, r);
	loop_leave(r->loop);
	while (!r->stopped)
		run(r);
	loop_free(r->loop);
	config_free(r->config);
}

void
rig_run(struct rig *r)
{
	bool waiting;

	do { /* a stop of a run before may still be on its way */
		loop_enter(r->loop);
		waiting = r->open > 0;
		loop_leave(r->loop);
		if (waiting)
			run(r);
	} while (waiting);
}

void
answer_init(struct answer *a, struct rig *r, const char *user)
{
	*a = (struct answer){ .rig = r };
	a->messages[0] = (struct message){ .role = "user", .content = user };
	a->req = (struct generate_request){
		.model = "demo",
		.messages = a->messages,
		.message_count = 1,
		.temperature = { true, 0 },
		.max_tokens = { true, 40 },
	};
}

void
answer_endless(struct answer *a)
{
	a->req.extra_json = "{\"logit_bias\":{\"2047\":-100}}"; /* <|im_end|> */
}

void
answer_done(struct answer *a)
{
	for (size_t i = 0; i < RIG_CHOICES; i++)
		buf_done(&a->text[i]);
	buf_done(&a->logprobs);
}

enum im_rc
answer_submit(struct answer *a)
{
	static const struct job_ops ops = { .frame = on_frame, .end = on_end };
	enum im_rc rc;

	loop_enter(a->rig->loop);
	rc = backend_local.submit(a->rig->backend, &a->req, a->budget_ms, "", &ops, a, &a->job,
				  &a->err);
	if (rc == IM_OK)
		a->rig->open++;
	loop_leave(a->rig->loop);
	return rc;
}

const char *
answer_ask(struct answer *a)
{
	if (answer_submit(a) != IM_OK)
		fail_msg("%s", a->err.text);
	rig_run(a->rig);
	if (a->failed)
		fail_msg("%s", a->err.text);
	return buf_cstr(&a->text[0]);
}
