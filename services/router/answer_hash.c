/*
 * router/answer_hash.c - the answer manifest; see answer_hash.h and docs/answer-manifest.md.
 */
#include "router/answer_hash.h"

#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

enum field {
	FIELD_CONTENT,
	FIELD_REASONING,
	FIELD_REFUSAL,
	FIELD_EMBEDDING, /* bytes, not text */
	FIELD_COUNT,
};

static const char *const field_names[FIELD_COUNT] = { "content", "reasoning_content", "refusal",
						      "embedding" };

struct hashed_tool {
	char *id, *name; /* NULL = not said yet */
	struct sha256 *arguments;
};

struct hashed_choice {
	struct sha256 *fields[FIELD_COUNT]; /* NULL = nothing came */
	struct hashed_tool *tools;
	size_t tool_count;
	char *finish;
};

struct answer_hash {
	struct hashed_choice **choices; /* by index; NULL = nothing came */
	size_t choice_count;            /* the highest index and one */
};

struct answer_hash *
answer_hash_new(void)
{
	return calloc(1, sizeof(struct answer_hash));
}

static void
choice_free(struct hashed_choice *c)
{
	if (c == NULL) {
		return;
	}
	for (size_t i = 0; i < FIELD_COUNT; i++) {
		free(c->fields[i]);
	}
	for (size_t i = 0; i < c->tool_count; i++) {
		free(c->tools[i].id);
		free(c->tools[i].name);
		free(c->tools[i].arguments);
	}
	free(c->tools);
	free(c->finish);
	free(c);
}

void
answer_hash_free(struct answer_hash *h)
{
	if (h == NULL) {
		return;
	}
	for (size_t i = 0; i < h->choice_count; i++) {
		choice_free(h->choices[i]);
	}
	free(h->choices);
	free(h);
}

static bool
hash_bytes(struct sha256 **hash, const void *bytes, size_t len)
{
	if (*hash == NULL) {
		*hash = malloc(sizeof(**hash));
		if (*hash == NULL) {
			return false;
		}
		sha256_start(*hash);
	}
	sha256_add(*hash, bytes, len);
	return true;
}

static bool
hash_text(struct sha256 **hash, const char *text)
{
	return hash_bytes(hash, text, strlen(text));
}

/* The first one said counts. */
static bool
keep_first(char **at, const char *text)
{
	if (*at != NULL || text[0] == '\0') {
		return true;
	}
	*at = strndup(text, ANSWER_NAME_MAX);
	return *at != NULL;
}

static enum im_rc
add_tool(struct hashed_choice *c, const struct tool_call_delta *t, struct im_err *err)
{
	struct hashed_tool *tool;

	if (t->index >= ANSWER_TOOL_CALLS_MAX) {
		return err_set(err, IM_EPROTO, "tool call %u of a choice: at most %d are taken",
			       t->index, ANSWER_TOOL_CALLS_MAX);
	}
	if (t->index >= c->tool_count) {
		struct hashed_tool *tools = realloc(c->tools, (t->index + 1) * sizeof(*tools));

		if (tools == NULL) {
			return err_set(err, IM_ENOMEM, "no memory for the digest of an answer");
		}
		memset(&tools[c->tool_count], 0, (t->index + 1 - c->tool_count) * sizeof(*tools));
		c->tools = tools;
		c->tool_count = t->index + 1;
	}
	tool = &c->tools[t->index];
	if (!keep_first(&tool->id, t->id) || !keep_first(&tool->name, t->name) ||
	    !hash_text(&tool->arguments, t->arguments)) {
		return err_set(err, IM_ENOMEM, "no memory for the digest of an answer");
	}
	return IM_OK;
}

/* NULL without memory. */
static struct hashed_choice *
choice_of(struct answer_hash *h, size_t index)
{
	struct hashed_choice **choices;

	if (index >= h->choice_count) {
		choices = realloc(h->choices, (index + 1) * sizeof(struct hashed_choice *));
		if (choices == NULL) {
			return NULL;
		}
		memset(choices + h->choice_count, 0,
		       (index + 1 - h->choice_count) * sizeof(struct hashed_choice *));
		h->choices = choices;
		h->choice_count = index + 1;
	}
	if (h->choices[index] == NULL) {
		h->choices[index] = calloc(1, sizeof(struct hashed_choice));
	}
	return h->choices[index];
}

