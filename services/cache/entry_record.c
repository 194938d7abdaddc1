/*
 * cache/entry_record.c - see entry_record.h.
 */
#include "cache/entry_record.h"

#include <stdio.h>
#include <string.h>

#define MARK   "e1:"
#define DIGITS 20

_Static_assert(sizeof(MARK) - 1 + DIGITS + 1 == ENTRY_RECORD_HEAD, "mark, version, colon");

void
entry_record_head(uint64_t version, char ret[ENTRY_RECORD_HEAD + 1])
{
	(void)snprintf(ret, ENTRY_RECORD_HEAD + 1, MARK "%0*llu:", DIGITS,
		       (unsigned long long)version);
}

bool
entry_record_read(const uint8_t *data, size_t len, uint64_t *ret_version,
		  struct wire_bytes *ret_value)
{
	uint64_t version = 0;

	if (len < ENTRY_RECORD_HEAD || memcmp(data, MARK, sizeof(MARK) - 1) != 0 ||
	    data[ENTRY_RECORD_HEAD - 1] != ':')
		return false;
	for (size_t i = sizeof(MARK) - 1; i < ENTRY_RECORD_HEAD - 1; i++) {
		unsigned digit = data[i] - (unsigned)'0';

		if (digit > 9 || version > (UINT64_MAX - digit) / 10)
			return false;
		version = version * 10 + digit;
	}
	if (version == 0)
		return false;
	*ret_version = version;
	*ret_value = (struct wire_bytes){ data + ENTRY_RECORD_HEAD, len - ENTRY_RECORD_HEAD };
	return true;
}
