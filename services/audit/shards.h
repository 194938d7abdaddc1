/*
 * audit/shards.h - the shards of one log, in order. A log goes on under a new name, tree and key when its key is rotated or
 * a half-year begins (docs/adr/0008-shards.md); all the old ones stay as they are. Reads only; believes no more than is signed.
 *
 *   audit.dir/checkpoint, tile/, wal/      the first shard, whose origin is audit.origin
 *   audit.dir/next.tlog-proof              there is a next one: a proof of the first shard's last record, which names it
 *   audit.dir/2027h1-1/checkpoint, ...     the next shard, whose origin is audit.origin/2027h1-1, and so on
 *
 * A shard's folder is all that its origin says behind the first one's and a '/'. All records are numbered through: the number of
 * a record is its index in its shard plus the sizes of the shards before. In the first shard number and index are the same.
 */
#ifndef AUDIT_SHARDS_H
#define AUDIT_SHARDS_H

#include "audit/disk.h"
#include "audit/source.h"

#define SHARDS_MAX     4096
#define SHARD_NAME_MAX 16 /* "2027h1-1", with its NUL */
#define SHARD_NEXT     "next.tlog-proof"

/* One shard. 'source' reads it as if it were a log by itself. */
struct shard {
	struct audit_source source;
	char name[SHARD_NAME_MAX]; /* of its folder below the first one's; "" = the first */
	char origin[NOTE_NAME_MAX +
		    1]; /* "" = only its checkpoint knows: the first one, if it is the last too */
	char vkey[NOTE_KEYTEXT_MAX]; /* as the shard before says; "" = nobody said */
	uint64_t first;              /* number of its first record */
	bool closed;                 /* it has ended, and all that follows is known: */
	uint64_t size;               /* its records; 0 while it is not closed */
	struct hash root;            /* of these */

	/* For 'source'. */
	const struct audit_source *log;
	char path[DISK_PATH_MAX];
};

struct shards {
	struct shard **shard; /* 'count' of them, at least one; the last one is the newest */
	size_t count;
};

/**
 * Find the shards of the log at 'log', which must outlive 'ret'. 'vkey', the first shard's verifier key, may be NULL: then
 * the first link is taken as it is; each later one is checked against the key that the link before names. Works while the
 * service runs. A log that knows nothing of shards has one. IM_ECORRUPT: a link is malformed, or not signed as it must be;
 * IM_EINVAL (vkey), IM_EIO, IM_EUNAVAILABLE, IM_ENOMEM. A log that is not there is no error: it has one shard, which cannot be read.
 * On failure nothing is left behind.
 */
IM_MUST_CHECK enum im_rc shards_load(const struct audit_source *log, const char *vkey,
				     struct shards *ret, struct im_err *err);

/** 'ret' reads the shard 'name' of 'log', which must outlive it; "" is the first. It must not be moved. IM_EINVAL. */
IM_MUST_CHECK enum im_rc shard_open(struct shard *ret, const struct audit_source *log,
				    const char *name, struct im_err *err);

/** Zero-initialised is fine. */
void shards_done(struct shards *s);

/** The shard that record 'number' is in, or would be, and the record's index there. Never NULL. */
const struct shard *shards_at(const struct shards *s, uint64_t number, uint64_t *ret_index);

/** The shard of this name, or NULL. */
const struct shard *shards_named(const struct shards *s, const char *name);

/* One link of the chain. */
struct shard_link {
	uint64_t size;
	struct hash root;
	char origin[NOTE_NAME_MAX + 1]; /* of the shard that it ends */
	char next_origin[NOTE_NAME_MAX + 1];
	char next_vkey[NOTE_KEYTEXT_MAX];
};

/** Read the end of the shard at 's', checked against 'key' unless that is NULL. IM_ENOTFOUND: it has not ended; else as
 *  shards_load(). */
IM_MUST_CHECK enum im_rc shard_link_read(struct hasher *h, const struct audit_source *s,
					 const struct note_verifier *key, struct shard_link *ret,
					 struct im_err *err);

/** True for "2027h1-1": a half-year, and a number from 1. */
bool shard_name_ok(const char *name);

/** Split "2027h1-1/tile/0/000": the shard's name ("" = the first) into 'ret_name', and what follows is returned. */
const char *shard_path_split(const char *path, char ret_name[SHARD_NAME_MAX]);

/** The name behind 'first_origin' and '/', or NULL if 'origin' is not so made. Into 'origin'. */
const char *shard_name_of(const char *first_origin, const char *origin);

/** A name for a shard that begins at 'us' (since 1970, UTC), behind the one that is called 'previous'. False: too many. */
bool shard_name_next(const char *previous, uint64_t us, char ret[SHARD_NAME_MAX]);

/** Microseconds since 1970 at which the half-year in a shard's name ends, UTC. False: that is no such name. */
bool shard_name_end(const char *name, uint64_t *ret_us);

/** Microseconds since 1970 at which the half-year after that of 'us' begins, UTC. */
uint64_t shard_half_year_end(uint64_t us);

#endif
