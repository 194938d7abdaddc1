/*
 * audit/search.h - which records of a log were asked for: a filter, and the search itself, with the help of an index
 * (search_index.h) or without. What is found is read from the log and compared there, so an index that lies can hide a record and
 * never invent one. It proves nothing: audit_verify() does.
 */
#ifndef AUDIT_SEARCH_H
#define AUDIT_SEARCH_H

#include "audit/pseudonym.h"
#include "audit/record.h"
#include "audit/source.h"

#define SEARCH_WHO_MAX 256 /* pseudonyms of one name: one for each epoch, that is, shard */

struct search_who {
	uint8_t pseudonym[SEARCH_WHO_MAX][PSEUDONYM_BYTES];
	size_t count; /* 0 = anybody */
};

/* All that is set must hold. Zero-initialised: every record. */
struct search_filter {
	struct search_who caller, tenant;
	uint64_t since_us, until_us; /* log_time: since <= time < until; until 0 = to the end */
	const char *model, *worker;  /* NULL = any */
	enum record_kind kind;       /* 0 = any */
	enum outcome outcome;        /* OUTCOME_NONE = any */
	uint32_t status_code;        /* 0 = any */
};

bool search_matches(const struct search_filter *f, const struct record *r);

struct search {
	const struct audit_source *source;
	struct search_filter filter;
	const char *index; /* file of the index, made if missing; NULL = read the whole log */
	uint64_t limit;    /* records; 0 = all */
	/* One that matches, the newest first; what it points to is gone afterwards. Anything but IM_OK ends the search. */
	enum im_rc (*hit)(void *user, uint64_t index, const struct record *r, struct im_err *err);
	/* While the log is read or indexed, as audit_walk's; NULL = not. */
	bool (*progress)(void *user, uint64_t done, uint64_t total);
	/* The index is made anew, and why; NULL = not told. */
	void (*rebuilt)(void *user, const char *why);
	void *user;
};

struct searched {
	uint64_t hits;
	bool more;        /* there are older ones beyond 'limit' */
	uint64_t indexed; /* records in the index */
	uint64_t end;     /* of the log */
};

/**
 * Search. First the index takes up what was published since the last time; one that is damaged, of another log or version is
 * made anew. Errors as audit_walk(), and for the index: IM_EUNAVAILABLE (it cannot be written, with the file's name), IM_EIO,
 * IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc audit_search(const struct search *search, struct searched *ret,
				      struct im_err *err);

#endif
