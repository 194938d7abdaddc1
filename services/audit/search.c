/*
 * audit/search.c - searching a log, with an index that catches up or without; see search.h.
 *
 * The index holds what is published and therefore never changes. What is not published yet is read each time; it is at most what
 * came within the last seconds.
 */
#include "audit/search.h"

#include <inttypes.h>
#include <string.h>

#include "audit/search_index.h"
#include "audit/walk.h"

#define COMMIT_RECORDS 65536 /* of the index */

/* Who the pseudonym 'p' may be. */
static bool
is_one_of(const struct search_who *who, bool has, const uint8_t p[PSEUDONYM_BYTES])
{
	for (size_t i = 0; has && i < who->count; i++)
		if (memcmp(who->pseudonym[i], p, PSEUDONYM_BYTES) == 0)
			return true;
	return who->count == 0;
}

static bool
same_text(const char *want, const char *is)
{
	return want == NULL || (is != NULL && strcmp(want, is) == 0);
}

bool
search_matches(const struct search_filter *f, const struct record *r)
{
	return is_one_of(&f->caller, r->has_caller, r->caller) &&
	       is_one_of(&f->tenant, r->has_tenant, r->tenant) && r->log_time_us >= f->since_us &&
	       (f->until_us == 0 || r->log_time_us < f->until_us) &&
	       same_text(f->model, r->model) &&
	       same_text(f->worker, r->has_routing ? r->routing.worker : NULL) &&
	       (f->kind == 0 || f->kind == r->kind) &&
	       (f->outcome == OUTCOME_NONE || f->outcome == r->outcome) &&
	       (f->status_code == 0 || f->status_code == r->status_code);
}

struct run {
	const struct search *s;
	struct searched *ret;
	struct search_index *index;
	bool index_bad;   /* an error is the index's, and not the log's */
	uint64_t pending; /* records added to it and not committed */
	struct shards shards;
	uint64_t published;
	uint64_t below; /* what is left to be looked at: the records before this one */
	struct arena arena;
	struct buf bundle;               /* the last one that was read, */
	uint64_t first;                  /* and the number of its first entry, */
	uint64_t count;                  /* and how many it has; 0 = none was read */
	uint64_t pruned_from, pruned_to; /* these are gone */
	bool log_bad;                    /* that could not be read */
	bool stop;                       /* what is older is not wanted */
};

/* An answer of the index: is it the index that is no good? */
static enum im_rc
of_index(struct run *run, enum im_rc rc)
{
	run->index_bad = run->index_bad || rc == IM_ECORRUPT;
	return rc;
}

/* A record of the log that may match. IM_ECANCELED: enough. */
static enum im_rc
offer(struct run *run, uint64_t number, const struct record *r, struct im_err *err)
{
	const struct search *s = run->s;

	if (!search_matches(&s->filter, r))
		return IM_OK;
	if (s->limit != 0 && run->ret->hits == s->limit) {
		run->ret->more = run->stop = true;
		return err_set(err, IM_ECANCELED, "enough was found");
	}
	run->ret->hits++;
	return s->hit(s->user, number, r, err);
}

static enum im_rc
on_record(void *user, uint64_t index, const struct record *r, struct im_err *err)
{
	return offer(user, index, r, err);
}

static bool
on_progress(void *user, uint64_t done, uint64_t total)
{
	const struct run *run = user;

	return run->s->progress(run->s->user, done, total);
}

/* The records from 'from' to 'to' (0 = the end), backwards, all of them. */
static enum im_rc
scan(struct run *run, uint64_t from, uint64_t to, struct im_err *err)
{
	struct audit_walk walk = {
		.source = run->s->source,
		.backwards = true,
		.from = from,
		.to = to,
		.since_us = run->s->filter.since_us,
		.until_us = run->s->filter.until_us,
		.record = on_record,
		.progress = run->s->progress != NULL ? on_progress : NULL,
		.user = run,
	};
	struct audit_walked walked;
	enum im_rc rc = audit_walk(&walk, &walked, err);

	if (to == 0)
		run->ret->end = walked.end;
	return rc;
}

static enum im_rc
on_new_record(void *user, uint64_t index, const struct record *r, struct im_err *err)
{
	struct run *run = user;
	enum im_rc rc = of_index(run, search_index_add(run->index, index, r, err));

	if (rc == IM_OK && ++run->pending == COMMIT_RECORDS) {
		run->pending = 0;
		rc = of_index(run, search_index_commit(run->index, err));
	}
	return rc;
}

/* Make run->bundle the one that 'number' is in. IM_ENOTFOUND: it was pruned. */
static enum im_rc
read_bundle(struct run *run, uint64_t number, struct im_err *err)
{
	uint64_t at, size;
	const struct shard *shard = shards_at(&run->shards, number, &at);
	struct tile t = { TILE_ENTRIES, 0, at / TILE_WIDTH };
	enum im_rc rc;

	if (number - run->first < run->count)
		return IM_OK;
	run->count = 0;
	if (number >= run->pruned_from && number < run->pruned_to)
		return err_set(err, IM_ENOTFOUND, "record %" PRIu64 " was pruned", number);
	size = shard->closed ? shard->size : run->published - shard->first;
	t.width = tile_width(size, TILE_ENTRIES, t.n);
	rc = source_tile(&shard->source, &t, &run->bundle, err);
	if (rc == IM_OK) {
		run->first = number - at % TILE_WIDTH;
		run->count = t.width;
	} else if (rc == IM_ENOTFOUND) { /* and with it all before it in this shard */
		run->pruned_from = shard->first;
		run->pruned_to = number + 1;
	}
	return rc;
}

