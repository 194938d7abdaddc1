/*
 * audit/lifecycle.c - erasure and pruning; see lifecycle.h.
 */
#include "audit/lifecycle.h"

#include <assert.h>
#include <string.h>

#define OPERATORS "operators" /* the tenant whose callers they are */

/* Who did it, as in a ROUTE_CHANGE: a pseudonym among the operators. */
static void
name_actor(struct audit_log *log, const char *actor, struct record *r)
{
	const struct pseudonym_keys *keys = &log->params.keys->keys;

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
	name_actor(log, actor, &r);
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

/* log_time of the last entry of bundle 'n'. */
static enum im_rc
bundle_time(const struct audit_log *log, uint64_t n, struct buf *bundle, uint64_t *ret_us,
	    struct im_err *err)
{
	const struct tile t = { TILE_ENTRIES, TILE_WIDTH, n };
	struct arena arena = { 0 };
	struct bundle_iter it;
	const uint8_t *entry = NULL;
	struct record r;
	size_t len = 0;
	enum im_rc rc = store_read_tile(log->dir, &t, bundle, err);

	it = (struct bundle_iter){ bundle->data, bundle->len };
	while (rc == IM_OK && bundle_next(&it, &entry, &len))
		continue;
	if (rc == IM_OK)
		rc = record_decode(entry, len, &arena, &r, err);
	if (rc == IM_OK)
		*ret_us = r.log_time_us;
	else
		err_prefix(err, "bundle %llu", (unsigned long long)n);
	arena_done(&arena);
	return rc == IM_EPROTO || rc == IM_ENOTFOUND ? IM_ECORRUPT : rc;
}

/* How many bundles are older as a whole: their times never decrease, so halves will do. */
static enum im_rc
older_bundles(const struct audit_log *log, uint64_t low, uint64_t high, uint64_t before_us,
	      uint64_t *ret, struct im_err *err)
{
	struct buf bundle = { 0 };
	enum im_rc rc = IM_OK;

	while (low < high && rc == IM_OK) {
		uint64_t mid = low + (high - low) / 2, time_us = 0;

		rc = bundle_time(log, mid, &bundle, &time_us, err);
		if (time_us < before_us)
			low = mid + 1;
		else
			high = mid;
	}
	buf_done(&bundle);
	*ret = low;
	return rc;
}

enum im_rc
audit_log_prune(struct audit_log *log, uint64_t before_us, bool dry, const char *actor,
		struct audit_pruned *ret, struct im_err *err)
{
	struct record r = { .kind = RECORD_PRUNE, .has_prune = true };
	struct audit_pruned p = { .was = publisher_minimum(&log->publisher) };
	uint64_t bundles;
	enum im_rc rc;

	assert(audit_log_idle(log));
	rc = older_bundles(log, p.was / TILE_WIDTH,
			   publisher_published(&log->publisher) / TILE_WIDTH, before_us, &bundles,
			   err);
	if (rc != IM_OK)
		return rc;
	p.min_index = bundles * TILE_WIDTH;
	if (p.min_index > p.was && !dry) {
		r.prune =
		    (struct record_prune){ .min_index = p.min_index, .size = audit_log_size(log) };
		tlog_range_root(&log->range, &log->hasher, &r.prune.root);
		name_actor(log, actor, &r);
		rc = audit_log_put(log, &r, &p.index, err);
		if (rc == IM_OK)
			rc = audit_log_commit(log, true, err);
		if (rc != IM_OK)
			return rc;
		publisher_prune(&log->publisher, p.min_index, p.index);
	}
	*ret = p;
	return IM_OK;
}
