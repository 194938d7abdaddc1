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
	const struct shard *shard; /* that we are in */
	uint64_t size;             /* its entries in tiles */
	uint64_t first; /* number of the first entry that is wanted and there; for progress */
	bool begun;
	struct arena arena;
	struct buf bundle;
	struct buf tail;   /* entries of the last shard that are not published, as in a bundle */
	uint64_t tail_end; /* its index after the last of them */
	bool moved_on;     /* the service published and recycled while we read */
	struct buf starts; /* where entries begin, for going backwards */
	unsigned bundles;  /* shown, for progress */
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

/* Entries of 's' in tiles. A shard that ended says its size, and all tiles are there. */
static enum im_rc
shard_published(const struct shard *s, uint64_t *ret, struct im_err *err)
{
	*ret = s->size;
	return s->closed ? IM_OK : source_published(&s->source, ret, err);
}

enum im_rc
audit_published(const struct shards *s, uint64_t *ret, struct im_err *err)
{
	const struct shard *last = s->shard[s->count - 1];
	enum im_rc rc = shard_published(last, ret, err);

	*ret += last->first;
	return rc;
}

/* What of the last shard is published, and what is behind it. */
static enum im_rc
snapshot(struct walk *k, const struct shard *last, struct im_err *err)
{
	const struct audit_source *source = &last->source;
	const struct wal_scan scan = { on_frame, any_frame, k, false };
	bool has_wal = !last->closed && source_exists(source, "wal");
	enum im_rc rc = IM_OK;

	if (source->dir != NULL && !last->closed && !has_wal &&
	    !source_exists(source, "checkpoint"))
		return err_set(err, IM_ENOTFOUND, "there is no audit log in %s", source->name);
	for (int i = 0; i == 0 || (k->moved_on && i < SNAPSHOT_TRIES && rc == IM_OK); i++) {
		struct wal_found found;

		k->moved_on = false;
		buf_clear(&k->tail);
		rc = shard_published(last, &k->size, err);
		k->tail_end = k->size;
		if (rc == IM_OK && has_wal)
			rc = wal_read(source->dir, &scan, &found, err);
	}
	if (rc == IM_OK && k->moved_on)
		rc =
		    err_set(err, IM_ECORRUPT,
			    "%s: the write-ahead log does not go on where the tiles end, at record "
			    "%" PRIu64 "; run 'infermesh audit verify'",
			    source->name, k->size);
	k->ret->published = last->first + k->size;
	k->ret->end = last->first + k->tail_end;
	return rc;
}

static enum im_rc
decode(struct walk *k, uint64_t number, const uint8_t *entry, size_t len, struct record *ret,
       struct im_err *err)
{
	enum im_rc rc = record_decode(entry, len, &k->arena, ret, err);

	if (rc != IM_OK)
		err_prefix(err, "%s: record %" PRIu64, k->w->source->name, number);
	if (rc == IM_EPROTO && err != NULL)
		err->rc = IM_ECORRUPT;
	return rc == IM_EPROTO ? IM_ECORRUPT : rc;
}

static enum im_rc
show(struct walk *k, uint64_t number, const uint8_t *entry, size_t len, bool *ret_end,
     struct im_err *err)
{
	const struct audit_walk *w = k->w;
	struct record r;
	enum im_rc rc;

	if (number < w->from || (w->to != 0 && number >= w->to)) {
		*ret_end = *ret_end || (w->backwards ? number < w->from : number >= w->from);
		return IM_OK;
	}
	rc = decode(k, number, entry, len, &r, err);
	if (rc == IM_OK && r.log_time_us < w->since_us)
		*ret_end = *ret_end || w->backwards;
	else if (rc == IM_OK && w->until_us != 0 && r.log_time_us >= w->until_us)
		*ret_end = *ret_end || !w->backwards;
	else if (rc == IM_OK)
		rc = w->record(w->user, number, &r, err);
	arena_done(&k->arena);
	return rc;
}

/* The entries at 'data', the first of which has the number 'first', in the walk's direction. '*ret_end': what comes then is of no interest. */
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
	struct tile t = { TILE_ENTRIES, tile_width(k->size, TILE_ENTRIES, n), n };
	enum im_rc rc = source_tile(&k->shard->source, &t, &k->bundle, err);

	*ret_there = rc == IM_OK;
	/* The last one of a shard that has ended may be pruned too. */
	if (rc == IM_ENOTFOUND && (t.width == TILE_WIDTH || k->shard->closed))
		return IM_OK;
	if (rc == IM_ENOTFOUND && err != NULL)
		err->rc = IM_ECORRUPT;
	return rc == IM_ENOTFOUND ? IM_ECORRUPT : rc;
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
	rc = decode(k, k->shard->first + n * TILE_WIDTH, entry, len, &r, err);
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

/* The bundles of this shard before 'n' are not there. */
static void
note_pruned(struct walk *k, uint64_t n)
{
	uint64_t index = n * TILE_WIDTH;
	uint64_t first = k->shard->first + (index < k->size ? index : k->size);

	if (first > k->ret->first)
		k->ret->first = first;
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
		       k->shard->source.name, path);
}

