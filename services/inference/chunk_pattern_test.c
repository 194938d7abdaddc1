/*
 * inference/chunk_pattern_test.c - whatever piece was remembered, the next one must read as chunk_parse() reads it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/chunk_pattern.h"

#define CHOICE(index, delta) "{\"index\":" index ",\"delta\":{" delta "},\"finish_reason\":null}"
#define PIECE(choices)       "{\"id\":\"a\",\"created\":17,\"choices\":[" choices "]}"
#define SAYS(content)        PIECE(CHOICE("0", "\"content\":" content))

/* What upstreams send, and what nobody should. Each follows each of the others. */
static const char *const pieces[] = {
	SAYS("\" world\""),
	SAYS("\"\""),
	SAYS("null"),
	SAYS("\"a \\\"quoted\\\" \\\\ \\u20ac \\ud83d\\ude00 \xe2\x82\xac\\n\""),
	SAYS("\"ends in a backslash\\\\\""),
	PIECE(CHOICE("1", "\"content\":\"the other choice\"")),
	PIECE(CHOICE("0", "\"role\":\"assistant\",\"content\":\"hello\"")),
	PIECE(CHOICE("0", "\"role\":\"user\",\"content\":\"hello\"")),
	PIECE(CHOICE("0", "\"content\":null,\"reasoning_content\":\"hm\"")),
	PIECE(CHOICE("0", "\"content\":\"\",\"reasoning_content\":\"hm\"")),
	PIECE(CHOICE("0", "\"reasoning_content\":\"\",\"reasoning\":\"hm\"")),
	PIECE(CHOICE("0", "\"reasoning\":\"\",\"reasoning_content\":\"hm\"")),
	PIECE(CHOICE("0", "\"content\":\"both\",\"reasoning_content\":\"hm\"")),
	PIECE(CHOICE("0", "\"content\":\"first\",\"content\":\"second\"")),
	PIECE(CHOICE("0", "\"refusal\":\"no\"")),
	PIECE(CHOICE("0", "\"content\":\"x\"") "," CHOICE("1", "\"content\":\"y\"")),
	PIECE("{\"index\":0,\"text\":\" world\",\"finish_reason\":null}"),
	PIECE("{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}"),
	PIECE("{\"index\":0,\"delta\":{\"content\":\"x\"},\"logprobs\":{\"content\":[]}}"),
	PIECE("{\"index\":0,\"message\":{\"content\":\"whole\"},\"finish_reason\":\"stop\"}"),
	"{\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":3}}",
	"{\"system_fingerprint\":\"fp\",\"choices\":[{\"delta\":{\"content\":\"x\"}}]}",
	"{\"system_fingerprint\":\"fq\",\"choices\":[{\"delta\":{\"content\":\"x\"}}]}",
	"{\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"choices\":[{\"delta\":{\"content\":\"z\"}}]}",
	"{\"error\":{\"message\":\"no\"},\"choices\":[{\"delta\":{\"content\":\"x\"}}]}",
	" " SAYS("\" world\"") " ",
	/* The same around it, and inside more than one string. */
	SAYS("\"x\",\"content\":\"y\""),
	SAYS("\"x\"},\"delta\":{\"content\":\"y\""),
	SAYS("\"x\"},\"finish_reason\":\"stop\",\"delta\":{\"content\":\"y\""),
	SAYS("\"x\"},\"finish_reason\":null},{\"index\":1,\"delta\":{\"content\":\"y\""),
	/* Strings that are none. */
	SAYS("\"x\\\""),
	SAYS("\"x\"y\""),
	SAYS("\"\\u0000\""),
	SAYS("\"\\ud800\""),
	SAYS("\"\\x\""),
	SAYS("\"\xff\""),
	SAYS("\"\n\""),
	SAYS("\" \" \" \""),
	SAYS("5"),
	"",
	"\"",
	"5",
	"{}",
};

#define PIECES (sizeof(pieces) / sizeof(pieces[0]))

static void
describe(enum im_rc rc, const struct chunk *c, const struct im_err *err, struct buf *out)
{
	if (rc != IM_OK) {
		(void)buf_printf(out, "%d %s %s", (int)rc, err->reason, err->text);
		return;
	}
	(void)buf_printf(out, "fp=%s whole=%d usage=%d/%u said=%.*s", c->system_fingerprint,
			 c->whole, c->has_usage, c->usage.prompt_tokens, (int)c->said.len,
			 c->said.at);
	for (size_t i = 0; i < c->count; i++) {
		const struct delta *d = &c->deltas[i];

		(void)buf_printf(out,
				 " %u role=%s content=%s reasoning=%s refusal=%s finish=%s log=%s",
				 d->index, d->role, d->content, d->reasoning_content, d->refusal,
				 d->finish_reason, d->logprobs_json);
	}
}

