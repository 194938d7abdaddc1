/*
 * gateway/rates.h - what is left of a caller's limits, as headers of a response. Pure. Source: docs/http-api.md, "Headers of
 * every reply".
 */
#ifndef GATEWAY_RATES_H
#define GATEWAY_RATES_H

#include "base/buf.h"
#include "base/err.h"

#define RATES_DURATION_MAX 40

/** Append x-ratelimit-{limit,remaining,reset}-{requests,tokens}, those of limits that there are. */
void gateway_rates_put(const struct im_rates *rates, struct buf *headers);

/** "0s", "12ms", "1.5s", "6m0s", "1h0m0.25s": as Go prints durations, and so OpenAI. */
void gateway_duration(uint32_t ms, char ret[RATES_DURATION_MAX]);

#endif
