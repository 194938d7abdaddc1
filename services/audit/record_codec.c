/*
 * audit/record_codec.c - records to bytes and back; see record.h. The one file of this room that knows protobuf-c.
 */
#include <string.h>

#include "audit/record.h"
#include "infermesh/v1/audit.pb-c.h"

#define MSG Infermesh__V1__Record

/* One record and all that its packed form points to. */
struct record_out {
	MSG m;
	Infermesh__V1__Routing routing;
	Infermesh__V1__WorkerLoad seen[AUDIT_SEEN_MAX];
	Infermesh__V1__WorkerLoad *seen_list[AUDIT_SEEN_MAX];
	Infermesh__V1__Usage usage;
	Infermesh__V1__Gap gap;
};

/* protobuf-c's members are not const; packing does not write. */
static char *
text(const char *s)
{
	union {
		const char *in;
		char *out;
	} u = { .in = s != NULL ? s : "" };

	return u.out;
}

static ProtobufCBinaryData
bytes(bool has, const uint8_t *data, size_t len)
{
	union {
		const uint8_t *in;
		uint8_t *out;
	} u = { .in = data };

	return has ? (ProtobufCBinaryData){ len, u.out } : (ProtobufCBinaryData){ 0 };
}

static void
routing_out(const struct routing *r, struct record_out *o)
{
	infermesh__v1__routing__init(&o->routing);
	o->routing.worker = text(r->worker);
	o->routing.policy = text(r->policy);
	o->routing.reason = text(r->reason);
	o->routing.attempts = r->attempts;
	o->routing.cache_key = bytes(r->has_cache_key, r->cache_key, sizeof(r->cache_key));
	o->routing.n_seen = r->seen_count < AUDIT_SEEN_MAX ? r->seen_count : AUDIT_SEEN_MAX;
	o->routing.seen = o->seen_list;
	for (size_t i = 0; i < o->routing.n_seen; i++) {
		infermesh__v1__worker_load__init(&o->seen[i]);
		o->seen[i].worker = text(r->seen[i].worker);
		o->seen[i].in_flight = r->seen[i].in_flight;
		o->seen_list[i] = &o->seen[i];
	}
	o->m.routing = &o->routing;
}

static void
extras_out(const struct record *r, struct record_out *o)
{
	if (r->has_routing)
		routing_out(&r->routing, o);
	if (r->has_usage) {
		infermesh__v1__usage__init(&o->usage);
		o->usage.prompt_tokens = r->usage.prompt_tokens;
		o->usage.completion_tokens = r->usage.completion_tokens;
		o->usage.cached_tokens = r->usage.cached_tokens;
		o->usage.reasoning_tokens = r->usage.reasoning_tokens;
		o->m.usage = &o->usage;
	}
	if (r->has_gap) {
		infermesh__v1__gap__init(&o->gap);
		o->gap.count = r->gap.count;
		o->gap.from_us = r->gap.from_us;
		o->gap.to_us = r->gap.to_us;
		o->gap.reason = text(r->gap.reason);
		o->m.gap = &o->gap;
	}
}

bool
record_encode(const struct record *r, struct buf *out)
{
	struct record_out o;
	MSG *m = &o.m;

	infermesh__v1__record__init(m);
	m->kind = (Infermesh__V1__RecordKind)r->kind;
	m->request_id = bytes(r->has_request_id, r->request_id, RECORD_ID_BYTES);
	m->prev_index = r->prev_index;
	m->caller = bytes(r->has_caller, r->caller, RECORD_PSEUDO_BYTES);
	m->tenant = bytes(r->has_tenant, r->tenant, RECORD_PSEUDO_BYTES);
	m->request_time_us = r->request_time_us;
	m->response_time_us = r->response_time_us;
	m->log_time_us = r->log_time_us;
	m->input_commitment = bytes(r->has_input, r->input_commitment.b, HASH_BYTES);
	m->output_commitment = bytes(r->has_output, r->output_commitment.b, HASH_BYTES);
	m->model = text(r->model);
	m->model_digest = text(r->model_digest);
	m->config_digest = bytes(r->has_config_digest, r->config_digest, sizeof(r->config_digest));
	m->outcome = (Infermesh__V1__Outcome)r->outcome;
	m->status_code = r->status_code;
	m->blind = bytes(true, r->blind, RECORD_BLIND_BYTES);
	extras_out(r, &o);
	(void)buf_append_byte(out, RECORD_VERSION);
	/* protobuf-c writes fields by ascending tag, shortest varints and no zero values: deterministic. */
	wire_pack(&m->base, out);
	return buf_ok(out);
}

