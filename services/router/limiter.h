/*
 * router/limiter.h - how many requests and tokens a minute each key, each tenant and all together may have. Pure: 'now_ms' and
 * the seed are arguments; no input or output. The simulator runs this very code. docs/routing.md, "Limits", has the promises.
 *
 * A request falls under at most three rules: that of its key, of its tenant and the global one. It takes one request and the
 * tokens that it may need from all their buckets or from none; at its end limiter_settle() puts right what it really used.
 *
 *      LIMITER_LOCAL   buckets of our own
 *      LIMITER_SHARED  buckets in Redis; we hold leases, so nothing here waits (limit_bucket.h, limiter_redis.h)
 *      LIMITER_ALLOW   Redis is away: nothing is limited
 *      LIMITER_REFUSE  Redis is away: what falls under a limit is refused
 *
 * Finding a bucket costs O(1); its hash is seeded, so that nobody can choose names that collide. A bucket of a name that is
 * full and not in use is forgotten by limiter_sweep(), and there are at most LIMITER_BUCKETS_MAX.
 *
 * Threads: none of its own; on the loop.
 */
#ifndef ROUTER_LIMITER_H
#define ROUTER_LIMITER_H

#include "base/err.h"
#include "base/list.h"
#include "router/limit_bucket.h"

#define LIMITER_BUCKETS_MAX 65536
#define LIMITER_SWEEP       256 /* buckets that one limiter_sweep() looks at */
#define LIMITER_UNSTATED_SHARE                                                                     \
	8 /* an answer of unknown length gets no more of a burst than this part */

enum limit_scope {
	LIMIT_KEY,
	LIMIT_TENANT,
	LIMIT_GLOBAL,
	LIMIT_SCOPES,
};

enum limit_kind {
	LIMIT_REQUESTS,
	LIMIT_TOKENS,
	LIMIT_KINDS,
};

enum limiter_mode {
	LIMITER_LOCAL,
	LIMITER_SHARED,
	LIMITER_ALLOW,
	LIMITER_REFUSE,
};

struct limit_rule {
	enum limit_scope scope;
	const char *name; /* NULL: each name has a bucket of its own. "" for LIMIT_GLOBAL */
	struct limit_rate rate[LIMIT_KINDS];
	uint32_t buckets;        /* filled in: those that there are */
	struct limit_entry *own; /* filled in: the one of a rule with a name */
};

/* What one name has. Inside limiter*.c; others see rule and name. */
struct limit_entry {
	struct limit_entry *next; /* in its chain of the table */
	struct list ring_node, lease_node, due_node;
	struct limit_rule *rule;
	enum limit_scope scope;
	uint64_t hash;
	uint32_t users; /* reservations and questions that point here */
	bool pinned;    /* of a rule with a name: never forgotten */
	bool asked;     /* a question is under way */
	struct limit_bucket bucket[LIMIT_KINDS];
	struct limit_question question[LIMIT_KINDS];
	char name[];
};

struct limiter {
	struct limit_rule *rules; /* the caller's */
	size_t rule_count;
	struct limit_rule *each[LIMIT_SCOPES]; /* the rule for names without one of their own */
	bool scope_used[LIMIT_SCOPES];
	enum limiter_mode mode;
	uint32_t epoch; /* counts changes of mode */
	uint64_t seed;
	struct limit_entry **slots;
	uint32_t slot_count, count; /* slot_count: a power of two */
	struct list ring;           /* all, as limiter_sweep() goes round */
	struct list leased;         /* that hold or owe something */
	struct list due;            /* that have something to ask */

	uint64_t reservations;    /* taken and not settled */
	uint64_t reserved_tokens; /* of these */
};

/* Who asks for what. */
struct limit_ask {
	const char *key, *tenant;
	uint64_t prompt_tokens;     /* estimated */
	uint64_t completion_tokens; /* at most */
	bool stated; /* the caller said how many; else fewer are reserved where a bucket is small */
};

