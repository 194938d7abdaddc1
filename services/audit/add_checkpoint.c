/*
 * audit/add_checkpoint.c - see add_checkpoint.h.
 */
#include "audit/add_checkpoint.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "audit/checkpoint.h"
#include "base/hex.h"

bool
add_checkpoint_put(struct buf *out, const struct add_checkpoint *r)
{
	assert(r->proof.count <= ADD_CHECKPOINT_PROOF_MAX);
	(void)buf_printf(out, "old %" PRIu64 "\n", r->old);
	for (size_t i = 0; i < r->proof.count; i++) {
		char line[BASE64_LEN(HASH_BYTES) + 1];

		base64_encode(r->proof.hash[i].b, HASH_BYTES, line);
		(void)buf_printf(out, "%s\n", line);
	}
	(void)buf_append_byte(out, '\n');
	return buf_append(out, r->note, r->note_len);
}

enum im_rc
add_checkpoint_parse(const char *bytes, size_t len, struct add_checkpoint *ret, struct im_err *err)
{
	struct add_checkpoint r = { 0 };
	const char *line = bytes, *end = bytes + len, *nl;

	if (len > ADD_CHECKPOINT_MAX_BYTES)
		return err_set(err, IM_ETOOBIG, "the request is longer than %d bytes",
			       ADD_CHECKPOINT_MAX_BYTES);
	nl = len > 0 ? memchr(line, '\n', len) : NULL;
	if (nl == NULL || nl - line < 5 || memcmp(line, "old ", 4) != 0 ||
	    !checkpoint_parse_size(line + 4, (size_t)(nl - line) - 4, &r.old))
		return err_set(err, IM_EPROTO, "line 1 must read: old SIZE");
	for (line = nl + 1;; line = nl + 1) {
		size_t hash_len;

		nl = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
		if (nl == NULL)
			return err_set(err, IM_EPROTO, "no blank line before the checkpoint");
		if (nl == line)
			break;
		if (r.proof.count == ADD_CHECKPOINT_PROOF_MAX)
			return err_set(err, IM_EPROTO, "more than %d hashes",
				       ADD_CHECKPOINT_PROOF_MAX);
		if (!base64_decode(line, (size_t)(nl - line), r.proof.hash[r.proof.count].b,
				   HASH_BYTES, &hash_len) ||
		    hash_len != HASH_BYTES)
			return err_set(err, IM_EPROTO, "line %zu is no base64 of a hash",
				       r.proof.count + 2);
		r.proof.count++;
	}
	r.note = nl + 1;
	r.note_len = (size_t)(end - r.note);
	*ret = r;
	return IM_OK;
}

bool
add_checkpoint_parse_size(const char *bytes, size_t len, uint64_t *ret)
{
	return len >= 2 && bytes[len - 1] == '\n' && checkpoint_parse_size(bytes, len - 1, ret);
}
