/*
 * audit/find.c - see find.h.
 *
 * The write-ahead log is read before the checkpoint: what the service moves from the one to the other meanwhile is then
 * seen at least once. The tiles are read from the right edge to the left, for people ask about what happened lately.
 */
#include "audit/find.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/disk.h"
#include "audit/shards.h"
#include "audit/wal.h"

struct search {
	const struct audit_source *source; /* one shard */
	uint64_t first;                    /* number of its first record */
	bool closed;                       /* it has ended: its last bundle may be pruned too */
	const uint8_t *id;
	struct audit_found *found;
	struct buf bundle;
};

/* Is it one of those that are looked for? 'r' is decoded then. */
static enum im_rc
decode_match(const struct search *s, uint64_t index, const uint8_t *entry, size_t len,
	     struct record *r, bool *ret_match, struct im_err *err)
{
	enum im_rc rc;

	*ret_match = false;
	/* The id's bytes stand in the entry as they are: spare the rest the decoding. */
	if (memmem(entry, len, s->id, RECORD_ID_BYTES) == NULL)
		return IM_OK;
	rc = record_decode(entry, len, &s->found->arena, r, err);
	if (rc != IM_OK) {
		err_prefix(err, "record %" PRIu64, index);
		return rc == IM_EPROTO ? IM_ECORRUPT : rc;
	}
	*ret_match = r->has_request_id && memcmp(r->request_id, s->id, RECORD_ID_BYTES) == 0;
	return IM_OK;
}

static enum im_rc
take_record(struct search *s, uint64_t index, const uint8_t *entry, size_t len, struct im_err *err)
{
	struct audit_found *f = s->found;
	struct record r;
	bool match;
	enum im_rc rc = decode_match(s, index, entry, len, &r, &match, err);

	if (rc != IM_OK || !match)
		return rc;
	if (r.kind == RECORD_REQUEST && !f->has_request) {
		f->has_request = true;
		f->request = r;
		f->request_index = s->first + index;
	} else if (record_is_terminal(r.kind) && !f->has_response) {
		f->has_response = true;
		f->response = r;
		f->response_index = s->first + index;
	}
	return IM_OK;
}

static enum im_rc
take_bundle(struct search *s, uint64_t first, const uint8_t *data, size_t len, struct im_err *err)
{
	struct bundle_iter it = { data, len };
	const uint8_t *entry;
	size_t entry_len;
	enum im_rc rc = IM_OK;

	for (uint64_t i = first; rc == IM_OK && bundle_next(&it, &entry, &entry_len); i++)
		rc = take_record(s, i, entry, entry_len, err);
	return rc;
}

static enum im_rc
on_frame(void *user, const struct wal_frame *f, const char *where, struct im_err *err)
{
	(void)where;
	return take_bundle(user, f->first, f->records, f->records_len, err);
}

/* Nobody's signature is asked for: see find.h. */
static bool
any_frame(void *user, const struct wal_frame *f)
{
	(void)user;
	(void)f;
	return true;
}

/* One bundle. A missing one was pruned, and all before it were: '*ret_end'. Whether that is so, verification tells. */
static enum im_rc
search_bundle(struct search *s, uint64_t size, uint64_t n, bool *ret_end, struct im_err *err)
{
	struct tile t = { TILE_ENTRIES, tile_width(size, TILE_ENTRIES, n), n };
	enum im_rc rc = source_tile(s->source, &t, &s->bundle, err);

	*ret_end = rc == IM_ENOTFOUND && (t.width == TILE_WIDTH || s->closed);
	if (rc == IM_OK)
		return take_bundle(s, n * TILE_WIDTH, s->bundle.data, s->bundle.len, err);
	return *ret_end ? IM_OK : rc == IM_ENOTFOUND ? IM_ECORRUPT : rc;
}

static enum im_rc
search_tiles(struct search *s, struct im_err *err)
{
	uint64_t size, n;
	bool end = false;
	enum im_rc rc = source_published(s->source, &size, err);

	if (rc != IM_OK)
		return rc;
	/* The REQUEST comes before its end: with it, all is found. */
	n = size / TILE_WIDTH + (size % TILE_WIDTH != 0);
	while (rc == IM_OK && !end && n-- > 0 && !s->found->has_request)
		rc = search_bundle(s, size, n, &end, err);
	return rc;
}

