/*
 * wire/entry.h - the store of entries: what it is asked and told. proto/infermesh/v1/cache.proto holds the meaning of each member and what an
 * operation does. Ownership and errors as wire.h says.
 */
#ifndef WIRE_ENTRY_H
#define WIRE_ENTRY_H

#include "wire/mesh.h"

#define ENTRY_NAMESPACE_MAX 64
#define ENTRY_KEY_MAX       256
#define ENTRY_NAME_MAX      (ENTRY_NAMESPACE_MAX + 1 + ENTRY_KEY_MAX)
#define ENTRY_TTL_MAX_MS    31622400000ULL /* 366 days */

enum entry_op {
	ENTRY_PUT,
	ENTRY_GET,
	ENTRY_APPEND,
	ENTRY_COMPARE_AND_SET,
	ENTRY_DELETE,
};
#define ENTRY_OPS 5

struct entry_ask {
	enum entry_op op; /* by the method, not in the message */
	const char *ns;
	struct wire_bytes key, value; /* decoded: in the arena */
	uint64_t ttl_ms, version;
};

struct entry_answer {
	bool found, done, durable;
	struct wire_bytes value; /* decoded: in the arena */
	uint64_t version, left_ms;
	const char *home;
};

/** "Store/Put", … */
const char *entry_method(enum entry_op op);

/** False: the method is none of the store's. */
bool entry_op_of(const char *method, enum entry_op *ret);

/** Everything but the length of the value, which is the configuration's: IM_OK, or IM_EINVAL that names the field. */
IM_MUST_CHECK enum im_rc entry_ask_check(const struct entry_ask *ask, struct im_err *err);

void entry_ask_encode(const struct entry_ask *ask, struct buf *out);
/** Decode and check; 'ret->op' is 'op'. */
IM_MUST_CHECK enum im_rc entry_ask_decode(enum entry_op op, const uint8_t *buf, size_t len,
					  struct arena *arena, struct entry_ask *ret,
					  struct im_err *err);

void entry_answer_encode(const struct entry_answer *answer, struct buf *out);
IM_MUST_CHECK enum im_rc entry_answer_decode(const uint8_t *buf, size_t len, struct arena *arena,
					     struct entry_answer *ret, struct im_err *err);

/** Namespace, NUL, key: one name among all. 'ask' is checked. Its length, at most ENTRY_NAME_MAX. */
size_t entry_name(const struct entry_ask *ask, uint8_t ret[ENTRY_NAME_MAX]);

#endif
