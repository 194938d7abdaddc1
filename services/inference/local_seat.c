/*
 * inference/local_seat.c - one choice on its sequence: sampling, text, the end; see local_engine.h. On the decode thread.
 */
#include <stdlib.h>

#include <llama.h>

#include "inference/local_engine.h"

#define PIECE_BYTES     256 /* nearly every token's text */
#define PIECE_BYTES_MAX 65536

/* Nobody sits there. What the sequence holds stays. */
static void
empty(struct seat *s)
{
	*s = (struct seat){ .past = s->past, .output = -1 };
}

static void put_echo(struct engine *e, struct seat *s);

bool
seat_take(struct engine *e, const struct prefix_choice *c, struct job *job, struct im_err *err)
{
	struct seat *s = &e->seats[c->seat];

	empty(s);
	s->job = job;
	s->choice = job->started;
	s->prompt = job_prompt(job, s->choice);
	if (!sample_begin(e, s, err)) {
		empty(s);
		return false;
	}
	s->age = s->past.used = e->next_age++;
	s->logprobs.top = job->params.top_logprobs;
	s->logprobs.legacy = job->params.legacy_logprobs;
	s->text.stops = (const char *const *)job->stops;
	s->text.stop_count = job->stop_count;
	job->started++;
	atomic_fetch_add(&e->stats.seated, 1);
	reuse_begin(e, c);
	if (job->echo)
		put_echo(e, s);
	return true;
}

void
job_touch(struct engine *e, struct job *job)
{
	if (!list_linked(&job->touched_node))
		list_push_back(&e->touched, &job->touched_node);
}

void
job_end(struct engine *e, struct job *job, const struct im_err *err)
{
	if (err != NULL && !job->failed) {
		job->failed = true;
		job->err = *err;
	}
	job->ending = true;
	job_touch(e, job);
}

static void
job_no_memory(struct engine *e, struct job *job)
{
	struct im_err err;

	(void)err_set(&err, IM_ENOMEM, "no memory for the answer; try again later");
	job_end(e, job, &err);
}

/* Append a piece: its head, the text that 'text' holds, and the logprobs of that. */
static void
put_piece(struct engine *e, struct seat *s, const struct buf *text, enum finish finish)
{
	struct piece p = { .choice = s->choice, .first = !s->said, .finish = finish };
	struct buf json = BUF_INIT(0);
	struct job *job = s->job;

	if (job->params.logprobs && !logprobs_take(&s->logprobs, s->text.given, &json))
		job_no_memory(e, job);
	p.len = text != NULL ? (uint32_t)text->len : 0;
	p.logprobs_len = (uint32_t)json.len;
	s->said = true;
	(void)buf_append(&job->stage, &p, sizeof(p));
	if (p.len > 0)
		(void)buf_append(&job->stage, text->data, p.len);
	if (p.logprobs_len > 0)
		(void)buf_append(&job->stage, json.data, json.len);
	buf_done(&json);
	job_touch(e, job);
}

/* The prompt in front of the completion, as its caller wrote it; that of tokens is their text. */
static void
put_echo(struct engine *e, struct seat *s)
{
	struct job *job = s->job;
	size_t i = s->choice / job->params.choices_each;
	const struct local_input *in = &job->inputs.list[i];
	struct buf text = BUF_INIT(0);
	bool ok = true;

	if (in->tokens)
		ok = inputs_text(e->model, s->prompt->at, s->prompt->count, &text);
	else if (in->len > 0)
		ok = buf_append(&text, job->inputs.bytes.data + in->from, in->len);
	if (!ok)
		job_no_memory(e, job);
	else if (text.len > 0)
		put_piece(e, s, &text, FINISH_NONE);
	buf_done(&text);
}

void
seat_leave(struct engine *e, uint32_t index, enum finish finish)
{
	struct seat *s = &e->seats[index];
	struct job *job = s->job;
	struct buf text = BUF_INIT(0);
	bool ok;

	if (finish != FINISH_NONE) {
		ok = local_text_finish(&s->text, &text) && buf_ok(&text);
		/* The role comes first and on its own: the end is never in the first piece. */
		if (text.len > 0 || !s->said)
			put_piece(e, s, &text, FINISH_NONE);
		put_piece(e, s, NULL, finish);
		if (!ok || !buf_ok(&job->stage))
			job_no_memory(e, job);
	}
	buf_done(&text);
	job->usage.completion_tokens += s->generated;
	job->finished++;
	sample_end(s);
	local_text_done(&s->text);
	logprobs_done(&s->logprobs);
	if (!e->model->reuse)
		reuse_forget(e, index);
	empty(s);
	atomic_fetch_sub(&e->stats.seated, 1);
	if (finish != FINISH_NONE && job->finished == job->params.choices)
		job_end(e, job, NULL);
}

/* The bytes of 'token' into the text. False when memory ran out. */
static bool
take_token(struct engine *e, struct seat *s, llama_token token, struct buf *out)
{
	char small[PIECE_BYTES];
	char *large = NULL;
	int32_t n = llama_token_to_piece(e->model->vocab, token, small, sizeof(small), 0, false);
	bool ok;

	if (n >= 0)
		return local_text_push(&s->text, small, (size_t)n, out);
	if (n < -PIECE_BYTES_MAX)
		return true; /* no such token exists in a sane vocabulary */
	large = malloc((size_t)-n);
	if (large == NULL)
		return false;
	n = llama_token_to_piece(e->model->vocab, token, large, -n, 0, false);
	ok = n < 0 || local_text_push(&s->text, large, (size_t)n, out);
	free(large);
	return ok;
}

/* One that goes on when its context is full would do so for ever unless the caller said how far. */
static uint32_t
tokens_max(const struct engine *e, const struct job *job)
{
	return job->params.max_tokens == UINT32_MAX ? e->model->context_tokens
						    : job->params.max_tokens;
}

void
seat_sample(struct engine *e, uint32_t index)
{
	struct seat *s = &e->seats[index];
	struct job *job = s->job;
	struct buf text = BUF_INIT(0);
	struct im_err err;
	int32_t token = 0;

	if (job->params.max_tokens == 0) {
		seat_leave(e, index, FINISH_LENGTH);
		return;
	}
	if (!sample_next(e, s, &token, &err)) {
		job_end(e, job, &err);
		return;
	}
	if (llama_vocab_is_eog(e->model->vocab, token)) {
		seat_leave(e, index, FINISH_STOP);
		return;
	}
	s->last = token;
	s->generated++;
	atomic_fetch_add(&e->stats.generated_tokens, 1);
	if (job->params.logprobs &&
	    !logprobs_add(&s->logprobs, e->model->vocab,
			  llama_get_logits_ith(e->model->context, s->output), token,
			  s->text.given + s->text.held.len))
		job_no_memory(e, job);
	else if (!take_token(e, s, token, &text) || !buf_ok(&text))
		job_no_memory(e, job);
	else if (text.len > 0 || !s->said)
		put_piece(e, s, &text, FINISH_NONE);
	buf_done(&text);
	if (s->text.stopped)
		seat_leave(e, index, FINISH_STOP);
	else if (s->generated >= tokens_max(e, job) ||
		 (s->fed >= e->model->context_tokens && !reuse_slide(e, index)))
		seat_leave(e, index, FINISH_LENGTH);
}
