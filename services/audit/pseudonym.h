/*
 * audit/pseudonym.h - who a record is about, without saying it: keys that are derived from the master secret, and the
 * pseudonyms of callers and tenants. Never stores an identity.
 *
 * K_epoch(tenant)          = HMAC(master, "tenant-epoch/v1" 0x00 ‖ epoch u32 big-endian ‖ tenant)
 * pseudonym(tenant, who)   = first 16 bytes of HMAC(K_epoch(tenant), kind ":" who), kind being "caller" or "tenant"
 * K_subject(tenant,caller) = random, kept by subjects.h; of records without a subject_key:
 *                            HMAC(master, "subject/v1" 0x00 ‖ length of tenant u32 big-endian ‖ tenant ‖ caller)
 */
#ifndef AUDIT_PSEUDONYM_H
#define AUDIT_PSEUDONYM_H

#include "audit/hasher.h"

#define PSEUDONYM_BYTES 16

/* The secrets of one log. */
struct pseudonym_keys {
	struct hash master;
	uint32_t
	    epoch; /* raised by a later rotation; pseudonyms of different epochs cannot be linked */
};

#define PSEUDONYM_CALLER "caller:"
#define PSEUDONYM_TENANT "tenant:"

/** 'kind' is one of the two above: a caller and a tenant of the same name must not look alike. */
void pseudonym_make(struct hasher *h, const struct pseudonym_keys *k, const char *tenant,
		    const char *kind, const char *who, uint8_t ret[PSEUDONYM_BYTES]);

/** HMAC(master, label ‖ length of tenant u32 big-endian ‖ tenant ‖ caller): what both names together make. */
void pseudonym_named(struct hasher *h, const struct pseudonym_keys *k, const char *label,
		     size_t label_len, const char *tenant, const char *caller, struct hash *ret);

/** The key under which the openings of records without a subject_key were made: those of logs written before there was a
 *  store of subjects' keys (subjects.h). A secret: wipe it after use. */
void pseudonym_subject(struct hasher *h, const struct pseudonym_keys *k, const char *tenant,
		       const char *caller, struct hash *ret);

#endif
