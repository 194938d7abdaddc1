/*
 * gateway/route.h - which handler a method and a path are for. Pure.
 */
#ifndef GATEWAY_ROUTE_H
#define GATEWAY_ROUTE_H

#include <stdbool.h>

enum gateway_route {
	ROUTE_CHAT,
	ROUTE_COMPLETIONS,
	ROUTE_EMBEDDINGS,
	ROUTE_MODELS,
	ROUTE_MODEL, /* up to here callers need a key */
	ROUTE_METRICS,
	ROUTE_LIVEZ,
	ROUTE_READYZ,
	ROUTE_HEALTHZ,
	ROUTE_PREFLIGHT, /* OPTIONS of anything */
	ROUTE_OTHER,     /* 404, 405 */
	ROUTE_COUNT,
};

struct route_match {
	enum gateway_route route;
	int status;        /* 200; 404: no such path; 405: 'allow' says what else */
	const char *allow; /* of a path that exists */
	const char *arg;   /* ROUTE_MODEL: the id, pointing into the path */
};

/** 'path' without the query and percent-decoded. API routes exist with and without /v1. */
void gateway_route_find(const char *method, const char *path, struct route_match *ret);

/** For labels and logs: "/v1/models/{id}"; a small, fixed set. */
const char *gateway_route_text(enum gateway_route route);

/** True for what callers need a key for. */
bool gateway_route_is_api(enum gateway_route route);

#endif
