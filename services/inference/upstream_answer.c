/*
 * inference/upstream_answer.c - the bytes of an upstream's answer: which form they have, the frames in them, and how it
 * all went. See upstream_job.h.
 *
 *   DETECT ──first byte──▶ SSE ──[DONE]──▶ complete ──body ends, or grace is over──▶ end
 *      │                    └──the body ends before──▶ failure
 *      ├──'{'──▶ JSON ──body ends──▶ parsed ──▶ end
 *      └──status is not 2xx──▶ the body is gathered for the error
 */
#include "inference/upstream_job.h"

#include <string.h>

#include "base/clock.h"
#include "inference/errors.h"

/* Frames to the reader. False: it cancelled the job meanwhile. */
static bool
give_frames(struct job *j, const struct answer_frames *frames)
{
	for (size_t i = 0; i < frames->count; i++) {
		if (!j->first_frame_seen) {
			j->first_frame_seen = true;
			histogram_add(&j->b->stats.first_token[j->operation],
				      (double)(clock_mono_us() - j->started_us) / 1e6);
		}
		j->ops->frame(j->user, &frames->frame[i]);
		if (j->dead)
			return false;
	}
	return true;
}

static enum im_rc
cancelled(struct im_err *err)
{
	return err_set(err, IM_ECANCELED, "cancelled");
}

/* One piece of the answer; an sse_fn. */
static enum im_rc
take_piece(void *user, const char *text, size_t len, struct im_err *err)
{
	struct job *j = user;
	struct arena *arena = &j->b->piece_arena;
	struct answer_frames frames;
	struct chunk chunk;
	enum im_rc rc;

	rc = chunk_pattern_parse(&j->b->pattern, text, len, arena, &chunk, err);
	if (rc == IM_OK)
		rc = answer_take(&j->answer, &chunk, arena, &frames, err);
	if (rc == IM_OK && !give_frames(j, &frames))
		rc = cancelled(err);
	arena_reset(arena);
	return rc;
}

static enum im_rc
take_end(struct job *j, struct im_err *err)
{
	struct arena *arena = &j->b->piece_arena;
	struct answer_frames frames;
	enum im_rc rc;

	rc = answer_finish(&j->answer, arena, &frames, err);
	if (rc == IM_OK && !give_frames(j, &frames))
		rc = cancelled(err);
	arena_reset(arena);
	j->complete = rc == IM_OK;
	return rc;
}

/* The first byte tells more than Content-Type, which small servers get wrong. */
static enum im_rc
detect(struct job *j, char first, struct im_err *err)
{
	if (first == '{') {
		j->mode = BODY_JSON;
		return IM_OK;
	}
	if (strncasecmp(j->x.reply.type, "text/event-stream", 17) == 0 ||
	    strchr(":deir\xEF", first) != NULL) {
		j->mode = BODY_SSE;
		return IM_OK;
	}
	return err_reason(
	    err, IM_EUPSTREAM, "upstream_error",
	    "the upstream's answer is neither JSON nor an event stream: check workers[].url");
}

/* The whole answer to an embedding. Its vectors go on in frames of a bounded size. */
static enum im_rc
take_vectors(struct job *j, struct im_err *err)
{
	struct vectors v = { 0 };
	struct generate_frame frame;
	struct answer_frames one;
	struct delta delta;
	enum im_rc rc = vectors_parse((const char *)j->body.data, j->body.len, &j->want, &v, err);

	if (rc == IM_OK) {
		j->answer.has_usage = v.has_usage;
		j->answer.usage = v.usage;
	}
	while (rc == IM_OK && vectors_next(&v, &delta, &frame)) {
		one = (struct answer_frames){ .frame = { frame }, .count = 1 };
		if (!give_frames(j, &one))
			rc = cancelled(err);
	}
	vectors_done(&v);
	j->complete = rc == IM_OK;
	return rc;
}

static size_t
answer_max(const struct job *j)
{
	return j->operation == OPERATION_EMBEDDING ? UPSTREAM_VECTORS_MAX : UPSTREAM_ANSWER_MAX;
}

enum im_rc
job_take_answer(struct job *j, const char *bytes, size_t len, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	if (j->mode == BODY_DETECT) { /* blank lines keep the connection alive */
		while (len > 0 && strchr(" \t\r\n", *bytes) != NULL && *bytes != '\0') {
			bytes++;
			len--;
		}
		if (len == 0)
			return IM_OK;
		rc = detect(j, *bytes, err);
		if (rc == IM_OK && j->operation == OPERATION_EMBEDDING && j->mode != BODY_JSON)
			rc =
			    err_reason(err, IM_EUPSTREAM, "upstream_error",
				       "the upstream streams vectors; one JSON object is expected");
		if (rc != IM_OK)
			return rc;
	}
	if (j->mode == BODY_SSE) {
		rc = sse_feed(&j->sse, bytes, len, take_piece, j, err);
		if (rc == IM_OK && j->sse.finished)
			rc = take_end(j, err);
		return rc;
	}
	if (len > answer_max(j) - j->body.len)
		return err_reason(err, IM_EUPSTREAM, "upstream_error",
				  "the upstream's answer is longer than %zu bytes", answer_max(j));
	if (!buf_append(&j->body, bytes, len))
		return err_set(err, IM_ENOMEM, "no memory for the upstream's answer");
	return IM_OK;
}

static const char *
or_null(const char *value)
{
	return value[0] != '\0' ? value : NULL;
}

static enum im_rc
refused(struct job *j, long status, struct im_err *err)
{
	struct upstream_reply reply = {
		.status = status,
		.body = (const char *)j->body.data,
		.body_len = j->body.len,
		.retry_after = or_null(j->x.reply.retry_after),
		.retry_after_ms = or_null(j->x.reply.retry_after_ms),
		.model = j->model,
		.now_s = (int64_t)(clock_wall_us() / 1000000),
	};

	return errors_from_reply(&reply, err);
}

/* How it went, now that the exchange is over. */
enum im_rc
job_outcome(struct job *j, CURLcode code, struct im_err *err)
{
	long status = j->x.reply.status;
	enum im_rc rc;

	if (j->complete)
		return IM_OK;
	if (j->failed) {
		if (j->err == NULL)
			return err_set(err, IM_ENOMEM, "no memory for the upstream's answer");
		*err = *j->err;
		return err->rc;
	}
	/* An error's status counts even if its body was cut. */
	if (status / 100 != 2 && status >= 300)
		return refused(j, status, err);
	if (code != CURLE_OK)
		return upstream_curl_error(j->b, code, err);
	switch (j->mode) {
	case BODY_SSE:
		return sse_end(&j->sse, err);
	case BODY_JSON:
		if (j->operation == OPERATION_EMBEDDING)
			return take_vectors(j, err);
		rc = take_piece(j, (const char *)j->body.data, j->body.len, err);
		return rc == IM_OK ? take_end(j, err) : rc;
	case BODY_DETECT:
		break;
	}
	return err_reason(err, IM_EUPSTREAM, "upstream_error", "the upstream's answer is empty");
}
