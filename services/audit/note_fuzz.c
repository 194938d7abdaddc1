/*
 * audit/note_fuzz.c - any bytes as a signed checkpoint, and as keys.
 */
#include <stdlib.h>
#include <string.h>

#include "audit/checkpoint.h"
#include "audit/cosignature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As a witness's: nobody forges one, but for what the corpus holds. */
static void
cosignatures(const char *bytes, size_t len)
{
	static const char vkey[] =
	    "witness.example/w1+e75f6532+BAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
	struct note_verifier w;
	struct note n;
	uint64_t time_s = 0;

	if (note_parse(bytes, len, &n, NULL) != IM_OK ||
	    note_cosigner_parse(vkey, &w, NULL) != IM_OK)
		return;
	if (cosignature_verify(&n, &w, &time_s, NULL) == IM_OK && time_s != 1700000000)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct note_verifier v;
	struct note_signer s;
	struct checkpoint c, again;
	struct buf text = BUF_INIT(0);
	char *key = malloc(size + 1);

	if (key == NULL)
		return 0;
	memcpy(key, data, size);
	key[size] = '\0';
	(void)!note_verifier_parse(key, &v, NULL);
	if (note_signer_parse(key, &s, NULL) == IM_OK)
		note_signer_done(&s);
	(void)!note_cosigner_parse(key, &v, NULL);
	if (note_cosigner_skey_parse(key, &s, NULL) == IM_OK)
		note_signer_done(&s);
	cosignatures(key, size);
	/* What is a checkpoint has one spelling. */
	if (checkpoint_open(key, size, NULL, &c, NULL) == IM_OK) {
		struct note n;

		if (!checkpoint_put(&text, &c) || note_parse(key, size, &n, NULL) != IM_OK ||
		    n.text_len != text.len || memcmp(n.text, text.data, text.len) != 0 ||
		    checkpoint_parse(buf_cstr(&text), text.len, &again, NULL) != IM_OK)
			abort();
	}
	buf_done(&text);
	free(key);
	return 0;
}
