/*
 * wire/usage.h - small messages that several others hold. For this room and the audit service's record_codec.c.
 */
#ifndef WIRE_USAGE_H
#define WIRE_USAGE_H

#include "infermesh/v1/common.pb-c.h"
#include "wire/generate.h"

static inline void
usage_out(const struct usage *u, Infermesh__V1__Usage *ret)
{
	infermesh__v1__usage__init(ret);
	ret->prompt_tokens = u->prompt_tokens;
	ret->completion_tokens = u->completion_tokens;
	ret->cached_tokens = u->cached_tokens;
	ret->reasoning_tokens = u->reasoning_tokens;
}

/* 'm' may be NULL: all zero. */
static inline struct usage
usage_in(const Infermesh__V1__Usage *m)
{
	if (m == NULL)
		return (struct usage){ 0 };
	return (struct usage){ m->prompt_tokens, m->completion_tokens, m->cached_tokens,
			       m->reasoning_tokens };
}

static inline void
load_out(const struct load *l, Infermesh__V1__Load *ret)
{
	infermesh__v1__load__init(ret);
	ret->in_flight = l->in_flight;
	ret->capacity = l->capacity;
	ret->queued = l->queued;
	if (l->has_own) {
		ret->own_set_case = INFERMESH__V1__LOAD__OWN_SET_OWN;
		ret->own = l->own;
	}
}

/* 'm' may be NULL: all zero. */
static inline struct load
load_in(const Infermesh__V1__Load *m)
{
	if (m == NULL)
		return (struct load){ 0 };
	return (struct load){
		.in_flight = m->in_flight,
		.capacity = m->capacity,
		.queued = m->queued,
		.own = m->own,
		.has_own = m->own_set_case == INFERMESH__V1__LOAD__OWN_SET_OWN,
	};
}

#endif
