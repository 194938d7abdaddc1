/*
 * inference/local_vectors.c - vectors of the local backend on their way to the reader; see local_engine.h. On the loop.
 */
#include "inference/local_engine.h"
#include "wire/float32.h"

#define FRAME_BYTES ((size_t)64 * 1024) /* of a frame, or one vector if that is more */

static void
give(struct job *job, uint32_t dimensions, const uint8_t *bytes, size_t len, const char *finish)
{
	struct delta delta = { .role = "",
			       .content = "",
			       .reasoning_content = "",
			       .finish_reason = finish,
			       .logprobs_json = "",
			       .refusal = "",
			       .embedding = { bytes, len } };
	struct generate_frame frame = {
		.head = { .model = "", .cache = "", .worker = "" },
		.deltas = &delta,
		.delta_count = 1,
		.system_fingerprint = "",
		.dimensions = dimensions,
	};

	job->ops->frame(job->user, &frame);
}

void
vectors_give(struct job *job, const struct buf *vectors)
{
	size_t vector = job->dimensions * FLOAT32_BYTES;
	size_t most = vector >= FRAME_BYTES ? vector : FRAME_BYTES / vector * vector;

	for (size_t at = 0; job->ops != NULL && at < vectors->len; at += most) {
		size_t left = vectors->len - at;

		give(job, job->dimensions, vectors->data + at, left < most ? left : most, "");
	}
}

void
vectors_finish(struct job *job)
{
	give(job, 0, NULL, 0, "stop");
}
