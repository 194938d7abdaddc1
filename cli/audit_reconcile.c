/*
 * cli/audit_reconcile.c - 'infermesh audit reconcile': does every admitted request have its REQUEST and exactly one end? Names those
 * that have not.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/record_json.h"
#include "audit/walk.h"
#include "base/clock.h"
#include "base/hex.h"
#include "cli/audit_log.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "cli/reconcile_routers.h"

#define SETTLE_US UINT64_C(10000000) /* so long records may be on their way */
#define PAUSE_NS  100000000L

struct work {
	struct log_arg log;
	struct reconcile *r;
	struct asked_routers routers;
	struct audit_walked walked;
	struct progress progress;
	bool json;

	/* Naming what is missing: a second look at these records. */
	const struct open_request *open;
	size_t opens, at, missing, in_flight;
};

static enum im_rc
on_record(void *user, uint64_t number, const struct record *r, struct im_err *err)
{
	struct work *w = user;

	return reconcile_add(w->r, w->walked.first, number, r, err);
}

static bool
on_progress(void *user, uint64_t done, uint64_t total)
{
	return progress_show(&((struct work *)user)->progress, done, total);
}

/* What came since the last look. */
static enum im_rc
read_on(struct work *w, struct im_err *err)
{
	uint64_t first = w->walked.first;
	const struct audit_walk walk = { .source = &w->log.source,
					 .from = w->walked.end,
					 .record = on_record,
					 .progress = on_progress,
					 .user = w };
	enum im_rc rc;

	progress_begin(&w->progress, "");
	rc = audit_walk(&walk, &w->walked, err);
	progress_end(&w->progress);
	if (first > w->walked.first)
		w->walked.first = first;
	return rc;
}

/* Records may be on their way while we ask: again, until it fits or it is clear that it does not. */
static enum im_rc
compare(struct work *w, struct im_err *err)
{
	uint64_t until_us = clock_mono_us() + SETTLE_US;
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	enum im_rc rc = read_on(w, err);
	bool agree = false;

	while (rc == IM_OK && w->routers.reached > 0 && !agree) {
		asked_routers_ask(&w->routers, w->r);
		rc = read_on(w, err);
		agree = rc == IM_OK && asked_routers_agree(&w->routers, w->r);
		if (asked_routers_quiet(&w->routers) || clock_mono_us() >= until_us)
			break;
		if (!agree)
			(void)nanosleep(&pause, NULL);
	}
	return rc;
}

/* Is it in flight at a router that runs, and not cut off? */
static bool
is_in_flight(const struct work *w, const struct open_request *o)
{
	const struct asked_router *q = asked_routers_find(&w->routers, w->r->reporter[o->tag].id);

	return q != NULL && q->is.open <= q->is.in_flight + (q->is.after - q->is.before);
}

static void
print_missing(uint64_t number, const struct record *r)
{
	char time[32], id[2 * RECORD_ID_BYTES + 1], caller[2 * RECORD_PSEUDO_BYTES + 1] = "-";

	log_arg_time(r->log_time_us, time);
	hex_encode(r->request_id, RECORD_ID_BYTES, id);
	if (r->has_caller)
		hex_encode(r->caller, RECORD_PSEUDO_BYTES, caller);
	(void)printf("MISSING:   %s, record %" PRIu64 ", %s, caller %s, model ", id, number, time,
		     caller);
	print_text(r->model != NULL ? r->model : "-");
	(void)printf(": it has no end\n");
}

static enum im_rc
on_open(void *user, uint64_t number, const struct record *r, struct im_err *err)
{
	struct work *w = user;
	struct buf b = { 0 };

	while (w->at < w->opens && w->open[w->at].index_plus - 1 < number)
		w->at++;
	if (w->at == w->opens || w->open[w->at].index_plus - 1 != number)
		return IM_OK;
	if (is_in_flight(w, &w->open[w->at])) {
		w->in_flight++;
		return IM_OK;
	}
	progress_end(&w->progress);
	if (!w->json) {
		w->missing++;
		print_missing(number, r);
		return IM_OK;
	}
	(void)buf_append_str(&b, w->missing++ > 0 ? "," : "");
	if (!record_json(&b, number, r))
		return err_set(err, IM_ENOMEM, "no memory for a record");
	json_print(&b);
	return IM_OK;
}

