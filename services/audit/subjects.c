/*
 * audit/subjects.c - the file of subjects' keys; see subjects.h.
 *
 * State of a slot:   (absent) --get, sync--> LIVE --destroy--> DESTROYED --recorded--> ERASED
 * Only the last two steps write in place. Both leave what names the slot as it is, so a slot that says it is destroyed can
 * be finished even if the write was cut off: no key survives because a checksum does not fit.
 */
#include "audit/subjects.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_SLOTS 512 /* at once */

struct subject_place {
	uint8_t tag[SUBJECT_TAG_BYTES];
	uint32_t slot; /* the latest of this tag; 0 = free */
};

/* Tags are an HMAC's bytes: as good as random, and nobody outside can aim at a place. */
static struct subject_place *
place_of(const struct subjects *s, const uint8_t *tag)
{
	size_t at;

	memcpy(&at, tag, sizeof(at));
	for (at &= s->cap - 1; s->place[at].slot != 0; at = (at + 1) & (s->cap - 1))
		if (memcmp(s->place[at].tag, tag, SUBJECT_TAG_BYTES) == 0)
			break;
	return &s->place[at];
}

static enum im_rc
grow(struct subjects *s, struct im_err *err)
{
	struct subject_place *was = s->place;
	size_t was_cap = s->cap, cap = was_cap == 0 ? 1024 : was_cap * 2;

	if ((s->count + 1) * 4 <= s->cap * 3)
		return IM_OK;
	s->place = calloc(cap, sizeof(*s->place));
	if (s->place == NULL) {
		s->place = was;
		return err_set(err, IM_ENOMEM, "no memory for the subjects of the audit log");
	}
	s->cap = cap;
	for (size_t i = 0; i < was_cap; i++)
		if (was[i].slot != 0)
			*place_of(s, was[i].tag) = was[i];
	free(was);
	return IM_OK;
}

/* 'slot' is the latest of 'tag'. There is room: grow() came before. */
static void
know(struct subjects *s, const uint8_t *tag, uint32_t slot)
{
	struct subject_place *p = place_of(s, tag);

	s->count += p->slot == 0;
	memcpy(p->tag, tag, SUBJECT_TAG_BYTES);
	p->slot = slot;
}

static enum im_rc
wait_for_record(struct subjects *s, uint32_t slot, struct im_err *err)
{
	uint32_t *more = realloc(s->destroyed, (s->destroyed_count + 1) * sizeof(*more));

	if (more == NULL)
		return err_set(err, IM_ENOMEM, "no memory for an erasure");
	s->destroyed = more;
	s->destroyed[s->destroyed_count++] = slot;
	return IM_OK;
}

static enum im_rc
overwrite(struct subjects *s, uint32_t slot, const struct subject_slot *with, struct im_err *err)
{
	uint8_t bytes[SUBJECT_SLOT_BYTES];
	enum im_rc rc;

	subject_slot_put(with, bytes);
	rc = disk_write(s->ops, s->fd, s->path, bytes, sizeof(bytes),
			(uint64_t)slot * SUBJECT_SLOT_BYTES, err);
	if (rc == IM_OK && s->ops->fdatasync(s->fd) < 0)
		rc = disk_failed(err, errno, true, "sync", s->path);
	return rc;
}

/* One slot of the file. */
static enum im_rc
load_slot(struct subjects *s, uint32_t number, const uint8_t *bytes, struct im_err *err)
{
	struct subject_slot slot;
	bool whole = subject_slot_get(bytes, &slot);
	enum im_rc rc = grow(s, err);

	/* The power went before it was synced, and the size came before the bytes: no record is made with its key. */
	if (rc != IM_OK || subject_slot_unwritten(bytes))
		return rc;
	if (!whole && slot.state != SUBJECT_DESTROYED && slot.state != SUBJECT_ERASED) {
		s->damaged++;
		return IM_OK;
	}
	if (!whole) { /* the write was cut off: once more, all of it */
		subject_slot_destroy(&slot);
		slot.erase_plus = 0;
		rc = overwrite(s, number, &slot, err);
	}
	if (rc == IM_OK && slot.state == SUBJECT_DESTROYED)
		rc = wait_for_record(s, number, err);
	if (rc == IM_OK)
		know(s, slot.tag, number);
	return rc;
}

/* Slots from 'first' on, as many as fit or there are; 0 at the end. A part of a slot is none. */
static enum im_rc
read_slots(int fd, const char *path, uint32_t first, uint8_t *out, size_t *ret_count,
	   struct im_err *err)
{
	off_t at = (off_t)first * SUBJECT_SLOT_BYTES;
	size_t len = 0;
	ssize_t n = 1;

