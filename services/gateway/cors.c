/*
 * gateway/cors.c - see cors.h. No cookie ever authenticates a caller here, so any origin may be let in without harm to
 * those who hold keys.
 */
#include "gateway/cors.h"

#include <string.h>

#define EXPOSED                                                                                                \
	"x-request-id, retry-after, retry-after-ms, x-should-retry, openai-processing-ms, "                    \
	"x-infermesh-cache, age, x-infermesh-fallback, x-ratelimit-limit-requests, x-ratelimit-limit-tokens, " \
	"x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, "                                       \
	"x-ratelimit-reset-requests, x-ratelimit-reset-tokens"

static const char *
allowed_origin(const struct gateway_cors *cors, const char *origin)
{
	for (size_t i = 0; origin != NULL && i < cors->count; i++)
		if (strcmp(cors->origins[i], origin) == 0)
			return cors->origins[i];
	return NULL;
}

void
gateway_cors_put(const struct gateway_cors *cors, const char *origin, struct buf *headers)
{
	static const char any[] = "Access-Control-Allow-Origin: *\r\n"
				  "Access-Control-Expose-Headers: " EXPOSED "\r\n";
	const char *allowed;

	if (cors->any) { /* the usual, with every response: nothing in it needs a check */
		(void)buf_append(headers, any, sizeof(any) - 1);
		return;
	}
	allowed = allowed_origin(cors, origin);
	(void)http_put_header(headers, "Vary", "Origin");
	if (allowed == NULL)
		return;
	(void)http_put_header(headers, "Access-Control-Allow-Origin", allowed);
	(void)http_put_header(headers, "Access-Control-Expose-Headers", EXPOSED);
}

/* Token characters (RFC 9110), commas and blanks. */
static bool
is_header_list(const char *s)
{
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~, ";

	return s[0] != '\0' && s[strspn(s, allowed)] == '\0';
}

void
gateway_cors_preflight(const char *requested, struct cors_preflight *ret)
{
	bool reflect = requested != NULL && is_header_list(requested);

	ret->count = 0;
	ret->list[ret->count++] =
	    (struct http_header){ "Access-Control-Allow-Methods", "GET, POST, OPTIONS" };
	ret->list[ret->count++] =
	    (struct http_header){ "Access-Control-Allow-Headers",
				  reflect ? requested : "authorization, content-type" };
	ret->list[ret->count++] = (struct http_header){ "Access-Control-Max-Age", "7200" };
	ret->list[ret->count++] = (struct http_header){ "Vary", "Access-Control-Request-Headers" };
}
