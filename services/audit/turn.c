/*
 * audit/turn.c - from one shard to the next; see turn.h. What follows the turn itself is in turn_end.c.
 */
#include "audit/turn.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/lifecycle.h"
#include "base/log.h"

/* All that the next shard needs, made before the old one ends. */
struct turn {
	char name[SHARD_NAME_MAX];
	char dir[DISK_PATH_MAX];
	char vkey[NOTE_KEYTEXT_MAX];
	struct note_signer signer;
	struct note_verifier verifier;
	struct buf records; /* its first record, as in a bundle */
	struct tlog_range range;
	struct buf checkpoint;
	struct chunk *chunk;
	char *text; /* the same checkpoint, for the log */
	struct wal wal;
	bool has_folder;
	struct store store;
	struct ended_shard *ended;
	struct pruning *pruning;
};

static void
turn_done(struct turn *t)
{
	note_signer_done(&t->signer);
	buf_done(&t->records);
	buf_done(&t->checkpoint);
	chunk_free(t->chunk);
	free(t->text);
	wal_close(&t->wal);
	store_done(&t->store);
	free(t->ended);
	free(t->pruning);
}

/* Name, folder and key. */
static enum im_rc
name_shard(const struct audit_log *log, const struct note_signer *key, struct turn *t,
	   struct im_err *err)
{
	char origin[NOTE_NAME_MAX + SHARD_NAME_MAX + 2];
	enum im_rc rc;

	if (!shard_name_next(log->shard.name, audit_log_time(log), t->name))
		return err_set(err, IM_EINVAL, "no name is left for a shard after %s",
			       log->shard.name);
	(void)snprintf(origin, sizeof(origin), "%s/%s", log->origin, t->name);
	rc = note_signer_new(origin, key->seed, &t->signer, err);
	if (rc != IM_OK)
		return rc;
	note_signer_vkey(&t->signer, t->vkey);
	note_verifier_of(&t->signer, &t->verifier);
	return disk_path(t->dir, log->dir, t->name, err);
}

/* The last record of the shard, as the only one of its frame. */
static enum im_rc
put_last(struct audit_log *log, const struct turn *t, const char *actor, uint64_t *ret_number,
	 struct im_err *err)
{
	struct record r = { .kind = RECORD_KEY_ROTATE,
			    .has_next = true,
			    .next = { t->signer.name, t->vkey } };

	lifecycle_actor(log, actor, &r);
	return audit_log_put(log, &r, ret_number, err);
}

/* The first record of the next shard names the tree that the old one is going to have. */
static enum im_rc
put_first(struct audit_log *log, struct turn *t, struct im_err *err)
{
	struct record r = { .kind = RECORD_KEY_ROTATE,
			    .has_previous = true,
			    .log_time_us = log->frame_time_us,
			    .request_time_us = log->frame_time_us,
			    .previous = { .origin = log->shard.signer.name,
					  .size = log->next.size,
					  .ordinal = log->shard.ordinal + 1,
					  .first = log->shard.first + log->next.size } };
	struct buf entry = { 0 };
	struct hash leaf, root;
	enum im_rc rc = IM_OK;

	tlog_range_root(&log->next, &log->hasher, &r.previous.root);
	audit_log_blind(log, r.blind, sizeof(r.blind));
	if (!record_encode(&r, &entry) || !bundle_put(&t->records, entry.data, entry.len) ||
	    dedup_add(&log->dedup, NULL, r.kind) != IM_OK) {
		rc = err_set(err, IM_ENOMEM, "no memory for a record");
	} else {
		tlog_leaf(&log->hasher, entry.data, entry.len, &leaf);
		tlog_range_add(&t->range, &log->hasher, &leaf, NULL, NULL);
		tlog_range_root(&t->range, &log->hasher, &root);
		rc = checkpoint_sign(&t->signer, 1, &root, &t->checkpoint, err);
	}
	buf_done(&entry);
	return rc;
}

