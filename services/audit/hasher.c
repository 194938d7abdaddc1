/*
 * audit/hasher.c - SHA-256 and HMAC on one reused OpenSSL context; see hasher.h.
 */
#include "audit/hasher.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 64 /* of SHA-256 */

static int
run(struct hasher *h, const struct hash_part *parts, size_t count, struct hash *ret)
{
	unsigned n = 0;

	if (EVP_DigestInit_ex(h->ctx, h->md, NULL) != 1)
		return 0;
	for (size_t i = 0; i < count; i++)
		if (EVP_DigestUpdate(h->ctx, parts[i].data, parts[i].len) != 1)
			return 0;
	return EVP_DigestFinal_ex(h->ctx, ret->b, &n) == 1 && n == HASH_BYTES;
}

enum im_rc
hasher_init(struct hasher *h, struct im_err *err)
{
	struct hash first;

	h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->ctx = EVP_MD_CTX_new();
	if (h->md != NULL && h->ctx != NULL && run(h, NULL, 0, &first))
		return IM_OK;
	hasher_done(h);
	return err_set(err, IM_ENOMEM,
		       "OpenSSL has no SHA-256 for us: no memory, or a broken installation");
}

void
hasher_done(struct hasher *h)
{
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	h->ctx = NULL;
	h->md = NULL;
}

void
hasher_parts(struct hasher *h, const struct hash_part *parts, size_t count, struct hash *ret)
{
	/* A context that has hashed once allocates nothing any more; a wrong hash must never reach the log. */
	if (!run(h, parts, count, ret))
		abort();
}

void
hasher_hmac(struct hasher *h, const struct hash *key, const struct hash_part *parts, size_t count,
	    struct hash *ret)
{
	uint8_t pad[BLOCK_BYTES];
	struct hash inner;
	const struct hash_part outer[] = { { pad, sizeof(pad) }, { inner.b, sizeof(inner.b) } };
	unsigned n = 0;

	memset(pad, 0x36, sizeof(pad));
	for (size_t i = 0; i < HASH_BYTES; i++)
		pad[i] ^= key->b[i];
	if (EVP_DigestInit_ex(h->ctx, h->md, NULL) != 1 ||
	    EVP_DigestUpdate(h->ctx, pad, sizeof(pad)) != 1)
		abort();
	for (size_t i = 0; i < count; i++)
		if (EVP_DigestUpdate(h->ctx, parts[i].data, parts[i].len) != 1)
			abort();
	if (EVP_DigestFinal_ex(h->ctx, inner.b, &n) != 1)
		abort();
	for (size_t i = 0; i < BLOCK_BYTES; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	hasher_parts(h, outer, 2, ret);
	OPENSSL_cleanse(pad, sizeof(pad));
	OPENSSL_cleanse(&inner, sizeof(inner));
}
