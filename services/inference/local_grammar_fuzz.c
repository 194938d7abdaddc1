/*
 * inference/local_grammar_fuzz.c - any response_format becomes a grammar or an error, within bounds.
 */
#include <stdlib.h>
#include <string.h>

#include "inference/local_grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = BUF_INIT(GRAMMAR_MAX);
	char *text = malloc(size + 1);
	struct im_err err;

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (grammar_from_format(text, &out, &err) == IM_OK && out.len > 0 &&
	    strstr(buf_cstr(&out), "root ::= ") == NULL)
		abort();
	if (out.len > GRAMMAR_MAX)
		abort();
	buf_done(&out);
	free(text);
	return 0;
}
