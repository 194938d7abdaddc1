/*
 * audit/log_open.c - opening and closing a log: its lock, its shards, and the end of a turn that a crash cut off; see log.h and
 * turn.h. One shard is recovered by recover.c.
 */
#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/lifecycle.h"
#include "audit/log.h"
#include "audit/turn.h"

static enum im_rc
frame_memory(struct audit_log *log, struct im_err *err)
{
	log->leaf = calloc(log->params.batch_records, sizeof(*log->leaf));
	return log->leaf != NULL ? IM_OK
				 : err_set(err, IM_ENOMEM, "no memory for a frame of records");
}

static void
leave(struct open_shard *s)
{
	note_signer_done(&s->signer);
	*s = (struct open_shard){ .ordinal = 0 };
}

enum im_rc
audit_log_enter(struct audit_log *log, const char *name, const char *vkey, uint64_t first,
		uint32_t ordinal, struct im_err *err)
{
	struct open_shard s = { .first = first, .ordinal = ordinal };
	const struct note_signer *key = NULL;
	enum im_rc rc = note_verifier_parse(vkey, &s.verifier, err);

	(void)snprintf(s.name, sizeof(s.name), "%s", name);
	if (rc == IM_OK && name[0] == '\0')
		memcpy(s.dir, log->dir, sizeof(s.dir));
	else if (rc == IM_OK)
		rc = disk_path(s.dir, log->dir, name, err);
	if (rc == IM_OK)
		key = keyfile_signer(log->params.keys, s.verifier.pub);
	if (rc == IM_OK && key == NULL)
		rc = err_set(
		    err, IM_EINVAL,
		    "the log in %s goes on under a key that the key file does not have: it is a copy from before the "
		    "key was rotated; put its newest copy back",
		    s.dir);
	if (rc == IM_OK)
		rc = note_signer_new(s.verifier.name, key->seed, &s.signer, err);
	if (rc != IM_OK) {
		leave(&s);
		return rc;
	}
	leave(&log->shard);
	log->shard = s;
	log->pseudonyms = log->params.keys->keys;
	log->pseudonyms.epoch += ordinal;
	identities_done(&log->identities);
	log->turn_us = UINT64_MAX;
	return IM_OK;
}

/* Folders of shards that the log does not know: a turn that did not come about, or the log was rolled back. */
static enum im_rc
remove_unknown(struct audit_log *log, const struct shards *shards, struct im_err *err)
{
	char path[DISK_PATH_MAX];
	enum im_rc rc = IM_OK;
	struct dirent *e;
	DIR *d = opendir(log->dir);

	if (d == NULL)
		return disk_failed(err, errno, false, "read", log->dir);
	// NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
	while (rc == IM_OK && (e = readdir(d)) != NULL) {
		if (!shard_name_ok(e->d_name) || strcmp(e->d_name, log->shard.name) == 0 ||
		    shards_named(shards, e->d_name) != NULL)
			continue;
		rc = disk_path(path, log->dir, e->d_name, err);
		if (rc == IM_OK)
			rc = turn_remove_unused(log->params.ops, path, err);
	}
	(void)closedir(d);
	return rc;
}

/* Hand on what is still to be deleted, as the PRUNE records say. */
static enum im_rc
resume_pruning(struct audit_log *log, const struct shards *shards, struct im_err *err)
{
	const struct known_prune *known = (const struct known_prune *)log->prunes.data;
	enum im_rc rc = IM_OK;

	for (size_t i = 0; i < log->prunes.len / sizeof(*known) && rc == IM_OK; i++) {
		uint64_t first = log->shard.first, number = known[i].number;

		if (known[i].prune.first == first)
			publisher_prune(&log->publisher, known[i].prune.min_index, number - first);
		else
			rc = turn_prune_older(log, shards, &known[i].prune,
					      number >= first      ? number - first + 1
					      : log->ended != NULL ? PRUNING_AFTER_END
								   : 0,
					      err);
	}
	buf_done(&log->prunes);
	return rc;
}

