/*
 * audit/hasher.c - SHA-256 on one reused OpenSSL context, short messages and HMACs without one; see hasher.h.
 *
 * To begin and end with a context costs as much as hashing another block. Short messages, of which a log has two for each record, are padded here
 * and given to OpenSSL's block function as a whole: OpenSSL 3 calls it deprecated, and has it (SHA256_Init(3)).
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "audit/hasher.h"

#include <endian.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "audit/sha256_lanes.h"

#define BLOCK_BYTES  SHA256_BLOCK_BYTES
#define SHORT_BLOCKS ((size_t)16) /* of a message that is copied to be padded */
#define LANES_MAX    ((size_t)16)
#define WORTH_LANES  ((size_t)9) /* so many take longer in pairs than sixteen together */

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
	h->pair = sha256_pair();
	h->sixteen = sha256_sixteen();
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

/* With the prefix, the bit that ends it and its length: FIPS 180-4 §5.1.1. */
static size_t
blocks_of(const struct hash_part *message)
{
	return (1 + message->len + 1 + sizeof(uint64_t) + BLOCK_BYTES - 1) / BLOCK_BYTES;
}

/* Behind 'len' bytes in 'out' up to 'end', for a message of 'total' bytes. */
static void
pad(uint8_t *out, size_t len, size_t end, size_t total)
{
	uint64_t bits = htobe64((uint64_t)total * 8);

	out[len] = 0x80;
	memset(out + len + 1, 0, end - len - 1);
	memcpy(out + end - sizeof(bits), &bits, sizeof(bits));
}

static void
pad_prefixed(uint8_t *out, uint8_t prefix, const struct hash_part *message, size_t blocks)
{
	out[0] = prefix;
	if (message->len > 0)
		memcpy(out + 1, message->data, message->len);
	pad(out, 1 + message->len, blocks * BLOCK_BYTES, 1 + message->len);
}

static void
words(const SHA256_CTX *ctx, struct hash *ret)
{
	for (size_t i = 0; i < HASH_BYTES / sizeof(uint32_t); i++) {
		uint32_t word = htobe32(ctx->h[i]);

		memcpy(ret->b + i * sizeof(word), &word, sizeof(word));
	}
}

static void
hash_one(uint8_t prefix, const struct hash_part *message, size_t blocks, struct hash *ret)
{
	uint8_t padded[SHORT_BLOCKS * BLOCK_BYTES];
	SHA256_CTX ctx;

	pad_prefixed(padded, prefix, message, blocks);
	if (SHA256_Init(&ctx) != 1 || SHA256_Update(&ctx, padded, blocks * BLOCK_BYTES) != 1)
		abort();
	words(&ctx, ret);
}

/* Messages of as many blocks that wait for each other. */
struct group {
	size_t count;
	size_t message[LANES_MAX];
};

/* 'count' of a group's messages, by a function of 'lanes' lanes; those that are left over do the first one again. */
static void
hash_lanes(hasher_lanes_fn fn, size_t lanes, uint8_t prefix, const struct hash_part *message,
	   const size_t *which, size_t count, size_t blocks, struct hash *ret)
{
	uint8_t padded[LANES_MAX * SHORT_BLOCKS * BLOCK_BYTES];
	const uint8_t *lane[LANES_MAX];
	struct hash *hash[LANES_MAX], again;

	for (size_t i = 0; i < lanes; i++) {
		lane[i] = i < count ? padded + i * blocks * BLOCK_BYTES : padded;
		hash[i] = i < count ? &ret[which[i]] : &again;
		if (i < count)
			pad_prefixed(padded + i * blocks * BLOCK_BYTES, prefix, &message[which[i]],
				     blocks);
	}
	fn(lane, blocks, hash);
}

static void
hash_group(const struct hasher *h, uint8_t prefix, const struct hash_part *message, struct group *g,
	   size_t blocks, struct hash *ret)
{
	size_t done = 0;

	if (h->sixteen != NULL && g->count >= WORTH_LANES) {
		hash_lanes(h->sixteen, LANES_MAX, prefix, message, g->message, g->count, blocks,
			   ret);
		done = g->count;
	}
	for (; h->pair != NULL && g->count - done >= 2; done += 2)
		hash_lanes(h->pair, 2, prefix, message, g->message + done, 2, blocks, ret);
	for (; done < g->count; done++)
		hash_one(prefix, &message[g->message[done]], blocks, &ret[g->message[done]]);
	g->count = 0;
}

