/*
 * audit/opening.c - see opening.h.
 */
#include "audit/opening.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <string.h>

#include "audit/commitment.h"
#include "audit/find.h"

/* A record without a subject_key: its key follows from the names, which its pseudonyms confirm. */
static enum im_rc
derive(struct hasher *h, const struct pseudonym_keys *keys, const struct record *r,
       const struct opening_subject *subject, struct hash *ret, struct im_err *err)
{
	const char *tenant = subject != NULL && subject->tenant != NULL ? subject->tenant : "";
	const char *caller = subject != NULL && subject->caller != NULL ? subject->caller : "";
	uint8_t of_caller[PSEUDONYM_BYTES], of_tenant[PSEUDONYM_BYTES];

	pseudonym_make(h, keys, tenant, PSEUDONYM_CALLER, caller, of_caller);
	pseudonym_make(h, keys, tenant, PSEUDONYM_TENANT, tenant, of_tenant);
	if (r->has_caller != (*caller != '\0') || r->has_tenant != (*tenant != '\0') ||
	    (r->has_caller && memcmp(of_caller, r->caller, sizeof(of_caller)) != 0) ||
	    (r->has_tenant && memcmp(of_tenant, r->tenant, sizeof(of_tenant)) != 0))
		return err_set(
		    err, IM_EINVAL,
		    "this record was made before subjects had keys of their own: say whose it is with --caller and "
		    "--tenant, which must be right");
	pseudonym_subject(h, keys, tenant, caller, ret);
	return IM_OK;
}

static enum im_rc
stored(struct hasher *h, const struct pseudonym_keys *keys, const char *subjects,
       const struct record *r, struct hash *ret, struct im_err *err)
{
	struct subject_slot slot;
	struct subject_key key;
	enum im_rc rc = subjects_find(subjects, keys, h, r->subject_key, &slot, &key, err);

	if (rc != IM_OK)
		return rc;
	if (slot.state == SUBJECT_LIVE) {
		*ret = key.key;
		OPENSSL_cleanse(&key, sizeof(key));
		return IM_OK;
	}
	if (slot.erase_plus == 0)
		return err_set(err, IM_EPERM,
			       "the subject of this record was erased: nobody can open it");
	return err_set(err, IM_EPERM,
		       "the subject of this record was erased, as record %" PRIu64
		       " says: nobody can open it",
		       slot.erase_plus - 1);
}

static enum im_rc
open_record(const struct record *r, const char *subjects, const struct pseudonym_keys *keys,
	    const char *field, const struct opening_subject *subject, struct opening *ret,
	    struct im_err *err)
{
	bool input = strcmp(field, COMMITMENT_INPUT) == 0;
	struct hasher h = { 0 };
	struct hmac_key opener;
	struct hash key;
	enum im_rc rc;

	if (!(input ? r->has_input : r->has_output) || !r->has_request_id)
		return err_set(err, IM_EINVAL, "this record, a %s, has no %s",
			       record_kind_text(r->kind), field);
	rc = hasher_init(&h, err);
	if (rc == IM_OK)
		rc = r->has_subject_key ? stored(&h, keys, subjects, r, &key, err)
					: derive(&h, keys, r, subject, &key, err);
	if (rc == IM_OK) {
		ret->derived = !r->has_subject_key;
		ret->commitment = input ? r->input_commitment : r->output_commitment;
		memcpy(ret->request_id, r->request_id, sizeof(ret->request_id));
		hasher_hmac_key(&key, &opener);
		commitment_opening(&opener, r->request_id, field, &ret->opening);
		OPENSSL_cleanse(&opener, sizeof(opener));
		OPENSSL_cleanse(&key, sizeof(key));
	}
	hasher_done(&h);
	return rc;
}

enum im_rc
opening_get(const char *dir, const char *subjects, const struct pseudonym_keys *keys,
	    uint64_t index, const char *field, const struct opening_subject *subject,
	    struct opening *ret, struct im_err *err)
{
	struct arena arena = { 0 };
	struct buf entry = { 0 };
	struct record r;
	struct audit_source source;
	enum im_rc rc;

	source_folder(&source, dir);
	rc = audit_entry(&source, index, &entry, err);
	if (rc == IM_OK)
		rc = record_decode(entry.data, entry.len, &arena, &r, err);
	if (rc == IM_EPROTO) {
		rc = IM_ECORRUPT;
		if (err != NULL)
			err->rc = rc;
	}
	if (rc == IM_OK)
		rc = open_record(&r, subjects, keys, field, subject, ret, err);
	if (rc != IM_OK)
		err_prefix(err, "record %" PRIu64, index);
	arena_done(&arena);
	buf_done(&entry);
	return rc;
}
