/*
 * audit/witness_rig.h - a log in memory for tests of witnesses: leaves that are numbers, signed checkpoints of any size, proofs,
 * and other logs under the same key that part from it at some leaf.
 */
#ifndef AUDIT_WITNESS_RIG_H
#define AUDIT_WITNESS_RIG_H

#include "audit/add_checkpoint.h"
#include "audit/witness_rules.h"

#define WITNESS_RIG_SIZE 64

struct witness_rig {
	struct hasher hasher;
	struct note_signer key;
	struct hash node[8][WITNESS_RIG_SIZE]; /* by height and index */
};

/** A log of 'origin'; those with the same 'key' number have the same key. The leaves from 'fork' on are its own. */
void witness_rig_init(struct witness_rig *r, const char *origin, uint8_t key, uint64_t fork);
void witness_rig_done(struct witness_rig *r);

void witness_rig_root(struct witness_rig *r, uint64_t size, struct hash *ret);

/** The request to add the checkpoint of 'size', with the proof from 'old' on; 'out' is emptied first. */
void witness_rig_request(struct witness_rig *r, uint64_t old, uint64_t size, struct buf *out);

/** As a witness knows it that has cosigned nothing yet. Free its key. */
void witness_rig_log(const struct witness_rig *r, struct witness_log *ret);

#endif
