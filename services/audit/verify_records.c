/*
 * audit/verify_records.c - strict decoding, times, and one terminal record for each request; see verify_records.h.
 */
#include "audit/verify_records.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

struct open_request {
	uint8_t id[RECORD_ID_BYTES];
	uint64_t index_plus; /* index + 1; 0 = free */
};

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
	free(v->table);
}

static uint64_t
hash_id(const uint8_t *id)
{
	uint64_t a, b;

	memcpy(&a, id, 8);
	memcpy(&b, id + 8, 8);
	a = (a ^ b >> 31 ^ b << 33) * UINT64_C(0x9e3779b97f4a7c15);
	return a ^ a >> 32;
}

static size_t
place(const struct verify_records *v, const uint8_t *id)
{
	size_t at = hash_id(id) & (v->cap - 1);

	while (v->table[at].index_plus != 0 && memcmp(v->table[at].id, id, RECORD_ID_BYTES) != 0)
		at = (at + 1) & (v->cap - 1);
	return at;
}

static bool
grow(struct verify_records *v)
{
	struct open_request *was = v->table;
	size_t was_cap = v->cap, cap = was_cap == 0 ? 1024 : was_cap * 2;

	if ((v->count + 1) * 2 <= v->cap)
		return true;
	v->table = calloc(cap, sizeof(*v->table));
	if (v->table == NULL) {
		v->table = was;
		return false;
	}
	v->cap = cap;
	for (size_t i = 0; i < was_cap; i++)
		if (was[i].index_plus != 0)
			v->table[place(v, was[i].id)] = was[i];
	free(was);
	return true;
}

static void
forget(struct verify_records *v, size_t at)
{
	size_t mask = v->cap - 1, hole = at;

	for (size_t i = (at + 1) & mask; v->table[i].index_plus != 0; i = (i + 1) & mask) {
		size_t home = hash_id(v->table[i].id) & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			v->table[hole] = v->table[i];
			hole = i;
		}
	}
	v->table[hole].index_plus = 0;
	v->count--;
}

static void
on_request(struct verify_records *v, const struct record *r, uint64_t index, const char *where)
{
	size_t at = place(v, r->request_id);
	char id[2 * RECORD_ID_BYTES + 1];

	hex_encode(r->request_id, RECORD_ID_BYTES, id);
	if (!r->has_request_id)
		verify_problem(v->report, "%s: record %" PRIu64 " is a REQUEST without an id",
			       where, index);
	else if (v->table[at].index_plus != 0)
		verify_problem(v->report,
			       "%s: record %" PRIu64 " repeats the REQUEST %s of record %" PRIu64,
			       where, index, id, v->table[at].index_plus - 1);
	if (!r->has_request_id || v->table[at].index_plus != 0)
		return;
	memcpy(v->table[at].id, r->request_id, RECORD_ID_BYTES);
	v->table[at].index_plus = index + 1;
	v->count++;
}

static void
on_terminal(struct verify_records *v, const struct record *r, uint64_t index, const char *where)
{
	char id[2 * RECORD_ID_BYTES + 1];
	uint64_t request;
	size_t at;

	v->report->outcomes[r->outcome]++;
	if (!r->has_request_id) {
		verify_problem(v->report, "%s: record %" PRIu64 " is a %s without an id", where,
			       index, record_kind_text(r->kind));
		return;
	}
	hex_encode(r->request_id, RECORD_ID_BYTES, id);
	at = place(v, r->request_id);
	if (v->table[at].index_plus == 0) {
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
	request = v->table[at].index_plus - 1;
	/* 0: the service had given the request up as abandoned, and said so. */
	if (r->prev_index != 0 && r->prev_index != request + 1)
		verify_problem(v->report,
			       "%s: record %" PRIu64 " points at record %" PRIu64
			       ", but the REQUEST %s is record %" PRIu64,
			       where, index, r->prev_index - 1, id, request);
	forget(v, at);
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
	if (!grow(v))
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

static int
by_index(const void *a, const void *b)
{
	uint64_t x = ((const struct open_request *)a)->index_plus;
	uint64_t y = ((const struct open_request *)b)->index_plus;

	return x < y ? -1 : x > y;
}

void
verify_records_end(struct verify_records *v, unsigned open_ids)
{
	struct verify_report *r = v->report;

	r->open = v->count;
	if (v->cap > 0) /* the table is of no use as a table any more; free places sort first */
		qsort(v->table, v->cap, sizeof(*v->table), by_index);
	for (size_t i = v->cap - v->count;
	     i < v->cap && r->open_named < open_ids && r->open_named < VERIFY_OPEN_MAX; i++) {
		memcpy(r->open_first[r->open_named].request_id, v->table[i].id, RECORD_ID_BYTES);
		r->open_first[r->open_named++].index = v->table[i].index_plus - 1;
	}
}