/* Tell how far we are: bundle 'n' comes next. */
static enum im_rc
report(struct walk *k, uint64_t n, struct im_err *err)
{
	const struct audit_walk *w = k->w;
	uint64_t number = k->shard->first + n * TILE_WIDTH, last = w->backwards ? w->from : w->to;

	if (last == 0 && !w->backwards)
		last = k->ret->published;
	if (!k->begun)
		k->first = number;
	k->begun = true;
	if (w->progress == NULL || k->bundles++ % PROGRESS_BUNDLES != 0)
		return IM_OK;
	if (w->backwards ? w->progress(w->user, k->first - number, k->first - last)
			 : w->progress(w->user, number - k->first, last - k->first))
		return IM_OK;
	return err_set(err, IM_ECANCELED, "it was stopped");
}

/* The bundles [lo, hi), none of which was pruned if we go forwards. */
static enum im_rc
show_bundles(struct walk *k, uint64_t lo, uint64_t hi, bool *ret_end, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	while (rc == IM_OK && lo < hi && !*ret_end) {
		uint64_t n = k->w->backwards ? --hi : lo++;
		bool there;

		rc = report(k, n, err);
		if (rc == IM_OK)
			rc = read_bundle(k, n, &there, err);
		if (rc != IM_OK)
			break;
		if (there) {
			rc =
			    show_run(k, k->shard->first + n * TILE_WIDTH, &k->bundle, ret_end, err);
		} else if (k->w->backwards) {
			note_pruned(k, n + 1);
			break; /* what is before it in this shard is gone too */
		} else {
			rc = missing(k, n, err);
		}
	}
	return rc;
}

/* The bundles of this shard, of which the entries [from, to) are wanted. */
static enum im_rc
walk_shard(struct walk *k, uint64_t from, uint64_t to, bool *ret_end, struct im_err *err)
{
	const struct audit_walk *w = k->w;
	uint64_t lo = from / TILE_WIDTH, hi = to / TILE_WIDTH + (to % TILE_WIDTH != 0), since;
	enum im_rc rc = IM_OK;

	if (w->backwards) {
		if (w->until_us != 0)
			rc = first_not_before(k, lo, hi, w->until_us, &hi, err);
		return rc == IM_OK ? show_bundles(k, lo, hi, ret_end, err) : rc;
	}
	rc = first_not_before(k, lo, hi, 0, &since, err);
	if (rc == IM_OK && since > lo)
		note_pruned(k, since);
	lo = since;
	if (rc == IM_OK && w->since_us != 0)
		rc = first_not_before(k, lo, hi, w->since_us, &since, err);
	if (rc == IM_OK && w->since_us != 0 && since > lo)
		lo = since - 1; /* the bundle before may end after that time */
	return rc == IM_OK ? show_bundles(k, lo, hi, ret_end, err) : rc;
}

static enum im_rc
walk_published(struct walk *k, const struct shards *s, bool *ret_end, struct im_err *err)
{
	const struct audit_walk *w = k->w;
	enum im_rc rc = IM_OK;

	for (size_t i = 0; rc == IM_OK && i < s->count && !*ret_end; i++) {
		const struct shard *shard = s->shard[w->backwards ? s->count - 1 - i : i];
		bool last = shard == s->shard[s->count - 1];
		uint64_t size = last ? k->ret->published - shard->first : shard->size;
		uint64_t from = w->from > shard->first ? w->from - shard->first : 0, to = size;

		if (w->to != 0 && w->to < shard->first + size)
			to = w->to > shard->first ? w->to - shard->first : 0;
		k->shard = shard;
		k->size = size;
		if (from < to)
			rc = walk_shard(k, from, to, ret_end, err);
	}
	return rc;
}

static enum im_rc
walk_all(struct walk *k, const struct shards *s, struct im_err *err)
{
	bool end = false;
	enum im_rc rc;

	k->shard = s->shard[s->count - 1];
	rc = snapshot(k, k->shard, err);
	if (rc == IM_OK && k->w->backwards)
		rc = show_run(k, k->ret->published, &k->tail, &end, err);
	if (rc == IM_OK && !end)
		rc = walk_published(k, s, &end, err);
	if (rc == IM_OK && !end && !k->w->backwards)
		rc = show_run(k, k->ret->published, &k->tail, &end, err);
	return rc;
}

enum im_rc
audit_walk(const struct audit_walk *walk, struct audit_walked *ret, struct im_err *err)
{
	struct walk k = { .w = walk, .ret = ret };
	struct shards shards;
	enum im_rc rc;

	*ret = (struct audit_walked){ 0 };
	rc = shards_load(walk->source, NULL, &shards, err);
	if (rc != IM_OK)
		return rc;
	rc = walk_all(&k, &shards, err);
	shards_done(&shards);
	arena_done(&k.arena);
	buf_done(&k.bundle);
	buf_done(&k.tail);
	buf_done(&k.starts);
	return rc;
}
