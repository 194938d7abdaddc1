/*
 * daemon/metrics.h - the Prometheus text format (0.0.4) and histograms. A service keeps plain counters of its own and
 * writes them when asked. Names follow the OpenTelemetry GenAI conventions where they have one.
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include <stdint.h>

#include "base/buf.h"

struct metrics_page {
	struct buf out;
};

struct metrics_label {
	const char *name, *value; /* the value may hold anything; it is escaped */
};

/** HELP and TYPE lines; then one metrics_value() for each set of labels. 'type': "counter" or "gauge". */
void metrics_family(struct metrics_page *page, const char *name, const char *type,
		    const char *help);
void metrics_value(struct metrics_page *page, const char *name, const struct metrics_label *labels,
		   size_t label_count, double value);

/** Family and value in one, without labels. */
void metrics_counter(struct metrics_page *page, const char *name, const char *help, uint64_t value);
void metrics_gauge(struct metrics_page *page, const char *name, const char *help, double value);

#define HISTOGRAM_BUCKETS_MAX 24

/* Upper bounds, ascending; +Inf is implied. Static tables: */
struct histogram_bounds {
	size_t count;
	double le[HISTOGRAM_BUCKETS_MAX];
};

extern const struct histogram_bounds histogram_seconds;     /* .01 doubling to 81.92 */
extern const struct histogram_bounds histogram_first_token; /* .001 … 10 */
extern const struct histogram_bounds histogram_per_token;   /* .01 … 2.5 */
extern const struct histogram_bounds histogram_tokens;      /* 1, 4, 16 … 67108864 */
extern const struct histogram_bounds histogram_overhead;    /* 10 µs doubling to 82 ms */

/* Zero-initialised, then bounds is set. Not thread-safe: on the loop. */
struct histogram {
	const struct histogram_bounds *bounds;
	uint64_t bucket[HISTOGRAM_BUCKETS_MAX + 1];
	double sum;
};

void histogram_add(struct histogram *h, double value);

/** One series of a histogram family (metrics_family() with type "histogram" comes first). */
void metrics_histogram(struct metrics_page *page, const char *name,
		       const struct metrics_label *labels, size_t label_count,
		       const struct histogram *h);

/**
 * Append the 'count' pages to 'out' as one: each family once, as the format demands. Where several pages have the same
 * family, its samples get the label service_instance with the page's name, so that none collide. For the single-process
 * mode. 'pages' keep their contents.
 */
void metrics_join(struct metrics_page *out, struct metrics_page *pages, const char *const *names,
		  size_t count);

#endif
