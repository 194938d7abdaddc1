/*
 * wire/status_msg.c - what the router says about itself and its workers; see mesh.h and operator.h.
 */
#include "infermesh/v1/router.pb-c.h"
#include "wire/operator.h"
#include "wire/routing.h"
#include "wire/text.h"
#include "wire/usage.h"

static enum im_rc
no_memory(struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "a message needs more memory than allowed");
}

/* One worker and what its packed form points to besides its breakers. */
struct worker_packed {
	Infermesh__V1__WorkerStatus m;
	Infermesh__V1__Load load;
};

static bool
breakers_out(const struct worker_status *w, struct arena *tmp, Infermesh__V1__WorkerStatus *m)
{
	Infermesh__V1__ModelBreaker *room = arena_calloc(tmp, w->breaker_count + 1, sizeof(*room));
	Infermesh__V1__ModelBreaker **list =
	    arena_calloc(tmp, w->breaker_count + 1, sizeof(void *));

	if (room == NULL || list == NULL)
		return false;
	for (size_t i = 0; i < w->breaker_count; i++) {
		infermesh__v1__model_breaker__init(&room[i]);
		room[i].state = (Infermesh__V1__BreakerState)w->breakers[i].state;
		room[i].open_ms = w->breakers[i].open_ms;
		room[i].failures = w->breakers[i].failures;
		list[i] = &room[i];
	}
	m->n_breakers = w->breaker_count;
	m->breakers = list;
	return true;
}

static bool
worker_out(const struct worker_status *w, struct arena *tmp, struct worker_packed *ret)
{
	Infermesh__V1__WorkerStatus *m = &ret->m;

	infermesh__v1__worker_status__init(m);
	load_out(&w->load, &ret->load);
	m->name = text_out(w->name);
	m->backend = text_out(w->backend);
	m->state = text_out(w->state);
	m->n_models = w->model_count;
	m->models = texts_out(w->models);
	m->slots = w->slots;
	m->load = &ret->load;
	m->dispatched = w->dispatched;
	m->succeeded = w->succeeded;
	m->failed = w->failed;
	m->weight = w->weight;
	m->effective_weight = w->effective_weight;
	m->backup = w->backup;
	m->weight_by_operator = w->weight_by_operator;
	m->drained_by_operator = w->drained_by_operator;
	m->recent_ms = w->recent_ms;
	m->recent_requests = w->recent_requests;
	m->recent_failed = w->recent_failed;
	m->p50_us = w->p50_us;
	m->p99_us = w->p99_us;
	return breakers_out(w, tmp, m);
}

static void
scalars_out(const struct router_status *s, Infermesh__V1__StatusReply *m)
{
	m->name = text_out(s->name);
	m->version = text_out(s->version);
	m->audit = text_out(s->audit);
	m->cache = text_out(s->cache);
	m->limits = text_out(s->limits);
	m->uptime_ms = s->uptime_ms;
	m->draining = s->draining;
	m->calls = s->calls;
	m->queued = s->queued;
	m->slots = s->slots;
	m->records_pending = s->records_pending;
	m->records_dropped = s->records_dropped;
	m->admitted = s->admitted;
	m->ended = s->ended;
	m->refused = s->refused;
	m->coalesced = s->coalesced;
	m->retried = s->retried;
	m->slots_leaked = s->slots_leaked;
	m->reporter = exact_out(s->has_reporter, s->reporter, sizeof(s->reporter));
}

static bool
workers_out(const struct router_status *s, struct arena *tmp, Infermesh__V1__StatusReply *m)
{
	struct worker_packed *room = arena_calloc(tmp, s->worker_count + 1, sizeof(*room));
	Infermesh__V1__WorkerStatus **list = arena_calloc(tmp, s->worker_count + 1, sizeof(void *));

	if (room == NULL || list == NULL)
		return false;
	for (size_t i = 0; i < s->worker_count; i++) {
		if (!worker_out(&s->workers[i], tmp, &room[i]))
			return false;
		list[i] = &room[i].m;
	}
	m->n_workers = s->worker_count;
	m->workers = list;
	return true;
}

static bool
queues_out(const struct router_status *s, struct arena *tmp, Infermesh__V1__StatusReply *m)
{
	Infermesh__V1__QueueStatus *room = arena_calloc(tmp, s->queue_count + 1, sizeof(*room));
	Infermesh__V1__QueueStatus **list = arena_calloc(tmp, s->queue_count + 1, sizeof(void *));

	if (room == NULL || list == NULL)
		return false;
	for (size_t i = 0; i < s->queue_count; i++) {
		infermesh__v1__queue_status__init(&room[i]);
		room[i].model = text_out(s->queues[i].model);
		room[i].priority = text_out(s->queues[i].priority);
		room[i].waiting = s->queues[i].waiting;
		list[i] = &room[i];
	}
	m->n_queues = s->queue_count;
	m->queues = list;
	return true;
}

static bool
decisions_out(const struct router_status *s, struct arena *tmp, Infermesh__V1__StatusReply *m)
{
	Infermesh__V1__DecisionCount *room =
	    arena_calloc(tmp, s->decision_count + 1, sizeof(*room));
	Infermesh__V1__DecisionCount **list =
	    arena_calloc(tmp, s->decision_count + 1, sizeof(void *));

	if (room == NULL || list == NULL)
		return false;
	for (size_t i = 0; i < s->decision_count; i++) {
		infermesh__v1__decision_count__init(&room[i]);
		room[i].policy = text_out(s->decisions[i].policy);
		room[i].reason = text_out(s->decisions[i].reason);
		room[i].count = s->decisions[i].count;
		list[i] = &room[i];
	}
	m->n_decisions = s->decision_count;
	m->decisions = list;
	return true;
}

