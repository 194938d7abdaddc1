/*
 * wire/routing.c - see routing.h.
 */
#include "wire/routing.h"

#include <string.h>

#include "wire/audit_tags.h"
#include "wire/text.h"
#include "wire/writer.h"

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
seen_put(const struct worker_load *w, struct buf *out)
{
	size_t begun = writer_begin(out, ROUTING_SEEN);

	writer_text(out, LOAD_WORKER, w->worker);
	writer_num(out, LOAD_IN_FLIGHT, w->in_flight);
	writer_num(out, LOAD_STATE, w->state);
	writer_num(out, LOAD_BREAKER, w->breaker);
	writer_num(out, LOAD_WEIGHT, w->weight);
	writer_end(out, begun);
}

static void
failed_put(const struct failed_attempt *f, struct buf *out)
{
	size_t begun = writer_begin(out, ROUTING_FAILED);

	writer_text(out, FAILED_WORKER, f->worker);
	writer_text(out, FAILED_REASON, f->reason);
	writer_end(out, begun);
}

void
routing_put(const struct routing *r, struct buf *out)
{
	writer_text(out, ROUTING_WORKER, r->worker);
	writer_text(out, ROUTING_POLICY, r->policy);
	for (size_t i = 0; i < at_most(r->seen_count, AUDIT_SEEN_MAX); i++)
		seen_put(&r->seen[i], out);
	if (r->has_cache_key)
		writer_bytes(out, ROUTING_CACHE_KEY, r->cache_key, sizeof(r->cache_key));
	writer_num(out, ROUTING_ATTEMPTS, r->attempts);
	writer_text(out, ROUTING_REASON, r->reason);
	writer_text(out, ROUTING_ROUTE, r->route);
	writer_text(out, ROUTING_ARM, r->arm);
	writer_text(out, ROUTING_FALLBACK, r->fallback);
	writer_text(out, ROUTING_RULE, r->rule);
	if (r->has_leader)
		writer_bytes(out, ROUTING_LEADER, r->leader, sizeof(r->leader));
	for (size_t i = 0; i < at_most(r->failed_count, AUDIT_FAILED_MAX); i++)
		failed_put(&r->failed[i], out);
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
usage_put(const struct usage *u, struct buf *out)
{
	writer_num(out, USAGE_PROMPT, u->prompt_tokens);
	writer_num(out, USAGE_COMPLETION, u->completion_tokens);
	writer_num(out, USAGE_CACHED, u->cached_tokens);
	writer_num(out, USAGE_REASONING, u->reasoning_tokens);
}

void
gap_put(const struct gap *g, struct buf *out)
{
	writer_num(out, GAP_COUNT, g->count);
	writer_num(out, GAP_FROM_US, g->from_us);
	writer_num(out, GAP_TO_US, g->to_us);
	writer_text(out, GAP_REASON, g->reason);
}

struct gap
gap_in(const Infermesh__V1__Gap *m)
{
	if (m == NULL)
		return (struct gap){ .reason = "" };
	return (struct gap){ m->count, m->from_us, m->to_us, m->reason };
}
