/*
 * router/retry_budget.h - how many retries there may be: so that a mesh whose workers all fail does not get a multiple of
 * its load on top. Pure.
 *
 * Each request pays in 'percent' hundredths of a token, each retry takes one out; what was paid in or taken out more than
 * RETRY_BUDGET_WINDOW_MS ago is forgotten. 'reserve' tokens are always there, so that a quiet system may retry too. In any
 * window, with n requests in it:
 *
 *      retries <= n * percent / 100 + reserve
 *
 * Source: RetryBudget of Twitter's Finagle (percentCanRetry 20 %, a window of 10 s, minRetriesPerSec), which Linkerd and
 * gRPC's retry throttling follow.
 */
#ifndef ROUTER_RETRY_BUDGET_H
#define ROUTER_RETRY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define RETRY_BUDGET_WINDOW_MS 10000
#define RETRY_BUDGET_SLOTS     10

struct retry_budget {
	uint32_t percent, reserve;
	uint64_t slot_no;           /* of the newest part of the window */
	uint64_t requests, retries; /* in the window */
	struct {
		uint64_t requests, retries;
	} slot[RETRY_BUDGET_SLOTS];
};

/** 'percent' of the requests, 'reserve' for each window. */
void retry_budget_init(struct retry_budget *b, uint32_t percent, uint32_t reserve);

/** A request came in. */
void retry_budget_request(struct retry_budget *b, uint64_t now_ms);

/** Take a token. False: there is none, and there must not be a retry. */
bool retry_budget_take(struct retry_budget *b, uint64_t now_ms);

#endif
