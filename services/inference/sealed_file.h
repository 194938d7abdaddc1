/*
 * inference/sealed_file.h - encrypted model files (sealed.h) on disk: their keys, and how one is made. It never writes what was decrypted.
 *
 * A key file is text, mode 0600, '#' begins a comment line: one line of 64 hexadecimal digits ('openssl rand -hex 32').
 */
#ifndef INFERENCE_SEALED_FILE_H
#define INFERENCE_SEALED_FILE_H

#include "inference/sealed.h"

/* 'done' of 'total' bytes. False: give up. */
typedef bool (*sealed_progress_fn)(void *user, uint64_t done, uint64_t total);

/** Read 'path'. IM_ENOTFOUND, IM_EPERM (others may read or change it; the text says which chmod), IM_EINVAL, IM_EIO, IM_ENOMEM: the
 *  text names the file. Wipe the key. */
IM_MUST_CHECK enum im_rc sealed_key_load(const char *path, struct sealed_key *ret,
					 struct im_err *err);

/** Make 'path' with a fresh key, mode 0600, durably, and missing folders. IM_EEXIST: it is there; IM_EINVAL, IM_EIO, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc sealed_key_create(const char *path, struct sealed_key *ret,
					   struct im_err *err);

/**
 * Encrypt the GGUF file 'from' as 'to', with mode 0600; 'replace': also if 'to' is there. It is written as 'to'.tmp, synced, and renamed when it is whole: what
 * goes wrong leaves nothing behind. 'ret_digest': SHA-256 of 'from', lower-case hex. IM_EEXIST: 'to' is there;
 * IM_ENOTFOUND; IM_ECORRUPT: 'from' is no whole GGUF file; IM_ECANCELED: 'progress' (NULL: none) said so; IM_EINVAL, IM_EIO,
 * IM_ENOMEM. Blocks on the disk.
 */
IM_MUST_CHECK enum im_rc sealed_file_make(const char *from, const char *to,
					  const struct sealed_key *key, bool replace,
					  sealed_progress_fn progress, void *user,
					  char ret_digest[65], struct im_err *err);

#endif
