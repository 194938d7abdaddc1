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
#include "wire/writer.h"

#define MSG Infermesh__V1__Record

/* Tags of proto/infermesh/v1/audit.proto. */
enum record_tag {
	TAG_KIND = 1,
	TAG_REQUEST_ID = 2,
	TAG_PREV_INDEX = 3,
	TAG_CALLER = 4,
	TAG_TENANT = 5,
	TAG_REQUEST_TIME_US = 6,
	TAG_RESPONSE_TIME_US = 7,
	TAG_LOG_TIME_US = 8,
	TAG_INPUT = 9,
	TAG_OUTPUT = 10,
	TAG_MODEL = 11,
	TAG_MODEL_DIGEST = 12,
	TAG_CONFIG_DIGEST = 13,
	TAG_OUTCOME = 14,
	TAG_STATUS_CODE = 15,
	TAG_ROUTING = 16,
	TAG_USAGE = 17,
	TAG_GAP = 18,
	TAG_BLIND = 19,
	TAG_SUBJECT_KEY = 20,
	TAG_PRUNE = 21,
	TAG_NEXT = 22,
	TAG_PREVIOUS = 23,
	TAG_REPORTER = 24,
};

enum prune_tag {
	PRUNE_MIN_INDEX = 1,
	PRUNE_SIZE = 2,
	PRUNE_ROOT = 3,
	PRUNE_FIRST = 4,
};

enum next_tag {
	NEXT_ORIGIN = 1,
	NEXT_VKEY = 2,
};

enum previous_tag {
	PREVIOUS_ORIGIN = 1,
	PREVIOUS_SIZE = 2,
	PREVIOUS_ROOT = 3,
	PREVIOUS_ORDINAL = 4,
	PREVIOUS_FIRST = 5,
};

/* What every record of a request may have and that is a message. */
static void
parts_put(const struct record *r, struct buf *out)
{
	size_t begun;

	if (r->has_routing) {
		begun = writer_begin(out, TAG_ROUTING);
		routing_put(&r->routing, out);
		writer_end(out, begun);
	}
	if (r->has_usage) {
		begun = writer_begin(out, TAG_USAGE);
		usage_put(&r->usage, out);
		writer_end(out, begun);
	}
	if (r->has_gap) {
		begun = writer_begin(out, TAG_GAP);
		gap_put(&r->gap, out);
		writer_end(out, begun);
	}
}

/* What only the log's own records have. */
static void
extras_put(const struct record *r, struct buf *out)
{
	size_t begun;

	if (r->has_prune) {
		begun = writer_begin(out, TAG_PRUNE);
		writer_num(out, PRUNE_MIN_INDEX, r->prune.min_index);
		writer_num(out, PRUNE_SIZE, r->prune.size);
		writer_bytes(out, PRUNE_ROOT, r->prune.root.b, HASH_BYTES);
		writer_num(out, PRUNE_FIRST, r->prune.first);
		writer_end(out, begun);
	}
	if (r->has_next) {
		begun = writer_begin(out, TAG_NEXT);
		writer_text(out, NEXT_ORIGIN, r->next.origin);
		writer_text(out, NEXT_VKEY, r->next.vkey);
		writer_end(out, begun);
	}
	if (r->has_previous) {
		begun = writer_begin(out, TAG_PREVIOUS);
		writer_text(out, PREVIOUS_ORIGIN, r->previous.origin);
		writer_num(out, PREVIOUS_SIZE, r->previous.size);
		writer_bytes(out, PREVIOUS_ROOT, r->previous.root.b, HASH_BYTES);
		writer_num(out, PREVIOUS_ORDINAL, r->previous.ordinal);
		writer_num(out, PREVIOUS_FIRST, r->previous.first);
		writer_end(out, begun);
	}
}

/* By ascending tag, with the shortest varints and no zero values: deterministic. */
bool
record_encode(const struct record *r, struct buf *out)
{
	(void)buf_append_byte(out, RECORD_VERSION);
	writer_num(out, TAG_KIND, r->kind);
	writer_bytes_if(out, TAG_REQUEST_ID, r->has_request_id, r->request_id, RECORD_ID_BYTES);
	writer_num(out, TAG_PREV_INDEX, r->prev_index);
	writer_bytes_if(out, TAG_CALLER, r->has_caller, r->caller, RECORD_PSEUDO_BYTES);
	writer_bytes_if(out, TAG_TENANT, r->has_tenant, r->tenant, RECORD_PSEUDO_BYTES);
	writer_num(out, TAG_REQUEST_TIME_US, r->request_time_us);
	writer_num(out, TAG_RESPONSE_TIME_US, r->response_time_us);
	writer_num(out, TAG_LOG_TIME_US, r->log_time_us);
	writer_bytes_if(out, TAG_INPUT, r->has_input, r->input_commitment.b, HASH_BYTES);
	writer_bytes_if(out, TAG_OUTPUT, r->has_output, r->output_commitment.b, HASH_BYTES);
	writer_text(out, TAG_MODEL, r->model);
	writer_text(out, TAG_MODEL_DIGEST, r->model_digest);
	writer_bytes_if(out, TAG_CONFIG_DIGEST, r->has_config_digest, r->config_digest,
			sizeof(r->config_digest));
	writer_num(out, TAG_OUTCOME, r->outcome);
	writer_num(out, TAG_STATUS_CODE, r->status_code);
	parts_put(r, out);
	writer_bytes(out, TAG_BLIND, r->blind, RECORD_BLIND_BYTES);
	writer_bytes_if(out, TAG_SUBJECT_KEY, r->has_subject_key, r->subject_key,
			RECORD_KEY_ID_BYTES);
	extras_put(r, out);
	writer_bytes_if(out, TAG_REPORTER, r->has_reporter, r->reporter, AUDIT_REPORTER_BYTES);
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
