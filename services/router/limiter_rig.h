/*
 * router/limiter_rig.h - for tests of the limiter: rates and requests in few words.
 */
#ifndef ROUTER_LIMITER_RIG_H
#define ROUTER_LIMITER_RIG_H

#include "router/limiter.h"

extern const struct limit_rate none;

struct limit_rate rate(uint32_t per_minute, uint32_t burst);

/** Ask for 'prompt' and 'completion' tokens, as stated by the caller. */
enum limit_result ask_for(struct limiter *l, const char *tenant, const char *key, uint64_t prompt,
			  uint64_t completion, uint64_t now_ms, struct limit_hold *hold,
			  struct limit_verdict *v);

/** One request without tokens that ends at once. */
enum limit_result knock(struct limiter *l, const char *tenant, const char *key, uint64_t now_ms);

#endif
