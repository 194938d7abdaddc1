/*
 * inference/local_job.c - a request made ready for the local backend, and its end; see local_engine.h. On the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llama.h>

#include "inference/local_engine.h"
#include "inference/local_grammar.h"
#include "wire/float32.h"

#define STOP_BYTES 4096 /* of one stop string */

void
job_free(struct job *job)
{
	if (job == NULL)
		return;
	prompt_done(&job->prompt);
	inputs_done(&job->inputs);
	local_bias_done(&job->bias);
	for (size_t i = 0; i < job->stop_count; i++)
		free(job->stops[i]);
	free(job->stops);
	for (size_t i = 0; job->runs != NULL && i < job->run_count; i++)
		free(job->runs[i].at);
	if (job->runs != &job->one)
		free(job->runs);
	free(job->grammar);
	buf_done(&job->stage);
	buf_done(&job->out);
	free(job);
}

static enum im_rc
copy_stops(struct job *job, const struct generate_request *req, struct im_err *err)
{
	if (req->stop_count == 0)
		return IM_OK;
	job->stops = calloc(req->stop_count, sizeof(*job->stops));
	for (size_t i = 0; job->stops != NULL && i < req->stop_count; i++) {
		if (strlen(req->stop[i]) > STOP_BYTES) {
			(void)err_set(err, IM_EINVAL, "a stop string has at most %d bytes",
				      STOP_BYTES);
			if (err != NULL)
				(void)snprintf(err->param, sizeof(err->param), "stop[%zu]", i);
			return IM_EINVAL;
		}
		job->stops[i] = strdup(req->stop[i]);
		if (job->stops[i] == NULL)
			break;
		job->stop_count++;
	}
	if (job->stop_count < req->stop_count)
		return err_set(err, IM_ENOMEM, "no memory for the request; try again later");
	return IM_OK;
}

static enum im_rc
make_grammar(struct job *job, const char *format_json, struct im_err *err)
{
	struct buf text = BUF_INIT(GRAMMAR_MAX);
	enum im_rc rc;

	if (format_json == NULL || format_json[0] == '\0')
		return IM_OK;
	rc = grammar_from_format(format_json, &text, err);
	if (rc == IM_OK && text.len > 0) {
		job->grammar = strdup(buf_cstr(&text));
		if (job->grammar == NULL)
			rc = err_set(err, IM_ENOMEM, "no memory for the request; try again later");
	}
	buf_done(&text);
	return rc;
}

/* Can 'model' generate what is asked for? */
static enum im_rc
check_kind(const struct local_model *model, const struct generate_request *req, struct im_err *err)
{
	const char *text = NULL;

	if (model->vectors_only)
		text = "this model generates no text, only vectors; ask /v1/embeddings";
	else if (req->operation == OPERATION_CHAT && model->chat.text == NULL)
		text =
		    "this model has no chat template: it is not made for conversations; ask /v1/completions or "
		    "/v1/embeddings, or name a template in the worker's manifest";
	if (text == NULL)
		return IM_OK;
	(void)err_reason(err, IM_EINVAL, "unsupported_parameter", "%s", text);
	if (err != NULL)
		(void)snprintf(err->param, sizeof(err->param), "model");
	return IM_EINVAL;
}

static enum im_rc
fill(struct job *job, const struct local_model *model, const struct generate_request *req,
     struct im_err *err)
{
	const char *tenant = req->tenant != NULL ? req->tenant : "";
	enum im_rc rc;

	if (strlen(tenant) > LOCAL_TENANT_MAX)
		return err_set(err, IM_EINVAL, "a tenant's name has at most %d bytes",
			       LOCAL_TENANT_MAX);
	memcpy(job->tenant, tenant, strlen(tenant) + 1);
	rc = check_kind(model, req, err);
	if (rc == IM_OK)
		rc = local_params_read(req, &job->params, err);
	if (rc == IM_OK)
		rc = local_bias_read(req->extra_json, (uint32_t)llama_vocab_n_tokens(model->vocab),
				     &job->bias, err);
	if (rc == IM_OK)
		rc = make_grammar(job, req->response_format_json, err);
	if (rc == IM_OK)
		rc = copy_stops(job, req, err);
	job->completion = req->operation == OPERATION_COMPLETION;
	job->echo = req->echo;
	if (rc == IM_OK && job->completion)
		return inputs_copy(model, req, &job->inputs, err);
	if (rc == IM_OK)
		rc = prompt_render(&model->chat, req->messages, req->message_count,
				   (size_t)model->context_tokens * model->token_bytes,
				   model->context_tokens, &job->prompt, err);
	return rc;
}

/* What a request for vectors needs. */
static enum im_rc
fill_embedding(struct job *job, const struct local_model *model, const struct generate_request *req,
	       struct im_err *err)
{
	uint32_t dimensions = embed_dimensions(model);

	job->embedding = true;
	job->dimensions = dimensions;
	if (dimensions == 0)
		return err_reason(err, IM_EINVAL, "unsupported_parameter",
				  "this model gives no vectors; ask another one");
	if (req->dimensions.set && req->dimensions.v != dimensions) {
		(void)err_reason(err, IM_EINVAL, "unsupported_parameter",
				 "this model's vectors have %u numbers and cannot be shortened",
				 dimensions);
		if (err != NULL)
			(void)snprintf(err->param, sizeof(err->param), "dimensions");
		return IM_EINVAL;
	}
	if (req->input_count * dimensions * FLOAT32_BYTES > GENERATE_VECTORS_MAX) {
		(void)err_reason(
		    err, IM_EINVAL, "invalid_value",
		    "%zu vectors of %u numbers take more than 15 MiB; send fewer texts at once",
		    req->input_count, dimensions);
		if (err != NULL)
			(void)snprintf(err->param, sizeof(err->param), "input");
		return IM_EINVAL;
	}
	return inputs_copy(model, req, &job->inputs, err);
}

const struct token_run *
job_prompt(const struct job *job, uint32_t choice)
{
	return &job->runs[choice / job->params.choices_each];
}

enum im_rc
job_tokenize(const struct local_model *model, struct job *job, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	job->run_count = job->completion ? job->inputs.count : 1;
	job->runs = job->completion ? calloc(job->run_count, sizeof(*job->runs)) : &job->one;
	if (job->runs == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the request; try again later");
	if (!job->completion)
		rc = prompt_tokens(model->vocab, &job->prompt, model->context_tokens, &job->one.at,
				   &job->one.count, err);
	/* The whole prompt is the caller's own: control tokens that he writes are meant. One place is left for the answer. */
	for (size_t i = 0; job->completion && rc == IM_OK && i < job->run_count; i++)
		rc = inputs_tokens(model, &job->inputs, i, true, model->context_tokens - 1,
				   &job->runs[i].at, &job->runs[i].count, err);
	for (size_t i = 0; rc == IM_OK && i < job->run_count; i++)
		job->usage.prompt_tokens += job->runs[i].count;
	return rc;
}

enum im_rc
job_new(const struct local_model *model, const struct generate_request *req, struct job **ret,
	struct im_err *err)
{
	struct job *job = calloc(1, sizeof(*job));
	enum im_rc rc;

	if (job == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the request; try again later");
	rc = req->operation == OPERATION_EMBEDDING ? fill_embedding(job, model, req, err)
						   : fill(job, model, req, err);
	if (rc == IM_OK)
		*ret = job;
	else
		job_free(job);
	return rc;
}
