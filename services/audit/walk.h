/*
 * audit/walk.h - the records of a log one after the other, of all its shards, published or not, forwards or backwards. Reads files
 * alone: works while the service runs, and without it. It proves nothing: audit_verify() does.
 */
#ifndef AUDIT_WALK_H
#define AUDIT_WALK_H

#include "audit/record.h"
#include "audit/shards.h"

struct audit_walk {
	const struct audit_source *source;
	bool backwards;    /* the newest first */
	uint64_t from, to; /* numbers (shards.h): from <= number < to; to 0 = to the end */
	uint64_t since_us, until_us; /* log_time: since <= time < until; until 0 = to the end */
	/* One record; what it points to is gone afterwards. Anything but IM_OK ends the walk, which returns it. */
	enum im_rc (*record)(void *user, uint64_t number, const struct record *r,
			     struct im_err *err);
	/* Called now and then with entries done and to do; NULL = not. Returning false ends the walk: IM_ECANCELED. */
	bool (*progress)(void *user, uint64_t done, uint64_t total);
	void *user;
};

/* What the walk found the log to be when it began. */
struct audit_walked {
	uint64_t published; /* entries in tiles */
	uint64_t end;       /* index after the last record */
	uint64_t
	    first; /* the first entry that is there, if the walk began or ended before it; else 0 */
};

/** How many entries of the log at 's' are in tiles. Errors as source_published(). */
IM_MUST_CHECK enum im_rc audit_published(const struct shards *s, uint64_t *ret, struct im_err *err);

/**
 * Walk over the log as it was when the walk began. Entries missing at the beginning of a shard count as pruned and are passed
 * over: see ret->first. IM_ENOTFOUND: there is no log; IM_ECORRUPT: a file or record is not what it should be; IM_EUNAVAILABLE, IM_EIO,
 * IM_ENOMEM, IM_ECANCELED, or what 'record' returned. Memory: one bundle, and the records that are not published yet.
 */
IM_MUST_CHECK enum im_rc audit_walk(const struct audit_walk *walk, struct audit_walked *ret,
				    struct im_err *err);

#endif
