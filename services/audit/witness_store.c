/*
 * audit/witness_store.c - see witness_store.h.
 */
#include "audit/witness_store.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "audit/cosignature.h"
#include "base/hex.h"

enum im_rc
witness_store_open(struct witness_store *s, const struct disk_ops *ops, const char *dir,
		   const struct note_signer *key, struct im_err *err)
{
	enum im_rc rc;

	*s = (struct witness_store){ .ops = ops, .lock_fd = -1, .key = key };
	rc = disk_path(s->dir, dir, "", err);
	if (rc != IM_OK)
		return rc;
	s->dir[strlen(s->dir) - 1] = '\0';
	rc = disk_mkdirs(ops, s->dir, err);
	if (rc == IM_OK)
		rc = disk_lock(s->dir, "witness.dir", &s->lock_fd, err);
	if (rc == IM_OK)
		rc = hasher_init(&s->hasher, err);
	if (rc != IM_OK)
		witness_store_close(s);
	return rc;
}

void
witness_store_close(struct witness_store *s)
{
	hasher_done(&s->hasher);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	s->lock_fd = -1;
}

static enum im_rc
path_of(struct witness_store *s, const struct witness_log *log, char ret[DISK_PATH_MAX],
	struct im_err *err)
{
	const struct hash_part part = { log->origin, strlen(log->origin) };
	char name[2 * HASH_BYTES + sizeof(".checkpoint")];
	struct hash digest;

	hasher_parts(&s->hasher, &part, 1, &digest);
	hex_encode(digest.b, HASH_BYTES, name);
	memcpy(name + 2 * HASH_BYTES, ".checkpoint", sizeof(".checkpoint"));
	return disk_path(ret, s->dir, name, err);
}

/* Our own cosignature says that we wrote it. */
static enum im_rc
check(const struct witness_store *s, const char *text, size_t len, struct checkpoint *ret,
      uint64_t *ret_time_s, struct im_err *err)
{
	struct note_verifier own;
	struct note note;
	enum im_rc rc = note_parse(text, len, &note, err);

	if (rc == IM_OK)
		rc = checkpoint_parse_any(note.text, note.text_len, ret, err);
	if (rc != IM_OK)
		return rc;
	note_verifier_of(s->key, &own);
	return cosignature_verify(&note, &own, ret_time_s, err);
}

enum im_rc
witness_store_load(struct witness_store *s, struct witness_log *log, struct im_err *err)
{
	char path[DISK_PATH_MAX];
	struct buf text = { 0 };
	struct checkpoint c;
	uint64_t time_s;
	enum im_rc rc = path_of(s, log, path, err);

	if (rc != IM_OK)
		return rc;
	rc = access(path, F_OK) == 0 ? disk_read(path, NOTE_MAX_BYTES, &text, err) : IM_ENOTFOUND;
	if (rc == IM_ENOTFOUND) {
		log->size = 0;
		buf_done(&text);
		return IM_OK;
	}
	if (rc == IM_OK)
		rc = check(s, buf_cstr(&text), text.len, &c, &time_s, err);
	if (rc == IM_OK && strcmp(c.origin, log->origin) != 0)
		rc = err_set(err, IM_ECORRUPT, "it is of the log %s", c.origin);
	if (rc == IM_OK) {
		log->size = c.size;
		log->root = c.root;
		log->time_s = time_s;
	} else if (rc != IM_EIO && rc != IM_ENOMEM) {
		rc = err_set(
		    err, IM_ECORRUPT,
		    "%s is not what the witness %s cosigned of %s (%.200s): put it or the key back; without it the "
		    "witness would cosign a log that was rolled back",
		    path, s->key->name, log->origin, err != NULL ? err->text : "");
	}
	buf_done(&text);
	return rc;
}

static enum im_rc
save(struct witness_store *s, const struct witness_log *log, const struct witness_verdict *v,
     const struct buf *line, struct im_err *err)
{
	char path[DISK_PATH_MAX], name[NOTE_NAME_MAX + 1];
	struct buf text = BUF_INIT(NOTE_MAX_BYTES);
	enum im_rc rc = path_of(s, log, path, err);

	memcpy(name, v->sig->name, v->sig->name_len);
	name[v->sig->name_len] = '\0';
	(void)buf_append(&text, v->note.text, v->note.text_len);
	(void)buf_append_byte(&text, '\n');
	note_put_sig(&text, name, v->sig->key_id, v->sig->sig, v->sig->sig_len);
	(void)buf_append(&text, line->data, line->len);
	if (rc == IM_OK && !buf_ok(&text))
		rc = err_set(err, IM_ENOMEM, "no memory for a checkpoint");
	if (rc == IM_OK)
		rc = disk_replace(s->ops, path, text.data, text.len, err);
	if (rc == IM_OK)
		rc = disk_sync_dir(s->ops, s->dir, err);
	buf_done(&text);
	return rc;
}

enum im_rc
witness_store_cosign(struct witness_store *s, struct witness_log *log,
		     const struct witness_verdict *v, uint64_t time_s, struct buf *out,
		     struct im_err *err)
{
	struct buf line = { 0 };
	enum im_rc rc;

	assert(v->result == WITNESS_GOOD && strcmp(v->at.origin, log->origin) == 0);
	if (time_s < log->time_s) /* the clock was set back */
		time_s = log->time_s;
	rc = cosignature_sign(s->key, time_s, v->note.text, v->note.text_len, &line, err);
	/* What has room now need not ask for it when the state has changed. */
	if (rc == IM_OK && buf_reserve(out, line.len) == NULL)
		rc = err_set(err, IM_ENOMEM, "no memory for a cosignature");
	if (rc == IM_OK && v->news)
		rc = save(s, log, v, &line, err);
	if (rc == IM_OK) {
		log->size = v->at.size;
		log->root = v->at.root;
		log->time_s = time_s;
		(void)buf_append(out, line.data, line.len);
	}
	buf_done(&line);
	return rc;
}
