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
	good = message(time_s, text, len, &signed_text);
	if (good)
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

static bool
is_of(const struct note_sig *s, const struct note_verifier *w)
{
	return s->key_id == w->key_id && s->name_len == strlen(w->name) &&
	       memcmp(s->name, w->name, s->name_len) == 0;
}

enum im_rc
cosignature_verify(const struct note *note, const struct note_verifier *w, uint64_t *ret_time_s,
		   struct im_err *err)
{
	uint64_t time_s = 0;
	bool found = false;

	assert(w->alg == NOTE_COSIGNATURE);
	for (size_t i = 0; i < note->sig_count; i++) {
		const struct note_sig *s = &note->sig[i];
		enum im_rc rc;

		if (!is_of(s, w))
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

enum im_rc
cosignature_take(const char *note, size_t note_len, const char *answer, size_t len,
		 const struct note_verifier *w, struct buf *out, struct im_err *err)
{
	const struct note_sig *line = NULL;
	struct buf whole = { 0 };
	struct note n;
	size_t text_len;
	uint64_t time_s;
	enum im_rc rc = note_parse(note, note_len, &n, err);

	text_len = rc == IM_OK ? n.text_len : 0;
	if (rc == IM_OK &&
	    (!buf_append(&whole, note, note_len) || !buf_append(&whole, answer, len)))
		rc = err_set(err, IM_ENOMEM, "no memory to check a cosignature");
	if (rc == IM_OK)
		rc = note_parse(buf_cstr(&whole), whole.len, &n, err);
	/* A text ends at the last blank line: one in the answer would make another text of it. */
	if (rc == IM_OK && n.text_len != text_len)
		rc = err_set(err, IM_EPROTO, "there is more than signature lines");
	if (rc == IM_OK)
		rc = cosignature_verify(&n, w, &time_s, err);
	for (size_t i = 0; rc == IM_OK && i < n.sig_count; i++)
		if (is_of(&n.sig[i], w))
			line = &n.sig[i];
	if (line != NULL) {
		note_put_sig(out, w->name, line->key_id, line->sig, line->sig_len);
		if (!buf_ok(out))
			rc = err_set(err, IM_ENOMEM, "no memory for a cosignature");
	}
	buf_done(&whole);
	return rc;
}
