/*
 * sim/sim_net.h - links without a wire: the functions of net/net.h as the router calls them, and the far end of each link, which
 * is a simulated worker, gateway, cache or audit service. Nothing is delayed here: whoever plays the far end decides when a
 * message arrives. It counts what a call is allowed to do and fails the run when the rules of net.h are broken.
 */
#ifndef SIM_SIM_NET_H
#define SIM_SIM_NET_H

#include "net/net.h"

/* What the far end of a link is told, at once. 'far' and 'user' are its own. */
struct far_ops {
	/* The router opened 'call'; the far end keeps it until 'gone', or ends it with far_end(). Returns what 'gone' gets. */
	void *(*opened)(void *far, struct call *call, const struct call_request *req);
	/* The call is over for the router without far_end(): cancelled, deadline, link lost. */
	void (*gone)(void *user);
	/* What the router said in a call that far_serve() opened. */
	void (*data)(void *user, const uint8_t *body, size_t len);
	void (*ended)(void *user, const struct im_err *err, const uint8_t *body, size_t len);
	/* The router closed the link. 'link' is gone when this returns. */
	void (*closed)(void *far);
	void (*goaway)(void *far);
};

/* A program that dials 'url' meets this: open the link now or later with far_open_dialled(). */
typedef void (*far_dialled_fn)(void *world, struct endpoint *ep, const char *url);

/** A router's end of the mesh. 'dialled' hears of its net_dial(). */
struct net *far_net_new(const char *name, far_dialled_fn dialled, void *world);
void far_net_free(struct net *net);

/** Calls to workers that this router has open. */
uint32_t far_calls_open(const struct net *net);

/** A peer dials the router: its 'up' is called. */
struct link *far_open(struct net *net, const char *role, const char *name,
		      const uint8_t instance[16], const struct far_ops *ops, void *far);

/** The peer that the router dialled is there. */
struct link *far_open_dialled(struct endpoint *ep, const char *role, const struct far_ops *ops,
			      void *far);

/** The link is lost: calls end, served calls are cancelled, 'down' is called. No far_ops.closed. */
void far_lose(struct link *link, const char *why);

/** The peer says GOAWAY. */
void far_goaway(struct link *link);

/** A message of a call that the router opened. The call may be gone when it returns. */
void far_data(struct call *call, const uint8_t *body, size_t len);
void far_end(struct call *call, const struct im_err *err, const uint8_t *body, size_t len);

/** Who owns the router's side of the call: its 'user' of call_start(). */
void *far_call_user(const struct call *call);
struct link *far_call_link(const struct call *call);

/** Open a call on the router. 'user' goes to far_ops.data and .ended, maybe before this returns, but after '*ret_served' is
 *  set; 'credit' is how many messages it takes to begin with. */
void far_serve(struct link *link, const struct served_request *req, uint32_t credit, void *user,
	       struct served **ret_served);

/** The far end of a served call leaves, or takes more messages. */
void far_cancel(struct served *served);
void far_credit(struct served *served, uint32_t messages);

#endif
