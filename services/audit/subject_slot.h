/*
 * audit/subject_slot.h - one subject's key as it lies on the disk: 128 bytes, sealed with AES-256-GCM under a key that follows
 * from the master secret. Bytes only; the file is subjects.h's business. Never holds a name.
 *
 * K_store(epoch) = HMAC(master, "subject-store/v1" 0x00 ‖ epoch u32 big-endian)
 * tag            = first 16 bytes of HMAC(master, "subject-name/v1" 0x00 ‖ length of tenant u32 big-endian ‖ tenant ‖ caller)
 * id             = first 8 bytes of HMAC(K_subject, "key-id/v1")
 *
 * Numbers are little-endian. The seal's additional data are bytes 0 to 51 of the living slot.
 *   0  4 state     4  4 epoch    8  8 id      16 16 tag      32  8 made, microseconds since 1970
 *  40  8 index of the ERASE record plus one   48  4 zero     52 12 nonce    64 32 sealed key   96 16 seal's tag
 * 112 12 zero   124  4 CRC-32C of what is before it
 */
#ifndef AUDIT_SUBJECT_SLOT_H
#define AUDIT_SUBJECT_SLOT_H

#include <stdbool.h>

#include "audit/pseudonym.h"
#include "base/err.h"

#define SUBJECT_SLOT_BYTES  128
#define SUBJECT_ID_BYTES    8
#define SUBJECT_TAG_BYTES   16
#define SUBJECT_NONCE_BYTES 12
#define SUBJECT_SEAL_BYTES  16

enum subject_state { /* numbers are the file's */
	SUBJECT_LIVE = 1,
	SUBJECT_DESTROYED = 2, /* the key is gone, the ERASE record is still to come */
	SUBJECT_ERASED = 3,
};

struct subject_key {
	struct hash key; /* a secret: wipe it after use */
	uint8_t id[SUBJECT_ID_BYTES];
};

struct subject_slot {
	enum subject_state state;
	uint32_t epoch;
	uint8_t id[SUBJECT_ID_BYTES];
	uint8_t tag[SUBJECT_TAG_BYTES];
	uint64_t made_us;
	uint64_t erase_plus; /* index of the ERASE record plus one; 0 = none yet */
	uint8_t nonce[SUBJECT_NONCE_BYTES];
	uint8_t sealed[HASH_BYTES];
	uint8_t seal[SUBJECT_SEAL_BYTES];
};

void subject_slot_put(const struct subject_slot *s, uint8_t out[SUBJECT_SLOT_BYTES]);

/** False if the checksum or the state is wrong; 'ret' is filled all the same. */
bool subject_slot_get(const uint8_t in[SUBJECT_SLOT_BYTES], struct subject_slot *ret);

/** Which subject it is, to whoever has the master secret. */
void subject_tag(struct hasher *h, const struct pseudonym_keys *k, const char *tenant,
		 const char *caller, uint8_t ret[SUBJECT_TAG_BYTES]);

/** Make a fresh key and seal it into '*ret', whose 'tag' and 'made_us' the caller sets before. IM_ENOMEM. */
IM_MUST_CHECK enum im_rc subject_slot_seal(struct hasher *h, const struct pseudonym_keys *k,
					   struct subject_slot *ret, struct subject_key *ret_key,
					   struct im_err *err);

/** Open the seal of a living slot. IM_ECORRUPT: it is not what was sealed, or under another master secret. */
IM_MUST_CHECK enum im_rc subject_slot_unseal(struct hasher *h, const struct pseudonym_keys *k,
					     const struct subject_slot *s, struct subject_key *ret,
					     struct im_err *err);

/** Overwrite the key and say that it is gone. */
void subject_slot_destroy(struct subject_slot *s);

/** True for zeros: nothing was written there yet. */
bool subject_slot_unwritten(const uint8_t in[SUBJECT_SLOT_BYTES]);

/** The first slot of a file, which says what it is and whose. */
void subject_head_put(struct hasher *h, const struct pseudonym_keys *k,
		      uint8_t out[SUBJECT_SLOT_BYTES]);

/** IM_EINVAL unless it is that of 'k'; 'path' is for the text. */
IM_MUST_CHECK enum im_rc subject_head_check(struct hasher *h, const struct pseudonym_keys *k,
					    const uint8_t have[SUBJECT_SLOT_BYTES],
					    const char *path, struct im_err *err);

#endif
