/*
 * inference/local_model.h - a GGUF file, checked and loaded: the model, a context for several sequences, threads of its
 * own. Everything here blocks; it is for start and stop.
 */
#ifndef INFERENCE_LOCAL_MODEL_H
#define INFERENCE_LOCAL_MODEL_H

#include <stdint.h>

#include "base/err.h"
#include "inference/gpu.h"
#include "inference/local_prompt.h"

struct ggml_threadpool;
struct llama_context;
struct llama_model;
struct load_watch;

struct local_model_params {
	const char *file;          /* NULL = the bundled demo model */
	const char *sha256;        /* 64 hexadecimal digits that the file must have, or NULL */
	const char *key_file;      /* of an encrypted file's key; NULL: it is not encrypted */
	const char *chat_template; /* one that llama.cpp knows by this name, or NULL: the file's */
	uint32_t sequences;        /* decoded together; 0 = as fits the machine */
	uint32_t context_tokens;   /* of one sequence, at most */
	uint32_t batch_tokens;     /* of one step; 0 = as fits the model */
	uint32_t threads;          /* 0 = as fits machine and model */
	bool exact;                /* the same logits whatever else is in the batch */
	uint32_t sinks; /* first tokens that stay when a context is full; 0 = it ends then */
	uint32_t share; /* so many models have the machine's memory among them; 0 = 1 */
	struct gpu_wish gpu;
	struct load_watch *watch; /* NULL = nobody asks how far it is */
};

struct local_model {
	struct llama_model *llama;
	struct llama_context *context;
	struct ggml_threadpool *threads;
	const struct llama_vocab *vocab;
	struct local_template chat; /* text NULL: it is not made for conversations */
	bool
	    vectors_only; /* it has no memory of tokens before, as BERT: nothing goes on from them */
	uint32_t
	    context_tokens; /* of one sequence: what was asked for, or what the model was trained on if that is less */
	uint32_t sequences;
	uint32_t sinks;        /* as asked for */
	bool exact;            /* as asked for */
	bool reuse;            /* a sequence can be cut back to its beginning */
	uint32_t batch_tokens; /* of one step */
	uint32_t token_bytes;  /* of the longest token */
	uint64_t created;      /* modification time of the file, seconds since 1970 */
	char path[4096];
	char digest[65];       /* lower-case hex SHA-256; of what is in it if it is encrypted */
	struct gpu_found gpus; /* when it was loaded */
	bool sealed;           /* the file is encrypted */
	bool locked;           /* then: the process' memory is kept out of swap */
};

/**
 * Find, check and load. IM_OK; IM_ENOTFOUND, IM_EIO, IM_ECORRUPT, IM_EINVAL (another SHA-256 or key, no usable chat template), IM_EPERM (the key file),
 * IM_EUNAVAILABLE (this processor, no GPU), IM_ENOMEM: the text names the file and what to do. On failure nothing is left.
 */
IM_MUST_CHECK enum im_rc local_model_load(const struct local_model_params *params,
					  struct local_model *ret, struct im_err *err);

/**
 * Read the file as it is now and compare: its SHA-256 is put into 'ret_digest', lower-case hex. IM_OK; IM_EINVAL: it is another one
 * than params->sha256; IM_ECORRUPT: no whole GGUF file; else as local_model_load().
 */
IM_MUST_CHECK enum im_rc local_model_verify(const struct local_model_params *params,
					    char ret_digest[65], struct im_err *err);

/** Free. A zeroed one is fine. */
void local_model_done(struct local_model *m);

#endif
