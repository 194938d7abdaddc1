/*
 * audit/lifecycle.h - what an operator may do to a log that is kept: destroy one subject's key, delete old entries. Beside
 * log.h, on the same thread. Never changes a record or a hash: every proof stays valid.
 *
 * 'actor' is who asked ("uid:0", "operator:ann"), for the record; NULL = nobody: it was due.
 */
#ifndef AUDIT_LIFECYCLE_H
#define AUDIT_LIFECYCLE_H

#include "audit/log.h"

/** Name 'actor' in a record, as in a ROUTE_CHANGE: a pseudonym among the operators. */
void lifecycle_actor(struct audit_log *log, const char *actor, struct record *r);

struct audit_erased {
	uint8_t key_id[SUBJECT_ID_BYTES];
	uint64_t index; /* of the ERASE record */
	bool before;    /* it had been erased before */
};

/**
 * Destroy the key of a subject and record that: afterwards no commitment of its records can be opened. The key goes first:
 * whatever happens then, the ERASE record is written at the latest when the log is opened again. Nothing may be gathered
 * (audit_log_idle()). IM_ENOTFOUND: the subject has no key; else as audit_log_commit() and subjects_destroy().
 */
IM_MUST_CHECK enum im_rc audit_log_erase(struct audit_log *log, const char *tenant,
					 const char *caller, const char *actor,
					 struct audit_erased *ret, struct im_err *err);

/** Write the ERASE records that are still to come. */
IM_MUST_CHECK enum im_rc audit_log_record_erased(struct audit_log *log, const char *actor,
						 struct im_err *err);

struct audit_pruned {
	uint64_t was;       /* number of the first record that was kept before */
	uint64_t min_index; /* and from now on */
	uint64_t
	    index; /* number of the last PRUNE record; only if min_index > was, and it was no dry run */
};

/**
 * Delete the entries older than 'before_us' (log_time), in whole bundles and only published ones: writes a PRUNE record for each
 * shard of which something goes; the publisher deletes the bundles after that is published. Of a shard that has ended all may go. No record when there is nothing to delete. 'dry': only look.
 * Nothing may be gathered. IM_ECORRUPT: a bundle cannot be read; else as audit_log_commit().
 */
IM_MUST_CHECK enum im_rc audit_log_prune(struct audit_log *log, uint64_t before_us, bool dry,
					 const char *actor, struct audit_pruned *ret,
					 struct im_err *err);

#endif
