/*
 * base/sha256.c - see sha256.h.
 */
#include "base/sha256.h"

#include <pthread.h>

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

bool
sha256_of(const void *data, size_t len, uint8_t out[SHA256_BYTES])
{
	(void)pthread_once(&fetched, fetch);
	return sha256 != NULL && EVP_Digest(data, len, out, NULL, sha256, NULL) == 1;
}
