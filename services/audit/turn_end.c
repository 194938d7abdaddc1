/*
 * audit/turn_end.c - what follows a turn: publishing the shard that has ended, and the same when the log is opened again; see
 * turn.h.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/proof_file.h"
#include "audit/turn.h"
#include "audit/wal.h"

#define END_RETRY_US UINT64_C(1000000)

/* The old shard's last tiles and checkpoint. */
static enum im_rc
publish_last(struct ended_shard *e, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	while (rc == IM_OK && !list_empty(&e->chunks)) {
		struct chunk *c = CONTAINER_OF(e->chunks.next, struct chunk, node);
		bool last = c->node.next == &e->chunks;

		rc = store_add(&e->store, c, err);
		if (rc == IM_OK && last)
			rc = store_publish(&e->store, c->checkpoint, c->checkpoint_len, err);
		if (rc != IM_OK)
			break;
		list_remove(&c->node);
		chunk_free(c);
	}
	return rc;
}

/* The link to the next shard: a proof of the last record, which is published now. */
static enum im_rc
write_link(struct audit_log *log, struct ended_shard *e, struct im_err *err)
{
	struct audit_source source;
	struct buf proof = { 0 };
	char path[DISK_PATH_MAX];
	enum im_rc rc;

	source_folder(&source, e->store.dir);
	rc = proof_file_make(&log->hasher, &source, &e->verifier, e->size - 1, &proof, err);
	if (rc == IM_OK)
		rc = disk_path(path, e->store.dir, SHARD_NEXT, err);
	if (rc == IM_OK)
		rc = disk_replace(log->params.ops, path, proof.data, proof.len, err);
	if (rc == IM_OK)
		rc = disk_sync_dir(log->params.ops, e->store.dir, err);
	buf_done(&proof);
	return rc;
}

void
turn_forget(struct audit_log *log)
{
	struct ended_shard *e = log->ended;
	struct list *node;

	if (e == NULL)
		return;
	while ((node = list_pop_front(&e->chunks)) != NULL)
		chunk_free(CONTAINER_OF(node, struct chunk, node));
	store_done(&e->store);
	free(e->pruning);
	free(e);
	log->ended = NULL;
}

enum im_rc
turn_end(struct audit_log *log, struct im_err *err)
{
	struct publisher *p = &log->publisher;
	struct ended_shard *e = log->ended;
	const struct audit_log_params *params = &log->params;
	enum im_rc rc = IM_OK;

	e->retry_us = audit_log_time(log) + END_RETRY_US;
	if (publisher_published(p) == 0 && !p->running)
		rc = publisher_pass(p, true, err);
	if (rc == IM_OK && publisher_published(p) == 0)
		return err_set(err, IM_EUNAVAILABLE, "the shard in %s is not published yet",
			       log->shard.dir);
	if (rc == IM_OK)
		rc = publish_last(e, err);
	if (rc == IM_OK)
		rc = write_link(log, e, err);
	if (rc == IM_OK && params->key_file != NULL)
		rc = keyfile_settle(params->ops, params->key_file, log->shard.verifier.pub,
				    params->keys, err);
	if (rc != IM_OK)
		return rc;
	turn_remove_wal(params->ops, e->store.dir);
	if (e->pruning != NULL)
		publisher_prune_older(p, e->pruning);
	e->pruning = NULL;
	publisher_ended(p);
	turn_forget(log);
	return IM_OK;
}

enum im_rc
turn_resume(struct audit_log *log, const struct shards *shards, struct im_err *err)
{
	char vkey[NOTE_KEYTEXT_MAX];
	const char *name = shard_name_of(log->origin, log->next_origin);
	struct ended_shard *e;
	uint64_t size = log->range.size;
	enum im_rc rc;

	if (name == NULL)
		return err_set(err, IM_ECORRUPT,
			       "the log in %s goes on as '%s', which is no shard of it",
			       log->shard.dir, log->next_origin);
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return err_set(err, IM_ENOMEM, "no memory for another shard");
	list_init(&e->chunks);
	e->size = size;
	note_signer_vkey(&log->shard.signer, vkey);
	rc = note_verifier_parse(vkey, &e->verifier, err);
	log->ended = e;
	(void)snprintf(vkey, sizeof(vkey), "%s", log->next_vkey);
	free(log->checkpoint);
	log->checkpoint = NULL;
	if (rc == IM_OK)
		rc = audit_log_enter(log, name, vkey, log->shard.first + size,
				     log->shard.ordinal + 1, err);
	return rc == IM_OK ? audit_log_recover(log, shards, err) : rc;
}

