/*
 * daemon/config_fuzz.c - any bytes as a configuration file: refused with a place, or printed and read back to the same
 * digest.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *c = NULL, *again = NULL;
	struct im_err err;
	uint8_t first[32], second[32];
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	if (config_parse("fuzz.yaml", (const char *)data, size, &c, &err) != IM_OK) {
		if (err.text[0] == '\0')
			abort();
		return 0;
	}
	out = open_memstream(&text, &len);
	if (out == NULL)
		abort();
	config_print(c, out);
	if (fclose(out) != 0 || config_parse("again.yaml", text, len, &again, &err) != IM_OK)
		abort();
	config_digest(c, first);
	config_digest(again, second);
	if (memcmp(first, second, sizeof(first)) != 0)
		abort();
	free(text);
	config_free(again);
	config_free(c);
	return 0;
}
