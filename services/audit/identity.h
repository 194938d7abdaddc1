/*
 * audit/identity.h - what becomes of a tenant, a caller and an input in a record, remembered for those that come again: deriving it
 * takes four HMACs and the subject's key a read, and the same few callers make nearly all records. In memory only; wiped when the log is closed.
 */
#ifndef AUDIT_IDENTITY_H
#define AUDIT_IDENTITY_H

#include <stdbool.h>

#include "audit/subject_slot.h"

#define IDENTITY_SLOTS    1024
#define IDENTITY_INPUTS   1024
#define IDENTITY_NAME_MAX 96 /* a longer name is derived each time */

struct identity {
	uint8_t caller[PSEUDONYM_BYTES]; /* pseudonyms */
	uint8_t tenant[PSEUDONYM_BYTES];
	bool has_subject;
	struct subject_key subject; /* the log's to fill in from subjects.h */
	struct hmac_key opener;     /* of that key */
};

/* The commitment of a REQUEST to its input, until the RESPONSE takes it over. The hash of the input is secret, and wiped then. */
struct identity_input {
	bool used;
	uint8_t request_id[16], key_id[SUBJECT_ID_BYTES];
	uint8_t content[HASH_BYTES];
	struct hash commitment;
};

struct identity_slot {
	bool used;
	uint32_t epoch;
	char tenant[IDENTITY_NAME_MAX + 1];
	char caller[IDENTITY_NAME_MAX + 1];
	struct identity is;
};

/* Zero-initialised is empty. Not thread-safe. For one set of keys. */
struct identities {
	struct identity_slot slot[IDENTITY_SLOTS];
	struct identity other; /* of names that are too long for a slot */
	struct identity_input
	    input[IDENTITY_INPUTS]; /* each request has one place: who comes later takes it */
};

/** Never NULL; valid until the next call. 'has_subject' is false when it was not there. */
struct identity *identity_get(struct identities *ids, struct hasher *h,
			      const struct pseudonym_keys *k, const char *tenant,
			      const char *caller);

/** Remember what request 'request_id' (16 bytes) commits to, 'content' under the subject's key of 'who', until it is taken or another one needs its
 *  place. */
void identity_keep_input(struct identities *ids, const struct identity *who,
			 const uint8_t *request_id, const uint8_t content[HASH_BYTES],
			 const struct hash *commitment);

/** That commitment, which is forgotten then. False: it is not remembered, for the same content under the same key. */
bool identity_take_input(struct identities *ids, const struct identity *who,
			 const uint8_t *request_id, const uint8_t content[HASH_BYTES],
			 struct hash *ret);

/** Wipe all. */
void identities_done(struct identities *ids);

#endif
