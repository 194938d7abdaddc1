/*
 * audit/audit_metrics.h - the audit service's part of /metrics. Counts nothing itself.
 */
#ifndef AUDIT_AUDIT_METRICS_H
#define AUDIT_AUDIT_METRICS_H

#include "audit/committer.h"
#include "audit/pages.h"

/** 'pages' NULL: the log is not served by HTTP. On the loop. */
void audit_metrics_put(const struct commit_stats *s, const struct pages *pages,
		       struct metrics_page *page);

#endif
