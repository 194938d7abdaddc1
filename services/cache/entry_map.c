/*
 * cache/entry_map.c - see entry_map.h. A hash table with chains; a binary heap knows who expires next.
 */
#define XXH_INLINE_ALL
#include "cache/entry_map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define BUCKETS_MIN    64                          /* a power of two */
#define OVERHEAD_BYTES (sizeof(struct entry) + 64) /* of one: heap, bucket, malloc() */

struct entry_map {
	struct entry_map_params with;
	struct entry **bucket;
	size_t buckets, count, bytes;
	struct entry **heap; /* the first one expires first */
	size_t heap_cap;
	uint64_t last_version;
};

static size_t
charge(size_t name_len, size_t cap)
{
	return OVERHEAD_BYTES + name_len + cap;
}

enum im_rc
entry_map_new(const struct entry_map_params *params, struct entry_map **ret, struct im_err *err)
{
	struct entry_map *m = calloc(1, sizeof(*m));

	if (m != NULL)
		m->bucket = calloc(BUCKETS_MIN, sizeof(struct entry *));
	if (m == NULL || m->bucket == NULL) {
		free(m);
		return err_set(err, IM_ENOMEM, "no memory for entries");
	}
	m->with = *params;
	m->buckets = BUCKETS_MIN;
	*ret = m;
	return IM_OK;
}

static void
entry_free(struct entry *e)
{
	free(e->value);
	free(e);
}

void
entry_map_free(struct entry_map *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->count; i++)
		entry_free(m->heap[i]);
	free(m->heap);
	free(m->bucket);
	free(m);
}

/* The heap. */

static void
heap_set(struct entry_map *m, size_t at, struct entry *e)
{
	m->heap[at] = e;
	e->heap_at = at;
}