void
turn_schedule(struct audit_log *log)
{
	uint64_t us = log->begun_us != 0 ? log->begun_us : audit_log_time(log);

	if (!log->params.half_years)
		log->turn_us = UINT64_MAX;
	else if (!shard_name_end(log->shard.name, &log->turn_us)) /* the first one bears no name */
		log->turn_us = shard_half_year_end(us);
}

static enum im_rc
count_frame(void *user, const struct wal_frame *f, const char *where, struct im_err *err)
{
	uint64_t *end = user;

	(void)where;
	(void)err;
	*end = f->first + f->count;
	return IM_OK;
}

static bool
any_frame(void *user, const struct wal_frame *f)
{
	(void)user;
	(void)f;
	return true;
}

/* Records are acknowledged behind the first one only after the turn, and published a little later. */
enum im_rc
turn_remove_unused(const struct disk_ops *ops, const char *dir, struct im_err *err)
{
	char path[DISK_PATH_MAX];
	struct wal_found found;
	uint64_t end = 0;
	const struct wal_scan scan = { count_frame, any_frame, &end, false };
	enum im_rc rc = disk_path(path, dir, "checkpoint", err);

	if (rc == IM_OK)
		rc = wal_read(dir, &scan, &found, err);
	if (rc != IM_OK && rc != IM_ECORRUPT) /* which a crash while it was made may look like */
		return rc;
	if (access(path, F_OK) == 0 || end > 1)
		return err_set(
		    err, IM_ECORRUPT,
		    "%s is a shard that the log does not know: the log was rolled back; restore the folder from its "
		    "newest copy",
		    dir);
	turn_remove_wal(ops, dir);
	(void)rmdir(dir);
	return IM_OK;
}

void
turn_remove_wal(const struct disk_ops *ops, const char *dir)
{
	char folder[DISK_PATH_MAX], path[DISK_PATH_MAX];
	struct dirent *e;
	DIR *d;

	if (disk_path(folder, dir, "wal", NULL) != IM_OK || (d = opendir(folder)) == NULL)
		return;
	// NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' && disk_path(path, folder, e->d_name, NULL) == IM_OK)
			(void)ops->unlink(path);
	(void)closedir(d);
	(void)rmdir(folder);
}

enum im_rc
turn_prune_older(struct audit_log *log, const struct shards *shards,
		 const struct record_prune *prune, uint64_t after, struct im_err *err)
{
	const struct shard *s = NULL;
	struct pruning *o;
	uint64_t first;
	enum im_rc rc;

	for (size_t i = 0; i < shards->count; i++)
		if (shards->shard[i]->closed && shards->shard[i]->first == prune->first)
			s = shards->shard[i];
	if (s == NULL && log->ended == NULL)
		return err_set(err, IM_ECORRUPT,
			       "a PRUNE record is about a shard that is not there");
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return err_set(err, IM_ENOMEM, "no memory to delete old entries");
	(void)snprintf(o->dir, sizeof(o->dir), "%s",
		       s != NULL ? s->source.dir : log->ended->store.dir);
	rc = store_first(o->dir, s != NULL ? s->size : log->ended->size, true, &first, err);
	o->first = first;
	o->min_index = prune->min_index;
	o->after = after;
	if (rc != IM_OK || first >= prune->min_index) {
		free(o);
	} else if (s != NULL) {
		publisher_prune_older(&log->publisher, o);
	} else {
		free(log->ended->pruning);
		log->ended->pruning = o;
	}
	return rc;
}
