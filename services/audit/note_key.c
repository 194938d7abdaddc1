/*
 * audit/note_key.c - keys of signed notes: their text forms; see note.h.
 */
#include "audit/note.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"

#define SKEY_PREFIX "PRIVATE+KEY+"

/* First 4 bytes of SHA256(name ‖ 0x0A ‖ alg ‖ public key). */
static uint32_t
key_id(const char *name, enum note_alg alg, const uint8_t pub[NOTE_KEY_BYTES])
{
	uint8_t in[NOTE_NAME_MAX + 2 + NOTE_KEY_BYTES], md[32];
	size_t len = strlen(name);

	// NOLINTNEXTLINE(bugprone-not-null-terminated-result): bytes to hash, no text
	memcpy(in, name, len);
	in[len++] = '\n';
	in[len++] = (uint8_t)alg;
	memcpy(in + len, pub, NOTE_KEY_BYTES);
	(void)crypto_hash_sha256(md, in, len + NOTE_KEY_BYTES);
	return (uint32_t)md[0] << 24 | (uint32_t)md[1] << 16 | (uint32_t)md[2] << 8 | md[3];
}

/* "name+hash8+base64(alg ‖ 32 bytes)" */
static bool
parse_key(const char *text, enum note_alg alg, char name[NOTE_NAME_MAX + 1], uint32_t *ret_id,
	  uint8_t key[NOTE_KEY_BYTES])
{
	const char *hash = strchr(text, '+');
	const char *b64;
	char digits[9];
	uint8_t id[4], raw[1 + NOTE_KEY_BYTES];
	size_t raw_len, i;
	bool good;

	if (hash == NULL || (size_t)(hash - text) > NOTE_NAME_MAX || strnlen(hash, 10) < 10 ||
	    hash[9] != '+')
		return false;
	memcpy(name, text, (size_t)(hash - text));
	name[hash - text] = '\0';
	memcpy(digits, hash + 1, 8);
	digits[8] = '\0';
	for (i = 0; i < 8; i++)
		if (digits[i] >= 'A' && digits[i] <= 'F')
			return false;
	b64 = hash + 10;
	good = note_name_ok(name) && hex_decode(digits, id, 4) &&
	       base64_decode(b64, strlen(b64), raw, sizeof(raw), &raw_len) &&
	       raw_len == sizeof(raw) && raw[0] == (uint8_t)alg;
	if (good) {
		*ret_id =
		    (uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3];
		memcpy(key, raw + 1, NOTE_KEY_BYTES);
	}
	sodium_memzero(raw, sizeof(raw));
	return good;
}

/* What the key should have been, for messages. */
static const char *
kind(enum note_alg alg)
{
	return alg == NOTE_SIGNATURE ? "an Ed25519 key"
				     : "the Ed25519 key of a witness (type 0x04)";
}

static enum im_rc
parse_verifier(const char *vkey, enum note_alg alg, struct note_verifier *ret, struct im_err *err)
{
	struct note_verifier v = { .alg = alg };
	uint32_t id;

	if (sodium_init() < 0)
		return err_set(err, IM_EUNAVAILABLE, "libsodium cannot start");
	if (!parse_key(vkey, alg, v.name, &v.key_id, v.pub))
		return err_set(err, IM_EINVAL,
			       "not a verifier key: it reads NAME+HASH+KEY, with %s", kind(alg));
	id = key_id(v.name, alg, v.pub);
	if (id != v.key_id)
		return err_set(err, IM_EINVAL, "not a verifier key: its hash is %08x, not %08x", id,
			       v.key_id);
	*ret = v;
	return IM_OK;
}

enum im_rc
note_verifier_parse(const char *vkey, struct note_verifier *ret, struct im_err *err)
{
	return parse_verifier(vkey, NOTE_SIGNATURE, ret, err);
}

enum im_rc
note_cosigner_parse(const char *vkey, struct note_verifier *ret, struct im_err *err)
{
	return parse_verifier(vkey, NOTE_COSIGNATURE, ret, err);
}

void
note_verifier_of(const struct note_signer *s, struct note_verifier *ret)
{
	*ret = (struct note_verifier){ .alg = s->alg, .key_id = s->key_id };
	memcpy(ret->name, s->name, sizeof(ret->name));
	memcpy(ret->pub, s->pub, sizeof(ret->pub));
}

