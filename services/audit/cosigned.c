/*
 * audit/cosigned.c - see cosigned.h.
 */
#include "audit/cosigned.h"

#include <assert.h>
#include <string.h>

#include "audit/cosignature.h"

unsigned
cosigned_quorum(unsigned asked, size_t n)
{
	return asked != 0 ? asked : (unsigned)(n / 2 + 1);
}

enum im_rc
cosigned_open(const char *bytes, size_t len, const struct note_verifier *key,
	      const struct note_verifier *witness, size_t n, struct cosigned *ret,
	      struct im_err *err)
{
	struct note note;
	enum im_rc rc;

	assert(n <= COSIGNED_WITNESSES);
	memset(ret, 0, sizeof(*ret));
	rc = checkpoint_open(bytes, len, key, &ret->at, err);
	if (rc == IM_OK)
		rc = note_parse(bytes, len, &note, err);
	for (size_t i = 0; i < n && rc == IM_OK; i++) {
		rc = cosignature_verify(&note, &witness[i], &ret->by[i].time_s, err);
		ret->by[i].cosigned = rc == IM_OK;
		ret->count += rc == IM_OK ? 1 : 0;
		if (rc == IM_ENOTFOUND)
			rc = IM_OK;
	}
	if (rc == IM_OK && !buf_append(&ret->text, bytes, len))
		rc = err_set(err, IM_ENOMEM, "no memory for a checkpoint");
	return rc;
}

enum im_rc
cosigned_read(const struct audit_source *s, const struct note_verifier *key,
	      const struct note_verifier *witness, size_t n, struct cosigned *ret,
	      struct im_err *err)
{
	struct buf text = { 0 };
	const char *name = COSIGNED_FILE;
	enum im_rc rc;

	memset(ret, 0, sizeof(*ret));
	rc = s->read(s, name, NOTE_MAX_BYTES, &text, err);
	if (rc == IM_ENOTFOUND) {
		name = "checkpoint";
		buf_clear(&text);
		rc = s->read(s, name, NOTE_MAX_BYTES, &text, err);
	}
	if (rc == IM_OK) {
		rc = cosigned_open(buf_cstr(&text), text.len, key, witness, n, ret, err);
		if (rc != IM_OK)
			err_prefix(err, "%s", name);
	}
	buf_done(&text);
	return rc;
}

void
cosigned_done(struct cosigned *c)
{
	buf_done(&c->text);
}
