/*
 * http/listen.h - listening sockets from addresses as operators write them. Used by server.c.
 */
#ifndef HTTP_LISTEN_H
#define HTTP_LISTEN_H

#include <stddef.h>

#include "base/err.h"

/**
 * Listen on "HOST:PORT", "[IPV6]:PORT", "*:PORT" or "unix:PATH" (mode 0600; a stale socket file is replaced). A host name
 * is looked up, which may block. '*ret_fd' is the caller's: non-blocking, close-on-exec. 'ret_address' gets the address
 * with the real port. Returns IM_OK, IM_EINVAL, IM_EEXIST (somebody listens there), IM_EIO.
 */
IM_MUST_CHECK enum im_rc http_listen_open(const char *address, int *ret_fd, char *ret_address,
					  size_t cap, struct im_err *err);

#endif
