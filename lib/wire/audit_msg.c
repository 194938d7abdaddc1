/*
 * wire/audit_msg.c - messages to and from the audit service; see mesh.h.
 */
#include <string.h>

#include "infermesh/v1/audit.pb-c.h"
#include "wire/mesh.h"
#include "wire/text.h"
#include "wire/usage.h"

const char *
record_kind_text(enum record_kind kind)
{
	static const char *const text[] = {
		"?",      "REQUEST",      "RESPONSE",   "MODEL_LOAD", "MODEL_RELOAD",
		"CONFIG", "ROUTE_CHANGE", "KEY_ROTATE", "GAP",        "PRUNE",
		"ERASE",  "START",        "STOP"
	};

	return (unsigned)kind < sizeof(text) / sizeof(text[0]) ? text[kind] : "?";
}

const char *
outcome_text(enum outcome outcome)
{
	static const char *const text[] = { "NONE",      "OK",        "ERROR",   "CANCELLED",
					    "CACHE_HIT", "COALESCED", "REJECTED" };

	return (unsigned)outcome < sizeof(text) / sizeof(text[0]) ? text[outcome] : "?";
}

/* One event and all that its packed form points to. */
struct event_out {
	Infermesh__V1__Event m;
	Infermesh__V1__Routing routing;
	Infermesh__V1__WorkerLoad seen[AUDIT_SEEN_MAX];
	Infermesh__V1__WorkerLoad *seen_list[AUDIT_SEEN_MAX];
	Infermesh__V1__Usage usage;
	Infermesh__V1__Gap gap;
};

static void
routing_out(const struct routing *r, struct event_out *e)
{
	infermesh__v1__routing__init(&e->routing);
	e->routing.worker = text_out(r->worker);
	e->routing.policy = text_out(r->policy);
	e->routing.reason = text_out(r->reason);
	e->routing.attempts = r->attempts;
	if (r->has_cache_key)
		e->routing.cache_key = bytes_out(r->cache_key, sizeof(r->cache_key));
	e->routing.n_seen = r->seen_count < AUDIT_SEEN_MAX ? r->seen_count : AUDIT_SEEN_MAX;
	e->routing.seen = e->seen_list;
	for (size_t i = 0; i < e->routing.n_seen; i++) {
		infermesh__v1__worker_load__init(&e->seen[i]);
		e->seen[i].worker = text_out(r->seen[i].worker);
		e->seen[i].in_flight = r->seen[i].in_flight;
		e->seen_list[i] = &e->seen[i];
	}
	e->m.routing = &e->routing;
}

static ProtobufCBinaryData
digest_out(bool has, const uint8_t *digest, size_t len)
{
	return has ? bytes_out(digest, len) : bytes_out(NULL, 0);
}

static void
event_out(const struct audit_event *ev, struct event_out *e)
{
	Infermesh__V1__Event *m = &e->m;

	infermesh__v1__event__init(m);
	m->kind = (Infermesh__V1__RecordKind)ev->kind;
	m->request_id = digest_out(ev->has_request_id, ev->request_id, sizeof(ev->request_id));
	m->caller = text_out(ev->caller);
	m->tenant = text_out(ev->tenant);
	m->request_time_us = ev->request_time_us;
	m->response_time_us = ev->response_time_us;
	m->input_sha256 = digest_out(ev->has_input, ev->input_sha256, 32);
	m->output_sha256 = digest_out(ev->has_output, ev->output_sha256, 32);
	m->config_digest = digest_out(ev->has_config_digest, ev->config_digest, 32);
	m->model = text_out(ev->model);
	m->model_digest = text_out(ev->model_digest);
	m->outcome = (Infermesh__V1__Outcome)ev->outcome;
	m->status_code = ev->status_code;
	if (ev->has_routing)
		routing_out(&ev->routing, e);
	if (ev->has_usage) {
		usage_out(&ev->usage, &e->usage);
		m->usage = &e->usage;
	}
	if (ev->has_gap) {
		infermesh__v1__gap__init(&e->gap);
		e->gap.count = ev->gap.count;
		e->gap.from_us = ev->gap.from_us;
		e->gap.to_us = ev->gap.to_us;
		e->gap.reason = text_out(ev->gap.reason);
		m->gap = &e->gap;
	}
}

void
audit_append_encode(const struct audit_append *a, struct buf *out)
{
	Infermesh__V1__AppendRequest m = INFERMESH__V1__APPEND_REQUEST__INIT;
	struct arena tmp = { 0 };
	struct event_out *events = arena_calloc(&tmp, a->count + 1, sizeof(*events));
	Infermesh__V1__Event **list = arena_calloc(&tmp, a->count + 1, sizeof(void *));

	if (events == NULL || list == NULL) {
		out->failed = true;
		arena_done(&tmp);
		return;
	}
	for (size_t i = 0; i < a->count; i++) {
		event_out(&a->events[i], &events[i]);
		list[i] = &events[i].m;
	}
	m.n_events = a->count;
	m.events = list;
	wire_pack(&m.base, out);
	arena_done(&tmp);
}

/* Bytes that are absent or exactly 'want' long. */
static bool
exact_in(const ProtobufCBinaryData *b, size_t want, uint8_t *ret, bool *ret_has)
{
	*ret_has = b->len != 0;
	if (b->len != 0 && b->len != want)
		return false;
	if (b->len != 0)
		memcpy(ret, b->data, want);
	return true;
}

