/*
 * inference/local_quantize.c - llama.cpp's quantizer as a program; see local_quantize.h.
 */
#include "inference/local_quantize.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llama.h>

#include "inference/local_model.h"

enum {
	EXIT_FINE = 0,
	EXIT_TROUBLE = 1,
	EXIT_USAGE = 2,
};

#define ROW(name, llama) { name, LLAMA_FTYPE_##llama },
static const struct {
	const char *name;
	enum llama_ftype ftype;
} types[] = { QUANTIZE_TYPES(ROW) };
#undef ROW

/* llama.cpp's last complaint: the cause of a failure. */
static char complaint[256];

/* It logs "[   3/  39] name - ..." when it begins with a tensor; nothing else tells how far it is. */
static void
listen_to_llama(enum ggml_log_level level, const char *text, void *arg)
{
	(void)arg;
	if (level == GGML_LOG_LEVEL_ERROR) {
		(void)snprintf(complaint, sizeof(complaint), "%s", text);
		complaint[strcspn(complaint, "\n")] = '\0';
	} else if (text[0] == '[') {
		char *slash, *end;
		unsigned long at = strtoul(text + 1, &slash, 10), all;

		if (*slash != '/')
			return;
		all = strtoul(slash + 1, &end, 10);
		if (*end == ']')
			(void)printf("tensor %lu %lu\n", at, all);
	}
}

static int
failed(const char *text)
{
	(void)printf("error %s\n", text);
	return EXIT_TROUBLE;
}

/* Say in our words what is most often wrong. */
static int
failed_in_llama(const char *in)
{
	static const char requantizing[] = "requantizing from type ";
	const char *at = strstr(complaint, requantizing);
	char text[1024];

	if (at != NULL) {
		at += strlen(requantizing);
		(void)snprintf(
		    text, sizeof(text),
		    "model file %s has weights of %.*s already, and quantising them again loses more than doing it once: "
		    "take the file in f16, or say --requantize",
		    in, (int)strcspn(at, " "), at);
	} else {
		(void)snprintf(text, sizeof(text),
			       "llama.cpp cannot quantise the model file %s (%s)", in,
			       complaint[0] != '\0' ? complaint : "no reason given");
	}
	return failed(text);
}

/* The file is a whole GGUF file; say its SHA-256 as 'word'. */
static bool
check(const char *file, const char *word)
{
	const struct local_model_params p = { .file = file };
	char digest[65];
	struct im_err err;

	if (local_model_verify(&p, digest, &err) != IM_OK) {
		(void)failed(err.text);
		return false;
	}
	(void)printf("%s %s\n", word, digest);
	return true;
}

static int
processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

static int
quantize(enum llama_ftype ftype, bool again, int threads, const char *in, const char *out)
{
	struct llama_model_quantize_params qp = llama_model_quantize_default_params();

	qp.ftype = ftype;
	qp.nthread = threads > 0 ? threads : processors();
	qp.allow_requantize = again;
	llama_log_set(listen_to_llama, NULL);
	llama_backend_init();
	if (!check(in, "before"))
		return EXIT_TROUBLE;
	if (llama_model_quantize(in, out, &qp) != 0)
		return failed_in_llama(in);
	/* A disk that is full does not always make it fail. */
	return check(out, "after") ? EXIT_FINE : EXIT_TROUBLE;
}

int
quantize_main(int argc, char **argv)
{
	bool again = argc == 7 && strcmp(argv[3], "again") == 0;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 7 && (again || strcmp(argv[3], "once") == 0))
		for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
			if (strcmp(types[i].name, argv[2]) == 0)
				return quantize(types[i].ftype, again,
						(int)strtol(argv[4], NULL, 10), argv[5], argv[6]);
	(void)fprintf(
	    stderr,
	    "infermesh-inference --quantize is for 'infermesh model quantize'; see its --help\n");
	return EXIT_USAGE;
}