/* Entry 'number' of the log, below run->published. IM_ENOTFOUND: it was pruned. The record lives until run->arena goes. */
static enum im_rc
read_entry(struct run *run, uint64_t number, struct record *ret, struct im_err *err)
{
	struct bundle_iter it;
	const uint8_t *entry = NULL;
	size_t len = 0;
	enum im_rc rc = read_bundle(run, number, err);

	if (rc != IM_OK)
		return rc;
	it = (struct bundle_iter){ run->bundle.data, run->bundle.len };
	for (uint64_t i = run->first; i <= number; i++)
		(void)bundle_next(&it, &entry, &len); /* source_tile() has counted them */
	rc = record_decode(entry, len, &run->arena, ret, err);
	if (rc != IM_OK)
		err_prefix(err, "%s: record %" PRIu64, run->s->source->name, number);
	return rc;
}

/* Is the index one of this log? Its last record must be there. */
static enum im_rc
check_index(struct run *run, uint64_t end, const uint8_t blind[RECORD_BLIND_BYTES],
	    struct im_err *err)
{
	struct record r;
	enum im_rc rc = IM_OK;

	if (end == 0)
		return IM_OK;
	if (end <= run->published)
		rc = read_entry(run, end - 1, &r, err);
	if (end > run->published || rc == IM_ENOTFOUND ||
	    (rc == IM_OK && memcmp(r.blind, blind, RECORD_BLIND_BYTES) != 0))
		rc = of_index(
		    run,
		    err_set(err, IM_ECORRUPT,
			    "the search index is of another log, or of what was pruned since"));
	arena_done(&run->arena);
	return rc;
}

/* Take up what was published since the last time. */
static enum im_rc
catch_up(struct run *run, struct im_err *err)
{
	struct audit_walk walk = {
		.source = run->s->source,
		.record = on_new_record,
		.progress = run->s->progress != NULL ? on_progress : NULL,
		.user = run,
	};
	uint8_t blind[RECORD_BLIND_BYTES];
	struct audit_walked walked;
	enum im_rc rc = of_index(run, search_index_open(run->s->index, &run->index, err));

	if (rc == IM_OK)
		rc = of_index(run, search_index_end(run->index, &walk.from, blind, err));
	shards_done(&run->shards);
	if (rc == IM_OK) /* afterwards: somebody else may be adding what was just published */
		rc = shards_load(run->s->source, NULL, &run->shards, err);
	if (rc == IM_OK)
		rc = audit_published(&run->shards, &run->published, err);
	if (rc == IM_OK)
		rc = check_index(run, walk.from, blind, err);
	walk.to = run->published;
	if (rc == IM_OK && walk.from < walk.to)
		rc = audit_walk(&walk, &walked, err);
	if (rc == IM_OK)
		rc = of_index(run, search_index_commit(run->index, err));
	run->ret->indexed = run->below = run->published;
	return rc;
}

static enum im_rc
on_candidate(void *user, uint64_t index, struct im_err *err)
{
	struct run *run = user;
	struct record r;
	enum im_rc rc;

	if (index >= run->below)
		return err_set(err, IM_ECORRUPT,
			       "the search index names records that are not there");
	rc = read_entry(run, index, &r, err);
	run->log_bad = rc != IM_OK && rc != IM_ENOTFOUND;
	if (rc == IM_ENOTFOUND) {
		rc = IM_OK;
	} else if (rc == IM_OK && !search_matches(&run->s->filter, &r)) {
		rc = err_set(err, IM_ECORRUPT,
			     "the search index says of a record what the log does not");
	} else if (rc == IM_OK) {
		rc = offer(run, index, &r, err);
	}
	if (rc == IM_OK)
		run->below = index;
	arena_done(&run->arena);
	return rc;
}

/* The index is no good: it goes, and the next search makes a new one. */
static void
give_up_index(struct run *run, const struct im_err *why)
{
	search_index_close(run->index);
	run->index = NULL;
	run->index_bad = false;
	run->pending = 0;
	if (run->s->rebuilt != NULL)
		run->s->rebuilt(run->s->user, why->text);
	search_index_remove(run->s->index);
}

static enum im_rc
with_index(struct run *run, struct im_err *err)
{
	struct im_err why;
	enum im_rc rc = catch_up(run, &why);

	if (run->index_bad) {
		give_up_index(run, &why);
		rc = catch_up(run, &why);
	}
	if (rc == IM_OK)
		rc = scan(run, run->published, 0, &why);
	if (rc == IM_OK) {
		rc = search_index_query(run->index, &run->s->filter, on_candidate, run, &why);
		/* What it says from here on is not believed: the rest without it. */
		if (rc == IM_ECORRUPT && !run->log_bad) {
			give_up_index(run, &why);
			rc = run->below > 0 ? scan(run, 0, run->below, &why) : IM_OK;
		}
	}
	search_index_close(run->index);
	if (rc != IM_OK && err != NULL)
		*err = why;
	return rc;
}

enum im_rc
audit_search(const struct search *search, struct searched *ret, struct im_err *err)
{
	struct run run = { .s = search, .ret = ret };
	enum im_rc rc;

	*ret = (struct searched){ 0 };
	rc = search->index == NULL ? scan(&run, 0, 0, err) : with_index(&run, err);
	shards_done(&run.shards);
	buf_done(&run.bundle);
	arena_done(&run.arena);
	return rc == IM_ECANCELED && run.stop ? IM_OK : rc;
}
