/*
 * cache/l1.c - the memory tier; see l1.h.
 */
#include "cache/l1.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

#define TABLE_MIN    1024 /* a power of two */
#define ASKED_MAX    3
#define SMALL_SHARE  10 /* one part in so many */
#define GHOSTS_A_SET 8  /* one cache line */

/* Of an entry that left 'small': that it was there, and when. */
struct ghost {
	uint32_t print, when;
};

struct entry {
	struct entry *chain;
	struct list order; /* in 'small' or 'main', newest at the back */
	uint64_t expires_ms;
	uint32_t len;
	uint8_t asked; /* how often, up to ASKED_MAX */
	bool in_main;
	uint8_t key[CACHE_KEY_BYTES];
	uint8_t data[];
};

struct l1 {
	struct entry **table;
	struct ghost *ghosts; /* as many as places of the table, in sets */
	size_t mask;
	struct list small, main;
	size_t small_bytes;
	uint32_t ghost_clock; /* ghosts ever made; those of the last n.entries count */
	size_t sweep;         /* place in the table */
	uint64_t seed;        /* keys are digests already, but whose is not ours to trust */
	struct l1_counters n;
};

/* Tables of 'places' places, without memory none. */
static bool
tables_new(size_t places, struct entry ***ret_table, struct ghost **ret_ghosts)
{
	struct entry **table = calloc(places, sizeof(*table));
	struct ghost *ghosts = calloc(places, sizeof(*ghosts));

	if (table == NULL || ghosts == NULL) {
		free(table);
		free(ghosts);
		return false;
	}
	*ret_table = table;
	*ret_ghosts = ghosts;
	return true;
}

enum im_rc
l1_new(size_t max_bytes, struct l1 **ret_l1)
{
	struct l1 *l1 = calloc(1, sizeof(*l1));

	if (l1 == NULL || !tables_new(TABLE_MIN, &l1->table, &l1->ghosts)) {
		free(l1);
		return IM_ENOMEM;
	}
	l1->mask = TABLE_MIN - 1;
	list_init(&l1->small);
	list_init(&l1->main);
	l1->n.max_bytes = max_bytes;
	random_bytes(&l1->seed, sizeof(l1->seed));
	*ret_l1 = l1;
	return IM_OK;
}

static size_t
entry_cost(struct entry *e)
{
	return malloc_usable_size(e) + L1_SHARE_BYTES;
}

static uint64_t
hash(const struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES])
{
	uint64_t h[2];

	memcpy(h, key, sizeof(h));
	h[0] = (h[0] ^ l1->seed) * 0x9e3779b97f4a7c15U ^ h[1];
	return h[0] ^ h[0] >> 32;
}

/* The link that points to the entry, or to NULL at the end of its chain. */
static struct entry **
find(const struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES])
{
	struct entry **at = &l1->table[hash(l1, key) & l1->mask];

	while (*at != NULL && memcmp((*at)->key, key, CACHE_KEY_BYTES) != 0)
		at = &(*at)->chain;
	return at;
}

/* Into a queue, out of it. */
static void
enqueue(struct l1 *l1, struct entry *e, bool in_main)
{
	e->in_main = in_main;
	e->asked = 0;
	list_push_back(in_main ? &l1->main : &l1->small, &e->order);
	if (!in_main)
		l1->small_bytes += entry_cost(e);
}

static void
dequeue(struct l1 *l1, struct entry *e)
{
	list_remove(&e->order);
	if (!e->in_main)
		l1->small_bytes -= entry_cost(e);
}

static void
drop(struct l1 *l1, struct entry **at)
{
	struct entry *e = *at;

	assert(e != NULL); /* only what was found is dropped */
	*at = e->chain;
	dequeue(l1, e);
	l1->n.entries--;
	l1->n.bytes -= entry_cost(e);
	free(e);
}

void
l1_free(struct l1 *l1)
{
	if (l1 == NULL)
		return;
	for (size_t i = 0; i <= l1->mask; i++)
		while (l1->table[i] != NULL)
			drop(l1, &l1->table[i]);
	free(l1->table);
	free(l1->ghosts);
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
	if (e->asked < ASKED_MAX)
		e->asked++;
	l1->n.hits++;
	*ret = (struct l1_found){ e->data, e->len };
	return true;
}

/* Ghosts. */

static struct ghost *
ghost_set(const struct l1 *l1, uint64_t h)
{
	return &l1->ghosts[(h & l1->mask) & ~(size_t)(GHOSTS_A_SET - 1)];
}

static void
ghost_add(struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES])
{
	uint64_t h = hash(l1, key);
	struct ghost *set = ghost_set(l1, h), *oldest = set;

	for (size_t i = 1; i < GHOSTS_A_SET; i++)
		if (l1->ghost_clock - set[i].when > l1->ghost_clock - oldest->when)
			oldest = &set[i];
	*oldest = (struct ghost){ (uint32_t)(h >> 32), ++l1->ghost_clock };
}

