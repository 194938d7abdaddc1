/*
 * audit/witness_peer.h - what the log knows of one of its witnesses: which size that has, when to ask again, and whether it says
 * that the log was rolled back or forked. Pure: the time and the jitter are arguments; witnesses.c does the asking.
 *
 *          asked            cosigned                 409 and a size that we have: asked again at once, a few times
 *   (due) ──────▶ (asking) ──────────▶ (due)
 *                    │ anything else ──────▶ (pause: 1 s, doubling up to 5 min, less up to half of it by chance) ──▶ (due)
 */
#ifndef AUDIT_WITNESS_PEER_H
#define AUDIT_WITNESS_PEER_H

#include <stdbool.h>
#include <stdint.h>

#define WITNESS_PEER_PAUSE_MS     1000
#define WITNESS_PEER_PAUSE_MAX_MS 300000
#define WITNESS_PEER_CONFLICTS    3 /* sizes in a row that are believed at once */

enum witness_peer_state {
	WITNESS_PEER_NEW, /* it was not asked yet */
	WITNESS_PEER_FINE,
	WITNESS_PEER_SILENT,  /* no answer, or none that the protocol knows */
	WITNESS_PEER_REFUSED, /* it does not know this log, or its key */
	WITNESS_PEER_AHEAD, /* it has cosigned more of this log than there is: the log was rolled back */
	WITNESS_PEER_FORK, /* it has cosigned something else: the log was rolled back and went on */
	WITNESS_PEER_STATES
};

/** "fine", "silent", ... */
const char *witness_peer_text(enum witness_peer_state state);

/* Zero-initialised is a witness that was not asked yet. */
struct witness_peer {
	enum witness_peer_state state;
	uint64_t size;     /* what it has, as far as we know: proofs begin there */
	uint64_t cosigned; /* size of the last checkpoint that we have its cosignature of */
	bool asking;
	uint64_t asked;     /* the size that it is being asked to cosign */
	unsigned failures;  /* in a row */
	unsigned conflicts; /* in a row */
	uint64_t due_ms;    /* not asked before */
};

/* What came of asking. */
struct witness_answer {
	bool cosigned; /* with a cosignature that was checked */
	int status;    /* HTTP; 0 = no answer */
	bool has_size; /* 409 with the size that the witness has: */
	uint64_t size;
};

/** Ask it now for 'target'? If not, '*ret_wait_ms' says in how long; UINT64_MAX: no time will make it so. */
bool witness_peer_due(const struct witness_peer *p, uint64_t target, uint64_t now_ms,
		      uint64_t *ret_wait_ms);

/** It is being asked for 'target', with a proof from p->size on. */
void witness_peer_asked(struct witness_peer *p, uint64_t target);

/** It answered, or it did not. 'jitter' is from 0 to 1. */
void witness_peer_answered(struct witness_peer *p, const struct witness_answer *a, uint64_t now_ms,
			   double jitter);

#endif
