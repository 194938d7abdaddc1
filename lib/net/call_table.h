/*
 * net/call_table.h - calls of one link by id. Entries are embedded in their owners. Known in this room only.
 */
#ifndef NET_CALL_TABLE_H
#define NET_CALL_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct call_entry {
	struct call_entry *next;
	uint32_t id;
	bool linked;
};

struct call_table {
	struct call_entry **buckets; /* NULL while cap is 0 */
	uint32_t cap;                /* a power of two */
	uint32_t count;
	uint64_t salt; /* odd; a peer that chooses ids must not be able to choose buckets */
};

void call_table_init(struct call_table *t, uint64_t salt);

/** Free the buckets; entries are their owners'. */
void call_table_done(struct call_table *t);

struct call_entry *call_table_find(const struct call_table *t, uint32_t id);

/** Add 'e' under 'id', which is not in use. False = no memory. */
bool call_table_add(struct call_table *t, struct call_entry *e, uint32_t id);

/** Does nothing if 'e' is not in the table. */
void call_table_remove(struct call_table *t, struct call_entry *e);

#endif
