/*
 * cache/entry_map.h - entries by name in memory, with versions and time to live: what each operation does. Bounded in bytes; nothing is evicted,
 * what does not fit is refused. Pure: the time is an argument. Knows no disk and no peer.
 *
 * An entry is there while now < its expiry. A version is the greater of the time and one more than the last that was given, so it is
 * not used again after a deletion, also not by another life of the daemon, unless the clock was set back meanwhile.
 */
#ifndef CACHE_ENTRY_MAP_H
#define CACHE_ENTRY_MAP_H

#include "wire/entry.h"

struct entry_map;

struct entry_map_params {
	size_t max_bytes;       /* of all, overhead included */
	size_t max_value_bytes; /* of one value */
	uint64_t seed;          /* random: strangers choose names */
};

/* One entry, for who asked and who keeps. Valid until the next change. */
struct entry {
	struct entry *next; /* of its bucket */
	uint64_t hash;
	size_t heap_at;
	uint64_t version, expires_us; /* since 1970 */
	uint64_t change;              /* the user's: which write of it must be durable */
	uint8_t *value;
	size_t len, cap;
	size_t name_len;
	uint8_t name[]; /* entry_name() */
};

struct entry_done {
	bool found, done;
	bool changed;        /* something has to be kept, or forgotten */
	struct entry *entry; /* as it is now; NULL: there is none */
};

IM_MUST_CHECK enum im_rc entry_map_new(const struct entry_map_params *params,
				       struct entry_map **ret, struct im_err *err);
/** NULL is fine. */
void entry_map_free(struct entry_map *m);

/** Do what 'ask', which is checked, says. IM_OK; IM_ETOOBIG (the value), IM_ELIMIT (there is no room, reason "store_full") or IM_ENOMEM: nothing was done. */
IM_MUST_CHECK enum im_rc entry_map_do(struct entry_map *m, const struct entry_ask *ask,
				      uint64_t now_us, struct entry_done *ret, struct im_err *err);

/** Put back what was kept, whatever the bound says. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc entry_map_load(struct entry_map *m, const uint8_t *name, size_t name_len,
					uint64_t version, uint64_t expires_us,
					struct wire_bytes value, struct im_err *err);

/** Remove up to 'max' entries whose time is over; 'fn' (may be NULL) sees the name of each. How many. */
size_t entry_map_expire(struct entry_map *m, uint64_t now_us, size_t max,
			void (*fn)(void *arg, const uint8_t *name, size_t len), void *arg);

/** When the next entry expires; UINT64_MAX: there is none. */
uint64_t entry_map_next_us(const struct entry_map *m);

size_t entry_map_count(const struct entry_map *m);
size_t entry_map_bytes(const struct entry_map *m);

/** Milliseconds that are left of an entry that is there, rounded up. */
uint64_t entry_left_ms(const struct entry *e, uint64_t now_us);

#endif
