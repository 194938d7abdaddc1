/*
 * inference/local_model.c - loading a model; see local_model.h.
 */
#include "inference/local_model.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ggml-cpu.h>
#include <llama.h>

#include "base/hex.h"
#include "inference/gguf_header.h"
#include "inference/local_fit.h"
#include "inference/local_watch.h"

#define SHA256_BYTES   32
#define HASH_BYTES     ((size_t)16 * 1024 * 1024) /* between two looks at the watch */
#define TEMPLATES_MAX  256
#define MEMORY_PERCENT 90 /* of the machine's, that weights and contexts may take */

/* llama.cpp's last complaint in this thread: the cause of a failed load. Its log goes nowhere else. */
static __thread char complaint[256];

static void
keep_complaint(enum ggml_log_level level, const char *text, void *arg)
{
	(void)arg;
	if (level != GGML_LOG_LEVEL_ERROR)
		return;
	(void)snprintf(complaint, sizeof(complaint), "%s", text);
	complaint[strcspn(complaint, "\n")] = '\0';
}

static void
init_llama(void)
{
	llama_log_set(keep_complaint, NULL);
	llama_backend_init();
}

static enum im_rc
check_processor(struct im_err *err)
{
#if defined(__x86_64__)
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
	    !__builtin_cpu_supports("bmi2"))
		return err_set(
		    err, IM_EUNAVAILABLE,
		    "this processor has no AVX2, FMA and BMI2, which the local backend was built for; use an upstream, or "
		    "build llama.cpp for this machine");
#endif
	(void)err;
	return IM_OK;
}

/* The folder of this program and a '/'; "" when it cannot be told. */
static void
program_folder(char *out, size_t cap)
{
	ssize_t n = readlink("/proc/self/exe", out, cap - 1);
	char *slash;

	out[n > 0 ? n : 0] = '\0';
	slash = strrchr(out, '/');
	out[slash != NULL ? slash - out + 1 : 0] = '\0';
}

/* The demo model of this installation, else that of the source tree. */
static enum im_rc
find_file(const char *file, char *ret_path, size_t cap, struct im_err *err)
{
	static const char *const demo[] = { INFERMESH_DEMO_MODEL_INSTALLED,
					    INFERMESH_DEMO_MODEL_BUILT };
	char folder[PATH_MAX];

	if (file != NULL) {
		if (snprintf(ret_path, cap, "%s", file) >= (int)cap)
			return err_set(err, IM_EINVAL, "the path of the model is too long");
		return IM_OK;
	}
	program_folder(folder, sizeof(folder));
	if (folder[0] != '\0' &&
	    snprintf(ret_path, cap, "%s%s", folder, INFERMESH_DEMO_MODEL_BESIDE) < (int)cap &&
	    access(ret_path, R_OK) == 0)
		return IM_OK;
	for (size_t i = 0; i < sizeof(demo) / sizeof(demo[0]); i++) {
		(void)snprintf(ret_path, cap, "%s", demo[i]);
		if (access(ret_path, R_OK) == 0)
			return IM_OK;
	}
	return err_set(
	    err, IM_ENOTFOUND,
	    "the bundled demo model is neither at %s nor at %s; install it, or set workers[].model_file",
	    demo[0], demo[1]);
}

static enum im_rc
gave_up(struct im_err *err)
{
	return err_set(err, IM_ECANCELED, "loading it was given up: the worker is being stopped");
}

