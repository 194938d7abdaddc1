/*
 * router/limiter.c - finding, taking and settling; see limiter.h. Leases: limiter_lease.c.
 */
#include "router/limiter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "router/limiter_internal.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOTS_MIN 64

const char *
limit_scope_text(enum limit_scope scope)
{
	static const char *const texts[LIMIT_SCOPES] = { "key", "tenant", "global" };

	return texts[scope];
}

const char *
limit_kind_text(enum limit_kind kind)
{
	return kind == LIMIT_REQUESTS ? "requests" : "tokens";
}

static uint64_t
hash_of(const struct limiter *l, enum limit_scope scope, const char *name)
{
	return XXH3_64bits_withSeed(name, strlen(name), l->seed + (uint64_t)scope);
}

static struct limit_entry *
find(const struct limiter *l, enum limit_scope scope, const char *name, uint64_t hash)
{
	struct limit_entry *e = l->slots[hash & (l->slot_count - 1)];

	while (e != NULL && (e->hash != hash || e->scope != scope || strcmp(e->name, name) != 0)) {
		e = e->next;
	}
	return e;
}

/* Twice the slots. Without memory the chains get longer, and that is all. */
static void
grow(struct limiter *l)
{
	uint32_t slot_count = 2 * l->slot_count;
	struct limit_entry **slots = calloc(slot_count, sizeof(struct limit_entry *));

	if (slots == NULL) {
		return;
	}
	for (uint32_t i = 0; i < l->slot_count; i++) {
		for (struct limit_entry *e = l->slots[i], *next; e != NULL; e = next) {
			struct limit_entry **to = &slots[e->hash & (slot_count - 1)];

			next = e->next;
			e->next = *to;
			*to = e;
		}
	}
	free(l->slots);
	l->slots = slots;
	l->slot_count = slot_count;
}

/* NULL: too many names at once, or no memory. */
static struct limit_entry *
add(struct limiter *l, struct limit_rule *rule, const char *name, uint64_t hash, uint64_t now_ms)
{
	size_t size = strlen(name) + 1;
	struct limit_entry *e = NULL, **to;

	if (l->count < LIMITER_BUCKETS_MAX) {
		e = calloc(1, sizeof(*e) + size);
	}
	if (e == NULL) {
		return NULL;
	}
	if (l->count >= l->slot_count) {
		grow(l);
	}
	e->rule = rule;
	e->scope = rule->scope;
	e->hash = hash;
	memcpy(e->name, name, size);
	LIMITER_EACH_KIND (e, kind) {
		limit_bucket_init(&e->bucket[kind], &rule->rate[kind], now_ms);
	}
	to = &l->slots[hash & (l->slot_count - 1)];
	e->next = *to;
	*to = e;
	list_push_back(&l->ring, &e->ring_node);
	l->count++;
	rule->buckets++;
	return e;
}

static void
forget(struct limiter *l, struct limit_entry *e)
{
	struct limit_entry **at = &l->slots[e->hash & (l->slot_count - 1)];

	while (*at != e) {
		at = &(*at)->next;
	}
	*at = e->next;
	list_remove(&e->ring_node);
	list_remove(&e->lease_node);
	list_remove(&e->due_node);
	l->count--;
	e->rule->buckets--;
	free(e);
}

enum im_rc
limiter_init(struct limiter *l, struct limit_rule *rules, size_t rule_count, uint64_t seed,
	     uint64_t now_ms)
{
	memset(l, 0, sizeof(*l));
	l->rules = rules;
	l->rule_count = rule_count;
	l->seed = seed;
	list_init(&l->ring);
	list_init(&l->leased);
	list_init(&l->due);
	l->slot_count = SLOTS_MIN;
	l->slots = calloc(l->slot_count, sizeof(struct limit_entry *));
	if (l->slots == NULL) {
		return IM_ENOMEM;
	}
	for (size_t i = 0; i < rule_count; i++) {
		struct limit_rule *rule = &rules[i];
		struct limit_entry *e;

		rule->buckets = 0;
		rule->own = NULL;
		l->scope_used[rule->scope] = true;
		if (rule->name == NULL) {
			l->each[rule->scope] = rule;
			continue;
		}
		e = add(l, rule, rule->name, hash_of(l, rule->scope, rule->name), now_ms);
		if (e == NULL) {
			limiter_done(l);
			return IM_ENOMEM;
		}
		e->pinned = true;
		rule->own = e;
	}
	return IM_OK;
}

