/*
 * audit/witness_rules.h - what a witness may cosign: only what continues, provably, the checkpoint of that log that it cosigned
 * last. Pure: no file, no clock, no socket; whoever gets WITNESS_GOOD makes the new state durable before the cosignature leaves.
 * Source: https://c2sp.org/tlog-witness@v1.0.0
 */
#ifndef AUDIT_WITNESS_RULES_H
#define AUDIT_WITNESS_RULES_H

#include "audit/checkpoint.h"

#define WITNESS_LOG_KEYS_MAX 8    /* of one log */
#define WITNESS_TEXT_MAX     8192 /* bytes of a checkpoint's text */

/* A log that is witnessed, and what of it was cosigned last. Plain data but for the keys. */
struct witness_log {
	char origin[NOTE_NAME_MAX + 1];
	struct note_verifier key[WITNESS_LOG_KEYS_MAX]; /* any of them may sign */
	size_t key_count;
	uint64_t size; /* 0 = nothing was cosigned yet */
	struct hash root;
	uint64_t time_s; /* of the last cosignature: the next one says no earlier time */
};

enum witness_result {
	WITNESS_GOOD,
	WITNESS_MALFORMED,
	WITNESS_UNSIGNED,     /* by no key of the log */
	WITNESS_UNKNOWN,      /* no log of ours */
	WITNESS_BEHIND,       /* begins at another size than the witness has: answered with that */
	WITNESS_FORK,         /* the same size, another root: two logs under one key */
	WITNESS_INCONSISTENT, /* the proof does not hold */
	WITNESS_FAILED,       /* the state could not be made durable; not of the rules */
	WITNESS_RESULTS
};

/** HTTP status that says it, and a word for metrics. */
int witness_status(enum witness_result result);
const char *witness_result_text(enum witness_result result);

struct witness_verdict {
	enum witness_result result;
	size_t log;           /* which, unless MALFORMED or UNKNOWN */
	bool news;            /* GOOD: the state changes */
	struct checkpoint at; /* the checkpoint; unless MALFORMED */
	struct note note;     /* points into the request; unless MALFORMED */
	const struct note_sig
	    *sig; /* in 'note': the log's own signature; unless MALFORMED, UNKNOWN, UNSIGNED */
	struct im_err why; /* unless GOOD */
};

/** Judge the untrusted request (add_checkpoint.h). Changes nothing. */
void witness_judge(const struct witness_log *logs, size_t count, struct hasher *h,
		   const char *request, size_t len, struct witness_verdict *ret);

#endif
