/*
 * audit/open_requests.h - the REQUESTs of a log that have no terminal record yet, by their id: what whoever reads a log from its
 * beginning must remember of it. Knows nothing of files.
 */
#ifndef AUDIT_OPEN_REQUESTS_H
#define AUDIT_OPEN_REQUESTS_H

#include <stddef.h>
#include <stdint.h>

#include "audit/id_hash.h"

struct open_request {
	uint8_t id[RECORD_ID_BYTES];
	uint64_t index_plus; /* its number + 1; 0 = free */
	uint32_t tag;        /* the owner's */
};

/* Open addressing. Zero-initialised is empty. Not thread-safe. 32 bytes a place, at most half of which are taken. */
struct open_requests {
	struct open_request *table;
	size_t count, cap;
	struct id_hash hash;
};

/** Make room for one more. False without memory. */
bool open_requests_reserve(struct open_requests *o);

/** The one with this id, or NULL. Valid until the next change. */
struct open_request *open_requests_find(const struct open_requests *o,
					const uint8_t id[RECORD_ID_BYTES]);

/** Add one that is not there, after open_requests_reserve(). */
void open_requests_add(struct open_requests *o, const uint8_t id[RECORD_ID_BYTES], uint64_t index,
		       uint32_t tag);

/** Forget 'r', which open_requests_find() gave. */
void open_requests_remove(struct open_requests *o, struct open_request *r);

/** The first of 'count' in the order of their numbers. From now on it is of no use but for this and open_requests_done(). */
const struct open_request *open_requests_sort(struct open_requests *o);

void open_requests_done(struct open_requests *o);

#endif
