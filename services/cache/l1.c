/*
 * cache/l1.c - the memory tier; see l1.h.
 */
#include "cache/l1.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hex.h"
#include "cache/blocks.h"

#define TABLE_MIN    1024 /* a power of two */
#define ASKED_MAX    2
#define GHOSTS_A_SET 8  /* one cache line */
#define SHARE_LEAST  20 /* either queue has at least one part in so many */
#define MAIN_GHOSTS  4  /* those of 'main' are remembered so many times shorter */

/* Of an entry that is gone: that it was in one of the queues, and when it left. */
struct ghost {
	uint32_t print;
	uint32_t when : 31;
	uint32_t from_main : 1;
};

/* Lies at the beginning of a run of blocks, with the value behind it. */
struct entry {
	struct block *next; /* of the run, as in any block */
	struct entry *chain;
	struct list order; /* in 'small' or 'main', newest at the back */
	uint64_t expires_ms;
	uint32_t len;
	uint8_t asked; /* how often, up to ASKED_MAX */
	bool in_main;
	uint8_t key[CACHE_KEY_BYTES];
	uint8_t data[];
};
_Static_assert(offsetof(struct block, next) == 0 && sizeof(struct entry) < BLOCK_BYTES,
	       "an entry begins a block");

#define FIRST_DATA                                                                                 \
	(BLOCK_BYTES - offsetof(struct entry, data)) /* of the value, in the first block */

struct l1 {
	struct blocks blocks;
	struct buf whole; /* a value of several blocks, put together; has room for the largest */
	struct entry **table;
	struct ghost *ghosts; /* as many as places of the table, in sets */
	size_t mask;
	struct list small, main;
	size_t small_bytes, small_share; /* what it has, what it should have */
	uint32_t left[2];                /* how many ever left 'small', 'main' as ghosts */
	size_t sweep;                    /* place in the table */
	uint64_t seed; /* keys are digests already, but whose is not ours to trust */
	struct l1_counters n;
};

/* Tables of 'places' places, without memory none. */
static bool
tables_new(size_t places, struct entry ***ret_table, struct ghost **ret_ghosts)
{
	struct entry **table = calloc(places, sizeof(struct entry *));
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

	if (l1 == NULL || blocks_init(&l1->blocks, max_bytes) != IM_OK) {
		free(l1);
		return IM_ENOMEM;
	}
	if (!tables_new(TABLE_MIN, &l1->table, &l1->ghosts)) {
		blocks_done(&l1->blocks);
		free(l1);
		return IM_ENOMEM;
	}
	l1->mask = TABLE_MIN - 1;
	list_init(&l1->small);
	list_init(&l1->main);
	l1->n.max_bytes = max_bytes;
	l1->small_share = max_bytes / 10;
	random_bytes(&l1->seed, sizeof(l1->seed));
	*ret_l1 = l1;
	return IM_OK;
}

static size_t
blocks_of(size_t len)
{
	return len <= FIRST_DATA ? 1 : 1 + (len - FIRST_DATA + BLOCK_DATA - 1) / BLOCK_DATA;
}

size_t
l1_cost(size_t len)
{
	return blocks_of(len) * BLOCK_BYTES + L1_SHARE_BYTES;
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
		l1->small_bytes += l1_cost(e->len);
}

static void
dequeue(struct l1 *l1, struct entry *e)
{
	list_remove(&e->order);
	if (!e->in_main)
		l1->small_bytes -= l1_cost(e->len);
}

static void
drop(struct l1 *l1, struct entry **at)
{
	struct entry *e = *at;

	assert(e != NULL); /* only what was found is dropped */
	*at = e->chain;
	dequeue(l1, e);
	l1->n.entries--;
	l1->n.bytes -= l1_cost(e->len);
	blocks_give(&l1->blocks, (struct block *)(void *)e);
}

/* Into the run of 'e', out of it. */
static void
value_in(struct entry *e, const uint8_t *data)
{
	struct block *b = e->next;
	size_t left = e->len, part = left < FIRST_DATA ? left : FIRST_DATA;

	if (part > 0)
		memcpy(e->data, data, part);
	for (left -= part, data += part; left > 0; left -= part, data += part, b = b->next) {
		part = left < BLOCK_DATA ? left : BLOCK_DATA;
		memcpy(b->data, data, part);
	}
}

