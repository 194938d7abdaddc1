/*
 * gateway/gateway_metrics.c - see gateway_metrics.h.
 */
#include "gateway/gateway_metrics.h"

#include <stdlib.h>
#include <string.h>

struct model_metrics {
	char name[GENERATE_MODEL_MAX + 1];
	enum generate_op operation;
	struct histogram duration[2]; /* succeeded, failed */
	struct histogram first_token, per_token;
	struct histogram tokens_in, tokens_out;
};

static const char *const class_texts[METRICS_CLASSES] = { "2xx", "3xx", "4xx", "5xx" };

/* Codes with a series of their own. The first stands for all others. */
static const char *const error_texts[] = {
	"other",
	"invalid_request",
	"missing_required_parameter",
	"invalid_type",
	"invalid_value",
	"context_length_exceeded",
	"invalid_api_key",
	"insufficient_permissions",
	"model_not_found",
	"not_found",
	"method_not_allowed",
	"request_too_large",
	"rate_limit_exceeded",
	"insufficient_quota",
	"client_closed_request",
	"upstream_error",
	"circuit_open",
	"no_healthy_worker",
	"audit_unavailable",
	"upstream_timeout",
	"router_unavailable",
	"overloaded",
	"queue_full",
};

#define ERRORS (sizeof(error_texts) / sizeof(error_texts[0]))
_Static_assert(ERRORS <= METRICS_ERRORS_MAX, "a counter for each known code");

void
gateway_metrics_init(struct gateway_metrics *m)
{
	*m = (struct gateway_metrics){ 0 };
	for (size_t route = 0; route < ROUTE_COUNT; route++)
		for (size_t class = 0; class < METRICS_CLASSES; class ++)
			m->requests[route][class].bounds = &histogram_seconds;
}

void
gateway_metrics_done(struct gateway_metrics *m)
{
	for (size_t i = 0; i < m->model_count; i++)
		free(m->models[i]);
	m->model_count = 0;
}

static size_t
error_index(const char *error)
{
	for (size_t i = 1; i < ERRORS; i++)
		if (strcmp(error_texts[i], error) == 0)
			return i;
	return 0;
}

void
gateway_metrics_response(struct gateway_metrics *m, enum gateway_route route, int status,
			 const char *error, double seconds)
{
	size_t class = status >= 500 ? 3 : status >= 400 ? 2 : status >= 300 ? 1 : 0;

	histogram_add(&m->requests[route][class], seconds);
	if (error != NULL)
		m->errors[route][error_index(error)]++;
}

/* The model's series, made at its first answer; NULL when there are too many or no memory: then it is not counted apart. */
static struct model_metrics *
model_find(struct gateway_metrics *m, const char *name, enum generate_op operation)
{
	struct model_metrics *model;

	for (size_t i = 0; i < m->model_count; i++)
		if (m->models[i]->operation == operation && strcmp(m->models[i]->name, name) == 0)
			return m->models[i];
	if (m->model_count == METRICS_MODELS_MAX || strlen(name) > GENERATE_MODEL_MAX)
		return NULL;
	model = calloc(1, sizeof(*model));
	if (model == NULL)
		return NULL;
	memcpy(model->name, name, strlen(name) + 1);
	model->operation = operation;
	model->duration[0].bounds = model->duration[1].bounds = &histogram_seconds;
	model->first_token.bounds = &histogram_first_token;
	model->per_token.bounds = &histogram_per_token;
	model->tokens_in.bounds = model->tokens_out.bounds = &histogram_tokens;
	m->models[m->model_count++] = model;
	return model;
}

void
gateway_metrics_generation(struct gateway_metrics *m, const struct generation *g)
{
	struct model_metrics *model = model_find(m, g->model, g->operation);
	const struct usage *u = &g->usage;

	if (g->has_usage) {
		m->tokens_prompt += u->prompt_tokens;
		m->tokens_completion += u->completion_tokens;
		m->tokens_cached += u->cached_tokens;
		m->tokens_reasoning += u->reasoning_tokens;
	}
	if (model == NULL)
		return;
	histogram_add(&model->duration[g->failed ? 1 : 0], g->seconds);
	if (g->first_token_seconds >= 0)
		histogram_add(&model->first_token, g->first_token_seconds);
	if (!g->has_usage)
		return;
	histogram_add(&model->tokens_in, u->prompt_tokens);
	histogram_add(&model->tokens_out, u->completion_tokens);
	if (g->first_token_seconds >= 0 && u->completion_tokens > 1)
		histogram_add(&model->per_token,
			      (g->seconds - g->first_token_seconds) / (u->completion_tokens - 1));
}

static uint64_t
histogram_count(const struct histogram *h)
{
	uint64_t n = 0;

	for (size_t i = 0; i <= HISTOGRAM_BUCKETS_MAX; i++)
		n += h->bucket[i];
	return n;
}