static enum im_rc
add_delta(struct answer_hash *h, const struct delta *d, struct im_err *err)
{
	const char *texts[FIELD_EMBEDDING] = { d->content, d->reasoning_content, d->refusal };
	struct hashed_choice *c;
	enum im_rc rc;

	if (d->index >= GENERATE_CHOICES_MAX) {
		return err_set(err, IM_EPROTO, "choice %u of an answer: at most %d are taken",
			       d->index, GENERATE_CHOICES_MAX);
	}
	c = choice_of(h, d->index);
	if (c == NULL || !keep_first(&c->finish, d->finish_reason)) {
		return err_set(err, IM_ENOMEM, "no memory for the digest of an answer");
	}
	for (size_t i = 0; i < FIELD_EMBEDDING; i++) {
		if (texts[i][0] != '\0' && !hash_text(&c->fields[i], texts[i])) {
			return err_set(err, IM_ENOMEM, "no memory for the digest of an answer");
		}
	}
	if (d->embedding.len > 0 &&
	    !hash_bytes(&c->fields[FIELD_EMBEDDING], d->embedding.data, d->embedding.len)) {
		return err_set(err, IM_ENOMEM, "no memory for the digest of an answer");
	}
	for (size_t i = 0; i < d->tool_call_count; i++) {
		rc = add_tool(c, &d->tool_calls[i], err);
		if (rc != IM_OK) {
			return rc;
		}
	}
	return IM_OK;
}

enum im_rc
answer_hash_add(struct answer_hash *h, const struct generate_frame *frame, struct im_err *err)
{
	for (size_t i = 0; i < frame->delta_count; i++) {
		enum im_rc rc = add_delta(h, &frame->deltas[i], err);

		if (rc != IM_OK) {
			return rc;
		}
	}
	return IM_OK;
}

/* Names are a model's words: what could be taken for a separator is written as %XX. */
static void
put_word(struct buf *out, const char *word)
{
	for (; word != NULL && *word != '\0'; word++) {
		uint8_t c = (uint8_t)*word;

		if (c <= ' ' || c == '%' || c == 0x7f) {
			buf_printf(out, "%%%02X", c);
		} else {
			buf_append_byte(out, c);
		}
	}
}

static void
put_digest(struct buf *out, const struct sha256 *hash)
{
	uint8_t digest[SHA256_BYTES];
	char hex[2 * SHA256_BYTES + 1];

	sha256_so_far(hash, digest);
	hex_encode(digest, sizeof(digest), hex);
	buf_append_str(out, hex);
	buf_append_byte(out, '\n');
}

/* "choice 0 content " */
static void
put_line_start(struct buf *out, size_t index, const char *what)
{
	buf_append_str(out, "choice ");
	buf_append_uint(out, index);
	buf_append_byte(out, ' ');
	buf_append_str(out, what);
	buf_append_byte(out, ' ');
}

static bool
put_choice(struct buf *out, const struct hashed_choice *c, size_t index)
{
	for (size_t i = 0; i < FIELD_COUNT; i++) {
		if (c->fields[i] == NULL) {
			continue;
		}
		put_line_start(out, index, field_names[i]);
		put_digest(out, c->fields[i]);
	}
	for (size_t i = 0; i < c->tool_count; i++) {
		if (c->tools[i].arguments == NULL) {
			continue; /* a number that was left out */
		}
		put_line_start(out, index, "tool");
		buf_append_uint(out, i);
		buf_append_byte(out, ' ');
		put_word(out, c->tools[i].id);
		buf_append_byte(out, ' ');
		put_word(out, c->tools[i].name);
		buf_append_byte(out, ' ');
		put_digest(out, c->tools[i].arguments);
	}
	if (c->finish != NULL) {
		put_line_start(out, index, "finish");
		put_word(out, c->finish);
		buf_append_byte(out, '\n');
	}
	return buf_ok(out);
}

bool
answer_hash_manifest(const struct answer_hash *h, struct buf *out)
{
	buf_append_str(out, "infermesh-answer/v1\n");
	for (size_t i = 0; i < h->choice_count; i++) {
		if (h->choices[i] != NULL && !put_choice(out, h->choices[i], i)) {
			return false;
		}
	}
	return buf_ok(out);
}

bool
answer_hash_final(const struct answer_hash *h, uint8_t out[SHA256_BYTES])
{
	struct buf text = BUF_INIT(0);
	bool ok = answer_hash_manifest(h, &text) && sha256_of(text.data, text.len, out);

	buf_done(&text);
	return ok;
}
