/*
 * audit/testlog.c - shared parts of this room's tests; see testlog.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "audit/testlog.h"
#include "base/clock.h"

void
testlog_init(struct testlog *t)
{
	memset(t, 0, sizeof(*t));
	/* In memory where possible: these tests fail calls and kill processes, they do not cut the power. */
	(void)snprintf(t->dir, sizeof(t->dir), "%s/im-audit-XXXXXX",
		       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(t->dir));
	(void)snprintf(t->key_file, sizeof(t->key_file), "%s.key", t->dir);
	assert_int_equal(keyfile_create(t->key_file, "test.example/log", &t->keys, &t->err), IM_OK);
	note_signer_vkey(&t->keys.signer, t->vkey);
	(void)snprintf(t->subjects, sizeof(t->subjects), "%s" SUBJECTS_SUFFIX, t->key_file);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

void
testlog_done(struct testlog *t)
{
	// NOLINTNEXTLINE(concurrency-mt-unsafe): the test's only thread by now
	(void)nftw(t->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	(void)unlink(t->key_file);
	(void)unlink(t->subjects);
	if (!t->borrowed_keys)
		keyfile_done(&t->keys);
}

static void
on_fatal(void *user, const struct im_err *err)
{
	struct testlog *t = user;

	t->err = *err;
}

struct audit_log *
testlog_open(struct testlog *t)
{
	struct audit_log_params params = {
		.ops = t->ops != NULL ? t->ops : &disk_posix,
		.dir = t->dir,
		.keys = &t->keys,
		.key_file = t->borrowed_keys ? NULL : t->key_file,
		.subjects = t->subjects,
		.half_years = t->half_years,
		.segment_bytes = t->segment_bytes != 0 ? t->segment_bytes : UINT64_C(1024) * 1024,
		.batch_records = t->batch_records != 0 ? t->batch_records : 4096,
		.batch_bytes = (size_t)256 * 1024,
		.publish_ms = 10,
		.now_us = t->now_us != NULL ? t->now_us : clock_wall_us,
		.fatal = on_fatal,
		.user = t,
	};
	struct audit_log *log = NULL;

	return audit_log_open(&params, &log, &t->err) == IM_OK ? log : NULL;
}

void
testlog_event(struct audit_event *e, enum record_kind kind, uint64_t n)
{
	*e = (struct audit_event){ .kind = kind,
				   .has_request_id = true,
				   .caller = "alice",
				   .tenant = "acme",
				   .model = "demo",
				   .request_time_us = 1000 + n };
	memcpy(e->request_id, &n, sizeof(n));
	if (kind == RECORD_REQUEST) {
		e->has_input = true;
	} else if (kind == RECORD_RESPONSE) {
		e->has_output = true;
		e->outcome = OUTCOME_OK;
		e->status_code = 200;
		e->has_routing = true;
		e->routing = (struct routing){
			.worker = "w1", .policy = "least", .reason = "", .attempts = 1
		};
	} else {
		e->has_request_id = false;
	}
}

enum im_rc
testlog_pairs(struct testlog *t, struct audit_log *log, uint64_t from, uint64_t count,
	      unsigned batch)
{
	enum im_rc rc = IM_OK;
	unsigned gathered = 0;

	for (uint64_t i = 0; i < 2 * count && rc == IM_OK; i++) {
		struct audit_event e;
		uint64_t index;

		testlog_event(&e, i % 2 == 0 ? RECORD_REQUEST : RECORD_RESPONSE, from + i / 2);
		rc = audit_log_add(log, &e, &index, &t->err);
		if (rc == IM_OK && (++gathered == batch || i == 2 * count - 1)) {
			rc = audit_log_commit(log, false, &t->err);
			gathered = 0;
		}
	}
	return rc;
}

void
testlog_verify(struct testlog *t, struct verify_report *ret)
{
	struct verify_options options = { .open_ids = VERIFY_OPEN_MAX };
	enum im_rc rc = audit_verify(t->dir, t->vkey, &options, ret, &t->err);

	if (rc != IM_OK)
		fail_msg("%s", t->err.text);
	if (ret->problems != 0)
		fail_msg("%lu problems, the first: %s", (unsigned long)ret->problems,
			 ret->problem[0]);
}

static struct {
	void (*fn)(void *arg, const char *name);
	void *arg;
	size_t dir_len;
} walk;

static int
walk_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)where;
	if (type == FTW_F)
		walk.fn(walk.arg, path + walk.dir_len + 1);
	return 0;
}

