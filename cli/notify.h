/*
 * cli/notify.h - the receiving end of sd_notify(3): which child is ready. The kernel says who wrote, so a stranger cannot.
 */
#ifndef CLI_NOTIFY_H
#define CLI_NOTIFY_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct notify;

/** An abstract datagram socket. IM_EIO, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc notify_open(struct notify **ret_notify, struct im_err *err);
/** NULL is fine. */
void notify_close(struct notify *notify);

/** For the children's NOTIFY_SOCKET. */
const char *notify_address(const struct notify *notify);

/** Readable when there is something to read. */
int notify_fd(const struct notify *notify);

/** Read what is there. 'status': the sender's STATUS line, "" if there is none. */
void notify_read(struct notify *notify,
		 void (*fn)(void *user, pid_t pid, bool ready, const char *status), void *user);

#endif
