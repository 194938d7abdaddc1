/*
 * audit/witness_fuzz.c - any bytes as a request to a witness that knows a log of 11 leaves: what it finds good was signed by the
 * log and continues what it knows. With the log's own key, which is public here: anything may be signed, no fork may be good.
 */
#include <stdlib.h>
#include <string.h>

#include "audit/witness_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct witness_rig rig;
static struct witness_log known;

static void
judge(const char *request, size_t len)
{
	struct witness_verdict v;
	struct hash root;

	witness_judge(&known, 1, &rig.hasher, request, len, &v);
	if (v.result != WITNESS_GOOD)
		return;
	if (v.at.size < known.size || v.note.text < request ||
	    v.note.text + v.note.text_len > request + len)
		abort();
	witness_rig_root(&rig, known.size, &root);
	if (v.at.size == known.size && !tlog_equal(&v.at.root, &root))
		abort();
}

/* The input as a proof and a root of a size that it chooses, signed. */
static void
judge_signed(const uint8_t *data, size_t size)
{
	struct add_checkpoint r = { .old = known.size };
	struct checkpoint c = { .size = data[0] };
	struct buf text = { 0 }, note = { 0 }, request = { 0 };

	memcpy(c.origin, known.origin, sizeof(c.origin));
	memcpy(c.root.b, data + 1, HASH_BYTES);
	data += 1 + HASH_BYTES;
	size -= 1 + HASH_BYTES;
	r.proof.count = size / HASH_BYTES;
	if (r.proof.count > ADD_CHECKPOINT_PROOF_MAX)
		r.proof.count = ADD_CHECKPOINT_PROOF_MAX;
	memcpy(r.proof.hash, data, r.proof.count * HASH_BYTES);
	if (!checkpoint_put(&text, &c) ||
	    note_sign(&rig.key, buf_cstr(&text), text.len, &note, NULL) != IM_OK)
		abort();
	r.note = buf_cstr(&note);
	r.note_len = note.len;
	if (!add_checkpoint_put(&request, &r))
		abort();
	judge(buf_cstr(&request), request.len);
	buf_done(&text);
	buf_done(&note);
	buf_done(&request);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct add_checkpoint r;
	struct buf again = { 0 };

	if (known.key_count == 0) {
		witness_rig_init(&rig, "example.com/log", 1, WITNESS_RIG_SIZE);
		witness_rig_log(&rig, &known);
		known.size = 11;
		witness_rig_root(&rig, 11, &known.root);
	}
	judge((const char *)data, size);
	if (size > 1 + HASH_BYTES)
		judge_signed(data, size);
	/* What is a request has one spelling. */
	if (add_checkpoint_parse((const char *)data, size, &r, NULL) == IM_OK &&
	    (!add_checkpoint_put(&again, &r) || again.len != size ||
	     memcmp(again.data, data, size) != 0))
		abort();
	buf_done(&again);
	return 0;
}
