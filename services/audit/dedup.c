/*
 * audit/dedup.c - a ring of recent entries with hash chains through it, and a small table of old open requests; see dedup.h.
 */
#include "audit/dedup.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MASK (DEDUP_RECENT - 1)

struct dedup_recent {
	uint8_t id[RECORD_ID_BYTES];
	uint32_t next : 18; /* in its chain, as position + 1; 0 = last */
	uint32_t kind : 8;  /* enum record_kind; 0 = in no chain */
	uint32_t open : 1;
	uint32_t bucket; /* of its chain, so that its id is hashed once */
};

_Static_assert(DEDUP_RECENT < 1U << 18, "a position fits");

struct dedup_old {
	uint8_t id[RECORD_ID_BYTES];
	uint64_t index_plus; /* index + 1; 0 = free */
};

static uint64_t
hash_id(struct dedup *d, const uint8_t *id)
{
	struct dedup_lately *l = &d->lately[id[RECORD_ID_BYTES - 1] % DEDUP_LATELY];

	if (memcmp(l->id, id, RECORD_ID_BYTES) != 0) {
		memcpy(l->id, id, RECORD_ID_BYTES);
		l->hash = id_hash(&d->hash, id);
	}
	return l->hash;
}

enum im_rc
dedup_init(struct dedup *d, uint64_t next, struct im_err *err)
{
	*d = (struct dedup){ .next = next, .begin = next, .settled = next, .recalled = true };
	id_hash_init(&d->hash);
	for (size_t i = 0; i < DEDUP_LATELY; i++) /* they all have the id of zeros */
		d->lately[i].hash = id_hash(&d->hash, d->lately[i].id);
	/* Pages of the kernel's that are zero, and taken when entries come. */
	d->recent = calloc(DEDUP_RECENT, sizeof(*d->recent));
	d->bucket = calloc(DEDUP_RECENT, sizeof(*d->bucket));
	if (d->recent == NULL || d->bucket == NULL) {
		dedup_done(d);
		return err_set(err, IM_ENOMEM, "no memory for the table of recent records");
	}
	return IM_OK;
}

void
dedup_done(struct dedup *d)
{
	free(d->recent);
	free(d->bucket);
	free(d->old);
	d->recent = NULL;
	d->bucket = NULL;
	d->old = NULL;
	d->old_count = d->old_cap = 0;
}

/* Where 'id' is in the table of old ones, or the free place where it would be. The table is never full. */
static size_t
old_place(struct dedup *d, const uint8_t *id)
{
	size_t at = hash_id(d, id) & (d->old_cap - 1);

	while (d->old[at].index_plus != 0 && memcmp(d->old[at].id, id, RECORD_ID_BYTES) != 0)
		at = (at + 1) & (d->old_cap - 1);
	return at;
}

static void
old_put(struct dedup *d, const uint8_t *id, uint64_t index)
{
	size_t at = old_place(d, id);

	if (d->old[at].index_plus == 0)
		d->old_count++;
	memcpy(d->old[at].id, id, RECORD_ID_BYTES);
	d->old[at].index_plus = index + 1;
}

/* Room for one more. */
static enum im_rc
old_grow(struct dedup *d)
{
	struct dedup_old *was = d->old;
	size_t was_cap = d->old_cap, cap = was_cap == 0 ? 64 : was_cap * 2;

	if ((d->old_count + 1) * 2 <= d->old_cap)
		return IM_OK;
	d->old = calloc(cap, sizeof(*d->old));
	if (d->old == NULL) {
		d->old = was;
		return IM_ENOMEM;
	}
	d->old_cap = cap;
	d->old_count = 0;
	for (size_t i = 0; i < was_cap; i++)
		if (was[i].index_plus != 0)
			old_put(d, was[i].id, was[i].index_plus - 1);
	free(was);
	return IM_OK;
}

/* Free place 'at' and move up what was pushed past it. */
static void
old_remove(struct dedup *d, size_t at)
{
	size_t mask = d->old_cap - 1, hole = at;

	for (size_t i = (at + 1) & mask; d->old[i].index_plus != 0; i = (i + 1) & mask) {
		size_t home = hash_id(d, d->old[i].id) & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			d->old[hole] = d->old[i];
			hole = i;
		}
	}
	d->old[hole].index_plus = 0;
	d->old_count--;
}

/* Forget requests that nobody will answer any more. */
static void
old_sweep(struct dedup *d)
{
	for (size_t at = 0; at < d->old_cap;) {
		if (d->old[at].index_plus != 0 && d->old[at].index_plus + DEDUP_OPEN <= d->next) {
			old_remove(d, at); /* may have moved another one here: look again */
			d->open--;
		} else {
			at++;
		}
	}
}

