/*
 * audit/dedup.h - which requests the log knows: so that appending an event again is no second record, and a RESPONSE finds
 * its REQUEST. Bounded: the last DEDUP_RECENT entries, and open REQUESTs among the last DEDUP_OPEN entries. Its contents
 * follow from the log alone, so they are rebuilt on recovery. Never touches a file.
 */
#ifndef AUDIT_DEDUP_H
#define AUDIT_DEDUP_H

#include <stdbool.h>
#include <stdint.h>

#include "audit/id_hash.h"
#include "base/err.h"

#define DEDUP_RECENT                                                                               \
	131072U /* entries; a power of two. 28 bytes each with its bucket, touched as they come: so memory grows by 3.5 MiB until so many came */
#define DEDUP_OPEN 1048576U /* entries; an older REQUEST counts as abandoned */

#define DEDUP_LATELY 64 /* ids whose hash is remembered; a power of two */

struct dedup_recent;
struct dedup_old;

struct dedup_lately {
	uint8_t id[RECORD_ID_BYTES];
	uint64_t hash;
};

struct dedup {
	uint64_t next;                            /* index of the next entry */
	uint64_t begin;                           /* index of the first entry that it was told of */
	uint64_t settled;                         /* entries below are durable */
	uint64_t open;                            /* REQUESTs without a terminal record */
	struct id_hash hash;                      /* so that nobody can aim at one bucket */
	struct dedup_lately lately[DEDUP_LATELY]; /* each id is asked for several times in a row */
	bool recalled; /* all entries so far came by dedup_recall(), and 'recent' is empty */
	struct dedup_recent *recent; /* entry i is at recent[i % DEDUP_RECENT] */
	uint32_t *bucket;            /* first entry of each chain, as position + 1 */
	struct dedup_old *old;       /* open REQUESTs that left 'recent': open addressing */
	size_t old_count, old_cap;
};

/** 'next' is the index of the first entry that will be added. IM_ENOMEM. */
IM_MUST_CHECK enum im_rc dedup_init(struct dedup *d, uint64_t next, struct im_err *err);
void dedup_done(struct dedup *d);

/** Index of the entry of this kind about 'id' (RECORD_ID_BYTES). */
bool dedup_find(struct dedup *d, const uint8_t *id, enum record_kind kind, uint64_t *ret_index);

/** The entry d->next is of 'kind' about 'id' (NULL = about no request). IM_ENOMEM: nothing changed. */
IM_MUST_CHECK enum im_rc dedup_add(struct dedup *d, const uint8_t *id, enum record_kind kind);

/** Undo the latest dedup_add() that was not settled. The entry that it displaced stays forgotten. */
void dedup_pop(struct dedup *d);

/** All that was added is durable: terminal records close their REQUESTs. */
void dedup_settle(struct dedup *d);

/** As dedup_add() and dedup_settle(), for entries that are durable already, the last of which is 'end' - 1: before anything else was
 *  added what the last DEDUP_RECENT ones will displace is not put there, which takes a third of the time. */
IM_MUST_CHECK enum im_rc dedup_recall(struct dedup *d, const uint8_t *id, enum record_kind kind,
				      uint64_t end);

#endif
