/*
 * audit/shards.c - from each shard to the next by its last record; see shards.h.
 */
#include "audit/shards.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/proof_file.h"
#include "audit/record.h"

/* At most 'max' digits; moves along. */
static bool
take_digits(const char **at, size_t max, unsigned *ret)
{
	size_t len = strspn(*at, "0123456789");

	if (len == 0 || len > max)
		return false;
	*ret = (unsigned)strtoul(*at, NULL, 10);
	*at += len;
	return true;
}

/* "2027h1-" and a number without leading zeros; '*ret_half' counts half-years. */
static bool
name_parse(const char *name, unsigned *ret_half, unsigned *ret_number)
{
	unsigned year, half, number;
	const char *at = name;
	char again[SHARD_NAME_MAX + 32];

	if (!take_digits(&at, 4, &year) || *at++ != 'h' || !take_digits(&at, 1, &half) ||
	    *at++ != '-' || !take_digits(&at, 5, &number) || *at != '\0' || half < 1 || half > 2 ||
	    number < 1)
		return false;
	(void)snprintf(again, sizeof(again), "%04uh%u-%u", year, half, number);
	*ret_half = 2 * year + half - 1;
	*ret_number = number;
	return strcmp(again, name) == 0;
}

bool
shard_name_ok(const char *name)
{
	unsigned half, number;

	return name_parse(name, &half, &number);
}

const char *
shard_name_of(const char *first_origin, const char *origin)
{
	size_t len = strlen(first_origin);

	if (strncmp(first_origin, origin, len) != 0 || origin[len] != '/' ||
	    !shard_name_ok(origin + len + 1))
		return NULL;
	return origin + len + 1;
}

const char *
shard_path_split(const char *path, char ret_name[SHARD_NAME_MAX])
{
	size_t len = strcspn(path, "/");

	if (path[len] == '/' && len < SHARD_NAME_MAX) {
		(void)snprintf(ret_name, SHARD_NAME_MAX, "%.*s", (int)len, path);
		if (shard_name_ok(ret_name))
			return path + len + 1;
	}
	ret_name[0] = '\0';
	return path;
}

static unsigned
half_of(uint64_t us)
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm = { 0 };

	(void)gmtime_r(&s, &tm);
	return 2 * (unsigned)(tm.tm_year + 1900) + (tm.tm_mon >= 6);
}

bool
shard_name_next(const char *previous, uint64_t us, char ret[SHARD_NAME_MAX])
{
	unsigned half = half_of(us), was_half, was_number, number = 1;

	/* log_time never decreases, so names only grow. */
	if (name_parse(previous, &was_half, &was_number) && was_half >= half) {
		half = was_half;
		number = was_number + 1;
	}
	return snprintf(ret, SHARD_NAME_MAX, "%04uh%u-%u", half / 2, half % 2 + 1, number) <
		   SHARD_NAME_MAX &&
	       shard_name_ok(ret);
}

static uint64_t
half_begin_us(unsigned half)
{
	struct tm tm = { .tm_year = (int)(half / 2) - 1900,
			 .tm_mon = half % 2 == 1 ? 6 : 0,
			 .tm_mday = 1 };

	return (uint64_t)timegm(&tm) * 1000000;
}

uint64_t
shard_half_year_end(uint64_t us)
{
	return half_begin_us(half_of(us) + 1);
}

bool
shard_name_end(const char *name, uint64_t *ret_us)
{
	unsigned half, number;

	if (!name_parse(name, &half, &number))
		return false;
	*ret_us = half_begin_us(half + 1);
	return true;
}

static enum im_rc
read_below(const struct audit_source *s, const char *path, size_t max, struct buf *out,
	   struct im_err *err)
{
	const struct shard *shard = s->user;
	char below[SHARD_NAME_MAX + TILE_PATH_MAX];

	if (snprintf(below, sizeof(below), "%s/%s", shard->name, path) >= (int)sizeof(below))
		return err_set(err, IM_EINVAL, "the path %s is too long", path);
	return shard->log->read(shard->log, below, max, out, err);
}

enum im_rc
shard_open(struct shard *ret, const struct audit_source *log, const char *name, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	*ret = (struct shard){ .log = log, .source = *log };
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	if (name[0] == '\0')
		return IM_OK;
	if (log->dir != NULL) {
		rc = disk_path(ret->path, log->dir, name, err);
		source_folder(&ret->source, ret->path);
	} else {
		(void)snprintf(ret->path, sizeof(ret->path), "%s/%s", log->name, name);
		ret->source = (struct audit_source){ read_below, ret, ret->path, NULL };
	}
	return rc;
}

/* Another one at the end of the list. */
static enum im_rc
add_shard(struct shards *s, const struct audit_source *log, const char *name,
	  struct shard **ret_shard, struct im_err *err)
{
	struct shard **grown = reallocarray(s->shard, s->count + 1, sizeof(struct shard *));

	if (grown != NULL)
		s->shard = grown;
	*ret_shard = grown != NULL ? malloc(sizeof(**ret_shard)) : NULL;
	if (*ret_shard == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the shards of the log");
	s->shard[s->count++] = *ret_shard;
	return shard_open(*ret_shard, log, name, err);
}

static enum im_rc
link_check(struct hasher *h, const struct proof_file *p, const struct note_verifier *key,
	   struct shard_link *ret, struct im_err *err)
{
	struct arena arena = { .max_bytes = (size_t)1024 * 1024 };
	struct note_verifier next = { 0 };
	struct checkpoint cp;
	struct record r;
	enum im_rc rc = proof_file_check(h, p, key, &cp, err);

