/*
 * cli/when.h - points in time as people write them. Pure.
 */
#ifndef CLI_WHEN_H
#define CLI_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#define WHEN_ALLOWED "2026-01-31, 2026-01-31T12:00:00Z (UTC), or 90s, 30m, 2h, 7d ago"

/** WHEN_ALLOWED → microseconds since 1970; "ago" is seen from 'now_us'. False: it is none of these. */
bool when_parse(const char *text, uint64_t now_us, uint64_t *ret_us);

#endif