void
testlog_files(const char *dir, void (*fn)(void *arg, const char *name), void *arg)
{
	walk.fn = fn;
	walk.arg = arg;
	walk.dir_len = strlen(dir);
	// NOLINTNEXTLINE(concurrency-mt-unsafe): as above
	assert_int_equal(nftw(dir, walk_one, 16, FTW_PHYS), 0);
}

/* The failing disk. */

static struct {
	pthread_mutex_t lock;
	unsigned at, calls;
	int errnum;
	const char *name;
	const char *failed;
	bool sectors;
} armed = { .lock = PTHREAD_MUTEX_INITIALIZER, .name = "", .failed = "" };

static void
arm(unsigned at, const char *name, int errnum)
{
	(void)pthread_mutex_lock(&armed.lock);
	armed.at = at;
	armed.calls = 0;
	armed.errnum = errnum;
	armed.name = name;
	armed.failed = "";
	(void)pthread_mutex_unlock(&armed.lock);
}

void
testdisk_arm(unsigned at, int errnum)
{
	arm(at, "", errnum);
}

void
testdisk_arm_name(const char *name, int errnum)
{
	arm(0, name, errnum);
}

void
testdisk_whole_sectors(bool on)
{
	armed.sectors = on;
}

unsigned
testdisk_calls(void)
{
	return armed.calls;
}

const char *
testdisk_failed(void)
{
	return armed.failed;
}

/* Is this the call that fails? Then errno is set. */
static bool
fails(const char *name)
{
	bool hit;

	(void)pthread_mutex_lock(&armed.lock);
	armed.calls++;
	hit = armed.calls == armed.at || strcmp(armed.name, name) == 0;
	if (hit)
		armed.failed = name;
	(void)pthread_mutex_unlock(&armed.lock);
	if (hit && armed.errnum == TESTDISK_KILL)
		(void)raise(SIGKILL);
	errno = hit ? armed.errnum : errno;
	return hit;
}

static int
test_open(const char *path, int flags, mode_t mode)
{
	return fails("open") ? -1 : disk_posix.open(path, flags, mode);
}

/* A failing write has written half, as it may. */
static ssize_t
test_pwrite(int fd, const void *data, size_t len, off_t at)
{
	if (!fails("pwrite"))
		return disk_posix.pwrite(fd, data, len, at);
	len /= 2;
	if (armed.sectors) {
		size_t beyond = ((size_t)at + len) % 512;

		len -= beyond < len ? beyond : len;
	}
	(void)!disk_posix.pwrite(fd, data, len, at);
	errno = armed.errnum;
	return -1;
}

static int
test_fdatasync(int fd)
{
	return fails("fdatasync") ? -1 : disk_posix.fdatasync(fd);
}

static int
test_fsync(int fd)
{
	return fails("fsync") ? -1 : disk_posix.fsync(fd);
}

static int
test_rename(const char *from, const char *to)
{
	return fails("rename") ? -1 : disk_posix.rename(from, to);
}

static int
test_ftruncate(int fd, off_t len)
{
	return fails("ftruncate") ? -1 : disk_posix.ftruncate(fd, len);
}

static int
test_fallocate(int fd, off_t at, off_t len)
{
	return fails("fallocate") ? armed.errnum : disk_posix.fallocate(fd, at, len);
}

static int
test_mkdir(const char *path, mode_t mode)
{
	return fails("mkdir") ? -1 : disk_posix.mkdir(path, mode);
}

static int
test_unlink(const char *path)
{
	return fails("unlink") ? -1 : disk_posix.unlink(path);
}

/* A hint cannot fail. */
static void
test_writeback(int fd)
{
	(void)fd;
}

const struct disk_ops testdisk = { test_open,   test_pwrite,    test_fdatasync, test_fsync,
				   test_rename, test_ftruncate, test_fallocate, test_mkdir,
				   test_unlink, test_writeback };