void
limiter_done(struct limiter *l)
{
	if (l->slots == NULL) {
		return;
	}
	LIST_FOREACH_SAFE (&l->ring, e, struct limit_entry, ring_node) {
		assert(e->users == 0);
		forget(l, e);
	}
	free(l->slots);
	l->slots = NULL;
}

static void
refill(struct limit_entry *e, uint64_t now_ms)
{
	LIMITER_EACH_KIND (e, kind) {
		limit_bucket_refill(&e->bucket[kind], &e->rule->rate[kind], now_ms);
	}
}

/* The limits that apply, into 'set'. False: one of them has no place. */
static bool
find_all(struct limiter *l, const struct limit_ask *ask, uint64_t now_ms, struct limit_hold *set)
{
	const char *names[LIMIT_SCOPES] = { ask->key, ask->tenant, "" };

	for (int i = 0; i < LIMIT_SCOPES; i++) {
		enum limit_scope scope = (enum limit_scope)i;
		struct limit_entry *e;
		uint64_t hash;

		if (!l->scope_used[scope]) {
			continue;
		}
		hash = hash_of(l, scope, names[scope]);
		e = find(l, scope, names[scope], hash);
		if (e == NULL && l->each[scope] != NULL) {
			e = add(l, l->each[scope], names[scope], hash, now_ms);
			if (e == NULL) {
				return false;
			}
		}
		if (e != NULL) {
			refill(e, now_ms);
			set->entry[set->count++] = e;
		}
	}
	return true;
}

static void
tighter(struct im_rate *rate, const struct limit_bucket *b, const struct limit_rate *of)
{
	struct im_rate other = { of->burst, limit_bucket_left(b), limit_bucket_reset_ms(b, of) };

	if (rate->limit == 0 || other.remaining < rate->remaining ||
	    (other.remaining == rate->remaining && other.reset_ms > rate->reset_ms)) {
		*rate = other;
	}
}

static void
tell_rates(const struct limit_hold *set, struct im_rates *ret)
{
	struct im_rate *const to[LIMIT_KINDS] = { &ret->requests, &ret->tokens };

	for (uint32_t i = 0; i < set->count; i++) {
		const struct limit_entry *e = set->entry[i];

		LIMITER_EACH_KIND (e, kind) {
			tighter(to[kind], &e->bucket[kind], &e->rule->rate[kind]);
		}
	}
}

/* The rule with the smallest bucket for tokens; NULL: none limits them. */
static const struct limit_rule *
smallest_of(const struct limit_hold *set)
{
	const struct limit_rule *smallest = NULL;

	for (uint32_t i = 0; i < set->count; i++) {
		const struct limit_rule *rule = set->entry[i]->rule;

		if (rule->rate[LIMIT_TOKENS].per_minute != 0 &&
		    (smallest == NULL ||
		     rule->rate[LIMIT_TOKENS].burst < smallest->rate[LIMIT_TOKENS].burst)) {
			smallest = rule;
		}
	}
	return smallest;
}

/* How many tokens are to be reserved, into '*ret_tokens'. False: they would never fit. */
static bool
size_up(const struct limit_ask *ask, const struct limit_hold *set, uint32_t *ret_tokens,
	struct limit_verdict *ret)
{
	const struct limit_rule *smallest = smallest_of(set);
	uint64_t answer = ask->completion_tokens, least, all;

