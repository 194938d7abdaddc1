/*
 * inference/sealed.c - see sealed.h.
 */
#include "inference/sealed.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/le.h"

#define VERSION     1
#define NONCE_BYTES 12
#define AT_VERSION  8
#define AT_CHUNK    12
#define AT_PLAIN    16
#define AT_ID       24
#define AT_SALT     40
#define AT_TAG      72

static const uint8_t magic[SEALED_MAGIC_BYTES] = { 'I', 'N', 'F', 'E', 'R', 'M', 'D', 'L' };

struct sealed {
	EVP_CIPHER_CTX *ctx;
	bool opens;
};

/* HKDF-SHA256 of 'key' with 'salt' (NULL: none) and 'info', as RFC 5869 says. */
static bool
hkdf(const uint8_t key[SEALED_KEY_BYTES], const uint8_t *salt, const void *info, size_t info_len,
     uint8_t *ret, size_t len)
{
	OSSL_PARAM params[5], *p = params;
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
	bool ok;

	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, SEALED_KEY_BYTES);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_len);
	if (salt != NULL)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt,
							 SEALED_SALT_BYTES);
	*p = OSSL_PARAM_construct_end();
	ok = ctx != NULL && EVP_KDF_derive(ctx, ret, len, params) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}

static enum im_rc
no_cipher(struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "no memory for AES-256-GCM");
}

bool
sealed_is(const uint8_t *data, size_t len)
{
	return len >= SEALED_MAGIC_BYTES && memcmp(data, magic, SEALED_MAGIC_BYTES) == 0;
}

enum im_rc
sealed_key_init(struct sealed_key *ret, struct im_err *err)
{
	static const char info[] = "infermesh model key id";

	return hkdf(ret->bytes, NULL, info, strlen(info), ret->id, SEALED_ID_BYTES)
		   ? IM_OK
		   : no_cipher(err);
}

uint64_t
sealed_chunks(const struct sealed_head *head)
{
	return (head->plain_bytes + head->chunk_bytes - 1) / head->chunk_bytes;
}

uint32_t
sealed_chunk_len(const struct sealed_head *head, uint64_t i)
{
	uint64_t left = head->plain_bytes - i * head->chunk_bytes;

	return left < head->chunk_bytes ? (uint32_t)left : head->chunk_bytes;
}

uint64_t
sealed_file_bytes(const struct sealed_head *head)
{
	return SEALED_HEAD_BYTES + head->plain_bytes + sealed_chunks(head) * SEALED_TAG_BYTES;
}

enum im_rc
sealed_head_read(const uint8_t *data, size_t len, uint64_t file_bytes, struct sealed_head *ret,
		 struct im_err *err)
{
	struct sealed_head h;
	uint64_t want;

	if (!sealed_is(data, len))
		return err_set(err, IM_ECORRUPT, "it is no encrypted model file");
	if (len < SEALED_HEAD_BYTES || file_bytes < SEALED_HEAD_BYTES)
		return err_set(err, IM_ECORRUPT, "it is cut off within its header; copy it again");
	if (get_le(data + AT_VERSION, 4) != VERSION)
		return err_set(
		    err, IM_ECORRUPT,
		    "it is encrypted in version %llu of the format, and this program knows version %d",
		    (unsigned long long)get_le(data + AT_VERSION, 4), VERSION);
	h.chunk_bytes = (uint32_t)get_le(data + AT_CHUNK, 4);
	h.plain_bytes = get_le(data + AT_PLAIN, 8);
	memcpy(h.key_id, data + AT_ID, SEALED_ID_BYTES);
	memcpy(h.salt, data + AT_SALT, SEALED_SALT_BYTES);
	if (h.chunk_bytes < SEALED_CHUNK_MIN || h.chunk_bytes > SEALED_CHUNK_MAX ||
	    (h.chunk_bytes & (h.chunk_bytes - 1)) != 0 || h.plain_bytes == 0 ||
	    h.plain_bytes > SEALED_PLAIN_MAX)
		return err_set(err, IM_ECORRUPT, "its header was changed; copy it again");
	want = sealed_file_bytes(&h);
	if (file_bytes != want)
		return err_set(err, IM_ECORRUPT,
			       "it has %llu bytes and its header says %llu: %s; copy it again",
			       (unsigned long long)file_bytes, (unsigned long long)want,
			       file_bytes < want ? "it was cut off"
						 : "something stands behind its end");
	*ret = h;
	return IM_OK;
}

/* The cipher with the key of the file whose header is at 'data'; NULL: no memory. */
static struct sealed *
make_cipher(const struct sealed_key *key, const uint8_t data[SEALED_HEAD_BYTES], bool opens)
{
	static const char what[] = "infermesh model file";
	uint8_t info[sizeof(what) - 1 + AT_TAG], file_key[SEALED_KEY_BYTES];
	struct sealed *s = calloc(1, sizeof(*s));
	bool ok;

	if (s == NULL)
		return NULL;
	memcpy(info, what, sizeof(what) - 1);
	memcpy(info + sizeof(what) - 1, data, AT_TAG);
	s->opens = opens;
	s->ctx = EVP_CIPHER_CTX_new();
	ok = s->ctx != NULL &&
	     hkdf(key->bytes, data + AT_SALT, info, sizeof(info), file_key, sizeof(file_key)) &&
	     EVP_CipherInit_ex(s->ctx, EVP_aes_256_gcm(), NULL, file_key, NULL, opens ? 0 : 1) == 1;
	OPENSSL_cleanse(file_key, sizeof(file_key));
	if (!ok) {
		sealed_free(s);
		return NULL;
	}
	return s;
}

