/*
 * wire/entry_msg.c - messages of the store of entries; see entry.h.
 */
#include "wire/entry.h"

#include <string.h>

#include "infermesh/v1/cache.pb-c.h"
#include "wire/text.h"

static const char *const methods[ENTRY_OPS] = {
	[ENTRY_PUT] = "Store/Put",       [ENTRY_GET] = "Store/Get",
	[ENTRY_APPEND] = "Store/Append", [ENTRY_COMPARE_AND_SET] = "Store/CompareAndSet",
	[ENTRY_DELETE] = "Store/Delete",
};

const char *
entry_method(enum entry_op op)
{
	return methods[op];
}

bool
entry_op_of(const char *method, enum entry_op *ret)
{
	for (unsigned i = 0; i < ENTRY_OPS; i++)
		if (strcmp(method, methods[i]) == 0) {
			*ret = (enum entry_op)i;
			return true;
		}
	return false;
}

static bool
writes(enum entry_op op)
{
	return op == ENTRY_PUT || op == ENTRY_APPEND || op == ENTRY_COMPARE_AND_SET;
}

static enum im_rc
wrong(struct im_err *err, const char *field, const char *allowed)
{
	(void)err_set(err, IM_EINVAL, "%s: allowed %s", field, allowed);
	if (err != NULL)
		(void)strncpy(err->param, field, sizeof(err->param) - 1);
	return IM_EINVAL;
}

enum im_rc
entry_ask_check(const struct entry_ask *a, struct im_err *err)
{
	size_t n = strlen(a->ns);

	if (n == 0 || n > ENTRY_NAMESPACE_MAX ||
	    strspn(a->ns, "abcdefghijklmnopqrstuvwxyz0123456789._-") != n)
		return wrong(err, "namespace", "are 1 to 64 of a-z, 0-9, '.', '_' and '-'");
	if (a->key.len == 0 || a->key.len > ENTRY_KEY_MAX)
		return wrong(err, "key", "are 1 to 256 bytes");
	if (writes(a->op) && (a->ttl_ms == 0 || a->ttl_ms > ENTRY_TTL_MAX_MS))
		return wrong(err, "ttl_ms", "are 1 to 31622400000 (366 days)");
	if (!writes(a->op) && a->ttl_ms != 0)
		return wrong(err, "ttl_ms", "is only 0 where nothing is written");
	if (!writes(a->op) && a->value.len != 0)
		return wrong(err, "value", "is none where nothing is written");
	if (a->op != ENTRY_COMPARE_AND_SET && a->op != ENTRY_DELETE && a->version != 0)
		return wrong(err, "version", "is only 0 where nothing is compared");
	return IM_OK;
}

void
entry_ask_encode(const struct entry_ask *a, struct buf *out)
{
	Infermesh__V1__EntryRequest m = INFERMESH__V1__ENTRY_REQUEST__INIT;

	m.namespace_ = text_out(a->ns);
	m.key = bytes_out(a->key.data, a->key.len);
	m.value = bytes_out(a->value.data, a->value.len);
	m.ttl_ms = a->ttl_ms;
	m.version = a->version;
	wire_pack(&m.base, out);
}

enum im_rc
entry_ask_decode(enum entry_op op, const uint8_t *buf, size_t len, struct arena *arena,
		 struct entry_ask *ret, struct im_err *err)
{
	const Infermesh__V1__EntryRequest *m;
	struct entry_ask out;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__entry_request__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__EntryRequest *)msg;
	out = (struct entry_ask){ .op = op,
				  .ns = m->namespace_,
				  .key = { m->key.data, m->key.len },
				  .value = { m->value.data, m->value.len },
				  .ttl_ms = m->ttl_ms,
				  .version = m->version };
	rc = entry_ask_check(&out, err);
	if (rc == IM_OK)
		*ret = out;
	return rc;
}

void
entry_answer_encode(const struct entry_answer *a, struct buf *out)
{
	Infermesh__V1__EntryReply m = INFERMESH__V1__ENTRY_REPLY__INIT;

	m.found = a->found;
	m.done = a->done;
	m.value = bytes_out(a->value.data, a->value.len);
	m.version = a->version;
	m.left_ms = a->left_ms;
	m.home = text_out(a->home);
	m.durable = a->durable;
	wire_pack(&m.base, out);
}

enum im_rc
entry_answer_decode(const uint8_t *buf, size_t len, struct arena *arena, struct entry_answer *ret,
		    struct im_err *err)
{
	const Infermesh__V1__EntryReply *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__entry_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__EntryReply *)msg;
	*ret = (struct entry_answer){ .found = m->found,
				      .done = m->done,
				      .durable = m->durable,
				      .value = { m->value.data, m->value.len },
				      .version = m->version,
				      .left_ms = m->left_ms,
				      .home = m->home };
	return IM_OK;
}

size_t
entry_name(const struct entry_ask *a, uint8_t ret[ENTRY_NAME_MAX])
{
	size_t n = strlen(a->ns);

	memcpy(ret, a->ns, n + 1);
	memcpy(ret + n + 1, a->key.data, a->key.len);
	return n + 1 + a->key.len;
}
