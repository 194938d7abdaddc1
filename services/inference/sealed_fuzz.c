/*
 * inference/sealed_fuzz.c - no header makes the reader compute nonsense, no bytes open without the key, and no change to a file that was
 * sealed goes unseen.
 */
#include <stdlib.h>
#include <string.h>

#include "inference/sealed.h"

#define PLAIN      5000
#define CHUNK      4096
#define FILE_BYTES (SEALED_HEAD_BYTES + PLAIN + 2 * SEALED_TAG_BYTES)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sealed_key key;
static uint8_t whole[FILE_BYTES];

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static void
make_whole(void)
{
	struct sealed_head head = { .plain_bytes = PLAIN, .chunk_bytes = CHUNK };
	static const uint8_t plain[PLAIN];
	struct sealed *s;

	must(sealed_key_init(&key, NULL) == IM_OK);
	must(sealed_begin(&key, &head, whole, &s, NULL) == IM_OK);
	must(sealed_chunk_seal(s, 0, plain, CHUNK, whole + SEALED_HEAD_BYTES, NULL) == IM_OK);
	must(sealed_chunk_seal(s, 1, plain, PLAIN - CHUNK,
			       whole + SEALED_HEAD_BYTES + CHUNK + SEALED_TAG_BYTES,
			       NULL) == IM_OK);
	sealed_free(s);
}

/* The file of 'size' bytes at 'data' as a reader takes it. */
static enum im_rc
open_all(const uint8_t *data, size_t size)
{
	static uint8_t plain[SEALED_CHUNK_MAX];
	struct sealed_head head;
	struct sealed *s;
	struct im_err err = { .text = "" };
	size_t at = SEALED_HEAD_BYTES;
	enum im_rc rc = sealed_head_read(data, size, size, &head, &err);

	if (rc == IM_OK) {
		must(sealed_file_bytes(&head) == size && sealed_chunks(&head) > 0);
		rc = sealed_open_head(&key, data, &head, &s, &err);
	}
	if (rc != IM_OK) {
		must(err.text[0] != '\0');
		return rc;
	}
	for (uint64_t i = 0; rc == IM_OK && i < sealed_chunks(&head); i++) {
		uint32_t len = sealed_chunk_len(&head, i);

		must(at + len + SEALED_TAG_BYTES <= size);
		rc = sealed_chunk_open(s, i, data + at, len, plain, &err);
		at += len + SEALED_TAG_BYTES;
	}
	sealed_free(s);
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t changed[FILE_BYTES];

	if (whole[0] == 0)
		make_whole();
	must(open_all(whole, FILE_BYTES) == IM_OK);
	if (size != FILE_BYTES || memcmp(data, whole, size) != 0)
		must(open_all(data, size) != IM_OK);
	/* Of each three bytes: where, and what is changed there. */
	memcpy(changed, whole, sizeof(changed));
	for (size_t i = 0; i + 3 <= size; i += 3)
		changed[(data[i] | data[i + 1] << 8) % FILE_BYTES] ^= data[i + 2];
	must((open_all(changed, FILE_BYTES) == IM_OK) == (memcmp(changed, whole, FILE_BYTES) == 0));
	return 0;
}
