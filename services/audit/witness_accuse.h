/*
 * audit/witness_accuse.h - a witness says in its log what a log has signed and must not have: evidence for its operator, and no more
 * lines than he can read, however often a stranger repeats a request.
 */
#ifndef AUDIT_WITNESS_ACCUSE_H
#define AUDIT_WITNESS_ACCUSE_H

#include "audit/witness_rules.h"

#define WITNESS_ACCUSE_MS 60000 /* between two lines of one kind */

/* Zero-initialised: nothing was said yet. */
struct witness_accused {
	bool said[2]; /* of a proof that fails, and of a fork: */
	uint64_t said_ms[2];
	struct hash fork; /* the last one's root */
};

/**
 * 'v' is WITNESS_FORK or WITNESS_INCONSISTENT. Another root for a size that was cosigned, signed by the log, is the proof of a fork: an
 * error, with text and signature; one that was not said last is said at once. A proof that fails may be a stranger's, with a checkpoint that
 * is as it should be: a warning.
 */
void witness_accuse(struct witness_accused *a, const struct witness_verdict *v, uint64_t now_ms);

#endif
