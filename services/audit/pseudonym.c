/*
 * audit/pseudonym.c - derived keys and pseudonyms; see pseudonym.h.
 */
#include "audit/pseudonym.h"

#include <openssl/crypto.h>
#include <string.h>

static void
put_u32(uint8_t out[4], uint32_t v)
{
	out[0] = (uint8_t)(v >> 24);
	out[1] = (uint8_t)(v >> 16);
	out[2] = (uint8_t)(v >> 8);
	out[3] = (uint8_t)v;
}

void
pseudonym_make(struct hasher *h, const struct pseudonym_keys *k, const char *tenant,
	       const char *kind, const char *who, uint8_t ret[PSEUDONYM_BYTES])
{
	static const char label[] = "tenant-epoch/v1"; /* its NUL is part of it */
	uint8_t epoch[4];
	struct hash key, mac;
	const struct hash_part of_key[] = { { label, sizeof(label) },
					    { epoch, 4 },
					    { tenant, strlen(tenant) } };
	const struct hash_part of_name[] = { { kind, strlen(kind) }, { who, strlen(who) } };

	put_u32(epoch, k->epoch);
	hasher_hmac(h, &k->master, of_key, 3, &key);
	hasher_hmac(h, &key, of_name, 2, &mac);
	memcpy(ret, mac.b, PSEUDONYM_BYTES);
	OPENSSL_cleanse(&key, sizeof(key));
}

void
pseudonym_named(struct hasher *h, const struct pseudonym_keys *k, const char *label,
		size_t label_len, const char *tenant, const char *caller, struct hash *ret)
{
	uint8_t tenant_len[4];
	const struct hash_part parts[] = { { label, label_len },
					   { tenant_len, 4 },
					   { tenant, strlen(tenant) },
					   { caller, strlen(caller) } };

	put_u32(tenant_len, (uint32_t)strlen(tenant));
	hasher_hmac(h, &k->master, parts, 4, ret);
}

void
pseudonym_subject(struct hasher *h, const struct pseudonym_keys *k, const char *tenant,
		  const char *caller, struct hash *ret)
{
	static const char label[] = "subject/v1"; /* its NUL is part of it */

	pseudonym_named(h, k, label, sizeof(label), tenant, caller, ret);
}
