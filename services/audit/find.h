/*
 * audit/find.h - the records of one request in a log, by its id, and one entry by its index. Reads files alone: works while the
 * service runs, and without it. It proves nothing: audit_verify() does.
 */
#ifndef AUDIT_FIND_H
#define AUDIT_FIND_H

#include "audit/record.h"
#include "audit/source.h"

struct audit_found {
	struct arena arena; /* what the records point into */
	bool has_request, has_response;
	struct record request, response;
	uint64_t request_index, response_index; /* numbers (shards.h) */
};

/**
 * Find the records of 'id' in the log at 'source', in all its shards, the newest first. IM_OK also when only one of the two is there;
 * IM_ENOTFOUND: none is, or there is no log; IM_ECORRUPT (a file is not what it should be), IM_EIO, IM_EUNAVAILABLE, IM_ENOMEM.
 * Takes as long as reading the log back to the request does. audit_found_done() is fine after a failure too.
 */
IM_MUST_CHECK enum im_rc audit_find(const struct audit_source *source,
				    const uint8_t id[RECORD_ID_BYTES], struct audit_found *ret,
				    struct im_err *err);

void audit_found_done(struct audit_found *f);

/**
 * Append the bytes of record 'number' (shards.h) to 'out', published or not. IM_ENOTFOUND: there is no such entry (any more), or no log;
 * IM_ECORRUPT, IM_EIO, IM_EUNAVAILABLE, IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc audit_entry(const struct audit_source *source, uint64_t number,
				     struct buf *out, struct im_err *err);

#endif