	*ret_tokens = 0;
	if (smallest == NULL) {
		return true;
	}
	ret->most = smallest->rate[LIMIT_TOKENS].burst;
	if (!ask->stated && answer > ret->most / LIMITER_UNSTATED_SHARE) {
		answer = ret->most / LIMITER_UNSTATED_SHARE;
	}
	all = ask->prompt_tokens + answer;
	least = ask->stated ? all : ask->prompt_tokens;
	if (least > ret->most) {
		ret->result = LIMIT_TOO_LARGE;
		ret->rule = smallest;
		ret->kind = LIMIT_TOKENS;
		ret->asked = least;
		return false;
	}
	*ret_tokens = (uint32_t)(all < ret->most ? all : ret->most);
	return true;
}

/* Looks at all buckets even so, for the longest wait and, in shared ones, so that the next leases are what is wanted. */
static bool
all_have(const struct limiter *l, const struct limit_hold *set, const uint32_t n[LIMIT_KINDS],
	 struct limit_verdict *ret)
{
	bool all = true;

	for (uint32_t i = 0; i < set->count; i++) {
		struct limit_entry *e = set->entry[i];

		LIMITER_EACH_KIND (e, kind) {
			const struct limit_rate *rate = &e->rule->rate[kind];
			struct limit_bucket *b = &e->bucket[kind];
			uint32_t wait_ms;

			if (limit_bucket_has(b, rate, n[kind], l->mode == LIMITER_SHARED)) {
				continue;
			}
			all = false;
			wait_ms = limit_bucket_wait_ms(b, rate, n[kind]);
			if (wait_ms >= ret->retry_ms) {
				ret->rule = e->rule;
				ret->kind = kind;
				ret->asked = n[kind];
				ret->retry_ms = wait_ms;
			}
		}
	}
	return all;
}

static void
take(struct limiter *l, const struct limit_hold *set, const uint32_t n[LIMIT_KINDS],
     struct limit_hold *hold)
{
	*hold = *set;
	if (hold->count == 0) {
		return;
	}
	for (uint32_t i = 0; i < hold->count; i++) {
		struct limit_entry *e = hold->entry[i];

		e->users++;
		LIMITER_EACH_KIND (e, kind) {
			limit_bucket_take(&e->bucket[kind], n[kind], l->mode == LIMITER_SHARED);
		}
	}
	hold->tokens = n[LIMIT_TOKENS];
	hold->epoch = l->epoch;
	l->reservations++;
	l->reserved_tokens += hold->tokens;
}

/* True if a limit applies; makes no bucket for it. */
static bool
any_applies(const struct limiter *l, const struct limit_ask *ask)
{
	const char *names[LIMIT_SCOPES] = { ask->key, ask->tenant, "" };

	for (int i = 0; i < LIMIT_SCOPES; i++) {
		enum limit_scope scope = (enum limit_scope)i;

		if (l->each[scope] != NULL) {
			return true;
		}
		if (l->scope_used[scope] &&
		    find(l, scope, names[scope], hash_of(l, scope, names[scope])) != NULL) {
			return true;
		}
	}
	return false;
}

void
limiter_acquire(struct limiter *l, const struct limit_ask *ask, uint64_t now_ms,
		struct limit_hold *hold, struct limit_verdict *ret)
{
	struct limit_hold set = { 0 };
	uint32_t n[LIMIT_KINDS] = { 1, 0 };

	memset(hold, 0, sizeof(*hold));
	memset(ret, 0, sizeof(*ret));
	if (l->mode == LIMITER_ALLOW || l->mode == LIMITER_REFUSE) {
		ret->result =
		    l->mode == LIMITER_REFUSE && any_applies(l, ask) ? LIMIT_AWAY : LIMIT_OK;
		return;
	}
	if (!find_all(l, ask, now_ms, &set)) {
		ret->result = LIMIT_CROWDED;
		return;
	}
	if (size_up(ask, &set, &n[LIMIT_TOKENS], ret)) {
		if (all_have(l, &set, n, ret)) {
			take(l, &set, n, hold);
		} else {
			ret->result = LIMIT_EXCEEDED;
		}
		for (uint32_t i = 0; i < set.count; i++) {
			limiter_touch(l, set.entry[i], now_ms);
		}
	}
	tell_rates(&set, &ret->rates);
}

