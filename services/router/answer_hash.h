/*
 * router/answer_hash.h - the running digest of an answer, for the audit record: "answer manifest v1", docs/answer-manifest.md.
 * Memory is bounded by the number of fields, not by their length. It depends on what was said, not on how it was cut into
 * frames. Pure.
 */
#ifndef ROUTER_ANSWER_HASH_H
#define ROUTER_ANSWER_HASH_H

#include "base/sha256.h"
#include "wire/generate.h"

#define ANSWER_TOOL_CALLS_MAX 256  /* of one choice */
#define ANSWER_NAME_MAX       1024 /* bytes of a tool call's id or name, and of a finish reason */

struct answer_hash;

/** NULL without memory. */
struct answer_hash *answer_hash_new(void);
void answer_hash_free(struct answer_hash *h); /* NULL is fine */

/** Take the deltas of one frame. IM_OK, IM_ENOMEM, IM_EPROTO (more choices or tool calls than any answer has). */
IM_MUST_CHECK enum im_rc answer_hash_add(struct answer_hash *h, const struct generate_frame *frame,
					 struct im_err *err);

/** Append the manifest of what came so far. False without memory. */
bool answer_hash_manifest(const struct answer_hash *h, struct buf *out);

/** SHA-256 of the manifest. False without memory. */
bool answer_hash_final(const struct answer_hash *h, uint8_t out[SHA256_BYTES]);

#endif
