/*
 * audit/proof_file.c - making, reading and checking a .tlog-proof; see proof_file.h. Source: https://c2sp.org/tlog-proof
 */
#include "audit/proof_file.h"
#include "audit/cosigned.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

#define HEADER    "c2sp.org/tlog-proof@v1"
#define ENTRY_MAX ((size_t)BUNDLE_ENTRY_MAX)

static bool
put_base64(struct buf *out, const uint8_t *data, size_t len)
{
	uint8_t *at = buf_reserve(out, BASE64_LEN(len) + 1);

	if (at == NULL)
		return false;
	base64_encode(data, len, (char *)at);
	out->len += BASE64_LEN(len);
	return buf_append_byte(out, '\n');
}

enum im_rc
proof_file_put(const struct proof_file *p, struct buf *out, struct im_err *err)
{
	(void)buf_append_str(out, HEADER "\nextra ");
	(void)put_base64(out, p->entry, p->entry_len);
	(void)buf_printf(out, "index %" PRIu64 "\n", p->index);
	for (size_t i = 0; i < p->proof.count; i++)
		(void)put_base64(out, p->proof.hash[i].b, HASH_BYTES);
	(void)buf_append_byte(out, '\n');
	if (!buf_append(out, p->checkpoint, p->checkpoint_len))
		return err_set(err, IM_ENOMEM, "no memory for a proof");
	return IM_OK;
}

/* What to prove with: the checkpoint that witnesses cosigned if it covers the record, else the newest one. */
static enum im_rc
read_checkpoint(const struct audit_source *s, const struct note_verifier *key, uint64_t index,
		struct buf *text, struct checkpoint *ret, struct im_err *err)
{
	enum im_rc rc = s->read(s, COSIGNED_FILE, NOTE_MAX_BYTES, text, err);

	if (rc == IM_OK)
		rc = checkpoint_open(buf_cstr(text), text->len, key, ret, err);
	if (rc == IM_ENOTFOUND || (rc == IM_OK && index >= ret->size))
		rc = source_checkpoint(s, key, text, ret, err);
	return rc;
}

enum im_rc
proof_file_make(struct hasher *h, const struct audit_source *s, const struct note_verifier *key,
		uint64_t index, struct buf *out, struct im_err *err)
{
	struct buf text = { 0 }, bundle = { 0 };
	struct proof_file p = { .index = index };
	struct source_nodes nodes = { .source = s, .hasher = h };
	struct checkpoint cp = { .size = 0 };
	const uint8_t *entry = NULL;
	size_t len = 0;
	enum im_rc rc = read_checkpoint(s, key, index, &text, &cp, err);

	if (rc == IM_OK && index >= cp.size)
		rc =
		    err_set(err, IM_EAGAIN,
			    "the checkpoint covers %" PRIu64 " records, and not yet record %" PRIu64
			    ": if it was acknowledged, try again in a second",
			    cp.size, index);
	if (rc == IM_OK)
		rc = source_entry(s, cp.size, index, &bundle, &entry, &len, err);
	nodes.size = cp.size;
	if (rc == IM_OK)
		rc = tlog_prove_inclusion(h, index, cp.size, source_node, &nodes, &p.proof, err);
	if (rc == IM_OK) {
		p.entry = entry;
		p.entry_len = len;
		p.checkpoint = buf_cstr(&text);
		p.checkpoint_len = text.len;
		rc = proof_file_check(h, &p, key, &cp, err);
		if (rc != IM_OK)
			err_prefix(err, "the log in %s is damaged", s->name);
	}
	if (rc == IM_OK)
		rc = proof_file_put(&p, out, err);
	buf_done(&nodes.hashes);
	buf_done(&bundle);
	buf_done(&text);
	return rc;
}

/* The next line without its end; false when there is none. */
static bool
next_line(const char **at, const char *end, const char **ret, size_t *ret_len)
{
	const char *nl = memchr(*at, '\n', (size_t)(end - *at));

	if (nl == NULL)
		return false;
	*ret = *at;
	*ret_len = (size_t)(nl - *at);
	*at = nl + 1;
	return true;
}

