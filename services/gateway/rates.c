/*
 * gateway/rates.c - see rates.h.
 */
#include "gateway/rates.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "http/http.h"

void
gateway_duration(uint32_t ms, char ret[RATES_DURATION_MAX])
{
	uint32_t s = ms / 1000, part = ms % 1000;
	char seconds[16];
	size_t len;

	if (ms == 0) {
		(void)snprintf(ret, RATES_DURATION_MAX, "0s");
		return;
	}
	if (s == 0) {
		(void)snprintf(ret, RATES_DURATION_MAX, "%" PRIu32 "ms", ms);
		return;
	}
	(void)snprintf(seconds, sizeof(seconds), "%" PRIu32 ".%03" PRIu32, s % 60, part);
	len = strlen(seconds);
	while (seconds[len - 1] == '0')
		len--;
	if (seconds[len - 1] == '.')
		len--;
	if (s >= 3600)
		(void)snprintf(ret, RATES_DURATION_MAX, "%" PRIu32 "h%" PRIu32 "m%.*ss", s / 3600,
			       s / 60 % 60, (int)len, seconds);
	else if (s >= 60)
		(void)snprintf(ret, RATES_DURATION_MAX, "%" PRIu32 "m%.*ss", s / 60, (int)len,
			       seconds);
	else
		(void)snprintf(ret, RATES_DURATION_MAX, "%.*ss", (int)len, seconds);
}

static void
put(const char *what, const char *kind, const char *value, struct buf *headers)
{
	char name[48];

	(void)snprintf(name, sizeof(name), "x-ratelimit-%s-%s", what, kind);
	(void)http_put_header(headers, name, value);
}

static void
put_rate(const struct im_rate *rate, const char *kind, struct buf *headers)
{
	char value[RATES_DURATION_MAX];

	if (rate->limit == 0)
		return;
	(void)snprintf(value, sizeof(value), "%" PRIu64, rate->limit);
	put("limit", kind, value, headers);
	(void)snprintf(value, sizeof(value), "%" PRIu64, rate->remaining);
	put("remaining", kind, value, headers);
	gateway_duration(rate->reset_ms, value);
	put("reset", kind, value, headers);
}

void
gateway_rates_put(const struct im_rates *rates, struct buf *headers)
{
	put_rate(&rates->requests, "requests", headers);
	put_rate(&rates->tokens, "tokens", headers);
}
