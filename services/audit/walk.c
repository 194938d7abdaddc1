/*
 * audit/walk.c - bundles and the write-ahead log behind them, as one row of records; see walk.h.
 */
#include "audit/walk.h"

#include <inttypes.h>
#include <string.h>

#include "audit/wal.h"

#define PROGRESS_BUNDLES 64
#define SNAPSHOT_TRIES   20

struct walk {
	const struct audit_walk *w;
	struct audit_walked *ret;
	struct arena arena;
	struct buf bundle;
	struct buf tail;   /* entries from ret->published on, as in a bundle */
	uint64_t tail_end; /* index after the last of them */
	bool moved_on;     /* the service published and recycled while we read */
	struct buf starts; /* where entries begin, for going backwards */
	uint64_t done, total;
};

static enum im_rc
on_frame(void *user, const struct wal_frame *f, const char *where, struct im_err *err)
{
	struct walk *k = user;
	struct bundle_iter it = { f->records, f->records_len };
	const uint8_t *entry;
	size_t len;

	(void)where;
	if (f->first > k->tail_end)
		k->moved_on = true;
	if (k->moved_on)
		return IM_OK;
	for (uint64_t i = f->first; bundle_next(&it, &entry, &len); i++) {
		if (i != k->tail_end)
			continue;
		if (!bundle_put(&k->tail, entry, len))
			return err_set(err, IM_ENOMEM, "no memory for unpublished records");
		k->tail_end++;
	}
	return IM_OK;
}

/* Nobody's signature is asked for: see walk.h. */
static bool
any_frame(void *user, const struct wal_frame *f)
{
	(void)user;
	(void)f;
	return true;
}

/* What is published, and what is behind it. */
static enum im_rc
snapshot(struct walk *k, struct im_err *err)
{
	const struct audit_source *source = k->w->source;
	const struct wal_scan scan = { on_frame, any_frame, k };
	bool has_wal = source_exists(source, "wal");
	enum im_rc rc = IM_OK;

	if (source->dir != NULL && !has_wal && !source_exists(source, "checkpoint"))
		return err_set(err, IM_ENOTFOUND, "there is no audit log in %s", source->name);
	for (int i = 0; i == 0 || (k->moved_on && i < SNAPSHOT_TRIES && rc == IM_OK); i++) {
		struct wal_found found;

		k->moved_on = false;
		buf_clear(&k->tail);
		rc = source_published(source, &k->ret->published, err);
		k->tail_end = k->ret->published;
		if (rc == IM_OK && has_wal)
			rc = wal_read(source->dir, &scan, &found, err);
	}
	if (rc == IM_OK && k->moved_on)
		rc =
		    err_set(err, IM_ECORRUPT,
			    "%s: the write-ahead log does not go on where the tiles end, at record "
			    "%" PRIu64 "; run 'infermesh audit verify'",
			    source->name, k->ret->published);
	k->ret->end = k->tail_end;
	return rc;
}

static enum im_rc
decode(struct walk *k, uint64_t index, const uint8_t *entry, size_t len, struct record *ret,
       struct im_err *err)
{
	enum im_rc rc = record_decode(entry, len, &k->arena, ret, err);

	if (rc != IM_OK)
		err_prefix(err, "%s: record %" PRIu64, k->w->source->name, index);
	if (rc == IM_EPROTO && err != NULL)
		err->rc = IM_ECORRUPT;
	return rc == IM_EPROTO ? IM_ECORRUPT : rc;
}

static enum im_rc
show(struct walk *k, uint64_t index, const uint8_t *entry, size_t len, bool *ret_end,
     struct im_err *err)
{
	const struct audit_walk *w = k->w;
	struct record r;
	enum im_rc rc;

	if (index < w->from || (w->to != 0 && index >= w->to)) {
		*ret_end = *ret_end || (w->backwards ? index < w->from : index >= w->from);
		return IM_OK;
	}
	rc = decode(k, index, entry, len, &r, err);
	if (rc == IM_OK && r.log_time_us < w->since_us)
		*ret_end = *ret_end || w->backwards;
	else if (rc == IM_OK && w->until_us != 0 && r.log_time_us >= w->until_us)
		*ret_end = *ret_end || !w->backwards;
	else if (rc == IM_OK)
		rc = w->record(w->user, index, &r, err);
	arena_done(&k->arena);
	return rc;
}

/* The entries at 'data', the first of which is 'first', in the walk's direction. '*ret_end': what comes then is of no interest. */
static enum im_rc
show_run(struct walk *k, uint64_t first, const struct buf *data, bool *ret_end, struct im_err *err)
{
	struct bundle_iter it = { data->data, data->len };
	const uint8_t *entry, **start;
	enum im_rc rc = IM_OK;
	uint64_t count = 0;
	size_t len;

	buf_clear(&k->starts);
	for (; rc == IM_OK && bundle_next(&it, &entry, &len); count++)
		if (k->w->backwards)
			(void)buf_append(&k->starts, &entry, sizeof(entry));
		else if (!*ret_end)
			rc = show(k, first + count, entry, len, ret_end, err);
	if (!buf_ok(&k->starts))
		return err_set(err, IM_ENOMEM, "no memory to walk over a log");
	start = (const uint8_t **)(void *)k->starts.data;
	while (k->w->backwards && count-- > 0 && rc == IM_OK && !*ret_end) {
		len = (size_t)start[count][-2] << 8 | start[count][-1];
		rc = show(k, first + count, start[count], len, ret_end, err);
	}
	return rc;
}

