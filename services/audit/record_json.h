/*
 * audit/record_json.h - a record as one JSON object, for people and for programs that are not ours. Only what the record holds
 * is named; bytes are lower-case hex.
 */
#ifndef AUDIT_RECORD_JSON_H
#define AUDIT_RECORD_JSON_H

#include "audit/record.h"

/** Append {"index":N,"kind":"REQUEST",…}. False when the buffer failed. */
bool record_json(struct buf *out, uint64_t index, const struct record *r);

#endif
