/*
 * net/transport_unix.h - what the two files of the transport for ipc:// share. Known to them only.
 *
 * Non-blocking Unix sockets, watched by the loop itself: no thread but the one in loop_run() takes part. Nothing here
 * waits: the kernel connects Unix sockets at once or not at all.
 */
#ifndef NET_TRANSPORT_UNIX_H
#define NET_TRANSPORT_UNIX_H

#include "net/transport.h"

/** A conn over the connected socket 'fd', which it owns, also on failure. 'url' is what was dialled or listened on. NULL =
 *  no memory. On the loop. */
struct conn *unix_conn_new(struct loop *loop, int fd, const char *url);

#endif
