/*
 * daemon/s3_url.h - http(s)://HOST[:PORT]/BUCKET[/PREFIX]: where objects are, with the bucket in the path. Nothing in it needs an escape
 * in a path. Pure.
 */
#ifndef DAEMON_S3_URL_H
#define DAEMON_S3_URL_H

#include <stdbool.h>
#include <stddef.h>

#define S3_URL_ALLOWED                                                                             \
	"http(s)://HOST/BUCKET or http(s)://HOST:PORT/BUCKET/PREFIX, of letters, digits, '-', '_' and '.'"
#define S3_URL_MAX 512 /* bytes */

bool s3_url_is(const char *s);

/** Of one that is: bytes until the end of the bucket; what follows is empty or '/' and the prefix. */
size_t s3_url_bucket_len(const char *url);

#endif
