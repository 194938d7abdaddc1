/*
 * inference/local_embed_rig.c - for tests; see local_embed_rig.h.
 */
#include "inference/local_embed_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <llama.h>

#include "inference/local_model.h"
#include "wire/float32.h"

struct rig embed_rig;

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "%s\n", what);
	abort();
}

static void
one_ended(void)
{
	if (--embed_rig.open == 0)
		loop_stop(embed_rig.loop);
}

static void
on_frame(void *user, const struct generate_frame *frame)
{
	struct vectors *v = user;

	must(!v->ended && !v->finished && frame->delta_count == 1, "frames before the end only");
	v->finished = frame->deltas[0].finish_reason[0] != '\0';
	if (!v->finished)
		v->dimensions = frame->dimensions;
	must(buf_append(&v->numbers, frame->deltas[0].embedding.data,
			frame->deltas[0].embedding.len),
	     "memory");
	if (++v->frames == v->pause_at)
		backend_local.pause(v->job, true);
	if (v->frames == v->cancel_at) {
		backend_local.cancel(v->job);
		v->ended = true;
		one_ended();
	}
}

static void
on_end(void *user, const struct im_err *err, const struct usage *usage)
{
	struct vectors *v = user;

	v->ended = true;
	v->failed = err != NULL;
	if (err != NULL)
		v->err = *err;
	v->usage = *usage;
	one_ended();
}

void
vectors_init(struct vectors *v, const char *text)
{
	*v = (struct vectors){ 0 };
	v->req = (struct generate_request){ .model = "demo",
					    .operation = OPERATION_EMBEDDING,
					    .inputs = v->inputs,
					    .input_count = 1 };
	v->inputs[0].text = text;
}

enum im_rc
vectors_submit(struct vectors *v)
{
	static const struct job_ops ops = { .frame = on_frame, .end = on_end };
	enum im_rc rc;

	loop_enter(embed_rig.loop);
	rc = backend_local.submit(embed_rig.backend, &v->req, 0, "", &ops, v, &v->job, &v->err);
	embed_rig.open += rc == IM_OK;
	loop_leave(embed_rig.loop);
	return rc;
}

void
vectors_ask(struct vectors *v)
{
	if (vectors_submit(v) != IM_OK)
		fail_msg("%s", v->err.text);
	rig_run(&embed_rig);
	if (v->failed)
		fail_msg("%s", v->err.text);
	assert_true(v->finished);
	assert_int_equal(v->numbers.len, v->req.input_count * v->dimensions * FLOAT32_BYTES);
}

float
vectors_number(const struct vectors *v, size_t input, uint32_t i)
{
	return float32_get(v->numbers.data + (input * v->dimensions + i) * FLOAT32_BYTES);
}

double
vectors_likeness(const struct vectors *a, size_t i, const struct vectors *b, size_t k)
{
	double sum = 0;

	assert_int_equal(a->dimensions, b->dimensions);
	for (uint32_t d = 0; d < a->dimensions; d++)
		sum += (double)vectors_number(a, i, d) * (double)vectors_number(b, k, d);
	return sum;
}

void
vectors_reference(const char *file, const char *text, double ret[RIG_DIMENSIONS],
		  uint32_t *ret_tokens)
{
	struct local_model_params params = { .file = file, .context_tokens = 512, .sequences = 1 };
	struct llama_context_params cp = llama_context_default_params();
	struct local_model model;
	struct llama_context *context;
	llama_token tokens[512];
	const float *pooled;
	struct im_err err;
	double norm = 0;
	int32_t n;

	assert_int_equal(local_model_load(&params, &model, &err), IM_OK);
	n = llama_tokenize(model.vocab, text, (int32_t)strlen(text), tokens, 512, true, false);
	assert_true(n > 0);
	cp.n_ctx = cp.n_batch = cp.n_ubatch = 512;
	cp.n_threads = cp.n_threads_batch = 1;
	cp.embeddings = true;
	cp.pooling_type = LLAMA_POOLING_TYPE_MEAN;
	context = llama_init_from_model(model.llama, cp);
	assert_non_null(context);
	assert_int_equal(llama_decode(context, llama_batch_get_one(tokens, n)), 0);
	pooled = llama_get_embeddings_seq(context, 0);
	assert_non_null(pooled);
	for (int32_t i = 0; i < llama_model_n_embd_out(model.llama); i++)
		norm += (double)pooled[i] * (double)pooled[i];
	for (int32_t i = 0; i < llama_model_n_embd_out(model.llama); i++)
		ret[i] = (double)pooled[i] / sqrt(norm);
	*ret_tokens = (uint32_t)n;
	llama_free(context);
	local_model_done(&model);
}

uint32_t
vectors_expect_reference(const char *file, const char *text)
{
	static double want[RIG_DIMENSIONS];
	struct vectors v;
	uint32_t tokens;

	vectors_init(&v, text);
	vectors_ask(&v);
	assert_in_range(v.dimensions, 1, RIG_DIMENSIONS);
	vectors_reference(file, text, want, &tokens);
	assert_int_equal(v.usage.prompt_tokens, tokens);
	assert_int_equal(v.usage.completion_tokens, 0);
	for (uint32_t i = 0; i < v.dimensions; i++)
		assert_true(fabs((double)vectors_number(&v, 0, i) - want[i]) < 2e-3);
	buf_done(&v.numbers);
	return tokens;
}