static void
heap_move(struct entry_map *m, struct entry *e)
{
	size_t at = e->heap_at;

	while (at > 0 && m->heap[(at - 1) / 2]->expires_us > e->expires_us) {
		heap_set(m, at, m->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (size_t child; (child = 2 * at + 1) < m->count; at = child) {
		if (child + 1 < m->count &&
		    m->heap[child + 1]->expires_us < m->heap[child]->expires_us)
			child++;
		if (m->heap[child]->expires_us >= e->expires_us)
			break;
		heap_set(m, at, m->heap[child]);
	}
	heap_set(m, at, e);
}

/* The table. */

static struct entry **
place(const struct entry_map *m, uint64_t hash, const uint8_t *name, size_t len)
{
	struct entry **at = &m->bucket[hash & (m->buckets - 1)];

	while (*at != NULL && ((*at)->hash != hash || (*at)->name_len != len ||
			       memcmp((*at)->name, name, len) != 0))
		at = &(*at)->next;
	return at;
}

static void
unlink_entry(struct entry_map *m, struct entry *e)
{
	struct entry *last;
	size_t at = e->heap_at;

	*place(m, e->hash, e->name, e->name_len) = e->next;
	m->bytes -= charge(e->name_len, e->cap);
	last = m->heap[--m->count];
	if (last != e) {
		heap_set(m, at, last);
		heap_move(m, last);
	}
	entry_free(e);
}

/* Room in the table and the heap for one more. */
static bool
grow(struct entry_map *m)
{
	if (m->count == m->heap_cap) {
		size_t cap = m->heap_cap == 0 ? BUCKETS_MIN : 2 * m->heap_cap;
		struct entry **heap = realloc(m->heap, cap * sizeof(struct entry *));

		if (heap == NULL)
			return false;
		m->heap = heap;
		m->heap_cap = cap;
	}
	if (m->count >= m->buckets) {
		size_t n = 2 * m->buckets;
		struct entry **bucket = calloc(n, sizeof(struct entry *));

		if (bucket == NULL)
			return false;
		for (size_t i = 0; i < m->count; i++) {
			struct entry *e = m->heap[i], **to = &bucket[e->hash & (n - 1)];

			e->next = *to;
			*to = e;
		}
		free(m->bucket);
		m->bucket = bucket;
		m->buckets = n;
	}
	return true;
}

static struct entry *
add(struct entry_map *m, uint64_t hash, const uint8_t *name, size_t len)
{
	struct entry *e = grow(m) ? calloc(1, sizeof(*e) + len) : NULL;

	if (e == NULL)
		return NULL;
	e->hash = hash;
	e->name_len = len;
	memcpy(e->name, name, len);
	e->next = m->bucket[hash & (m->buckets - 1)];
	m->bucket[hash & (m->buckets - 1)] = e;
	e->expires_us = UINT64_MAX;
	heap_set(m, m->count, e);
	m->count++;
	m->bytes += charge(len, 0);
	return e;
}

/* Make the value 'keep' bytes of what it was and 'more' behind them. False: nothing has changed. */
static bool
set_value(struct entry_map *m, struct entry *e, size_t keep, struct wire_bytes more, size_t cap)
{
	if (cap != e->cap) {
		uint8_t *value = NULL;

		if (cap > 0 && (value = malloc(cap)) == NULL)
			return false;
		if (keep > 0)
			memcpy(value, e->value, keep);
		free(e->value);
		e->value = value;
		m->bytes += cap - e->cap; /* may be less than 0, modulo 2^64 */
		e->cap = cap;
	}
	if (more.len > 0)
		memcpy(e->value + keep, more.data, more.len);
	e->len = keep + more.len;
	return true;
}

static enum im_rc
full(const struct entry_map *m, struct im_err *err)
{
	return err_reason(
	    err, IM_ELIMIT, "store_full",
	    "the store of entries is full: %zu of %zu bytes in %zu entries, and none is "
	    "evicted; raise cache.store_bytes, or use shorter times to live",
	    m->bytes, m->with.max_bytes, m->count);
}

/* Write 'ask' to 'e', which may be NULL, behind its first 'keep' bytes. */
static enum im_rc
set(struct entry_map *m, const struct entry_ask *ask, uint64_t hash, const uint8_t *name,
    size_t name_len, struct entry *e, size_t keep, uint64_t now_us, struct entry_done *ret,
    struct im_err *err)
{
	size_t need = keep + ask->value.len, cap = need, before = 0;
	bool fresh = e == NULL;

	if (need > m->with.max_value_bytes)
		return err_set(err, IM_ETOOBIG, "value: %zu bytes, allowed are %zu", need,
			       m->with.max_value_bytes);
	if (!fresh)
		before = charge(name_len, e->cap);
	if (keep > 0) { /* appended to again, likely */
		cap = need <= e->cap ? e->cap : need + need / 2;
		if (m->bytes - before + charge(name_len, cap) > m->with.max_bytes)
			cap = need;
	}
	if (m->bytes - before + charge(name_len, cap) > m->with.max_bytes &&
	    charge(name_len, cap) > before)
		return full(m, err);
	if (fresh && (e = add(m, hash, name, name_len)) == NULL)
		return err_set(err, IM_ENOMEM, "no memory for an entry");
	if (!set_value(m, e, keep, ask->value, cap)) {
		if (fresh)
			unlink_entry(m, e);
		return err_set(err, IM_ENOMEM, "no memory for an entry");
	}
	m->last_version = now_us > m->last_version ? now_us : m->last_version + 1;
	e->version = m->last_version;
	e->expires_us = now_us + ask->ttl_ms * 1000;
	heap_move(m, e);
	ret->done = ret->changed = true;
	ret->entry = e;
	return IM_OK;
}

enum im_rc
entry_map_do(struct entry_map *m, const struct entry_ask *ask, uint64_t now_us,
	     struct entry_done *ret, struct im_err *err)
{
	uint8_t name[ENTRY_NAME_MAX];
	size_t len = entry_name(ask, name);
	uint64_t hash = XXH3_64bits_withSeed(name, len, m->with.seed);
	struct entry *e = *place(m, hash, name, len);
	bool found = e != NULL && now_us < e->expires_us;
	size_t keep = 0;
	struct entry_done done = { .found = found, .entry = found ? e : NULL };
	enum im_rc rc = IM_OK;

	switch (ask->op) {
	case ENTRY_GET:
		break;
	case ENTRY_DELETE:
		done.done = found && (ask->version == 0 || ask->version == e->version);
		if (done.done) {
			done.changed = true;
			done.entry = NULL;
			unlink_entry(m, e);
		}
		break;
	case ENTRY_COMPARE_AND_SET:
		if (ask->version == (found ? e->version : 0))
			rc = set(m, ask, hash, name, len, e, 0, now_us, &done, err);
		break;
	case ENTRY_APPEND:
		keep = found ? e->len : 0;
		/* fallthrough */
	case ENTRY_PUT:
		rc = set(m, ask, hash, name, len, e, keep, now_us, &done, err);
		break;
	}
	if (rc == IM_OK)
		*ret = done;
	return rc;
}

enum im_rc
entry_map_load(struct entry_map *m, const uint8_t *name, size_t name_len, uint64_t version,
	       uint64_t expires_us, struct wire_bytes value, struct im_err *err)
{
	uint64_t hash = XXH3_64bits_withSeed(name, name_len, m->with.seed);
	struct entry *e = *place(m, hash, name, name_len);

	assert(e == NULL); /* one of a name is kept */
	e = add(m, hash, name, name_len);
	if (e == NULL || !set_value(m, e, 0, value, value.len))
		return err_set(err, IM_ENOMEM, "no memory for %zu entries", m->count);
	e->version = version;
	e->expires_us = expires_us;
	if (m->last_version < version)
		m->last_version = version;
	heap_move(m, e);
	return IM_OK;
}

size_t
entry_map_expire(struct entry_map *m, uint64_t now_us, size_t max,
		 void (*fn)(void *arg, const uint8_t *name, size_t len), void *arg)
{
	size_t n = 0;

	for (; n < max && m->count > 0; n++) {
		struct entry *e = m->heap[0];

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what was freed is not in the heap */
		if (e->expires_us > now_us)
			break;
		if (fn != NULL)
			fn(arg, e->name, e->name_len);
		unlink_entry(m, e);
	}
	return n;
}

uint64_t
entry_map_next_us(const struct entry_map *m)
{
	return m->count > 0 ? m->heap[0]->expires_us : UINT64_MAX;
}

size_t
entry_map_count(const struct entry_map *m)
{
	return m->count;
}

size_t
entry_map_bytes(const struct entry_map *m)
{
	return m->bytes;
}

uint64_t
entry_left_ms(const struct entry *e, uint64_t now_us)
{
	return (e->expires_us - now_us + 999) / 1000;
}