/* Print the requests without an end, each with what the log says of it. */
static enum im_rc
name_missing(struct work *w, struct im_err *err)
{
	struct audit_walk walk = {
		.source = &w->log.source, .record = on_open, .progress = on_progress, .user = w
	};
	struct audit_walked walked;
	enum im_rc rc;

	w->opens = w->r->open.count;
	w->open = open_requests_sort(&w->r->open);
	if (w->opens == 0)
		return IM_OK;
	walk.from = w->open[0].index_plus - 1;
	walk.to = w->open[w->opens - 1].index_plus;
	progress_begin(&w->progress, "");
	rc = audit_walk(&walk, &walked, err);
	progress_end(&w->progress);
	return rc;
}

static const char *
what_text(enum reconcile_what what)
{
	switch (what) {
	case RECONCILE_REQUEST_TWICE:
		return "has a REQUEST already";
	case RECONCILE_END_TWICE:
		return "has ended already";
	case RECONCILE_NO_REQUEST:
		break;
	}
	return "ends, and has no REQUEST";
}

static bool
routers_agree(const struct work *w)
{
	for (size_t i = 0; i < w->routers.count; i++) {
		const struct asked_router *q = &w->routers.router[i];

		if (q->reached && (!q->counts || !reconcile_agrees(&q->is)))
			return false;
	}
	return true;
}

static bool
complete(const struct work *w)
{
	return w->missing == 0 && w->r->problems == 0 && w->r->gaps == 0 && routers_agree(w);
}

static void
print_outcomes(const struct reconcile *r)
{
	const char *between = " (";

	for (int o = OUTCOME_OK; o <= OUTCOME_REJECTED; o++) {
		if (r->outcomes[o] == 0)
			continue;
		(void)printf("%s%s %" PRIu64, between, outcome_text((enum outcome)o),
			     r->outcomes[o]);
		between = ", ";
	}
	(void)printf("%s\n", between[0] == ',' ? ")" : "");
}

static void
print_router(const struct asked_router *q)
{
	(void)printf("router:    ");
	print_text(q->address);
	if (!q->reached || !q->counts) {
		(void)printf(": %s", q->reached ? "NOT COMPARED: " : "not asked: ");
		print_text(q->why);
	} else if (reconcile_agrees(&q->is)) {
		(void)printf(": it admitted %" PRIu64 " since its start, and the log has them",
			     q->is.admitted);
	} else {
		(void)printf(": IT DIFFERS: it admitted %" PRIu64
			     " since its start and has %" PRIu64 " in flight; the log has %" PRIu64
			     ", %" PRIu64 " of them without an end",
			     q->is.admitted, q->is.in_flight, q->is.after, q->is.open);
		if (q->dropped > 0)
			(void)printf("; it gave up %" PRIu64 " records (fail-open)", q->dropped);
	}
	(void)putchar('\n');
}

static void
print_report(const struct work *w)
{
	const struct reconcile *r = w->r;

	(void)printf("log:       ");
	print_text(w->log.source.name);
	(void)printf(", %" PRIu64 " records", w->walked.end);
	if (w->walked.first > 0)
		(void)printf(", of which those before %" PRIu64 " were pruned", w->walked.first);
	(void)printf("\nrequests:  %" PRIu64 " admitted, %" PRIu64 " ended", r->requests, r->ended);
	print_outcomes(r);
	if (w->in_flight > 0)
		(void)printf("in flight: %zu\n", w->in_flight);
	for (uint64_t i = 0; i < r->problems && i < RECONCILE_NAMED_MAX; i++) {
		char id[2 * RECORD_ID_BYTES + 1];

		hex_encode(r->problem[i].id, RECORD_ID_BYTES, id);
		(void)printf("WRONG:     %s %s, record %" PRIu64 "\n", id,
			     what_text(r->problem[i].what), r->problem[i].number);
	}
	if (r->gaps > 0)
		(void)printf("GAPS:      %" PRIu64 " records were never written, as %" PRIu64
			     " GAP records say (fail-open); see 'audit search --kind GAP'\n",
			     r->gap_records, r->gaps);
	for (size_t i = 0; i < w->routers.count; i++)
		print_router(&w->routers.router[i]);
	if (complete(w))
		(void)printf("complete:  every admitted request is there once and ended once\n");
	else
		(void)printf("NOT COMPLETE\n");
}

