/*
 * daemon/state_file.c - see state_file.h.
 */
#include "daemon/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "base/thread.h"
#include "daemon/durable.h"

#define MAGIC       "IMSTATE1"
#define MAGIC_BYTES 8
#define HEAD_BYTES  (MAGIC_BYTES + SHA256_DIGEST_LENGTH)
#define PATH_BYTES  4096

/* One write, which the thread owns until it hands it back. */
struct state_write {
	struct state_file *file;
	const char *path;
	struct buf bytes;
	enum im_rc rc;
	struct im_err err;
};

static enum im_rc
read_all(int fd, struct buf *out)
{
	uint8_t part[16384];
	ssize_t n;

	while ((n = read(fd, part, sizeof(part))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return IM_EIO;
		if (out->len + (size_t)n > STATE_FILE_MAX + HEAD_BYTES)
			return IM_ECORRUPT;
		if (!buf_append(out, part, (size_t)n))
			return IM_ENOMEM;
	}
	return IM_OK;
}

static bool
is_whole(const struct buf *b)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	if (b->len < HEAD_BYTES || memcmp(b->data, MAGIC, MAGIC_BYTES) != 0)
		return false;
	(void)SHA256(b->data + HEAD_BYTES, b->len - HEAD_BYTES, digest);
	return memcmp(digest, b->data + MAGIC_BYTES, sizeof(digest)) == 0;
}

enum im_rc
state_file_read(const char *path, struct buf *out, struct im_err *err)
{
	struct buf all = BUF_INIT(0);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum im_rc rc;

	if (fd < 0 && errno == ENOENT)
		return err_set(err, IM_ENOTFOUND, "%s: there is no such file", path);
	if (fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot open %s", path);
	rc = read_all(fd, &all);
	if (rc == IM_EIO)
		(void)err_errno(err, rc, errno, "cannot read %s", path);
	else if (rc == IM_ENOMEM)
		(void)err_set(err, rc, "no memory to read %s", path);
	else if (rc == IM_ECORRUPT || !is_whole(&all))
		rc = err_set(
		    err, IM_ECORRUPT,
		    "%s is not as it was written; restore it from a backup, or remove it to "
		    "start without what operators changed",
		    path);
	else if (!buf_append(out, all.data + HEAD_BYTES, all.len - HEAD_BYTES))
		rc = err_set(err, IM_ENOMEM, "no memory to read %s", path);
	(void)close(fd);
	buf_done(&all);
	return rc;
}

enum im_rc
state_file_write(const char *path, const void *data, size_t len, struct im_err *err)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char tmp[PATH_BYTES];
	bool ok;
	int fd;

	if (snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= (int)sizeof(tmp))
		return err_set(err, IM_EINVAL, "%s: the path is too long", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot write %s", tmp);
	(void)SHA256(data, len, digest);
	ok = durable_write(fd, MAGIC, MAGIC_BYTES) && durable_write(fd, digest, sizeof(digest)) &&
	     durable_write(fd, data, len) && fsync(fd) == 0;
	if (!ok)
		(void)err_errno(err, IM_EIO, errno, "cannot write %s", tmp);
	if (close(fd) != 0 && ok) {
		(void)err_errno(err, IM_EIO, errno, "cannot write %s", tmp);
		ok = false;
	}
	if (ok && rename(tmp, path) != 0) {
		(void)err_errno(err, IM_EIO, errno, "cannot rename %s", tmp);
		ok = false;
	}
	if (!ok) {
		(void)unlink(tmp);
		return IM_EIO;
	}
	/* The rename itself is durable once the folder is. */
	if (!durable_sync_folder(path))
		return err_errno(err, IM_EIO, errno, "cannot sync the folder of %s", path);
	return IM_OK;
}

static void *
write_it(void *arg)
{
	struct state_write *job = arg;

	job->rc = state_file_write(job->path, job->bytes.data, job->bytes.len, &job->err);
	loop_hand(job->file->loop, &job->file->written);
	return NULL;
}

static void
tell(struct list *waiters, const struct im_err *err)
{
	struct list *node;

	while ((node = list_pop_front(waiters)) != NULL) {
		struct state_waiter *w = CONTAINER_OF(node, struct state_waiter, node);

		w->done(w, err);
	}
}

/* Begin to write what waits. */
static bool
begin(struct state_file *f, struct im_err *err)
{
	pthread_t thread;
	int failed;

	f->job = calloc(1, sizeof(*f->job));
	if (f->job == NULL || !buf_ok(&f->bytes)) {
		free(f->job);
		f->job = NULL;
		(void)err_set(err, IM_ENOMEM, "no memory to write %s", f->path);
		return false;
	}
	f->job->file = f;
	f->job->path = f->path;
	f->job->bytes = f->bytes;
	f->bytes = (struct buf)BUF_INIT(0);
	failed = thread_start(&thread, write_it, f->job);
	if (failed != 0) {
		buf_done(&f->job->bytes);
		free(f->job);
		f->job = NULL;
		(void)err_errno(err, IM_ENOMEM, failed, "no thread to write %s", f->path);
		return false;
	}
	(void)pthread_detach(thread);
	return true;
}

static void
go_on(struct state_file *f)
{
	struct im_err err;
	struct list *node;

	f->dirty = false;
	while ((node = list_pop_front(&f->next)) != NULL)
		list_push_back(&f->asked, node);
	f->writing = begin(f, &err);
	if (!f->writing)
		tell(&f->asked, &err);
}

static void
written(void *arg)
{
	struct state_file *f = arg;
	struct state_write *job = f->job;

	f->job = NULL;
	f->writing = false;
	tell(&f->asked, job->rc == IM_OK ? NULL : &job->err);
	buf_done(&job->bytes);
	free(job);
	if (f->dirty && !f->writing)
		go_on(f);
	if (!f->writing && f->idle != NULL)
		f->idle(f->idle_arg);
}

void
state_file_init(struct state_file *f, struct loop *loop, const char *path, loop_fn idle,
		void *idle_arg)
{
	memset(f, 0, sizeof(*f));
	f->loop = loop;
	f->path = path;
	f->idle = idle;
	f->idle_arg = idle_arg;
	f->written = (struct loop_task){ .fn = written, .arg = f };
	list_init(&f->next);
	list_init(&f->asked);
}

void
state_file_save(struct state_file *f, const void *data, size_t len, struct state_waiter *w)
{
	buf_done(&f->bytes);
	f->bytes = (struct buf)BUF_INIT(0);
	(void)buf_append(&f->bytes, data, len);
	f->dirty = true;
	if (w != NULL)
		list_push_back(&f->next, &w->node);
	if (!f->writing)
		go_on(f);
}

bool
state_file_busy(const struct state_file *f)
{
	return f->writing;
}
