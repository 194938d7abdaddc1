/*
 * base/arena.c - allocations freed together; see arena.h.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* With our header it just fits what malloc keeps in its lists for each thread (1032 bytes): a larger one is searched for,
 * split and merged again for each message. */
#define ARENA_CHUNK_BYTES 992

struct arena_chunk {
	struct arena_chunk *next;
	size_t used;
	size_t cap;
	alignas(max_align_t) uint8_t data[];
};

void
arena_init(struct arena *a, size_t max_bytes)
{
	*a = (struct arena){ .max_bytes = max_bytes };
}

void
arena_done(struct arena *a)
{
	struct arena_chunk *c;

	if (a == NULL)
		return;
	while ((c = a->head) != NULL) {
		a->head = c->next;
		free(c);
	}
	a->used_bytes = 0;
}

void
arena_reset(struct arena *a)
{
	struct arena_chunk *c, *kept = NULL;

	while ((c = a->head) != NULL) {
		a->head = c->next;
		if (kept == NULL && c->cap == ARENA_CHUNK_BYTES)
			kept = c;
		else
			free(c);
	}
	if (kept != NULL) {
		kept->next = NULL;
		kept->used = 0;
	}
	a->head = kept;
	a->used_bytes = 0;
}

static struct arena_chunk *
chunk_new(struct arena *a, size_t need)
{
	size_t cap = need > ARENA_CHUNK_BYTES ? need : ARENA_CHUNK_BYTES;
	struct arena_chunk *c;
	size_t size;

	if (__builtin_add_overflow(sizeof(*c), cap, &size))
		return NULL;
	c = malloc(size);
	if (c == NULL)
		return NULL;
	c->used = 0;
	c->cap = cap;
	if (need > ARENA_CHUNK_BYTES && a->head != NULL) {
		/* A large one goes behind the head, whose rest stays usable. */
		c->next = a->head->next;
		a->head->next = c;
	} else {
		c->next = a->head;
		a->head = c;
	}
	return c;
}

/* What the chunk at the head has no room for, or what the bound does not allow. */
static __attribute__((noinline)) void *
take_anew(struct arena *a, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct arena_chunk *c;
	size_t need;
	void *p;

	if (__builtin_add_overflow(size, align - 1, &need))
		return NULL;
	need &= ~(align - 1);
	if (need == 0)
		need = align;
	if (a->max_bytes != 0 && (need > a->max_bytes || a->used_bytes > a->max_bytes - need))
		return NULL;
	c = a->head;
	if (c == NULL || c->cap - c->used < need)
		c = chunk_new(a, need);
	if (c == NULL)
		return NULL;
	p = c->data + c->used;
	c->used += need;
	a->used_bytes += need;
	return p;
}

void *
arena_take(struct arena *a, size_t size)
{
	const size_t align = alignof(max_align_t);
	size_t need = (size + align - 1) & ~(align - 1);
	struct arena_chunk *c = a->head;
	void *p;

	/* 0, also after an overflow, and no bound are the largest numbers here. */
	if (c == NULL || need - 1 >= c->cap - c->used ||
	    a->used_bytes + need - 1 > a->max_bytes - 1)
		return take_anew(a, size);
	p = c->data + c->used;
	c->used += need;
	a->used_bytes += need;
	return p;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	void *p = arena_take(a, size);

	return p == NULL ? NULL : memset(p, 0, size);
}

void *
arena_calloc(struct arena *a, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	return arena_alloc(a, total);
}

char *
arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *copy;

	if (len == SIZE_MAX)
		return NULL;
	copy = arena_take(a, len + 1);
	if (copy == NULL)
		return NULL;
	if (len > 0)
		memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}