static bool
take_prefix(const char **line, size_t *len, const char *prefix)
{
	size_t n = strlen(prefix);

	if (*len < n || memcmp(*line, prefix, n) != 0)
		return false;
	*line += n;
	*len -= n;
	return true;
}

static bool
parse_index(const char *s, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	if (len == 0 || (len > 1 && s[0] == '0'))
		return false;
	for (size_t i = 0; i < len; i++)
		if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, UINT64_C(10), &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			return false;
	*ret = v;
	return true;
}

static enum im_rc
parse_extra(const char *line, size_t len, struct proof_file *p, struct im_err *err)
{
	uint8_t *to = len > BASE64_LEN(ENTRY_MAX) ? NULL : buf_reserve(&p->memory, ENTRY_MAX);
	size_t n;

	if (len <= BASE64_LEN(ENTRY_MAX) && to == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a proof");
	if (to == NULL || !base64_decode(line, len, to, ENTRY_MAX, &n))
		return err_set(err, IM_EPROTO,
			       "not a proof: the 'extra' line is not base64 of a record");
	p->entry = to;
	p->entry_len = n;
	return IM_OK;
}

static enum im_rc
parse_hashes(const char **at, const char *end, struct tlog_proof *ret, struct im_err *err)
{
	const char *line;
	size_t len, n;

	while (next_line(at, end, &line, &len)) {
		if (len == 0)
			return IM_OK;
		if (ret->count == TLOG_HEIGHT_MAX)
			return err_set(err, IM_EPROTO, "not a proof: more than %d hashes",
				       TLOG_HEIGHT_MAX);
		if (!base64_decode(line, len, ret->hash[ret->count].b, HASH_BYTES, &n) ||
		    n != HASH_BYTES)
			return err_set(err, IM_EPROTO, "not a proof: hash %zu is malformed",
				       ret->count + 1);
		ret->count++;
	}
	return err_set(err, IM_EPROTO,
		       "not a proof: the blank line before the checkpoint is missing");
}

enum im_rc
proof_file_parse(const char *bytes, size_t len, struct proof_file *ret, struct im_err *err)
{
	struct proof_file p = { 0 };
	const char *at = bytes, *end = bytes + len, *line;
	enum im_rc rc = IM_OK;
	size_t n;

	if (len == 0 || len > PROOF_FILE_MAX)
		return err_set(err, IM_EPROTO, "not a proof: %zu bytes", len);
	if (!next_line(&at, end, &line, &n) || n != strlen(HEADER) || memcmp(line, HEADER, n) != 0)
		return err_set(err, IM_EPROTO, "not a proof: its first line is not '%s'", HEADER);
	if (!next_line(&at, end, &line, &n))
		return err_set(err, IM_EPROTO, "not a proof: the index is missing");
	if (take_prefix(&line, &n, "extra ")) {
		rc = parse_extra(line, n, &p, err);
		if (rc == IM_OK && !next_line(&at, end, &line, &n))
			rc = err_set(err, IM_EPROTO, "not a proof: the index is missing");
	}
	if (rc == IM_OK && (!take_prefix(&line, &n, "index ") || !parse_index(line, n, &p.index)))
		rc = err_set(err, IM_EPROTO, "not a proof: malformed index");
	if (rc == IM_OK)
		rc = parse_hashes(&at, end, &p.proof, err);
	p.checkpoint = at;
	p.checkpoint_len = (size_t)(end - at);
	if (rc == IM_OK)
		*ret = p;
	else
		proof_file_done(&p);
	return rc;
}

void
proof_file_done(struct proof_file *p)
{
	buf_done(&p->memory);
}

enum im_rc
proof_file_check(struct hasher *h, const struct proof_file *p, const struct note_verifier *key,
		 struct checkpoint *ret, struct im_err *err)
{
	struct hash leaf;
	enum im_rc rc = checkpoint_open(p->checkpoint, p->checkpoint_len, key, ret, err);

	if (rc != IM_OK)
		return rc;
	if (p->entry == NULL)
		return err_set(err, IM_EINVAL,
			       "the proof carries no record: its 'extra' line is missing");
	tlog_leaf(h, p->entry, p->entry_len, &leaf);
	return tlog_check_inclusion(h, &leaf, p->index, ret->size, &p->proof, &ret->root, err);
}
