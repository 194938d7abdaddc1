/*
 * audit/verify_records.c - strict decoding, times, and one terminal record for each request; see verify_records.h.
 */
#include "audit/verify_records.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"

void
verify_problem(struct verify_report *r, const char *fmt, ...)
{
	va_list ap;

	if (r->problems < VERIFY_PROBLEMS_MAX) {
		char *text = r->problem[r->problems];
		int n = snprintf(text, sizeof(r->problem[0]), "%s%s", r->within,
				 r->within[0] != '\0' ? "/" : "");

		va_start(ap, fmt);
		(void)vsnprintf(text + n, sizeof(r->problem[0]) - (size_t)n, fmt, ap);
		va_end(ap);
	}
	r->problems++;
}

void
verify_records_init(struct verify_records *v, struct verify_report *report)
{
	*v = (struct verify_records){ .report = report };
}

void
verify_records_done(struct verify_records *v)
{
	arena_done(&v->arena);
	open_requests_done(&v->open);
}

static void
on_request(struct verify_records *v, const struct record *r, uint64_t index, const char *where)
{
	const struct open_request *open = open_requests_find(&v->open, r->request_id);
	char id[2 * RECORD_ID_BYTES + 1];

	hex_encode(r->request_id, RECORD_ID_BYTES, id);
	if (!r->has_request_id)
		verify_problem(v->report, "%s: record %" PRIu64 " is a REQUEST without an id",
			       where, index);
	else if (open != NULL)
		verify_problem(v->report,
			       "%s: record %" PRIu64 " repeats the REQUEST %s of record %" PRIu64,
			       where, index, id, open->index_plus - 1);
	if (r->has_request_id && open == NULL)
		open_requests_add(&v->open, r->request_id, index, 0);
}

static void
on_terminal(struct verify_records *v, const struct record *r, uint64_t index, const char *where)
{
	char id[2 * RECORD_ID_BYTES + 1];
	struct open_request *open;
	uint64_t request;

	v->report->outcomes[r->outcome]++;
	if (!r->has_request_id) {
		verify_problem(v->report, "%s: record %" PRIu64 " is a %s without an id", where,
			       index, record_kind_text(r->kind));
		return;
	}
	hex_encode(r->request_id, RECORD_ID_BYTES, id);
	open = open_requests_find(&v->open, r->request_id);
	if (open == NULL) {
		if (r->prev_index == 0)
			v->report->orphans++;
		else if (r->prev_index > v->unseen_end)
			verify_problem(v->report,
				       "%s: record %" PRIu64
				       " ends the request %s a second time, or record %" PRIu64
				       ", which it points at, is not its REQUEST",
				       where, index, id, r->prev_index - 1);
		return;
	}
	request = open->index_plus - 1;
	/* 0: the service had given the request up as abandoned, and said so. */
	if (r->prev_index != 0 && r->prev_index != request + 1)
		verify_problem(v->report,
			       "%s: record %" PRIu64 " points at record %" PRIu64
			       ", but the REQUEST %s is record %" PRIu64,
			       where, index, r->prev_index - 1, id, request);
	open_requests_remove(&v->open, open);
}

static void
on_record(struct verify_records *v, const struct record *r, uint64_t index, const char *where)
{
	struct verify_report *report = v->report;

	report->kinds[r->kind]++;
	if (r->log_time_us < v->last_time_us)
		verify_problem(report,
			       "%s: the time of record %" PRIu64
			       " is before that of the record before it",
			       where, index);
	v->last_time_us = r->log_time_us;
	report->last_time_us = r->log_time_us;
	if (report->first_time_us == 0)
		report->first_time_us = r->log_time_us;
	if (r->kind == RECORD_REQUEST)
		on_request(v, r, index, where);
	else if (record_is_terminal(r->kind))
		on_terminal(v, r, index, where);
	else if (r->kind == RECORD_GAP)
		report->gap_records += r->gap.count;
	v->has_prune = r->has_prune;
	v->prune = r->prune;
	v->has_next = r->has_next;
	if (r->has_next) {
		(void)snprintf(v->next_origin, sizeof(v->next_origin), "%s", r->next.origin);
		(void)snprintf(v->next_vkey, sizeof(v->next_vkey), "%s", r->next.vkey);
	}
	v->has_previous = r->has_previous;
	v->previous = r->previous;
	if (r->has_previous)
		(void)snprintf(v->previous_origin, sizeof(v->previous_origin), "%s",
			       r->previous.origin);
}

enum im_rc
verify_records_add(struct verify_records *v, uint64_t index, const uint8_t *entry, size_t len,
		   const char *where, struct im_err *err)
{
	struct im_err why;
	struct record r;
	enum im_rc rc;

	v->has_prune = v->has_next = v->has_previous = false;
	if (!open_requests_reserve(&v->open))
		return err_set(err, IM_ENOMEM, "no memory to verify the log");
	rc = record_decode(entry, len, &v->arena, &r, &why);
	if (rc == IM_OK)
		on_record(v, &r, index, where);
	else if (rc != IM_ENOMEM)
		verify_problem(v->report, "%s: record %" PRIu64 ": %s", where, index, why.text);
	else if (err != NULL)
		*err = why;
	arena_done(&v->arena);
	return rc == IM_ENOMEM ? rc : IM_OK;
}

void
verify_records_end(struct verify_records *v, unsigned open_ids)
{
	struct verify_report *r = v->report;
	const struct open_request *open = open_requests_sort(&v->open);

	r->open = v->open.count;
	for (size_t i = 0; i < v->open.count && i < open_ids && i < VERIFY_OPEN_MAX; i++) {
		memcpy(r->open_first[i].request_id, open[i].id, RECORD_ID_BYTES);
		r->open_first[i].index = open[i].index_plus - 1;
		r->open_named++;
	}
}