static enum im_rc
hash(const uint8_t *data, size_t len, struct load_watch *watch, uint8_t digest[SHA256_BYTES],
     struct im_err *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1, go_on = true;
	unsigned n = 0;

	for (size_t at = 0; ok && go_on && at < len; at += HASH_BYTES) {
		go_on = watch_step(watch, WATCH_CHECKING, at, len);
		ok = EVP_DigestUpdate(ctx, data + at,
				      len - at < HASH_BYTES ? len - at : HASH_BYTES) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(ctx, digest, &n) == 1;
	EVP_MD_CTX_free(ctx);
	if (!go_on)
		return gave_up(err);
	if (!ok || n != SHA256_BYTES)
		return err_set(err, IM_ENOMEM, "cannot compute its SHA-256");
	return IM_OK;
}

/* Check what the mapped file holds and fill in its digest. */
static enum im_rc
check_bytes(const uint8_t *data, size_t len, const struct local_model_params *p,
	    struct local_model *m, struct im_err *err)
{
	const char *want = p->sha256;
	struct gguf_header header;
	uint8_t digest[SHA256_BYTES];
	enum im_rc rc = gguf_header_check(data, len, &header, err);

	if (rc == IM_OK)
		rc = hash(data, len, p->watch, digest, err);
	if (rc != IM_OK)
		return rc;
	hex_encode(digest, sizeof(digest), m->digest);
	if (want != NULL && strcasecmp(want, m->digest) != 0)
		return err_set(
		    err, IM_EINVAL,
		    "its SHA-256 is %s, not %s as its key sha256 says: it is another file, or was changed",
		    m->digest, want);
	return IM_OK;
}

static enum im_rc
check_file(FILE *f, const struct local_model_params *p, struct local_model *m, struct im_err *err)
{
	struct stat st;
	void *data;
	enum im_rc rc;

	if (fstat(fileno(f), &st) != 0)
		return err_errno(err, IM_EIO, errno, "cannot be examined");
	if (!S_ISREG(st.st_mode))
		return err_set(err, IM_EINVAL, "this is no file; give the path of a GGUF file");
	if (st.st_size == 0)
		return err_set(err, IM_ECORRUPT, "it is empty; fetch it again");
	m->created = (uint64_t)st.st_mtime;
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fileno(f), 0);
	if (data == MAP_FAILED)
		return err_errno(err, IM_EIO, errno, "cannot be mapped");
	rc = check_bytes(data, (size_t)st.st_size, p, m, err);
	(void)munmap(data, (size_t)st.st_size);
	return rc;
}

/* Keys and values of one token in all layers, as 16-bit numbers. */
static uint64_t
kv_bytes_per_token(const struct llama_model *llama)
{
	uint64_t heads = (uint64_t)llama_model_n_head(llama),
		 width = (uint64_t)llama_model_n_embd(llama);

	return heads == 0 ? 0
			  : 2 * sizeof(uint16_t) * (uint64_t)llama_model_n_layer(llama) *
				(uint64_t)llama_model_n_head_kv(llama) * (width / heads);
}

static struct local_fit
look_around(const struct llama_model *llama, uint32_t context_tokens, uint32_t share)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	cpu_set_t set;

	return (struct local_fit){
		.processors =
		    sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1,
		.memory_bytes = pages > 0 && page > 0
				    ? (uint64_t)pages * (uint64_t)page / (share > 0 ? share : 1)
				    : 0,
		.parameters = llama_model_n_params(llama),
		.kv_bytes_per_token = kv_bytes_per_token(llama),
		.context_tokens = context_tokens,
	};
}

static uint32_t
longest_token(const struct llama_vocab *vocab)
{
	size_t longest = 1;

	for (llama_token t = 0; t < llama_vocab_n_tokens(vocab); t++) {
		const char *text = llama_vocab_get_text(vocab, t);
		size_t len = text != NULL ? strlen(text) : 0;

		if (len > longest)
			longest = len;
	}
	return (uint32_t)longest;
}

static enum im_rc
check_sinks(const struct local_model_params *p, struct local_model *m, struct im_err *err)
{
	m->sinks = m->vectors_only ? 0 : p->sinks;
	if (m->sinks == 0)
		return IM_OK;
	if (!m->reuse || !llama_memory_can_shift(llama_get_memory(m->context)))
		return err_set(
		    err, IM_EINVAL,
		    "this kind of model cannot drop old tokens; leave workers[].context_sinks out");
	if (p->sinks > m->context_tokens / 2)
		return err_set(
		    err, IM_EINVAL,
		    "workers[].context_sinks is %u, more than half of its context of %u tokens; lower it",
		    p->sinks, m->context_tokens);
	return IM_OK;
}

/* The kernel gives memory that it does not have, and ends the process when it is used. */
static enum im_rc
check_memory(const struct local_model *m, const struct local_fit *fit, struct im_err *err)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t has = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
	uint64_t weights = llama_model_size(m->llama);
	uint64_t keys = fit->kv_bytes_per_token * m->context_tokens * m->sequences;

	if (weights + keys <= has / 100 * MEMORY_PERCENT)
		return IM_OK;
	return err_set(
	    err, IM_ENOMEM,
	    "it takes %llu MiB, and %llu MiB for %u sequences of %u tokens; this machine has %llu MiB: lower "
	    "workers[].max_batch_size, or the context",
	    (unsigned long long)(weights >> 20), (unsigned long long)(keys >> 20), m->sequences,
	    m->context_tokens, (unsigned long long)(has >> 20));
}