/* Memory for all that comes after the turn, when nothing may fail. */
static enum im_rc
take_memory(struct turn *t, struct im_err *err)
{
	struct chunk *c = calloc(1, sizeof(*c));

	t->chunk = c;
	t->ended = calloc(1, sizeof(*t->ended));
	t->pruning = calloc(1, sizeof(*t->pruning));
	t->text = strdup(buf_cstr(&t->checkpoint));
	if (c == NULL || t->ended == NULL || t->pruning == NULL || t->text == NULL)
		return err_set(err, IM_ENOMEM, "no memory for another shard");
	c->count = 1;
	c->leaf = malloc(sizeof(*c->leaf));
	c->records = malloc(t->records.len);
	c->checkpoint = strdup(t->text);
	if (c->leaf == NULL || c->records == NULL || c->checkpoint == NULL)
		return err_set(err, IM_ENOMEM, "no memory for another shard");
	c->leaf[0] = c->root = t->range.peak[0];
	memcpy(c->records, t->records.data, t->records.len);
	c->records_len = t->records.len;
	c->checkpoint_len = strlen(c->checkpoint);
	return IM_OK;
}

/* The next shard's folder and write-ahead log, durable. */
static enum im_rc
make_folder(const struct audit_log *log, struct turn *t, struct im_err *err)
{
	const struct disk_ops *ops = log->params.ops;
	const struct wal_frame frame = { .count = 1,
					 .records = t->chunk->records,
					 .records_len = t->chunk->records_len,
					 .root = t->chunk->root,
					 .checkpoint = t->chunk->checkpoint,
					 .checkpoint_len = t->chunk->checkpoint_len };
	enum im_rc rc = disk_mkdir(ops, t->dir, err);

	t->has_folder = rc == IM_OK;
	if (rc == IM_OK)
		rc = wal_begin(&t->wal, ops, t->dir, 1, log->params.segment_bytes, &frame, 1, err);
	if (rc == IM_OK)
		rc = store_open(&t->store, ops, t->dir, 0, NULL, err);
	return rc;
}

/* The old shard has ended: from here on nothing can fail. */
static void
go_over(struct audit_log *log, struct turn *t)
{
	struct ended_shard *ended = t->ended;
	struct publisher *p = &log->publisher;
	struct open_shard *s = &log->shard;

	if (p->first < p->prune_min) {
		t->pruning->first = p->first;
		t->pruning->min_index = p->prune_min;
		memcpy(t->pruning->dir, s->dir, sizeof(s->dir));
		ended->pruning = t->pruning;
		t->pruning = NULL;
	}
	ended->size = log->range.size;
	ended->verifier = s->verifier;
	note_signer_done(&s->signer);
	s->first += ended->size;
	s->ordinal++;
	memcpy(s->name, t->name, sizeof(s->name));
	memcpy(s->dir, t->dir, sizeof(s->dir));
	s->signer = t->signer;
	s->verifier = t->verifier;
	t->signer = (struct note_signer){ .name = "" };
	t->verifier = (struct note_verifier){ .name = "" };
	publisher_turn(p, &t->store, s->first, &ended->store, &ended->chunks);
	publisher_push(p, t->chunk);
	wal_close(&log->wal);
	wal_move(&log->wal, &t->wal);
	free(log->checkpoint);
	log->checkpoint = t->text;
	log->checkpoint_len = strlen(t->text);
	log->range = log->next = t->range;
	log->pseudonyms.epoch++;
	identities_done(&log->identities);
	log->ended = ended;
	t->chunk = NULL;
	t->text = NULL;
	t->ended = NULL;
	turn_schedule(log);
}

/* Nothing came of it: the log is as it was. Unless a sync failed: then only the next start knows how the shard ended. */
static void
go_back(struct audit_log *log, struct turn *t, enum im_rc rc)
{
	audit_log_forget(log);
	wal_close(&t->wal);
	if (t->has_folder && rc != IM_EIO)
		(void)!turn_remove_unused(log->params.ops, t->dir,
					  NULL); /* else the next start does */
}

/* End the shard and go on in a new one, whose key is 'key'. */
static enum im_rc
make_turn(struct audit_log *log, const struct note_signer *key, const char *actor,
	  uint64_t *ret_number, struct im_err *err)
{
	struct publisher *p = &log->publisher;
	bool running = p->running;
	struct turn t = { .wal = { .fd = -1 } };
	enum im_rc rc;

	assert(audit_log_idle(log) && log->ended == NULL);
	rc = log->dead.rc;
	if (rc != IM_OK)
		*err = log->dead;
	if (rc == IM_OK)
		rc = name_shard(log, key, &t, err);
	if (rc == IM_OK)
		rc = put_last(log, &t, actor, ret_number, err);
	if (rc == IM_OK)
		rc = put_first(log, &t, err);
	if (rc == IM_OK)
		rc = take_memory(&t, err);
	if (rc == IM_OK)
		rc = make_folder(log, &t, err);
	/* Who sees that the shard has ended must find the next one: so its end is not published by the way. */
	if (rc == IM_OK)
		publisher_stop(p);
	if (rc == IM_OK && publisher_trouble(p, err) == IM_EIO)
		rc = IM_EIO;
	if (rc == IM_OK)
		rc = audit_log_commit(log, true, err);
	if (rc == IM_OK) {
		go_over(log, &t);
		rc = turn_end(log, err);
		if (rc != IM_EIO)
			rc = IM_OK; /* it is tried again */
	} else {
		go_back(log, &t, rc);
	}
	if (rc == IM_EIO && log->dead.rc == IM_OK)
		log->dead = *err;
	turn_done(&t);
	if (running && !p->running && rc != IM_EIO && publisher_start(p, err) != IM_OK)
		rc =
		    IM_EIO; /* without a thread nothing is published any more: only a new start helps */
	return rc;
}

