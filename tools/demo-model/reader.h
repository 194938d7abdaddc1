/*
 * demo-model/reader.h - corpus.bin, as corpus.py writes it: for each dialogue its length and its tokens, uint16 of little endian. The
 * highest bit of a token says that the model is to learn to say it.
 */
#ifndef DEMO_MODEL_READER_H
#define DEMO_MODEL_READER_H

#include "model.h"

struct reader {
	uint16_t *words; /* the whole file */
	size_t count, at;
	size_t dialogues, tokens; /* in all */
};

/** False, with a line on stderr, when the file cannot be read or is not a corpus for 's'. */
bool reader_open(struct reader *r, const char *path, const struct shape *s);
void reader_close(struct reader *r);

bool batch_init(struct batch *b, size_t tokens);
void batch_done(struct batch *b);

/** The next dialogues, as many as fit into 'cap' tokens. Returns the tokens that count; 0 at the end of the corpus. */
size_t reader_next(struct reader *r, struct batch *b, size_t cap);

#endif