/* The shard that is being written, and the one before it if that is not all published. */
static enum im_rc
open_shards(struct audit_log *log, struct im_err *err)
{
	const char *key_file = log->params.key_file;
	struct audit_source source;
	char vkey[NOTE_KEYTEXT_MAX];
	const struct shard *last = NULL;
	struct shards shards = { 0 };
	enum im_rc rc;

	source_folder(&source, log->dir);
	keyfile_first_vkey(log->params.keys, vkey);
	(void)snprintf(log->origin, sizeof(log->origin), "%.*s", (int)strcspn(vkey, "+"), vkey);
	rc = shards_load(&source, vkey, &shards, err);
	if (rc == IM_OK) {
		last = shards.shard[shards.count - 1];
		rc = audit_log_enter(log, last->name, last->vkey, last->first,
				     (uint32_t)shards.count - 1, err);
	}
	if (rc == IM_OK)
		rc = audit_log_recover(log, &shards, err);
	if (rc == IM_OK && log->next_origin[0] != '\0')
		rc = turn_resume(log, &shards, err);
	if (rc == IM_OK)
		rc = remove_unknown(log, &shards, err);
	if (rc == IM_OK)
		rc = resume_pruning(log, &shards, err);
	if (rc == IM_OK && log->ended != NULL) {
		rc = turn_end(log, err);
		if (rc == IM_EUNAVAILABLE || rc == IM_ENOMEM)
			rc = IM_OK; /* it is tried again */
	}
	if (rc == IM_OK && shards.count > 1 && log->ended == NULL)
		turn_remove_wal(log->params.ops, shards.shard[shards.count - 2]->source.dir);
	/* The key of a turn that was not made, or the old one of a turn that was not finished. */
	if (rc == IM_OK && log->ended == NULL && key_file != NULL)
		rc = keyfile_settle(log->params.ops, key_file, log->shard.verifier.pub,
				    log->params.keys, err);
	shards_done(&shards);
	return rc;
}

enum im_rc
audit_log_open(const struct audit_log_params *params, struct audit_log **ret_log,
	       struct im_err *err)
{
	struct audit_log *log = calloc(1, sizeof(*log));
	enum im_rc rc;

	if (log == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the audit log");
	log->params = *params;
	log->lock_fd = -1;
	log->wal.fd = -1;
	if (log->params.batch_bytes >
	    params->segment_bytes / 4) /* a frame must fit into a segment */
		log->params.batch_bytes = params->segment_bytes / 4;
	rc = disk_path(log->dir, params->dir, "", err);
	if (rc != IM_OK)
		goto fail;
	log->dir[strlen(log->dir) - 1] = '\0';
	rc = hasher_init(&log->hasher, err);
	if (rc == IM_OK)
		rc = disk_mkdirs(params->ops, log->dir, err);
	if (rc == IM_OK)
		rc = disk_lock(log->dir, "audit.dir", &log->lock_fd, err);
	if (rc == IM_OK)
		rc = subjects_open(&log->subjects, params->ops, params->subjects,
				   &params->keys->keys, &log->hasher, err);
	if (rc == IM_OK)
		rc = frame_memory(log, err);
	if (rc == IM_OK)
		rc = open_shards(log, err);
	if (rc != IM_OK)
		goto fail;
	log->next = log->range;
	turn_schedule(log);
	rc = audit_log_record_erased(log, NULL, err);
	if (rc != IM_OK)
		goto fail;
	*ret_log = log;
	return IM_OK;
fail:
	audit_log_close(log);
	return rc;
}

void
audit_log_close(struct audit_log *log)
{
	if (log == NULL)
		return;
	if (log->has_publisher) {
		publisher_stop(&log->publisher);
		publisher_done(&log->publisher);
	}
	turn_forget(log);
	wal_close(&log->wal);
	dedup_done(&log->dedup);
	buf_done(&log->records);
	buf_done(&log->erasures);
	buf_done(&log->prunes);
	free(log->leaf);
	free(log->checkpoint);
	leave(&log->shard);
	hasher_done(&log->hasher);
	identities_done(&log->identities);
	subjects_close(&log->subjects);
	OPENSSL_cleanse(log->random, sizeof(log->random));
	if (log->lock_fd >= 0)
		(void)close(log->lock_fd);
	free(log);
}
