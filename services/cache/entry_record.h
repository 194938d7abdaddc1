/*
 * cache/entry_record.h - what a home of entries keeps as the value of one: "e1:", its version as 20 decimal digits, ":", the value. Text, because
 * a script in Redis writes it too. Pure.
 */
#ifndef CACHE_ENTRY_RECORD_H
#define CACHE_ENTRY_RECORD_H

#include "wire/entry.h"

#define ENTRY_RECORD_HEAD 24

/** Its first ENTRY_RECORD_HEAD bytes. 'version' is not 0. */
void entry_record_head(uint64_t version, char ret[ENTRY_RECORD_HEAD + 1]);

/** '*ret_value' points into 'data', which may be anything. False: it is no record. */
bool entry_record_read(const uint8_t *data, size_t len, uint64_t *ret_version,
		       struct wire_bytes *ret_value);

#endif
