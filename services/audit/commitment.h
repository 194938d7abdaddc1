/*
 * audit/commitment.h - commitments to contents that are not in the log, and their openings, each of which discloses one
 * field of one record. Never sees the content itself, only its SHA-256.
 *
 * opening    = HMAC(K_subject, "open/v1" ‖ request_id (16 bytes) ‖ field)
 * commitment = HMAC(opening, "audit/<field>/v1" 0x00 ‖ SHA256(content))
 */
#ifndef AUDIT_COMMITMENT_H
#define AUDIT_COMMITMENT_H

#include "audit/hasher.h"

#define COMMITMENT_INPUT  "input"
#define COMMITMENT_OUTPUT "output"

/** 'subject' is made of K_subject; 'request_id' has 16 bytes. */
void commitment_opening(const struct hmac_key *subject, const uint8_t *request_id,
			const char *field, struct hash *ret);

/** 'content' is the SHA-256 of the content. A verifier calls this with a disclosed opening. */
void commitment_make(struct hasher *h, const struct hash *opening, const char *field,
		     const uint8_t content[HASH_BYTES], struct hash *ret);

#endif
