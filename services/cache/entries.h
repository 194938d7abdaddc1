/*
 * cache/entries.h - the store of entries as peers see it: who may ask, what is refused, how long one waits; where they are kept is entry_home.h's.
 * Apart from the answers: no tier, no purge and no eviction touches an entry. docs/cache.md, Entries.
 */
#ifndef CACHE_ENTRIES_H
#define CACHE_ENTRIES_H

#include "base/arena.h"
#include "base/prng.h"
#include "cache/entry_home.h"
#include "cache/tier_breaker.h"
#include "daemon/metrics.h"
#include "daemon/reporter.h"
#include "net/net.h"

#define ENTRY_RESULTS 3

struct entries {
	struct loop *loop;
	struct reporter *reporter; /* NULL: there is no log */
	struct entry_home *home;   /* NULL: not begun */
	uint32_t answer_us;
	struct prng prng;
	struct tier_breaker breaker;
	struct list calls; /* under way, also those nobody waits for any more */
	size_t count;
	uint64_t n[ENTRY_OPS][ENTRY_RESULTS];
	uint64_t timeouts;
	struct buf reply;
};

/** Begin, in the home that the configuration says; what operators change is told to 'reporter', which may be NULL. IM_OK, or why not. */
IM_MUST_CHECK enum im_rc entries_init(struct entries *s, struct loop *loop,
				      const struct config *config, struct reporter *reporter,
				      struct im_err *err);

/** True if 'req' is for a method of the store; it is answered then, now or later. */
bool entries_request(struct entries *s, const struct link_peer *peer, struct served *served,
		     const struct served_request *req);

/** True if nobody waits for an answer. */
bool entries_idle(const struct entries *s);

void entries_metrics(const struct entries *s, struct metrics_page *page);

/** Answer whoever waits, before the links close. Also when it never began, as what follows. */
void entries_end(struct entries *s);

/** End its home; then 'stopped'. */
void entries_stop(struct entries *s, loop_fn stopped, void *arg);

/** After that. */
void entries_done(struct entries *s);

#endif
