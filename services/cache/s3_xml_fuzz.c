/*
 * cache/s3_xml_fuzz.c - what an object store may send us: a page of its list, an error.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cache/s3_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct s3_page *page = malloc(sizeof(*page));
	char word[S3_CODE_MAX + 1];
	struct im_err err;

	if (page == NULL)
		abort();
	if (s3_xml_page(data, size, "p", page, &err) == IM_OK &&
	    (page->count > S3_PAGE_MAX || strlen(page->token) > S3_TOKEN_MAX))
		abort();
	s3_xml_code(data, size, word);
	if (strlen(word) > S3_CODE_MAX)
		abort();
	free(page);
	return 0;
}
