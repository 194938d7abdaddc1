/*
 * inference/fake_backend.h - a backend for the tests of the worker: it does what the test says, one step at a time.
 */
#ifndef INFERENCE_FAKE_BACKEND_H
#define INFERENCE_FAKE_BACKEND_H

#include "inference/backend.h"

/* What the one fake backend was told; the test reads and clears it. */
struct fake_state {
	unsigned jobs;    /* now */
	unsigned submits; /* ever */
	unsigned cancels;
	unsigned pauses, resumes;
	bool paused;
	char model[64], content[64], traceparent[64]; /* of the last request */
	uint32_t budget_ms;
	struct job *last;
	bool refuse; /* submit says IM_EAGAIN */
};

extern struct fake_state fake_state;
extern const struct backend_ops fake_backend; /* models "m1" and "m2", capacity 4 */

/** Give a piece of the answer; nothing if the job is gone. On the loop. */
void fake_frame(struct job *job, const char *content);

/** End it with success (rc IM_OK) and usage 3/5, or with 'rc' and reason "fake". */
void fake_end(struct job *job, enum im_rc rc);

#endif
