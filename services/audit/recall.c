/*
 * audit/recall.c - opening a log: what its newest records say of requests, erasures, deletions, and of the shard's end; see
 * log.h. Only fills memory, which is forgotten when recovery then finds that the records are not what was signed.
 */
#include <stdio.h>
#include <string.h>

#include "audit/log.h"

static enum im_rc
damaged(enum im_rc rc, struct im_err *err)
{
	if (rc != IM_ENOTFOUND && rc != IM_EPROTO)
		return rc;
	if (err != NULL)
		err->rc = IM_ECORRUPT;
	return IM_ECORRUPT;
}

static enum im_rc
remember(struct buf *list, const void *what, size_t len, struct im_err *err)
{
	return buf_append(list, what, len)
		   ? IM_OK
		   : err_set(err, IM_ENOMEM, "no memory to recover the log");
}

static enum im_rc
know_kind(struct audit_log *log, const struct record *r, uint64_t number, struct im_err *err)
{
	struct subject_erasure erasure = { .index = number };
	const struct known_prune prune = { r->prune, number };

	(void)snprintf(log->next_origin, sizeof(log->next_origin), "%s",
		       r->has_next ? r->next.origin : "");
	(void)snprintf(log->next_vkey, sizeof(log->next_vkey), "%s",
		       r->has_next ? r->next.vkey : "");
	if (r->kind == RECORD_ERASE && r->has_subject_key) {
		memcpy(erasure.id, r->subject_key, sizeof(erasure.id));
		return remember(&log->erasures, &erasure, sizeof(erasure), err);
	}
	return r->has_prune ? remember(&log->prunes, &prune, sizeof(prune), err) : IM_OK;
}

/* The next record: its time, its request if it has one, its kind. */
static enum im_rc
count_record(struct audit_log *log, const struct recall_bounds *bounds, const uint8_t *request_id,
	     enum record_kind kind, uint64_t log_time_us)
{
	log->log_time_us = log_time_us;
	log->begun_us = log->begun_us != 0 ? log->begun_us : log_time_us;
	return dedup_recall(&log->dedup, request_id, kind, log->shard.first + bounds->size);
}

static enum im_rc
know_record(struct audit_log *log, const struct recall_bounds *bounds, const uint8_t *entry,
	    size_t len, struct im_err *err)
{
	uint64_t number = log->dedup.next;
	bool begins_shard = number == log->shard.first && log->shard.ordinal > 0;
	struct arena arena = { 0 };
	struct record_glance glance;
	struct record r;
	enum im_rc rc;

	if (!begins_shard && record_glance(entry, len, &glance)) { /* nearly all of them */
		log->next_origin[0] = log->next_vkey[0] = '\0';
		return count_record(log, bounds, glance.request_id, glance.kind,
				    glance.log_time_us);
	}
	rc = record_decode(entry, len, &arena, &r, err);
	if (rc == IM_OK && begins_shard &&
	    (!r.has_previous || r.previous.first != number ||
	     r.previous.ordinal != log->shard.ordinal))
		rc = err_set(err, IM_EPROTO, "it does not begin the shard %s", log->shard.name);
	if (rc == IM_OK) {
		rc = count_record(log, bounds, r.has_request_id ? r.request_id : NULL, r.kind,
				  r.log_time_us);
		if (rc == IM_OK)
			rc = know_kind(log, &r, number, err);
	} else {
		err_prefix(err, "record %llu", (unsigned long long)number);
	}
	arena_done(&arena);
	return damaged(rc, err);
}

enum im_rc
audit_log_recall(struct audit_log *log, const struct recall_bounds *bounds, const uint8_t *data,
		 size_t data_len, struct im_err *err)
{
	struct bundle_iter it = { data, data_len };
	const uint8_t *entry;
	enum im_rc rc = IM_OK;
	size_t len;

	while (rc == IM_OK && bundle_next(&it, &entry, &len))
		rc = know_record(log, bounds, entry, len, err);
	return rc;
}

/* The bundles of one shard from index 'from' on, a bundle's first. */
static enum im_rc
recall_bundles(struct audit_log *log, const struct recall_bounds *bounds, const char *dir,
	       uint64_t from, uint64_t size, struct im_err *err)
{
	struct buf b = { 0 };
	enum im_rc rc = IM_OK;

	for (uint64_t at = from; at < size && rc == IM_OK; at += TILE_WIDTH) {
		struct tile t = { TILE_ENTRIES, 0, at / TILE_WIDTH };

		t.width = tile_width(size, TILE_ENTRIES, t.n);
		rc = store_read_tile(dir, &t, &b, err);
		if (rc == IM_OK)
			rc = audit_log_recall(log, bounds, b.data, b.len, err);
	}
	buf_done(&b);
	return damaged(rc, err);
}

/* Where to begin, so that all from there on is there: a number. */
static enum im_rc
begin(const struct audit_log *log, const struct shards *shards, const struct recall_bounds *bounds,
      uint64_t *ret, struct im_err *err)
{
	uint64_t first_kept = bounds->first_kept, published = bounds->published;
	uint64_t end = log->shard.first + bounds->size;
	uint64_t from = end > DEDUP_OPEN ? end - DEDUP_OPEN : 0;
	uint64_t kept = first_kept > 0 ? log->shard.first + first_kept : 0;
	enum im_rc rc = IM_OK;

	for (size_t i = 0; i < shards->count && shards->shard[i]->closed && rc == IM_OK; i++) {
		const struct shard *s = shards->shard[i];
		uint64_t first = 0;

		rc = store_first(s->source.dir, s->size, true, &first, err);
		if (first > 0 && s->first + first > kept)
			kept = s->first + first;
		if (from >= s->first && from < s->first + s->size)
			from -= (from - s->first) % TILE_WIDTH;
	}
	if (from > log->shard.first + published)
		from = log->shard.first + published;
	if (from >= log->shard.first)
		from -= (from - log->shard.first) % TILE_WIDTH;
	*ret = from < kept ? kept : from;
	return rc;
}

enum im_rc
audit_log_recall_shards(struct audit_log *log, const struct shards *shards,
			const struct recall_bounds *bounds, struct im_err *err)
{
	uint64_t from = 0;
	enum im_rc rc = IM_OK;

	if (log->dedup.recent == NULL) { /* else they were recalled before the turn */
		rc = begin(log, shards, bounds, &from, err);
		if (rc == IM_OK)
			rc = dedup_init(&log->dedup, from, err);
		for (size_t i = 0; i < shards->count && shards->shard[i]->closed && rc == IM_OK;
		     i++) {
			const struct shard *s = shards->shard[i];

			if (log->dedup.next < s->first + s->size)
				rc = recall_bundles(log, bounds, s->source.dir,
						    log->dedup.next - s->first, s->size, err);
		}
	}
	if (rc == IM_OK)
		rc = recall_bundles(log, bounds, log->shard.dir, log->dedup.next - log->shard.first,
				    bounds->published, err);
	return rc;
}
