/*
 * audit/audit_metrics.c - see audit_metrics.h.
 */
#include "audit/audit_metrics.h"

static void
put_pages(const struct pages *pages, struct metrics_page *page)
{
	static const char name[] = "infermesh_audit_http_requests_total";
	struct pages_stats s = { 0 };
	const struct {
		const char *result;
		const uint64_t *count;
	} rows[] = { { "served", &s.served },
		     { "missing", &s.missing },
		     { "refused", &s.refused },
		     { "failed", &s.failed } };

	if (pages == NULL)
		return;
	pages_stats(pages, &s);
	metrics_family(page, name, "counter", "Files of the log that were asked for, by result.");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct metrics_label label = { "result", rows[i].result };

		metrics_value(page, name, &label, 1, (double)*rows[i].count);
	}
}

void
audit_metrics_put(const struct commit_stats *s, const struct pages *pages,
		  struct metrics_page *page)
{
	metrics_family(page, "infermesh_audit_records_total", "counter",
		       "Records made durable, by kind.");
	for (int k = RECORD_REQUEST; k <= RECORD_STOP; k++) {
		const struct metrics_label label = { "kind",
						     record_kind_text((enum record_kind)k) };

		metrics_value(page, "infermesh_audit_records_total", &label, 1,
			      (double)s->records[k]);
	}
	metrics_gauge(page, "infermesh_audit_size", "Records in the log.", (double)s->size);
	metrics_gauge(page, "infermesh_audit_published_size", "Size in the checkpoint file.",
		      (double)s->published);
	metrics_gauge(page, "infermesh_audit_open_requests", "Requests without a terminal record.",
		      (double)s->open_requests);
	metrics_gauge(page, "infermesh_audit_pending", "Events that wait to be durable.",
		      (double)s->pending);
	metrics_gauge(page, "infermesh_audit_writable", "1 while the log takes records.",
		      s->trouble.rc == IM_OK ? 1 : 0);
	metrics_gauge(page, "infermesh_audit_turn_failing",
		      "1 while the log cannot go on in the next shard, or not end the last one.",
		      s->turn_trouble.rc == IM_OK ? 0 : 1);
	metrics_counter(page, "infermesh_audit_commit_failures_total",
			"Frames that could not be written.", s->failures);
	metrics_family(page, "infermesh_audit_batch_records", "histogram",
		       "Records that one sync covered.");
	metrics_histogram(page, "infermesh_audit_batch_records", NULL, 0, &s->batch);
	metrics_family(page, "infermesh_audit_commit_seconds", "histogram",
		       "Time to sign, write and sync one frame.");
	metrics_histogram(page, "infermesh_audit_commit_seconds", NULL, 0, &s->sync);
	put_pages(pages, page);
}