	while (n > 0 && len < (size_t)READ_SLOTS * SUBJECT_SLOT_BYTES) {
		n = pread(fd, out + len, (size_t)READ_SLOTS * SUBJECT_SLOT_BYTES - len,
			  at + (off_t)len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			return err_errno(err, IM_EIO, errno, "cannot read %s", path);
		else
			len += (size_t)n;
	}
	*ret_count = len / SUBJECT_SLOT_BYTES;
	return IM_OK;
}

static enum im_rc
load(struct subjects *s, struct hasher *h, struct im_err *err)
{
	uint8_t *bytes = malloc((size_t)READ_SLOTS * SUBJECT_SLOT_BYTES);
	enum im_rc rc = IM_OK;
	size_t count = 1;

	if (bytes == NULL)
		return err_set(err, IM_ENOMEM, "no memory to read %s", s->path);
	s->slots = 0;
	while (rc == IM_OK && count > 0) {
		rc = read_slots(s->fd, s->path, s->slots, bytes, &count, err);
		for (size_t i = 0; i < count && rc == IM_OK; i++, s->slots++) {
			if (s->slots == 0)
				rc = subject_head_check(h, s->keys, bytes, s->path, err);
			else
				rc = load_slot(s, s->slots, bytes + i * SUBJECT_SLOT_BYTES, err);
		}
	}
	s->durable = s->slots;
	OPENSSL_cleanse(bytes, (size_t)READ_SLOTS * SUBJECT_SLOT_BYTES);
	free(bytes);
	return rc;
}

/* Did a crash come between the making of the file and the sync of its head? */
static bool
lacks_head(const struct subjects *s, uint64_t size)
{
	uint8_t head[SUBJECT_SLOT_BYTES];

	if (size != SUBJECT_SLOT_BYTES)
		return size < SUBJECT_SLOT_BYTES;
	return pread(s->fd, head, sizeof(head), 0) == sizeof(head) && subject_slot_unwritten(head);
}

/* A file without a whole head holds nothing yet. */
static enum im_rc
make_head(struct subjects *s, struct hasher *h, struct im_err *err)
{
	uint8_t head[SUBJECT_SLOT_BYTES];
	enum im_rc rc;

	subject_head_put(h, s->keys, head);
	rc = disk_write(s->ops, s->fd, s->path, head, sizeof(head), 0, err);
	if (rc == IM_OK && s->ops->fsync(s->fd) < 0)
		rc = disk_failed(err, errno, true, "sync", s->path);
	if (rc == IM_OK)
		rc = disk_sync_parent(s->ops, s->path, err);
	return rc;
}

enum im_rc
subjects_open(struct subjects *s, const struct disk_ops *ops, const char *path,
	      const struct pseudonym_keys *keys, struct hasher *h, struct im_err *err)
{
	struct stat st;
	enum im_rc rc = IM_OK;

	*s = (struct subjects){ .ops = ops, .keys = keys, .fd = -1 };
	if (strlen(path) >= sizeof(s->path))
		return err_set(err, IM_EINVAL, "the path %s is too long", path);
	memcpy(s->path, path, strlen(path) + 1);
	s->fd = ops->open(path, O_RDWR | O_CREAT, 0600);
	if (s->fd < 0)
		return disk_failed(err, errno, false, "open", path);
	if (fstat(s->fd, &st) < 0)
		return err_errno(err, IM_EIO, errno, "cannot look at %s", path);
	if (lacks_head(s, (uint64_t)st.st_size))
		rc = make_head(s, h, err);
	if (rc == IM_OK)
		rc = grow(s, err);
	if (rc == IM_OK)
		rc = load(s, h, err);
	return rc;
}

void
subjects_close(struct subjects *s)
{
	if (s->ops == NULL)
		return;
	if (s->pending.data != NULL)
		OPENSSL_cleanse(s->pending.data, s->pending.cap);
	buf_done(&s->pending);
	free(s->place);
	free(s->destroyed);
	if (s->fd >= 0)
		(void)close(s->fd);
	s->ops = NULL;
}

/* IM_ECORRUPT when it is not what was written; '*ret' is filled then too. */
static enum im_rc
read_slot(const struct subjects *s, uint32_t number, struct subject_slot *ret, struct im_err *err)
{
	uint8_t bytes[SUBJECT_SLOT_BYTES];
	ssize_t n;

	if (number >= s->durable) {
		size_t at = (size_t)(number - s->durable) * SUBJECT_SLOT_BYTES;

		(void)subject_slot_get(s->pending.data + at, ret);
		return IM_OK;
	}
	do {
		n = pread(s->fd, bytes, sizeof(bytes), (off_t)number * SUBJECT_SLOT_BYTES);
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(bytes))
		return err_errno(err, IM_EIO, n < 0 ? errno : EIO, "cannot read %s", s->path);
	if (!subject_slot_get(bytes, ret))
		return err_set(err, IM_ECORRUPT, "key %u in %s was changed", number, s->path);
	return IM_OK;
}

static enum im_rc
make(struct subjects *s, struct hasher *h, struct subject_slot *slot, struct subject_key *ret,
     struct im_err *err)
{
	uint8_t bytes[SUBJECT_SLOT_BYTES];
	enum im_rc rc;

