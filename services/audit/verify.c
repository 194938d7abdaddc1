/*
 * audit/verify.c - verification from shard to shard; see verify.h. Each one is looked at by verify_shard.c.
 */
#include "audit/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/disk.h"
#include "audit/verify_shard.h"

/* The walk over the shards. */
struct chain {
	struct verify v;
	const struct audit_source *log;
	const struct note_verifier *given; /* NULL = none */
	bool reached;                      /* the shard that it is of */
	struct note_verifier key;          /* of a shard after that, as the one before it says */
	struct shard *shard;               /* the present one; on the heap, for it is not moved */
	bool has_link, had_link;           /* after looking at the shard, and before that */
	bool has_wal;
	struct shard_link link;
	char next_origin[NOTE_NAME_MAX + 1], next_vkey[NOTE_KEYTEXT_MAX]; /* "" = there is none */
};

/* Another shard: its place, and room for it in the report. */
static enum im_rc
add_place(struct chain *c, const char *name, struct im_err *err)
{
	struct verify *v = &c->v;
	struct verify_place *grown = reallocarray(v->place, v->count + 1, sizeof(*grown));
	struct shard *shard = malloc(sizeof(*shard));

	if (grown != NULL)
		v->place = grown;
	if (grown == NULL || shard == NULL) {
		free(shard);
		return err_set(err, IM_ENOMEM, "no memory to verify the log");
	}
	v->place[v->count] = (struct verify_place){ .size = 0 };
	if (v->count > 0)
		v->place[v->count].first =
		    v->place[v->count - 1].first + v->place[v->count - 1].size;
	(void)snprintf(v->place[v->count].name, sizeof(v->place[0].name), "%s", name);
	(void)snprintf(v->place[v->count].origin, sizeof(v->place[0].origin), "%s", c->next_origin);
	v->count++;
	free(c->shard);
	c->shard = shard;
	v->source = &shard->source;
	v->report->within = v->place[v->count - 1].name;
	return shard_open(shard, c->log, name, err);
}

/* Which key this shard is checked with. */
static enum verify_trust
choose_key(struct chain *c)
{
	struct verify *v = &c->v;
	struct checkpoint cp = { .size = 0 };
	struct buf text = { 0 };

	v->key = NULL;
	if (v->count == 1 && c->given != NULL) {
		bool later = source_checkpoint(v->source, NULL, &text, &cp, NULL) == IM_OK &&
			     shard_name_of(cp.origin, c->given->name) != NULL;

		buf_done(&text);
		c->reached = !later;
		v->key = later ? NULL : (struct note_verifier *)c->given;
		return later ? VERIFY_PINNED : VERIFY_GIVEN;
	}
	if (c->given == NULL && v->count == 1)
		return VERIFY_UNSIGNED;
	if (c->given != NULL && !c->reached && strcmp(c->given->name, c->next_origin) == 0) {
		c->reached = true;
		v->key = (struct note_verifier *)c->given;
		if (memcmp(c->given->pub, c->key.pub, NOTE_KEY_BYTES) != 0)
			verify_problem(
			    v->report,
			    "the key that was given is not the one that the shard before names");
		return VERIFY_GIVEN;
	}
	if (c->given != NULL && !c->reached)
		return VERIFY_PINNED;
	v->key = &c->key;
	return c->given != NULL ? VERIFY_CHAINED : VERIFY_UNSIGNED;
}

/* The end of the shard, as its link says: read before the shard, and once more after it, for it may have ended meanwhile. */
static enum im_rc
read_link(struct chain *c, bool again)
{
	struct verify *v = &c->v;
	struct im_err why;
	enum im_rc rc = IM_OK;

	if (again && c->has_link)
		return IM_OK;
	c->has_wal = source_exists(v->source, "wal"); /* goes after the link has come */
	rc = shard_link_read(&v->hasher, v->source, v->key, &c->link, &why);
	c->has_link = rc == IM_OK;
	c->had_link = c->has_link && !again;
	if (rc == IM_ECORRUPT && !again)
		verify_problem(v->report, "%s", why.text);
	if (rc == IM_OK || rc == IM_ENOTFOUND || rc == IM_ECORRUPT)
		return IM_OK;
	if (v->err != NULL)
		*v->err = why;
	return rc;
}