/* Bytes that are absent or exactly 'want' long. */
static bool
exact(const ProtobufCBinaryData *b, uint8_t *ret, size_t want, bool *ret_has)
{
	*ret_has = b->len == want;
	if (*ret_has)
		memcpy(ret, b->data, want);
	return b->len == 0 || *ret_has;
}

static bool
routing_in(const Infermesh__V1__Routing *m, struct routing *r)
{
	if (m->n_seen > AUDIT_SEEN_MAX ||
	    !exact(&m->cache_key, r->cache_key, sizeof(r->cache_key), &r->has_cache_key))
		return false;
	r->worker = m->worker;
	r->policy = m->policy;
	r->reason = m->reason;
	r->attempts = m->attempts;
	r->seen_count = m->n_seen;
	for (size_t i = 0; i < m->n_seen; i++)
		r->seen[i] = (struct worker_load){ m->seen[i]->worker, m->seen[i]->in_flight };
	return true;
}

static bool
digests_in(const MSG *m, struct record *r)
{
	bool has_blind;

	return exact(&m->request_id, r->request_id, RECORD_ID_BYTES, &r->has_request_id) &&
	       exact(&m->caller, r->caller, RECORD_PSEUDO_BYTES, &r->has_caller) &&
	       exact(&m->tenant, r->tenant, RECORD_PSEUDO_BYTES, &r->has_tenant) &&
	       exact(&m->input_commitment, r->input_commitment.b, HASH_BYTES, &r->has_input) &&
	       exact(&m->output_commitment, r->output_commitment.b, HASH_BYTES, &r->has_output) &&
	       exact(&m->config_digest, r->config_digest, sizeof(r->config_digest),
		     &r->has_config_digest) &&
	       exact(&m->blind, r->blind, RECORD_BLIND_BYTES, &has_blind) && has_blind;
}

static enum im_rc
record_in(const MSG *m, struct record *ret, struct im_err *err)
{
	struct record r = {
		.kind = (enum record_kind)m->kind,
		.prev_index = m->prev_index,
		.request_time_us = m->request_time_us,
		.response_time_us = m->response_time_us,
		.log_time_us = m->log_time_us,
		.model = m->model,
		.model_digest = m->model_digest,
		.outcome = (enum outcome)m->outcome,
		.status_code = m->status_code,
		.routing = { .worker = "", .policy = "", .reason = "" },
		.has_routing = m->routing != NULL,
		.has_usage = m->usage != NULL,
		.gap = { .reason = "" },
		.has_gap = m->gap != NULL,
	};

	if ((unsigned)m->kind < RECORD_REQUEST || (unsigned)m->kind > RECORD_STOP)
		return err_set(err, IM_EPROTO, "not a record: unknown kind %d", (int)m->kind);
	if ((unsigned)m->outcome > OUTCOME_REJECTED)
		return err_set(err, IM_EPROTO, "not a record: unknown outcome %d", (int)m->outcome);
	if (!digests_in(m, &r))
		return err_set(err, IM_EPROTO,
			       "not a record: an identifier or digest of a wrong length");
	if (m->routing != NULL && !routing_in(m->routing, &r.routing))
		return err_set(err, IM_EPROTO, "not a record: malformed routing");
	if (m->usage != NULL)
		r.usage = (struct usage){ m->usage->prompt_tokens, m->usage->completion_tokens,
					  m->usage->cached_tokens, m->usage->reasoning_tokens };
	if (m->gap != NULL)
		r.gap =
		    (struct gap){ m->gap->count, m->gap->from_us, m->gap->to_us, m->gap->reason };
	*ret = r;
	return IM_OK;
}

enum im_rc
record_decode(const uint8_t *entry, size_t len, struct arena *arena, struct record *ret,
	      struct im_err *err)
{
	struct buf again = BUF_INIT(0);
	struct record r = { .kind = 0 };
	ProtobufCMessage *msg;
	enum im_rc rc;

	if (len == 0 || entry[0] != RECORD_VERSION)
		return err_set(err, IM_EPROTO, "not a record: version byte is not %d",
			       RECORD_VERSION);
	rc = wire_unpack(&infermesh__v1__record__descriptor, entry + 1, len - 1, arena, &msg, err);
	if (rc == IM_OK)
		rc = record_in((const MSG *)msg, &r, err);
	if (rc != IM_OK)
		return rc;
	if (!record_encode(&r, &again))
		rc = err_set(err, IM_ENOMEM, "no memory to check a record");
	else if (again.len != len || memcmp(again.data, entry, len) != 0)
		rc = err_set(err, IM_EPROTO,
			     "not a record: its bytes are not the deterministic encoding");
	buf_done(&again);
	if (rc == IM_OK)
		*ret = r;
	return rc;
}

bool
record_is_terminal(enum record_kind kind)
{
	return kind == RECORD_RESPONSE;
}
