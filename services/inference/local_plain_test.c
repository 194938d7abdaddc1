/*
 * inference/local_plain_test.c - models that are not made for conversations: one without a chat template, and a BERT that the test makes
 * itself, which gives nothing but vectors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <ggml.h>
#include <gguf.h>

#include "base/prng.h"
#include "inference/local_embed_rig.h"

#define DEMO       "deploy/models/demo-q8_0.gguf"
#define PATH_BYTES 64

enum { /* of the BERT */
	WIDTH = 32,
	INNER = 64,
	LAYERS = 2,
	HEADS = 2,
	CONTEXT = 64,
	LETTERS = 26,
	SPECIAL = 5,
	TOKENS = SPECIAL + 2 * LETTERS,
};

static char path[PATH_BYTES];

static FILE *
make_path(void)
{
	FILE *f;
	int fd;

	(void)snprintf(path, sizeof(path), "/tmp/infermesh-plain-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	f = fdopen(fd, "wb");
	assert_non_null(f);
	return f;
}

/* The demo model whose key for the template has another name. */
static void
make_untemplated(void)
{
	static const char key[] = "tokenizer.chat_template";
	static uint8_t data[8 * 1024 * 1024];
	FILE *in = fopen(DEMO, "rbe"), *out = make_path();
	size_t len;
	uint8_t *at;

	assert_non_null(in);
	len = fread(data, 1, sizeof(data), in);
	assert_int_equal(fclose(in), 0);
	at = memmem(data, len, key, strlen(key));
	assert_non_null(at);
	at[strlen(key) - 1] = 'X';
	assert_int_equal(fwrite(data, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
}

static void
add_tensor(struct gguf_context *g, struct ggml_context *c, struct prng *p, const char *name,
	   int64_t columns, int64_t rows)
{
	struct ggml_tensor *t = rows > 0 ? ggml_new_tensor_2d(c, GGML_TYPE_F32, columns, rows)
					 : ggml_new_tensor_1d(c, GGML_TYPE_F32, columns);
	float *numbers = ggml_get_data_f32(t);

	/* A norm's scale is about 1, all else about 0. */
	for (int64_t i = 0; i < ggml_nelements(t); i++)
		numbers[i] = (float)prng_unit(p) -
			     (rows == 0 && strstr(name, "norm.weight") != NULL ? -0.5F : 0.5F);
	(void)ggml_set_name(t, name);
	gguf_add_tensor(g, t);
}

static void
add_layer(struct gguf_context *g, struct ggml_context *c, struct prng *p, int layer)
{
	static const struct {
		const char *name;
		int64_t columns, rows;
	} parts[] = {
		{ "attn_q", WIDTH, WIDTH },       { "attn_k", WIDTH, WIDTH },
		{ "attn_v", WIDTH, WIDTH },       { "attn_output", WIDTH, WIDTH },
		{ "attn_output_norm", WIDTH, 0 }, { "ffn_up", WIDTH, INNER },
		{ "ffn_down", INNER, WIDTH },     { "layer_output_norm", WIDTH, 0 },
	};
	char name[GGML_MAX_NAME];

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		(void)snprintf(name, sizeof(name), "blk.%d.%s.weight", layer, parts[i].name);
		add_tensor(g, c, p, name, parts[i].columns, parts[i].rows);
		(void)snprintf(name, sizeof(name), "blk.%d.%s.bias", layer, parts[i].name);
		add_tensor(g, c, p, name, parts[i].rows > 0 ? parts[i].rows : parts[i].columns, 0);
	}
}

/* A word begins with a letter of its own kind, and goes on with others, as in BERT's vocabulary. Not 'whole': the token is not said that
 * stands before a text. */
static void
add_vocabulary(struct gguf_context *g, bool whole)
{
	static const char *const special[SPECIAL] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]",
						      "[MASK]" };
	static char letters[2 * LETTERS][8];
	const char *tokens[TOKENS];
	int32_t types[TOKENS];

	for (int i = 0; i < TOKENS; i++) {
		int letter = i - SPECIAL;

		types[i] = i < SPECIAL ? 3 : 1; /* control, normal */
		if (i < SPECIAL) {
			tokens[i] = special[i];
			continue;
		}
		/* The converter marks beginnings of words, as sentencepiece does. */
		(void)snprintf(letters[letter], sizeof(letters[letter]), "%s%c",
			       letter < LETTERS ? "\xe2\x96\x81" : "", 'a' + letter % LETTERS);
		tokens[i] = letters[letter];
	}
	gguf_set_val_str(g, "tokenizer.ggml.model", "bert");
	gguf_set_arr_str(g, "tokenizer.ggml.tokens", tokens, TOKENS);
	gguf_set_arr_data(g, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types, TOKENS);
	gguf_set_val_u32(g, "tokenizer.ggml.token_type_count", 1);
	gguf_set_val_u32(g, "tokenizer.ggml.padding_token_id", 0);
	gguf_set_val_u32(g, "tokenizer.ggml.unknown_token_id", 1);
	if (whole)
		gguf_set_val_u32(g, "tokenizer.ggml.bos_token_id", 2);
	gguf_set_val_u32(g, "tokenizer.ggml.seperator_token_id", 3); /* the key's own spelling */
	gguf_set_val_u32(g, "tokenizer.ggml.mask_token_id", 4);
}

