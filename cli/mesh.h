/*
 * cli/mesh.h - the command line's end of the mesh: dial a daemon, ask it, wait for the answer. Blocking, for commands that do
 * one thing at a time; a thread of its own runs the loop meanwhile.
 */
#ifndef CLI_MESH_H
#define CLI_MESH_H

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "daemon/config.h"
#include "net/net.h"

struct mesh;
struct peer; /* a daemon that was dialled */

/** 'role': operator or client, as its HELLO says. 'name' is copied. IM_ENOMEM, IM_EIO. */
IM_MUST_CHECK enum im_rc mesh_open(const struct config *config, const char *role, const char *name,
				   struct mesh **ret_mesh, struct im_err *err);

/** Close every link and end the thread. NULL is fine. */
void mesh_close(struct mesh *mesh);

/** Dial 'url' and wait for HELLO. IM_EUNAVAILABLE as soon as it is refused, or after 'timeout_ms'; the text says what and
 *  where. The peer lives as long as the mesh, and is dialled again when its link is lost. */
IM_MUST_CHECK enum im_rc mesh_dial(struct mesh *mesh, const char *url, unsigned timeout_ms,
				   struct peer **ret_peer, struct im_err *err);

/** One call with one reply. 'reply' is cleared first. Errors: the peer's own, IM_EUNAVAILABLE, IM_EDEADLINE. */
IM_MUST_CHECK enum im_rc mesh_call(struct peer *peer, const char *method, const struct buf *body,
				   unsigned timeout_ms, struct buf *reply, struct im_err *err);

/** For calls that stream: the loop, to be entered, and the live link or NULL, read on the loop. */
struct loop *mesh_loop(struct peer *peer);
struct link *mesh_link(const struct peer *peer);

/** The first address of the router, with the hint for a mesh that is down in the error. */
IM_MUST_CHECK enum im_rc mesh_dial_router(struct mesh *mesh, const struct config *config,
					  struct peer **ret_peer, struct im_err *err);

#endif
