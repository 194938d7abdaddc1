/*
 * audit/witness_rules.c - see witness_rules.h.
 */
#include "audit/witness_rules.h"

#include <inttypes.h>
#include <string.h>

#include "audit/add_checkpoint.h"

static const struct {
	int status;
	const char *text;
} results[WITNESS_RESULTS] = {
	[WITNESS_GOOD] = { 200, "cosigned" },
	[WITNESS_MALFORMED] = { 400, "malformed" },
	[WITNESS_UNSIGNED] = { 403, "unsigned" },
	[WITNESS_UNKNOWN] = { 404, "unknown_log" },
	[WITNESS_BEHIND] = { 409, "other_size" },
	[WITNESS_FORK] = { 409, "fork" },
	[WITNESS_INCONSISTENT] = { 422, "inconsistent" },
	[WITNESS_FAILED] = { 503, "failed" },
};

int
witness_status(enum witness_result result)
{
	return results[result].status;
}

const char *
witness_result_text(enum witness_result result)
{
	return results[result].text;
}

static size_t
find_log(const struct witness_log *logs, size_t count, const char *origin)
{
	size_t i = 0;

	while (i < count && strcmp(logs[i].origin, origin) != 0)
		i++;
	return i;
}

/* The line that one of the log's keys signed. */
static const struct note_sig *
find_signature(const struct note *note, const struct witness_log *log)
{
	for (size_t i = 0; i < note->sig_count; i++) {
		const struct note_sig *s = &note->sig[i];

		for (size_t k = 0; k < log->key_count; k++) {
			const struct note_verifier *v = &log->key[k];

			if (s->key_id == v->key_id && s->sig_len == NOTE_SIG_BYTES &&
			    s->name_len == strlen(v->name) &&
			    memcmp(s->name, v->name, s->name_len) == 0 &&
			    note_key_verify(v, s->sig, note->text, note->text_len))
				return s;
		}
	}
	return NULL;
}

static enum witness_result
parse(const char *request, size_t len, struct add_checkpoint *r, struct witness_verdict *v)
{
	if (add_checkpoint_parse(request, len, r, &v->why) != IM_OK ||
	    note_parse(r->note, r->note_len, &v->note, &v->why) != IM_OK ||
	    checkpoint_parse_any(v->note.text, v->note.text_len, &v->at, &v->why) != IM_OK)
		return WITNESS_MALFORMED;
	if (v->note.text_len > WITNESS_TEXT_MAX) {
		(void)err_set(&v->why, IM_ETOOBIG,
			      "the text of the checkpoint is longer than %d bytes",
			      WITNESS_TEXT_MAX);
		return WITNESS_MALFORMED;
	}
	return WITNESS_GOOD;
}

/* The log is known and has signed. */
static enum witness_result
compare(const struct witness_log *log, struct hasher *h, const struct add_checkpoint *r,
	struct witness_verdict *v)
{
	struct hash known = log->root;

	if (r->old > v->at.size) {
		(void)err_set(&v->why, IM_EINVAL,
			      "the checkpoint is of size %" PRIu64
			      " and cannot continue one of size %" PRIu64,
			      v->at.size, r->old);
		return WITNESS_MALFORMED;
	}
	if (r->old != log->size) {
		(void)err_set(&v->why, IM_EEXIST,
			      "the last one that was cosigned is of size %" PRIu64, log->size);
		return WITNESS_BEHIND;
	}
	if (log->size == 0)
		hasher_parts(h, NULL, 0, &known); /* of the empty tree */
	if (v->at.size == log->size && !tlog_equal(&v->at.root, &known)) {
		(void)err_set(&v->why, IM_ECORRUPT,
			      "another root was cosigned for size %" PRIu64 ": the log has forked",
			      log->size);
		return WITNESS_FORK;
	}
	if (tlog_check_consistency(h, log->size, &known, v->at.size, &v->at.root, &r->proof,
				   &v->why) != IM_OK)
		return WITNESS_INCONSISTENT;
	v->news = v->at.size > log->size;
	return WITNESS_GOOD;
}

void
witness_judge(const struct witness_log *logs, size_t count, struct hasher *h, const char *request,
	      size_t len, struct witness_verdict *ret)
{
	struct add_checkpoint r;

	memset(ret, 0, sizeof(*ret));
	ret->result = parse(request, len, &r, ret);
	if (ret->result != WITNESS_GOOD)
		return;
	ret->log = find_log(logs, count, ret->at.origin);
	if (ret->log == count) {
		(void)err_set(&ret->why, IM_ENOTFOUND, "no log of this origin is witnessed here");
		ret->result = WITNESS_UNKNOWN;
		return;
	}
	ret->sig = find_signature(&ret->note, &logs[ret->log]);
	if (ret->sig == NULL) {
		(void)err_set(&ret->why, IM_EPERM, "not signed with a key of this log");
		ret->result = WITNESS_UNSIGNED;
		return;
	}
	ret->result = compare(&logs[ret->log], h, &r, ret);
}
