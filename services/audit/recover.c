/*
 * audit/recover.c - opening a log: what the checkpoint file says, what the tiles hold, what the write-ahead log adds; see
 * log.h. Refuses rather than repairs: only a torn tail, which was never acknowledged, is dropped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/crew.h"
#include "audit/log.h"
#include "audit/record.h"
#include "base/thread.h"

/* What a scan of the write-ahead log gathers. */
struct replay {
	struct audit_log *log;
	uint64_t published;
	uint64_t end;   /* after the last frame seen; 0 = none */
	uint64_t given; /* after the last frame that the crew was given */
	size_t given_bytes;
	struct crew crew; /* hashes them */
	struct list live; /* chunks that the tiles do not have, with the root that was signed */
	struct chunk *last_covered; /* the frame that ends at 'published' */
	uint64_t first;             /* entries below were pruned */
	struct store store;
	struct im_err recall, copy; /* what meanwhile() met */
	struct list gone;           /* of struct disk_gone: what was copied */
};

/* What is missing or malformed in a log that we wrote ourselves was damaged since. */
static enum im_rc
damaged(enum im_rc rc, struct im_err *err)
{
	if (rc != IM_ENOTFOUND && rc != IM_EPROTO && rc != IM_ETOOBIG)
		return rc;
	if (err != NULL)
		err->rc = IM_ECORRUPT;
	return IM_ECORRUPT;
}

/* Its records stay where they were read to; its leaf hashes are still to be computed. */
static struct chunk *
chunk_of(const struct wal_frame *f)
{
	struct chunk *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->first = f->first;
	c->count = f->count;
	c->root = f->root;
	c->records_len = f->records_len;
	c->home = bytes_ref(f->home);
	c->records = c->home->data + (f->records - f->home->data);
	c->leaf = malloc(f->count * sizeof(*c->leaf));
	c->checkpoint = calloc(1, f->checkpoint_len + 1);
	c->checkpoint_len = f->checkpoint_len;
	if (c->leaf == NULL || c->checkpoint == NULL) {
		chunk_free(c);
		return NULL;
	}
	memcpy(c->checkpoint, f->checkpoint, f->checkpoint_len);
	return c;
}

/* Does the frame's checkpoint say what the frame says? With 'v' its signature is checked too. */
static bool
frame_fits(const struct wal_frame *f, const struct note_verifier *v)
{
	struct checkpoint cp;

	return checkpoint_open(f->checkpoint, f->checkpoint_len, v, &cp, NULL) == IM_OK &&
	       cp.size == f->first + f->count && tlog_equal(&cp.root, &f->root);
}

static bool
frame_trusted(void *user, const struct wal_frame *f)
{
	const struct replay *r = user;

	return frame_fits(f, &r->log->shard.verifier);
}

/* What the crew has hashed becomes part of the tree, in order; with 'all' also what it has not hashed yet. */
static enum im_rc
take_hashed(struct replay *r, bool all, struct im_err *err)
{
	struct audit_log *log = r->log;
	enum im_rc rc = IM_OK;
	struct crew_job *j;
	struct hash root;

	while (rc == IM_OK && (j = crew_take(&r->crew, all)) != NULL) {
		tlog_range_join(&log->range, &log->hasher, j->piece, j->pieces);
		tlog_range_root(&log->range, &log->hasher, &root);
		if (!tlog_equal(&root, &j->chunk->root))
			rc = err_set(err, IM_ECORRUPT,
				     "%s: the records do not have the root that was signed",
				     j->where);
		crew_job_free(j);
	}
	return rc;
}

