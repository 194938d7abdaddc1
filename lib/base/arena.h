/*
 * base/arena.h - many small allocations that are freed together, with a bound. One arena a decoded message or a call.
 * Never frees a single allocation.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_chunk;

/* Zero-initialised is a valid empty arena without a bound. Not thread-safe. */
struct arena {
	struct arena_chunk *head;
	size_t used_bytes; /* handed out so far */
	size_t max_bytes;  /* 0 = no bound */
};

void arena_init(struct arena *a, size_t max_bytes);

/** Free everything that came from 'a'; it is empty and usable afterwards. NULL is fine. */
void arena_done(struct arena *a);

/** The same, but keep a little memory for what comes next: for one that is filled and emptied again and again. */
void arena_reset(struct arena *a);

/** 'size' zeroed bytes aligned for any type, or NULL when the bound or memory does not allow it. */
void *arena_alloc(struct arena *a, size_t size);

/** The same, but the bytes are as they are: for a caller that writes them all. */
void *arena_take(struct arena *a, size_t size);

/** 'count' * 'size' zeroed bytes; NULL on overflow too. */
void *arena_calloc(struct arena *a, size_t count, size_t size);

/** A NUL-terminated copy of the 'len' bytes at 's', or NULL. */
char *arena_strndup(struct arena *a, const char *s, size_t len);

/** A NUL-terminated copy of 's', or NULL. */
char *arena_strdup(struct arena *a, const char *s);

#endif
