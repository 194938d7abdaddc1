/*
 * router/verdict.h - what the end of an attempt says of the worker that made it. Pure. The rule: only a worker's own failures
 * count. What a caller did (a request that cannot be answered, leaving, a deadline too short) says nothing, and an upstream
 * that asks for a pause has not failed.
 *
 *   how it ended                                                     verdict          another worker?
 *   well                                                             ok               -
 *   4xx of the request: invalid, not found, not permitted, too big   nothing          no
 *   cancelled; the router's own want of memory; never sent           nothing          no; never sent: yes
 *   full (IM_EAGAIN)                                                 nothing          yes, not an attempt
 *   the link was lost, the worker drains or stops                    nothing          yes, free of the retry budget
 *   the worker does not serve the model any more                     nothing          yes, free of the retry budget
 *   429                                                              pause            yes
 *   503 with Retry-After, an upstream that loads its model           pause            yes
 *   402: the account is used up                                      failed           yes
 *   other 5xx, unreachable, not understood, out of memory or order   failed           yes
 *   silent for longer than its own read_ms                           failed           yes
 *   the request's deadline passed: silent for silence_ms by then     failed           no
 *   the request's deadline passed: not so long                       nothing          no
 */
#ifndef ROUTER_VERDICT_H
#define ROUTER_VERDICT_H

#include "base/err.h"
#include "router/breaker.h"

#define VERDICT_PAUSE_MS     1000    /* a 429 that does not say how long */
#define VERDICT_PAUSE_MAX_MS 3600000 /* a longer one is taken as this */

/* Whether somebody else may try, before the first token. */
enum again {
	AGAIN_NO,
	AGAIN_RETRY, /* counts against the retry budget */
	AGAIN_MOVE,  /* the worker is away: does not */
	AGAIN_FULL,  /* was no attempt */
};

struct judgement {
	enum verdict verdict;
	enum again again;
	uint32_t pause_ms; /* with VERDICT_PAUSE */
	bool limited;      /* ... it limits us (429), else it is not up to it now (503) */
};

/** An attempt ended with 'err' while its request had time left. 'opened': the worker was told of it at all. */
struct judgement verdict_of_error(const struct im_err *err, bool opened);

/** The request's deadline passed, the worker having said nothing for 'silent_ms'. */
enum verdict verdict_of_deadline(uint64_t silent_ms, uint32_t silence_ms);

#endif
