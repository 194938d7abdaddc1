/*
 * audit/record_codec.c - records to bytes and back; see record.h. The one file of this room that knows protobuf-c.
 */
#include <string.h>

#include "audit/note.h"
#include "audit/record.h"
#include "audit/tile.h"
#include "wire/reader.h"
#include "wire/routing.h"
#include "wire/text.h"
#include "wire/usage.h"

#define MSG Infermesh__V1__Record

/* One record and all that its packed form points to. */
struct record_out {
	MSG m;
	struct routing_packed routing;
	Infermesh__V1__Usage usage;
	Infermesh__V1__Gap gap;
	Infermesh__V1__Prune prune;
	Infermesh__V1__NextShard next;
	Infermesh__V1__PreviousShard previous;
};

static void
extras_out(const struct record *r, struct record_out *o)
{
	if (r->has_routing) {
		routing_out(&r->routing, &o->routing);
		o->m.routing = &o->routing.m;
	}
	if (r->has_usage) {
		usage_out(&r->usage, &o->usage);
		o->m.usage = &o->usage;
	}
	if (r->has_gap) {
		gap_out(&r->gap, &o->gap);
		o->m.gap = &o->gap;
	}
	if (r->has_prune) {
		infermesh__v1__prune__init(&o->prune);
		o->prune.min_index = r->prune.min_index;
		o->prune.size = r->prune.size;
		o->prune.root = exact_out(true, r->prune.root.b, HASH_BYTES);
		o->prune.first = r->prune.first;
		o->m.prune = &o->prune;
	}
	if (r->has_next) {
		infermesh__v1__next_shard__init(&o->next);
		o->next.origin = text_out(r->next.origin);
		o->next.vkey = text_out(r->next.vkey);
		o->m.next = &o->next;
	}
	if (r->has_previous) {
		infermesh__v1__previous_shard__init(&o->previous);
		o->previous.origin = text_out(r->previous.origin);
		o->previous.size = r->previous.size;
		o->previous.root = exact_out(true, r->previous.root.b, HASH_BYTES);
		o->previous.ordinal = r->previous.ordinal;
		o->previous.first = r->previous.first;
		o->m.previous = &o->previous;
	}
}

bool
record_encode(const struct record *r, struct buf *out)
{
	struct record_out o;
	MSG *m = &o.m;

	infermesh__v1__record__init(m);
	m->kind = (Infermesh__V1__RecordKind)r->kind;
	m->request_id = exact_out(r->has_request_id, r->request_id, RECORD_ID_BYTES);
	m->prev_index = r->prev_index;
	m->caller = exact_out(r->has_caller, r->caller, RECORD_PSEUDO_BYTES);
	m->tenant = exact_out(r->has_tenant, r->tenant, RECORD_PSEUDO_BYTES);
	m->request_time_us = r->request_time_us;
	m->response_time_us = r->response_time_us;
	m->log_time_us = r->log_time_us;
	m->input_commitment = exact_out(r->has_input, r->input_commitment.b, HASH_BYTES);
	m->output_commitment = exact_out(r->has_output, r->output_commitment.b, HASH_BYTES);
	m->model = text_out(r->model);
	m->model_digest = text_out(r->model_digest);
	m->config_digest =
	    exact_out(r->has_config_digest, r->config_digest, sizeof(r->config_digest));
	m->outcome = (Infermesh__V1__Outcome)r->outcome;
	m->status_code = r->status_code;
	m->blind = exact_out(true, r->blind, RECORD_BLIND_BYTES);
	m->subject_key = exact_out(r->has_subject_key, r->subject_key, RECORD_KEY_ID_BYTES);
	m->reporter = exact_out(r->has_reporter, r->reporter, AUDIT_REPORTER_BYTES);
	extras_out(r, &o);
	(void)buf_append_byte(out, RECORD_VERSION);
	/* protobuf-c writes fields by ascending tag, shortest varints and no zero values: deterministic. */
	wire_pack(&m->base, out);
	return buf_ok(out);
}

static bool
digests_in(const MSG *m, struct record *r)
{
	bool has_blind;

	return exact_in(&m->request_id, RECORD_ID_BYTES, r->request_id, &r->has_request_id) &&
	       exact_in(&m->caller, RECORD_PSEUDO_BYTES, r->caller, &r->has_caller) &&
	       exact_in(&m->tenant, RECORD_PSEUDO_BYTES, r->tenant, &r->has_tenant) &&
	       exact_in(&m->input_commitment, HASH_BYTES, r->input_commitment.b, &r->has_input) &&
	       exact_in(&m->output_commitment, HASH_BYTES, r->output_commitment.b,
			&r->has_output) &&
	       exact_in(&m->config_digest, sizeof(r->config_digest), r->config_digest,
			&r->has_config_digest) &&
	       exact_in(&m->subject_key, RECORD_KEY_ID_BYTES, r->subject_key,
			&r->has_subject_key) &&
	       exact_in(&m->reporter, AUDIT_REPORTER_BYTES, r->reporter, &r->has_reporter) &&
	       exact_in(&m->blind, RECORD_BLIND_BYTES, r->blind, &has_blind) && has_blind;
}