static void
make_bert(uint32_t pooling, bool whole)
{
	struct ggml_init_params ip = { .mem_size = (size_t)4 << 20 };
	struct ggml_context *c = ggml_init(ip);
	struct gguf_context *g = gguf_init_empty();
	struct prng p;
	FILE *f;

	prng_seed(&p, 7);
	gguf_set_val_str(g, "general.architecture", "bert");
	gguf_set_val_str(g, "general.name", "tiny");
	gguf_set_val_u32(g, "bert.block_count", LAYERS);
	gguf_set_val_u32(g, "bert.context_length", CONTEXT);
	gguf_set_val_u32(g, "bert.embedding_length", WIDTH);
	gguf_set_val_u32(g, "bert.feed_forward_length", INNER);
	gguf_set_val_u32(g, "bert.attention.head_count", HEADS);
	gguf_set_val_f32(g, "bert.attention.layer_norm_epsilon", 1e-5F);
	gguf_set_val_bool(g, "bert.attention.causal", false);
	gguf_set_val_u32(g, "bert.pooling_type", pooling);
	add_vocabulary(g, whole);
	add_tensor(g, c, &p, "token_embd.weight", WIDTH, TOKENS);
	add_tensor(g, c, &p, "token_types.weight", WIDTH, 1);
	add_tensor(g, c, &p, "position_embd.weight", WIDTH, CONTEXT);
	add_tensor(g, c, &p, "token_embd_norm.weight", WIDTH, 0);
	add_tensor(g, c, &p, "token_embd_norm.bias", WIDTH, 0);
	for (int layer = 0; layer < LAYERS; layer++)
		add_layer(g, c, &p, layer);
	f = make_path();
	assert_true(gguf_write_to_file_ptr(g, f, false));
	assert_int_equal(fclose(f), 0);
	gguf_free(g);
	ggml_free(c);
}

/* Serve the file at 'path', with steps that are shorter than the longest input. */
static void
serve(void)
{
	char yaml[256];

	/* One thread: llama.cpp is not instrumented, tsan would not see the barriers of several. */
	(void)snprintf(
	    yaml, sizeof(yaml),
	    "    model_file: %s\n    models: demo\n    batch_tokens: 16\n    max_batch_size: 4\n    threads: 1\n"
	    "    context_sinks: 4\n",
	    path);
	rig_start(&embed_rig, yaml);
}

static void
stop(void)
{
	rig_stop(&embed_rig);
	assert_int_equal(unlink(path), 0);
}

static void
expect_refused(bool completion, const char *word)
{
	struct input prompt = { .text = "a b c" };
	struct answer a;

	answer_init(&a, &embed_rig, "a b c");
	if (completion) {
		a.req.operation = OPERATION_COMPLETION;
		a.req.inputs = &prompt;
		a.req.input_count = 1;
		a.req.message_count = 0;
	}
	assert_int_equal(answer_submit(&a), IM_EINVAL);
	assert_string_equal(a.err.param, "model");
	assert_string_equal(a.err.reason, "unsupported_parameter");
	if (strstr(a.err.text, word) == NULL)
		fail_msg("'%s' is not in: %s", word, a.err.text);
	answer_done(&a);
}

static void
test_model_without_a_template_completes_and_gives_vectors_and_does_not_chat(void **state)
{
	struct input prompt = { .text = "Where is my order" };
	struct answer a;

	(void)state;
	make_untemplated();
	serve();
	expect_refused(false, "has no chat template");
	(void)vectors_expect_reference(path, "Where is my parcel?");
	answer_init(&a, &embed_rig, NULL);
	a.req.operation = OPERATION_COMPLETION;
	a.req.inputs = &prompt;
	a.req.input_count = 1;
	a.req.message_count = 0;
	assert_true(strlen(answer_ask(&a)) > 0);
	answer_done(&a);
	stop();
}

