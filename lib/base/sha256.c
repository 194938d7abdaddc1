/*
 * base/sha256.c - see sha256.h.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* OpenSSL 3 calls the functions without a context so, and has them (SHA256_Init(3)) */

#include "base/sha256.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>

static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static const EVP_MD *sha256; /* fetching it anew costs more than hashing a short text */

static void
fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

EVP_MD_CTX *
sha256_new(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	(void)pthread_once(&fetched, fetch);
	if (ctx == NULL || sha256 == NULL || EVP_DigestInit_ex(ctx, sha256, NULL) != 1) {
		EVP_MD_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

bool
sha256_peek(const EVP_MD_CTX *ctx, uint8_t out[SHA256_BYTES])
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	bool ok = copy != NULL && EVP_MD_CTX_copy_ex(copy, ctx) == 1 &&
		  EVP_DigestFinal_ex(copy, out, NULL) == 1;

	EVP_MD_CTX_free(copy);
	return ok;
}

/* A wrong digest must never get out. */
static void
must(int ok)
{
	if (ok != 1)
		abort();
}

void
sha256_start(struct sha256 *s)
{
	must(SHA256_Init(&s->ctx));
}

void
sha256_add(struct sha256 *s, const void *data, size_t len)
{
	must(SHA256_Update(&s->ctx, data, len));
}

void
sha256_so_far(const struct sha256 *s, uint8_t out[SHA256_BYTES])
{
	SHA256_CTX copy = s->ctx;

	must(SHA256_Final(out, &copy));
}

bool
sha256_of(const void *data, size_t len, uint8_t out[SHA256_BYTES])
{
	struct sha256 s;

	sha256_start(&s);
	sha256_add(&s, data, len);
	sha256_so_far(&s, out);
	OPENSSL_cleanse(&s, sizeof(s)); /* it may have been a key */
	return true;
}
