/*
 * inference/local_model.c - loading a model; see local_model.h.
 */
#include "inference/local_model.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ggml-cpu.h>
#include <llama.h>

#include "inference/local_devices.h"
#include "inference/local_file.h"
#include "inference/local_fit.h"
#include "inference/local_watch.h"

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

static uint32_t
on_gpus(const struct local_model_params *p, const struct local_model *m)
{
	return gpu_layers(&p->gpu, &m->gpus, (uint32_t)llama_model_n_layer(m->llama));
}

static struct local_fit
look_around(const struct local_model_params *p, const struct local_model *m)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t has = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
	cpu_set_t set;

	/* Keys and values lie where their layers do. */
	if (on_gpus(p, m) > 0)
		has = m->gpus.memory_bytes;
	return (struct local_fit){
		.processors =
		    sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1,
		.memory_bytes = has / (p->share > 0 ? p->share : 1),
		.parameters = llama_model_n_params(m->llama),
		.kv_bytes_per_token = kv_bytes_per_token(m->llama),
		.context_tokens = m->context_tokens,
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
check_memory(const struct local_model_params *p, const struct local_model *m,
	     const struct local_fit *fit, struct im_err *err)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t has = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
	uint32_t layers = (uint32_t)llama_model_n_layer(m->llama);
	uint64_t weights = gpu_host_bytes(&p->gpu, &m->gpus, layers, llama_model_size(m->llama));
	uint64_t keys = gpu_host_bytes(&p->gpu, &m->gpus, layers,
				       fit->kv_bytes_per_token * m->context_tokens * m->sequences);

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
	fit = look_around(p, m);
	m->sequences = p->sequences > 0 ? p->sequences : fit_sequences(&fit);
	rc = check_memory(p, m, &fit, err);
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
	enum im_rc rc;

	complaint[0] = '\0';
	mp.progress_callback = on_progress;
	mp.progress_callback_user_data = p->watch;
	local_devices_use(&p->gpu, &m->gpus, &mp);
	/* The same open file that was checked, so that nobody can put another one in its place. */
	m->llama = llama_model_load_from_file_ptr(f, mp);
	if (m->llama == NULL && !watch_step(p->watch, WATCH_LOADING, 0, 1))
		return local_file_given_up(err);
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

enum im_rc
local_model_verify(const struct local_model_params *params, char ret_digest[65], struct im_err *err)
{
	struct local_model m = { 0 };
	FILE *f = NULL;
	enum im_rc rc = local_file_open(params, &m, &f, err);

	if (rc != IM_OK)
		return rc;
	(void)fclose(f);
	memcpy(ret_digest, m.digest, sizeof(m.digest));
	return IM_OK;
}

enum im_rc
local_model_load(const struct local_model_params *params, struct local_model *ret,
		 struct im_err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct local_model m = { 0 };
	FILE *f = NULL;
	enum im_rc rc = check_processor(err);

	if (rc != IM_OK)
		return rc;
	(void)pthread_once(&once, init_llama);
	m.gpus = local_devices();
	rc = gpu_check(&params->gpu, &m.gpus, err);
	if (rc == IM_OK)
		rc = local_file_open(params, &m, &f, err);
	if (rc != IM_OK)
		return rc;
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