static uint64_t
index_at(const struct dedup *d, uint32_t pos)
{
	/* The latest index below next at this place of the ring. */
	return d->next - 1 - ((d->next - 1 - pos) & MASK);
}

static void
unchain(struct dedup *d, uint32_t pos)
{
	struct dedup_recent *e = &d->recent[pos];
	uint32_t at = d->bucket[e->bucket];

	if (at == pos + 1) {
		d->bucket[e->bucket] = e->next;
	} else {
		while (d->recent[at - 1].next != pos + 1)
			at = d->recent[at - 1].next;
		d->recent[at - 1].next = e->next;
	}
	e->kind = 0;
	e->open = 0;
}

bool
dedup_find(struct dedup *d, const uint8_t *id, enum record_kind kind, uint64_t *ret_index)
{
	for (uint32_t at = d->bucket[hash_id(d, id) & MASK]; at != 0; at = d->recent[at - 1].next) {
		const struct dedup_recent *e = &d->recent[at - 1];

		if (e->kind == kind && memcmp(e->id, id, RECORD_ID_BYTES) == 0) {
			*ret_index = index_at(d, at - 1);
			return true;
		}
	}
	if (kind == RECORD_REQUEST && d->old_count > 0) {
		const struct dedup_old *o = &d->old[old_place(d, id)];

		if (o->index_plus != 0) {
			*ret_index = o->index_plus - 1;
			return true;
		}
	}
	return false;
}

enum im_rc
dedup_add(struct dedup *d, const uint8_t *id, enum record_kind kind)
{
	uint32_t pos = d->next & MASK;
	struct dedup_recent *e = &d->recent[pos];

	d->recalled = false;
	if (e->kind != 0) {
		if (e->open) {
			if (old_grow(d) != IM_OK)
				return IM_ENOMEM;
			old_put(d, e->id, d->next - DEDUP_RECENT);
		}
		unchain(d, pos);
	}
	d->next++;
	if ((d->next & MASK) == 0)
		old_sweep(d);
	if (id == NULL)
		return IM_OK;
	memcpy(e->id, id, RECORD_ID_BYTES);
	e->kind = (uint8_t)kind;
	e->open = kind == RECORD_REQUEST;
	d->open += e->open;
	e->bucket = (uint32_t)hash_id(d, id) & MASK;
	e->next = d->bucket[e->bucket];
	d->bucket[e->bucket] = pos + 1;
	return IM_OK;
}

void
dedup_pop(struct dedup *d)
{
	uint32_t pos;

	assert(d->next > d->settled);
	pos = (d->next - 1) & MASK;
	if (d->recent[pos].kind != 0) {
		d->open -= d->recent[pos].open;
		unchain(d, pos);
	}
	d->next--;
}

static void
close_old(struct dedup *d, const uint8_t *id)
{
	size_t place;

	if (d->old_count == 0)
		return;
	place = old_place(d, id);
	if (d->old[place].index_plus != 0) {
		old_remove(d, place);
		d->open--;
	}
}

/* The REQUEST that 'terminal' ends has its terminal record. */
static void
close_request(struct dedup *d, const struct dedup_recent *terminal)
{
	for (uint32_t at = d->bucket[terminal->bucket]; at != 0; at = d->recent[at - 1].next) {
		struct dedup_recent *e = &d->recent[at - 1];

		if (e->open && memcmp(e->id, terminal->id, RECORD_ID_BYTES) == 0) {
			e->open = 0;
			d->open--;
			return;
		}
	}
	close_old(d, terminal->id);
}

void
dedup_settle(struct dedup *d)
{
	for (; d->settled < d->next; d->settled++) {
		const struct dedup_recent *e = &d->recent[d->settled & MASK];

		if (e->kind != 0 && record_is_terminal((enum record_kind)e->kind))
			close_request(d, e);
	}
}

enum im_rc
dedup_recall(struct dedup *d, const uint8_t *id, enum record_kind kind, uint64_t end)
{
	enum im_rc rc;
	size_t was;

	if (!d->recalled || d->next + DEDUP_RECENT >= end) {
		rc = dedup_add(d, id, kind);
		if (rc == IM_OK)
			dedup_settle(d);
		return rc;
	}
	if (id != NULL && kind == RECORD_REQUEST) {
		if (old_grow(d) != IM_OK)
			return IM_ENOMEM;
		was = d->old_count;
		old_put(d, id, d->next);
		d->open += d->old_count - was;
	} else if (id != NULL && record_is_terminal(kind)) {
		close_old(d, id);
	}
	d->settled = ++d->next;
	if ((d->next & MASK) == 0)
		old_sweep(d);
	return IM_OK;
}
