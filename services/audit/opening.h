/*
 * audit/opening.h - the opening of one field of one record, for whoever may read the key file: what is handed out to prove
 * what was said. Reads files alone, while the service runs and without it; changes nothing.
 */
#ifndef AUDIT_OPENING_H
#define AUDIT_OPENING_H

#include "audit/record.h"
#include "audit/subjects.h"

struct opening {
	uint8_t request_id[RECORD_ID_BYTES];
	struct hash opening;    /* discloses this field of this record, and nothing else */
	struct hash commitment; /* as the record says */
	bool derived; /* from the master secret: a record from before there were subject keys */
};

/* For records without a subject_key alone: whose it is. */
struct opening_subject {
	const char *tenant, *caller;
};

/**
 * Open 'field' (COMMITMENT_INPUT or _OUTPUT) of record 'index' of the log in 'dir'. 'subjects' is the file of subjects' keys.
 * IM_EPERM: the subject was erased. IM_EINVAL: the record has no such field, or it is an old one and 'subject' (may be
 * NULL) is not whose it is. IM_ENOTFOUND: no such record or key. IM_ECORRUPT, IM_EIO, IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc opening_get(const char *dir, const char *subjects,
				     const struct pseudonym_keys *keys, uint64_t index,
				     const char *field, const struct opening_subject *subject,
				     struct opening *ret, struct im_err *err);

#endif