/* Was it there of late? Then it is no more. */
static bool
ghost_take(struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES])
{
	uint64_t h = hash(l1, key);
	struct ghost *set = ghost_set(l1, h);

	for (size_t i = 0; i < GHOSTS_A_SET; i++) {
		if (set[i].print == (uint32_t)(h >> 32) &&
		    l1->ghost_clock - set[i].when < l1->n.entries) {
			set[i] = (struct ghost){ 0 };
			return true;
		}
	}
	return false;
}

/* Only called while there is an entry. Each round takes one from 'small' or one from what was asked, so it ends. */
static void
evict_one(struct l1 *l1)
{
	for (;;) {
		bool small =
		    l1->small_bytes > l1->n.max_bytes / SMALL_SHARE || list_empty(&l1->main);
		struct list *oldest = small ? l1->small.next : l1->main.next;
		struct entry *e = CONTAINER_OF(oldest, struct entry, order);
		uint8_t asked = e->asked;

		if (asked == 0) {
			if (small)
				ghost_add(l1, e->key);
			drop(l1, find(l1, e->key));
			l1->n.evicted++;
			return;
		}
		dequeue(l1, e);
		enqueue(l1, e, true);
		e->asked = small ? 0 : (uint8_t)(asked - 1);
	}
}

/* Double the tables when there are more entries than places. Without memory they stay as they are: slower, not wrong. Ghosts
 * are forgotten. */
static void
grow(struct l1 *l1)
{
	size_t old = l1->mask + 1;
	struct entry **table;
	struct ghost *ghosts;

	if (l1->n.entries <= l1->mask || old > SIZE_MAX / 2 / sizeof(struct entry *) ||
	    !tables_new(old * 2, &table, &ghosts))
		return;
	l1->mask = old * 2 - 1;
	for (size_t i = 0; i < old; i++) {
		for (struct entry *e = l1->table[i], *next; e != NULL; e = next) {
			struct entry **at = &table[hash(l1, e->key) & l1->mask];

			next = e->chain;
			e->chain = *at;
			*at = e;
		}
	}
	free(l1->table);
	free(l1->ghosts);
	l1->table = table;
	l1->ghosts = ghosts;
}

enum im_rc
l1_put(struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES], const uint8_t *data, size_t len,
       uint64_t now_ms, uint64_t ttl_ms)
{
	struct entry **at, *e;
	bool again = ghost_take(l1, key);

	l1_remove(l1, key);
	if (len > UINT32_MAX || len + sizeof(*e) + L1_SHARE_BYTES > l1->n.max_bytes)
		return IM_ETOOBIG;
	e = malloc(sizeof(*e) + len);
	if (e == NULL)
		return IM_ENOMEM;
	while (l1->n.entries > 0 && l1->n.bytes + entry_cost(e) > l1->n.max_bytes)
		evict_one(l1);
	memcpy(e->key, key, CACHE_KEY_BYTES);
	e->expires_ms = ttl_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + ttl_ms;
	e->len = (uint32_t)len;
	if (len > 0)
		memcpy(e->data, data, len);
	at = &l1->table[hash(l1, key) & l1->mask];
	e->chain = *at;
	*at = e;
	enqueue(l1, e, again);
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
l1_sweep(struct l1 *l1, uint64_t now_ms, size_t places)
{
	size_t dropped = 0;

	if (places > l1->mask + 1)
		places = l1->mask + 1;
	for (; places > 0; places--) {
		struct entry **at = &l1->table[l1->sweep++ & l1->mask];

		while (*at != NULL) {
			if (now_ms >= (*at)->expires_ms) {
				drop(l1, at);
				dropped++;
			} else {
				at = &(*at)->chain;
			}
		}
	}
	l1->n.expired += dropped;
	return dropped;
}

/* When the table doubles, what was at place i goes to i or i + its old size: nothing comes to lie behind a walk. */
bool
l1_purge(struct l1 *l1, size_t *cursor, size_t places,
	 bool (*selected)(void *arg, const uint8_t *data, size_t len), void *arg, uint64_t *removed)
{
	for (; places > 0 && *cursor <= l1->mask; places--) {
		struct entry **at = &l1->table[(*cursor)++];

		while (*at != NULL) {
			if (selected(arg, (*at)->data, (*at)->len)) {
				drop(l1, at);
				(*removed)++;
			} else {
				at = &(*at)->chain;
			}
		}
	}
	return *cursor > l1->mask;
}

void
l1_counters(const struct l1 *l1, struct l1_counters *ret)
{
	*ret = l1->n;
}
