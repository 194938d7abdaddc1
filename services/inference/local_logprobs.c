/*
 * inference/local_logprobs.c - see local_logprobs.h.
 */
#include "inference/local_logprobs.h"

#include <math.h>
#include <string.h>

#include <llama.h>

#include "base/json.h"

#define PIECE_BYTES   256       /* of a token's text; longer ones are cut here */
#define LOGPROB_NEVER (-9999.0) /* as OpenAI's says it */

/* An entry in 'waiting': this, then 'len' bytes of JSON; in the older form one after the other the texts for its four arrays,
 * each with a NUL. */
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
	(void)json_put_double(out, logprob < LOGPROB_NEVER ? LOGPROB_NEVER : logprob);
	(void)buf_append_str(out, ",\"bytes\":[");
	for (int32_t i = 0; i < n; i++)
		(void)buf_printf(out, "%s%u", i > 0 ? "," : "", (unsigned)(uint8_t)text[i]);
	(void)buf_append_byte(out, ']');
}

static void
put_entry(struct logprobs *l, const struct llama_vocab *vocab, int32_t token, double logprob,
	  const struct candidate *top, uint32_t count, double sum)
{
	(void)buf_append_byte(&l->waiting, '{');
	put_token(&l->waiting, vocab, token, logprob);
	(void)buf_append_str(&l->waiting, ",\"top_logprobs\":[");
	for (uint32_t i = 0; i < count; i++) {
		(void)buf_append_str(&l->waiting, i > 0 ? ",{" : "{");
		put_token(&l->waiting, vocab, top[i].token, (double)top[i].logit - sum);
		(void)buf_append_byte(&l->waiting, '}');
	}
	(void)buf_append_str(&l->waiting, "]}");
}

/* Text as a JSON string. Returns how many characters begin in it. */
static uint64_t
put_text(struct buf *out, const struct llama_vocab *vocab, int32_t token)
{
	char text[PIECE_BYTES];
	int32_t n = llama_token_to_piece(vocab, token, text, sizeof(text), 0, true);
	uint64_t chars = 0;

	for (int32_t i = 0; i < n; i++)
		chars += ((uint8_t)text[i] & 0xc0) != 0x80;
	(void)json_put_string(out, text, n < 0 ? 0 : (size_t)n);
	return chars;
}

static void
put_number(struct buf *out, double logprob)
{
	(void)json_put_double(out, logprob < LOGPROB_NEVER ? LOGPROB_NEVER : logprob);
}

static void
put_legacy(struct logprobs *l, const struct llama_vocab *vocab, int32_t token, double logprob,
	   const struct candidate *top, uint32_t count, double sum)
{
	uint64_t chars = put_text(&l->waiting, vocab, token);

	(void)buf_append_byte(&l->waiting, '\0');
	put_number(&l->waiting, logprob);
	(void)buf_append_byte(&l->waiting, '\0');
	for (uint32_t i = 0; i < count; i++) {
		(void)buf_append_byte(&l->waiting, i > 0 ? ',' : '{');
		(void)put_text(&l->waiting, vocab, top[i].token);
		(void)buf_append_byte(&l->waiting, ':');
		put_number(&l->waiting, (double)top[i].logit - sum);
	}
	(void)buf_append_str(&l->waiting, count > 0 ? "}" : "null");
	(void)buf_append_byte(&l->waiting, '\0');
	(void)buf_append_uint(&l->waiting, l->chars);
	(void)buf_append_byte(&l->waiting, '\0');
	l->chars += chars;
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
	if (l->legacy)
		put_legacy(l, vocab, token, (double)logits[token] - sum, top, count, sum);
	else
		put_entry(l, vocab, token, (double)logits[token] - sum, top, count, sum);
	if (!buf_ok(&l->waiting))
		return false;
	head.len = (uint32_t)(l->waiting.len - from - sizeof(head));
	memcpy(l->waiting.data + from, &head, sizeof(head));
	return true;
}

/* The bytes of 'waiting' whose tokens begin before 'given'. */
static size_t
due(const struct logprobs *l, uint64_t given)
{
	size_t used = 0;
	struct entry head;

	while (used < l->waiting.len) {
		memcpy(&head, l->waiting.data + used, sizeof(head));
		if (head.at >= given)
			break;
		used += sizeof(head) + head.len;
	}
	return used;
}

/* Array number 'part' of the older form, from the first 'len' bytes. */
static void
take_part(const struct logprobs *l, size_t len, unsigned part, struct buf *out)
{
	struct entry head;

	for (size_t at = 0; at < len; at += sizeof(head) + head.len) {
		const char *text = (const char *)l->waiting.data + at + sizeof(head);

		memcpy(&head, l->waiting.data + at, sizeof(head));
		for (unsigned i = 0; i < part; i++)
			text += strlen(text) + 1;
		(void)buf_append_byte(out, at == 0 ? '[' : ',');
		(void)buf_append_str(out, text);
	}
	(void)buf_append_byte(out, ']');
}

static void
take_legacy(const struct logprobs *l, size_t len, struct buf *out)
{
	static const char *const names[] = { "{\"tokens\":", ",\"token_logprobs\":",
					     ",\"top_logprobs\":", ",\"text_offset\":" };

	for (unsigned part = 0; part < 4; part++) {
		(void)buf_append_str(out, names[part]);
		if (part == 2 && l->top == 0)
			(void)buf_append_str(out, "null");
		else
			take_part(l, len, part, out);
	}
	(void)buf_append_byte(out, '}');
}

static void
take_entries(const struct logprobs *l, size_t len, struct buf *out)
{
	struct entry head;

	(void)buf_append_str(out, "{\"content\":[");
	for (size_t at = 0; at < len; at += sizeof(head) + head.len) {
		memcpy(&head, l->waiting.data + at, sizeof(head));
		(void)buf_append_str(out, at == 0 ? "" : ",");
		(void)buf_append(out, l->waiting.data + at + sizeof(head), head.len);
	}
	(void)buf_append_str(out, "]}");
}

bool
logprobs_take(struct logprobs *l, uint64_t given, struct buf *out)
{
	size_t used = due(l, given);

	if (used > 0 && l->legacy)
		take_legacy(l, used, out);
	else if (used > 0)
		take_entries(l, used, out);
	buf_consume(&l->waiting, used);
	return buf_ok(out);
}

void
logprobs_done(struct logprobs *l)
{
	buf_done(&l->waiting);
}
