/*
 * audit/lifecycle.c - erasure and pruning; see lifecycle.h.
 */
#include "audit/lifecycle.h"

#include <assert.h>
#include <string.h>

#include "audit/turn.h"

#define OPERATORS "operators" /* the tenant whose callers they are */

void
lifecycle_actor(struct audit_log *log, const char *actor, struct record *r)
{
	const struct pseudonym_keys *keys = &log->pseudonyms;

	if (actor == NULL)
		return;
	r->has_caller = r->has_tenant = true;
	pseudonym_make(&log->hasher, keys, OPERATORS, PSEUDONYM_CALLER, actor, r->caller);
	pseudonym_make(&log->hasher, keys, OPERATORS, PSEUDONYM_TENANT, OPERATORS, r->tenant);
}

enum im_rc
audit_log_record_erased(struct audit_log *log, const char *actor, struct im_err *err)
{
	struct record r = { .kind = RECORD_ERASE, .has_subject_key = true };
	enum im_rc rc = IM_OK;

	assert(audit_log_idle(log));
	lifecycle_actor(log, actor, &r);
	while (rc == IM_OK && subjects_unrecorded(&log->subjects, r.subject_key)) {
		uint64_t index;

		rc = audit_log_put(log, &r, &index, err);
		if (rc == IM_OK)
			rc = audit_log_commit(log, true, err);
		if (rc == IM_OK)
			rc = subjects_recorded(&log->subjects, r.subject_key, index, err);
	}
	return rc;
}

enum im_rc
audit_log_erase(struct audit_log *log, const char *tenant, const char *caller, const char *actor,
		struct audit_erased *ret, struct im_err *err)
{
	struct subject_slot slot;
	enum im_rc rc;

	assert(audit_log_idle(log));
	identities_done(&log->identities); /* they hold keys */
	rc = subjects_destroy(&log->subjects, &log->hasher, tenant, caller, &slot, err);
	if (rc == IM_OK) {
		*ret = (struct audit_erased){ .before = slot.state == SUBJECT_ERASED };
		rc = audit_log_record_erased(log, actor, err);
	}
	if (rc == IM_OK) /* again: now with the record's index */
		rc = subjects_destroy(&log->subjects, &log->hasher, tenant, caller, &slot, err);
	if (rc != IM_OK)
		return rc;
	memcpy(ret->key_id, slot.id, sizeof(ret->key_id));
	ret->index = slot.erase_plus - 1;
	return IM_OK;
}

/* log_time of the last entry of a bundle. */
static enum im_rc
bundle_time(const char *dir, const struct tile *t, struct buf *bundle, uint64_t *ret_us,
	    struct im_err *err)
{
	struct arena arena = { 0 };
	struct bundle_iter it;
	const uint8_t *entry = NULL;
	struct record r;
	size_t len = 0;
	enum im_rc rc = store_read_tile(dir, t, bundle, err);

	it = (struct bundle_iter){ bundle->data, bundle->len };
	while (rc == IM_OK && bundle_next(&it, &entry, &len))
		continue;
	if (rc == IM_OK)
		rc = record_decode(entry, len, &arena, &r, err);
	if (rc == IM_OK)
		*ret_us = r.log_time_us;
	else
		err_prefix(err, "%s, bundle %llu", dir, (unsigned long long)t->n);
	arena_done(&arena);
	return rc == IM_EPROTO || rc == IM_ENOTFOUND ? IM_ECORRUPT : rc;
}

/* A shard of which the entries below 'first' are gone, or are going to be, and those from 'end' on cannot go. */
struct prunable {
	const char *dir;
	uint64_t first, end;
};

/* Up to where all is older, in '*ret_min': bundles' times never decrease, so halves will do. */
static enum im_rc
older_entries(const struct prunable *s, uint64_t before_us, uint64_t *ret_min, struct im_err *err)
{
	uint64_t low = s->first / TILE_WIDTH;
	uint64_t high = s->end / TILE_WIDTH + (s->end % TILE_WIDTH != 0);
	struct buf bundle = { 0 };
	enum im_rc rc = IM_OK;

	while (low < high && rc == IM_OK) {
		uint64_t mid = low + (high - low) / 2, time_us = 0;
		const struct tile t = { TILE_ENTRIES, tile_width(s->end, TILE_ENTRIES, mid), mid };

		rc = bundle_time(s->dir, &t, &bundle, &time_us, err);
		if (time_us < before_us)
			low = mid + 1;
		else
			high = mid;
	}
	buf_done(&bundle);
	*ret_min = low * TILE_WIDTH < s->end ? low * TILE_WIDTH : s->end;
	return rc;
}

