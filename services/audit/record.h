/*
 * audit/record.h - one entry of the log as a plain struct, and its one and only encoding: 0x01 and deterministic protobuf.
 * proto/infermesh/v1/audit.proto holds the meaning of each member. Never makes up a value.
 */
#ifndef AUDIT_RECORD_H
#define AUDIT_RECORD_H

#include "audit/hasher.h"
#include "wire/mesh.h"

#define RECORD_VERSION      0x01
#define RECORD_PSEUDO_BYTES 16
#define RECORD_BLIND_BYTES  16
#define RECORD_ID_BYTES     16
#define RECORD_KEY_ID_BYTES 8

/* PRUNE: the entries below 'min_index' are deleted from here on. */
struct record_prune {
	uint64_t
	    min_index; /* a multiple of TILE_WIDTH below 'size', or 'size': all of a shard that has ended */
	uint64_t size;    /* of the tree before this record, or of that shard */
	struct hash root; /* of that tree */
	uint64_t first;   /* number of the first record of the shard that this is about */
};

/* KEY_ROTATE at the end of a shard: the log goes on under this name and key (docs/adr/0008-shards.md). */
struct record_next {
	const char *origin;
	const char *vkey;
};

/* KEY_ROTATE at the beginning of every shard but the first: what it continues. */
struct record_previous {
	const char *origin;
	uint64_t size; /* of the whole shard before */
	struct hash root;
	uint32_t ordinal; /* shards before this one */
	uint64_t first;   /* number of this record */
};

struct record {
	enum record_kind kind;
	uint8_t request_id[RECORD_ID_BYTES];
	bool has_request_id;
	uint64_t prev_index; /* number of the REQUEST plus one; 0 = none */
	uint8_t caller[RECORD_PSEUDO_BYTES], tenant[RECORD_PSEUDO_BYTES];
	bool has_caller, has_tenant;
	uint64_t request_time_us, response_time_us, log_time_us; /* since 1970 */
	struct hash input_commitment, output_commitment;
	bool has_input, has_output;
	const char *model, *model_digest;
	uint8_t config_digest[32];
	bool has_config_digest;
	enum outcome outcome;
	uint32_t status_code;
	struct routing routing;
	bool has_routing;
	struct usage usage;
	bool has_usage;
	struct gap gap;
	bool has_gap;
	uint8_t blind[RECORD_BLIND_BYTES];
	uint8_t subject_key[RECORD_KEY_ID_BYTES];
	bool has_subject_key;
	struct record_prune prune;
	bool has_prune;
	struct record_next next;
	bool has_next;
	struct record_previous previous;
	bool has_previous;
	uint8_t reporter[AUDIT_REPORTER_BYTES];
	bool has_reporter;
};

/** Append the entry. False when the buffer failed. Strings may be NULL for "". */
bool record_encode(const struct record *r, struct buf *out);

/**
 * Decode the untrusted 'len' bytes of an entry. Strings point into 'arena'. Strict: what encodes to other bytes than
 * these is IM_EPROTO, so each record has one encoding and one hash. IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc record_decode(const uint8_t *entry, size_t len, struct arena *arena,
				       struct record *ret, struct im_err *err);

/* What a start has to know of each of its newest records. */
struct record_glance {
	enum record_kind kind;
	const uint8_t *request_id; /* into the entry */
	uint64_t log_time_us;
};

/** A glance at an entry that a signature vouches for, or will before it matters: ten times faster than record_decode(), and no check of the rest. False
 *  if it is no plain REQUEST or RESPONSE: then record_decode() tells what it is. */
bool record_glance(const uint8_t *entry, size_t len, struct record_glance *ret);

/** True for the kinds that end a request: one of them for each REQUEST. */
bool record_is_terminal(enum record_kind kind);

#endif
