/*
 * wire/audit_admin.h - what an operator asks of the audit service: to erase a subject, to delete old entries, to rotate the key, to say
 * who cosigns. proto/infermesh/v1/audit.proto holds
 * the meaning of each member. Ownership and errors as wire.h says.
 */
#ifndef WIRE_AUDIT_ADMIN_H
#define WIRE_AUDIT_ADMIN_H

#include "wire/wire.h"

#define METHOD_AUDIT_ERASE     "Audit/Erase"
#define METHOD_AUDIT_PRUNE     "Audit/Prune"
#define METHOD_AUDIT_ROTATE    "Audit/RotateKey" /* the request is empty */
#define METHOD_AUDIT_WITNESSES "Audit/Witnesses"
#define AUDIT_SUBJECT_NAME_MAX 256 /* bytes of a tenant or a caller */

struct audit_erase {
	const char *tenant, *caller; /* not both empty */
};
struct audit_erase_reply {
	uint64_t index; /* of the ERASE record */
	bool before;    /* it was there already */
	uint8_t subject_key[8];
};

void audit_erase_encode(const struct audit_erase *e, struct buf *out);
IM_MUST_CHECK enum im_rc audit_erase_decode(const uint8_t *buf, size_t len, struct arena *arena,
					    struct audit_erase *ret, struct im_err *err);
void audit_erase_reply_encode(const struct audit_erase_reply *r, struct buf *out);
IM_MUST_CHECK enum im_rc audit_erase_reply_decode(const uint8_t *buf, size_t len,
						  struct arena *arena,
						  struct audit_erase_reply *ret,
						  struct im_err *err);

struct audit_prune {
	uint64_t before_us;
	bool dry_run;
};
struct audit_prune_reply {
	uint64_t was, min_index, index;
};

void audit_prune_encode(const struct audit_prune *p, struct buf *out);
IM_MUST_CHECK enum im_rc audit_prune_decode(const uint8_t *buf, size_t len, struct arena *arena,
					    struct audit_prune *ret, struct im_err *err);
void audit_prune_reply_encode(const struct audit_prune_reply *r, struct buf *out);
IM_MUST_CHECK enum im_rc audit_prune_reply_decode(const uint8_t *buf, size_t len,
						  struct arena *arena,
						  struct audit_prune_reply *ret,
						  struct im_err *err);

#define AUDIT_WITNESSES_MAX 16

struct audit_witness {
	const char *name, *url, *state, *why;
	uint64_t cosigned_size, lag_ms, cosigned, failed;
};
struct audit_witnesses {
	const char *origin;
	uint64_t published_size, cosigned_size;
	uint32_t quorum;
	struct audit_witness witness[AUDIT_WITNESSES_MAX];
	size_t count;
};

void audit_witnesses_encode(const struct audit_witnesses *w, struct buf *out);
IM_MUST_CHECK enum im_rc audit_witnesses_decode(const uint8_t *buf, size_t len, struct arena *arena,
						struct audit_witnesses *ret, struct im_err *err);

struct audit_rotate_reply {
	uint64_t index;            /* number of the record that ends the old shard */
	const char *origin, *vkey; /* of the new one */
};

void audit_rotate_reply_encode(const struct audit_rotate_reply *r, struct buf *out);
IM_MUST_CHECK enum im_rc audit_rotate_reply_decode(const uint8_t *buf, size_t len,
						   struct arena *arena,
						   struct audit_rotate_reply *ret,
						   struct im_err *err);

#endif
