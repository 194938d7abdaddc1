/*
 * net/ipc_path.h - the socket file of an ipc:// listener, of links or of the door: it appears in one step, with mode 0600, never replaces one that
 * is in use, and is removed only while it is ours. Known in this room only.
 *
 * A socket can be bound only before its mode is set and its listener made, and nng, for the door, unlinks whatever has
 * the bound name at the end. So a private name in the same folder is bound, and the file is moved to the real one here.
 */
#ifndef NET_IPC_PATH_H
#define NET_IPC_PATH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "net/transport.h"

struct ipc_path {
	char path[TRANSPORT_URL_MAX];         /* the real one; "" = not an ipc:// URL */
	char private_path[TRANSPORT_URL_MAX]; /* what is bound */
	dev_t dev;
	ino_t ino;
	bool published;
};

/** Choose the private name for 'url', which may be of any scheme: others leave an empty path. IM_OK or IM_EINVAL. */
IM_MUST_CHECK enum im_rc ipc_path_init(struct ipc_path *p, const char *url, struct im_err *err);

/**
 * Move the socket that now listens at the private name to the real one. A socket file there is replaced if nobody
 * answers. IM_OK; IM_EEXIST: somebody does, or it is no socket; IM_EIO. Does nothing with an empty path.
 */
IM_MUST_CHECK enum im_rc ipc_path_publish(struct ipc_path *p, struct im_err *err);

/** Remove the file if it is still the one that was published. */
void ipc_path_remove(struct ipc_path *p);

#endif