void
sealed_free(struct sealed *s)
{
	if (s == NULL)
		return;
	EVP_CIPHER_CTX_free(s->ctx); /* wipes the key */
	free(s);
}

/* Over the header, with no text. 'tag' is written, or compared. */
static bool
head_tag(struct sealed *s, const uint8_t data[AT_TAG], uint8_t tag[SEALED_TAG_BYTES])
{
	uint8_t nonce[NONCE_BYTES], none[SEALED_TAG_BYTES];
	int n;

	memset(nonce, 0xff, sizeof(nonce));
	return EVP_CipherInit_ex(s->ctx, NULL, NULL, NULL, nonce, -1) == 1 &&
	       EVP_CipherUpdate(s->ctx, NULL, &n, data, AT_TAG) == 1 &&
	       (!s->opens ||
		EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, SEALED_TAG_BYTES, tag) == 1) &&
	       EVP_CipherFinal_ex(s->ctx, none, &n) == 1 &&
	       (s->opens ||
		EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, SEALED_TAG_BYTES, tag) == 1);
}

enum im_rc
sealed_begin(const struct sealed_key *key, struct sealed_head *head,
	     uint8_t ret_head[SEALED_HEAD_BYTES], struct sealed **ret, struct im_err *err)
{
	struct sealed *s;

	memcpy(head->key_id, key->id, SEALED_ID_BYTES);
	memcpy(ret_head, magic, SEALED_MAGIC_BYTES);
	put_le(ret_head + AT_VERSION, VERSION, 4);
	put_le(ret_head + AT_CHUNK, head->chunk_bytes, 4);
	put_le(ret_head + AT_PLAIN, head->plain_bytes, 8);
	memcpy(ret_head + AT_ID, head->key_id, SEALED_ID_BYTES);
	memcpy(ret_head + AT_SALT, head->salt, SEALED_SALT_BYTES);
	s = make_cipher(key, ret_head, false);
	if (s == NULL || !head_tag(s, ret_head, ret_head + AT_TAG)) {
		sealed_free(s);
		return no_cipher(err);
	}
	*ret = s;
	return IM_OK;
}

enum im_rc
sealed_open_head(const struct sealed_key *key, const uint8_t data[SEALED_HEAD_BYTES],
		 const struct sealed_head *head, struct sealed **ret, struct im_err *err)
{
	char ours[2 * SEALED_ID_BYTES + 1], its[2 * SEALED_ID_BYTES + 1];
	uint8_t tag[SEALED_TAG_BYTES];
	struct sealed *s;

	if (memcmp(key->id, head->key_id, SEALED_ID_BYTES) != 0) {
		hex_encode(key->id, SEALED_ID_BYTES, ours);
		hex_encode(head->key_id, SEALED_ID_BYTES, its);
		return err_set(err, IM_EINVAL,
			       "it was encrypted with another key: with %s, not with %s", its,
			       ours);
	}
	s = make_cipher(key, data, true);
	if (s == NULL)
		return no_cipher(err);
	memcpy(tag, data + AT_TAG, sizeof(tag));
	if (!head_tag(s, data, tag)) {
		sealed_free(s);
		return err_set(err, IM_ECORRUPT, "its header was changed; copy it again");
	}
	*ret = s;
	return IM_OK;
}

/* The cipher begins chunk 'i' and takes its 'len' bytes. */
static bool
chunk_text(struct sealed *s, uint64_t i, const uint8_t *in, uint32_t len, uint8_t *out)
{
	uint8_t nonce[NONCE_BYTES] = { 0 };
	int n;

	for (unsigned k = 0; k < 8; k++)
		nonce[NONCE_BYTES - 1 - k] = (uint8_t)(i >> (8 * k));
	return EVP_CipherInit_ex(s->ctx, NULL, NULL, NULL, nonce, -1) == 1 &&
	       EVP_CipherUpdate(s->ctx, out, &n, in, (int)len) == 1 && n == (int)len;
}

enum im_rc
sealed_chunk_seal(struct sealed *s, uint64_t i, const uint8_t *plain, uint32_t len, uint8_t *ret,
		  struct im_err *err)
{
	int n;

	if (!chunk_text(s, i, plain, len, ret) || EVP_CipherFinal_ex(s->ctx, ret + len, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, SEALED_TAG_BYTES, ret + len) != 1)
		return no_cipher(err);
	return IM_OK;
}

enum im_rc
sealed_chunk_open(struct sealed *s, uint64_t i, const uint8_t *data, uint32_t len, uint8_t *ret,
		  struct im_err *err)
{
	uint8_t tag[SEALED_TAG_BYTES], none[SEALED_TAG_BYTES];
	int n;

	memcpy(tag, data + len, sizeof(tag));
	if (!chunk_text(s, i, data, len, ret) ||
	    EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, SEALED_TAG_BYTES, tag) != 1) {
		OPENSSL_cleanse(ret, len);
		return no_cipher(err);
	}
	if (EVP_CipherFinal_ex(s->ctx, none, &n) == 1)
		return IM_OK;
	OPENSSL_cleanse(ret, len);
	return err_set(
	    err, IM_ECORRUPT,
	    "its chunk %llu is not what was written there: it is damaged, or was changed; "
	    "copy it again",
	    (unsigned long long)i);
}
