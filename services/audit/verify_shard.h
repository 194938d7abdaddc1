/*
 * audit/verify_shard.h - verification of one shard: its tiles, its checkpoint and its write-ahead log. Inside verification only;
 * verify.c walks from shard to shard.
 */
#ifndef AUDIT_VERIFY_SHARD_H
#define AUDIT_VERIFY_SHARD_H

#include "audit/tile.h"
#include "audit/verify.h"
#include "audit/verify_records.h"
#include "audit/verify_seen.h"

/* What later shards say of a shard is compared with this. */
struct verify_place {
	uint64_t first;     /* number of its first record */
	uint64_t size;      /* its records */
	uint64_t prune_min; /* entries below may be missing: the newest PRUNE record's */
	struct hash root;   /* of all its records, if it is 'whole' */
	bool whole;         /* it could be recomputed to the end */
	char name[SHARD_NAME_MAX];
	char origin[NOTE_NAME_MAX + 1];
};

struct verify {
	const struct audit_source *source; /* of the shard */
	const struct verify_options *options;
	struct verify_report *report;
	struct note_verifier *key; /* of the shard; NULL = its signatures are not checked */
	struct hasher hasher;
	struct tile_edge edge;
	struct verify_records records;
	struct verify_seen seen;
	struct buf bundle, tile, other;
	struct verify_place *place; /* 'count' shards; the last one is being looked at */
	size_t count;
	uint32_t ordinal;         /* shards before the first one that we were shown */
	uint64_t published, size; /* of this shard: its checkpoint, and with the write-ahead log */
	bool closed;              /* it has ended, and is all published */
	bool lost;                /* entries are missing that no PRUNE record covers */
	bool turned;              /* the shard ended while we read: once more */
	struct im_err *err;
	enum im_rc rc; /* of a callback that cannot return one */

	uint64_t wal_end;
	bool
	    wal_over; /* the service has moved on while we read: the rest of the write-ahead log says nothing to us */
};

static inline struct verify_place *
verify_place(const struct verify *v)
{
	return &v->place[v->count - 1];
}

/** Look at all of the shard v->source. IM_OK whatever is found; else as audit_verify_source(). */
IM_MUST_CHECK enum im_rc verify_shard(struct verify *v);

/** One entry: its record, then its place in the tree. 'index' counts in the shard. */
IM_MUST_CHECK enum im_rc verify_entry(struct verify *v, uint64_t index, const uint8_t *entry,
				      size_t len, const char *where, tile_full_fn full,
				      struct im_err *err);

/** The records behind the published ones. */
IM_MUST_CHECK enum im_rc verify_wal(struct verify *v);

/** Was more published since we began? */
bool verify_grown(const struct verify *v);

#endif