/* Read bundle 'n'. '*ret_there' is false if it was pruned. */
static enum im_rc
read_bundle(struct walk *k, uint64_t n, bool *ret_there, struct im_err *err)
{
	struct tile t = { TILE_ENTRIES, tile_width(k->ret->published, TILE_ENTRIES, n), n };
	enum im_rc rc = source_tile(k->w->source, &t, &k->bundle, err);

	*ret_there = rc == IM_OK;
	if (rc == IM_ENOTFOUND)
		return t.width == TILE_WIDTH
			   ? IM_OK
			   : (err != NULL ? (err->rc = IM_ECORRUPT) : IM_ECORRUPT);
	return rc;
}

/* Is bundle 'n' there, and its first record from before 'us' (0 = whenever)? What was pruned is from before everything. */
static enum im_rc
is_before(struct walk *k, uint64_t n, uint64_t us, bool *ret, struct im_err *err)
{
	struct bundle_iter it;
	const uint8_t *entry;
	struct record r;
	size_t len;
	enum im_rc rc = read_bundle(k, n, ret, err);

	*ret = !*ret;
	if (rc != IM_OK || *ret || us == 0)
		return rc;
	it = (struct bundle_iter){ k->bundle.data, k->bundle.len };
	(void)bundle_next(&it, &entry, &len); /* source_tile() has counted them */
	rc = decode(k, n * TILE_WIDTH, entry, len, &r, err);
	*ret = rc == IM_OK && r.log_time_us < us;
	arena_done(&k->arena);
	return rc;
}

/* The first bundle in [lo, hi) that is not before 'us'; hi if all are. */
static enum im_rc
first_not_before(struct walk *k, uint64_t lo, uint64_t hi, uint64_t us, uint64_t *ret,
		 struct im_err *err)
{
	enum im_rc rc = IM_OK;
	bool before;

	if (lo < hi && us == 0) { /* nearly always nothing was pruned */
		rc = is_before(k, lo, us, &before, err);
		if (rc == IM_OK && !before)
			hi = lo;
	}
	while (rc == IM_OK && lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		rc = is_before(k, mid, us, &before, err);
		if (before)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret = lo;
	return rc;
}

static enum im_rc
missing(const struct walk *k, uint64_t n, struct im_err *err)
{
	struct tile t = { TILE_ENTRIES, TILE_WIDTH, n };
	char path[TILE_PATH_MAX];

	tile_path(&t, path);
	return err_set(err, IM_ECORRUPT,
		       "%s/%s is missing; if old entries were not just pruned, 'infermesh audit "
		       "verify' says what is wrong",
		       k->w->source->name, path);
}

static enum im_rc
report(struct walk *k, struct im_err *err)
{
	k->done += TILE_WIDTH;
	if (k->w->progress != NULL && k->done / TILE_WIDTH % PROGRESS_BUNDLES == 1 &&
	    !k->w->progress(k->w->user, k->done - TILE_WIDTH, k->total))
		return err_set(err, IM_ECANCELED, "it was stopped");
	return IM_OK;
}

/* The bundles [lo, hi), none of which was pruned if we go forwards. */
static enum im_rc
show_bundles(struct walk *k, uint64_t lo, uint64_t hi, bool *ret_end, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	k->total = (hi - lo) * TILE_WIDTH;
	while (rc == IM_OK && lo < hi && !*ret_end) {
		uint64_t n = k->w->backwards ? --hi : lo++;
		bool there;

		rc = report(k, err);
		if (rc == IM_OK)
			rc = read_bundle(k, n, &there, err);
		if (rc != IM_OK)
			break;
		if (there) {
			rc = show_run(k, n * TILE_WIDTH, &k->bundle, ret_end, err);
		} else if (k->w->backwards) {
			k->ret->first = (n + 1) * TILE_WIDTH;
			*ret_end = true;
		} else {
			rc = missing(k, n, err);
		}
	}
	return rc;
}

static enum im_rc
walk_published(struct walk *k, bool *ret_end, struct im_err *err)
{
	const struct audit_walk *w = k->w;
	uint64_t lo, hi, end = k->ret->published, since;
	enum im_rc rc = IM_OK;

	if (w->to != 0 && w->to < end)
		end = w->to;
	hi = end / TILE_WIDTH + (end % TILE_WIDTH != 0);
	lo = w->from / TILE_WIDTH;
	if (lo >= hi)
		return IM_OK;
	if (w->backwards) {
		if (w->until_us != 0)
			rc = first_not_before(k, lo, hi, w->until_us, &hi, err);
		return rc == IM_OK ? show_bundles(k, lo, hi, ret_end, err) : rc;
	}
	rc = first_not_before(k, lo, hi, 0, &since, err);
	if (rc == IM_OK && since > lo)
		k->ret->first = since * TILE_WIDTH;
	lo = since;
	if (rc == IM_OK && w->since_us != 0)
		rc = first_not_before(k, lo, hi, w->since_us, &since, err);
	if (rc == IM_OK && w->since_us != 0 && since > lo)
		lo = since - 1; /* the bundle before may end after that time */
	return rc == IM_OK ? show_bundles(k, lo, hi, ret_end, err) : rc;
}

enum im_rc
audit_walk(const struct audit_walk *walk, struct audit_walked *ret, struct im_err *err)
{
	struct walk k = { .w = walk, .ret = ret };
	bool end = false;
	enum im_rc rc;

	*ret = (struct audit_walked){ 0 };
	rc = snapshot(&k, err);
	if (rc == IM_OK && walk->backwards)
		rc = show_run(&k, ret->published, &k.tail, &end, err);
	if (rc == IM_OK && !end)
		rc = walk_published(&k, &end, err);
	if (rc == IM_OK && !end && !walk->backwards)
		rc = show_run(&k, ret->published, &k.tail, &end, err);
	arena_done(&k.arena);
	buf_done(&k.bundle);
	buf_done(&k.tail);
	buf_done(&k.starts);
	return rc;
}