static enum im_rc
on_frame(void *user, const struct wal_frame *f, const char *where, struct im_err *err)
{
	struct replay *r = user;
	uint64_t end = f->first + f->count;
	struct chunk *c;
	enum im_rc rc;

	if (r->end != 0 && f->first != r->end)
		return err_set(err, IM_ECORRUPT, "%s: the frame begins at record %llu, not at %llu",
			       where, (unsigned long long)f->first, (unsigned long long)r->end);
	r->end = end;
	if (end < r->published)
		return IM_OK; /* the tiles have its records, and they were checked */
	/* Every root is recomputed, so the last frame's signature, checked at the end, vouches for all before it. */
	if (!frame_fits(f, NULL))
		return err_set(err, IM_ECORRUPT, "%s: the frame's checkpoint does not fit", where);
	if (end > r->published && f->first != r->given)
		return err_set(err, IM_ECORRUPT,
			       "%s: the frame begins at record %llu, but the log ends at %llu",
			       where, (unsigned long long)f->first, (unsigned long long)r->given);
	c = chunk_of(f);
	if (c == NULL)
		return err_set(err, IM_ENOMEM, "no memory to recover the log");
	if (end == r->published) {
		chunk_free(r->last_covered);
		r->last_covered = c;
		return IM_OK;
	}
	r->given = end;
	r->given_bytes += f->records_len;
	list_push_back(&r->live, &c->node);
	rc = crew_give(&r->crew, c, where, err);
	return rc == IM_OK ? take_hashed(r, false, err) : rc;
}

/* Sizes and text of the checkpoint file; size 0 when there is none yet. */
static enum im_rc
read_checkpoint(struct audit_log *log, struct checkpoint *ret, struct buf *text, struct im_err *err)
{
	char path[DISK_PATH_MAX];
	enum im_rc rc = disk_path(path, log->shard.dir, "checkpoint", err);

	if (rc != IM_OK)
		return rc;
	ret->size = 0;
	rc = disk_read(path, STORE_CHECKPOINT_MAX, text, err);
	if (rc == IM_ENOTFOUND)
		return IM_OK;
	if (rc == IM_OK)
		rc = checkpoint_open(buf_cstr(text), text->len, &log->shard.verifier, ret, err);
	if (rc != IM_OK)
		err_prefix(err, "%s", path);
	return damaged(rc, err);
}

static void
frame_of(const struct chunk *c, struct wal_frame *f)
{
	*f = (struct wal_frame){ .first = c->first,
				 .count = c->count,
				 .records = c->records,
				 .records_len = c->records_len,
				 .root = c->root,
				 .checkpoint = c->checkpoint,
				 .checkpoint_len = c->checkpoint_len,
				 .home = c->home };
}

/* A copy of what is still needed, for a new epoch. */
static enum im_rc
prepare_wal(struct audit_log *log, const struct replay *r, struct im_err *err)
{
	struct wal_frame *frames;
	size_t count = 0;
	enum im_rc rc;

	if (log->recovered.epoch == UINT32_MAX)
		return err_set(err, IM_ECORRUPT,
			       "the write-ahead log in %s has an impossible epoch", log->shard.dir);
	LIST_FOREACH (&r->live, c, struct chunk, node)
		count++;
	frames = calloc(count + 1, sizeof(*frames));
	if (frames == NULL)
		return err_set(err, IM_ENOMEM, "no memory to recover the log");
	count = 0;
	LIST_FOREACH (&r->live, c, struct chunk, node)
		frame_of(c, &frames[count++]);
	if (count == 0 && r->last_covered != NULL)
		frame_of(r->last_covered, &frames[count++]);
	rc = wal_prepare(&log->wal, log->params.ops, log->shard.dir, log->recovered.epoch + 1,
			 log->params.segment_bytes, frames, count, err);
	free(frames);
	return rc;
}