static enum im_rc
put_prune(struct audit_log *log, const struct record_prune *prune, const char *actor,
	  uint64_t *ret_number, struct im_err *err)
{
	struct record r = { .kind = RECORD_PRUNE, .has_prune = true, .prune = *prune };
	enum im_rc rc;

	lifecycle_actor(log, actor, &r);
	rc = audit_log_put(log, &r, ret_number, err);
	return rc == IM_OK ? audit_log_commit(log, true, err) : rc;
}

/* A call of audit_log_prune(). */
struct pruner {
	struct audit_log *log;
	const struct shards *shards;
	uint64_t before_us;
	bool dry;
	const char *actor;
	struct audit_pruned result;
	bool any; /* result.was is set */
};

/* One shard. '*ret_whole': nothing is left of it, so the next one is looked at. */
static enum im_rc
prune_shard(struct pruner *p, const struct prunable *s, struct record_prune *prune, bool *ret_whole,
	    struct im_err *err)
{
	struct audit_log *log = p->log;
	uint64_t shard = log->shard.first;
	enum im_rc rc = older_entries(s, p->before_us, &prune->min_index, err);

	*ret_whole = prune->min_index == s->end;
	if (rc != IM_OK)
		return rc;
	if (!p->any)
		p->result.was = prune->first + s->first;
	p->any = true;
	p->result.min_index = prune->first + prune->min_index;
	if (prune->min_index == s->first || p->dry)
		return IM_OK;
	rc = put_prune(log, prune, p->actor, &p->result.index, err);
	if (rc == IM_OK && prune->first == shard)
		publisher_prune(&log->publisher, prune->min_index, p->result.index - shard);
	else if (rc == IM_OK)
		rc = turn_prune_older(log, p->shards, prune, p->result.index - shard + 1, err);
	return rc;
}

static enum im_rc
prune_all(struct pruner *p, struct im_err *err)
{
	struct audit_log *log = p->log;
	struct publisher *publisher = &log->publisher;
	struct prunable open = { log->shard.dir, publisher_minimum(publisher), 0 };
	struct record_prune prune = { .size = log->range.size, .first = log->shard.first };
	enum im_rc rc = IM_OK;
	bool whole = true;

	for (size_t i = 0; i < p->shards->count && p->shards->shard[i]->closed; i++) {
		const struct shard *s = p->shards->shard[i];
		struct prunable closed = { s->source.dir, 0, s->size };
		struct record_prune of = { .size = s->size, .root = s->root, .first = s->first };

		rc = store_first(closed.dir, s->size, true, &closed.first, err);
		publisher_pending(publisher, closed.dir, &closed.first);
		if (rc == IM_OK && closed.first < s->size)
			rc = prune_shard(p, &closed, &of, &whole, err);
		if (rc != IM_OK || !whole)
			return rc;
	}
	if (log->ended != NULL && log->ended->store.ops != NULL)
		return IM_OK; /* its turn comes when all of it is published */
	/* Whole bundles alone: the last one still grows. */
	open.end = publisher_published(publisher);
	open.end -= open.end % TILE_WIDTH;
	if (open.end < open.first)
		open.end = open.first;
	prune.size = log->range.size;
	tlog_range_root(&log->range, &log->hasher, &prune.root);
	return prune_shard(p, &open, &prune, &whole, err);
}

enum im_rc
audit_log_prune(struct audit_log *log, uint64_t before_us, bool dry, const char *actor,
		struct audit_pruned *ret, struct im_err *err)
{
	struct shards shards = { 0 };
	struct pruner p = {
		.log = log, .shards = &shards, .before_us = before_us, .dry = dry, .actor = actor
	};
	struct audit_source source;
	char vkey[NOTE_KEYTEXT_MAX];
	enum im_rc rc;

	assert(audit_log_idle(log));
	source_folder(&source, log->dir);
	keyfile_first_vkey(log->params.keys, vkey);
	rc = shards_load(&source, vkey, &shards, err);
	if (rc == IM_OK)
		rc = prune_all(&p, err);
	shards_done(&shards);
	if (rc == IM_OK)
		*ret = p.result;
	return rc;
}
