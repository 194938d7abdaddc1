/*
 * wire/audit_msg.c - messages to and from the audit service; see mesh.h.
 */
#include <string.h>

#include "wire/reader.h"
#include "wire/routing.h"
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
	struct routing_packed routing;
	Infermesh__V1__Usage usage;
	Infermesh__V1__Gap gap;
};

static void
event_out(const struct audit_event *ev, struct event_out *e)
{
	Infermesh__V1__Event *m = &e->m;

	infermesh__v1__event__init(m);
	m->kind = (Infermesh__V1__RecordKind)ev->kind;
	m->request_id = exact_out(ev->has_request_id, ev->request_id, sizeof(ev->request_id));
	m->caller = text_out(ev->caller);
	m->tenant = text_out(ev->tenant);
	m->request_time_us = ev->request_time_us;
	m->response_time_us = ev->response_time_us;
	m->input_sha256 = exact_out(ev->has_input, ev->input_sha256, 32);
	m->output_sha256 = exact_out(ev->has_output, ev->output_sha256, 32);
	m->config_digest = exact_out(ev->has_config_digest, ev->config_digest, 32);
	m->model = text_out(ev->model);
	m->model_digest = text_out(ev->model_digest);
	m->reporter = exact_out(ev->has_reporter, ev->reporter, sizeof(ev->reporter));
	m->outcome = (Infermesh__V1__Outcome)ev->outcome;
	m->status_code = ev->status_code;
	if (ev->has_routing) {
		routing_out(&ev->routing, &e->routing);
		m->routing = &e->routing.m;
	}
	if (ev->has_usage) {
		usage_out(&ev->usage, &e->usage);
		m->usage = &e->usage;
	}
	if (ev->has_gap) {
		gap_out(&ev->gap, &e->gap);
		m->gap = &e->gap;
	}
}

/* A message with several events is what messages with one each are behind each other. */
void
audit_append_encode(const struct audit_append *a, struct buf *out)
{
	struct event_out e;
	Infermesh__V1__Event *event = &e.m;
	Infermesh__V1__AppendRequest m = INFERMESH__V1__APPEND_REQUEST__INIT;

	m.n_events = 1;
	m.events = &event;
	for (size_t i = 0; i < a->count; i++) {
		event_out(&a->events[i], &e);
		wire_pack(&m.base, out);
	}
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
		.has_routing = m->routing != NULL,
		.usage = usage_in(m->usage),
		.has_usage = m->usage != NULL,
		.gap = gap_in(m->gap),
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
	if (!exact_in(&m->reporter, AUDIT_REPORTER_BYTES, ev->reporter, &ev->has_reporter))
		return err_set(err, IM_EINVAL, "reporter: allowed are %d bytes or none",
			       AUDIT_REPORTER_BYTES);
	if (!routing_in(m->routing, &ev->routing))
		return err_set(
		    err, IM_EINVAL,
		    "routing: over %d loads or failed attempts, a name over %d bytes, an unknown state, or a cache key or leader of a wrong length",
		    AUDIT_SEEN_MAX, AUDIT_ROUTE_MAX);
	return IM_OK;
}

size_t
audit_append_count(const uint8_t *buf, size_t len)
{
	const uint32_t events = infermesh__v1__append_request__descriptor.fields[0].id;
	struct reader r = { .at = buf, .end = buf + len };
	struct reader_field f;
	size_t count = 0;

	while (len > 0 && reader_next(&r, &f))
		count += f.tag == events;
	return len > 0 && reader_at_end(&r) && count <= AUDIT_EVENTS_MAX ? count : 0;
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
	m.cosigned_size = s->cosigned_size;
	m.witnesses = s->witnesses;
	m.witnesses_fine = s->witnesses_fine;
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
		.cosigned_size = m->cosigned_size,
		.witnesses = m->witnesses,
		.witnesses_fine = m->witnesses_fine,
	};
	return IM_OK;
}
