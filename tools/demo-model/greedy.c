/*
 * demo-model/greedy.c - demo-greedy MODEL: answers each prompt of stdin as llama.cpp does with the likeliest token each time, on one
 * thread. A prompt ends with U+001E and holds its special tokens as text; the answers go to stdout, each with U+001E behind it.
 * With --tokens the "answer" is the numbers of the prompt's tokens.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llama.h>

#define CONTEXT     1024
#define ANSWER_MOST 96
#define END         '\x1e'

static void
quiet(enum ggml_log_level level, const char *text, void *user)
{
	(void)user;
	if (level == GGML_LOG_LEVEL_ERROR)
		(void)fputs(text, stderr);
}

static llama_token
likeliest(const float *logits, int32_t n)
{
	llama_token best = 0;

	for (llama_token i = 1; i < n; i++)
		if (logits[i] > logits[best])
			best = i;
	return best;
}

/* Answer one prompt on stdout. False when the model cannot. */
static bool
answer(struct llama_context *c, const struct llama_vocab *v, const char *prompt, size_t len)
{
	static llama_token token[CONTEXT];
	const int32_t kinds = llama_vocab_n_tokens(v);
	int32_t n =
	    llama_tokenize(v, prompt, (int32_t)len, token, CONTEXT - ANSWER_MOST, false, true);

	if (n <= 0)
		return false;
	llama_memory_clear(llama_get_memory(c), true);
	for (int said = 0; said < ANSWER_MOST; said++) {
		char piece[64];
		int32_t bytes;

		if (llama_decode(c, llama_batch_get_one(token, n)) != 0)
			return false;
		token[0] = likeliest(llama_get_logits_ith(c, -1), kinds);
		n = 1;
		if (llama_vocab_is_eog(v, token[0]))
			break;
		bytes = llama_token_to_piece(v, token[0], piece, sizeof(piece), 0, true);
		if (bytes > 0 && fwrite(piece, 1, (size_t)bytes, stdout) != (size_t)bytes)
			return false;
	}
	return putchar(END) == END;
}

/* Name the tokens of one prompt on stdout. */
static bool
name_tokens(const struct llama_vocab *v, const char *prompt, size_t len)
{
	static llama_token token[CONTEXT];
	const int32_t n = llama_tokenize(v, prompt, (int32_t)len, token, CONTEXT, false, true);

	for (int32_t i = 0; i < n; i++)
		if (printf(i > 0 ? " %d" : "%d", token[i]) < 0)
			return false;
	return n >= 0 && putchar(END) == END;
}

static int
answer_all(struct llama_context *c, const struct llama_vocab *v, bool tokens)
{
	char *prompt = NULL;
	size_t cap = 0;
	ssize_t len;
	int status = 0;

	while (status == 0 && (len = getdelim(&prompt, &cap, END, stdin)) > 0) {
		if (prompt[len - 1] == END)
			len--;
		if (!(tokens ? name_tokens(v, prompt, (size_t)len)
			     : answer(c, v, prompt, (size_t)len))) {
			(void)fputs("demo-greedy: a prompt could not be answered\n", stderr);
			status = 1;
		}
	}
	free(prompt);
	return fflush(stdout) == 0 ? status : 1;
}

int
main(int argc, char **argv)
{
	struct llama_model_params model_params;
	struct llama_context_params params;
	struct llama_model *m;
	struct llama_context *c;
	const bool tokens = argc == 3 && strcmp(argv[1], "--tokens") == 0;
	int status = 1;

	if (argc != 2 && !tokens) {
		(void)fputs("usage: demo-greedy [--tokens] MODEL <PROMPTS >ANSWERS\n", stderr);
		return 2;
	}
	llama_log_set(quiet, NULL);
	llama_backend_init();
	model_params = llama_model_default_params();
	params = llama_context_default_params();
	params.n_ctx = params.n_batch = CONTEXT;
	params.n_threads = params.n_threads_batch = 1;
	m = llama_model_load_from_file(argv[argc - 1], model_params);
	c = m ? llama_init_from_model(m, params) : NULL;
	if (c)
		status = answer_all(c, llama_model_get_vocab(m), tokens);
	else
		(void)fprintf(stderr, "demo-greedy: %s cannot be loaded\n", argv[argc - 1]);
	llama_free(c);
	llama_model_free(m);
	llama_backend_free();
	return status;
}
