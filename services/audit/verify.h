/*
 * audit/verify.h - recomputes a log folder from its bytes alone: entries → leaf hashes → every tile of every level → root →
 * the checkpoint's signature, then the write-ahead log behind it. Trusts nothing, changes nothing, needs no service.
 */
#ifndef AUDIT_VERIFY_H
#define AUDIT_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/checkpoint.h"
#include "audit/hasher.h"
#include "audit/record.h"
#include "audit/shards.h"
#include "base/err.h"

#define VERIFY_PROBLEMS_MAX 16
#define VERIFY_OPEN_MAX     64
#define VERIFY_SHARDS_MAX   64

struct verify_options {
	bool no_wal;       /* look at the published part only */
	unsigned open_ids; /* how many open requests to name, at most VERIFY_OPEN_MAX */
	/* Checkpoints that were kept outside of the log, by size, ascending: it must continue each of them. The caller has
	 * checked who signed them. */
	const struct checkpoint *seen;
	size_t seen_count;
	/* Called now and then with records done and to do; NULL = not. Returning false ends the verification. */
	bool (*progress)(void *user, uint64_t done, uint64_t total);
	void *user;
};

struct verify_open {
	uint8_t request_id[RECORD_ID_BYTES];
	uint64_t index; /* number of the record (shards.h) */
};

enum verify_trust {
	VERIFY_UNSIGNED, /* no key was given: signatures of the first shard are not checked, later ones' against what it says */
	VERIFY_GIVEN,    /* signed with the key that was given */
	VERIFY_CHAINED,  /* signed with the key that the shard before names */
	VERIFY_PINNED,   /* its root is what the shard after it says */
};

struct verify_shard {
	char name[SHARD_NAME_MAX]; /* "" = the first */
	char origin[256];
	uint64_t first; /* number of its first record */
	uint64_t size;  /* its records */
	struct hash root;
	enum verify_trust trust;
};

struct verify_report {
	/* What the log is. */
	char origin[256];        /* of the newest shard */
	uint64_t published_size; /* of the checkpoint file; of all shards */
	bool has_checkpoint;     /* the newest shard's is there */
	struct hash root;        /* which it says; zeros without it */
	uint64_t size;   /* with the records of the write-ahead log behind it; of all shards */
	unsigned shards; /* at least one; all of them count in what follows */
	struct verify_shard shard[VERIFY_SHARDS_MAX]; /* the first ones */
	bool continues; /* it was a shard alone that we were shown, and it is not the last one */
	bool signature_checked; /* a verifier key was given */
	bool has_wal;
	bool
	    torn; /* the write-ahead log ends in an unfinished frame, as after a crash; no problem */

	/* What is in it. */
	uint64_t kinds[RECORD_STOP + 1];
	uint64_t outcomes[OUTCOME_REJECTED + 1]; /* of terminal records */
	uint64_t first_time_us, last_time_us;    /* log_time */
	uint64_t gap_records;                    /* that GAP records say are missing */
	uint64_t open;                           /* REQUESTs without a terminal record */
	struct verify_open open_first[VERIFY_OPEN_MAX];
	unsigned open_named;
	uint64_t
	    pruned; /* entries that are not there any more, as a PRUNE record says; only their hashes were checked */
	uint64_t orphans; /* terminal records whose REQUEST the log did not know */

	const char *within; /* the shard that problems are found in; inside verification only */

	/* What is wrong; 0 = the log is what it claims to be. */
	uint64_t problems;
	char problem[VERIFY_PROBLEMS_MAX][512]; /* the first ones: which file or record, and what */
};

/**
 * Verify the log at 'source', all its shards and what connects them. 'vkey' is the verifier key of any of these that was got from
 * elsewhere, best the first's: the others' follow from it; with NULL signatures are not checked
 * and ret->signature_checked says so. Returns IM_OK when it could be looked at to the end, whatever it found: see
 * ret->problems. IM_ENOTFOUND: there is no log; IM_EINVAL: malformed vkey; IM_EUNAVAILABLE: the source does not answer;
 * IM_EIO; IM_ENOMEM; IM_ECANCELED: 'progress' said so. 'options' may be NULL. Entries may be missing below the min_index of
 * a PRUNE record; hash tiles never. Memory: does not grow with the log, but for 40 bytes an open request. Threads: reentrant.
 */
IM_MUST_CHECK enum im_rc audit_verify_source(const struct audit_source *source, const char *vkey,
					     const struct verify_options *options,
					     struct verify_report *ret, struct im_err *err);

/** The same for the log folder 'dir'. */
IM_MUST_CHECK enum im_rc audit_verify(const char *dir, const char *vkey,
				      const struct verify_options *options,
				      struct verify_report *ret, struct im_err *err);

#endif
