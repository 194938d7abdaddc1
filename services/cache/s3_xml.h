/*
 * cache/s3_xml.h - the two documents of an S3-compatible store that we read: a page of ListObjectsV2 and an error. They come from outside:
 * bounded, nothing is believed. Pure. Source: Amazon S3 API Reference, ListObjectsV2 and "Error responses".
 */
#ifndef CACHE_S3_XML_H
#define CACHE_S3_XML_H

#include "wire/mesh.h"

#define S3_PAGE_MAX  1000 /* objects, as asked for */
#define S3_TOKEN_MAX 1024
#define S3_CODE_MAX  48

struct s3_object {
	uint8_t key[CACHE_KEY_BYTES];
	uint64_t modified_us; /* since 1970, by the store's clock */
	uint64_t bytes;
};

struct s3_page {
	struct s3_object object[S3_PAGE_MAX];
	size_t count;
	char token[S3_TOKEN_MAX + 1]; /* of the next page; "" = this is the last one */
};

/** Read a page of objects whose names begin with 'prefix', a slash unless it is empty, and end in a key in lower-case digits; others are not ours and
 *  left out. IM_OK or IM_ECORRUPT: it is no such page; '*ret' is then undefined. */
IM_MUST_CHECK enum im_rc s3_xml_page(const uint8_t *xml, size_t len, const char *prefix,
				     struct s3_page *ret, struct im_err *err);

/** The word of an error, "" if there is none: letters and digits alone. */
void s3_xml_code(const uint8_t *xml, size_t len, char ret[S3_CODE_MAX + 1]);

#endif
