/*
 * net/transport_nng.h - what the two files of the nng transport share. Known to them only.
 *
 * Callbacks of nng only post a task; everything else happens on the loop. A loop callback may itself run on a thread of
 * nng, so nothing here waits for nng: objects are closed, their callbacks come in, then they are handed to nng's reaper.
 * Only freeing a dialer or listener waits inside nng; that is done by a thread of its own.
 */
#ifndef NET_TRANSPORT_NNG_H
#define NET_TRANSPORT_NNG_H

#include <nng/nng.h>

#include "net/transport.h"

/** A conn over 'stream', which it owns, also on failure. 'url' is what was dialled or listened on. NULL = no memory. */
struct conn *stream_conn_new(struct loop *loop, nng_stream *stream, const char *url);

#endif