static bool
routing_in(const Infermesh__V1__Routing *m, struct routing *ret)
{
	if (m->n_seen > AUDIT_SEEN_MAX ||
	    !exact_in(&m->cache_key, sizeof(ret->cache_key), ret->cache_key, &ret->has_cache_key))
		return false;
	ret->worker = m->worker;
	ret->policy = m->policy;
	ret->reason = m->reason;
	ret->attempts = m->attempts;
	ret->seen_count = m->n_seen;
	for (size_t i = 0; i < m->n_seen; i++)
		ret->seen[i] = (struct worker_load){ m->seen[i]->worker, m->seen[i]->in_flight };
	return true;
}

static enum im_rc
event_in(const Infermesh__V1__Event *m, struct audit_event *ev, struct im_err *err)
{
	*ev = (struct audit_event){
		.kind = (enum record_kind)m->kind,
		.caller = m->caller,
		.tenant = m->tenant,
		.request_time_us = m->request_time_us,
		.response_time_us = m->response_time_us,
		.model = m->model,
		.model_digest = m->model_digest,
		.outcome = (enum outcome)m->outcome,
		.status_code = m->status_code,
		.routing = { .worker = "", .policy = "", .reason = "" },
		.has_routing = m->routing != NULL,
		.usage = usage_in(m->usage),
		.has_usage = m->usage != NULL,
		.gap = { .reason = "" },
		.has_gap = m->gap != NULL,
	};
	if ((unsigned)m->kind < RECORD_REQUEST || (unsigned)m->kind > RECORD_STOP)
		return err_set(err, IM_EINVAL, "kind: %d is no record kind", (int)m->kind);
	if ((unsigned)m->outcome > OUTCOME_REJECTED)
		return err_set(err, IM_EINVAL, "outcome: %d is no outcome", (int)m->outcome);
	if (!exact_in(&m->request_id, 16, ev->request_id, &ev->has_request_id))
		return err_set(err, IM_EINVAL, "request_id: allowed are 16 bytes or none");
	if (!exact_in(&m->input_sha256, 32, ev->input_sha256, &ev->has_input) ||
	    !exact_in(&m->output_sha256, 32, ev->output_sha256, &ev->has_output) ||
	    !exact_in(&m->config_digest, 32, ev->config_digest, &ev->has_config_digest))
		return err_set(err, IM_EINVAL, "a digest is not 32 bytes");
	if (m->routing != NULL && !routing_in(m->routing, &ev->routing))
		return err_set(err, IM_EINVAL,
			       "routing: over %d loads, or a cache key not of 32 bytes",
			       AUDIT_SEEN_MAX);
	if (m->gap != NULL)
		ev->gap =
		    (struct gap){ m->gap->count, m->gap->from_us, m->gap->to_us, m->gap->reason };
	return IM_OK;
}

enum im_rc
audit_append_decode(const uint8_t *buf, size_t len, struct arena *arena, struct audit_append *ret,
		    struct im_err *err)
{
	const Infermesh__V1__AppendRequest *m;
	struct audit_append out;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__append_request__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__AppendRequest *)msg;
	if (m->n_events == 0 || m->n_events > AUDIT_EVENTS_MAX)
		return err_set(err, IM_EINVAL, "events: %zu, allowed are 1 to %d", m->n_events,
			       AUDIT_EVENTS_MAX);
	out.count = m->n_events;
	out.events = arena_calloc(arena, m->n_events, sizeof(*out.events));
	if (out.events == NULL)
		return err_set(err, IM_ENOMEM, "a message needs more memory than allowed");
	for (size_t i = 0; i < m->n_events; i++) {
		rc = event_in(m->events[i], &out.events[i], err);
		if (rc != IM_OK) {
			err_prefix(err, "events[%zu]", i);
			return rc;
		}
	}
	*ret = out;
	return IM_OK;
}

void
audit_appended_encode(const struct audit_appended *a, struct buf *out)
{
	Infermesh__V1__AppendReply m = INFERMESH__V1__APPEND_REPLY__INIT;

	m.n_index = a->count;
	m.index = a->index;
	m.checkpoint = text_out(a->checkpoint);
	wire_pack(&m.base, out);
}

enum im_rc
audit_appended_decode(const uint8_t *buf, size_t len, struct arena *arena,
		      struct audit_appended *ret, struct im_err *err)
{
	const Infermesh__V1__AppendReply *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__append_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__AppendReply *)msg;
	*ret = (struct audit_appended){ m->index, m->n_index, m->checkpoint };
	return IM_OK;
}

void
audit_status_encode(const struct audit_status *s, struct buf *out)
{
	Infermesh__V1__AuditStatusReply m = INFERMESH__V1__AUDIT_STATUS_REPLY__INIT;

	m.origin = text_out(s->origin);
	m.state = text_out(s->state);
	m.vkey = text_out(s->vkey);
	m.dir = text_out(s->dir);
	m.size = s->size;
	m.published_size = s->published_size;
	m.open_requests = s->open_requests;
	wire_pack(&m.base, out);
}

enum im_rc
audit_status_decode(const uint8_t *buf, size_t len, struct arena *arena, struct audit_status *ret,
		    struct im_err *err)
{
	const Infermesh__V1__AuditStatusReply *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__audit_status_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__AuditStatusReply *)msg;
	*ret = (struct audit_status){
		.origin = m->origin,
		.state = m->state,
		.vkey = m->vkey,
		.dir = m->dir,
		.size = m->size,
		.published_size = m->published_size,
		.open_requests = m->open_requests,
	};
	return IM_OK;
}