static enum im_rc
make_signer(const char *name, enum note_alg alg, const uint8_t seed[NOTE_KEY_BYTES],
	    struct note_signer *ret, struct im_err *err)
{
	struct note_signer s = { .alg = alg };
	uint8_t secret[crypto_sign_SECRETKEYBYTES];

	if (!note_name_ok(name))
		return err_set(err, IM_EINVAL,
			       "'%s' cannot be the name of a %s: 1 to %d bytes, no blanks and no +",
			       name, alg == NOTE_SIGNATURE ? "log" : "witness", NOTE_NAME_MAX);
	if (sodium_init() < 0)
		return err_set(err, IM_EUNAVAILABLE, "libsodium cannot start");
	memcpy(s.name, name, strlen(name) + 1);
	memcpy(s.seed, seed, NOTE_KEY_BYTES);
	(void)crypto_sign_seed_keypair(s.pub, secret, seed);
	sodium_memzero(secret, sizeof(secret));
	s.key_id = key_id(s.name, alg, s.pub);
	*ret = s;
	sodium_memzero(s.seed, sizeof(s.seed));
	return IM_OK;
}

static enum im_rc
parse_signer(const char *skey, enum note_alg alg, struct note_signer *ret, struct im_err *err)
{
	struct note_signer s = { 0 };
	char name[NOTE_NAME_MAX + 1];
	uint8_t seed[NOTE_KEY_BYTES];
	uint32_t id;
	enum im_rc rc;

	if (strncmp(skey, SKEY_PREFIX, strlen(SKEY_PREFIX)) != 0 ||
	    !parse_key(skey + strlen(SKEY_PREFIX), alg, name, &id, seed))
		return err_set(err, IM_EINVAL,
			       "not a signing key: it reads PRIVATE+KEY+NAME+HASH+KEY, with %s",
			       kind(alg));
	rc = make_signer(name, alg, seed, &s, err);
	sodium_memzero(seed, sizeof(seed));
	if (rc != IM_OK)
		return rc;
	if (s.key_id != id) {
		note_signer_done(&s);
		return err_set(err, IM_EINVAL, "not a signing key: its hash does not fit the key");
	}
	*ret = s;
	sodium_memzero(s.seed, sizeof(s.seed));
	return IM_OK;
}

enum im_rc
note_signer_new(const char *name, const uint8_t seed[NOTE_KEY_BYTES], struct note_signer *ret,
		struct im_err *err)
{
	return make_signer(name, NOTE_SIGNATURE, seed, ret, err);
}

enum im_rc
note_signer_parse(const char *skey, struct note_signer *ret, struct im_err *err)
{
	return parse_signer(skey, NOTE_SIGNATURE, ret, err);
}

enum im_rc
note_cosigner_new(const char *name, const uint8_t seed[NOTE_KEY_BYTES], struct note_signer *ret,
		  struct im_err *err)
{
	return make_signer(name, NOTE_COSIGNATURE, seed, ret, err);
}

enum im_rc
note_cosigner_skey_parse(const char *skey, struct note_signer *ret, struct im_err *err)
{
	return parse_signer(skey, NOTE_COSIGNATURE, ret, err);
}

void
note_signer_done(struct note_signer *s)
{
	sodium_memzero(s, sizeof(*s));
}

static void
key_text(const char *prefix, const struct note_signer *s, const uint8_t key[NOTE_KEY_BYTES],
	 char ret[NOTE_KEYTEXT_MAX])
{
	uint8_t raw[1 + NOTE_KEY_BYTES];
	char b64[BASE64_LEN(sizeof(raw)) + 1];

	raw[0] = (uint8_t)s->alg;
	memcpy(raw + 1, key, NOTE_KEY_BYTES);
	base64_encode(raw, sizeof(raw), b64);
	(void)snprintf(ret, NOTE_KEYTEXT_MAX, "%s%s+%08x+%s", prefix, s->name, s->key_id, b64);
	sodium_memzero(raw, sizeof(raw));
	sodium_memzero(b64, sizeof(b64));
}

void
note_signer_vkey(const struct note_signer *s, char ret[NOTE_KEYTEXT_MAX])
{
	key_text("", s, s->pub, ret);
}

void
note_signer_skey(const struct note_signer *s, char ret[NOTE_KEYTEXT_MAX])
{
	key_text(SKEY_PREFIX, s, s->seed, ret);
}