/* So many words of one letter: as many tokens, and two that BERT lays around. */
static const char *
words(unsigned count, unsigned first)
{
	static char text[4][2 * CONTEXT + 64];
	static unsigned turn;
	char *to = text[turn++ % 4];
	size_t at = 0;

	for (unsigned i = 0; i < count; i++) {
		to[at++] = (char)('a' + (first + i * i) % LETTERS);
		to[at++] = ' ';
	}
	to[at] = '\0';
	return to;
}

static void
test_bert_gives_the_vectors_of_llama_cpp_also_longer_than_a_step(void **state)
{
	(void)state;
	make_bert(1, true); /* mean */
	serve();
	assert_int_equal(vectors_expect_reference(path, words(3, 0)), 5);
	assert_int_equal(vectors_expect_reference(path, words(CONTEXT - 2, 5)), CONTEXT);
	assert_int_equal(vectors_expect_reference(path, words(1, 1)), 3);
	expect_refused(false, "only vectors");
	expect_refused(true, "only vectors");
	stop();
}

static void
test_bert_vectors_of_many_inputs_are_those_of_each_alone(void **state)
{
	static const unsigned lengths[] = { 3, 14, 40, 1, 62, 13, 2, 9 };
	enum {
		KINDS = sizeof(lengths) / sizeof(lengths[0])
	};
	char texts[KINDS][2 * CONTEXT + 64];
	struct vectors many, one;

	(void)state;
	make_bert(2, true); /* of the first token */
	serve();
	vectors_init(&many, NULL);
	many.req.input_count = RIG_INPUTS;
	for (unsigned i = 0; i < KINDS; i++)
		(void)snprintf(texts[i], sizeof(texts[i]), "%s", words(lengths[i], i));
	for (unsigned i = 0; i < RIG_INPUTS; i++)
		many.inputs[i].text = texts[i % KINDS];
	vectors_ask(&many);
	for (unsigned i = 0; i < KINDS; i++) {
		vectors_init(&one, texts[i]);
		vectors_ask(&one);
		for (unsigned k = 0; k < RIG_INPUTS; k++)
			assert_true((vectors_likeness(&many, k, &one, 0) > 0.9999) ==
				    (k % KINDS == i));
		buf_done(&one.numbers);
	}
	buf_done(&many.numbers);
	stop();
}

static void
test_bert_input_that_is_too_long_or_cancelled_harms_no_other(void **state)
{
	struct vectors cancelled, kept, alone;

	(void)state;
	make_bert(1, true);
	serve();
	vectors_init(&alone, words(20, 3));
	vectors_ask(&alone);
	vectors_init(&kept, words(CONTEXT - 1, 0));
	assert_int_equal(vectors_submit(&kept), IM_OK);
	rig_run(&embed_rig);
	assert_string_equal(kept.err.reason, "context_length_exceeded");
	for (unsigned round = 1; round < 4; round++) {
		vectors_init(&cancelled, words(30, 1));
		vectors_init(&kept, words(20, 3));
		kept.req.input_count = cancelled.req.input_count = 20;
		for (unsigned i = 1; i < 20; i++) {
			kept.inputs[i].text = kept.inputs[0].text;
			cancelled.inputs[i].text = cancelled.inputs[0].text;
		}
		cancelled.cancel_at = round;
		assert_int_equal(vectors_submit(&cancelled), IM_OK);
		assert_int_equal(vectors_submit(&kept), IM_OK);
		rig_run(&embed_rig);
		assert_true(kept.finished && !kept.failed);
		for (unsigned i = 0; i < 20; i++)
			assert_true(vectors_likeness(&kept, i, &alone, 0) > 0.9999);
		buf_done(&kept.numbers);
		buf_done(&cancelled.numbers);
	}
	buf_done(&alone.numbers);
	stop();
}

static void
test_bert_without_the_token_before_a_text_is_refused(void **state)
{
	char yaml[128];
	struct im_err err;

	(void)state;
	make_bert(1, false);
	(void)snprintf(yaml, sizeof(yaml), "    model_file: %s\n", path);
	err = rig_start_fails(yaml);
	assert_int_equal(err.rc, IM_ECORRUPT);
	assert_non_null(strstr(err.text, "does not have the tokens"));
	assert_int_equal(unlink(path), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_model_without_a_template_completes_and_gives_vectors_and_does_not_chat),
		cmocka_unit_test(test_bert_gives_the_vectors_of_llama_cpp_also_longer_than_a_step),
		cmocka_unit_test(test_bert_vectors_of_many_inputs_are_those_of_each_alone),
		cmocka_unit_test(test_bert_input_that_is_too_long_or_cancelled_harms_no_other),
		cmocka_unit_test(test_bert_without_the_token_before_a_text_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