/* Such a model reads an input in one step, and llama.cpp keeps the whole vocabulary for each of its tokens. */
static enum im_rc
check_vectors_memory(const struct local_model *m, struct im_err *err)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t has = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
	uint64_t weights = llama_model_size(m->llama);
	uint64_t step =
	    (uint64_t)llama_vocab_n_tokens(m->vocab) * m->context_tokens * sizeof(float);

	if (!m->vectors_only || weights + step <= has / 100 * MEMORY_PERCENT)
		return IM_OK;
	return err_set(
	    err, IM_ENOMEM,
	    "it takes %llu MiB, and %llu MiB for a text of %u tokens; this machine has %llu MiB: lower the context",
	    (unsigned long long)(weights >> 20), (unsigned long long)(step >> 20),
	    m->context_tokens, (unsigned long long)(has >> 20));
}

static enum im_rc
make_context(const struct local_model_params *p, struct local_model *m, struct im_err *err)
{
	struct llama_context_params cp = llama_context_default_params();
	struct ggml_threadpool_params tp;
	int32_t trained = llama_model_n_ctx_train(m->llama);
	struct local_fit fit;
	enum im_rc rc;

	m->context_tokens = p->context_tokens;
	if (trained > 0 && m->context_tokens > (uint32_t)trained)
		m->context_tokens = (uint32_t)trained;
	fit = look_around(m->llama, m->context_tokens, p->share);
	m->sequences = p->sequences > 0 ? p->sequences : fit_sequences(&fit);
	rc = check_memory(m, &fit, err);
	if (rc != IM_OK)
		return rc;
	m->batch_tokens = p->batch_tokens > m->sequences ? p->batch_tokens
			  : p->batch_tokens > 0          ? m->sequences
							 : fit_batch_tokens(&fit, m->sequences);
	tp = ggml_threadpool_params_default((int)(p->threads > 0 ? p->threads : fit_threads(&fit)));
	cp.n_ctx = m->context_tokens * m->sequences;
	cp.n_batch = cp.n_ubatch = m->batch_tokens;
	cp.n_seq_max = m->sequences;
	cp.n_outputs_max = m->sequences;
	cp.n_threads = cp.n_threads_batch = tp.n_threads;
	cp.kv_unified =
	    false; /* independent prompts: one buffer for all is slower the more there are */
	/* The sums of flash attention depend on how many are in the batch, in the last bits; it is up to 1.5 times as fast. */
	cp.flash_attn_type = p->exact ? LLAMA_FLASH_ATTN_TYPE_DISABLED : LLAMA_FLASH_ATTN_TYPE_AUTO;
	cp.no_perf = true;
	m->context = llama_init_from_model(m->llama, cp);
	if (m->context == NULL)
		return err_set(
		    err, IM_ENOMEM,
		    "no context for %u sequences of %u tokens (%s); lower workers[].max_batch_size or max_context_length",
		    m->sequences, m->context_tokens, complaint);
	/* Threads that wait for work by spinning starve the rest of the machine: ours sleep. */
	tp.poll = 0;
	m->threads = ggml_threadpool_new(&tp);
	if (m->threads == NULL)
		return err_set(err, IM_ENOMEM, "cannot start %d threads; lower workers[].threads",
			       tp.n_threads);
	llama_attach_threadpool(m->context, m->threads, m->threads);
	m->exact = p->exact;
	m->vectors_only = llama_get_memory(m->context) == NULL;
	m->reuse = !llama_model_is_recurrent(m->llama) && !llama_model_is_hybrid(m->llama);
	rc = check_vectors_memory(m, err);
	return rc == IM_OK ? check_sinks(p, m, err) : rc;
}

static bool
on_progress(float part, void *watch)
{
	return watch_step(watch, WATCH_LOADING, (uint64_t)(part * 100), 100);
}

/* The file's if it has one, or the one that llama.cpp has under this name. */
static enum im_rc
choose_template(const char *name, struct local_model *m, struct im_err *err)
{
	const char *own = llama_model_chat_template(m->llama, NULL), *known[TEMPLATES_MAX];
	int32_t count;

	if (name == NULL && own == NULL)
		return IM_OK; /* it goes on with texts, or makes vectors of them */
	if (name == NULL)
		return local_template_init(&m->chat, own, err);
	count = llama_chat_builtin_templates(known, TEMPLATES_MAX);
	for (int32_t i = 0; i < count && i < TEMPLATES_MAX; i++)
		if (strcmp(known[i], name) == 0)
			return local_template_init(&m->chat, known[i], err);
	return err_set(
	    err, IM_EINVAL,
	    "there is no chat template '%s', allowed: chatml, llama3, mistral-v7, gemma, "
	    "phi3, deepseek3 and others that llama.cpp has",
	    name);
}

