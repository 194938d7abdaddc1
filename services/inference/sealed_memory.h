/*
 * inference/sealed_memory.h - an encrypted model file as a plain one that lies in memory only: a memfd that nobody can change any more
 * or run, which llama.cpp maps like a file. What is on disk stays encrypted.
 */
#ifndef INFERENCE_SEALED_MEMORY_H
#define INFERENCE_SEALED_MEMORY_H

#include <stdio.h>

#include "inference/sealed_file.h"

/**
 * Decrypt the file 'f', from its beginning to its end, with the key of 'key_file'. '*ret' can be read and mapped; fclose() it. Chunk by
 * chunk: nothing of the memory is given out before all of the file was found to be what was written. IM_EINVAL: no
 * encrypted file, or another key; IM_ECORRUPT: damaged, cut off, changed; IM_ENOMEM: it does not fit into what memory the
 * machine has free; IM_ECANCELED: 'progress' said so; errors of sealed_key_load(); IM_EIO. Blocks.
 */
IM_MUST_CHECK enum im_rc sealed_memory_open(FILE *f, const char *key_file,
					    sealed_progress_fn progress, void *user, FILE **ret,
					    struct im_err *err);

/**
 * Keep the memory of this process out of core dumps and away from debuggers of the same user, and out of swap where its limit of locked
 * memory allows it (RLIMIT_MEMLOCK unlimited). Once and for all. True: also out of swap. Threads: any.
 */
bool sealed_memory_hide(void);

#endif
