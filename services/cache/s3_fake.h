/*
 * cache/s3_fake.h - for tests: an object store in threads on 127.0.0.1 that keeps little, in pages of a hundred, and fails as it is told. It looks who asks,
 * not whether the signature is right: tests/s3 does. Not part of any program.
 */
#ifndef CACHE_S3_FAKE_H
#define CACHE_S3_FAKE_H

#include <stddef.h>
#include <stdint.h>

#define S3_FAKE_CREDENTIALS "AKID:secret"

enum s3_fake_mode {
	S3_FAKE_WELL,
	S3_FAKE_HANG,     /* no answer until the mode changes; then the connection is closed */
	S3_FAKE_BROKEN,   /* 500 */
	S3_FAKE_NONSENSE, /* 200 with a page that is none */
	S3_FAKE_ENDLESS,  /* 200 with a body that does not end */
};

struct s3_fake;

struct s3_fake *s3_fake_start(void);
void s3_fake_stop(struct s3_fake *f);

/** http://…, valid until the end. */
const char *s3_fake_url(const struct s3_fake *f);

void s3_fake_mode(struct s3_fake *f, enum s3_fake_mode mode);

size_t s3_fake_objects(struct s3_fake *f);
uint64_t s3_fake_bytes(struct s3_fake *f);

/** Make all objects so much older. */
void s3_fake_age(struct s3_fake *f, unsigned seconds);

#endif
