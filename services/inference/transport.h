/*
 * inference/transport.h - HTTP transfers of libcurl on a loop: one multi handle, its sockets and its timer. Connections are
 * kept and shared by all transfers. Knows nothing of what is transferred.
 *
 * Threads: on the loop. libcurl's own thread is the one that looks up a host's name.
 */
#ifndef INFERENCE_TRANSPORT_H
#define INFERENCE_TRANSPORT_H

#include <curl/curl.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"

struct transport;

/* One request and its answer. Embedded in its owner, who makes and frees 'easy'. */
struct transfer {
	CURL *easy;
	/* It is over; it was taken out before. Not called inside libcurl, so other transfers may be started and stopped. */
	void (*done)(struct transfer *t, CURLcode code);
	bool running;
};

/** 'idle_max' connections are kept open without a transfer. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc transport_new(struct loop *loop, long idle_max, struct transport **ret,
				       struct im_err *err);

/** Closes all connections. No transfer may be running. NULL is fine. */
void transport_free(struct transport *t);

/** Once for each handle, before its first transfer. */
void transport_adopt(struct transport *t, CURL *easy);

/** Begin; 'done' follows unless transfer_stop() comes first. Not inside a callback of libcurl. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc transfer_start(struct transport *t, struct transfer *x,
					struct im_err *err);

/** Take it out: its connection is closed if an answer was under way, 'done' does not follow. Not inside a callback of
 *  libcurl. Does nothing if it is not running. */
void transfer_stop(struct transport *t, struct transfer *x);

/** Go on with a transfer whose write callback returned CURL_WRITEFUNC_PAUSE; that callback may be called in here. */
void transfer_resume(struct transport *t, struct transfer *x);

/** True inside a callback of libcurl. */
bool transport_busy(const struct transport *t);

#endif
