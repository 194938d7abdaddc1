/*
 * router/coalesce.c - see coalesce.h.
 */
#include "router/coalesce.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_MIN 16

void
coalesce_init(struct coalesce *table, size_t keep_bytes)
{
	memset(table, 0, sizeof(*table));
	table->keep_bytes = keep_bytes;
	for (size_t i = 0; i < COALESCE_BUCKETS; i++) {
		list_init(&table->buckets[i]);
	}
}

/* The key is a digest: any of its bits are as good as a hash. */
static size_t
bucket_of(const uint8_t key[SHA256_BYTES])
{
	return ((size_t)key[0] << 8 | key[1]) % COALESCE_BUCKETS;
}

struct generation *
coalesce_find(const struct coalesce *table, const uint8_t key[SHA256_BYTES], bool streams)
{
	const struct list *bucket = &table->buckets[bucket_of(key)];

	LIST_FOREACH (bucket, g, struct generation, node) {
		if (memcmp(g->key, key, SHA256_BYTES) == 0 && (g->streams || !streams)) {
			return g;
		}
	}
	return NULL;
}

void
generation_begin(struct generation *g, struct coalesce *table, const uint8_t key[SHA256_BYTES],
		 bool streams)
{
	g->table = table;
	g->streams = streams;
	memcpy(g->key, key, SHA256_BYTES);
	list_init(&g->followers);
	list_push_back(&table->buckets[bucket_of(key)], &g->node);
}

void
generation_close(struct generation *g)
{
	list_remove(&g->node);
}

static struct said **
place_of(const struct generation *g, uint64_t number)
{
	assert(g->cap > 0); /* a frame that has a number has a place */
	return &g->frames[number % g->cap];
}

static void
drop_first(struct generation *g)
{
	free(*place_of(g, g->first));
	g->first++;
}

void
generation_done(struct generation *g)
{
	assert(list_empty(&g->followers));
	generation_close(g);
	while (g->first < g->end) {
		drop_first(g);
	}
	free(g->frames);
	g->frames = NULL;
}

void
generation_join(struct generation *g, struct follower *f)
{
	assert(f->generation == NULL && g->first == 0);
	f->generation = g;
	f->listening = true;
	f->at = 0;
	g->table->spared += !list_empty(&g->followers);
	list_push_back(&g->followers, &f->node);
	g->listening++;
}

bool
generation_leave(struct follower *f)
{
	struct generation *g = f->generation;

	if (g == NULL || !f->listening) {
		return false;
	}
	f->listening = false;
	if (--g->listening > 0) {
		return false;
	}
	generation_close(g);
	return true;
}

void
generation_forget(struct follower *f)
{
	if (f->generation != NULL) {
		(void)generation_leave(f);
		list_remove(&f->node);
		f->generation = NULL;
	}
}

static uint64_t
kept_bytes(const struct generation *g)
{
	return g->first == g->end ? 0 : g->said_bytes - (*place_of(g, g->first))->offset;
}

/* More is kept than should be: nobody may join, and what all have read goes. */
static void
drop_what_all_have_read(struct generation *g)
{
	uint64_t slowest = g->end;

	generation_close(g);
	LIST_FOREACH (&g->followers, f, struct follower, node) {
		slowest = f->listening && f->at < slowest ? f->at : slowest;
	}
	while (g->first < slowest) {
		drop_first(g);
	}
}

/* Make room for one more frame. */
static bool
grow(struct generation *g)
{
	size_t cap = g->cap == 0 ? FRAMES_MIN : 2 * g->cap;
	struct said **frames;

	if (g->end - g->first < g->cap) {
		return true;
	}
	frames = calloc(cap, sizeof(struct said *));
	if (frames == NULL) {
		return false;
	}
	for (uint64_t i = g->first; i < g->end; i++) {
		frames[i % cap] = *place_of(g, i);
	}
	free(g->frames);
	g->frames = frames;
	g->cap = cap;
	return true;
}

enum im_rc
generation_say(struct generation *g, const uint8_t *bytes, size_t len, size_t credit)
{
	struct said *said = malloc(sizeof(*said) + len);

	if (said == NULL || !grow(g)) {
		free(said);
		return IM_ENOMEM;
	}
	said->offset = g->said_bytes;
	said->credit = credit;
	said->len = len;
	memcpy(said->bytes, bytes, len);
	*place_of(g, g->end) = said;
	g->end++;
	g->said_bytes += len;
	if (kept_bytes(g) > g->table->keep_bytes) {
		drop_what_all_have_read(g);
	}
	return IM_OK;
}

void
generation_restart(struct generation *g)
{
	while (g->first < g->end) {
		drop_first(g);
	}
	g->first = g->end = g->fastest = g->said_bytes = 0;
	LIST_FOREACH (&g->followers, f, struct follower, node) {
		f->at = 0;
	}
}

const struct said *
follower_next(const struct follower *f)
{
	const struct generation *g = f->generation;

	return g == NULL || f->at < g->first || f->at >= g->end ? NULL : *place_of(g, f->at);
}

size_t
follower_took(struct follower *f)
{
	struct generation *g = f->generation;
	size_t credit = (*place_of(g, f->at))->credit;

	if (f->at++ < g->fastest) {
		return 0;
	}
	g->fastest = f->at;
	return credit;
}

static uint64_t
bytes_before(const struct generation *g, uint64_t number)
{
	return number >= g->end ? g->said_bytes : (*place_of(g, number))->offset;
}

bool
follower_lags(const struct follower *f)
{
	const struct generation *g = f->generation;

	return f->at < g->fastest &&
	       bytes_before(g, g->fastest) - bytes_before(g, f->at) > g->table->keep_bytes;
}
