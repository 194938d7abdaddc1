/*
 * audit/open_requests.c - see open_requests.h.
 */
#include "audit/open_requests.h"

#include <stdlib.h>
#include <string.h>

static size_t
place(const struct open_requests *o, const uint8_t *id)
{
	size_t at = id_hash(&o->hash, id) & (o->cap - 1);

	while (o->table[at].index_plus != 0 && memcmp(o->table[at].id, id, RECORD_ID_BYTES) != 0)
		at = (at + 1) & (o->cap - 1);
	return at;
}

bool
open_requests_reserve(struct open_requests *o)
{
	struct open_request *was = o->table;
	size_t was_cap = o->cap, cap = was_cap == 0 ? 1024 : was_cap * 2;

	if ((o->count + 1) * 2 <= o->cap)
		return true;
	o->table = calloc(cap, sizeof(*o->table));
	if (o->table == NULL) {
		o->table = was;
		return false;
	}
	o->cap = cap;
	if (was_cap == 0)
		id_hash_init(&o->hash);
	for (size_t i = 0; i < was_cap; i++)
		if (was[i].index_plus != 0)
			o->table[place(o, was[i].id)] = was[i];
	free(was);
	return true;
}

struct open_request *
open_requests_find(const struct open_requests *o, const uint8_t id[RECORD_ID_BYTES])
{
	struct open_request *r = o->cap > 0 ? &o->table[place(o, id)] : NULL;

	return r != NULL && r->index_plus != 0 ? r : NULL;
}

void
open_requests_add(struct open_requests *o, const uint8_t id[RECORD_ID_BYTES], uint64_t index,
		  uint32_t tag)
{
	struct open_request *r = &o->table[place(o, id)];

	memcpy(r->id, id, RECORD_ID_BYTES);
	r->index_plus = index + 1;
	r->tag = tag;
	o->count++;
}

void
open_requests_remove(struct open_requests *o, struct open_request *r)
{
	size_t mask = o->cap - 1, hole = (size_t)(r - o->table);

	for (size_t i = (hole + 1) & mask; o->table[i].index_plus != 0; i = (i + 1) & mask) {
		size_t home = id_hash(&o->hash, o->table[i].id) & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			o->table[hole] = o->table[i];
			hole = i;
		}
	}
	o->table[hole].index_plus = 0;
	o->count--;
}

static int
by_index(const void *a, const void *b)
{
	uint64_t x = ((const struct open_request *)a)->index_plus;
	uint64_t y = ((const struct open_request *)b)->index_plus;

	return x < y ? -1 : x > y;
}

const struct open_request *
open_requests_sort(struct open_requests *o)
{
	if (o->cap > 0) /* free places sort first */
		qsort(o->table, o->cap, sizeof(*o->table), by_index);
	return o->table + (o->cap - o->count);
}

void
open_requests_done(struct open_requests *o)
{
	free(o->table);
	*o = (struct open_requests){ 0 };
}
