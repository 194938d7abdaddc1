/*
 * cli/when.c - see when.h.
 */
#include "cli/when.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND_US UINT64_C(1000000)
#define AGO_MAX   UINT64_C(36500) * 86400 /* seconds */

/* "30m": so long before 'now_us'. */
static bool
parse_ago(const char *text, uint64_t now_us, uint64_t *ret_us)
{
	static const char units[] = "smhd";
	static const uint64_t seconds[] = { 1, 60, 3600, 86400 };
	size_t digits = strspn(text, "0123456789");
	const char *unit;
	uint64_t ago;

	if (digits == 0 || digits > 9 || text[digits] == '\0' || text[digits + 1] != '\0')
		return false;
	unit = strchr(units, text[digits]);
	if (unit == NULL)
		return false;
	ago = strtoull(text, NULL, 10) * seconds[unit - units];
	if (ago > AGO_MAX)
		return false;
	*ret_us = now_us > ago * SECOND_US ? now_us - ago * SECOND_US : 1;
	return true;
}

bool
when_parse(const char *text, uint64_t now_us, uint64_t *ret_us)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%d", &tm);
	time_t s;

	if (end == NULL)
		return parse_ago(text, now_us, ret_us);
	if (*end == 'T')
		end = strptime(end, "T%H:%M:%SZ", &tm);
	if (end == NULL || *end != '\0')
		return false;
	s = timegm(&tm);
	if (s <= 0)
		return false;
	*ret_us = (uint64_t)s * SECOND_US;
	return true;
}
