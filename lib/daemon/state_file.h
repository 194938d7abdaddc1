/*
 * daemon/state_file.h - a small file that must survive a restart and a power cut: written whole, synced and renamed, by a
 * thread of its own, so that nobody on the loop waits for the disk. It knows nothing of what the bytes mean.
 *
 * The file: "IMSTATE1", the SHA-256 of what follows, and that. A file that is cut or changed is refused, not read in part.
 */
#ifndef DAEMON_STATE_FILE_H
#define DAEMON_STATE_FILE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/loop.h"

#define STATE_FILE_MAX (64UL << 20)

/**
 * Append what the file holds to 'out'. IM_ENOTFOUND: there is none. IM_ECORRUPT: it is not what was written; the text
 * says what to do. IM_EIO, IM_ENOMEM. Blocks on the disk: for a start.
 */
IM_MUST_CHECK enum im_rc state_file_read(const char *path, struct buf *out, struct im_err *err);

/** Replace the file with 'data', mode 0600, durably; its folder must exist. Blocks on the disk. IM_EIO, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc state_file_write(const char *path, const void *data, size_t len,
					  struct im_err *err);

/* Somebody who waits until what was given is durable. */
struct state_waiter {
	struct list node;
	void (*done)(struct state_waiter *w, const struct im_err *err); /* NULL: it is */
};

/* The file of one owner. All calls and callbacks are on the loop. */
struct state_file {
	struct loop *loop;
	const char *path; /* the owner's */
	struct list next,
	    asked;        /* waiters: of what is still to be written, of what is being written */
	struct buf bytes; /* still to be written */
	bool dirty, writing;
	struct state_write *job;
	struct loop_task written;
	loop_fn idle; /* told whenever nothing is being written any more; may be NULL */
	void *idle_arg;
};

void state_file_init(struct state_file *f, struct loop *loop, const char *path, loop_fn idle,
		     void *idle_arg);

/** Write 'data', which is copied, and tell 'w' (NULL: nobody). What is given while another write is under way is written
 *  after it; only the last of several counts, and it is what all wait for. */
void state_file_save(struct state_file *f, const void *data, size_t len, struct state_waiter *w);

/** True while something is being written: free nothing yet. */
bool state_file_busy(const struct state_file *f);

#endif
