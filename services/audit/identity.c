/*
 * audit/identity.c - remembered pseudonyms; see identity.h. Each pair of names has one place; who comes later takes it.
 */
#include "audit/identity.h"

#include <openssl/crypto.h>
#include <string.h>

static void
derive(struct hasher *h, const struct pseudonym_keys *k, const char *tenant, const char *caller,
       struct identity *ret)
{
	pseudonym_make(h, k, tenant, PSEUDONYM_CALLER, caller, ret->caller);
	pseudonym_make(h, k, tenant, PSEUDONYM_TENANT, tenant, ret->tenant);
	OPENSSL_cleanse(&ret->subject, sizeof(ret->subject));
	OPENSSL_cleanse(&ret->opener, sizeof(ret->opener));
	ret->has_subject = false;
}

/* FNV-1a; only for finding a place, so names that meet there cost time and nothing else. */
static uint32_t
mix(uint32_t hash, const char *s)
{
	do {
		hash = (hash ^ (uint8_t)*s) * 16777619u;
	} while (*s++ != '\0');
	return hash;
}

struct identity *
identity_get(struct identities *ids, struct hasher *h, const struct pseudonym_keys *k,
	     const char *tenant, const char *caller)
{
	uint32_t place = mix(mix(2166136261u, tenant), caller) % IDENTITY_SLOTS;
	struct identity_slot *s = &ids->slot[place];
	size_t tenant_len = strlen(tenant), caller_len = strlen(caller);

	if (s->used && s->epoch == k->epoch && strcmp(s->tenant, tenant) == 0 &&
	    strcmp(s->caller, caller) == 0)
		return &s->is;
	if (tenant_len > IDENTITY_NAME_MAX || caller_len > IDENTITY_NAME_MAX) {
		derive(h, k, tenant, caller, &ids->other);
		return &ids->other;
	}
	derive(h, k, tenant, caller, &s->is);
	memcpy(s->tenant, tenant, tenant_len + 1);
	memcpy(s->caller, caller, caller_len + 1);
	s->epoch = k->epoch;
	s->used = true;
	return &s->is;
}

static struct identity_input *
input_of(struct identities *ids, const uint8_t *request_id)
{
	const uint8_t *end = request_id + sizeof(ids->input[0].request_id);

	/* Ids that count up or begin with the time differ in their end. */
	return &ids->input[(end[-1] | (unsigned)end[-2] << 8) % IDENTITY_INPUTS];
}

void
identity_keep_input(struct identities *ids, const struct identity *who, const uint8_t *request_id,
		    const uint8_t content[HASH_BYTES], const struct hash *commitment)
{
	struct identity_input *in = input_of(ids, request_id);

	in->used = true;
	memcpy(in->request_id, request_id, sizeof(in->request_id));
	memcpy(in->key_id, who->subject.id, sizeof(in->key_id));
	memcpy(in->content, content, sizeof(in->content));
	in->commitment = *commitment;
}

bool
identity_take_input(struct identities *ids, const struct identity *who, const uint8_t *request_id,
		    const uint8_t content[HASH_BYTES], struct hash *ret)
{
	struct identity_input *in = input_of(ids, request_id);

	if (!in->used || memcmp(in->request_id, request_id, sizeof(in->request_id)) != 0 ||
	    memcmp(in->key_id, who->subject.id, sizeof(in->key_id)) != 0 ||
	    memcmp(in->content, content, sizeof(in->content)) != 0)
		return false;
	*ret = in->commitment;
	OPENSSL_cleanse(in, sizeof(*in));
	return true;
}

void
identities_done(struct identities *ids)
{
	OPENSSL_cleanse(ids, sizeof(*ids));
}
