/*
 * cache/s3.h - requests to one bucket of an S3-compatible object store, over libcurl on the loop (daemon/curl_loop.h), signed by its AWS
 * Signature Version 4. Knows objects' names and bodies; what they are is the tier's matter (tier_s3.h). Never logs, never shows the secret.
 *
 * Source: Amazon S3 API Reference: GetObject, PutObject, DeleteObject, ListObjectsV2; the bucket stands in the path.
 */
#ifndef CACHE_S3_H
#define CACHE_S3_H

#include <stdbool.h>

#include "base/loop.h"
#include "wire/mesh.h"

struct s3;
struct s3_op;

struct s3_params {
	const char *url; /* daemon/s3_url.h; copied, as all texts here */
	const char *region;
	const char *credentials_file, *credentials_env; /* ID:SECRET; NULL = not there */
	const char *ca_file;                            /* NULL = the system's */
	unsigned connections;                           /* kept open without a request */
	size_t body_bytes; /* of an object; a longer answer is a broken one */
};

enum s3_kind {
	S3_GET,
	S3_PUT,
	S3_DELETE,
	S3_LIST, /* a page of S3_PAGE_MAX objects below the prefix */
};

struct s3_request {
	enum s3_kind kind;
	const uint8_t *key;  /* CACHE_KEY_BYTES; not of S3_LIST */
	size_t first_bytes;  /* S3_GET: no more than these; 0 = all */
	const uint8_t *body; /* S3_PUT; lives until 'done' */
	size_t len;          /* of 'body' */
	const char *token;   /* S3_LIST: of the page; "" = the first one */
};

enum s3_said {
	S3_OK,
	S3_NONE,    /* there is no such object */
	S3_REFUSED, /* 3xx, 4xx: not with these credentials, not this bucket */
	S3_BROKEN,  /* 5xx */
	S3_LOST,    /* no whole answer */
};

struct s3_answer {
	enum s3_said said;
	const uint8_t *body; /* S3_OK; valid inside 'done' only */
	size_t len;
	const char *why; /* not S3_OK, not S3_NONE: for the operator; valid inside 'done' only */
};

typedef void (*s3_done)(void *arg, const struct s3_answer *answer);

/** On the loop. IM_OK; IM_EUNAVAILABLE: no libcurl; IM_ENOMEM; as api_key_init(): the credentials cannot be had. */
IM_MUST_CHECK enum im_rc s3_new(struct loop *loop, const struct s3_params *params, struct s3 **ret,
				struct im_err *err);

/** Stops all that is under way: no 'done' follows. Not inside one. NULL is fine. */
void s3_free(struct s3 *s);

/**
 * Begin a request. 'done' follows exactly once, not before this returns, at most S3_REQUEST_MS later; unless the bucket is freed first.
 * NULL: it could not begin, 'err' says why: no memory, or the file of the credentials is not good any more.
 */
struct s3_op *s3_send(struct s3 *s, const struct s3_request *req, s3_done done, void *arg,
		      struct im_err *err);

#define S3_REQUEST_MS 5000

/** The prefix below which objects are, without slashes at its ends; "" = none. */
const char *s3_prefix(const struct s3 *s);

#endif
