/*
 * audit/subject_slot.c - sealing and opening one subject's key; see subject_slot.h.
 */
#include "audit/subject_slot.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "audit/wal_frame.h"
#include "base/hex.h"
#include "base/le.h"

#define SEALED_WITH 52 /* bytes of a living slot that the seal vouches for */

void
subject_slot_put(const struct subject_slot *s, uint8_t out[SUBJECT_SLOT_BYTES])
{
	memset(out, 0, SUBJECT_SLOT_BYTES);
	put_le(out, s->state, 4);
	put_le(out + 4, s->epoch, 4);
	memcpy(out + 8, s->id, sizeof(s->id));
	memcpy(out + 16, s->tag, sizeof(s->tag));
	put_le(out + 32, s->made_us, 8);
	put_le(out + 40, s->erase_plus, 8);
	memcpy(out + 52, s->nonce, sizeof(s->nonce));
	memcpy(out + 64, s->sealed, sizeof(s->sealed));
	memcpy(out + 96, s->seal, sizeof(s->seal));
	put_le(out + 124, wal_crc32c(0, out, 124), 4);
}

bool
subject_slot_get(const uint8_t in[SUBJECT_SLOT_BYTES], struct subject_slot *ret)
{
	*ret = (struct subject_slot){ .state = (enum subject_state)get_le(in, 4),
				      .epoch = (uint32_t)get_le(in + 4, 4),
				      .made_us = get_le(in + 32, 8),
				      .erase_plus = get_le(in + 40, 8) };
	memcpy(ret->id, in + 8, sizeof(ret->id));
	memcpy(ret->tag, in + 16, sizeof(ret->tag));
	memcpy(ret->nonce, in + 52, sizeof(ret->nonce));
	memcpy(ret->sealed, in + 64, sizeof(ret->sealed));
	memcpy(ret->seal, in + 96, sizeof(ret->seal));
	return ret->state >= SUBJECT_LIVE && ret->state <= SUBJECT_ERASED &&
	       get_le(in + 124, 4) == wal_crc32c(0, in, 124);
}

void
subject_tag(struct hasher *h, const struct pseudonym_keys *k, const char *tenant,
	    const char *caller, uint8_t ret[SUBJECT_TAG_BYTES])
{
	static const char label[] = "subject-name/v1"; /* its NUL is part of it */
	struct hash mac;

	pseudonym_named(h, k, label, sizeof(label), tenant, caller, &mac);
	memcpy(ret, mac.b, SUBJECT_TAG_BYTES);
}

static void
store_key(struct hasher *h, const struct pseudonym_keys *k, uint32_t epoch, struct hash *ret)
{
	static const char label[] = "subject-store/v1"; /* its NUL is part of it */
	const uint8_t big[4] = { (uint8_t)(epoch >> 24), (uint8_t)(epoch >> 16),
				 (uint8_t)(epoch >> 8), (uint8_t)epoch };
	const struct hash_part parts[] = { { label, sizeof(label) }, { big, sizeof(big) } };

	hasher_hmac(h, &k->master, parts, 2, ret);
}

static void
key_id(struct hasher *h, struct subject_key *k)
{
	const struct hash_part part = { "key-id/v1", 9 };
	struct hash mac;

	hasher_hmac(h, &k->key, &part, 1, &mac);
	memcpy(k->id, mac.b, sizeof(k->id));
}

/* AES-256-GCM over one key; 'seal' is written when 'enc', else compared. */
static bool
gcm(bool enc, const struct hash *key, const struct subject_slot *s, const uint8_t *in, uint8_t *out,
    uint8_t *seal)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t with[SUBJECT_SLOT_BYTES];
	int n;
	bool ok;

	subject_slot_put(s, with);
	ok = ctx != NULL &&
	     EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->b, s->nonce, enc ? 1 : 0) == 1 &&
	     EVP_CipherUpdate(ctx, NULL, &n, with, SEALED_WITH) == 1 &&
	     EVP_CipherUpdate(ctx, out, &n, in, HASH_BYTES) == 1;
	if (ok && !enc)
		ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, SUBJECT_SEAL_BYTES, seal) == 1;
	ok = ok && EVP_CipherFinal_ex(ctx, out + HASH_BYTES, &n) == 1;
	if (ok && enc)
		ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, SUBJECT_SEAL_BYTES, seal) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

