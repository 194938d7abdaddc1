/*
 * audit/proof_fuzz.c - any bytes as a proof file, then checked: only Tessera's own proof of its fifth word may be accepted.
 */
#include <stdlib.h>
#include <string.h>

#include "audit/proof_file.h"

#define VKEY "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct note_verifier key;
	static struct hasher h;
	struct proof_file p;
	struct checkpoint cp;
	struct im_err err;

	if (key.name[0] == '\0' &&
	    (note_verifier_parse(VKEY, &key, NULL) != IM_OK || hasher_init(&h, NULL) != IM_OK))
		abort();
	if (proof_file_parse((const char *)data, size, &p, &err) != IM_OK)
		return 0;
	if (p.proof.count > TLOG_HEIGHT_MAX || p.entry_len > BUNDLE_ENTRY_MAX ||
	    p.checkpoint + p.checkpoint_len != (const char *)data + size)
		abort();
	/* Nobody forges a checkpoint: what is accepted is a word of the log that the key signed. */
	if (proof_file_check(&h, &p, &key, &cp, &err) == IM_OK && (cp.size > 15 || p.index >= 15))
		abort();
	proof_file_done(&p);
	return 0;
}
