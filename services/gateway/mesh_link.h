/*
 * gateway/mesh_link.h - the gateway's one link to the router, and errors of calls on it as callers should hear them.
 *
 * Threads: on the loop.
 */
#ifndef GATEWAY_MESH_LINK_H
#define GATEWAY_MESH_LINK_H

#include "gateway/gateway_state.h"

/** Dial and keep dialling. */
IM_MUST_CHECK enum im_rc gateway_link_open(struct gateway *g, const struct service_env *env,
					   struct im_err *err);

/** Stop dialling and asking; 'down' of the link may follow. */
void gateway_link_close(struct gateway *g);

/** Can calls be opened? */
bool gateway_link_usable(const struct gateway *g);

/** call_start(), with errors that can be shown: a router that is not there is IM_EUNAVAILABLE "router_unavailable". */
IM_MUST_CHECK enum im_rc gateway_link_call(struct gateway *g, const struct call_request *req,
					   const struct call_ops *ops, void *user,
					   struct call **ret_call, struct im_err *err);

#endif
