/*
 * audit/witness_rig.c - see witness_rig.h.
 */
#include "audit/witness_rig.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(cond) ((cond) ? (void)0 : abort())

static void
keep_node(void *user, unsigned height, uint64_t index, const struct hash *hash)
{
	struct witness_rig *r = user;

	r->node[height][index] = *hash;
}

void
witness_rig_init(struct witness_rig *r, const char *origin, uint8_t key, uint64_t fork)
{
	uint8_t seed[NOTE_KEY_BYTES] = { key };
	struct tlog_range range = { 0 };

	memset(r, 0, sizeof(*r));
	CHECK(hasher_init(&r->hasher, NULL) == IM_OK);
	CHECK(note_signer_new(origin, seed, &r->key, NULL) == IM_OK);
	for (uint64_t i = 0; i < WITNESS_RIG_SIZE; i++) {
		uint64_t entry[2] = { i, i >= fork ? fork + 1 : 0 };
		struct hash leaf;

		tlog_leaf(&r->hasher, entry, sizeof(entry), &leaf);
		tlog_range_add(&range, &r->hasher, &leaf, keep_node, r);
	}
}

void
witness_rig_done(struct witness_rig *r)
{
	note_signer_done(&r->key);
	hasher_done(&r->hasher);
}

void
witness_rig_root(struct witness_rig *r, uint64_t size, struct hash *ret)
{
	struct tlog_range range = { 0 };

	for (uint64_t i = 0; i < size; i++)
		tlog_range_add(&range, &r->hasher, &r->node[0][i], NULL, NULL);
	tlog_range_root(&range, &r->hasher, ret);
}

static enum im_rc
read_node(void *user, unsigned height, uint64_t index, struct hash *ret, struct im_err *err)
{
	const struct witness_rig *r = user;

	(void)err;
	*ret = r->node[height][index];
	return IM_OK;
}

void
witness_rig_request(struct witness_rig *r, uint64_t old, uint64_t size, struct buf *out)
{
	struct add_checkpoint request = { .old = old };
	struct buf note = { 0 };
	struct hash root;

	if (old <= size)
		CHECK(tlog_prove_consistency(&r->hasher, old, size, read_node, r, &request.proof,
					     NULL) == IM_OK);
	witness_rig_root(r, size, &root);
	CHECK(checkpoint_sign(&r->key, size, &root, &note, NULL) == IM_OK);
	request.note = buf_cstr(&note);
	request.note_len = note.len;
	buf_clear(out);
	CHECK(add_checkpoint_put(out, &request));
	buf_done(&note);
}

void
witness_rig_log(const struct witness_rig *r, struct witness_log *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->origin, r->key.name, sizeof(ret->origin));
	note_verifier_of(&r->key, &ret->key[0]);
	ret->key_count = 1;
}
