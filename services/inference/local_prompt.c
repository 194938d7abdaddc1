/*
 * inference/local_prompt.c - rendering and tokenising; see local_prompt.h.
 */
#include "inference/local_prompt.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llama.h>

#define MARK_OPEN                                                                                  \
	'\001' /* a placeholder is MARK_OPEN, digits, MARK_CLOSE: no template has such bytes */
#define MARK_CLOSE '\002'
#define MARK_BYTES 24
#define RENDER_MAX ((size_t)64 * 1024 * 1024)

static const char *const role_names[] = { "system", "user", "assistant" };

static bool
blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Does the template take blanks off a message of 'role'? Or cannot do it at all: false and '*ret_known' false. */
static bool
probe_trim(const char *text, enum local_role role, bool *ret_known)
{
	const struct llama_chat_message user = { "user", "\001" };
	const struct llama_chat_message probed = { role_names[role], " \002 " };
	/* A system message stands first, an assistant's between two of the user, as templates expect. */
	const struct llama_chat_message chats[][3] = {
		[LOCAL_SYSTEM] = { probed, user, user },
		[LOCAL_USER] = { probed, user, user },
		[LOCAL_ASSISTANT] = { user, probed, user },
	};
	size_t count = role == LOCAL_SYSTEM ? 2 : role == LOCAL_USER ? 1 : 3;
	char out[2048] = "";
	int32_t len =
	    llama_chat_apply_template(text, chats[role], count, true, out, sizeof(out) - 1);

	*ret_known = len >= 0;
	return len >= 0 && (size_t)len < sizeof(out) && strstr(out, " \002 ") == NULL;
}

enum im_rc
local_template_init(struct local_template *t, const char *text, struct im_err *err)
{
	bool known = true;

	t->text = text;
	for (int role = LOCAL_SYSTEM; role <= LOCAL_ASSISTANT && known; role++)
		t->trims[role] = probe_trim(text, (enum local_role)role, &known);
	if (!known)
		return err_set(
		    err, IM_EINVAL,
		    "the model's chat template is none that llama.cpp knows without Jinja; take another conversion of the model");
	return IM_OK;
}

void
prompt_done(struct prompt *p)
{
	if (p == NULL)
		return;
	buf_done(&p->text);
	free(p->pieces);
	*p = (struct prompt){ 0 };
}

static enum im_rc
no_memory(struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "no memory for the prompt; try again later");
}

static enum im_rc
at_message(struct im_err *err, size_t i, const char *member)
{
	if (err != NULL)
		(void)snprintf(err->param, sizeof(err->param), "messages[%zu].%s", i, member);
	return IM_EINVAL;
}

/* The text parts of 'json', an array of content parts, behind each other. */
static enum im_rc
append_parts(struct buf *out, const char *json, size_t i, struct im_err *err)
{
	cJSON *parts = cJSON_Parse(json);
	const cJSON *part = NULL;
	enum im_rc rc = IM_OK;
	size_t n = 0;

	if (!cJSON_IsArray(parts)) {
		cJSON_Delete(parts);
		(void)err_set(err, IM_EINVAL, "content is no array of parts");
		return at_message(err, i, "content");
	}
	cJSON_ArrayForEach(part, parts)
	{
		const char *type =
		    cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(part, "type"));
		const char *text =
		    cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(part, "text"));

		if (type == NULL || strcmp(type, "text") != 0 || text == NULL) {
			rc = err_reason(
			    err, IM_EINVAL, "unsupported_content",
			    "a local model reads text only; leave out images, sound and files");
			if (err != NULL)
				(void)snprintf(err->param, sizeof(err->param),
					       "messages[%zu].content[%zu]", i, n);
			break;
		}
		(void)buf_append_str(out, text);
		n++;
	}
	cJSON_Delete(parts);
	return rc;
}

