/*
 * inference/upstream_job.h - one request to the upstream among its two files: upstream_job.c (life and time limits) and
 * upstream_answer.c (what the bytes of the answer mean). Nobody else includes this.
 */
#ifndef INFERENCE_UPSTREAM_JOB_H
#define INFERENCE_UPSTREAM_JOB_H

#include "inference/answer.h"
#include "inference/sse.h"
#include "inference/upstream.h"
#include "inference/vectors.h"
#include "wire/wire.h"

enum body_mode {
	BODY_DETECT,
	BODY_SSE,
	BODY_JSON
};

struct job {
	struct exchange x;
	struct backend *b;
	struct list node;
	const struct job_ops *ops;
	void *user;

	char *model; /* for errors */
	enum generate_op operation;
	struct vectors_want want; /* of an embedding */

	enum body_mode mode;
	struct sse sse;
	struct buf body; /* of a JSON answer or an error */
	struct answer answer;
	bool complete; /* the answer is whole; what follows is ignored */
	bool failed;
	struct im_err *err; /* why; NULL: for want of memory */

	bool over; /* the exchange is; what is left of the answer is given, and the job freed */
	bool dead; /* cancelled where the exchange cannot be stopped: freed by 'task' */
	struct loop_task task;

	struct loop_timer timer;
	uint64_t started_us, last_us; /* last_us: when the upstream showed life */
	uint64_t budget_end_us;       /* UINT64_MAX = none */
	uint64_t grace_end_us;        /* after 'complete' */
	uint64_t uploaded;
	bool first_frame_seen;
};

/** Take the next bytes of an answer with status 2xx; sets 'complete' at the end of a stream. Gives frames to the reader, who
 *  may cancel the job meanwhile: IM_ECANCELED. Any other code than IM_OK: the job has failed. */
IM_MUST_CHECK enum im_rc job_take_answer(struct job *j, const char *bytes, size_t len,
					 struct im_err *err);

/** How it went, now that the exchange is over with 'code'. IM_OK = a whole answer. May give frames. */
IM_MUST_CHECK enum im_rc job_outcome(struct job *j, CURLcode code, struct im_err *err);

#endif