	if (s->slots >= SUBJECTS_MAX || s->slots - s->durable >= SUBJECTS_PENDING_MAX)
		return err_reason(
		    err, IM_EUNAVAILABLE, DISK_UNAVAILABLE,
		    "%s has no room for one more subject: it holds %u, %u of them not yet on the disk",
		    s->path, s->durable - 1, s->slots - s->durable);
	rc = grow(s, err);
	if (rc == IM_OK)
		rc = subject_slot_seal(h, s->keys, slot, ret, err);
	if (rc != IM_OK)
		return rc;
	subject_slot_put(slot, bytes);
	if (!buf_append(&s->pending, bytes, sizeof(bytes))) {
		s->pending.failed = false;
		s->pending.len = (size_t)(s->slots - s->durable) * SUBJECT_SLOT_BYTES;
		return err_set(err, IM_ENOMEM, "no memory for a subject's key");
	}
	know(s, slot->tag, s->slots++);
	return IM_OK;
}

enum im_rc
subjects_get(struct subjects *s, struct hasher *h, const char *tenant, const char *caller,
	     uint64_t now_us, struct subject_key *ret, struct im_err *err)
{
	struct subject_slot slot;
	uint8_t tag[SUBJECT_TAG_BYTES];
	uint32_t number;

	subject_tag(h, s->keys, tenant, caller, tag);
	number = place_of(s, tag)->slot;
	/* A key that cannot be read is no reason to refuse its subject: it gets another one. */
	if (number != 0 && read_slot(s, number, &slot, NULL) == IM_OK &&
	    subject_slot_unseal(h, s->keys, &slot, ret, NULL) == IM_OK)
		return IM_OK;
	slot = (struct subject_slot){ .made_us = now_us };
	memcpy(slot.tag, tag, sizeof(tag));
	return make(s, h, &slot, ret, err);
}

enum im_rc
subjects_sync(struct subjects *s, struct im_err *err)
{
	enum im_rc rc;

	if (s->pending.len == 0)
		return IM_OK;
	rc = disk_write(s->ops, s->fd, s->path, s->pending.data, s->pending.len,
			(uint64_t)s->durable * SUBJECT_SLOT_BYTES, err);
	if (rc == IM_OK && s->ops->fdatasync(s->fd) < 0)
		rc = disk_failed(err, errno, true, "sync", s->path);
	if (rc != IM_OK)
		return rc;
	s->durable = s->slots;
	buf_clear(&s->pending);
	return IM_OK;
}

/* Destructions that failed are finished first: by slot, because their subjects may have new keys by now. */
static enum im_rc
finish_destroying(struct subjects *s, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	for (size_t i = 0; i < s->destroyed_count && rc == IM_OK; i++) {
		struct subject_slot slot;

		rc = read_slot(s, s->destroyed[i], &slot, err);
		if (rc == IM_ECORRUPT || (rc == IM_OK && slot.state == SUBJECT_LIVE)) {
			subject_slot_destroy(&slot);
			rc = overwrite(s, s->destroyed[i], &slot, err);
		}
	}
	return rc;
}

enum im_rc
subjects_destroy(struct subjects *s, struct hasher *h, const char *tenant, const char *caller,
		 struct subject_slot *ret, struct im_err *err)
{
	struct subject_slot slot;
	uint8_t tag[SUBJECT_TAG_BYTES];
	uint32_t number;
	enum im_rc rc = subjects_sync(s, err);

