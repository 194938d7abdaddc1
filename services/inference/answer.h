/*
 * inference/answer.h - one answer from its first chunk to its end: makes of what upstreams send what the mesh promises. Each
 * choice begins with its role, ends with its finish_reason, and has numbered tool calls with ids; an answer that is not
 * whole is a failure. Pure.
 *
 *   a choice:  ──first delta──▶ BEGUN ──finish_reason──▶ FINISHED
 *                                  └──[DONE] and something was said: "stop" is put in──▶ FINISHED
 */
#ifndef INFERENCE_ANSWER_H
#define INFERENCE_ANSWER_H

#include "inference/chunk.h"

#define ANSWER_TOOLS_MAX  1024
#define ANSWER_FRAMES_MAX 2 /* that one chunk becomes */

struct answer_choice {
	bool begun : 1, finished : 1, said : 1;
	uint16_t tools; /* tool calls begun; at most ANSWER_TOOLS_MAX */
};

struct answer {
	struct answer_choice choices[GENERATE_CHOICES_MAX];
	char id_seed[33]; /* ids of tool calls that came without are made of it */
	bool has_usage;
	struct usage usage; /* the last that was said */
};

struct answer_frames {
	struct generate_frame frame[ANSWER_FRAMES_MAX];
	size_t count;
};

/** 'id_seed' is the request's id. */
void answer_init(struct answer *a, const char *id_seed);

/**
 * Take the next chunk; it is changed. Frames to send, if any, go to '*ret' and lie in 'arena' and in the chunk.
 * Returns IM_OK, IM_EUPSTREAM (impossible indices, content after the end of a choice, a finish_reason that means failure) or
 * IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc answer_take(struct answer *a, struct chunk *chunk, struct arena *arena,
				     struct answer_frames *ret, struct im_err *err);

/** The upstream says that this was all. As answer_take(); IM_EUPSTREAM too when the answer is not whole. */
IM_MUST_CHECK enum im_rc answer_finish(struct answer *a, struct arena *arena,
				       struct answer_frames *ret, struct im_err *err);

#endif