/* Keep the newest checkpoint's text: that of the last frame, or of the file, which was verified. */
static enum im_rc
keep_checkpoint(struct audit_log *log, const struct replay *r, struct buf *file, struct im_err *err)
{
	const char *text = buf_cstr(file);
	struct checkpoint cp;

	if (!list_empty(&r->live)) {
		enum im_rc rc;

		text = CONTAINER_OF(r->live.prev, struct chunk, node)->checkpoint;
		rc = checkpoint_open(text, strlen(text), &log->shard.verifier, &cp, err);
		if (rc != IM_OK) {
			err_prefix(err, "the last frame of the write-ahead log in %s",
				   log->shard.dir);
			return damaged(rc, err);
		}
	}
	log->checkpoint = strdup(text);
	if (log->checkpoint == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a checkpoint");
	log->checkpoint_len = strlen(log->checkpoint);
	return IM_OK;
}

/* Entries are given to tiles only when they are durable: a bundle that holds more than was recovered tells that checkpoint
 * and write-ahead log are older than it, or missing. */
static enum im_rc
check_rollback(const struct audit_log *log, struct im_err *err)
{
	uint64_t size = log->range.size;
	struct tile t = { TILE_ENTRIES, (unsigned)(size % TILE_WIDTH) + 1, size / TILE_WIDTH };
	enum im_rc rc = IM_OK;

	for (; t.width <= TILE_WIDTH && rc == IM_OK; t.width++) {
		char name[TILE_PATH_MAX], path[DISK_PATH_MAX];

		tile_path(&t, name);
		rc = disk_path(path, log->shard.dir, name, err);
		if (rc == IM_OK && access(path, F_OK) == 0)
			rc = err_set(
			    err, IM_ECORRUPT,
			    "the log in %s ends at record %llu, but %s holds later ones: the folder was rolled back or files "
			    "are missing; restore it from its newest copy",
			    log->shard.dir, (unsigned long long)size, name);
	}
	return rc;
}

/* What the records say, from shards that have ended to the last frame. */
static enum im_rc
recall(struct audit_log *log, const struct shards *shards, const struct replay *r,
       struct im_err *err)
{
	const struct recall_bounds bounds = { r->first, r->published, r->given };
	enum im_rc rc = audit_log_recall_shards(log, shards, &bounds, err);

	LIST_FOREACH (&r->live, c, struct chunk, node)
		if (rc == IM_OK)
			rc = audit_log_recall(log, &bounds, c->records, c->records_len, err);
	return rc;
}

static void *
run_copy(void *arg)
{
	struct replay *r = arg;

	r->copy.rc = prepare_wal(r->log, r, &r->copy);
	return NULL;
}

/*
 * While the crew hashes: what the records say, and their copy for a new epoch, which nobody sees yet. Both are kept only if the records
 * are what was signed, and only then it matters what went wrong here.
 */
static enum im_rc
meanwhile(struct audit_log *log, const struct shards *shards, struct replay *r, struct im_err *err)
{
	pthread_t copier;
	bool copies = r->given_bytes >= CREW_WORTH_BYTES && thread_start(&copier, run_copy, r) == 0;
	enum im_rc rc;

	r->recall.rc = recall(log, shards, r, &r->recall);
	rc = take_hashed(r, true, err);
	if (copies)
		(void)pthread_join(copier, NULL);
	else if (rc == IM_OK)
		(void)run_copy(r);
	return rc;
}

static enum im_rc
fails_with(const struct im_err *why, struct im_err *err)
{
	if (why->rc != IM_OK && err != NULL)
		*err = *why;
	return why->rc;
}

/* Finish erasures: a crash came before the note that an ERASE record was written, or an old copy of the keys was put back. */
static enum im_rc
replay_erasures(struct audit_log *log, struct im_err *err)
{
	enum im_rc rc =
	    subjects_replay(&log->subjects, (struct subject_erasure *)log->erasures.data,
			    log->erasures.len / sizeof(struct subject_erasure), &log->revived, err);

	buf_done(&log->erasures);
	return rc;
}

/* The new epoch counts from here on; but what has ended is not written any more. */
static enum im_rc
settle_wal(struct audit_log *log, struct replay *r, struct im_err *err)
{
	enum im_rc rc;

	if (log->next_origin[0] != '\0') {
		wal_close(&log->wal);
		return IM_OK;
	}
	rc = fails_with(&r->copy, err);
	if (rc == IM_OK)
		rc = wal_settle(&log->wal, err);
	if (rc == IM_OK)
		wal_remove_older(&log->wal, &r->gone);
	return rc;
}

static enum im_rc
replay_all(struct audit_log *log, const struct shards *shards, struct replay *r, struct buf *text,
	   struct im_err *err)
{
	const struct wal_scan scan = { on_frame, frame_trusted, r, true };
	struct checkpoint cp;
	enum im_rc rc;

	rc = read_checkpoint(log, &cp, text, err);
	if (rc != IM_OK)
		return rc;
	r->published = cp.size;
	rc = store_open(&r->store, log->params.ops, log->shard.dir, cp.size, &cp.root, err);
	if (rc != IM_OK)
		return damaged(rc, err);
	log->range = r->store.edge.range;
	r->given = log->range.size;
	rc = store_first(log->shard.dir, cp.size, false, &r->first, err);
	if (rc != IM_OK)
		return rc;
	rc = wal_read(log->shard.dir, &scan, &log->recovered, err);
	if (rc != IM_OK)
		return rc;
	rc = meanwhile(log, shards, r, err);
	if (rc != IM_OK)
		return rc;
	if (r->end < r->published)
		return err_set(
		    err, IM_ECORRUPT,
		    "the write-ahead log in %s ends at record %llu, but a checkpoint of %llu was published: the folder "
		    "was rolled back or files are missing; restore it from its newest copy",
		    log->shard.dir, (unsigned long long)r->end, (unsigned long long)r->published);
	rc = check_rollback(log, err);
	if (rc == IM_OK)
		rc = fails_with(&r->recall, err);
	if (rc == IM_OK)
		rc = replay_erasures(log, err);
	if (rc == IM_OK && log->shard.ordinal > 0 && log->range.size == 0)
		rc = err_set(
		    err, IM_ECORRUPT,
		    "the log goes on in %s, and there is nothing: restore the folder from its newest "
		    "copy",
		    log->shard.dir);
	if (rc == IM_OK)
		rc = keep_checkpoint(log, r, text, err);
	if (rc == IM_OK)
		rc = settle_wal(log, r, err);
	return rc;
}

/* Give the store to the publisher; the one that it had is of the shard that has ended. */
static enum im_rc
hand_over(struct audit_log *log, struct replay *r, struct im_err *err)
{
	if (log->has_publisher) {
		publisher_turn(&log->publisher, &r->store, log->shard.first, &log->ended->store,
			       &log->ended->chunks);
	} else {
		store_move(&log->publisher.store, &r->store);
		log->has_publisher = true;
		if (publisher_init(&log->publisher, log->params.publish_ms, log->params.fatal,
				   log->params.user, err) != IM_OK)
			return IM_ENOMEM;
		log->publisher.base = log->shard.first;
	}
	log->publisher.first = r->first;
	publisher_close(&log->publisher, &r->gone); /* freeing it takes a fifth of a start */
	return IM_OK;
}

enum im_rc
audit_log_recover(struct audit_log *log, const struct shards *shards, struct im_err *err)
{
	struct replay r = { .log = log };
	struct buf text = { 0 };
	struct list *node;
	enum im_rc rc;

	list_init(&r.live);
	list_init(&r.gone);
	crew_init(&r.crew, &log->hasher);
	rc = replay_all(log, shards, &r, &text, err);
	if (rc == IM_OK)
		rc = hand_over(log, &r, err);
	crew_done(&r.crew); /* before its chunks go */
	while ((node = list_pop_front(&r.live)) != NULL) {
		struct chunk *c = CONTAINER_OF(node, struct chunk, node);

		if (rc == IM_OK)
			publisher_push(&log->publisher, c);
		else
			chunk_free(c);
	}
	disk_gone_close(&r.gone);
	store_done(&r.store);
	chunk_free(r.last_covered);
	buf_done(&text);
	log->frame_time_us = log->log_time_us;
	return rc;
}
