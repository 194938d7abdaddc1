/*
 * wire/routing.c - see routing.h.
 */
#include "wire/routing.h"

#include <string.h>

#include "wire/text.h"

const char *
seen_state_text(enum seen_state state)
{
	static const char *const text[] = { "",        "joining",  "ready", "suspect",
					    "ejected", "draining", "gone" };

	return (unsigned)state < sizeof(text) / sizeof(text[0]) ? text[state] : "?";
}

const char *
seen_breaker_text(enum seen_breaker state)
{
	static const char *const text[] = { "", "closed", "open", "half_open" };

	return (unsigned)state < sizeof(text) / sizeof(text[0]) ? text[state] : "?";
}

ProtobufCBinaryData
exact_out(bool has, const uint8_t *data, size_t len)
{
	return has ? bytes_out(data, len) : bytes_out(NULL, 0);
}

bool
exact_in(const ProtobufCBinaryData *b, size_t want, uint8_t *ret, bool *ret_has)
{
	*ret_has = b->len != 0;
	if (b->len != 0 && b->len != want)
		return false;
	if (b->len != 0)
		memcpy(ret, b->data, want);
	return true;
}

static size_t
at_most(size_t count, size_t max)
{
	return count < max ? count : max;
}

static void
seen_out(const struct routing *r, struct routing_packed *ret)
{
	ret->m.n_seen = at_most(r->seen_count, AUDIT_SEEN_MAX);
	ret->m.seen = ret->seen_list;
	for (size_t i = 0; i < ret->m.n_seen; i++) {
		infermesh__v1__worker_load__init(&ret->seen[i]);
		ret->seen[i].worker = text_out(r->seen[i].worker);
		ret->seen[i].in_flight = r->seen[i].in_flight;
		ret->seen[i].state = (Infermesh__V1__WorkerState)r->seen[i].state;
		ret->seen[i].breaker = (Infermesh__V1__BreakerState)r->seen[i].breaker;
		ret->seen[i].weight = r->seen[i].weight;
		ret->seen_list[i] = &ret->seen[i];
	}
}

static void
failed_out(const struct routing *r, struct routing_packed *ret)
{
	ret->m.n_failed = at_most(r->failed_count, AUDIT_FAILED_MAX);
	ret->m.failed = ret->failed_list;
	for (size_t i = 0; i < ret->m.n_failed; i++) {
		infermesh__v1__failed_attempt__init(&ret->failed[i]);
		ret->failed[i].worker = text_out(r->failed[i].worker);
		ret->failed[i].reason = text_out(r->failed[i].reason);
		ret->failed_list[i] = &ret->failed[i];
	}
}

void
routing_out(const struct routing *r, struct routing_packed *ret)
{
	Infermesh__V1__Routing *m = &ret->m;

	infermesh__v1__routing__init(m);
	m->worker = text_out(r->worker);
	m->policy = text_out(r->policy);
	m->reason = text_out(r->reason);
	m->attempts = r->attempts;
	m->cache_key = exact_out(r->has_cache_key, r->cache_key, sizeof(r->cache_key));
	m->route = text_out(r->route);
	m->arm = text_out(r->arm);
	m->fallback = text_out(r->fallback);
	m->rule = text_out(r->rule);
	m->leader = exact_out(r->has_leader, r->leader, sizeof(r->leader));
	seen_out(r, ret);
	failed_out(r, ret);
}

static bool
seen_in(const Infermesh__V1__Routing *m, struct routing *ret)
{
	if (m->n_seen > AUDIT_SEEN_MAX)
		return false;
	ret->seen_count = m->n_seen;
	for (size_t i = 0; i < m->n_seen; i++) {
		const Infermesh__V1__WorkerLoad *w = m->seen[i];

		if ((unsigned)w->state > SEEN_GONE || (unsigned)w->breaker > SEEN_BREAKER_HALF_OPEN)
			return false;
		ret->seen[i] = (struct worker_load){ .worker = w->worker,
						     .in_flight = w->in_flight,
						     .state = (enum seen_state)w->state,
						     .breaker = (enum seen_breaker)w->breaker,
						     .weight = w->weight };
	}
	return true;
}

static bool
failed_in(const Infermesh__V1__Routing *m, struct routing *ret)
{
	if (m->n_failed > AUDIT_FAILED_MAX)
		return false;
	ret->failed_count = m->n_failed;
	for (size_t i = 0; i < m->n_failed; i++) {
		if (strlen(m->failed[i]->reason) > AUDIT_WHY_MAX)
			return false;
		ret->failed[i] =
		    (struct failed_attempt){ m->failed[i]->worker, m->failed[i]->reason };
	}
	return true;
}

static bool
route_in(const Infermesh__V1__Routing *m, struct routing *ret)
{
	ret->route = m->route;
	ret->arm = m->arm;
	ret->fallback = m->fallback;
	ret->rule = m->rule;
	return strlen(m->route) <= AUDIT_ROUTE_MAX && strlen(m->arm) <= AUDIT_ROUTE_MAX &&
	       strlen(m->fallback) <= AUDIT_ROUTE_MAX && strlen(m->rule) <= AUDIT_ROUTE_MAX &&
	       exact_in(&m->leader, sizeof(ret->leader), ret->leader, &ret->has_leader);
}

bool
routing_in(const Infermesh__V1__Routing *m, struct routing *ret)
{
	struct routing r = { .worker = "",
			     .policy = "",
			     .reason = "",
			     .route = "",
			     .arm = "",
			     .fallback = "",
			     .rule = "" };

	if (m != NULL) {
		r.worker = m->worker;
		r.policy = m->policy;
		r.reason = m->reason;
		r.attempts = m->attempts;
		if (!seen_in(m, &r) || !failed_in(m, &r) || !route_in(m, &r) ||
		    !exact_in(&m->cache_key, sizeof(r.cache_key), r.cache_key, &r.has_cache_key))
			return false;
	}
	*ret = r;
	return true;
}

void
gap_out(const struct gap *g, Infermesh__V1__Gap *ret)
{
	infermesh__v1__gap__init(ret);
	ret->count = g->count;
	ret->from_us = g->from_us;
	ret->to_us = g->to_us;
	ret->reason = text_out(g->reason);
}

struct gap
gap_in(const Infermesh__V1__Gap *m)
{
	if (m == NULL)
		return (struct gap){ .reason = "" };
	return (struct gap){ m->count, m->from_us, m->to_us, m->reason };
}