void
router_status_encode(const struct router_status *s, struct buf *out)
{
	Infermesh__V1__StatusReply m = INFERMESH__V1__STATUS_REPLY__INIT;
	struct arena tmp = { 0 };

	scalars_out(s, &m);
	if (workers_out(s, &tmp, &m) && queues_out(s, &tmp, &m) && decisions_out(s, &tmp, &m))
		wire_pack(&m.base, out);
	else
		out->failed = true;
	arena_done(&tmp);
}

static enum im_rc
worker_in(const Infermesh__V1__WorkerStatus *m, struct arena *arena, struct worker_status *ret,
	  struct im_err *err)
{
	*ret = (struct worker_status){
		.name = m->name,
		.backend = m->backend,
		.state = m->state,
		.models = texts_in(m->models),
		.model_count = m->n_models,
		.slots = m->slots,
		.load = load_in(m->load),
		.dispatched = m->dispatched,
		.succeeded = m->succeeded,
		.failed = m->failed,
		.weight = m->weight,
		.effective_weight = m->effective_weight,
		.backup = m->backup,
		.weight_by_operator = m->weight_by_operator,
		.drained_by_operator = m->drained_by_operator,
		.breakers = arena_calloc(arena, m->n_breakers + 1, sizeof(*ret->breakers)),
		.breaker_count = m->n_breakers,
		.recent_ms = m->recent_ms,
		.recent_requests = m->recent_requests,
		.recent_failed = m->recent_failed,
		.p50_us = m->p50_us,
		.p99_us = m->p99_us,
	};
	if (ret->breakers == NULL)
		return no_memory(err);
	for (size_t i = 0; i < m->n_breakers; i++) {
		if ((unsigned)m->breakers[i]->state > SEEN_BREAKER_HALF_OPEN)
			return err_set(err, IM_EINVAL, "breakers: %d is no state",
				       (int)m->breakers[i]->state);
		ret->breakers[i] =
		    (struct model_breaker){ (enum seen_breaker)m->breakers[i]->state,
					    m->breakers[i]->open_ms, m->breakers[i]->failures };
	}
	return IM_OK;
}

static struct router_status
scalars_in(const Infermesh__V1__StatusReply *m)
{
	return (struct router_status){
		.name = m->name,
		.version = m->version,
		.audit = m->audit,
		.cache = m->cache,
		.limits = m->limits,
		.uptime_ms = m->uptime_ms,
		.draining = m->draining,
		.worker_count = m->n_workers,
		.calls = m->calls,
		.queued = m->queued,
		.slots = m->slots,
		.records_pending = m->records_pending,
		.admitted = m->admitted,
		.ended = m->ended,
		.refused = m->refused,
		.records_dropped = m->records_dropped,
		.queue_count = m->n_queues,
		.decision_count = m->n_decisions,
		.coalesced = m->coalesced,
		.retried = m->retried,
		.slots_leaked = m->slots_leaked,
	};
}

enum im_rc
router_status_decode(const uint8_t *buf, size_t len, struct arena *arena, struct router_status *ret,
		     struct im_err *err)
{
	const Infermesh__V1__StatusReply *m;
	ProtobufCMessage *msg;
	struct router_status s;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__status_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__StatusReply *)msg;
	s = scalars_in(m);
	if (!exact_in(&m->reporter, sizeof(s.reporter), s.reporter, &s.has_reporter))
		return err_set(err, IM_EINVAL, "reporter: allowed are %zu bytes or none",
			       sizeof(s.reporter));
	s.workers = arena_calloc(arena, m->n_workers + 1, sizeof(*s.workers));
	s.queues = arena_calloc(arena, m->n_queues + 1, sizeof(*s.queues));
	s.decisions = arena_calloc(arena, m->n_decisions + 1, sizeof(*s.decisions));
	if (s.workers == NULL || s.queues == NULL || s.decisions == NULL)
		return no_memory(err);
	for (size_t i = 0; i < m->n_workers && rc == IM_OK; i++)
		rc = worker_in(m->workers[i], arena, &s.workers[i], err);
	for (size_t i = 0; i < m->n_queues; i++)
		s.queues[i] = (struct queue_status){ m->queues[i]->model, m->queues[i]->priority,
						     m->queues[i]->waiting };
	for (size_t i = 0; i < m->n_decisions; i++)
		s.decisions[i] =
		    (struct decision_count){ m->decisions[i]->policy, m->decisions[i]->reason,
					     m->decisions[i]->count };
	if (rc == IM_OK)
		*ret = s;
	return rc;
}

void
worker_status_encode(const struct worker_status *w, struct buf *out)
{
	Infermesh__V1__SetWorkerReply m = INFERMESH__V1__SET_WORKER_REPLY__INIT;
	struct worker_packed worker;
	struct arena tmp = { 0 };

	m.worker = &worker.m;
	if (worker_out(w, &tmp, &worker))
		wire_pack(&m.base, out);
	else
		out->failed = true;
	arena_done(&tmp);
}

enum im_rc
worker_status_decode(const uint8_t *buf, size_t len, struct arena *arena, struct worker_status *ret,
		     struct im_err *err)
{
	const Infermesh__V1__SetWorkerReply *m;
	ProtobufCMessage *msg;
	struct worker_status w;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__set_worker_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__SetWorkerReply *)msg;
	if (m->worker == NULL)
		return err_set(err, IM_EPROTO, "worker: missing");
	rc = worker_in(m->worker, arena, &w, err);
	if (rc == IM_OK)
		*ret = w;
	return rc;
}
