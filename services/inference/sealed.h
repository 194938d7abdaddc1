/*
 * inference/sealed.h - the format of encrypted model files. Pure: bytes in, bytes out; it knows neither files nor models. Randomness is
 * an argument.
 *
 *   0  "INFERMDL"      8   version, 1     12  bytes of a chunk     16  bytes of the model     24  id of the key     40  salt
 *   72 tag of the 72 bytes before it      88  chunks: so many bytes of the model (the last one has what is left), then their tag
 *
 * Numbers are little-endian, of 32 bits (8, 12) and 64 bits (16). AES-256-GCM with tags of 16 bytes. Each file has a key of its own:
 * HKDF-SHA256 of the key file's 32 bytes, the salt, and "infermesh model file" followed by the header's 72 bytes. So no nonce is ever
 * used twice: that of chunk i is i (12 bytes, big-endian), that of the header's tag, which covers no text, is all ones. A chunk
 * that was changed, moved, left out or taken from another file does not open, nor does any when the header was changed.
 * The key's id is HKDF-SHA256 of it with "infermesh model key id", 16 bytes: it tells which key a file needs, and nothing of the key.
 *
 * Sources: NIST SP 800-38D (GCM), RFC 5869 (HKDF).
 */
#ifndef INFERENCE_SEALED_H
#define INFERENCE_SEALED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SEALED_KEY_BYTES   32
#define SEALED_ID_BYTES    16
#define SEALED_SALT_BYTES  32
#define SEALED_TAG_BYTES   16
#define SEALED_HEAD_BYTES  88
#define SEALED_MAGIC_BYTES 8
#define SEALED_CHUNK_MIN   4096U     /* a power of two, as is */
#define SEALED_CHUNK_MAX   16777216U /* this one */
#define SEALED_CHUNK_USUAL 1048576U  /* what is written */
#define SEALED_PLAIN_MAX   (UINT64_C(1) << 48)

/* Wipe it when it is done with. */
struct sealed_key {
	uint8_t bytes[SEALED_KEY_BYTES];
	uint8_t id[SEALED_ID_BYTES];
};

struct sealed_head {
	uint64_t plain_bytes;
	uint32_t chunk_bytes;
	uint8_t key_id[SEALED_ID_BYTES];
	uint8_t salt[SEALED_SALT_BYTES];
};

/* What seals or opens the chunks of one file. */
struct sealed;

/** Is this the beginning of an encrypted model file, of whatever version? */
bool sealed_is(const uint8_t *data, size_t len);

/** Fill in ret->id for ret->bytes. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc sealed_key_init(struct sealed_key *ret, struct im_err *err);

/**
 * Read the header at 'data' of a file of 'file_bytes' bytes, of which 'len' are at 'data'. Nothing is proven by that:
 * sealed_open_head() does. IM_OK, or IM_ECORRUPT with cause and remedy: no such file, another version, cut off, or
 * with something behind its end. Threads: reentrant; allocates nothing.
 */
IM_MUST_CHECK enum im_rc sealed_head_read(const uint8_t *data, size_t len, uint64_t file_bytes,
					  struct sealed_head *ret, struct im_err *err);

/** Begin the file of 'head' (key_id is filled in): its header into 'ret_head'. Free with sealed_free(). IM_OK, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc sealed_begin(const struct sealed_key *key, struct sealed_head *head,
				      uint8_t ret_head[SEALED_HEAD_BYTES], struct sealed **ret,
				      struct im_err *err);

/**
 * The header at 'data', which sealed_head_read() took, is the one that was written, and 'key' is its key. IM_EINVAL:
 * another key is needed, the text has both ids; IM_ECORRUPT: it was changed; IM_ENOMEM. Free with sealed_free().
 */
IM_MUST_CHECK enum im_rc sealed_open_head(const struct sealed_key *key,
					  const uint8_t data[SEALED_HEAD_BYTES],
					  const struct sealed_head *head, struct sealed **ret,
					  struct im_err *err);

void sealed_free(struct sealed *s);

uint64_t sealed_chunks(const struct sealed_head *head);

/** Bytes of the model in chunk 'i'; in the file a tag follows them. */
uint32_t sealed_chunk_len(const struct sealed_head *head, uint64_t i);

/** Bytes of the whole file. */
uint64_t sealed_file_bytes(const struct sealed_head *head);

/** Chunk 'i' of 'len' bytes into 'ret', which holds SEALED_TAG_BYTES more; each 'i' once. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc sealed_chunk_seal(struct sealed *s, uint64_t i, const uint8_t *plain,
					   uint32_t len, uint8_t *ret, struct im_err *err);

/** The other way: 'len' bytes and their tag at 'data'. IM_ECORRUPT: it is not the chunk that was written there; 'ret' is wiped. */
IM_MUST_CHECK enum im_rc sealed_chunk_open(struct sealed *s, uint64_t i, const uint8_t *data,
					   uint32_t len, uint8_t *ret, struct im_err *err);

#endif
