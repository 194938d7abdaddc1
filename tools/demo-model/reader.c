/*
 * demo-model/reader.c - the corpus, from a file into batches.
 */
#include "reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEARN 0x8000u

static bool
read_words(struct reader *r, FILE *f)
{
	size_t cap = 0;
	uint8_t pair[2];

	while (fread(pair, 1, sizeof(pair), f) == sizeof(pair)) {
		if (r->count == cap) {
			uint16_t *more;

			cap = cap ? 2 * cap : 1 << 20;
			more = realloc(r->words, cap * sizeof(*more));
			if (!more)
				return false;
			r->words = more;
		}
		r->words[r->count++] = (uint16_t)(pair[0] | pair[1] << 8);
	}
	return !ferror(f);
}

/* Lengths and tokens are within bounds, and the last dialogue is whole. */
static bool
check(struct reader *r, const struct shape *s)
{
	for (size_t at = 0; at < r->count; at += 1u + r->words[at]) {
		const size_t n = r->words[at];

		if (n < 2 || n > s->longest || n >= r->count - at)
			return false;
		for (size_t i = 1; i <= n; i++)
			if ((r->words[at + i] & ~LEARN) >= s->vocabulary)
				return false;
		r->dialogues++;
		r->tokens += n;
	}
	return r->dialogues > 0;
}

bool
reader_open(struct reader *r, const char *path, const struct shape *s)
{
	FILE *f = fopen(path, "rbe");
	bool ok;

	memset(r, 0, sizeof(*r));
	if (!f) {
		(void)fprintf(stderr, "demo-train: %s: %m\n", path);
		return false;
	}
	ok = read_words(r, f);
	if (!ok)
		(void)fprintf(stderr, "demo-train: %s: %m\n", path);
	else if (!check(r, s)) {
		(void)fprintf(
		    stderr,
		    "demo-train: %s: this is no corpus of at most %zu tokens a dialogue, of %zu kinds\n",
		    path, s->longest, s->vocabulary);
		ok = false;
	}
	(void)fclose(f); /* it was only read */
	if (!ok)
		reader_close(r);
	return ok;
}

void
reader_close(struct reader *r)
{
	free(r->words);
	memset(r, 0, sizeof(*r));
}

bool
batch_init(struct batch *b, size_t tokens)
{
	memset(b, 0, sizeof(*b));
	b->token = calloc(tokens, sizeof(*b->token));
	b->target = calloc(tokens, sizeof(*b->target));
	b->learned = calloc(tokens, sizeof(*b->learned));
	b->begin = calloc(tokens + 1, sizeof(*b->begin));
	if (b->token && b->target && b->learned && b->begin)
		return true;
	batch_done(b);
	return false;
}

void
batch_done(struct batch *b)
{
	free(b->token);
	free(b->target);
	free(b->learned);
	free(b->begin);
	memset(b, 0, sizeof(*b));
}

size_t
reader_next(struct reader *r, struct batch *b, size_t cap)
{
	size_t learned = 0;

	b->tokens = b->dialogues = 0;
	b->begin[0] = 0;
	while (r->at < r->count && b->tokens + r->words[r->at] - 1u <= cap) {
		const uint16_t *word = r->words + r->at + 1;
		const size_t n = r->words[r->at] - 1u;

		for (size_t i = 0; i < n; i++) {
			const size_t to = b->tokens + i;

			b->token[to] = (uint16_t)(word[i] & ~LEARN);
			b->target[to] = (uint16_t)(word[i + 1] & ~LEARN);
			b->learned[to] = (word[i + 1] & LEARN) != 0;
			learned += b->learned[to];
		}
		b->tokens += n;
		b->begin[++b->dialogues] = (uint32_t)b->tokens;
		r->at += n + 2;
	}
	return learned;
}
