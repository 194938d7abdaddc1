/*
 * audit/verify_records.h - what verification looks at in the records themselves: their encoding, their times, and that every
 * request ends once. Inside verification only; knows nothing of files and hashes.
 */
#ifndef AUDIT_VERIFY_RECORDS_H
#define AUDIT_VERIFY_RECORDS_H

#include "audit/open_requests.h"
#include "audit/verify.h"

struct verify_records {
	struct verify_report *report;
	struct arena arena;
	uint64_t last_time_us;
	struct open_requests open; /* so far */
	uint64_t unseen_end;       /* records below were not shown: deleted (PRUNE), or missing */
	struct record_prune prune; /* of the record that was added last, if that was a PRUNE */
	bool has_prune;

	/* Of the record that was added last, if it ends or begins a shard; the names are copies. */
	bool has_next;
	char next_origin[NOTE_NAME_MAX + 1], next_vkey[NOTE_KEYTEXT_MAX];
	bool has_previous;
	char previous_origin[NOTE_NAME_MAX + 1];
	struct record_previous previous; /* its origin is not to be used */
};

/** Note a problem in the report. */
void verify_problem(struct verify_report *r, const char *fmt, ...) IM_PRINTF(2, 3);

void verify_records_init(struct verify_records *v, struct verify_report *report);
void verify_records_done(struct verify_records *v);

/** Look at the record of number 'index' (shards.h), whose bytes came from 'where'. IM_OK also for a bad one, which is noted; IM_ENOMEM. */
IM_MUST_CHECK enum im_rc verify_records_add(struct verify_records *v, uint64_t index,
					    const uint8_t *entry, size_t len, const char *where,
					    struct im_err *err);

/** All were added: count and name the open requests, the oldest first. */
void verify_records_end(struct verify_records *v, unsigned open_ids);

#endif
