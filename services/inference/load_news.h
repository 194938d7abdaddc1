/*
 * inference/load_news.h - when a router is to hear how busy its worker is, beyond once a second and the ends of its own requests:
 * as soon as what other routers have there has changed enough. Its own part a router knows by itself, so with one router there is
 * never any news. Pure: it sends nothing and has no clock; the simulation (tests/sim) runs it too.
 *
 *          changed by an eighth                     the router answers
 *   quiet ──────────────────────▶ sent, not read yet ──────────────────▶ quiet, or the next news
 *
 * A link keeps the order. So a request that comes while news are not answered was sent by somebody who had not read them.
 */
#ifndef INFERENCE_LOAD_NEWS_H
#define INFERENCE_LOAD_NEWS_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/generate.h"

#define LOAD_NEWS_PART     8     /* a change by more than one in so many is news */
#define LOAD_NEWS_US       50000 /* to one router in the long run, so often */
#define LOAD_NEWS_BURST    8     /* and so many at once */
#define LOAD_NEWS_OFFER_US 1000  /* for so long a free place is offered to one router only */
#define LOAD_NEWS_NONE     UINT64_MAX

/* What one router was told of the requests of the others. Zeroed: nothing. */
struct load_news {
	uint32_t others; /* told last */
	uint32_t before; /* told before the news that it has not read yet */
	bool unread;
	uint64_t paid_us; /* until when what was sent is within one in LOAD_NEWS_US */
};

/**
 * Microseconds until the router is to be told 'load' (as it is told it, with 'own'); 0 = now; LOAD_NEWS_NONE = there are no news, or
 * the router has not answered the last ones. News of room wait until 'offered_us', while the place is offered to somebody else.
 */
uint64_t load_news_due_us(const struct load_news *n, const struct load *load, uint64_t offered_us,
			  uint64_t now_us);

/** The news 'load' are sent. */
void load_news_sent(struct load_news *n, const struct load *load, uint64_t now_us);

/** The router has answered: it has read them. */
void load_news_answered(struct load_news *n);

/** It is told 'load' with something that is sent in any case. */
void load_news_told(struct load_news *n, const struct load *load);

/** True for a request that came from the router now, before it read news by which the worker is busier. */
bool load_news_crossed(const struct load_news *n, const struct load *load);

#endif
