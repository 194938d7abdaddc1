/*
 * cache/entry_batch.c - see entry_batch.h.
 */
#include "cache/entry_batch.h"

#include <string.h>

#include "base/le.h"
#include "cache/entry_record.h"

#define HEAD_BYTES (1 + 4 + 4) /* of a change: put or delete, length of the name, of what is kept */

size_t
entry_batch_put_bytes(size_t name_len, size_t value_len)
{
	return HEAD_BYTES + name_len + ENTRY_KEPT_EXPIRY + ENTRY_RECORD_HEAD + value_len;
}

static void
change(struct buf *changes, bool put, const uint8_t *name, size_t name_len, size_t value_len)
{
	uint8_t head[HEAD_BYTES] = { put };

	put_le(head + 1, name_len, 4);
	put_le(head + 5, value_len, 4);
	(void)buf_append(changes, head, sizeof(head));
	(void)buf_append(changes, name, name_len);
}

void
entry_batch_put(struct buf *changes, const struct entry *e)
{
	uint8_t expiry[ENTRY_KEPT_EXPIRY];
	char head[ENTRY_RECORD_HEAD + 1];

	put_le(expiry, e->expires_us, sizeof(expiry));
	entry_record_head(e->version, head);
	change(changes, true, e->name, e->name_len, ENTRY_KEPT_EXPIRY + ENTRY_RECORD_HEAD + e->len);
	(void)buf_append(changes, expiry, sizeof(expiry));
	(void)buf_append(changes, head, ENTRY_RECORD_HEAD);
	if (e->len > 0)
		(void)buf_append(changes, e->value, e->len);
}

void
entry_batch_delete(struct buf *changes, const uint8_t *name, size_t len)
{
	change(changes, false, name, len, 0);
}

size_t
entry_batch_at(const struct buf *changes, size_t at, struct entry_change *ret)
{
	const uint8_t *head = changes->data + at;

	if (at >= changes->len)
		return 0;
	ret->put = head[0] != 0;
	ret->name = (struct wire_bytes){ head + HEAD_BYTES, get_le(head + 1, 4) };
	ret->kept = (struct wire_bytes){ ret->name.data + ret->name.len, get_le(head + 5, 4) };
	return at + HEAD_BYTES + ret->name.len + ret->kept.len;
}

bool
entry_kept_read(const uint8_t *name, size_t name_len, const uint8_t *kept, size_t len,
		uint64_t *ret_expires_us, uint64_t *ret_version, struct wire_bytes *ret_value)
{
	const uint8_t *end = memchr(name, '\0', name_len);

	if (end == NULL || end == name || name_len > ENTRY_NAME_MAX || len < ENTRY_KEPT_EXPIRY ||
	    !entry_record_read(kept + ENTRY_KEPT_EXPIRY, len - ENTRY_KEPT_EXPIRY, ret_version,
			       ret_value))
		return false;
	*ret_expires_us = get_le(kept, ENTRY_KEPT_EXPIRY);
	return true;
}