static void
json_routers(struct buf *b, const struct work *w)
{
	(void)buf_append_str(b, "\"routers\":[");
	for (size_t i = 0; i < w->routers.count; i++) {
		const struct asked_router *q = &w->routers.router[i];
		char reporter[2 * AUDIT_REPORTER_BYTES + 1];

		(void)buf_append_str(b, "{");
		json_text(b, "address", q->address);
		if (q->counts) {
			hex_encode(q->is.reporter, AUDIT_REPORTER_BYTES, reporter);
			json_text(b, "reporter", reporter);
			json_number(b, "admitted", q->is.admitted);
			json_number(b, "in_flight", q->is.in_flight);
			json_number(b, "logged", q->is.after);
			json_number(b, "open", q->is.open);
			json_number(b, "dropped", q->dropped);
			json_bool(b, "agrees", reconcile_agrees(&q->is));
		} else {
			json_text(b, "problem", q->why);
		}
		json_close(b, "},");
	}
	json_close(b, "],");
}

static void
print_json(const struct work *w)
{
	const struct reconcile *r = w->r;
	struct buf b = { 0 };

	(void)buf_append_str(&b, "],");
	json_bool(&b, "complete", complete(w));
	json_text(&b, w->log.source.dir != NULL ? "dir" : "url", w->log.source.name);
	json_number(&b, "size", w->walked.end);
	json_number(&b, "first", w->walked.first);
	json_number(&b, "requests", r->requests);
	json_number(&b, "ended", r->ended);
	json_number(&b, "in_flight", w->in_flight);
	(void)buf_append_str(&b, "\"outcomes\":{");
	for (int o = OUTCOME_OK; o <= OUTCOME_REJECTED; o++)
		if (r->outcomes[o] > 0)
			json_number(&b, outcome_text((enum outcome)o), r->outcomes[o]);
	json_close(&b, "},");
	json_number(&b, "gaps", r->gaps);
	json_number(&b, "gap_records", r->gap_records);
	json_number(&b, "problems", r->problems);
	(void)buf_append_str(&b, "\"problem\":[");
	for (uint64_t i = 0; i < r->problems && i < RECONCILE_NAMED_MAX; i++) {
		char id[2 * RECORD_ID_BYTES + 1];

		hex_encode(r->problem[i].id, RECORD_ID_BYTES, id);
		(void)buf_append_str(&b, "{");
		json_text(&b, "request_id", id);
		json_number(&b, "index", r->problem[i].number);
		json_text(&b, "what", what_text(r->problem[i].what));
		json_close(&b, "},");
	}
	json_close(&b, "],");
	json_routers(&b, w);
	json_close(&b, "}\n");
	json_print(&b);
}

/* IM_OK: all was looked at. */
static enum im_rc
reconcile(struct work *w, bool ask, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	w->r = calloc(1, sizeof(*w->r));
	if (w->r == NULL)
		return err_set(err, IM_ENOMEM, "no memory to reconcile a log");
	if (ask)
		rc = asked_routers_open(&w->routers, w->log.config, err);
	if (rc == IM_OK)
		rc = compare(w, err);
	if (rc == IM_OK && w->json)
		(void)fputs("{\"missing\":[", stdout);
	if (rc == IM_OK)
		rc = name_missing(w, err);
	return rc;
}

int
run_audit_reconcile(const struct cli_args *args)
{
	const char *where = args->rest_count > 0 ? args->rest[0] : NULL;
	struct work w = { .json = cli_flag(args, "json") };
	struct im_err err;
	int status;

	if (!log_arg_open(args, where, &w.log, &status))
		return EXIT_USAGE;
	if (reconcile(&w, where == NULL, &err) != IM_OK) {
		(void)cli_fail(args, &err);
		status = EXIT_USAGE; /* nothing is known: not the same as "not complete" */
	} else {
		if (w.json)
			print_json(&w);
		else
			print_report(&w);
		status = complete(&w) ? EXIT_FINE : EXIT_TROUBLE;
	}
	asked_routers_close(&w.routers);
	if (w.r != NULL)
		reconcile_done(w.r);
	free(w.r);
	log_arg_close(&w.log);
	return status;
}
