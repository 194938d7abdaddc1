/*
 * audit/commitment.c - openings and commitments; see commitment.h.
 */
#include "audit/commitment.h"

#include <string.h>

void
commitment_opening(const struct hmac_key *subject, const uint8_t *request_id, const char *field,
		   struct hash *ret)
{
	const struct hash_part parts[] = { { "open/v1", 7 },
					   { request_id, 16 },
					   { field, strlen(field) } };

	hasher_hmac_under(subject, parts, 3, ret);
}

void
commitment_make(struct hasher *h, const struct hash *opening, const char *field,
		const uint8_t content[HASH_BYTES], struct hash *ret)
{
	static const char version[] = "/v1"; /* its NUL is part of it */
	const struct hash_part parts[] = { { "audit/", 6 },
					   { field, strlen(field) },
					   { version, sizeof(version) },
					   { content, HASH_BYTES } };

	hasher_hmac(h, opening, parts, 4, ret);
}