/* The first 'left' bytes of the value: in its block or, if it does not lie in one, copied to 'whole'. */
static const uint8_t *
value_out(struct l1 *l1, const struct entry *e, size_t left)
{
	size_t part;
	uint8_t *out = l1->whole.data;

	if (left <= FIRST_DATA)
		return e->data;
	memcpy(out, e->data, FIRST_DATA);
	out += FIRST_DATA;
	left -= FIRST_DATA;
	for (const struct block *b = e->next; left > 0; b = b->next) {
		part = left < BLOCK_DATA ? left : BLOCK_DATA;
		memcpy(out, b->data, part);
		out += part;
		left -= part;
	}
	return l1->whole.data;
}

void
l1_free(struct l1 *l1)
{
	if (l1 == NULL)
		return;
	blocks_done(&l1->blocks);
	buf_done(&l1->whole);
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
	*ret = (struct l1_found){ value_out(l1, e, e->len), e->len };
	return true;
}

/* Ghosts. */

static struct ghost *
ghost_set(const struct l1 *l1, uint64_t h)
{
	return &l1->ghosts[(h & l1->mask) & ~(size_t)(GHOSTS_A_SET - 1)];
}

/* How many left the same queue since, as if both were remembered for as long. */
static uint64_t
ghost_age(const struct l1 *l1, const struct ghost *g)
{
	uint64_t since = (l1->left[g->from_main] - g->when) & 0x7fffffff;

	return g->from_main ? since * MAIN_GHOSTS : since;
}

static void
ghost_add(struct l1 *l1, const struct entry *e)
{
	uint64_t h = hash(l1, e->key);
	struct ghost *set = ghost_set(l1, h), *oldest = set;

	for (size_t i = 1; i < GHOSTS_A_SET; i++)
		if (ghost_age(l1, &set[i]) > ghost_age(l1, oldest))
			oldest = &set[i];
	*oldest = (struct ghost){ .print = (uint32_t)(h >> 32),
				  .when = ++l1->left[e->in_main] & 0x7fffffff,
				  .from_main = e->in_main };
}

/* Was it there of late? Then it left a queue that is too small. */
static bool
ghost_take(struct l1 *l1, const uint8_t key[CACHE_KEY_BYTES])
{
	uint64_t h = hash(l1, key);
	struct ghost *set = ghost_set(l1, h);
	size_t least = l1->n.max_bytes / SHARE_LEAST, most = l1->n.max_bytes - least;
	size_t step = l1->n.entries > 0 ? (size_t)(l1->n.bytes / l1->n.entries) : 0;

	for (size_t i = 0; i < GHOSTS_A_SET; i++) {
		struct ghost *g = &set[i];

		if (g->print != (uint32_t)(h >> 32) || ghost_age(l1, g) >= l1->n.entries)
			continue;
		if (!g->from_main)
			l1->small_share += step;
		else
			l1->small_share -= MAIN_GHOSTS * step < l1->small_share ? MAIN_GHOSTS * step
										: l1->small_share;
		if (l1->small_share < least)
			l1->small_share = least;
		if (l1->small_share > most)
			l1->small_share = most;
		*g = (struct ghost){ 0 };
		return true;
	}
	return false;
}

/* Only called while there is an entry. Each round takes one from 'small' or one from what was asked, so it ends. */
static void
evict_one(struct l1 *l1)
{
	for (;;) {
		bool small = l1->small_bytes > l1->small_share || list_empty(&l1->main);
		struct list *oldest = small ? l1->small.next : l1->main.next;
		struct entry *e = CONTAINER_OF(oldest, struct entry, order);
		uint8_t asked = e->asked;

		if (asked == 0) {
			ghost_add(l1, e);
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
	if (len > UINT32_MAX || l1_cost(len) > l1->n.max_bytes)
		return IM_ETOOBIG;
	if (buf_reserve(&l1->whole, len) == NULL) {
		buf_clear(&l1->whole);
		return IM_ENOMEM;
	}
	while (l1->n.bytes + l1_cost(len) > l1->n.max_bytes)
		evict_one(l1);
	e = (struct entry *)(void *)blocks_take(&l1->blocks, blocks_of(len));
	memcpy(e->key, key, CACHE_KEY_BYTES);
	e->expires_ms = ttl_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + ttl_ms;
	e->len = (uint32_t)len;
	value_in(e, data);
	at = &l1->table[hash(l1, key) & l1->mask];
	e->chain = *at;
	*at = e;
	enqueue(l1, e, again);
	l1->n.entries++;
	l1->n.bytes += l1_cost(e->len);
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
			size_t len = (*at)->len < L1_SEEN_BYTES ? (*at)->len : L1_SEEN_BYTES;

			if (selected(arg, value_out(l1, *at, len), len)) {
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
