/*
 * router/limit_bucket.c - see limit_bucket.h.
 */
#include "router/limit_bucket.h"

#include <string.h>

/* So that sums stay far from overflow and exact in a double, which is what Lua counts with. */
#define DEBT_MAX 4000000000000000LL

static int64_t
grains(uint64_t n)
{
	return n < (uint64_t)DEBT_MAX / LIMIT_GRAINS ? (int64_t)n * LIMIT_GRAINS : DEBT_MAX;
}

static int64_t
full(const struct limit_rate *rate)
{
	return grains(rate->burst);
}

static int64_t
chunk(const struct limit_rate *rate)
{
	return grains(rate->burst < LIMIT_LEASE_SHARE ? 1 : rate->burst / LIMIT_LEASE_SHARE);
}

static int64_t
above_zero(int64_t v)
{
	return v > 0 ? v : 0;
}

void
limit_bucket_init(struct limit_bucket *b, const struct limit_rate *rate, uint64_t now_ms)
{
	memset(b, 0, sizeof(*b));
	b->level = full(rate);
	b->at_ms = now_ms;
}

void
limit_bucket_refill(struct limit_bucket *b, const struct limit_rate *rate, uint64_t now_ms)
{
	int64_t missing = full(rate) - b->level;
	uint64_t passed_ms = now_ms > b->at_ms ? now_ms - b->at_ms : 0;

	b->at_ms += passed_ms;
	if (missing <= 0 || passed_ms > (uint64_t)missing / rate->per_minute) {
		b->level = full(rate);
	} else {
		b->level += (int64_t)(passed_ms * rate->per_minute);
	}
}

bool
limit_bucket_has(struct limit_bucket *b, const struct limit_rate *rate, uint32_t n, bool shared)
{
	int64_t need = grains(n), owed = above_zero(-b->held);
	int64_t credit = owed + need - above_zero(b->held);
	bool has;

	if (!shared) {
		return b->level >= need;
	}
	has = b->held >= need || (credit <= b->level && (owed == 0 || credit <= chunk(rate)));
	b->used = true;
	if (!has && need > b->lacked) {
		b->lacked = need;
	}
	return has;
}

void
limit_bucket_take(struct limit_bucket *b, uint32_t n, bool shared)
{
	*(shared ? &b->held : &b->level) -= grains(n);
}

void
limit_bucket_settle(struct limit_bucket *b, const struct limit_rate *rate, uint64_t reserved,
		    uint64_t used, bool shared, bool refund)
{
	int64_t diff = grains(reserved) - grains(used);
	int64_t *to = shared ? &b->held : &b->level;

	if (diff > 0 && !refund) {
		return;
	}
	*to += diff;
	if (*to < -DEBT_MAX) {
		*to = -DEBT_MAX;
	}
	if (!shared && b->level > full(rate)) {
		b->level = full(rate);
	}
}

/* What may still be given out, by all that we know. */
static int64_t
left(const struct limit_bucket *b)
{
	return b->level + b->held;
}

uint32_t
limit_bucket_left(const struct limit_bucket *b)
{
	int64_t n = above_zero(left(b)) / LIMIT_GRAINS;

	return n < LIMIT_RATE_MAX ? (uint32_t)n : LIMIT_RATE_MAX;
}

static uint32_t
time_for(int64_t missing, const struct limit_rate *rate)
{
	int64_t ms = (missing + rate->per_minute - 1) / rate->per_minute;

	return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

uint32_t
limit_bucket_wait_ms(const struct limit_bucket *b, const struct limit_rate *rate, uint32_t n)
{
	int64_t missing = grains(n) - left(b);

	/* It is there, but not with us: an answer is on its way. */
	return missing <= 0 ? LIMIT_ASK_MS : time_for(missing, rate);
}

uint32_t
limit_bucket_reset_ms(const struct limit_bucket *b, const struct limit_rate *rate)
{
	return time_for(above_zero(full(rate) - left(b)), rate);
}

bool
limit_bucket_is_fresh(const struct limit_bucket *b, const struct limit_rate *rate)
{
	return b->level == full(rate) && b->held == 0;
}

/* How much of a lease we want to have: the usual piece and what somebody lacked while there is demand, else nothing. */
static int64_t
target(const struct limit_bucket *b, const struct limit_rate *rate)
{
	int64_t most = b->lacked > chunk(rate) ? b->lacked : chunk(rate);

	return b->used ? most : 0;
}

bool
limit_bucket_is_due(const struct limit_bucket *b, const struct limit_rate *rate, uint64_t now_ms)
{
	int64_t aim = target(b, rate);

	if (b->held < 0 || (b->used && b->held < aim / 2)) {
		return now_ms >= b->ask_ms;
	}
	/* It has run out, or settlements brought back more than one lease. */
	return b->held > 0 && (now_ms >= b->until_ms || (b->used && b->held > 2 * aim));
}

void
limit_bucket_ask(struct limit_bucket *b, const struct limit_rate *rate, struct limit_question *ret)
{
	int64_t aim = target(b, rate);

	*ret = (struct limit_question){ 0 };
	if (b->held < 0) {
		b->told = -b->held;
		ret->back = -b->told;
	} else if (b->held > aim) {
		ret->back = b->held - aim;
		b->held = aim;
	}
	ret->want = above_zero(aim - above_zero(b->held));
	b->used = false;
	b->lacked = 0;
}

void
limit_bucket_answer(struct limit_bucket *b, const struct limit_rate *rate, int64_t want,
		    int64_t granted, int64_t level, uint64_t now_ms)
{
	b->held += b->told + (granted < want ? granted : want);
	b->told = 0;
	b->level = level < full(rate) ? level : full(rate);
	b->level = b->level > -DEBT_MAX ? b->level : -DEBT_MAX;
	b->at_ms = now_ms;
	b->until_ms = now_ms + LIMIT_LEASE_MS;
	b->ask_ms = granted < want ? now_ms + LIMIT_ASK_MS : now_ms;
}

void
limit_bucket_unanswered(struct limit_bucket *b)
{
	b->told = 0;
}

void
limit_bucket_make_local(struct limit_bucket *b, const struct limit_rate *rate)
{
	b->level = left(b) < full(rate) ? left(b) : full(rate);
	b->held = b->told = b->lacked = 0;
	b->used = false;
	b->until_ms = b->ask_ms = 0;
}

void
limit_bucket_make_shared(struct limit_bucket *b)
{
	b->held = b->told = b->lacked = 0;
	b->used = false;
	b->until_ms = b->ask_ms = 0;
}
