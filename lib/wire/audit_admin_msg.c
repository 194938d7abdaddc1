/*
 * wire/audit_admin_msg.c - what operators ask of the audit service; see audit_admin.h.
 */
#include "wire/audit_admin.h"

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