/* A malformed one must not make anybody look for entries where none can be. */
static bool
prune_in(const Infermesh__V1__Prune *m, struct record *r)
{
	bool has_root;

	r->has_prune = m != NULL;
	if (m == NULL)
		return r->kind != RECORD_PRUNE;
	r->prune.min_index = m->min_index;
	r->prune.size = m->size;
	r->prune.first = m->first;
	return r->kind == RECORD_PRUNE &&
	       (m->min_index % TILE_WIDTH == 0 || m->min_index == m->size) &&
	       m->min_index <= m->size &&
	       exact_in(&m->root, HASH_BYTES, r->prune.root.b, &has_root) && has_root;
}

/* The ends of a shard. Names and keys are checked by whoever follows them; here only that they cannot be endless. */
static bool
shard_in(const MSG *m, struct record *r)
{
	const Infermesh__V1__NextShard *next = m->next;
	const Infermesh__V1__PreviousShard *previous = m->previous;
	bool has_root;

	r->has_next = next != NULL;
	r->has_previous = previous != NULL;
	if ((r->has_next || r->has_previous) && r->kind != RECORD_KEY_ROTATE)
		return false;
	if (r->has_next) {
		r->next = (struct record_next){ next->origin, next->vkey };
		if (!note_name_ok(next->origin) || strlen(next->vkey) >= NOTE_KEYTEXT_MAX)
			return false;
	}
	if (!r->has_previous)
		return true;
	r->previous.origin = previous->origin;
	r->previous.size = previous->size;
	r->previous.ordinal = previous->ordinal;
	r->previous.first = previous->first;
	return !r->has_next && note_name_ok(previous->origin) && previous->ordinal > 0 &&
	       previous->size > 0 && previous->first >= previous->size &&
	       exact_in(&previous->root, HASH_BYTES, r->previous.root.b, &has_root) && has_root;
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
		.has_routing = m->routing != NULL,
		.has_usage = m->usage != NULL,
		.usage = usage_in(m->usage),
		.gap = gap_in(m->gap),
		.has_gap = m->gap != NULL,
	};

	if ((unsigned)m->kind < RECORD_REQUEST || (unsigned)m->kind > RECORD_STOP)
		return err_set(err, IM_EPROTO, "not a record: unknown kind %d", (int)m->kind);
	if ((unsigned)m->outcome > OUTCOME_REJECTED)
		return err_set(err, IM_EPROTO, "not a record: unknown outcome %d", (int)m->outcome);
	if (!digests_in(m, &r))
		return err_set(err, IM_EPROTO,
			       "not a record: an identifier or digest of a wrong length");
	if (!prune_in(m->prune, &r))
		return err_set(err, IM_EPROTO,
			       "not a record: a PRUNE without, or with a malformed minimum");
	if (!shard_in(m, &r))
		return err_set(err, IM_EPROTO,
			       "not a record: malformed beginning or end of a shard");
	if (!routing_in(m->routing, &r.routing))
		return err_set(err, IM_EPROTO, "not a record: malformed routing");
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

/* Tags of proto/infermesh/v1/audit.proto. */
enum {
	TAG_KIND = 1,
	TAG_REQUEST_ID = 2,
	TAG_LOG_TIME_US = 8
};

/* A varint; returns where it ends, or NULL. In here, so that it is no call. */
static inline const uint8_t *
glance_varint(const uint8_t *at, const uint8_t *end, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 63 && at < end; shift += 7) {
		uint8_t byte = *at++;

		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret = v;
			return at;
		}
	}
	return NULL;
}

bool
record_glance(const uint8_t *entry, size_t len, struct record_glance *ret)
{
	const uint8_t *at = entry + 1, *end = entry + len;

	*ret = (struct record_glance){ .kind = 0 };
	if (len == 0 || entry[0] != RECORD_VERSION)
		return false;
	/* Tags ascend, and these and their lengths take one byte each. */
	while (end - at >= 2 && *at >> 3 <= TAG_LOG_TIME_US) {
		unsigned tag = *at >> 3, type = *at & 7;
		uint64_t num;

		at++;
		if (type == READER_VARINT) {
			at = glance_varint(at, end, &num);
			if (at == NULL)
				return false;
			if (tag == TAG_KIND)
				ret->kind = (enum record_kind)num;
			else if (tag == TAG_LOG_TIME_US)
				ret->log_time_us = num;
		} else if (type == READER_BYTES && *at < 0x80 && *at < end - at) {
			if (tag == TAG_REQUEST_ID && *at == RECORD_ID_BYTES)
				ret->request_id = at + 1;
			at += 1 + *at;
		} else {
			return false;
		}
	}
	return ret->request_id != NULL && ret->log_time_us > 0 &&
	       (ret->kind == RECORD_REQUEST || ret->kind == RECORD_RESPONSE);
}

bool
record_is_terminal(enum record_kind kind)
{
	return kind == RECORD_RESPONSE;
}