bool
audit_log_turn_due(const struct audit_log *log)
{
	if (log->turn_us == UINT64_MAX && log->ended == NULL)
		return false;
	return audit_log_time(log) >= (log->ended != NULL ? log->ended->retry_us : log->turn_us);
}

/* Say once that it fails, and once that it does no more. */
static void
tell(struct audit_log *log, bool ending, enum im_rc rc, const struct im_err *err)
{
	if (rc != IM_OK && !log->turn_failing && ending)
		log_warn("the shard that has ended cannot be published to its end",
			 LOG_STR("error.message", err->text));
	else if (rc != IM_OK && !log->turn_failing)
		log_warn("the audit log cannot go on in a new shard; it goes on in the old one",
			 LOG_STR("error.message", err->text));
	else if (rc == IM_OK && log->turn_failing)
		log_info("the audit log has gone on in a new shard",
			 LOG_STR("infermesh.audit.origin", log->shard.signer.name));
	log->turn_failing = rc != IM_OK;
}

enum im_rc
audit_log_turn(struct audit_log *log, struct im_err *err)
{
	uint64_t number;
	enum im_rc rc;

	if (log->ended != NULL) {
		rc = turn_end(log, err);
		tell(log, true, rc, err);
		if (rc == IM_EIO)
			log->dead = *err;
		return rc;
	}
	rc = make_turn(log, &log->shard.signer, NULL, &number, err);
	tell(log, false, rc, err);
	if (rc != IM_OK)
		log->turn_us = audit_log_time(log) + TURN_RETRY_US;
	return rc;
}

/* A disk that lies about the key file does so about the log. */
static enum im_rc
key_failed(struct audit_log *log, enum im_rc rc, const struct im_err *err)
{
	if (rc == IM_EIO && log->dead.rc == IM_OK)
		log->dead = *err;
	return rc;
}

enum im_rc
audit_log_rotate(struct audit_log *log, const char *actor, struct audit_rotated *ret,
		 struct im_err *err)
{
	const char *path = log->params.key_file;
	struct keyfile *keys = log->params.keys;
	char name[SHARD_NAME_MAX], origin[NOTE_NAME_MAX + SHARD_NAME_MAX + 2];
	struct im_err why;
	uint64_t number;
	enum im_rc rc = IM_OK;

	if (path == NULL)
		return err_set(err, IM_EINVAL, "there is no key file");
	if (log->ended != NULL)
		return err_set(
		    err, IM_EEXIST,
		    "the shard before this one is not all published yet: try again in a minute");
	if (!shard_name_next(log->shard.name, audit_log_time(log), name))
		return err_set(err, IM_EINVAL, "no name is left for a shard after %s",
			       log->shard.name);
	(void)snprintf(origin, sizeof(origin), "%s/%s", log->origin, name);
	/* First what a rotation that failed has left. */
	rc = keyfile_settle(log->params.ops, path, log->shard.verifier.pub, keys, err);
	if (rc == IM_OK)
		rc = keyfile_add(log->params.ops, path, origin, keys, err);
	if (rc != IM_OK)
		return key_failed(log, rc, err);
	rc = make_turn(log, &keys->spare, actor, &number, err);
	if (rc == IM_OK) {
		ret->number = number;
		memcpy(ret->origin, log->shard.signer.name, sizeof(ret->origin));
		note_signer_vkey(&log->shard.signer, ret->vkey);
	} else if (rc != IM_EIO && keyfile_settle(log->params.ops, path, log->shard.verifier.pub,
						  keys, &why) == IM_EIO) {
		*err = why; /* else the next rotation does it, or the next start */
		rc = key_failed(log, IM_EIO, err);
	}
	return rc;
}
