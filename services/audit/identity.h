/*
 * audit/identity.h - what becomes of a tenant and a caller in a record, remembered for those that come again: deriving it
 * takes four HMACs and the subject's key a read, and the same few callers make nearly all records. In memory only; wiped when the log is closed.
 */
#ifndef AUDIT_IDENTITY_H
#define AUDIT_IDENTITY_H

#include <stdbool.h>

#include "audit/subject_slot.h"

#define IDENTITY_SLOTS    1024
#define IDENTITY_NAME_MAX 96 /* a longer name is derived each time */

struct identity {
	uint8_t caller[PSEUDONYM_BYTES]; /* pseudonyms */
	uint8_t tenant[PSEUDONYM_BYTES];
	bool has_subject;
	struct subject_key subject; /* the log's to fill in from subjects.h */
	struct hmac_key opener;     /* of that key */
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
};

/** Never NULL; valid until the next call. 'has_subject' is false when it was not there. */
struct identity *identity_get(struct identities *ids, struct hasher *h,
			      const struct pseudonym_keys *k, const char *tenant,
			      const char *caller);

/** Wipe all. */
void identities_done(struct identities *ids);

#endif
