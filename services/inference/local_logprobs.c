/*
 * inference/local_logprobs.c - see local_logprobs.h.
 */
#include "inference/local_logprobs.h"

#include <math.h>
#include <string.h>

#include <llama.h>

#include "base/json.h"

#define PIECE_BYTES 256 /* of a token's text; longer ones are cut here */

/* An entry in 'waiting': this, then 'len' bytes of JSON. */
struct entry {
	uint64_t at;
	uint32_t len;
};

struct candidate {
	int32_t token;
	float logit;
};

/* The logarithm of the sum of all exponentials. */
static double
log_sum(const float *logits, int32_t n)
{
	float max = logits[0];
	double sum = 0;

	for (int32_t i = 1; i < n; i++)
		if (logits[i] > max)
			max = logits[i];
	for (int32_t i = 0; i < n; i++)
		sum += exp((double)logits[i] - (double)max);
	return (double)max + log(sum);
}

/* The likeliest 'count' tokens, the first of them first. Returns how many there are. */
static uint32_t
find_top(const float *logits, int32_t n, uint32_t count, struct candidate *top)
{
	uint32_t have = 0;

	for (int32_t t = 0; count > 0 && t < n; t++) {
		uint32_t i;

		if (have == count && logits[t] <= top[have - 1].logit)
			continue;
		i = have < count ? have++ : have - 1;
		for (; i > 0 && top[i - 1].logit < logits[t]; i--)
			top[i] = top[i - 1];
		top[i] = (struct candidate){ t, logits[t] };
	}
	return have;
}

/* "token":..,"logprob":..,"bytes":[..] */
static void
put_token(struct buf *out, const struct llama_vocab *vocab, int32_t token, double logprob)
{
	char text[PIECE_BYTES];
	int32_t n = llama_token_to_piece(vocab, token, text, sizeof(text), 0, true);

	if (n < 0)
		n = 0;
	(void)buf_append_str(out, "\"token\":");
	(void)json_put_string(out, text, (size_t)n);
	(void)buf_append_str(out, ",\"logprob\":");
	(void)json_put_double(out,
			      logprob < -9999 ? -9999 : logprob); /* as OpenAI's says "never" */
	(void)buf_append_str(out, ",\"bytes\":[");
	for (int32_t i = 0; i < n; i++)
		(void)buf_printf(out, "%s%u", i > 0 ? "," : "", (unsigned)(uint8_t)text[i]);
	(void)buf_append_byte(out, ']');
}

bool
logprobs_add(struct logprobs *l, const struct llama_vocab *vocab, const float *logits,
	     int32_t token, uint64_t at)
{
	struct candidate top[LOGPROBS_TOP_MAX];
	struct entry head = { .at = at };
	size_t from = l->waiting.len;
	int32_t n = llama_vocab_n_tokens(vocab);
	uint32_t most = l->top < LOGPROBS_TOP_MAX ? l->top : LOGPROBS_TOP_MAX;
	double sum = log_sum(logits, n);
	uint32_t count = find_top(logits, n, most, top);

	(void)buf_append(&l->waiting, &head, sizeof(head));
	(void)buf_append_byte(&l->waiting, '{');
	put_token(&l->waiting, vocab, token, (double)logits[token] - sum);
	(void)buf_append_str(&l->waiting, ",\"top_logprobs\":[");
	for (uint32_t i = 0; i < count; i++) {
		(void)buf_append_str(&l->waiting, i > 0 ? ",{" : "{");
		put_token(&l->waiting, vocab, top[i].token, (double)top[i].logit - sum);
		(void)buf_append_byte(&l->waiting, '}');
	}
	(void)buf_append_str(&l->waiting, "]}");
	if (!buf_ok(&l->waiting))
		return false;
	head.len = (uint32_t)(l->waiting.len - from - sizeof(head));
	memcpy(l->waiting.data + from, &head, sizeof(head));
	return true;
}

bool
logprobs_take(struct logprobs *l, uint64_t given, struct buf *out)
{
	const char *before = "{\"content\":[";
	size_t used = 0;
	struct entry head;

	while (used < l->waiting.len) {
		memcpy(&head, l->waiting.data + used, sizeof(head));
		if (head.at >= given)
			break;
		(void)buf_append_str(out, before);
		(void)buf_append(out, l->waiting.data + used + sizeof(head), head.len);
		used += sizeof(head) + head.len;
		before = ",";
	}
	if (used > 0)
		(void)buf_append_str(out, "]}");
	buf_consume(&l->waiting, used);
	return buf_ok(out);
}

void
logprobs_done(struct logprobs *l)
{
	buf_done(&l->waiting);
}
