/*
 * wire/audit_admin_msg.c - what operators ask of the audit service; see audit_admin.h.
 */
#include "wire/audit_admin.h"

#include <assert.h>
#include <string.h>

#include "wire/routing.h"
#include "wire/text.h"

void
audit_erase_encode(const struct audit_erase *e, struct buf *out)
{
	Infermesh__V1__EraseRequest m = INFERMESH__V1__ERASE_REQUEST__INIT;

	m.tenant = text_out(e->tenant);
	m.caller = text_out(e->caller);
	wire_pack(&m.base, out);
}

enum im_rc
audit_erase_decode(const uint8_t *buf, size_t len, struct arena *arena, struct audit_erase *ret,
		   struct im_err *err)
{
	const Infermesh__V1__EraseRequest *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__erase_request__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__EraseRequest *)msg;
	if (m->tenant[0] == '\0' && m->caller[0] == '\0')
		return err_set(err, IM_EINVAL, "tenant and caller: at least one must be given");
	if (strlen(m->tenant) > AUDIT_SUBJECT_NAME_MAX ||
	    strlen(m->caller) > AUDIT_SUBJECT_NAME_MAX)
		return err_set(err, IM_EINVAL, "tenant and caller: allowed are at most %d bytes",
			       AUDIT_SUBJECT_NAME_MAX);
	*ret = (struct audit_erase){ m->tenant, m->caller };
	return IM_OK;
}

void
audit_erase_reply_encode(const struct audit_erase_reply *r, struct buf *out)
{
	Infermesh__V1__EraseReply m = INFERMESH__V1__ERASE_REPLY__INIT;

	m.index = r->index;
	m.before = r->before;
	m.subject_key = exact_out(true, r->subject_key, sizeof(r->subject_key));
	wire_pack(&m.base, out);
}

enum im_rc
audit_erase_reply_decode(const uint8_t *buf, size_t len, struct arena *arena,
			 struct audit_erase_reply *ret, struct im_err *err)
{
	const Infermesh__V1__EraseReply *m;
	struct audit_erase_reply r;
	ProtobufCMessage *msg;
	bool has_key;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__erase_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__EraseReply *)msg;
	r = (struct audit_erase_reply){ .index = m->index, .before = m->before };
	if (!exact_in(&m->subject_key, sizeof(r.subject_key), r.subject_key, &has_key) || !has_key)
		return err_set(err, IM_EPROTO, "subject_key: it is not 8 bytes");
	*ret = r;
	return IM_OK;
}

void
audit_prune_encode(const struct audit_prune *p, struct buf *out)
{
	Infermesh__V1__PruneRequest m = INFERMESH__V1__PRUNE_REQUEST__INIT;

	m.before_us = p->before_us;
	m.dry_run = p->dry_run;
	wire_pack(&m.base, out);
}

enum im_rc
audit_prune_decode(const uint8_t *buf, size_t len, struct arena *arena, struct audit_prune *ret,
		   struct im_err *err)
{
	const Infermesh__V1__PruneRequest *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__prune_request__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__PruneRequest *)msg;
	if (m->before_us == 0)
		return err_set(err, IM_EINVAL, "before_us: it is missing");
	*ret = (struct audit_prune){ m->before_us, m->dry_run };
	return IM_OK;
}

void
audit_prune_reply_encode(const struct audit_prune_reply *r, struct buf *out)
{
	Infermesh__V1__PruneReply m = INFERMESH__V1__PRUNE_REPLY__INIT;

	m.was = r->was;
	m.min_index = r->min_index;
	m.index = r->index;
	wire_pack(&m.base, out);
}

enum im_rc
audit_prune_reply_decode(const uint8_t *buf, size_t len, struct arena *arena,
			 struct audit_prune_reply *ret, struct im_err *err)
{
	const Infermesh__V1__PruneReply *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__prune_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__PruneReply *)msg;
	*ret = (struct audit_prune_reply){ m->was, m->min_index, m->index };
	return IM_OK;
}

void
audit_witnesses_encode(const struct audit_witnesses *w, struct buf *out)
{
	Infermesh__V1__WitnessesReply m = INFERMESH__V1__WITNESSES_REPLY__INIT;
	Infermesh__V1__WitnessStatus room[AUDIT_WITNESSES_MAX], *list[AUDIT_WITNESSES_MAX];

	assert(w->count <= AUDIT_WITNESSES_MAX);
	for (size_t i = 0; i < w->count; i++) {
		const struct audit_witness *a = &w->witness[i];

		infermesh__v1__witness_status__init(&room[i]);
		room[i].name = text_out(a->name);
		room[i].url = text_out(a->url);
		room[i].state = text_out(a->state);
		room[i].why = text_out(a->why);
		room[i].cosigned_size = a->cosigned_size;
		room[i].lag_ms = a->lag_ms;
		room[i].cosigned = a->cosigned;
		room[i].failed = a->failed;
		list[i] = &room[i];
	}
	m.origin = text_out(w->origin);
	m.published_size = w->published_size;
	m.cosigned_size = w->cosigned_size;
	m.quorum = w->quorum;
	m.n_witnesses = w->count;
	m.witnesses = list;
	wire_pack(&m.base, out);
}

enum im_rc
audit_witnesses_decode(const uint8_t *buf, size_t len, struct arena *arena,
		       struct audit_witnesses *ret, struct im_err *err)
{
	const Infermesh__V1__WitnessesReply *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__witnesses_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__WitnessesReply *)msg;
	if (m->n_witnesses > AUDIT_WITNESSES_MAX)
		return err_set(err, IM_EPROTO, "witnesses: allowed are at most %d",
			       AUDIT_WITNESSES_MAX);
	*ret = (struct audit_witnesses){ .origin = m->origin,
					 .published_size = m->published_size,
					 .cosigned_size = m->cosigned_size,
					 .quorum = m->quorum,
					 .count = m->n_witnesses };
	for (size_t i = 0; i < m->n_witnesses; i++) {
		const Infermesh__V1__WitnessStatus *a = m->witnesses[i];

		ret->witness[i] = (struct audit_witness){ .name = a->name,
							  .url = a->url,
							  .state = a->state,
							  .why = a->why,
							  .cosigned_size = a->cosigned_size,
							  .lag_ms = a->lag_ms,
							  .cosigned = a->cosigned,
							  .failed = a->failed };
	}
	return IM_OK;
}

void
audit_rotate_reply_encode(const struct audit_rotate_reply *r, struct buf *out)
{
	Infermesh__V1__RotateKeyReply m = INFERMESH__V1__ROTATE_KEY_REPLY__INIT;

	m.index = r->index;
	m.origin = text_out(r->origin);
	m.vkey = text_out(r->vkey);
	wire_pack(&m.base, out);
}

enum im_rc
audit_rotate_reply_decode(const uint8_t *buf, size_t len, struct arena *arena,
			  struct audit_rotate_reply *ret, struct im_err *err)
{
	const Infermesh__V1__RotateKeyReply *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__rotate_key_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__RotateKeyReply *)msg;
	*ret = (struct audit_rotate_reply){ m->index, m->origin, m->vkey };
	return IM_OK;
}
