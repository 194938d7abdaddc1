/*
 * audit/cosigned.h - checkpoint.cosigned: beside the log's checkpoint file the newest checkpoint that enough witnesses have
 * cosigned, with their lines. It only ever grows. A log's checkpoint file never waits for it.
 */
#ifndef AUDIT_COSIGNED_H
#define AUDIT_COSIGNED_H

#include "audit/source.h"

#define COSIGNED_FILE      "checkpoint.cosigned"
#define COSIGNED_WITNESSES 16

/* What one witness says of it. */
struct cosigned_by {
	bool cosigned;
	uint64_t time_s; /* seconds since 1970, by the witness's clock */
};

/* Read from a log, and checked. */
struct cosigned {
	uint64_t
	    first; /* records before those of this checkpoint, in older shards; 0 unless cosigned_read_log() says it */
	struct checkpoint at;
	struct cosigned_by by[COSIGNED_WITNESSES];
	unsigned count;  /* witnesses that cosigned */
	struct buf text; /* the signed checkpoint with all its lines */
};

/**
 * Read checkpoint.cosigned, or where there is none the checkpoint itself, and check the log's signature with 'key' (NULL = not)
 * and which of the 'n' witnesses have cosigned. IM_ENOTFOUND: neither file is there; IM_ECORRUPT: the log's signature or one of a
 * witness is wrong; IM_EPROTO, IM_EIO, IM_EUNAVAILABLE, IM_ENOMEM. Free with cosigned_done(), whatever was returned.
 */
IM_MUST_CHECK enum im_rc cosigned_read(const struct audit_source *s,
				       const struct note_verifier *key,
				       const struct note_verifier *witness, size_t n,
				       struct cosigned *ret, struct im_err *err);

/** The same of the newest shard of the log at 's' that 'enough' of the witnesses have cosigned, else of the one that most have; that
 *  covers all shards before. 'vkey' is the key of any shard, or NULL: shards before that one are not vouched for, and their signatures
 *  not checked. Errors as shards_load() too. */
IM_MUST_CHECK enum im_rc cosigned_read_log(const struct audit_source *s, const char *vkey,
					   const struct note_verifier *witness, size_t n,
					   unsigned enough, struct cosigned *ret,
					   struct im_err *err);

/** The same of the 'len' bytes of one signed checkpoint. */
IM_MUST_CHECK enum im_rc cosigned_open(const char *bytes, size_t len,
				       const struct note_verifier *key,
				       const struct note_verifier *witness, size_t n,
				       struct cosigned *ret, struct im_err *err);
void cosigned_done(struct cosigned *c);

/** How many of 'n' witnesses are enough: 'asked', or with 0 more than half of them. */
unsigned cosigned_quorum(unsigned asked, size_t n);

#endif