static enum im_rc
search_log(struct search *s, struct im_err *err)
{
	const struct wal_scan scan = { on_frame, any_frame, s, false };
	struct wal_found wal = { 0 };
	bool has_wal = source_exists(s->source, "wal");
	enum im_rc rc = IM_OK;

	if (s->source->dir != NULL && !has_wal && !source_exists(s->source, "checkpoint"))
		return err_set(err, IM_ENOTFOUND, "there is no audit log in %s", s->source->name);
	if (has_wal)
		rc = wal_read(s->source->dir, &scan, &wal, err);
	if (rc == IM_OK && !s->found->has_request)
		rc = search_tiles(s, err);
	buf_done(&s->bundle);
	return rc;
}

enum im_rc
audit_find(const struct audit_source *source, const uint8_t id[RECORD_ID_BYTES],
	   struct audit_found *ret, struct im_err *err)
{
	struct search s = { .id = id, .found = ret };
	struct shards shards = { 0 };
	enum im_rc rc;

	memset(ret, 0, sizeof(*ret));
	rc = shards_load(source, NULL, &shards, err);
	for (size_t i = shards.count; rc == IM_OK && i-- > 0 && !ret->has_request;) {
		s.source = &shards.shard[i]->source;
		s.first = shards.shard[i]->first;
		s.closed = shards.shard[i]->closed;
		rc = search_log(&s, err);
	}
	shards_done(&shards);
	if (rc == IM_OK && !ret->has_request && !ret->has_response)
		rc = err_set(err, IM_ENOTFOUND, "the log in %s has no record of this request",
			     source->name);
	return rc;
}

void
audit_found_done(struct audit_found *f)
{
	arena_done(&f->arena);
}

/* One entry, looked for in frames and bundles. */
struct pick {
	uint64_t index;
	struct buf *out;
	bool found;
};

static enum im_rc
pick_from(struct pick *p, uint64_t first, const uint8_t *data, size_t data_len, struct im_err *err)
{
	struct bundle_iter it = { data, data_len };
	const uint8_t *entry;
	size_t len;

	for (uint64_t i = first; !p->found && bundle_next(&it, &entry, &len); i++) {
		if (i != p->index)
			continue;
		if (!buf_append(p->out, entry, len))
			return err_set(err, IM_ENOMEM, "no memory for an entry");
		p->found = true;
	}
	return IM_OK;
}

static enum im_rc
pick_frame(void *user, const struct wal_frame *f, const char *where, struct im_err *err)
{
	(void)where;
	return pick_from(user, f->first, f->records, f->records_len, err);
}

static enum im_rc
pick_published(struct pick *p, const struct audit_source *source, struct im_err *err)
{
	struct buf bundle = { 0 };
	const uint8_t *entry;
	uint64_t size;
	size_t len;
	enum im_rc rc = source_published(source, &size, err);

	if (rc != IM_OK || p->index >= size)
		return rc;
	rc = source_entry(source, size, p->index, &bundle, &entry, &len, err);
	if (rc == IM_OK && !buf_append(p->out, entry, len))
		rc = err_set(err, IM_ENOMEM, "no memory for an entry");
	p->found = rc == IM_OK;
	buf_done(&bundle);
	return rc;
}

static enum im_rc
pick_entry(const struct audit_source *source, uint64_t index, struct buf *out, struct im_err *err)
{
	struct pick p = { .index = index, .out = out };
	const struct wal_scan scan = { pick_frame, any_frame, &p, false };
	bool has_wal = source_exists(source, "wal");
	struct wal_found wal;
	enum im_rc rc;

	if (source->dir != NULL && !has_wal && !source_exists(source, "checkpoint"))
		return err_set(err, IM_ENOTFOUND, "there is no audit log in %s", source->name);
	rc = pick_published(&p, source, err);
	if (rc == IM_OK && !p.found && has_wal)
		rc = wal_read(source->dir, &scan, &wal, err);
	if (rc == IM_OK && !p.found) /* the service may have published it meanwhile */
		rc = pick_published(&p, source, err);
	if (rc == IM_OK && !p.found)
		rc = err_set(err, IM_ENOTFOUND, "the log in %s has no record %" PRIu64,
			     source->name, index);
	return rc;
}

enum im_rc
audit_entry(const struct audit_source *source, uint64_t number, struct buf *out, struct im_err *err)
{
	struct shards shards;
	const struct shard *shard;
	uint64_t index;
	enum im_rc rc = shards_load(source, NULL, &shards, err);

	if (rc != IM_OK)
		return rc;
	shard = shards_at(&shards, number, &index);
	rc = pick_entry(&shard->source, index, out, err);
	shards_done(&shards);
	return rc;
}