/* llama.cpp ends the process when it lays tokens around a text that the vocabulary does not have. */
static enum im_rc
check_vocabulary(const struct llama_vocab *vocab, struct im_err *err)
{
	bool both = llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_WPM;

	if (((both || llama_vocab_get_add_bos(vocab)) && llama_vocab_bos(vocab) < 0) ||
	    (llama_vocab_get_add_eos(vocab) && llama_vocab_eos(vocab) < 0) ||
	    ((both || llama_vocab_get_add_sep(vocab)) && llama_vocab_sep(vocab) < 0))
		return err_set(
		    err, IM_ECORRUPT,
		    "its vocabulary does not have the tokens that stand around a text; take another conversion of the model");
	return IM_OK;
}

static enum im_rc
load(FILE *f, const struct local_model_params *p, struct local_model *m, struct im_err *err)
{
	struct llama_model_params mp = llama_model_default_params();
	enum im_rc rc = check_file(f, p, m, err);

	if (rc != IM_OK)
		return rc;
	rewind(f);
	complaint[0] = '\0';
	mp.progress_callback = on_progress;
	mp.progress_callback_user_data = p->watch;
	/* The same open file that was checked, so that nobody can put another one in its place. */
	m->llama = llama_model_load_from_file_ptr(f, mp);
	if (m->llama == NULL && !watch_step(p->watch, WATCH_LOADING, 0, 1))
		return gave_up(err);
	if (m->llama == NULL)
		return err_set(
		    err, IM_ECORRUPT,
		    "llama.cpp cannot load it (%s); take another conversion of the model",
		    complaint[0] != '\0' ? complaint : "no reason given");
	if (!llama_model_has_decoder(m->llama) || llama_model_has_encoder(m->llama))
		return err_set(err, IM_EINVAL, "it does not generate text; take a chat model");
	m->vocab = llama_model_get_vocab(m->llama);
	m->token_bytes = longest_token(m->vocab);
	rc = check_vocabulary(m->vocab, err);
	if (rc == IM_OK)
		rc = choose_template(p->chat_template, m, err);
	return rc == IM_OK ? make_context(p, m, err) : rc;
}

static enum im_rc
open_file(const struct local_model_params *params, struct local_model *m, FILE **ret,
	  struct im_err *err)
{
	enum im_rc rc = find_file(params->file, m->path, sizeof(m->path), err);

	if (rc != IM_OK)
		return rc;
	*ret = fopen(m->path, "rbe");
	if (*ret == NULL)
		return err_errno(err, errno == ENOENT ? IM_ENOTFOUND : IM_EIO, errno,
				 "model file %s cannot be opened; check its path", m->path);
	return IM_OK;
}

enum im_rc
local_model_verify(const struct local_model_params *params, char ret_digest[65], struct im_err *err)
{
	struct local_model m = { 0 };
	FILE *f = NULL;
	enum im_rc rc = open_file(params, &m, &f, err);

	if (rc != IM_OK)
		return rc;
	rc = check_file(f, params, &m, err);
	(void)fclose(f);
	if (rc == IM_OK)
		memcpy(ret_digest, m.digest, sizeof(m.digest));
	else
		err_prefix(err, "model file %s", m.path);
	return rc;
}

enum im_rc
local_model_load(const struct local_model_params *params, struct local_model *ret,
		 struct im_err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct local_model m = { 0 };
	FILE *f = NULL;
	enum im_rc rc = check_processor(err);

	if (rc == IM_OK)
		rc = open_file(params, &m, &f, err);
	if (rc != IM_OK)
		return rc;
	(void)pthread_once(&once, init_llama);
	rc = load(f, params, &m, err);
	(void)fclose(f);
	if (rc != IM_OK) {
		err_prefix(err, "model file %s", m.path);
		local_model_done(&m);
		return rc;
	}
	*ret = m;
	return IM_OK;
}

void
local_model_done(struct local_model *m)
{
	llama_free(m->context);
	if (m->threads != NULL)
		ggml_threadpool_free(m->threads);
	llama_model_free(m->llama);
	*m = (struct local_model){ 0 };
}