/* Give the hold up: of kind 'kind' 'used' were needed instead of 'reserved'. */
static void
settle_kind(struct limiter *l, const struct limit_hold *hold, enum limit_kind kind,
	    uint64_t reserved, uint64_t used, uint64_t now_ms)
{
	for (uint32_t i = 0; i < hold->count; i++) {
		struct limit_entry *e = hold->entry[i];
		const struct limit_rate *rate = &e->rule->rate[kind];
		struct limit_bucket *b = &e->bucket[kind];

		if (rate->per_minute == 0 || reserved == used) {
			continue;
		}
		limit_bucket_refill(b, rate, now_ms);
		limit_bucket_settle(b, rate, reserved, used, l->mode == LIMITER_SHARED,
				    hold->epoch == l->epoch);
		limiter_touch(l, e, now_ms);
	}
}

void
limiter_settle(struct limiter *l, struct limit_hold *hold, uint64_t used_tokens, uint64_t now_ms)
{
	if (hold->count == 0) {
		return;
	}
	settle_kind(l, hold, LIMIT_TOKENS, hold->tokens, used_tokens, now_ms);
	for (uint32_t i = 0; i < hold->count; i++) {
		hold->entry[i]->users--;
	}
	l->reservations--;
	l->reserved_tokens -= hold->tokens;
	memset(hold, 0, sizeof(*hold));
}

void
limiter_pass(struct limiter *l, struct limit_hold *from, struct limit_hold *to)
{
	*to = *from;
	if (from->count == 0) {
		return;
	}
	for (uint32_t i = 0; i < from->count; i++) {
		from->entry[i]->users++;
	}
	l->reservations++;
	from->tokens = 0;
}

void
limiter_ease(struct limiter *l, struct limit_hold *hold, uint64_t now_ms)
{
	settle_kind(l, hold, LIMIT_TOKENS, hold->tokens, 0, now_ms);
	l->reserved_tokens -= hold->tokens;
	hold->tokens = 0;
}

void
limiter_undo(struct limiter *l, struct limit_hold *hold, uint64_t now_ms)
{
	settle_kind(l, hold, LIMIT_REQUESTS, 1, 0, now_ms);
	limiter_settle(l, hold, 0, now_ms);
}

uint32_t
limiter_left(const struct limit_rule *rule, enum limit_kind kind, uint64_t now_ms)
{
	limit_bucket_refill(&rule->own->bucket[kind], &rule->rate[kind], now_ms);
	return limit_bucket_left(&rule->own->bucket[kind]);
}

static bool
is_forgettable(const struct limit_entry *e)
{
	bool fresh = !e->pinned && e->users == 0 && !list_linked(&e->due_node);

	LIMITER_EACH_KIND (e, kind) {
		fresh = fresh && limit_bucket_is_fresh(&e->bucket[kind], &e->rule->rate[kind]);
	}
	return fresh;
}

void
limiter_sweep(struct limiter *l, uint64_t now_ms)
{
	uint32_t looks = l->count < LIMITER_SWEEP ? l->count : LIMITER_SWEEP;

	limiter_sweep_leases(l, now_ms);
	while (looks-- > 0) {
		struct list *node = list_pop_front(&l->ring);
		struct limit_entry *e = CONTAINER_OF(node, struct limit_entry, ring_node);

		list_push_back(&l->ring, node);
		refill(e, now_ms);
		if (is_forgettable(e)) {
			forget(l, e);
		}
	}
}
