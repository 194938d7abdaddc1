/*
 * audit/testlog.h - what the tests of this room share: a log in a temporary folder, events, and a disk that fails on demand.
 */
#ifndef AUDIT_TESTLOG_H
#define AUDIT_TESTLOG_H

#include "audit/log.h"
#include "audit/verify.h"

struct testlog {
	char dir[64];
	char subjects[128];
	char key_file[96];
	struct keyfile keys;
	bool borrowed_keys;          /* another one's */
	char vkey[NOTE_KEYTEXT_MAX]; /* of the first shard */
	const struct disk_ops *ops;  /* NULL = the real disk */
	uint64_t segment_bytes;      /* 0 = 1 MiB */
	uint32_t batch_records;      /* 0 = 4096 */
	bool half_years;             /* a shard for each */
	uint64_t (*now_us)(void);    /* NULL = the real clock */
	struct im_err err;           /* of the last call */
};

/** A fresh folder and keys. */
void testlog_init(struct testlog *t);

/** Remove the folder. */
void testlog_done(struct testlog *t);

/** Open (or open again) the log; NULL and t->err on failure. */
struct audit_log *testlog_open(struct testlog *t);

/** An event about request 'n'. */
void testlog_event(struct audit_event *e, enum record_kind kind, uint64_t n);

/** Append 'count' request/response pairs from request 'from' on, 'batch' events a frame. Returns the last error or IM_OK. */
enum im_rc testlog_pairs(struct testlog *t, struct audit_log *log, uint64_t from, uint64_t count,
			 unsigned batch);

/** Verify with our key and fail the test unless there is nothing wrong. */
void testlog_verify(struct testlog *t, struct verify_report *ret);

/* A disk whose nth call of any kind, counted from testdisk_arm(), fails. One log at a time. */
extern const struct disk_ops testdisk;

#define TESTDISK_KILL (-1) /* as an error number: the process is killed instead */

/** Fail call number 'at' (from 1; 0 = none) with 'errnum'. */
void testdisk_arm(unsigned at, int errnum);

/** Fail every call of 'name' ("fallocate") from now on. */
void testdisk_arm_name(const char *name, int errnum);

/** A failing write writes half: from now on, to the end of a sector. */
void testdisk_whole_sectors(bool on);

/** Calls since testdisk_arm(), and the name of the one that failed, or "". */
unsigned testdisk_calls(void);
const char *testdisk_failed(void);

/** Run 'cmd' on each regular file below 'dir': path relative to it. */
void testlog_files(const char *dir, void (*fn)(void *arg, const char *name), void *arg);

#endif