enum limit_result {
	LIMIT_OK,
	LIMIT_EXCEEDED,  /* come back after retry_ms */
	LIMIT_TOO_LARGE, /* it would never fit: 'most' is what does */
	LIMIT_CROWDED,   /* LIMITER_BUCKETS_MAX names at once */
	LIMIT_AWAY,      /* LIMITER_REFUSE */
};

struct limit_verdict {
	enum limit_result result;
	const struct limit_rule *rule; /* that refused: EXCEEDED and TOO_LARGE */
	enum limit_kind kind;          /* likewise */
	uint32_t retry_ms;             /* EXCEEDED */
	uint64_t asked, most;  /* of 'kind': what it needs; TOO_LARGE: what the bucket holds */
	struct im_rates rates; /* what is left; OK: after this request */
};

/* What a request holds. Zero-initialised: nothing. */
struct limit_hold {
	struct limit_entry *entry[LIMIT_SCOPES];
	uint32_t count; /* of entries; 0: no limit applies */
	uint32_t epoch;
	uint64_t tokens;
};

/** 'rules' stay the caller's and must live as long; no two with the same scope and name. 'seed': random, secret. Rules with a
 *  name get their buckets now. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc limiter_init(struct limiter *l, struct limit_rule *rules,
				      size_t rule_count, uint64_t seed, uint64_t now_ms);

/** Nothing may be held any more. */
void limiter_done(struct limiter *l);

/** True if there is any limit: else no function below need be called. */
static inline bool
limiter_in_use(const struct limiter *l)
{
	return l->rule_count > 0;
}

/** Change the mode. Questions that are under way must have been answered or given up. Costs O(buckets). */
void limiter_set_mode(struct limiter *l, enum limiter_mode mode, uint64_t now_ms);

/** All or nothing. 'hold' holds something afterwards only with LIMIT_OK, and then only if a limit applies. */
void limiter_acquire(struct limiter *l, const struct limit_ask *ask, uint64_t now_ms,
		     struct limit_hold *hold, struct limit_verdict *ret);

/** End of a request that used so many tokens. Does nothing to an empty hold; 'hold' is empty afterwards. */
void limiter_settle(struct limiter *l, struct limit_hold *hold, uint64_t used_tokens,
		    uint64_t now_ms);

/** 'to', which held nothing, holds what 'from' held. 'from' goes on to hold its names but no tokens: somebody else pays for
 *  its answer, and if it comes to need one of its own, limiter_settle() makes it pay for that. */
void limiter_pass(struct limiter *l, struct limit_hold *from, struct limit_hold *to);

/** Give the tokens back and go on to hold the names, likewise. */
void limiter_ease(struct limiter *l, struct limit_hold *hold, uint64_t now_ms);

/** Undo limiter_acquire(): the request was not admitted after all, and costs nothing. */
void limiter_undo(struct limiter *l, struct limit_hold *hold, uint64_t now_ms);

/** What a rule with a name has left. */
uint32_t limiter_left(const struct limit_rule *rule, enum limit_kind kind, uint64_t now_ms);

/** Forget what is full, find leases that have run out. Often: several times a second. */
void limiter_sweep(struct limiter *l, uint64_t now_ms);

/* Sharing; LIMITER_SHARED only. The shell takes a question, asks, and says how it ended, exactly once each. */

/** The next entry with something to ask, NULL: none. Its question[] is filled in, and it lives until the end of it. */
struct limit_entry *limiter_ask(struct limiter *l);

/** 'granted' and 'level' in grains, one for each kind; those of kinds without a limit are ignored. */
void limiter_answered(struct limiter *l, struct limit_entry *e, const int64_t granted[LIMIT_KINDS],
		      const int64_t level[LIMIT_KINDS], uint64_t now_ms);

void limiter_unanswered(struct limiter *l, struct limit_entry *e);

/** Every lease is to go back: the next limiter_ask() calls give them. Before a stop. */
void limiter_return_leases(struct limiter *l, uint64_t now_ms);

/** "key", "tenant", "global"; "requests", "tokens". */
const char *limit_scope_text(enum limit_scope scope);
const char *limit_kind_text(enum limit_kind kind);

#endif