	if (rc == IM_OK)
		rc = finish_destroying(s, err);
	if (rc != IM_OK)
		return rc;
	subject_tag(h, s->keys, tenant, caller, tag);
	number = place_of(s, tag)->slot;
	if (number == 0)
		return err_set(err, IM_ENOTFOUND,
			       "the log holds nothing under a key of '%s' in '%s'", caller, tenant);
	rc = read_slot(s, number, &slot, err);
	if (rc == IM_OK && slot.state == SUBJECT_LIVE) {
		rc = wait_for_record(s, number, err);
		if (rc == IM_OK)
			rc = finish_destroying(s, err);
		if (rc == IM_OK)
			rc = read_slot(s, number, &slot, err);
	}
	if (rc == IM_OK)
		*ret = slot;
	return rc;
}

bool
subjects_unrecorded(const struct subjects *s, uint8_t ret_id[SUBJECT_ID_BYTES])
{
	struct subject_slot slot;

	if (s->destroyed_count == 0 || read_slot(s, s->destroyed[0], &slot, NULL) != IM_OK)
		return false;
	memcpy(ret_id, slot.id, sizeof(slot.id));
	return true;
}

enum im_rc
subjects_recorded(struct subjects *s, const uint8_t *id, uint64_t index, struct im_err *err)
{
	for (size_t i = 0; i < s->destroyed_count; i++) {
		struct subject_slot slot;
		enum im_rc rc = read_slot(s, s->destroyed[i], &slot, err);

		if (rc != IM_OK)
			return rc;
		if (memcmp(slot.id, id, sizeof(slot.id)) != 0)
			continue;
		slot.state = SUBJECT_ERASED;
		slot.erase_plus = index + 1;
		rc = overwrite(s, s->destroyed[i], &slot, err);
		if (rc != IM_OK)
			return rc;
		s->destroyed_count--;
		memmove(&s->destroyed[i], &s->destroyed[i + 1],
			(s->destroyed_count - i) * sizeof(s->destroyed[0]));
		return IM_OK;
	}
	return IM_OK;
}

static int
by_id(const void *a, const void *b)
{
	return memcmp(((const struct subject_erasure *)a)->id,
		      ((const struct subject_erasure *)b)->id, SUBJECT_ID_BYTES);
}

/* One slot against what the log says of it. */
static enum im_rc
replay_slot(struct subjects *s, uint32_t number, const struct subject_erasure *list, size_t count,
	    uint64_t *ret_revived, struct im_err *err)
{
	const struct subject_erasure *e;
	struct subject_erasure wanted;
	struct subject_slot slot = { .state = SUBJECT_ERASED };
	enum im_rc rc = read_slot(s, number, &slot, err);

	if (rc == IM_ECORRUPT || (rc == IM_OK && slot.state == SUBJECT_ERASED))
		return IM_OK; /* what cannot be read was counted as damaged */
	if (rc != IM_OK)
		return rc;
	memcpy(wanted.id, slot.id, sizeof(wanted.id));
	e = bsearch(&wanted, list, count, sizeof(*list), by_id);
	if (e == NULL)
		return IM_OK;
	if (slot.state == SUBJECT_DESTROYED)
		return subjects_recorded(s, e->id, e->index, err);
	subject_slot_destroy(&slot);
	slot.state = SUBJECT_ERASED;
	slot.erase_plus = e->index + 1;
	rc = overwrite(s, number, &slot, err);
	*ret_revived += rc == IM_OK;
	return rc;
}

enum im_rc
subjects_replay(struct subjects *s, struct subject_erasure *list, size_t count,
		uint64_t *ret_revived, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	if (count == 0)
		return IM_OK;
	qsort(list, count, sizeof(*list), by_id);
	for (uint32_t i = 1; i < s->durable && rc == IM_OK; i++)
		rc = replay_slot(s, i, list, count, ret_revived, err);
	return rc;
}

/* Look through the slots of one read. */
static bool
find_in(const uint8_t *bytes, size_t count, const uint8_t *id, struct subject_slot *ret)
{
	for (size_t i = 0; i < count; i++)
		if (subject_slot_get(bytes + i * SUBJECT_SLOT_BYTES, ret) &&
		    memcmp(ret->id, id, sizeof(ret->id)) == 0)
			return true;
	return false;
}

enum im_rc
subjects_find(const char *path, const struct pseudonym_keys *keys, struct hasher *h,
	      const uint8_t *id, struct subject_slot *ret_slot, struct subject_key *ret_key,
	      struct im_err *err)
{
	uint8_t *bytes = malloc((size_t)READ_SLOTS * SUBJECT_SLOT_BYTES);
	bool found = false;
	enum im_rc rc = IM_OK;
	size_t count = 1;
	int fd;

	if (bytes == NULL)
		return err_set(err, IM_ENOMEM, "no memory to read %s", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		rc = err_set(err, IM_ENOTFOUND, "the file of subject keys %s is missing", path);
	else if (fd < 0)
		rc = err_errno(err, IM_EIO, errno, "cannot open %s", path);
	for (uint32_t at = 0; rc == IM_OK && !found && count > 0; at += (uint32_t)count) {
		rc = read_slots(fd, path, at, bytes, &count, err);
		if (rc == IM_OK && at == 0 && count > 0)
			rc = subject_head_check(h, keys, bytes, path, err);
		found = rc == IM_OK && find_in(bytes, count, id, ret_slot);
	}
	if (rc == IM_OK && !found)
		rc = err_set(err, IM_ENOTFOUND, "the key of this record is not in %s", path);
	if (rc == IM_OK && ret_slot->state == SUBJECT_LIVE)
		rc = subject_slot_unseal(h, keys, ret_slot, ret_key, err);
	if (fd >= 0)
		(void)close(fd);
	free(bytes);
	return rc;
}
