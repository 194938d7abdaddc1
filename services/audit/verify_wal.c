/*
 * audit/verify_wal.c - the write-ahead log behind the tiles of one shard; see verify_shard.h.
 */
#include <inttypes.h>
#include <string.h>

#include "audit/verify_shard.h"
#include "audit/wal.h"

static bool
frame_fits(const struct wal_frame *f, const struct note_verifier *key)
{
	struct checkpoint cp;

	return checkpoint_open(f->checkpoint, f->checkpoint_len, key, &cp, NULL) == IM_OK &&
	       cp.size == f->first + f->count && tlog_equal(&cp.root, &f->root);
}

static bool
frame_trusted(void *user, const struct wal_frame *f)
{
	const struct verify *v = user;

	return frame_fits(f, v->key);
}

bool
verify_grown(const struct verify *v)
{
	struct buf text = { 0 };
	struct checkpoint now;
	bool grown = source_checkpoint(v->source, v->key, &text, &now, NULL) == IM_OK &&
		     now.size > v->published;

	buf_done(&text);
	return grown;
}

/* A frame whose beginning we do not have: damage, unless the service published and recycled meanwhile. */
static enum im_rc
frame_gap(struct verify *v, const struct wal_frame *f, const char *where)
{
	v->wal_over = verify_grown(v);
	if (!v->wal_over) {
		verify_problem(v->report,
			       "%s: the frame begins at record %" PRIu64
			       ", but the log ends at %" PRIu64,
			       where, f->first, v->edge.range.size);
		v->wal_over = true;
	}
	return IM_OK;
}

static enum im_rc
on_frame(void *user, const struct wal_frame *f, const char *where, struct im_err *err)
{
	struct verify *v = user;
	struct bundle_iter it = { f->records, f->records_len };
	uint64_t end = f->first + f->count;
	const uint8_t *entry;
	struct hash root;
	size_t len;

	/* What the tiles hold is proved by them; a signature takes longer to check than all else. */
	if (!frame_fits(f, end < v->published ? NULL : v->key))
		verify_problem(
		    v->report,
		    "%s: the frame's checkpoint is not signed by this log or does not fit", where);
	v->wal_end = end;
	if (v->wal_over || end < v->published)
		return IM_OK;
	if (end > v->published) {
		if (f->first != v->edge.range.size)
			return frame_gap(v, f, where);
		for (uint64_t i = f->first; bundle_next(&it, &entry, &len); i++) {
			enum im_rc rc = verify_entry(v, i, entry, len, where, NULL, err);

			if (rc != IM_OK)
				return rc;
		}
		v->size = end;
	}
	tlog_range_root(&v->edge.range, &v->hasher, &root);
	if (!tlog_equal(&root, &f->root))
		verify_problem(v->report, "%s: the records do not have the root that was signed",
			       where);
	return IM_OK;
}

/* Did the shard end while we read? Its write-ahead log goes then, and its tiles have all. */
static bool
has_ended(struct verify *v)
{
	struct shard_link link;

	return shard_link_read(&v->hasher, v->source, v->key, &link, NULL) == IM_OK;
}

enum im_rc
verify_wal(struct verify *v)
{
	const struct wal_scan scan = { on_frame, frame_trusted, v, false };
	struct wal_found found = { 0 };
	struct im_err why;
	enum im_rc rc = wal_read(v->source->dir, &scan, &found, &why);
	bool bad = rc == IM_ECORRUPT || rc == IM_EIO;

	if (rc != IM_OK && !bad) {
		if (v->err != NULL)
			*v->err = why;
		return rc;
	}
	v->report->torn = v->report->torn || found.torn;
	if ((bad || v->wal_end < v->published) && has_ended(v))
		v->turned = true;
	else if (bad)
		verify_problem(v->report, "%s", why.text);
	else if (v->wal_end < v->published)
		verify_problem(v->report,
			       "wal: the write-ahead log ends at record %" PRIu64
			       ", but a checkpoint of %" PRIu64
			       " was published: the folder was rolled back or files are missing",
			       v->wal_end, v->published);
	return IM_OK;
}