/* Where the log goes on: the last record says it, or, if that was deleted, the link. */
static void
find_next(struct chain *c)
{
	struct verify *v = &c->v;
	const struct shard_link *link = &c->link;
	bool said = v->records.has_next && v->size > 0;

	c->next_origin[0] = '\0';
	if (said) {
		memcpy(c->next_origin, v->records.next_origin, sizeof(c->next_origin));
		memcpy(c->next_vkey, v->records.next_vkey, sizeof(c->next_vkey));
	}
	if (!c->has_link) {
		/* The service that is just ending the shard has not come to it yet. */
		if (said && !c->has_wal) {
			verify_problem(v->report,
				       SHARD_NEXT " is missing, but the shard has ended");
			v->turned = v->source->dir == NULL;
		}
		return;
	}
	if (link->size != v->size ||
	    (verify_place(v)->whole && !tlog_equal(&link->root, &verify_place(v)->root))) {
		verify_problem(v->report,
			       SHARD_NEXT " says that the shard ends at record %" PRIu64
					  " with another tree than there is",
			       link->size);
		v->turned = v->turned || !c->had_link;
	}
	if (said && (strcmp(c->next_origin, link->next_origin) != 0 ||
		     strcmp(c->next_vkey, link->next_vkey) != 0))
		verify_problem(v->report, SHARD_NEXT " does not say what the last record does");
	if (!said) {
		memcpy(c->next_origin, link->next_origin, sizeof(c->next_origin));
		memcpy(c->next_vkey, link->next_vkey, sizeof(c->next_vkey));
	}
}

/* The name of the next shard; NULL: there is none, or none that can be followed, which is noted. */
static const char *
next_name(struct chain *c)
{
	struct verify *v = &c->v;
	const char *name;

	if (c->next_origin[0] == '\0')
		return NULL;
	name = shard_name_of(v->place[0].origin, c->next_origin);
	if (name == NULL && v->count == 1 && v->ordinal > 0) {
		v->report->continues = true;
		return NULL;
	}
	for (size_t i = 0; name != NULL && i < v->count; i++)
		if (strcmp(v->place[i].name, name) == 0)
			name = NULL;
	if (name == NULL || v->count == SHARDS_MAX ||
	    note_verifier_parse(c->next_vkey, &c->key, NULL) != IM_OK ||
	    strcmp(c->key.name, c->next_origin) != 0) {
		verify_problem(v->report,
			       "the last record names '%s' with the key %s: that is no next shard",
			       c->next_origin, c->next_vkey);
		return NULL;
	}
	return name;
}

/* What the shard is goes into the report. */
static void
report_shard(struct chain *c, enum verify_trust trust)
{
	struct verify *v = &c->v;
	const struct verify_place *place = verify_place(v);
	struct verify_report *r = v->report;

	memcpy(r->origin, place->origin, sizeof(place->origin));
	r->published_size += v->published;
	r->size += v->size;
	if (r->shards < VERIFY_SHARDS_MAX) {
		struct verify_shard *s = &r->shard[r->shards];

		memcpy(s->name, place->name, sizeof(s->name));
		memcpy(s->origin, place->origin, sizeof(place->origin));
		s->first = place->first;
		s->size = place->size;
		s->root = place->root;
		s->trust = trust;
	}
	r->shards++;
}

/* One shard. '*ret_there' is false if it is missing, which is noted unless it is the first one. */
static enum im_rc
look_at(struct chain *c, struct im_err *err)
{
	struct verify *v = &c->v;
	enum verify_trust trust = choose_key(c);
	enum im_rc rc;

	memset(&v->edge, 0, sizeof(v->edge));
	v->published = v->size = v->wal_end = 0;
	v->wal_over = false;
	v->records.has_next = false;
	rc = read_link(c, false);
	if (rc != IM_OK)
		return rc;
	v->closed = c->has_link;
	rc = verify_shard(v);
	if (rc == IM_ENOTFOUND && v->count > 1) {
		verify_problem(v->report, "the log goes on in this shard, and it is missing");
		c->next_origin[0] = '\0';
		return err_set(err, IM_ENOTFOUND, "no more shards");
	}
	if (rc == IM_OK)
		rc = read_link(c, true);
	if (rc != IM_OK)
		return rc;
	report_shard(c, trust);
	find_next(c);
	return IM_OK;
}

