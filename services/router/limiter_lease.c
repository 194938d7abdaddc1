/*
 * router/limiter_lease.c - buckets that several routers share: which entries have something to ask, and what the answer
 * changes; see limiter.h.
 */
#include <assert.h>

#include "router/limiter_internal.h"

static bool
is_due(const struct limit_entry *e, uint64_t now_ms)
{
	bool due = false;

	LIMITER_EACH_KIND (e, kind) {
		due = due || limit_bucket_is_due(&e->bucket[kind], &e->rule->rate[kind], now_ms);
	}
	return due;
}

static bool
holds_any(const struct limit_entry *e)
{
	bool holds = false;

	LIMITER_EACH_KIND (e, kind) {
		holds = holds || e->bucket[kind].held != 0;
	}
	return holds;
}

void
limiter_touch(struct limiter *l, struct limit_entry *e, uint64_t now_ms)
{
	if (l->mode != LIMITER_SHARED || e->asked) {
		return;
	}
	if (is_due(e, now_ms) && !list_linked(&e->due_node)) {
		list_push_back(&l->due, &e->due_node);
	}
	if (holds_any(e) && !list_linked(&e->lease_node)) {
		list_push_back(&l->leased, &e->lease_node);
	}
}

/* Leases stand in the order of their answers, so also of their ends. */
void
limiter_sweep_leases(struct limiter *l, uint64_t now_ms)
{
	LIST_FOREACH_SAFE (&l->leased, e, struct limit_entry, lease_node) {
		if (!holds_any(e)) {
			list_remove(&e->lease_node);
			continue;
		}
		if (!e->asked && !is_due(e, now_ms)) {
			return;
		}
		limiter_touch(l, e, now_ms);
	}
}

struct limit_entry *
limiter_ask(struct limiter *l)
{
	struct list *node = list_pop_front(&l->due);
	struct limit_entry *e;

	if (node == NULL) {
		return NULL;
	}
	e = CONTAINER_OF(node, struct limit_entry, due_node);
	e->asked = true;
	e->users++;
	LIMITER_EACH_KIND (e, kind) {
		limit_bucket_ask(&e->bucket[kind], &e->rule->rate[kind], &e->question[kind]);
	}
	return e;
}

void
limiter_answered(struct limiter *l, struct limit_entry *e, const int64_t granted[LIMIT_KINDS],
		 const int64_t level[LIMIT_KINDS], uint64_t now_ms)
{
	assert(e->asked);
	e->asked = false;
	e->users--;
	LIMITER_EACH_KIND (e, kind) {
		limit_bucket_answer(&e->bucket[kind], &e->rule->rate[kind], e->question[kind].want,
				    granted[kind], level[kind], now_ms);
	}
	list_remove(&e->lease_node);
	limiter_touch(l, e, now_ms);
}

void
limiter_unanswered(struct limiter *l, struct limit_entry *e)
{
	(void)l;
	assert(e->asked);
	e->asked = false;
	e->users--;
	LIMITER_EACH_KIND (e, kind) {
		limit_bucket_unanswered(&e->bucket[kind]);
	}
}

void
limiter_return_leases(struct limiter *l, uint64_t now_ms)
{
	LIST_FOREACH (&l->leased, e, struct limit_entry, lease_node) {
		LIMITER_EACH_KIND (e, kind) {
			e->bucket[kind].used = false;
			e->bucket[kind].until_ms = now_ms;
		}
		limiter_touch(l, e, now_ms);
	}
}

void
limiter_set_mode(struct limiter *l, enum limiter_mode mode, uint64_t now_ms)
{
	bool was_shared = l->mode == LIMITER_SHARED;

	if (mode == l->mode) {
		return;
	}
	l->mode = mode;
	l->epoch++;
	LIST_FOREACH (&l->ring, e, struct limit_entry, ring_node) {
		assert(!e->asked);
		list_remove(&e->due_node);
		list_remove(&e->lease_node);
		LIMITER_EACH_KIND (e, kind) {
			struct limit_bucket *b = &e->bucket[kind];

			limit_bucket_refill(b, &e->rule->rate[kind], now_ms);
			if (was_shared) {
				limit_bucket_make_local(b, &e->rule->rate[kind]);
			} else if (mode == LIMITER_SHARED) {
				limit_bucket_make_shared(b);
			}
		}
	}
}
