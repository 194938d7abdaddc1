/*
 * net/nng_init.h - starts nng with few threads, and what both users of nng in this room share: its errors as ours and
 * work that may block. Known in this room only.
 */
#ifndef NET_NNG_INIT_H
#define NET_NNG_INIT_H

#include "base/err.h"

/** Start nng's threads if they are not there yet. Call it before every first use of nng. Any thread. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc net_nng_start(struct im_err *err);

/** Our code for nng's error number 'rv' (not 0). */
enum im_rc net_nng_rc(int rv);

/**
 * Run fn(arg) on a thread of its own. For the few functions of nng that wait for its own threads: on a loop they may run
 * on one of those. If no thread can be had fn runs at once, which is right nearly always and better than never.
 */
void net_off_loop(void *(*fn)(void *arg), void *arg);

#endif