static enum im_rc
message_role(const struct message *m, size_t i, enum local_role *ret, struct im_err *err)
{
	if (m->tool_calls_json != NULL && m->tool_calls_json[0] != '\0') {
		(void)err_reason(
		    err, IM_EINVAL, "unsupported_parameter",
		    "a local model does not support tools; leave their calls out of the conversation");
		return at_message(err, i, "tool_calls");
	}
	if (strcmp(m->role, "system") == 0 || strcmp(m->role, "developer") == 0) {
		*ret = LOCAL_SYSTEM;
	} else if (strcmp(m->role, "user") == 0) {
		*ret = LOCAL_USER;
	} else if (strcmp(m->role, "assistant") == 0) {
		*ret = LOCAL_ASSISTANT;
	} else {
		(void)err_reason(
		    err, IM_EINVAL, "unsupported_parameter",
		    "a local model does not know the role '%s'; use system, user and assistant",
		    m->role);
		return at_message(err, i, "role");
	}
	return IM_OK;
}

/* What somebody said, and with which role, before the template is laid around it. */
struct said {
	size_t from, len; /* in prompt.text */
	char mark[MARK_BYTES];
};

static enum im_rc
take_message(const struct local_template *t, const struct message *m, size_t i, struct prompt *p,
	     struct said *said, struct llama_chat_message *chat, struct im_err *err)
{
	enum local_role role = LOCAL_USER;
	enum im_rc rc = message_role(m, i, &role, err);
	size_t from = p->text.len, end;

	if (rc != IM_OK)
		return rc;
	if (m->content != NULL)
		(void)buf_append_str(&p->text, m->content);
	else if (m->content_json != NULL && m->content_json[0] != '\0')
		rc = append_parts(&p->text, m->content_json, i, err);
	if (rc != IM_OK)
		return rc;
	end = p->text.len;
	if (t->trims[role]) {
		while (end > from && blank((char)p->text.data[end - 1]))
			end--;
		while (from < end && blank((char)p->text.data[from]))
			from++;
	}
	said->from = from;
	said->len = end - from;
	(void)snprintf(said->mark, sizeof(said->mark), "%c%zu%c", MARK_OPEN, i, MARK_CLOSE);
	*chat = (struct llama_chat_message){ role_names[role], said->mark };
	return IM_OK;
}

/* The index in the placeholder that begins at 'at', if one does that we made. */
static bool
read_mark(const char *at, const char *end, size_t count, size_t *ret_index, const char **ret_next)
{
	size_t index = 0;

	for (at++; at < end && *at >= '0' && *at <= '9' && index < count; at++)
		index = index * 10 + (size_t)(*at - '0');
	if (at == end || *at != MARK_CLOSE || index >= count)
		return false;
	*ret_index = index;
	*ret_next = at + 1;
	return true;
}

static bool
add_piece(struct prompt *p, size_t max, size_t from, size_t len, bool literal)
{
	if (len == 0)
		return true;
	if (p->count == max)
		return false;
	p->pieces[p->count++] = (struct prompt_piece){ from, len, literal };
	return true;
}

/* Lay the rendered template, whose placeholders are in it, and what was said into pieces. */
static enum im_rc
cut_pieces(struct prompt *p, const struct said *said, size_t count, const char *rendered,
	   size_t len, struct im_err *err)
{
	size_t base = p->text.len, max = 2 * count + 1, index = 0;
	const char *end = rendered + len, *from = rendered, *at = rendered, *next = NULL;
	bool fits = true;

	/* Room enough: a template may leave a message out, but shows none twice. */
	p->pieces = calloc(max, sizeof(*p->pieces));
	if (p->pieces == NULL || !buf_append(&p->text, rendered, len))
		return no_memory(err);
	while (at < end && fits) {
		if (*at != MARK_OPEN || !read_mark(at, end, count, &index, &next)) {
			at++;
			continue;
		}
		fits = add_piece(p, max, base + (size_t)(from - rendered), (size_t)(at - from),
				 false) &&
		       add_piece(p, max, said[index].from, said[index].len, true);
		at = from = next;
	}
	if (!fits ||
	    !add_piece(p, max, base + (size_t)(from - rendered), (size_t)(end - from), false))
		return err_set(err, IM_EINTERNAL, "the model's chat template repeats messages");
	return IM_OK;
}

static enum im_rc
too_long(struct im_err *err, uint32_t context_tokens, const char *how)
{
	enum im_rc rc =
	    err_reason(err, IM_EINVAL, "context_length_exceeded",
		       "this model's maximum context length is %u tokens, %s; shorten the messages",
		       context_tokens, how);

	if (err != NULL)
		(void)snprintf(err->param, sizeof(err->param), "messages");
	return rc;
}