/* All was read: were the entries that are missing at the beginning deleted by right? */
static void
check_missing(struct verify *v)
{
	char name[TILE_PATH_MAX];

	for (size_t i = 0; i < v->count; i++) {
		const struct verify_place *p = &v->place[i];
		uint64_t end =
		    v->records.unseen_end > p->first ? v->records.unseen_end - p->first : 0;
		uint64_t pruned;

		end = end < p->size ? end : p->size;
		if (i == 0 && v->ordinal > 0 && v->records.unseen_end == p->first)
			end = 0; /* the shards before are not looked at */
		pruned = end < p->prune_min ? end : p->prune_min;
		v->report->within = p->name;
		v->report->pruned += pruned;
		v->lost = v->lost || pruned < end;
		for (uint64_t at = pruned; at < end; at += TILE_WIDTH) {
			const struct tile t = { TILE_ENTRIES,
						tile_width(p->size, TILE_ENTRIES, at / TILE_WIDTH),
						at / TILE_WIDTH };

			tile_path(&t, name);
			verify_problem(v->report, "%s is missing, and no PRUNE record covers it",
				       name);
		}
	}
}

static enum im_rc
walk(struct chain *c, struct im_err *err)
{
	struct verify *v = &c->v;
	const char *name = "";
	bool more = true;
	enum im_rc rc = IM_OK;

	while (rc == IM_OK && more) {
		char next[SHARD_NAME_MAX];

		(void)snprintf(next, sizeof(next), "%s", name);
		rc = add_place(c, next, err);
		if (rc == IM_OK)
			rc = look_at(c, err);
		if (rc == IM_OK)
			name = next_name(c);
		more = rc == IM_OK && name != NULL;
	}
	if (rc == IM_ENOTFOUND && v->count > 1)
		rc = IM_OK;
	if (rc != IM_OK)
		return rc;
	check_missing(v);
	v->report->within = "";
	if (c->given != NULL && !c->reached)
		verify_problem(v->report, "no shard of this log is called %s, as the key is",
			       c->given->name);
	if (v->report->problems == 0)
		verify_seen_done(&v->seen);
	return IM_OK;
}

/* '*ret_again': it looks as if old entries were pruned while we read, or a shard ended, and a new try would tell. */
static enum im_rc
verify_once(const struct audit_source *source, const struct note_verifier *key,
	    const struct verify_options *options, struct verify_report *ret, bool *ret_again,
	    struct im_err *err)
{
	struct chain *c = calloc(1, sizeof(*c));
	struct verify *v;
	enum im_rc rc;

	if (c == NULL)
		return err_set(err, IM_ENOMEM, "no memory to verify the log");
	memset(ret, 0, sizeof(*ret));
	ret->within = "";
	ret->signature_checked = key != NULL;
	c->log = source;
	c->given = key;
	v = &c->v;
	v->options = options;
	v->report = ret;
	v->err = err;
	verify_records_init(&v->records, ret);
	rc = hasher_init(&v->hasher, err);
	if (rc == IM_OK)
		rc = verify_seen_init(&v->seen, options, ret, err);
	if (rc == IM_OK)
		rc = walk(c, err);
	if (rc == IM_OK)
		verify_records_end(&v->records, options->open_ids);
	*ret_again = rc == IM_OK && (v->turned || (v->lost && verify_grown(v)));
	ret->within = "";
	verify_records_done(&v->records);
	buf_done(&v->bundle);
	buf_done(&v->tile);
	buf_done(&v->other);
	hasher_done(&v->hasher);
	free(v->place);
	free(c->shard);
	free(c);
	return rc;
}

enum im_rc
audit_verify_source(const struct audit_source *source, const char *vkey,
		    const struct verify_options *options, struct verify_report *ret,
		    struct im_err *err)
{
	static const struct verify_options none;
	struct note_verifier key = { 0 };
	bool again = true;
	enum im_rc rc = IM_OK;

	memset(ret, 0, sizeof(*ret));
	options = options != NULL ? options : &none;
	if (vkey != NULL)
		rc = note_verifier_parse(vkey, &key, err);
	/* Once more at most: pruning is rare, and what was tampered with is still so. */
	for (int tries = 0; rc == IM_OK && again && tries < 2; tries++)
		rc = verify_once(source, vkey != NULL ? &key : NULL, options, ret, &again, err);
	if (rc == IM_OK && options->progress != NULL)
		(void)options->progress(options->user, ret->size, ret->size);
	return rc;
}

enum im_rc
audit_verify(const char *dir, const char *vkey, const struct verify_options *options,
	     struct verify_report *ret, struct im_err *err)
{
	struct audit_source folder;

	source_folder(&folder, dir);
	return audit_verify_source(&folder, vkey, options, ret, err);
}
