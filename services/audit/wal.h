/*
 * audit/wal.h - the write-ahead log: segments of frames in the folder 'wal', one fdatasync a frame, and how they are read
 * back after a crash. Knows nothing of what a record says.
 *
 * A segment is named after its generation, 16 hex digits: epoch << 32 | number. Each start of the service begins a new
 * epoch with a copy of the frames that are still needed; segments of older epochs count no more from then on.
 */
#ifndef AUDIT_WAL_H
#define AUDIT_WAL_H

#include "audit/direct.h"
#include "audit/wal_frame.h"
#include "base/list.h"

#define WAL_RESERVE_BYTES                                                                          \
	(UINT64_C(64) *                                                                            \
	 1024) /* of each segment: only for records that say that the log was full or stops */
#define WAL_SEGMENTS_MAX 65536
/* Space that is only set aside costs a transaction of the file system's journal when it is first written, which doubles the
 * time of a commit. So zeros are written ahead of the frames, so many at once: one commit in a hundred pays for all. */
#define WAL_AHEAD_BYTES ((size_t)512 * 1024)

/* The writer. On one thread at a time. */
struct wal {
	const struct disk_ops *ops;
	char dir[DISK_PATH_MAX]; /* the folder 'wal' itself */
	char path[DISK_PATH_MAX];
	int fd;                 /* of the current segment, or -1 */
	uint64_t generation;    /* of the current segment */
	uint64_t offset;        /* where the next frame goes */
	uint64_t limit;         /* bytes set aside for this segment, the reserve included */
	uint64_t zeroed;        /* up to here zeros were written ahead of the frames */
	uint64_t segment_bytes; /* of later segments; whole blocks */
	uint64_t end;           /* index after the last record */
	bool unnamed;           /* the segment is a temporary file still: wal_settle() */
	struct buf out;
	struct direct direct;
	struct list retired; /* of segments that are full */
};

/**
 * Begin epoch 'epoch' in the log folder 'dir' with the frames at 'frames' (their generation is replaced, where they were read to if
 * they have a 'home'), in two steps: written to a
 * temporary file; and synced, renamed, the folder synced. Between both nothing has changed for whoever reads the log, and wal_close() takes
 * the first one back. IM_EUNAVAILABLE, IM_EIO, IM_ENOMEM. On failure wal_close() is still fine.
 */
IM_MUST_CHECK enum im_rc wal_prepare(struct wal *w, const struct disk_ops *ops, const char *dir,
				     uint32_t epoch, uint64_t segment_bytes,
				     const struct wal_frame *frames, size_t count,
				     struct im_err *err);
IM_MUST_CHECK enum im_rc wal_settle(struct wal *w, struct im_err *err);

/** Both. */
IM_MUST_CHECK enum im_rc wal_begin(struct wal *w, const struct disk_ops *ops, const char *dir,
				   uint32_t epoch, uint64_t segment_bytes,
				   const struct wal_frame *frames, size_t count,
				   struct im_err *err);

/**
 * Append one frame (its generation is set here) and make it durable. 'urgent' may use the reserve. IM_EUNAVAILABLE: it
 * is not in the log, and the next try may succeed. IM_EIO: nothing may be written any more. IM_ENOMEM: as
 * IM_EUNAVAILABLE.
 */
IM_MUST_CHECK enum im_rc wal_append(struct wal *w, struct wal_frame *frame, bool urgent,
				    struct im_err *err);

/**
 * Remove segments all of whose records are below 'published'. One that cannot be removed now is tried again. Their space
 * comes back when the caller closes 'gone', to which they are added.
 */
void wal_recycle(struct wal *w, uint64_t published, struct list *gone);

/** Remove every segment of an epoch older than ours, and leftovers of a crash. 'gone' as for wal_recycle(). */
void wal_remove_older(const struct wal *w, struct list *gone);

/** 'to', which is closed, becomes what 'from' was just after wal_begin(); 'from' is closed. */
void wal_move(struct wal *to, struct wal *from);

/** Close; the files stay, but for what wal_settle() has not named. Zero-initialised is fine when fd is -1. */
void wal_close(struct wal *w);

/* Reading. */

struct wal_scan {
	/* Called for each frame of the newest epoch in order. 'where' is "FILE at byte N". An error ends the scan. */
	enum im_rc (*frame)(void *user, const struct wal_frame *f, const char *where,
			    struct im_err *err);
	/* True if the frame carries our signature: decides whether bytes behind a bad frame are a frame of ours. */
	bool (*trusted)(void *user, const struct wal_frame *f);
	void *user;
	/* Frames' homes will be referred to, and nobody else writes: they are mapped, where that can be done. */
	bool keeps;
};

struct wal_found {
	uint32_t epoch; /* newest; 0 = there is no write-ahead log */
	uint64_t segments, frames;
	bool torn; /* the last frame was not written whole: it was never acknowledged */
	char torn_where[DISK_PATH_MAX + 64];
};

/**
 * Read the newest epoch in 'dir'. IM_OK; IM_ECORRUPT: a bad frame that no crash explains (the text names file and byte);
 * IM_EIO, IM_ENOMEM, or what 'frame' returned. Changes nothing.
 */
IM_MUST_CHECK enum im_rc wal_read(const char *dir, const struct wal_scan *scan,
				  struct wal_found *ret, struct im_err *err);

/** Segment's file name from its generation: 16 hex digits and ".wal". */
#define WAL_NAME_MAX 32
void wal_name(uint64_t generation, char ret[WAL_NAME_MAX]);
bool wal_name_parse(const char *name, uint64_t *ret_generation);

#endif
