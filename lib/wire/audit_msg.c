/*
 * wire/audit_msg.c - messages to and from the audit service; see mesh.h.
 */
#include <string.h>

#include "wire/audit_tags.h"
#include "wire/plain_event.h"
#include "wire/reader.h"
#include "wire/routing.h"
#include "wire/text.h"
#include "wire/usage.h"
#include "wire/writer.h"

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

static void
event_put(const struct audit_event *ev, struct buf *out)
{
	size_t begun;

	writer_num(out, EVENT_KIND, ev->kind);
	writer_bytes_if(out, EVENT_REQUEST_ID, ev->has_request_id, ev->request_id,
			sizeof(ev->request_id));
	writer_text(out, EVENT_CALLER, ev->caller);
	writer_text(out, EVENT_TENANT, ev->tenant);
	writer_num(out, EVENT_REQUEST_TIME_US, ev->request_time_us);
	writer_num(out, EVENT_RESPONSE_TIME_US, ev->response_time_us);
	writer_bytes_if(out, EVENT_INPUT, ev->has_input, ev->input_sha256,
			sizeof(ev->input_sha256));
	writer_bytes_if(out, EVENT_OUTPUT, ev->has_output, ev->output_sha256,
			sizeof(ev->output_sha256));
	writer_text(out, EVENT_MODEL, ev->model);
	writer_text(out, EVENT_MODEL_DIGEST, ev->model_digest);
	writer_bytes_if(out, EVENT_CONFIG_DIGEST, ev->has_config_digest, ev->config_digest,
			sizeof(ev->config_digest));
	writer_num(out, EVENT_OUTCOME, ev->outcome);
	writer_num(out, EVENT_STATUS_CODE, ev->status_code);
	if (ev->has_routing) {
		begun = writer_begin(out, EVENT_ROUTING);
		routing_put(&ev->routing, out);
		writer_end(out, begun);
	}
	if (ev->has_usage) {
		begun = writer_begin(out, EVENT_USAGE);
		usage_put(&ev->usage, out);
		writer_end(out, begun);
	}
	if (ev->has_gap) {
		begun = writer_begin(out, EVENT_GAP);
		gap_put(&ev->gap, out);
		writer_end(out, begun);
	}
	writer_bytes_if(out, EVENT_REPORTER, ev->has_reporter, ev->reporter, sizeof(ev->reporter));
}

void
audit_append_encode(const struct audit_append *a, struct buf *out)
{
	for (size_t i = 0; i < a->count; i++) {
		size_t begun = writer_begin(out, APPEND_EVENTS);

		event_put(&a->events[i], out);
		writer_end(out, begun);
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
audit_append_unpack(const uint8_t *buf, size_t len, struct arena *arena, struct audit_append *ret,
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

enum im_rc
audit_append_decode(const uint8_t *buf, size_t len, struct arena *arena, struct audit_append *ret,
		    struct im_err *err)
{
	return plain_events_decode(buf, len, arena, ret)
		   ? IM_OK
		   : audit_append_unpack(buf, len, arena, ret, err);
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