void
hasher_prefixed(struct hasher *h, uint8_t prefix, const struct hash_part *message, size_t count,
		struct hash *ret)
{
	struct group group[SHORT_BLOCKS + 1];

	if (count == 1 && blocks_of(message) <= SHORT_BLOCKS) {
		hash_one(prefix, message, blocks_of(message), ret);
		return;
	}
	for (size_t blocks = 1; blocks <= SHORT_BLOCKS; blocks++)
		group[blocks].count = 0;
	for (size_t i = 0; i < count; i++) {
		const struct hash_part parts[] = { { &prefix, 1 }, message[i] };
		size_t blocks = blocks_of(&message[i]);
		struct group *g;

		if (blocks > SHORT_BLOCKS) {
			hasher_parts(h, parts, 2, &ret[i]);
			continue;
		}
		g = &group[blocks];
		g->message[g->count++] = i;
		if (g->count == LANES_MAX)
			hash_group(h, prefix, message, g, blocks, ret);
	}
	for (size_t blocks = 1; blocks <= SHORT_BLOCKS; blocks++)
		hash_group(h, prefix, message, &group[blocks], blocks, ret);
}

/* The state after the one block that a key is, xored with 'pad': RFC 2104 section 4. */
static void
key_state(const struct hash *key, uint8_t pad, uint32_t ret[8])
{
	uint8_t block[BLOCK_BYTES];
	SHA256_CTX ctx;

	memset(block, pad, sizeof(block));
	for (size_t i = 0; i < HASH_BYTES; i++)
		block[i] ^= key->b[i];
	if (SHA256_Init(&ctx) != 1 || SHA256_Update(&ctx, block, sizeof(block)) != 1)
		abort();
	memcpy(ret, ctx.h, sizeof(ctx.h));
	explicit_bzero(block, sizeof(block));
	explicit_bzero(&ctx, sizeof(ctx));
}

/* Go on from 'state' as if its block had been hashed here. Most are so short that they are padded here as well; the last of what was secret is wiped
 * by whoever has the hash. */
static void
go_on(const uint32_t state[8], const struct hash_part *parts, size_t count, struct hash *ret)
{
	uint8_t block[2 * BLOCK_BYTES];
	size_t len = 0, end;
	SHA256_CTX ctx;
	int ok = SHA256_Init(&ctx);

	memcpy(ctx.h, state, sizeof(ctx.h));
	for (size_t i = 0; i < count; i++)
		len += parts[i].len;
	if (len + 1 + sizeof(uint64_t) > sizeof(block)) {
		ctx.Nl = BLOCK_BYTES * 8;
		for (size_t i = 0; i < count; i++)
			ok &= SHA256_Update(&ctx, parts[i].data, parts[i].len);
		if (ok != 1 || SHA256_Final(ret->b, &ctx) != 1)
			abort();
	} else {
		end = len + 1 + sizeof(uint64_t) > BLOCK_BYTES ? sizeof(block) : BLOCK_BYTES;
		for (size_t i = 0, at = 0; i < count; at += parts[i++].len)
			memcpy(block + at, parts[i].data, parts[i].len);
		pad(block, len, end, BLOCK_BYTES + len);
		if (ok != 1 || SHA256_Update(&ctx, block, end) != 1)
			abort();
		words(&ctx, ret);
		explicit_bzero(block, end);
	}
	explicit_bzero(&ctx, sizeof(ctx));
}

void
hasher_hmac_key(const struct hash *key, struct hmac_key *ret)
{
	key_state(key, 0x36, ret->inner);
	key_state(key, 0x5c, ret->outer);
}

void
hasher_hmac_under(const struct hmac_key *key, const struct hash_part *parts, size_t count,
		  struct hash *ret)
{
	struct hash inner;
	const struct hash_part whole = { inner.b, sizeof(inner.b) };

	go_on(key->inner, parts, count, &inner);
	go_on(key->outer, &whole, 1, ret);
	explicit_bzero(&inner, sizeof(inner));
}

void
hasher_hmac(struct hasher *h, const struct hash *key, const struct hash_part *parts, size_t count,
	    struct hash *ret)
{
	struct hmac_key once;

	(void)h; /* it needs no context any more */
	hasher_hmac_key(key, &once);
	hasher_hmac_under(&once, parts, count, ret);
	explicit_bzero(&once, sizeof(once));
}
