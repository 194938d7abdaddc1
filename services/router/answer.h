/*
 * router/answer.h - a whole answer gathered from its frames: for the cache and for callers that want one reply. Bounded. Pure.
 *
 * Also the form in which the cache keeps it: version 0x01, then the length (u32, little-endian) and the bytes of one
 * GenerateFrame that holds everything each choice said, then the same of a GenerateEnd with the usage.
 */
#ifndef ROUTER_ANSWER_H
#define ROUTER_ANSWER_H

#include "wire/generate.h"

struct answer;

/** Texts of at most 'max_bytes' in all. NULL without memory. */
struct answer *router_answer_new(size_t max_bytes);
void router_answer_free(struct answer *a); /* NULL is fine */

/** Add the deltas of one frame. IM_OK, IM_ENOMEM, IM_ETOOBIG, IM_EPROTO; after a failure the answer is of no use. */
IM_MUST_CHECK enum im_rc router_answer_add(struct answer *a, const struct generate_frame *frame,
					   struct im_err *err);

/** True if there is a choice and every choice has its finish_reason. */
bool router_answer_is_whole(const struct answer *a);

/** As one frame, and as the choices of a reply. Strings point into 'a', arrays are in 'arena'. False without memory. */
bool router_answer_frame(const struct answer *a, struct arena *arena, struct generate_frame *ret);
bool router_answer_choices(const struct answer *a, struct arena *arena, struct generate_reply *ret);

/** Append what the cache keeps of it. */
void router_answer_value_encode(const struct answer *a, const struct usage *usage, struct buf *out);

/** Read it back; the bytes are not trusted. Strings are in 'arena'. IM_OK, IM_ECORRUPT, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc router_answer_value_decode(const uint8_t *buf, size_t len,
						    struct arena *arena,
						    struct generate_frame *ret_frame,
						    struct usage *ret_usage, struct im_err *err);

#endif
