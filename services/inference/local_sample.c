/*
 * inference/local_sample.c - drawing the next token of a choice; see local_engine.h. On the decode thread.
 */
#include <math.h>

#include <llama.h>

#include "inference/local_engine.h"

#define PENALTY_TOKENS 4096 /* how far back penalties look, at most */

static bool
chain_add(struct llama_sampler *chain, struct llama_sampler *s)
{
	if (s == NULL)
		return false;
	llama_sampler_chain_add(chain, s);
	return true;
}

/* llama.cpp takes 32 bits, and one value of them means "choose one". */
static uint32_t
fold_seed(uint64_t seed)
{
	uint32_t v = (uint32_t)(seed ^ seed >> 32);

	return v == LLAMA_DEFAULT_SEED ? 0 : v;
}

static struct llama_sampler *
make_bias(const struct engine *e, const struct local_bias *b)
{
	llama_logit_bias list[LOCAL_BIAS_TOKENS_MAX];

	for (uint32_t i = 0; i < b->count; i++)
		list[i] = (llama_logit_bias){ b->list[i].token, b->list[i].bias };
	return llama_sampler_init_logit_bias(llama_vocab_n_tokens(e->model->vocab),
					     (int32_t)b->count, list);
}

/* In llama.cpp's own order: bias, penalties, top_k, top_p, min_p, temperature, the draw. */
static struct llama_sampler *
make_sampler(const struct engine *e, const struct job *job, uint32_t choice)
{
	const struct local_params *p = &job->params;
	struct llama_sampler_chain_params cp = llama_sampler_chain_default_params();
	struct llama_sampler *chain;
	bool ok = true;

	cp.no_perf = true;
	chain = llama_sampler_chain_init(cp);
	if (chain == NULL)
		return NULL;
	if (job->bias.count > 0)
		ok = chain_add(chain, make_bias(e, &job->bias));
	if (p->repeat_penalty != 1 || p->frequency_penalty != 0 || p->presence_penalty != 0)
		ok = ok && chain_add(chain, llama_sampler_init_penalties(
						llama_vocab_n_tokens(e->model->vocab),
						PENALTY_TOKENS, p->repeat_penalty,
						p->frequency_penalty, p->presence_penalty));
	if (p->temperature <= 0) {
		ok = ok && chain_add(chain, llama_sampler_init_greedy());
	} else {
		if (p->top_k > 0)
			ok = ok && chain_add(chain, llama_sampler_init_top_k(p->top_k));
		if (p->top_p < 1)
			ok = ok && chain_add(chain, llama_sampler_init_top_p(p->top_p, 1));
		if (p->min_p > 0)
			ok = ok && chain_add(chain, llama_sampler_init_min_p(p->min_p, 1));
		ok = ok && chain_add(chain, llama_sampler_init_temp(p->temperature)) &&
		     chain_add(chain, llama_sampler_init_dist(fold_seed(p->seed + choice)));
	}
	if (!ok) {
		llama_sampler_free(chain);
		return NULL;
	}
	return chain;
}

bool
sample_begin(const struct engine *e, struct seat *s, struct im_err *err)
{
	const struct job *job = s->job;

	if (job->grammar != NULL) {
		s->grammar = llama_sampler_init_grammar(e->model->vocab, job->grammar, "root");
		if (s->grammar == NULL) {
			(void)err_reason(
			    err, IM_EINVAL, "unsupported_parameter",
			    "llama.cpp does not take the grammar of this response_format; make the schema simpler");
			return false;
		}
	}
	s->sampler = make_sampler(e, job, s->choice);
	if (s->sampler != NULL)
		return true;
	sample_end(s);
	(void)err_set(err, IM_ENOMEM, "no memory for the answer; try again later");
	return false;
}

void
sample_end(struct seat *s)
{
	llama_sampler_free(s->sampler);
	llama_sampler_free(s->grammar);
	s->sampler = s->grammar = NULL;
}

/* Draw one of the candidates, of which the grammar lets all pass or, when 'strictly', only those that fit. */
static llama_token
draw(struct engine *e, struct seat *s, bool strictly)
{
	const float *logits = llama_get_logits_ith(e->model->context, s->output);
	size_t n = (size_t)llama_vocab_n_tokens(e->model->vocab);
	llama_token_data_array a = { .data = e->candidates, .size = n, .selected = -1 };

	for (size_t i = 0; i < n; i++)
		e->candidates[i] = (llama_token_data){ .id = (llama_token)i, .logit = logits[i] };
	if (strictly)
		llama_sampler_apply(s->grammar, &a);
	llama_sampler_apply(s->sampler, &a);
	return a.selected < 0 ? 0 : a.data[a.selected].id;
}

static bool
fits(struct seat *s, llama_token token)
{
	llama_token_data one = { .id = token, .logit = 1 };
	llama_token_data_array a = { .data = &one, .size = 1, .selected = -1 };

	llama_sampler_apply(s->grammar, &a);
	return !isinf(one.logit);
}

bool
sample_next(struct engine *e, struct seat *s, int32_t *ret_token, struct im_err *err)
{
	llama_token token;

	if (s->grammar == NULL) {
		*ret_token = llama_sampler_sample(s->sampler, e->model->context, s->output);
		return true;
	}
	/* To hold the whole vocabulary against the grammar takes long; the first draw mostly fits. */
	token = draw(e, s, false);
	if (!fits(s, token))
		token = draw(e, s, true);
	if (!fits(s, token)) { /* llama.cpp would end the process when it accepted it */
		(void)err_reason(
		    err, IM_EINTERNAL, "decode_failed",
		    "no token of the model fits the response_format at this place; make the schema simpler");
		return false;
	}
	llama_sampler_accept(s->grammar, token);
	llama_sampler_accept(s->sampler, token);
	*ret_token = token;
	return true;
}
