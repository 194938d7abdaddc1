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

#include "audit/checkpoint.h"
#include "audit/store.h"
#include "audit/wal.h"

struct search {
	const char *dir;
	const uint8_t *id;
	struct audit_found *found;
	struct buf bundle;
};

static enum im_rc
take_record(struct search *s, uint64_t index, const uint8_t *entry, size_t len, struct im_err *err)
{
	struct audit_found *f = s->found;
	struct record r;
	enum im_rc rc;

	/* Its 16 bytes stand in the entry as they are: spare the rest the decoding. */
	if (memmem(entry, len, s->id, RECORD_ID_BYTES) == NULL)
		return IM_OK;
	rc = record_decode(entry, len, &f->arena, &r, err);
	if (rc != IM_OK) {
		err_prefix(err, "record %" PRIu64, index);
		return rc == IM_EPROTO ? IM_ECORRUPT : rc;
	}
	if (!r.has_request_id || memcmp(r.request_id, s->id, RECORD_ID_BYTES) != 0)
		return IM_OK;
	if (r.kind == RECORD_REQUEST && !f->has_request) {
		f->has_request = true;
		f->request = r;
		f->request_index = index;
	} else if (record_is_terminal(r.kind) && !f->has_response) {
		f->has_response = true;
		f->response = r;
		f->response_index = index;
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

/* The size that the checkpoint file says; 0 = there is none yet. */
static enum im_rc
published_size(const char *dir, uint64_t *ret, struct im_err *err)
{
	struct buf text = { 0 };
	struct checkpoint cp = { .size = 0 };
	char path[DISK_PATH_MAX];
	enum im_rc rc = disk_path(path, dir, "checkpoint", err);

	if (rc == IM_OK)
		rc = disk_read(path, STORE_CHECKPOINT_MAX, &text, err);
	if (rc == IM_OK)
		rc = checkpoint_open(buf_cstr(&text), text.len, NULL, &cp, err);
	buf_done(&text);
	*ret = cp.size;
	return rc == IM_ENOTFOUND ? IM_OK : rc == IM_EPROTO ? IM_ECORRUPT : rc;
}

static enum im_rc
search_tiles(struct search *s, uint64_t size, struct im_err *err)
{
	uint64_t n = size / TILE_WIDTH + (size % TILE_WIDTH != 0);
	enum im_rc rc = IM_OK;

	/* The REQUEST comes before its end: with it, all is found. */
	while (rc == IM_OK && n-- > 0 && !s->found->has_request) {
		struct tile t = { TILE_ENTRIES, tile_width(size, TILE_ENTRIES, n), n };

		rc = store_read_tile(s->dir, &t, &s->bundle, err);
		if (rc == IM_OK)
			rc = take_bundle(s, n * TILE_WIDTH, s->bundle.data, s->bundle.len, err);
		else if (rc == IM_ENOTFOUND)
			rc = IM_ECORRUPT;
	}
	return rc;
}

static bool
exists(const char *dir, const char *name)
{
	char path[DISK_PATH_MAX];

	return disk_path(path, dir, name, NULL) == IM_OK && access(path, F_OK) == 0;
}

enum im_rc
audit_find(const char *dir, const uint8_t id[RECORD_ID_BYTES], struct audit_found *ret,
	   struct im_err *err)
{
	struct search s = { .dir = dir, .id = id, .found = ret };
	const struct wal_scan scan = { on_frame, any_frame, &s };
	struct wal_found wal = { 0 };
	uint64_t size = 0;
	enum im_rc rc = IM_OK;

	memset(ret, 0, sizeof(*ret));
	if (!exists(dir, "checkpoint") && !exists(dir, "wal"))
		return err_set(err, IM_ENOTFOUND, "there is no audit log in %s", dir);
	if (exists(dir, "wal"))
		rc = wal_read(dir, &scan, &wal, err);
	if (rc == IM_OK && !ret->has_request)
		rc = published_size(dir, &size, err);
	if (rc == IM_OK)
		rc = search_tiles(&s, size, err);
	buf_done(&s.bundle);
	if (rc == IM_OK && !ret->has_request && !ret->has_response)
		rc = err_set(err, IM_ENOTFOUND, "the log in %s has no record of this request", dir);
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
pick_published(struct pick *p, const char *dir, struct im_err *err)
{
	struct tile t = { TILE_ENTRIES, 0, p->index / TILE_WIDTH };
	struct buf bundle = { 0 };
	uint64_t size;
	enum im_rc rc = published_size(dir, &size, err);

	if (rc != IM_OK || p->index >= size)
		return rc;
	t.width = tile_width(size, TILE_ENTRIES, t.n);
	rc = store_read_tile(dir, &t, &bundle, err);
	if (rc == IM_OK)
		rc = pick_from(p, t.n * TILE_WIDTH, bundle.data, bundle.len, err);
	buf_done(&bundle);
	return rc;
}

enum im_rc
audit_entry(const char *dir, uint64_t index, struct buf *out, struct im_err *err)
{
	struct pick p = { .index = index, .out = out };
	const struct wal_scan scan = { pick_frame, any_frame, &p };
	struct wal_found wal;
	enum im_rc rc;

	if (!exists(dir, "checkpoint") && !exists(dir, "wal"))
		return err_set(err, IM_ENOTFOUND, "there is no audit log in %s", dir);
	rc = pick_published(&p, dir, err);
	if (rc == IM_OK && !p.found && exists(dir, "wal"))
		rc = wal_read(dir, &scan, &wal, err);
	if (rc == IM_OK && !p.found) /* the service may have published it meanwhile */
		rc = pick_published(&p, dir, err);
	if (rc == IM_OK && !p.found)
		rc = err_set(err, IM_ENOTFOUND, "the log in %s has no record %" PRIu64, dir, index);
	return rc;
}
