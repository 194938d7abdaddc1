/*
 * inference/plain_head.h - the head of a request over plain HTTP/1.1. Only exchange_plain.c includes this.
 */
#ifndef INFERENCE_PLAIN_HEAD_H
#define INFERENCE_PLAIN_HEAD_H

#include "inference/upstream.h"

/** Request line and fields that all requests to 'url' have, to 'out'. False without memory. */
bool plain_head_common(CURLU *url, struct buf *out);

/** The whole head of 'x' to 'out': 'common' and what is its own, the key among it. IM_OK; IM_ENOMEM (without a text); or as api_key_get(). */
IM_MUST_CHECK enum im_rc plain_head(const struct exchange *x, const struct buf *common,
				    struct buf *out, struct im_err *err);

#endif