/* Read 'text' both ways. 'p' NULL: as chunk_parse(). Exactly 'len' bytes of memory, so that a sanitizer sees a read beyond. */
static void
read_piece(struct chunk_pattern *p, const char *text, size_t len, struct buf *out)
{
	char *copy = malloc(len > 0 ? len : 1);
	struct im_err err = { 0 };
	struct chunk chunk;
	struct arena arena;
	enum im_rc rc;

	assert_non_null(copy);
	memcpy(copy, text, len);
	arena_init(&arena, 1 << 20);
	rc = p != NULL ? chunk_pattern_parse(p, copy, len, &arena, &chunk, &err)
		       : chunk_parse(copy, len, &arena, &chunk, &err);
	buf_clear(out);
	describe(rc, &chunk, &err, out);
	arena_done(&arena);
	free(copy);
}

static void
assert_reads_alike(struct chunk_pattern *p, const char *text, size_t len)
{
	struct buf known = BUF_INIT(0), fresh = BUF_INIT(0);

	read_piece(p, text, len, &known);
	read_piece(NULL, text, len, &fresh);
	assert_string_equal(buf_cstr(&known), buf_cstr(&fresh));
	buf_done(&known);
	buf_done(&fresh);
}

static void
test_pattern_any_piece_after_any_other_reads_as_without_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < PIECES; i++) {
		for (size_t k = 0; k < PIECES; k++) {
			struct chunk_pattern p = { 0 };

			assert_reads_alike(&p, pieces[i], strlen(pieces[i]));
			assert_reads_alike(&p, pieces[k], strlen(pieces[k]));
			chunk_pattern_done(&p);
		}
	}
}

static void
test_pattern_piece_cut_anywhere_reads_as_without_it(void **state)
{
	struct chunk_pattern p = { 0 };

	(void)state;
	for (size_t i = 0; i < PIECES; i++) {
		for (size_t len = 0; len < strlen(pieces[i]); len++) {
			assert_reads_alike(&p, pieces[0], strlen(pieces[0]));
			assert_reads_alike(&p, pieces[i], len);
		}
	}
	chunk_pattern_done(&p);
}

static void
test_pattern_piece_with_any_byte_changed_reads_as_without_it(void **state)
{
	static const char bytes[] = "\"\\,:{}[]0x\n\xff";
	struct chunk_pattern p = { 0 };
	char text[256];

	(void)state;
	for (size_t at = 0; at < strlen(pieces[3]); at++) {
		for (size_t k = 0; k < sizeof(bytes); k++) { /* also with a NUL */
			(void)snprintf(text, sizeof(text), "%s", pieces[3]);
			text[at] = bytes[k];
			assert_reads_alike(&p, pieces[0], strlen(pieces[0]));
			assert_reads_alike(&p, text, strlen(pieces[3]));
		}
	}
	chunk_pattern_done(&p);
}

static void
test_pattern_remembers_plain_pieces_and_no_large_ones(void **state)
{
	struct chunk_pattern p = { 0 };
	struct buf large = BUF_INIT(0), out = BUF_INIT(0);

	(void)state;
	(void)buf_append_str(&large, "{\"x\":\"");
	for (size_t i = 0; i < CHUNK_PATTERN_MAX; i++)
		(void)buf_append_byte(&large, 'x');
	(void)buf_append_str(&large, "\",\"choices\":[{\"delta\":{\"content\":\"x\"}}]}");
	read_piece(&p, buf_cstr(&large), large.len, &out);
	assert_int_equal(p.text.len, 0);
	read_piece(&p, pieces[0], strlen(pieces[0]), &out);
	assert_int_equal(p.text.len, strlen(pieces[0]) - strlen(" world"));
	chunk_pattern_done(&p);
	buf_done(&large);
	buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pattern_any_piece_after_any_other_reads_as_without_it),
		cmocka_unit_test(test_pattern_piece_cut_anywhere_reads_as_without_it),
		cmocka_unit_test(test_pattern_piece_with_any_byte_changed_reads_as_without_it),
		cmocka_unit_test(test_pattern_remembers_plain_pieces_and_no_large_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
