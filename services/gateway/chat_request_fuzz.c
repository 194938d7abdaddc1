/*
 * gateway/chat_request_fuzz.c - any bytes as the body of a request to a model, of each kind: refused, or a request that the
 * router accepts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/chat_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
parse(enum generate_op operation, const uint8_t *data, size_t size)
{
	struct generate_request back;
	struct chat_request req;
	struct buf bytes = { 0 };
	struct im_err err = { 0 };
	struct arena arena;
	enum im_rc rc;

	arena_init(&arena, (size + 4096) * 8); /* as in chat.c */
	rc = chat_request_parse(operation, data, size, &arena, &req, &err);
	if (rc == IM_EINVAL && err.text[0] == '\0')
		abort();
	if (rc == IM_ENOMEM)
		abort(); /* the bound must be enough for every body */
	arena_done(&arena);
	if (rc != IM_OK)
		return;
	arena_init(&arena, 0);
	rc = chat_request_parse(operation, data, size, &arena, &req, &err);
	if (rc != IM_OK)
		abort();
	generate_request_encode(&req.generate, &bytes);
	if (!buf_ok(&bytes) ||
	    generate_request_decode(bytes.data, bytes.len, &arena, &back, &err) != IM_OK)
		abort();
	buf_done(&bytes);
	arena_done(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int operation = 0; operation < OPERATION_COUNT; operation++)
		parse((enum generate_op)operation, data, size);
	return 0;
}