	if (rc == IM_OK)
		rc = record_decode(p->entry, p->entry_len, &arena, &r, err);
	if (rc == IM_OK && (!r.has_next || p->index + 1 != cp.size))
		rc = err_set(err, IM_ECORRUPT, "it does not prove the end of a shard");
	if (rc == IM_OK) {
		ret->size = cp.size;
		ret->root = cp.root;
		(void)snprintf(ret->origin, sizeof(ret->origin), "%s", cp.origin);
		(void)snprintf(ret->next_origin, sizeof(ret->next_origin), "%s", r.next.origin);
		(void)snprintf(ret->next_vkey, sizeof(ret->next_vkey), "%s", r.next.vkey);
		rc = note_verifier_parse(r.next.vkey, &next, err);
	}
	if (rc == IM_OK && strcmp(next.name, ret->next_origin) != 0)
		rc = err_set(err, IM_ECORRUPT, "the next shard is %s, and the key of %s",
			     ret->next_origin, next.name);
	arena_done(&arena);
	return rc;
}

enum im_rc
shard_link_read(struct hasher *h, const struct audit_source *s, const struct note_verifier *key,
		struct shard_link *ret, struct im_err *err)
{
	struct proof_file p = { 0 };
	struct buf text = { 0 };
	enum im_rc rc = s->read(s, SHARD_NEXT, PROOF_FILE_MAX, &text, err);

	if (rc != IM_OK && rc != IM_ETOOBIG) {
		buf_done(&text);
		return rc;
	}
	if (rc == IM_OK)
		rc = proof_file_parse(buf_cstr(&text), text.len, &p, err);
	if (rc == IM_OK)
		rc = link_check(h, &p, key, ret, err);
	if (rc != IM_OK)
		err_prefix(err, SHARD_NEXT);
	if (rc == IM_EPROTO || rc == IM_ENOTFOUND || rc == IM_ETOOBIG || rc == IM_EINVAL)
		rc = IM_ECORRUPT;
	if (rc == IM_ECORRUPT && err != NULL)
		err->rc = rc;
	proof_file_done(&p);
	buf_done(&text);
	return rc;
}

/* The shard that 'last' names as its next. '*ret_more' is false when there is none below this log. */
static enum im_rc
follow(struct shards *s, struct hasher *h, const struct audit_source *log, bool *ret_more,
       struct im_err *err)
{
	struct shard *last, *next = NULL;
	struct note_verifier key = { 0 };
	struct shard_link link;
	const char *name;
	uint64_t number;
	enum im_rc rc = IM_OK;

	*ret_more = false;
	assert(s->shard != NULL && s->count > 0);
	last = s->shard[s->count - 1];
	if (last->vkey[0] != '\0')
		rc = note_verifier_parse(last->vkey, &key, err);
	if (rc == IM_OK)
		rc = shard_link_read(h, &last->source, last->vkey[0] != '\0' ? &key : NULL, &link,
				     err);
	if (rc == IM_ECORRUPT)
		err_prefix(err, "%s", last->source.name);
	if (rc != IM_OK)
		return rc == IM_ENOTFOUND ? IM_OK : rc;
	last->closed = true;
	last->size = link.size;
	last->root = link.root;
	memcpy(last->origin, link.origin, sizeof(last->origin));
	name = shard_name_of(s->shard[0]->origin, link.next_origin);
	if (name == NULL && s->count == 1) /* we were shown a later shard, by itself */
		return IM_OK;
	if (name == NULL || shards_named(s, name) != NULL || s->count == SHARDS_MAX ||
	    __builtin_add_overflow(last->first, last->size, &number))
		return err_set(err, IM_ECORRUPT,
			       "%s/" SHARD_NEXT " names '%s', which is no next shard",
			       last->source.name, link.next_origin);
	rc = add_shard(s, log, name, &next, err);
	if (rc != IM_OK)
		return rc;
	assert(next != NULL);
	next->first = number;
	memcpy(next->origin, link.next_origin, sizeof(next->origin));
	memcpy(next->vkey, link.next_vkey, sizeof(next->vkey));
	*ret_more = true;
	return IM_OK;
}

enum im_rc
shards_load(const struct audit_source *log, const char *vkey, struct shards *ret,
	    struct im_err *err)
{
	struct shards s = { 0 };
	struct hasher h = { 0 };
	struct shard *first;
	bool more = true;
	enum im_rc rc = hasher_init(&h, err);

	if (rc == IM_OK)
		rc = add_shard(&s, log, "", &first, err);
	if (rc == IM_OK && vkey != NULL)
		(void)snprintf(first->vkey, sizeof(first->vkey), "%s", vkey);
	while (rc == IM_OK && more)
		rc = follow(&s, &h, log, &more, err);
	hasher_done(&h);
	if (rc == IM_OK)
		*ret = s;
	else
		shards_done(&s);
	return rc;
}

void
shards_done(struct shards *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->shard[i]);
	free(s->shard);
	*s = (struct shards){ 0 };
}

const struct shard *
shards_at(const struct shards *s, uint64_t number, uint64_t *ret_index)
{
	size_t i = s->count - 1;

	while (i > 0 && number < s->shard[i]->first)
		i--;
	*ret_index = number - s->shard[i]->first;
	return s->shard[i];
}

const struct shard *
shards_named(const struct shards *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->shard[i]->name, name) == 0)
			return s->shard[i];
	return NULL;
}
