/*
 * audit/note_key.c - keys of signed notes: their text forms and OpenSSL's handles; see note.h.
 */
#include "audit/note.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"

#define SKEY_PREFIX "PRIVATE+KEY+"

/* First 4 bytes of SHA256(name ‖ 0x0A ‖ alg ‖ public key). */
static bool
key_id(const char *name, enum note_alg alg, const uint8_t pub[NOTE_KEY_BYTES], uint32_t *ret)
{
	uint8_t in[NOTE_NAME_MAX + 2 + NOTE_KEY_BYTES], md[32];
	size_t len = strlen(name);
	size_t md_len;

	// NOLINTNEXTLINE(bugprone-not-null-terminated-result): bytes to hash, no text
	memcpy(in, name, len);
	in[len++] = '\n';
	in[len++] = (uint8_t)alg;
	memcpy(in + len, pub, NOTE_KEY_BYTES);
	if (EVP_Q_digest(NULL, "SHA256", NULL, in, len + NOTE_KEY_BYTES, md, &md_len) != 1)
		return false;
	*ret = (uint32_t)md[0] << 24 | (uint32_t)md[1] << 16 | (uint32_t)md[2] << 8 | md[3];
	return true;
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
	OPENSSL_cleanse(raw, sizeof(raw));
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
make_verifier(struct note_verifier *v, struct im_err *err)
{
	v->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, v->pub, NOTE_KEY_BYTES);
	return v->key != NULL ? IM_OK : err_set(err, IM_ENOMEM, "no memory for a verifier key");
}

static enum im_rc
parse_verifier(const char *vkey, enum note_alg alg, struct note_verifier *ret, struct im_err *err)
{
	struct note_verifier v = { .alg = alg };
	uint32_t id;
	enum im_rc rc;

	if (!parse_key(vkey, alg, v.name, &v.key_id, v.pub))
		return err_set(err, IM_EINVAL,
			       "not a verifier key: it reads NAME+HASH+KEY, with %s", kind(alg));
	if (!key_id(v.name, alg, v.pub, &id))
		return err_set(err, IM_ENOMEM, "no memory for a verifier key");
	if (id != v.key_id)
		return err_set(err, IM_EINVAL, "not a verifier key: its hash is %08x, not %08x", id,
			       v.key_id);
	rc = make_verifier(&v, err);
	if (rc == IM_OK)
		*ret = v;
	return rc;
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

enum im_rc
note_verifier_of(const struct note_signer *s, struct note_verifier *ret, struct im_err *err)
{
	struct note_verifier v = { .alg = s->alg, .key_id = s->key_id };
	enum im_rc rc;

	memcpy(v.name, s->name, sizeof(v.name));
	memcpy(v.pub, s->pub, sizeof(v.pub));
	rc = make_verifier(&v, err);
	if (rc == IM_OK)
		*ret = v;
	return rc;
}

void
note_verifier_done(struct note_verifier *v)
{
	EVP_PKEY_free(v->key);
	v->key = NULL;
}

static enum im_rc
make_signer(const char *name, enum note_alg alg, const uint8_t seed[NOTE_KEY_BYTES],
	    struct note_signer *ret, struct im_err *err)
{
	struct note_signer s = { .alg = alg };
	size_t pub_len = NOTE_KEY_BYTES;

	if (!note_name_ok(name))
		return err_set(err, IM_EINVAL,
			       "'%s' cannot be the name of a %s: 1 to %d bytes, no blanks and no +",
			       name, alg == NOTE_SIGNATURE ? "log" : "witness", NOTE_NAME_MAX);
	memcpy(s.name, name, strlen(name) + 1);
	memcpy(s.seed, seed, NOTE_KEY_BYTES);
	s.key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, NOTE_KEY_BYTES);
	if (s.key == NULL || EVP_PKEY_get_raw_public_key(s.key, s.pub, &pub_len) != 1 ||
	    !key_id(s.name, alg, s.pub, &s.key_id)) {
		note_signer_done(&s);
		return err_set(err, IM_ENOMEM, "no memory for a signing key");
	}
	*ret = s;
	OPENSSL_cleanse(s.seed, sizeof(s.seed));
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
	OPENSSL_cleanse(seed, sizeof(seed));
	if (rc != IM_OK)
		return rc;
	if (s.key_id != id) {
		note_signer_done(&s);
		return err_set(err, IM_EINVAL, "not a signing key: its hash does not fit the key");
	}
	*ret = s;
	OPENSSL_cleanse(s.seed, sizeof(s.seed));
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
	EVP_PKEY_free(s->key);
	OPENSSL_cleanse(s, sizeof(*s));
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
	OPENSSL_cleanse(raw, sizeof(raw));
	OPENSSL_cleanse(b64, sizeof(b64));
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
