/*
 * gateway/chat.h - POST /v1/chat/completions, /v1/completions and /v1/embeddings: one exchange with a client and one call to the router, joined.
 *
 * Threads: on the loop.
 */
#ifndef GATEWAY_CHAT_H
#define GATEWAY_CHAT_H

#include "gateway/request.h"

/** Take over 'rq', whose caller is known, and end it. */
void gateway_chat_begin(struct gateway_request *rq);

#endif
