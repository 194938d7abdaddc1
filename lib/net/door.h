/*
 * net/door.h - the REQ/REP door: one request message, one reply message, for programs in any language with an nng
 * binding and no more. Used by the router. Knows nothing of what the messages mean.
 *
 * Threads: as net.h: on the loop.
 */
#ifndef NET_DOOR_H
#define NET_DOOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"

struct door;
struct door_request;

struct door_params {
	const char *url;
	size_t max_message_bytes; /* 0 = 16 MiB */
	uint32_t concurrent;      /* requests answered at once, others wait in the sender; 0 = 64 */
};

/** One request came in; answer with door_reply(), now or later, exactly once. 'body' is valid inside the callback only. */
typedef void (*door_fn)(void *user, struct door_request *request, const uint8_t *body, size_t len);

/** Returns IM_OK, IM_EINVAL, IM_EEXIST (somebody listens there), IM_EIO, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc door_open(struct loop *loop, const struct door_params *params, door_fn fn,
				   void *user, struct door **ret_door, struct im_err *err);

/** 'body' is copied. 'request' is gone afterwards. A requester that left does not get it. */
void door_reply(struct door_request *request, const uint8_t *body, size_t len);

/** Stop; 'closed' is called on the loop when nothing is in flight in nng any more and every request was replied to. */
void door_close(struct door *door, loop_fn closed, void *arg);

/** After 'closed'. NULL is fine. */
void door_free(struct door *door);

#endif
