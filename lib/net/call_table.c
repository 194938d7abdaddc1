/*
 * net/call_table.c - a chained hash table that grows; see call_table.h.
 */
#include "net/call_table.h"

#include <stdlib.h>

#define CAP_MIN 64u

void
call_table_init(struct call_table *t, uint64_t salt)
{
	*t = (struct call_table){ .salt = salt | 1 };
}

void
call_table_done(struct call_table *t)
{
	free(t->buckets);
	*t = (struct call_table){ .salt = t->salt };
}

static struct call_entry **
bucket_of(const struct call_table *t, uint32_t id)
{
	/* The high bits of the product depend on every bit of the id and of the salt. */
	return &t->buckets[(uint32_t)((id + 1) * t->salt >> 32) & (t->cap - 1)];
}

static bool
grow(struct call_table *t)
{
	struct call_table bigger = *t;

	bigger.cap = t->cap == 0 ? CAP_MIN : t->cap * 2;
	bigger.buckets = calloc(bigger.cap, sizeof(struct call_entry *));
	if (bigger.buckets == NULL)
		return t->cap > 0; /* a crowded table works as well */
	for (uint32_t i = 0; i < t->cap; i++) {
		struct call_entry *e = t->buckets[i], *next;

		for (; e != NULL; e = next) {
			struct call_entry **bucket = bucket_of(&bigger, e->id);

			next = e->next;
			e->next = *bucket;
			*bucket = e;
		}
	}
	free(t->buckets);
	*t = bigger;
	return true;
}

struct call_entry *
call_table_find(const struct call_table *t, uint32_t id)
{
	struct call_entry *e;

	if (t->cap == 0)
		return NULL;
	for (e = *bucket_of(t, id); e != NULL; e = e->next)
		if (e->id == id)
			return e;
	return NULL;
}

bool
call_table_add(struct call_table *t, struct call_entry *e, uint32_t id)
{
	struct call_entry **bucket;

	if (t->count >= t->cap && !grow(t))
		return false;
	bucket = bucket_of(t, id);
	e->id = id;
	e->next = *bucket;
	e->linked = true;
	*bucket = e;
	t->count++;
	return true;
}

void
call_table_remove(struct call_table *t, struct call_entry *e)
{
	struct call_entry **at;

	if (!e->linked)
		return;
	for (at = bucket_of(t, e->id); *at != e; at = &(*at)->next)
		;
	*at = e->next;
	e->linked = false;
	t->count--;
}
