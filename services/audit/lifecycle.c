/*
 * audit/lifecycle.c - erasure; see lifecycle.h.
 */
#include "audit/lifecycle.h"

#include <assert.h>
#include <string.h>

enum im_rc
audit_log_record_erased(struct audit_log *log, struct im_err *err)
{
	struct record r = { .kind = RECORD_ERASE, .has_subject_key = true };
	enum im_rc rc = IM_OK;

	assert(audit_log_idle(log));
	while (rc == IM_OK && subjects_unrecorded(&log->subjects, r.subject_key)) {
		uint64_t index;

		rc = audit_log_put(log, &r, &index, err);
		if (rc == IM_OK)
			rc = audit_log_commit(log, true, err);
		if (rc == IM_OK)
			rc = subjects_recorded(&log->subjects, r.subject_key, index, err);
	}
	return rc;
}

enum im_rc
audit_log_erase(struct audit_log *log, const char *tenant, const char *caller,
		struct audit_erased *ret, struct im_err *err)
{
	struct subject_slot slot;
	enum im_rc rc;

	assert(audit_log_idle(log));
	identities_done(&log->identities); /* they hold keys */
	rc = subjects_destroy(&log->subjects, &log->hasher, tenant, caller, &slot, err);
	if (rc == IM_OK) {
		*ret = (struct audit_erased){ .before = slot.state == SUBJECT_ERASED };
		rc = audit_log_record_erased(log, err);
	}
	if (rc == IM_OK) /* again: now with the record's index */
		rc = subjects_destroy(&log->subjects, &log->hasher, tenant, caller, &slot, err);
	if (rc != IM_OK)
		return rc;
	memcpy(ret->key_id, slot.id, sizeof(ret->key_id));
	ret->index = slot.erase_plus - 1;
	return IM_OK;
}
