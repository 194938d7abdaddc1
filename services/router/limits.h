/*
 * router/limits.h - the limits of one router: their rules from the configuration, what a request is thought to need, what a
 * refused caller is told, and the metrics. Counting is limiter.c's, Redis limiter_redis.c's. Never looks into a prompt.
 *
 * What a request needs is guessed before it runs: a token for each 4 bytes of its message, and max_tokens (without one,
 * router.limits_tokens) for each choice. At its end what it really used takes the guess's place. docs/routing.md, "Limits".
 *
 * Threads: on the loop.
 */
#ifndef ROUTER_LIMITS_H
#define ROUTER_LIMITS_H

#include "daemon/daemon.h"
#include "router/limiter.h"
#include "router/limiter_redis.h"
#include "wire/generate.h"

/* Why a limit refused a request; the label 'kind' of infermesh_ratelimit_rejected_total. */
#define LIMITED_MAP(X)                                                                             \
	X(LIMITED_REQUESTS, "requests")                                                            \
	X(LIMITED_TOKENS, "tokens")                                                                \
	X(LIMITED_OVERSIZE, "oversize")                                                            \
	X(LIMITED_CROWDED, "crowded")                                                              \
	X(LIMITED_AWAY, "redis_away")

enum limited {
#define X(name, text) name,
	LIMITED_MAP(X)
#undef X
	LIMITED_COUNT
};

struct limits {
	struct limiter limiter;
	struct limit_rule *rules;
	struct limiter_redis *redis; /* NULL: each router for itself */
	uint32_t answer_tokens;      /* reserved for an answer whose length nobody stated */
	uint64_t rejected[LIMITED_COUNT];
	uint64_t disbelieved; /* requests of which a worker reported too many tokens */
};

/* What one request holds. Zero-initialised: nothing. */
struct limit_claim {
	struct limit_hold hold;
	struct im_rates rates;  /* for the caller */
	uint64_t prompt_tokens; /* thought */
	uint64_t prompt_most;   /* that a worker can make it pay for */
	uint64_t answer_most;   /* likewise; 0 = the caller stated nothing */
	uint32_t choices;
	uint64_t seen_tokens; /* of the answer so far, thought */
};

/** Read limits[], and begin to connect to the Redis that keeps them, if there is one. Names stay the configuration's, which
 *  must live as long. IM_OK, IM_ENOMEM, or what limiter_redis_start() says. */
IM_MUST_CHECK enum im_rc limits_start(struct limits *l, const struct service_env *env,
				      struct im_err *err);

/** Give leases back; then 'stopped' is called, maybe inside. Nothing may be claimed any more. */
void limits_stop(struct limits *l, loop_fn stopped, void *arg);

/** After limits_stop(), or when the start went wrong elsewhere. Does nothing to limits that were not started. */
void limits_done(struct limits *l);

/** False while all that is limited is refused because Redis is away. */
bool limits_ready(const struct limits *l);

/** The Redis that keeps them: "connected", "unavailable", or "" if there is none. */
const char *limits_state(const struct limits *l);

/** A tenth of a second or so has passed. */
void limits_tick(struct limits *l);

/** May it come in? 'req' has caller and tenant; its message has 'body_len' bytes. True: 'claim' is to be settled or undone.
 *  False: it cost nothing, and 'err' is for the caller (IM_ELIMIT, IM_EINVAL, IM_EUNAVAILABLE). */
bool limits_admit(struct limits *l, const struct generate_request *req, size_t body_len,
		  struct limit_claim *claim, struct im_err *err);

/** It was not admitted after all. */
void limits_undo(struct limits *l, struct limit_claim *claim);

/** A frame of its answer came. */
void limits_see(struct limit_claim *claim, const struct generate_frame *frame);

/** Its answer begins anew. */
void limits_see_nothing(struct limit_claim *claim);

/** The answer of 'from' is paid for by 'to', which holds nothing yet; or by somebody who came before. What 'from' needs beyond
 *  that it pays for at its end: limits_settle() of both. */
void limits_pass(struct limits *l, struct limit_claim *from, struct limit_claim *to);
void limits_ease(struct limits *l, struct limit_claim *claim);

/** What a worker says that it used, as far as it is believed: a prompt has no more tokens than bytes, and what a template adds; an
 *  answer none beyond max_tokens for each choice, or without it the model's 'context_tokens' (0 = not known). */
uint64_t limits_believe(struct limits *l, const struct limit_claim *claim,
			const struct usage *usage, uint32_t context_tokens);

/** Its end: it used 'tokens'. Does nothing the second time. */
void limits_settle(struct limits *l, struct limit_claim *claim, uint64_t tokens);

/** 'claims': requests that hold something, counted otherwise than by us. */
void limits_metrics(const struct limits *l, uint64_t claims, struct metrics_page *page);

#endif