static enum im_rc
apply_template(const struct local_template *t, const struct llama_chat_message *chat, size_t count,
	       struct prompt *p, const struct said *said, struct im_err *err)
{
	/* Room for markers around each message; when it is not enough we are told how much is. */
	size_t cap = 1024 + count * 128;
	char *out = NULL;
	int32_t len = 0;
	enum im_rc rc;

	for (int tries = 0; tries < 2; tries++) {
		free(out);
		out = malloc(cap + 1);
		if (out == NULL)
			return no_memory(err);
		len = llama_chat_apply_template(t->text, chat, count, true, out, (int32_t)cap);
		if (len < 0 || (size_t)len <= cap)
			break;
		cap = (size_t)len;
	}
	if (len < 0 || (size_t)len > cap)
		rc = err_set(err, IM_EINTERNAL,
			     "the model's chat template failed on this conversation");
	else
		rc = cut_pieces(p, said, count, out, (size_t)len, err);
	free(out);
	return rc;
}

enum im_rc
prompt_render(const struct local_template *t, const struct message *messages, size_t count,
	      size_t max_bytes, uint32_t context_tokens, struct prompt *ret, struct im_err *err)
{
	struct llama_chat_message *chat = calloc(count + 1, sizeof(*chat));
	struct said *said = calloc(count + 1, sizeof(*said));
	struct prompt p = { .text = BUF_INIT(RENDER_MAX) };
	enum im_rc rc = IM_OK;

	if (chat == NULL || said == NULL) {
		rc = no_memory(err);
		goto done;
	}
	for (size_t i = 0; i < count && rc == IM_OK; i++) {
		rc = take_message(t, &messages[i], i, &p, &said[i], &chat[i], err);
		if (rc == IM_OK && (p.text.len > max_bytes || !buf_ok(&p.text)))
			rc = too_long(err, context_tokens, "and the messages are far longer");
	}
	if (rc == IM_OK)
		rc = apply_template(t, chat, count, &p, said, err);
done:
	free(chat);
	free(said);
	if (rc != IM_OK)
		prompt_done(&p);
	else
		*ret = p;
	return rc;
}

/* The tokens of one piece. '*ret_count' is how many there are, also when they do not fit into 'cap'. */
static bool
piece_tokens(const struct llama_vocab *vocab, const char *text, const struct prompt_piece *piece,
	     bool first, int32_t *tokens, uint32_t cap, uint32_t *ret_count)
{
	int32_t n = llama_tokenize(vocab, text + piece->from, (int32_t)piece->len, tokens,
				   (int32_t)cap, first, !piece->literal);

	if (n == INT32_MIN)
		return false;
	*ret_count = (uint32_t)(n < 0 ? -n : n);
	return true;
}

enum im_rc
prompt_tokens(const struct llama_vocab *vocab, const struct prompt *p, uint32_t context_tokens,
	      int32_t **ret_tokens, uint32_t *ret_count, struct im_err *err)
{
	int32_t *tokens = calloc(context_tokens, sizeof(*tokens));
	uint64_t used = 0;
	char how[64];

	if (tokens == NULL)
		return no_memory(err);
	for (size_t i = 0; i < p->count; i++) {
		uint32_t left = used < context_tokens ? context_tokens - (uint32_t)used : 0, n = 0;
		int32_t *to =
		    left > 0 ? tokens + used : tokens; /* without room they are only counted */

		if (!piece_tokens(vocab, (const char *)p->text.data, &p->pieces[i], i == 0, to,
				  left, &n)) {
			free(tokens);
			return too_long(err, context_tokens, "and the messages are far longer");
		}
		used += n;
	}
	/* Some templates write the token that the tokenizer puts in front as well. */
	if (used >= 2 && used <= context_tokens && tokens[0] == tokens[1] &&
	    tokens[0] == llama_vocab_bos(vocab))
		memmove(tokens, tokens + 1, (size_t)--used * sizeof(*tokens));
	if (used >= context_tokens || used == 0) {
		free(tokens);
		(void)snprintf(how, sizeof(how), "and the messages have %llu",
			       (unsigned long long)used);
		return too_long(err, context_tokens, how);
	}
	*ret_tokens = tokens;
	*ret_count = (uint32_t)used;
	return IM_OK;
}
