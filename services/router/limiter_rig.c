/*
 * router/limiter_rig.c - see limiter_rig.h.
 */
#include "router/limiter_rig.h"

const struct limit_rate none = { 0, 0 };

struct limit_rate
rate(uint32_t per_minute, uint32_t burst)
{
	return (struct limit_rate){ per_minute, burst };
}

enum limit_result
ask_for(struct limiter *l, const char *tenant, const char *key, uint64_t prompt,
	uint64_t completion, uint64_t now_ms, struct limit_hold *hold, struct limit_verdict *v)
{
	const struct limit_ask ask = { .key = key,
				       .tenant = tenant,
				       .prompt_tokens = prompt,
				       .completion_tokens = completion,
				       .stated = true };

	limiter_acquire(l, &ask, now_ms, hold, v);
	return v->result;
}

enum limit_result
knock(struct limiter *l, const char *tenant, const char *key, uint64_t now_ms)
{
	struct limit_verdict v;
	struct limit_hold hold;
	enum limit_result result = ask_for(l, tenant, key, 0, 0, now_ms, &hold, &v);

	limiter_settle(l, &hold, 0, now_ms);
	return result;
}
