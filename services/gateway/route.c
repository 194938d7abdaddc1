/*
 * gateway/route.c - the table of routes; see route.h.
 */
#include "gateway/route.h"

#include <stddef.h>
#include <string.h>

struct row {
	const char *path; /* of an API route without /v1; ends with '/' if something must follow */
	enum gateway_route route;
	bool api;
	const char *method;
};

static const struct row rows[] = {
	{ "/chat/completions", ROUTE_CHAT, true, "POST" },
	{ "/completions", ROUTE_COMPLETIONS, true, "POST" },
	{ "/embeddings", ROUTE_EMBEDDINGS, true, "POST" },
	{ "/models", ROUTE_MODELS, true, "GET" },
	{ "/models/", ROUTE_MODEL, true, "GET" },
	{ "/metrics", ROUTE_METRICS, false, "GET" },
	{ "/livez", ROUTE_LIVEZ, false, "GET" },
	{ "/readyz", ROUTE_READYZ, false, "GET" },
	{ "/healthz", ROUTE_HEALTHZ, false, "GET" },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* The rest of 'path' behind row's, or NULL if it is another path. */
static const char *
row_match(const struct row *row, const char *path)
{
	size_t len = strlen(row->path);

	if (strncmp(path, row->path, len) != 0)
		return NULL;
	if (row->path[len - 1] == '/')
		return path[len] != '\0' ? path + len : NULL;
	return path[len] == '\0' ? path + len : NULL;
}

static bool
method_fits(const struct row *row, const char *method)
{
	return strcmp(method, row->method) == 0 ||
	       (strcmp(row->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

void
gateway_route_find(const char *method, const char *path, struct route_match *ret)
{
	bool versioned = strncmp(path, "/v1/", 4) == 0;

	*ret = (struct route_match){ .route = ROUTE_OTHER, .status = 404 };
	if (strcmp(method, "OPTIONS") == 0) {
		*ret = (struct route_match){ .route = ROUTE_PREFLIGHT, .status = 200 };
		return;
	}
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *row = &rows[i];
		const char *arg = row_match(row, versioned ? path + 3 : path);

		if (arg == NULL || (versioned && !row->api))
			continue;
		ret->allow =
		    strcmp(row->method, "GET") == 0 ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
		ret->status = 405;
		if (method_fits(row, method)) {
			ret->route = row->route;
			ret->status = 200;
			ret->arg = arg;
		}
		return;
	}
}

const char *
gateway_route_text(enum gateway_route route)
{
	static const char *const texts[ROUTE_COUNT] = {
		[ROUTE_CHAT] = "/v1/chat/completions",
		[ROUTE_COMPLETIONS] = "/v1/completions",
		[ROUTE_EMBEDDINGS] = "/v1/embeddings",
		[ROUTE_MODELS] = "/v1/models",
		[ROUTE_MODEL] = "/v1/models/{id}",
		[ROUTE_METRICS] = "/metrics",
		[ROUTE_LIVEZ] = "/livez",
		[ROUTE_READYZ] = "/readyz",
		[ROUTE_HEALTHZ] = "/healthz",
		[ROUTE_PREFLIGHT] = "OPTIONS",
		[ROUTE_OTHER] = "other",
	};

	return texts[route];
}

bool
gateway_route_is_api(enum gateway_route route)
{
	return route <= ROUTE_MODEL;
}
