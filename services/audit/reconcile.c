/*
 * audit/reconcile.c - admissions against terminal records; see reconcile.h.
 */
#include "audit/reconcile.h"

#include <stdlib.h>
#include <string.h>

static void
note(struct reconcile *r, enum reconcile_what what, uint64_t number, const uint8_t *id)
{
	if (r->problems < RECONCILE_NAMED_MAX) {
		struct reconcile_problem *p = &r->problem[r->problems];

		p->what = what;
		p->number = number;
		memcpy(p->id, id, RECORD_ID_BYTES);
	}
	r->problems++;
}

static bool
was_ended(const struct reconcile *r, const uint8_t *id)
{
	return open_requests_find(&r->recent, id) != NULL ||
	       open_requests_find(&r->older, id) != NULL;
}

/* When one generation is full, the older one is forgotten. */
static bool
remember(struct reconcile *r, const uint8_t *id, uint64_t number)
{
	if (was_ended(r, id))
		return true;
	if (r->recent.count >= RECONCILE_RECENT) {
		open_requests_done(&r->older);
		r->older = r->recent;
		r->recent = (struct open_requests){ 0 };
	}
	if (!open_requests_reserve(&r->recent))
		return false;
	open_requests_add(&r->recent, id, number, 0);
	return true;
}

/* Its place in '*ret', made if it is new. Nearly always the one of the record before. */
static bool
place_of(struct reconcile *r, const uint8_t *id, uint32_t *ret)
{
	struct reconcile_reporter *grown;
	size_t at = r->last_reporter;

	if (at >= r->reporters || memcmp(r->reporter[at].id, id, AUDIT_REPORTER_BYTES) != 0)
		for (at = 0; at < r->reporters; at++)
			if (memcmp(r->reporter[at].id, id, AUDIT_REPORTER_BYTES) == 0)
				break;
	if (at == RECONCILE_REPORTERS_MAX)
		at--;
	if (at == r->reporters) {
		grown = reallocarray(r->reporter, at + 1, sizeof(*grown));
		if (grown == NULL)
			return false;
		r->reporter = grown;
		r->reporter[at] = (struct reconcile_reporter){ .requests = 0 };
		memcpy(r->reporter[at].id, id, AUDIT_REPORTER_BYTES);
		r->reporters++;
	}
	r->last_reporter = at;
	*ret = (uint32_t)at;
	return true;
}

static bool
on_request(struct reconcile *r, uint64_t number, const struct record *record)
{
	uint32_t at;

	if (open_requests_find(&r->open, record->request_id) != NULL ||
	    was_ended(r, record->request_id)) {
		note(r, RECONCILE_REQUEST_TWICE, number, record->request_id);
		return true;
	}
	if (!open_requests_reserve(&r->open) || !place_of(r, record->reporter, &at))
		return false;
	open_requests_add(&r->open, record->request_id, number, at);
	r->requests++;
	r->reporter[at].requests++;
	r->reporter[at].open++;
	return true;
}

static bool
on_end(struct reconcile *r, uint64_t first, uint64_t number, const struct record *record)
{
	struct open_request *open = open_requests_find(&r->open, record->request_id);

	if (open != NULL) {
		r->ended++;
		r->outcomes[record->outcome]++;
		r->reporter[open->tag].open--;
		open_requests_remove(&r->open, open);
		return remember(r, record->request_id, number);
	}
	if (was_ended(r, record->request_id))
		note(r, RECONCILE_END_TWICE, number, record->request_id);
	else if (record->prev_index == 0 ? first == 0 : record->prev_index > first)
		note(r, RECONCILE_NO_REQUEST, number, record->request_id);
	return remember(r, record->request_id, number);
}

enum im_rc
reconcile_add(struct reconcile *r, uint64_t first, uint64_t number, const struct record *record,
	      struct im_err *err)
{
	bool ok = true;

	r->records++;
	if (record->kind == RECORD_REQUEST)
		ok = on_request(r, number, record);
	else if (record_is_terminal(record->kind))
		ok = on_end(r, first, number, record);
	if (record->kind == RECORD_GAP) {
		r->gaps++;
		r->gap_records += record->gap.count;
	}
	return ok ? IM_OK : err_set(err, IM_ENOMEM, "no memory to reconcile a log");
}

void
reconcile_done(struct reconcile *r)
{
	open_requests_done(&r->open);
	open_requests_done(&r->recent);
	open_requests_done(&r->older);
	free(r->reporter);
}

struct reconcile_reporter
reconcile_reporter(const struct reconcile *r, const uint8_t id[AUDIT_REPORTER_BYTES])
{
	for (size_t i = 0; i < r->reporters; i++)
		if (memcmp(r->reporter[i].id, id, AUDIT_REPORTER_BYTES) == 0)
			return r->reporter[i];
	return (struct reconcile_reporter){ .requests = 0 };
}

bool
reconcile_agrees(const struct reconcile_router *router)
{
	return router->before <= router->admitted && router->admitted <= router->after &&
	       router->open <= router->in_flight + (router->after - router->before);
}
