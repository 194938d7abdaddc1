/*
 * audit/witness_accuse.c - see witness_accuse.h.
 */
#include "audit/witness_accuse.h"

#include <string.h>

#include "base/log.h"

static bool
worth_a_line(struct witness_accused *a, const struct witness_verdict *v, uint64_t now_ms)
{
	bool fork = v->result == WITNESS_FORK;

	if (a->said[fork] && now_ms - a->said_ms[fork] < WITNESS_ACCUSE_MS &&
	    (!fork || tlog_equal(&v->at.root, &a->fork)))
		return false;
	a->said[fork] = true;
	a->said_ms[fork] = now_ms;
	if (fork)
		a->fork = v->at.root;
	return true;
}

void
witness_accuse(struct witness_accused *a, const struct witness_verdict *v, uint64_t now_ms)
{
	char text[1024], name[NOTE_NAME_MAX + 1];
	size_t len = v->note.text_len < sizeof(text) ? v->note.text_len : sizeof(text) - 1;
	struct buf line = { 0 };

	if (!worth_a_line(a, v, now_ms))
		return;
	memcpy(text, v->note.text, len);
	text[len] = '\0';
	memcpy(name, v->sig->name, v->sig->name_len);
	name[v->sig->name_len] = '\0';
	note_put_sig(&line, name, v->sig->key_id, v->sig->sig, v->sig->sig_len);
	if (v->result == WITNESS_FORK)
		log_error("a log signed a checkpoint that does not continue what was cosigned",
			  LOG_STR("error.message", v->why.text),
			  LOG_STR("infermesh.checkpoint", text),
			  LOG_STR("infermesh.signature", buf_cstr(&line)),
			  LOG_STR("infermesh.audit.origin", v->at.origin));
	else
		log_warn("a checkpoint came with a proof that does not continue what was cosigned",
			 LOG_STR("error.message", v->why.text),
			 LOG_STR("infermesh.checkpoint", text),
			 LOG_STR("infermesh.signature", buf_cstr(&line)),
			 LOG_STR("infermesh.audit.origin", v->at.origin));
	buf_done(&line);
}
