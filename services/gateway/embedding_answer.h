/*
 * gateway/embedding_answer.h - the vectors of an embedding as the JSON object that HTTP clients expect, written while they
 * come: no vector is kept twice. Pure. Source: docs/http-api.md, "Objects".
 */
#ifndef GATEWAY_EMBEDDING_ANSWER_H
#define GATEWAY_EMBEDDING_ANSWER_H

#include "base/buf.h"
#include "wire/generate.h"

struct embedding_answer {
	struct buf body;
	size_t inputs, vectors; /* how many there are to be, and were */
	uint32_t dimensions;    /* 0 = not known yet */
	bool base64;
	bool finished;
};

/** Ready for the answer to 'inputs' inputs. 'base64': vectors as text of little-endian float32, else as lists of numbers. */
void embedding_answer_init(struct embedding_answer *a, size_t inputs, bool base64);
/** It begins; 'model' is the one that answers. */
void embedding_answer_begin(struct embedding_answer *a, const char *model);
void embedding_answer_done(struct embedding_answer *a);

/** Add what 'frame' says. IM_OK, IM_ENOMEM, IM_EUPSTREAM (more vectors than inputs, of different lengths, numbers that JSON has
 *  not, or too many bytes). */
IM_MUST_CHECK enum im_rc embedding_answer_frame(struct embedding_answer *a,
						const struct generate_frame *frame,
						struct im_err *err);

/** Close the object, which is then in a->body. 'usage' may be NULL: not known. IM_OK, IM_ENOMEM, or IM_EUPSTREAM when there is
 *  not a vector for each input. */
IM_MUST_CHECK enum im_rc embedding_answer_end(struct embedding_answer *a, const struct usage *usage,
					      struct im_err *err);

#endif
