/*
 * audit/reconcile.h - whether every admitted request is in the log exactly once, and ended exactly once: records in, counts and names
 * out, compared with what routers say that they admitted. Pure; whoever walks over the log (walk.h) feeds it.
 */
#ifndef AUDIT_RECONCILE_H
#define AUDIT_RECONCILE_H

#include "audit/open_requests.h"

#define RECONCILE_NAMED_MAX     1000    /* problems that are named; all are counted */
#define RECONCILE_REPORTERS_MAX 65536   /* lives of routers; later ones count as one */
#define RECONCILE_RECENT        1048576 /* requests at least that are remembered after their end */

enum reconcile_what {
	RECONCILE_REQUEST_TWICE, /* a second REQUEST of the same id */
	RECONCILE_END_TWICE,     /* a second terminal record */
	RECONCILE_NO_REQUEST,    /* a terminal record whose REQUEST the log does not have */
};

struct reconcile_problem {
	enum reconcile_what what;
	uint64_t number; /* of the record */
	uint8_t id[RECORD_ID_BYTES];
};

/* One life of one router. */
struct reconcile_reporter {
	uint8_t id[AUDIT_REPORTER_BYTES]; /* zeros: records that do not say */
	uint64_t requests, open;          /* REQUESTs; of these without an end */
};

struct reconcile {
	uint64_t records, requests, ended;
	uint64_t outcomes[OUTCOME_REJECTED + 1];
	uint64_t gaps, gap_records; /* GAP records, and how many records they say are missing */
	uint64_t problems;
	struct reconcile_problem problem[RECONCILE_NAMED_MAX]; /* the first ones */
	struct reconcile_reporter *reporter;
	size_t reporters, last_reporter;
	struct open_requests open;          /* their tag is the place of their reporter */
	struct open_requests recent, older; /* that have ended, as a set: two generations */
};

/* Zero-initialised is empty. 'first': entries below may be missing, as audit_walk() says. Ends whose REQUEST may be among
 * these are no problem. IM_ENOMEM. */
IM_MUST_CHECK enum im_rc reconcile_add(struct reconcile *r, uint64_t first, uint64_t number,
				       const struct record *record, struct im_err *err);

void reconcile_done(struct reconcile *r);

/** Counts of the life 'id', all 0 if it has told nothing. */
struct reconcile_reporter reconcile_reporter(const struct reconcile *r,
					     const uint8_t id[AUDIT_REPORTER_BYTES]);

/* What a router that runs says of itself, between two looks at the log. */
struct reconcile_router {
	uint8_t reporter[AUDIT_REPORTER_BYTES];
	uint64_t admitted;      /* since its start */
	uint64_t in_flight;     /* admitted and not ended */
	uint64_t before, after; /* its REQUESTs in the log, before it was asked and afterwards */
	uint64_t open;          /* of these without an end, afterwards */
};

/** True if all that it admitted is in the log, nothing else is, and no more is open than it has in flight. Requests come
 *  and go meanwhile: what came between the two looks may count on either side. */
bool reconcile_agrees(const struct reconcile_router *router);

#endif
