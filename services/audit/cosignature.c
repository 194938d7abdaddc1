/*
 * audit/cosignature.c - see cosignature.h.
 */
#include "audit/cosignature.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* What is signed. */
static bool
message(uint64_t time_s, const char *text, size_t len, struct buf *out)
{
	(void)buf_printf(out, "cosignature/v1\ntime %" PRIu64 "\n", time_s);
	return buf_append(out, text, len);
}

enum im_rc
cosignature_sign(const struct note_signer *w, uint64_t time_s, const char *text, size_t len,
		 struct buf *out, struct im_err *err)
{
	uint8_t payload[COSIGNATURE_BYTES];
	struct buf signed_text = { 0 };
	bool good;

	assert(w->alg == NOTE_COSIGNATURE && time_s <= INT64_MAX);
	good = message(time_s, text, len, &signed_text) &&
	       note_key_sign(w, signed_text.data, signed_text.len, payload + 8);
	buf_done(&signed_text);
	if (!good)
		return err_set(err, IM_ENOMEM, "no memory for a cosignature");
	for (unsigned i = 0; i < 8; i++)
		payload[i] = (uint8_t)(time_s >> (56 - 8 * i));
	note_put_sig(out, w->name, w->key_id, payload, sizeof(payload));
	return buf_ok(out) ? IM_OK : err_set(err, IM_ENOMEM, "no memory for a cosignature");
}

static enum im_rc
verify_one(const struct note *note, const struct note_sig *sig, const struct note_verifier *w,
	   uint64_t *ret_time_s, struct im_err *err)
{
	struct buf signed_text = { 0 };
	uint64_t time_s = 0;
	bool good, had_memory;

	for (unsigned i = 0; i < 8; i++)
		time_s = time_s << 8 | sig->sig[i];
	had_memory = message(time_s, note->text, note->text_len, &signed_text);
	good = had_memory && sig->sig_len == COSIGNATURE_BYTES && time_s <= INT64_MAX &&
	       note_key_verify(w, sig->sig + 8, signed_text.data, signed_text.len);
	buf_done(&signed_text);
	if (!had_memory)
		return err_set(err, IM_ENOMEM, "no memory to check a cosignature");
	if (!good)
		return err_set(err, IM_ECORRUPT, "the cosignature of %s is wrong", w->name);
	if (time_s > *ret_time_s)
		*ret_time_s = time_s;
	return IM_OK;
}

enum im_rc
cosignature_verify(const struct note *note, const struct note_verifier *w, uint64_t *ret_time_s,
		   struct im_err *err)
{
	size_t name_len = strlen(w->name);
	uint64_t time_s = 0;
	bool found = false;

	assert(w->alg == NOTE_COSIGNATURE);
	for (size_t i = 0; i < note->sig_count; i++) {
		const struct note_sig *s = &note->sig[i];
		enum im_rc rc;

		if (s->key_id != w->key_id || s->name_len != name_len ||
		    memcmp(s->name, w->name, name_len) != 0)
			continue;
		rc = verify_one(note, s, w, &time_s, err);
		if (rc != IM_OK)
			return rc;
		found = true;
	}
	if (!found)
		return err_set(err, IM_ENOTFOUND, "there is no cosignature of %s+%08x", w->name,
			       w->key_id);
	*ret_time_s = time_s;
	return IM_OK;
}