enum im_rc
subject_slot_seal(struct hasher *h, const struct pseudonym_keys *k, struct subject_slot *ret,
		  struct subject_key *ret_key, struct im_err *err)
{
	uint8_t sealed[HASH_BYTES], seal[SUBJECT_SEAL_BYTES];
	struct hash wrap;
	bool ok;

	random_bytes(ret_key->key.b, HASH_BYTES);
	key_id(h, ret_key);
	ret->state = SUBJECT_LIVE;
	ret->epoch = k->epoch;
	ret->erase_plus = 0;
	memcpy(ret->id, ret_key->id, sizeof(ret->id));
	random_bytes(ret->nonce, sizeof(ret->nonce));
	store_key(h, k, ret->epoch, &wrap);
	ok = gcm(true, &wrap, ret, ret_key->key.b, sealed, seal);
	OPENSSL_cleanse(&wrap, sizeof(wrap));
	if (!ok)
		return err_set(err, IM_ENOMEM, "no memory to seal a subject's key");
	memcpy(ret->sealed, sealed, sizeof(sealed));
	memcpy(ret->seal, seal, sizeof(seal));
	return IM_OK;
}

enum im_rc
subject_slot_unseal(struct hasher *h, const struct pseudonym_keys *k, const struct subject_slot *s,
		    struct subject_key *ret, struct im_err *err)
{
	struct subject_key key;
	uint8_t seal[SUBJECT_SEAL_BYTES];
	struct hash wrap;
	bool ok;

	memcpy(seal, s->seal, sizeof(seal));
	store_key(h, k, s->epoch, &wrap);
	ok = s->state == SUBJECT_LIVE && gcm(false, &wrap, s, s->sealed, key.key.b, seal);
	OPENSSL_cleanse(&wrap, sizeof(wrap));
	if (ok)
		key_id(h, &key);
	if (ok && memcmp(key.id, s->id, sizeof(key.id)) == 0)
		*ret = key;
	else
		ok = false;
	OPENSSL_cleanse(&key, sizeof(key));
	return ok ? IM_OK
		  : err_set(
			err, IM_ECORRUPT,
			"a subject's key does not open: it was changed, or sealed with another key file");
}

void
subject_slot_destroy(struct subject_slot *s)
{
	s->state = SUBJECT_DESTROYED;
	OPENSSL_cleanse(s->nonce, sizeof(s->nonce));
	OPENSSL_cleanse(s->sealed, sizeof(s->sealed));
	OPENSSL_cleanse(s->seal, sizeof(s->seal));
}

bool
subject_slot_unwritten(const uint8_t bytes[SUBJECT_SLOT_BYTES])
{
	static const uint8_t zero[SUBJECT_SLOT_BYTES];

	return memcmp(bytes, zero, sizeof(zero)) == 0;
}

void
subject_head_put(struct hasher *h, const struct pseudonym_keys *k, uint8_t out[SUBJECT_SLOT_BYTES])
{
	static const char magic[32] = "infermesh subject keys, v1\n";
	static const char label[] = "subject-file/v1";
	const struct hash_part part = { label, sizeof(label) };
	struct hash check;

	hasher_hmac(h, &k->master, &part, 1, &check);
	memset(out, 0, SUBJECT_SLOT_BYTES);
	memcpy(out, magic, sizeof(magic));
	memcpy(out + sizeof(magic), check.b, sizeof(check.b));
}

enum im_rc
subject_head_check(struct hasher *h, const struct pseudonym_keys *k,
		   const uint8_t have[SUBJECT_SLOT_BYTES], const char *path, struct im_err *err)
{
	uint8_t want[SUBJECT_SLOT_BYTES];

	subject_head_put(h, k, want);
	if (memcmp(have, want, 32) != 0)
		return err_set(err, IM_EINVAL, "%s is no file of subject keys", path);
	if (memcmp(have, want, sizeof(want)) != 0)
		return err_set(
		    err, IM_EINVAL,
		    "the subject keys in %s were sealed with another key file: put back the one that belongs to them",
		    path);
	return IM_OK;
}
