/*
 * audit/subjects.h - the file of subjects' keys beside the key file: one key for each pair of tenant and caller, made when it
 * first comes, and destroyed by overwriting it. Slots are appended and never moved (docs/adr/0007-subject-keys.md). Knows
 * nothing of records.
 *
 * A key that this hands out may be used at once, but counts only after subjects_sync(): no record made with it may become
 * durable before. On one thread at a time.
 */
#ifndef AUDIT_SUBJECTS_H
#define AUDIT_SUBJECTS_H

#include "audit/disk.h"
#include "audit/subject_slot.h"
#include "base/buf.h"

#define SUBJECTS_SUFFIX      ".subjects"         /* behind the name of the key file */
#define SUBJECTS_MAX         (UINT32_C(1) << 24) /* slots, erased ones included: 2 GiB */
#define SUBJECTS_PENDING_MAX 65536               /* keys that are not on the disk yet */

struct subjects {
	const struct disk_ops *ops; /* NULL = not open */
	char path[DISK_PATH_MAX];
	const struct pseudonym_keys *keys;
	int fd;
	struct subject_place *place; /* by tag: open addressing, a power of two */
	size_t count, cap;
	uint32_t slots;      /* that exist; slot 0 is the file's head */
	uint32_t durable;    /* of these are on the disk */
	struct buf pending;  /* the others' bytes */
	uint32_t *destroyed; /* slots whose ERASE record is still to come */
	size_t destroyed_count;
	uint64_t damaged; /* slots that cannot be read: their subjects get new keys */
};

/**
 * Open or make the file 'path', whose folder exists; 'keys' must outlive it. Finishes a destruction that a crash cut off.
 * IM_EINVAL: it belongs to another key file, or is none. IM_EUNAVAILABLE, IM_EIO, IM_ENOMEM. On failure subjects_close()
 * is still fine. Memory: 24 to 48 bytes a subject.
 */
IM_MUST_CHECK enum im_rc subjects_open(struct subjects *s, const struct disk_ops *ops,
				       const char *path, const struct pseudonym_keys *keys,
				       struct hasher *h, struct im_err *err);

/** Wipe and free; what was not synced is forgotten. Zero-initialised is fine. */
void subjects_close(struct subjects *s);

/** The key of a subject; a fresh one when it has none, or an erased one. IM_ENOMEM; IM_EUNAVAILABLE: too many. */
IM_MUST_CHECK enum im_rc subjects_get(struct subjects *s, struct hasher *h, const char *tenant,
				      const char *caller, uint64_t now_us, struct subject_key *ret,
				      struct im_err *err);

/** Make all keys that were handed out durable. Costs nothing when there are no new ones. As disk.h says. */
IM_MUST_CHECK enum im_rc subjects_sync(struct subjects *s, struct im_err *err);

/**
 * Destroy a subject's key: afterwards, durably, its bytes are not in the file. '*ret' is the slot as it is now. Again: as
 * it is already. IM_ENOTFOUND: it has none. IM_EUNAVAILABLE, IM_EIO: it may be destroyed
 * or not; the next call, or the next start, finishes it. IM_ECORRUPT: the slot was changed behind our back.
 */
IM_MUST_CHECK enum im_rc subjects_destroy(struct subjects *s, struct hasher *h, const char *tenant,
					  const char *caller, struct subject_slot *ret,
					  struct im_err *err);

/** The destroyed key that was destroyed first and has no ERASE record yet. False if there is none. */
bool subjects_unrecorded(const struct subjects *s, uint8_t ret_id[SUBJECT_ID_BYTES]);

/** The ERASE record about 'id' is durable and has this index. Says nothing of keys that are not waiting for one. */
IM_MUST_CHECK enum im_rc subjects_recorded(struct subjects *s, const uint8_t *id, uint64_t index,
					   struct im_err *err);

/* What an ERASE record of the log says. */
struct subject_erasure {
	uint8_t id[SUBJECT_ID_BYTES];
	uint64_t index;
};

/**
 * The log holds these ERASE records: whatever key they name and is here, living (an old copy of the file was put back) or
 * waiting for its record, is destroyed and recorded. Sorts 'list'. '*ret_revived' counts the living ones.
 */
IM_MUST_CHECK enum im_rc subjects_replay(struct subjects *s, struct subject_erasure *list,
					 size_t count, uint64_t *ret_revived, struct im_err *err);

/**
 * Look up a key by its id in the file 'path', which a running service may have open: reads, and changes nothing. IM_OK, and
 * '*ret_slot' says whether it is there ('ret_key' filled) or destroyed. IM_ENOTFOUND: no such file or no such key;
 * IM_EINVAL: another key file's; IM_ECORRUPT, IM_EIO, IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc subjects_find(const char *path, const struct pseudonym_keys *keys,
				       struct hasher *h, const uint8_t *id,
				       struct subject_slot *ret_slot, struct subject_key *ret_key,
				       struct im_err *err);

#endif
