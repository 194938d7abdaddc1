/*
 * daemon/process_metrics.h - what the kernel says of this process, in the names that Prometheus clients use.
 */
#ifndef DAEMON_PROCESS_METRICS_H
#define DAEMON_PROCESS_METRICS_H

#include "daemon/metrics.h"

/** Append process_* families. What /proc does not tell is left out. */
void process_metrics(struct metrics_page *page);

#endif
