/*
 * router/limit_bucket.h - one token bucket as whole numbers, and the part of a shared one that a router holds as a lease. Pure:
 * 'now_ms' is an argument, milliseconds of any clock that does not go back. Called by limiter.c only.
 *
 * A bucket counts in grains, 60,000 to the token, so that a rate of so many a minute is as many grains a millisecond and
 * nothing is ever rounded. Source: Turner, "New Directions in Communications", 1986, section "leaky bucket".
 *
 * Local: 'level' is what may be taken. It grows with time up to the burst; below 0 it is a debt, left by requests that used
 * more than was reserved for them, and nothing is given out until time has paid it.
 *
 * Shared by several routers: the truth is elsewhere (Redis). 'level' is what was left there when we asked last, with the
 * growth since; 'held' is what we have taken out of it ahead (a lease), and all that we give out comes from there. Below 0 it
 * is what we owe: given out on credit while no lease was at hand, or used beyond what was reserved. Credit is given only up
 * to what 'level' says, and to LIMIT_CHUNK in sum or for one request alone, until the next answer. docs/routing.md,
 * "Limits", has the bound that follows.
 */
#ifndef ROUTER_LIMIT_BUCKET_H
#define ROUTER_LIMIT_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_GRAINS      60000
#define LIMIT_RATE_MAX    1000000000 /* a minute; also of a burst */
#define LIMIT_LEASE_SHARE 20         /* a lease is this part of a burst, but one at least */
#define LIMIT_LEASE_MS    1000       /* what is not used by then goes back */
#define LIMIT_ASK_MS      20         /* pause after an answer that gave less than was asked for */

struct limit_rate {
	uint32_t per_minute; /* 0 = no limit: no function below may be called */
	uint32_t burst;      /* 1..LIMIT_RATE_MAX */
};

/* Grains, but for the times. */
struct limit_bucket {
	int64_t level;
	uint64_t at_ms; /* when 'level' was true */

	int64_t held;
	int64_t told;      /* of what we owe: on its way to the truth */
	int64_t lacked;    /* what the largest request since the last question needed */
	bool used;         /* since the last question */
	uint64_t until_ms; /* of the lease */
	uint64_t ask_ms;   /* not before */
};

/* A question to the truth, in grains. */
struct limit_question {
	int64_t back; /* given back; below 0: owed */
	int64_t want; /* a lease of so much, or of what there is */
};

/** Full. */
void limit_bucket_init(struct limit_bucket *b, const struct limit_rate *rate, uint64_t now_ms);

/** Let time pass. All functions below expect it to have been called with their 'now_ms'. */
void limit_bucket_refill(struct limit_bucket *b, const struct limit_rate *rate, uint64_t now_ms);

/** May 'n' be taken? In a shared bucket a refusal is remembered, so that the next question asks for as much. */
bool limit_bucket_has(struct limit_bucket *b, const struct limit_rate *rate, uint32_t n,
		      bool shared);

/** Take 'n', which are there. */
void limit_bucket_take(struct limit_bucket *b, uint32_t n, bool shared);

/** Of 'reserved' that were taken 'used' were needed, which may be more. 'refund' false: less than reserved gives nothing
 *  back, because the reservation came from elsewhere (the bucket was local then and is shared now, or the reverse). */
void limit_bucket_settle(struct limit_bucket *b, const struct limit_rate *rate, uint64_t reserved,
			 uint64_t used, bool shared, bool refund);

/** Whole ones that are left, 0 at least. */
uint32_t limit_bucket_left(const struct limit_bucket *b);

/** Milliseconds until 'n' are there; 1 at least. Bounded by UINT32_MAX. */
uint32_t limit_bucket_wait_ms(const struct limit_bucket *b, const struct limit_rate *rate,
			      uint32_t n);

/** Milliseconds until the bucket is full; 0 when it is. Bounded likewise. */
uint32_t limit_bucket_reset_ms(const struct limit_bucket *b, const struct limit_rate *rate);

/** True if forgetting it loses nothing: it is full, nothing is held or owed. */
bool limit_bucket_is_fresh(const struct limit_bucket *b, const struct limit_rate *rate);

/* Leases. */

/** Is there something to ask or to give back? */
bool limit_bucket_is_due(const struct limit_bucket *b, const struct limit_rate *rate,
			 uint64_t now_ms);

/** The question; what it gives back is not ours any more. One at a time: an answer or a failure comes before the next. */
void limit_bucket_ask(struct limit_bucket *b, const struct limit_rate *rate,
		      struct limit_question *ret);

/** The answer to a question that wanted 'want': a lease of 'granted' (0 or more; no more than 'want' is believed), after which
 *  'level' is left there. */
void limit_bucket_answer(struct limit_bucket *b, const struct limit_rate *rate, int64_t want,
			 int64_t granted, int64_t level, uint64_t now_ms);

/** No answer came: what we owe is told again, what was given back counts as given. So the truth may count something
 *  twice against us and never for us. */
void limit_bucket_unanswered(struct limit_bucket *b);

/** From shared to local or back. */
void limit_bucket_make_local(struct limit_bucket *b, const struct limit_rate *rate);
void limit_bucket_make_shared(struct limit_bucket *b);

#endif
