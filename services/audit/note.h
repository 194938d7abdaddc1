/*
 * audit/note.h - signed notes (C2SP signed-note): texts with signature lines, and the keys that make and check them.
 * Ed25519 only: a log's own signatures, and the keys of cosignatures (cosignature.h). Never reads or writes a file.
 */
#ifndef AUDIT_NOTE_H
#define AUDIT_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define NOTE_MAX_BYTES   16384
#define NOTE_SIGS_MAX    64
#define NOTE_NAME_MAX    255 /* bytes of a key's name */
#define NOTE_SIG_BYTES   64
#define NOTE_KEY_BYTES   32
#define NOTE_KEYTEXT_MAX 384 /* a verifier's or signer's key as text, with its NUL */

/* What a key signs; it is part of the key, so that one is never taken for the other. */
enum note_alg {
	NOTE_SIGNATURE = 0x01,   /* the text of the note: a log's key */
	NOTE_COSIGNATURE = 0x04, /* time and text: a witness's key */
};

struct note_sig {
	const char *name; /* into the note, not terminated */
	size_t name_len;
	uint32_t key_id;
	uint8_t sig[NOTE_SIG_BYTES +
		    8]; /* what follows the key id; a cosignature has 8 bytes of time before it */
	size_t sig_len; /* 64, 72, or 0 for a kind that we do not know */
};

struct note {
	const char *text; /* into the input, with its final newline */
	size_t text_len;
	struct note_sig sig[NOTE_SIGS_MAX];
	size_t sig_count;
};

struct note_verifier {
	char name[NOTE_NAME_MAX + 1]; /* empty = no key */
	enum note_alg alg;
	uint32_t key_id;
	uint8_t pub[NOTE_KEY_BYTES];
};

struct note_signer {
	char name[NOTE_NAME_MAX + 1]; /* empty = no key */
	enum note_alg alg;
	uint32_t key_id;
	uint8_t seed[NOTE_KEY_BYTES];
	uint8_t pub[NOTE_KEY_BYTES];
};

/** True for a name that a key may have: 1 to NOTE_NAME_MAX bytes of UTF-8 without blanks, control characters and '+'. */
bool note_name_ok(const char *name);

/** Split the untrusted 'len' bytes. 'ret' points into them. Says nothing of whether the signatures are right. IM_EPROTO. */
IM_MUST_CHECK enum im_rc note_parse(const char *bytes, size_t len, struct note *ret,
				    struct im_err *err);

/**
 * Check the verifier's signature on the note. IM_OK; IM_ENOTFOUND: it has none of this key; IM_ECORRUPT: it has one and
 * that is wrong (also when another one is right: nobody honest writes such a note).
 */
IM_MUST_CHECK enum im_rc note_verify(const struct note *note, const struct note_verifier *v,
				     struct im_err *err);

/** Append 'text' (which ends in a newline), a blank line and our signature line. IM_EINVAL, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc note_sign(const struct note_signer *s, const char *text, size_t len,
				   struct buf *out, struct im_err *err);

/** Append one signature line: the key's name and id, and what follows the id. */
void note_put_sig(struct buf *out, const char *name, uint32_t key_id, const void *sig, size_t len);

/** Ed25519 over 'data'. */
void note_key_sign(const struct note_signer *s, const void *data, size_t len,
		   uint8_t ret[NOTE_SIG_BYTES]);
bool note_key_verify(const struct note_verifier *v, const uint8_t sig[NOTE_SIG_BYTES],
		     const void *data, size_t len);

/** From "name+hash+key", a log's. IM_EINVAL. */
IM_MUST_CHECK enum im_rc note_verifier_parse(const char *vkey, struct note_verifier *ret,
					     struct im_err *err);
/** The same of a witness. */
IM_MUST_CHECK enum im_rc note_cosigner_parse(const char *vkey, struct note_verifier *ret,
					     struct im_err *err);
/** The public half of 's'. */
void note_verifier_of(const struct note_signer *s, struct note_verifier *ret);

/** From "PRIVATE+KEY+name+hash+key", a log's. Free with note_signer_done(), which wipes the seed. */
IM_MUST_CHECK enum im_rc note_signer_parse(const char *skey, struct note_signer *ret,
					   struct im_err *err);
IM_MUST_CHECK enum im_rc note_signer_new(const char *name, const uint8_t seed[NOTE_KEY_BYTES],
					 struct note_signer *ret, struct im_err *err);
/** The same for a witness. */
IM_MUST_CHECK enum im_rc note_cosigner_skey_parse(const char *skey, struct note_signer *ret,
						  struct im_err *err);
IM_MUST_CHECK enum im_rc note_cosigner_new(const char *name, const uint8_t seed[NOTE_KEY_BYTES],
					   struct note_signer *ret, struct im_err *err);
void note_signer_done(struct note_signer *s);

/** As text. The signer's key is a secret. */
void note_signer_vkey(const struct note_signer *s, char ret[NOTE_KEYTEXT_MAX]);
void note_signer_skey(const struct note_signer *s, char ret[NOTE_KEYTEXT_MAX]);

#endif