static void
put_responses(const struct gateway_metrics *m, struct metrics_page *page)
{
	metrics_family(page, "http_request_duration_seconds", "histogram",
		       "From the first byte of a request to the end of its response.");
	for (int route = 0; route < ROUTE_COUNT; route++) {
		for (size_t class = 0; class < METRICS_CLASSES; class ++) {
			const struct metrics_label labels[] = {
				{ "route", gateway_route_text((enum gateway_route)route) },
				{ "status", class_texts[class] },
			};

			if (histogram_count(&m->requests[route][class]) > 0)
				metrics_histogram(page, "http_request_duration_seconds", labels, 2,
						  &m->requests[route][class]);
		}
	}
	metrics_family(page, "http_errors_total", "counter",
		       "Responses that told of an error, also in mid-stream.");
	for (int route = 0; route < ROUTE_COUNT; route++) {
		for (size_t i = 0; i < ERRORS; i++) {
			const struct metrics_label labels[] = {
				{ "route", gateway_route_text((enum gateway_route)route) },
				{ "error_type", error_texts[i] },
			};

			if (m->errors[route][i] > 0)
				metrics_value(page, "http_errors_total", labels, 2,
					      (double)m->errors[route][i]);
		}
	}
}

/* As OpenTelemetry's conventions call them. */
static const char *const operation_names[OPERATION_COUNT] = {
	[OPERATION_CHAT] = "chat",
	[OPERATION_COMPLETION] = "text_completion",
	[OPERATION_EMBEDDING] = "embeddings",
};

/* 'extra' is a third label, or has no name. Series without a value are left out. */
static void
put_model(struct metrics_page *page, const char *name, const struct model_metrics *model,
	  struct metrics_label extra, const struct histogram *h)
{
	const struct metrics_label labels[] = {
		{ "gen_ai_operation_name", operation_names[model->operation] },
		{ "gen_ai_request_model", model->name },
		extra,
	};

	if (histogram_count(h) > 0)
		metrics_histogram(page, name, labels, extra.name != NULL ? 3 : 2, h);
}

static void
put_models(const struct gateway_metrics *m, struct metrics_page *page)
{
	static const char duration[] = "gen_ai_server_request_duration_seconds";
	static const char first_token[] = "gen_ai_server_time_to_first_token_seconds";
	static const char per_token[] = "gen_ai_server_time_per_output_token_seconds";
	static const char usage[] = "gen_ai_client_token_usage";
	const struct metrics_label none = { NULL, NULL };

	metrics_family(page, duration, "histogram", "Whole requests that the router admitted.");
	for (size_t i = 0; i < m->model_count; i++) {
		const struct metrics_label failed = { "error_type", "_OTHER" };

		put_model(page, duration, m->models[i], none, &m->models[i]->duration[0]);
		put_model(page, duration, m->models[i], failed, &m->models[i]->duration[1]);
	}
	metrics_family(page, first_token, "histogram", "Until the first piece of an answer.");
	for (size_t i = 0; i < m->model_count; i++)
		put_model(page, first_token, m->models[i], none, &m->models[i]->first_token);
	metrics_family(page, per_token, "histogram",
		       "Each token after the first, on average over an answer.");
	for (size_t i = 0; i < m->model_count; i++)
		put_model(page, per_token, m->models[i], none, &m->models[i]->per_token);
	metrics_family(page, usage, "histogram", "Tokens of one request.");
	for (size_t i = 0; i < m->model_count; i++) {
		const struct metrics_label in = { "gen_ai_token_type", "input" };
		const struct metrics_label out = { "gen_ai_token_type", "output" };

		put_model(page, usage, m->models[i], in, &m->models[i]->tokens_in);
		put_model(page, usage, m->models[i], out, &m->models[i]->tokens_out);
	}
}

static void
put_tokens(struct metrics_page *page, const char *type, uint64_t n)
{
	const struct metrics_label label = { "type", type };

	metrics_value(page, "infermesh_tokens_total", &label, 1, (double)n);
}

void
gateway_metrics_put(const struct gateway_metrics *m, uint32_t running, uint32_t connections,
		    struct metrics_page *page)
{
	put_responses(m, page);
	put_models(m, page);
	metrics_family(page, "infermesh_tokens_total", "counter", "Tokens of all answers.");
	put_tokens(page, "prompt", m->tokens_prompt);
	put_tokens(page, "completion", m->tokens_completion);
	put_tokens(page, "cached", m->tokens_cached);
	put_tokens(page, "reasoning", m->tokens_reasoning);
	metrics_gauge(page, "infermesh_requests_running", "Requests that are being answered.",
		      running);
	metrics_gauge(page, "infermesh_http_connections", "Open connections of clients.",
		      connections);
}
