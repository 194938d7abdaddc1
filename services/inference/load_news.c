/*
 * inference/load_news.c - see load_news.h.
 */
#include "inference/load_news.h"

#define AHEAD_US ((uint64_t)(LOAD_NEWS_BURST - 1) * LOAD_NEWS_US)

static uint32_t
others_of(const struct load *l)
{
	uint32_t all = l->in_flight + l->queued;

	return all > l->own ? all - l->own : 0;
}

/* Is 'more' a good deal more than 'less'? */
static bool
is_more(uint32_t more, uint32_t less)
{
	return more > less && (uint64_t)LOAD_NEWS_PART * (more - less) > more;
}

static bool
is_room(const struct load *load, uint32_t others)
{
	return (uint64_t)load->own + others < load->capacity;
}

uint64_t
load_news_due_us(const struct load_news *n, const struct load *load, uint64_t offered_us,
		 uint64_t now_us)
{
	uint32_t others = others_of(load);
	bool has_room = is_room(load, others), knows_room = is_room(load, n->others);
	uint64_t from_us = n->paid_us > AHEAD_US ? n->paid_us - AHEAD_US : 0;

	if (n->unread ||
	    (has_room == knows_room && !is_more(others, n->others) && !is_more(n->others, others)))
		return LOAD_NEWS_NONE;
	if (has_room && !knows_room && offered_us > from_us)
		from_us = offered_us;
	return from_us > now_us ? from_us - now_us : 0;
}

void
load_news_sent(struct load_news *n, const struct load *load, uint64_t now_us)
{
	n->before = n->others;
	n->unread = true;
	n->paid_us = (n->paid_us > now_us ? n->paid_us : now_us) + LOAD_NEWS_US;
	load_news_told(n, load);
}

void
load_news_answered(struct load_news *n)
{
	n->unread = false;
}

void
load_news_told(struct load_news *n, const struct load *load)
{
	n->others = others_of(load);
}

bool
load_news_crossed(const struct load_news *n, const struct load *load)
{
	return n->unread && is_more(others_of(load), n->before);
}
