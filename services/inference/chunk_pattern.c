/*
 * inference/chunk_pattern.c - see chunk_pattern.h.
 */
#include "inference/chunk_pattern.h"

#include <string.h>

void
chunk_pattern_done(struct chunk_pattern *p)
{
	buf_done(&p->text);
}

/* The inside of the string by which 'text' differs, with its quotes. False: it differs otherwise, or the string is empty. */
static bool
compare(const struct chunk_pattern *p, const char *text, size_t len, struct json_span *ret)
{
	const char *known = (const char *)p->text.data;
	size_t after = p->text.len - p->before;

	if (p->text.len == 0 || len <= p->text.len ||
	    memcmp(text + len - after, known + p->before, after) != 0 ||
	    memcmp(text, known, p->before) != 0)
		return false;
	*ret = (struct json_span){ text + p->before - 1, len - p->text.len + 2 };
	if (json_plain(ret->at + 1, ret->len - 2))
		return true;
	/* One string and nothing else: so it ends where the known one did, and the rest means what it meant there. */
	return json_check(ret->at, ret->len, 1, NULL) == IM_OK;
}

static enum im_rc
make(struct chunk_pattern *p, struct json_span string, struct arena *a, struct chunk *ret,
     struct im_err *err)
{
	const char *said = json_string(string, a);

	if (said == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a piece of the upstream's answer");
	p->given = p->delta;
	*(p->reasoning ? &p->given.reasoning_content : &p->given.content) = said;
	*ret = (struct chunk){
		.deltas = &p->given,
		.count = 1,
		.system_fingerprint = p->fingerprint,
		.said = string,
	};
	return IM_OK;
}

/* Remember a piece that says one text and nothing else. */
static void
learn(struct chunk_pattern *p, const char *text, size_t len, const struct chunk *c)
{
	const struct delta *d = c->deltas;
	size_t before;

	if (c->said.len <= 2 || len > CHUNK_PATTERN_MAX ||
	    strlen(c->system_fingerprint) >= CHUNK_PATTERN_FP_SIZE)
		return;
	before = (size_t)(c->said.at + 1 - text);
	buf_clear(&p->text);
	(void)buf_append(&p->text, text, before);
	(void)buf_append(&p->text, text + before + c->said.len - 2,
			 len - before - (c->said.len - 2));
	if (!buf_ok(&p->text)) {
		buf_clear(&p->text);
		return;
	}
	p->before = before;
	p->delta = (struct delta){
		.index = d->index,
		.role = d->role[0] != '\0' ? "assistant" : "",
		.content = "",
		.reasoning_content = "",
		.finish_reason = "",
		.logprobs_json = "",
		.refusal = "",
	};
	p->reasoning = d->content[0] == '\0';
	(void)stpcpy(p->fingerprint, c->system_fingerprint);
}

enum im_rc
chunk_pattern_parse(struct chunk_pattern *p, const char *text, size_t len, struct arena *arena,
		    struct chunk *ret, struct im_err *err)
{
	struct json_span string;
	enum im_rc rc;

	if (compare(p, text, len, &string))
		return make(p, string, arena, ret, err);
	rc = chunk_parse(text, len, arena, ret, err);
	if (rc == IM_OK)
		learn(p, text, len, ret);
	return rc;
}
