/*
 * audit/checkpoint.c - the text of a checkpoint; see checkpoint.h.
 */
#include "audit/checkpoint.h"

#include <inttypes.h>
#include <string.h>

#include "base/hex.h"

bool
checkpoint_put(struct buf *out, const struct checkpoint *c)
{
	char root[BASE64_LEN(HASH_BYTES) + 1];

	base64_encode(c->root.b, HASH_BYTES, root);
	return buf_printf(out, "%s\n%" PRIu64 "\n%s\n", c->origin, c->size, root);
}

bool
checkpoint_parse_size(const char *s, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	if (len == 0 || (len > 1 && s[0] == '0'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, UINT64_C(10), &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			return false;
	}
	*ret = v;
	return true;
}

/* Extension lines: anything but empty ones. */
static bool
extensions_ok(const char *text, const char *end)
{
	while (text != end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));

		if (nl == NULL || nl == text)
			return false;
		text = nl + 1;
	}
	return true;
}

static enum im_rc
parse(const char *text, size_t len, bool any, struct checkpoint *ret, struct im_err *err)
{
	struct checkpoint c;
	const char *line[3];
	size_t line_len[3], root_len;
	const char *end = text + len;

	for (int i = 0; i < 3; i++) {
		const char *nl = len == 0 ? NULL : memchr(text, '\n', (size_t)(end - text));

		if (nl == NULL)
			return err_set(err, IM_EPROTO, "not a checkpoint: line %d is missing",
				       i + 1);
		line[i] = text;
		line_len[i] = (size_t)(nl - text);
		text = nl + 1;
		len = (size_t)(end - text);
	}
	if (text != end && !any)
		return err_set(err, IM_EPROTO, "not a checkpoint of ours: extension lines");
	if (!extensions_ok(text, end))
		return err_set(err, IM_EPROTO, "not a checkpoint: malformed extension line");
	if (line_len[0] > NOTE_NAME_MAX)
		return err_set(err, IM_EPROTO, "not a checkpoint: the origin is too long");
	memcpy(c.origin, line[0], line_len[0]);
	c.origin[line_len[0]] = '\0';
	/* Another log's origin need not be the name of its key. */
	if (strlen(c.origin) != line_len[0] || line_len[0] == 0 ||
	    (!any && !note_name_ok(c.origin)))
		return err_set(err, IM_EPROTO, "not a checkpoint: malformed origin");
	if (!checkpoint_parse_size(line[1], line_len[1], &c.size))
		return err_set(err, IM_EPROTO, "not a checkpoint: malformed size");
	if (!base64_decode(line[2], line_len[2], c.root.b, HASH_BYTES, &root_len) ||
	    root_len != HASH_BYTES)
		return err_set(err, IM_EPROTO, "not a checkpoint: malformed root hash");
	*ret = c;
	return IM_OK;
}

enum im_rc
checkpoint_parse(const char *text, size_t len, struct checkpoint *ret, struct im_err *err)
{
	return parse(text, len, false, ret, err);
}

enum im_rc
checkpoint_parse_any(const char *text, size_t len, struct checkpoint *ret, struct im_err *err)
{
	return parse(text, len, true, ret, err);
}

enum im_rc
checkpoint_open(const char *bytes, size_t len, const struct note_verifier *v,
		struct checkpoint *ret, struct im_err *err)
{
	struct note note;
	struct checkpoint c;
	enum im_rc rc;

	rc = note_parse(bytes, len, &note, err);
	if (rc == IM_OK)
		rc = checkpoint_parse(note.text, note.text_len, &c, err);
	if (rc == IM_OK && v != NULL)
		rc = note_verify(&note, v, err);
	if (rc == IM_OK && v != NULL && strcmp(v->name, c.origin) != 0)
		rc = err_set(err, IM_ECORRUPT, "the checkpoint is of the log %s, not of %s",
			     c.origin, v->name);
	if (rc == IM_OK)
		*ret = c;
	return rc;
}

enum im_rc
checkpoint_sign(const struct note_signer *s, uint64_t size, const struct hash *root,
		struct buf *out, struct im_err *err)
{
	struct checkpoint c = { .size = size, .root = *root };
	struct buf text = BUF_INIT(CHECKPOINT_MAX_BYTES);
	enum im_rc rc;

	memcpy(c.origin, s->name, sizeof(c.origin));
	if (checkpoint_put(&text, &c))
		rc = note_sign(s, buf_cstr(&text), text.len, out, err);
	else
		rc = err_set(err, IM_ENOMEM, "no memory for a checkpoint");
	buf_done(&text);
	return rc;
}
