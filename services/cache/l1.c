/*
 * cache/l1.c - the memory tier; see l1.h.
 */
#include "cache/l1.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

#define TABLE_MIN 1024 /* a power of two */

struct entry {
	struct entry *chain;
	struct list order; /* newest at the back */
	uint8_t key[CACHE_KEY_BYTES];
	uint64_t expires_ms;
	bool visited;
	uint32_t len;
	uint8_t data[];
};

struct l1 {
	struct entry **table;
	size_t mask;
	struct list order;
	struct list
	    *hand; /* of SIEVE: where the next search for a victim begins; &order = at the oldest */
	struct list *sweep; /* of l1_sweep() */
	struct list *purge; /* of l1_purge(); &order = nothing follows */
	uint64_t seed;      /* keys are digests already, but whose is not ours to trust */
	struct l1_counters n;
};

enum im_rc
l1_new(size_t max_bytes, struct l1 **ret_l1)
{
	struct l1 *l1 = calloc(1, sizeof(*l1));

	if (l1 == NULL)
		return IM_ENOMEM;
	l1->table = calloc(TABLE_MIN, sizeof(struct entry *));
	if (l1->table == NULL) {
		free(l1);
		return IM_ENOMEM;
	}
	l1->mask = TABLE_MIN - 1;
	list_init(&l1->order);
	l1->hand = &l1->order;
	l1->sweep = &l1->order;
	l1->purge = &l1->order;
	l1->n.max_bytes = max_bytes;
	random_bytes(&l1->seed, sizeof(l1->seed));
	*ret_l1 = l1;
	return IM_OK;
}

static size_t
entry_cost(const struct entry *e)
{
	return L1_ENTRY_OVERHEAD + e->len;
}

static struct entry **
table_at(const struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES])
{
	uint64_t h[2];

	memcpy(h, key, sizeof(h));
	h[0] = (h[0] ^ l1->seed) * 0x9e3779b97f4a7c15u ^ h[1];
	return &l1->table[(h[0] ^ h[0] >> 32) & l1->mask];
}

/* The link that points to the entry, or to NULL at the end of its chain. */
static struct entry **
find(const struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES])
{
	struct entry **at = table_at(l1, key);

	while (*at != NULL && memcmp((*at)->key, key, CACHE_KEY_BYTES) != 0)
		at = &(*at)->chain;
	return at;
}

static void
drop(struct l1 *l1, struct entry **at)
{
	struct entry *e = *at;

	assert(e != NULL); /* only what was found is dropped */
	*at = e->chain;
	if (l1->hand == &e->order)
		l1->hand = e->order.next;
	if (l1->sweep == &e->order)
		l1->sweep = e->order.next;
	if (l1->purge == &e->order)
		l1->purge = e->order.next;
	list_remove(&e->order);
	l1->n.entries--;
	l1->n.bytes -= entry_cost(e);
	free(e);
}

void
l1_free(struct l1 *l1)
{
	if (l1 == NULL)
		return;
	while (!list_empty(&l1->order)) {
		struct entry *e = CONTAINER_OF(l1->order.next, struct entry, order);

		drop(l1, find(l1, e->key));
	}
	free(l1->table);
	free(l1);
}

bool
l1_get(struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES], uint64_t now_ms, struct l1_found *ret)
{
	struct entry **at = find(l1, key);
	struct entry *e = *at;

	if (e != NULL && now_ms >= e->expires_ms) {
		drop(l1, at);
		l1->n.expired++;
		e = NULL;
	}
	if (e == NULL) {
		l1->n.misses++;
		return false;
	}
	e->visited = true;
	l1->n.hits++;
	*ret = (struct l1_found){ e->data, e->len };
	return true;
}

/* Only called while there is an entry; one round unmarks all, so the second finds one. */
static void
evict_one(struct l1 *l1)
{
	struct entry *e;

	for (;;) {
		if (l1->hand == &l1->order)
			l1->hand = l1->order.next;
		e = CONTAINER_OF(l1->hand, struct entry, order);
		if (!e->visited)
			break;
		e->visited = false;
		l1->hand = l1->hand->next;
	}
	drop(l1, find(l1, e->key));
	l1->n.evicted++;
}

/* Double the table when it holds more entries than places. Without memory it stays as it is: slower, not wrong. */
static void
grow(struct l1 *l1)
{
	size_t places = (l1->mask + 1) * 2;
	struct entry **table;

	if (l1->n.entries <= l1->mask || places > SIZE_MAX / sizeof(struct entry *))
		return;
	table = calloc(places, sizeof(struct entry *));
	if (table == NULL)
		return;
	free(l1->table);
	l1->table = table;
	l1->mask = places - 1;
	LIST_FOREACH (&l1->order, e, struct entry, order) {
		struct entry **at = table_at(l1, e->key);

		e->chain = *at;
		*at = e;
	}
}

enum im_rc
l1_put(struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES], const uint8_t *data, size_t len,
       uint64_t now_ms, uint64_t ttl_ms)
{
	struct entry **at, *e;

	l1_remove(l1, key);
	if (len > UINT32_MAX || len + L1_ENTRY_OVERHEAD > l1->n.max_bytes)
		return IM_ETOOBIG;
	e = malloc(sizeof(*e) + len);
	if (e == NULL)
		return IM_ENOMEM;
	while (l1->n.bytes + len + L1_ENTRY_OVERHEAD > l1->n.max_bytes)
		evict_one(l1);
	memcpy(e->key, key, CACHE_KEY_BYTES);
	e->expires_ms = ttl_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + ttl_ms;
	e->visited = false;
	e->len = (uint32_t)len;
	if (len > 0)
		memcpy(e->data, data, len);
	at = table_at(l1, key);
	e->chain = *at;
	*at = e;
	list_push_back(&l1->order, &e->order);
	l1->n.entries++;
	l1->n.bytes += entry_cost(e);
	l1->n.stored++;
	grow(l1);
	return IM_OK;
}

void
l1_remove(struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES])
{
	struct entry **at = find(l1, key);

	if (*at != NULL)
		drop(l1, at);
}

size_t
l1_sweep(struct l1 *l1, uint64_t now_ms, size_t max)
{
	size_t dropped = 0;

	if (max > l1->n.entries)
		max = (size_t)l1->n.entries;
	for (; max > 0; max--) {
		struct entry *e;

		if (l1->sweep == &l1->order)
			l1->sweep = l1->order.next;
		e = CONTAINER_OF(l1->sweep, struct entry, order);
		if (now_ms >= e->expires_ms) {
			drop(l1, find(l1, e->key)); /* moves the walk on */
			dropped++;
		} else {
			l1->sweep = l1->sweep->next;
		}
	}
	l1->n.expired += dropped;
	return dropped;
}

void
l1_purge_begin(struct l1 *l1)
{
	l1->purge = l1->order.next;
}

bool
l1_purge(struct l1 *l1, size_t max, bool (*selected)(void *arg, const uint8_t *data, size_t len),
	 void *arg, uint64_t *removed)
{
	for (; max > 0 && l1->purge != &l1->order; max--) {
		struct entry *e = CONTAINER_OF(l1->purge, struct entry, order);

		if (selected(arg, e->data, e->len)) {
			drop(l1, find(l1, e->key)); /* moves the walk on */
			(*removed)++;
		} else {
			l1->purge = l1->purge->next;
		}
	}
	return l1->purge == &l1->order;
}

void
l1_counters(const struct l1 *l1, struct l1_counters *ret)
{
	*ret = l1->n;
}
