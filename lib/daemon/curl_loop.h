/*
 * daemon/curl_loop.h - HTTP transfers of libcurl on a loop: one multi handle, its sockets and its timer. Connections are
 * kept and shared by all transfers. Knows nothing of what is transferred. libcurl is loaded with the first one (curl_late.h).
 *
 * Threads: on the loop. libcurl's own thread is the one that looks up a host's name.
 */
#ifndef DAEMON_CURL_LOOP_H
#define DAEMON_CURL_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"

struct curl_loop;

/* One request and its answer. Embedded in its owner, who makes and frees 'easy'. */
struct transfer {
	CURL *easy;
	/* It is over; it was taken out before. Not called inside libcurl, so other transfers may be started and stopped. */
	void (*done)(struct transfer *t, CURLcode code);
	bool running;
	/* With CURLOPT_CONNECT_ONLY, in 'done' after CURLE_OK: the connected socket, nonblocking, the owner's from now on; -1: none. */
	int fd;
	bool connect_only; /* that option is set */
};

/** 'idle_max' connections are kept open without a transfer. IM_OK, IM_EUNAVAILABLE (no libcurl) or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc curl_loop_new(struct loop *loop, long idle_max, struct curl_loop **ret,
				       struct im_err *err);

/** Closes all connections. No transfer may be running. NULL is fine. */
void curl_loop_free(struct curl_loop *t);

/** Once for each handle, before its first transfer. */
void curl_loop_adopt(struct curl_loop *t, CURL *easy);

/** Begin; 'done' follows unless transfer_stop() comes first. Not inside a callback of libcurl. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc transfer_start(struct curl_loop *t, struct transfer *x,
					struct im_err *err);

/** Take it out: its connection is closed if an answer was under way, 'done' does not follow. Not inside a callback of
 *  libcurl. Does nothing if it is not running. */
void transfer_stop(struct curl_loop *t, struct transfer *x);

/** Go on with a transfer whose write callback returned CURL_WRITEFUNC_PAUSE; that callback may be called in here. */
void transfer_resume(struct curl_loop *t, struct transfer *x);

/** The peer has neither closed the idle connection 'fd' nor said anything that nobody asked for, which would be taken for the next answer. */
bool connection_is_quiet(int fd);

/** True inside a callback of libcurl. */
bool curl_loop_busy(const struct curl_loop *t);

#endif
