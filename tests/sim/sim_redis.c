/*
 * sim/sim_redis.c - no Redis: each router of the simulation keeps its limits for itself. That leases hold their bound with late and
 * lost answers is services/router/limiter_lease_test.c's to show, on virtual time too.
 */
#include "router/limiter_redis.h"

enum im_rc
limiter_redis_start(const struct limiter_redis_params *params, struct limiter_redis **ret,
		    struct im_err *err)
{
	(void)params;
	(void)ret;
	return err_set(err, IM_EUNAVAILABLE, "the simulation has no Redis");
}

void
limiter_redis_ask(struct limiter_redis *r)
{
	(void)r;
}

void
limiter_redis_tick(struct limiter_redis *r)
{
	(void)r;
}

void
limiter_redis_stop(struct limiter_redis *r, loop_fn stopped, void *arg)
{
	(void)r;
	stopped(arg);
}

bool
limiter_redis_is_up(const struct limiter_redis *r)
{
	(void)r;
	return false;
}

void
limiter_redis_counts(const struct limiter_redis *r, uint64_t *ret_answered,
		     uint64_t *ret_unanswered)
{
	(void)r;
	*ret_answered = *ret_unanswered = 0;
}
