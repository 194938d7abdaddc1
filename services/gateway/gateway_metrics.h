/*
 * gateway/gateway_metrics.h - what the gateway counts, and its part of the metrics page. Labels are bounded: routes, status
 * classes, known error codes, and models that answered. Names: docs/http-api.md, "Names for what is observed".
 *
 * Threads: on the loop.
 */
#ifndef GATEWAY_GATEWAY_METRICS_H
#define GATEWAY_GATEWAY_METRICS_H

#include "daemon/metrics.h"
#include "gateway/route.h"
#include "wire/generate.h"

#define METRICS_MODELS_MAX 256 /* with series of their own */
#define METRICS_CLASSES    4   /* 2xx, 3xx, 4xx, 5xx */
#define METRICS_ERRORS_MAX 24

struct model_metrics; /* series of one model and operation */

struct gateway_metrics {
	struct histogram requests[ROUTE_COUNT][METRICS_CLASSES];
	uint64_t errors[ROUTE_COUNT][METRICS_ERRORS_MAX];
	uint64_t tokens_prompt, tokens_completion, tokens_cached, tokens_reasoning;
	struct model_metrics *models[METRICS_MODELS_MAX];
	size_t model_count;
};

/* One request to a model that the router admitted, when it is over. */
struct generation {
	enum generate_op operation;
	const char *model;
	double seconds;
	double first_token_seconds; /* negative: none came */
	bool failed;
	bool has_usage;
	struct usage usage;
};

void gateway_metrics_init(struct gateway_metrics *m);
void gateway_metrics_done(struct gateway_metrics *m);

/** A response is over. 'error' is its code, NULL for none. 'status' 499: the client left. */
void gateway_metrics_response(struct gateway_metrics *m, enum gateway_route route, int status,
			      const char *error, double seconds);

void gateway_metrics_generation(struct gateway_metrics *m, const struct generation *g);

void gateway_metrics_put(const struct gateway_metrics *m, uint32_t running, uint32_t connections,
			 struct metrics_page *page);

#endif
