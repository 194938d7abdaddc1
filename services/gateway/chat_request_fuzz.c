/*
 * gateway/chat_request_fuzz.c - any bytes as the body of a chat request: refused, or a request that the router accepts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/chat_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct generate_request back;
	struct chat_request req;
	struct buf bytes = { 0 };
	struct im_err err = { 0 };
	struct arena arena;
	enum im_rc rc;

	arena_init(&arena, (size + 4096) * 8); /* as in chat.c */
	rc = chat_request_parse(data, size, &arena, &req, &err);
	if (rc == IM_EINVAL && err.text[0] == '\0')
		abort();
	if (rc == IM_ENOMEM)
		abort(); /* the bound must be enough for every body */
	arena_done(&arena);
	if (rc != IM_OK)
		return 0;
	arena_init(&arena, 0);
	rc = chat_request_parse(data, size, &arena, &req, &err);
	if (rc != IM_OK)
		abort();
	generate_request_encode(&req.generate, &bytes);
	if (!buf_ok(&bytes) ||
	    generate_request_decode(bytes.data, bytes.len, &arena, &back, &err) != IM_OK)
		abort();
	buf_done(&bytes);
	arena_done(&arena);
	return 0;
}
