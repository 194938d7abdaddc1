/*
 * inference/upstream_proxy.c - whether a proxy of the environment may be between us and the upstream; see upstream.h. What libcurl would do is decided
 * here only where that is sure: it carries the rest, and reads the environment itself.
 */
#include <stdlib.h>
#include <string.h>

#include "inference/upstream.h"

/* A name, and no address. */
static bool
has_domain(const char *host, size_t len)
{
	return strspn(host + len - 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") > 0;
}

static bool
names(const char *name, size_t len, const char *host)
{
	const size_t host_len = strlen(host);
	const bool has_dot = len > 1 && *name == '.' && has_domain(host, host_len);
	size_t before;

	name += has_dot;
	len -= has_dot;
	if (len > host_len)
		return false;
	before = host_len - len;
	return strncasecmp(host + before, name, len) == 0 &&
	       (before == 0 || (host[before - 1] == '.' && has_domain(host, host_len)));
}

bool
upstream_no_proxy(const char *list, const char *host)
{
	if (host[0] == '\0' || strcmp(list, "*") == 0)
		return host[0] != '\0';
	for (;;) {
		size_t len;

		list += strspn(list, ", \t");
		len = strcspn(list, ", \t");
		if (len == 0)
			return false;
		if (names(list, len, host))
			return true;
		list += len;
		list += strspn(list, " \t");
		if (*list != ',') /* some versions of libcurl read no further */
			return false;
	}
}

/* As libcurl has it: what is empty is not there. */
static const char *
from_environment(const char *name)
{
	const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): nothing changes it */

	return value != NULL && value[0] != '\0' ? value : NULL;
}

bool
upstream_by_proxy(CURLU *url)
{
	/* Not HTTP_PROXY: a server may have that from a request (CVE-2016-5385). */
	static const char *const names[][2] = { { "http_proxy", "http" },
						{ "https_proxy", "https" },
						{ "HTTPS_PROXY", "https" },
						{ "all_proxy", "" },
						{ "ALL_PROXY", "" } };
	const char *except = from_environment("no_proxy");
	char *scheme = NULL, *host = NULL;
	bool by_proxy = false;

	if (except == NULL)
		except = from_environment("NO_PROXY");
	if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if ((names[i][1][0] == '\0' || strcmp(names[i][1], scheme) == 0) &&
			    from_environment(names[i][0]) != NULL)
				by_proxy = true;
		if (except != NULL && upstream_no_proxy(except, host))
			by_proxy = false;
	} else {
		by_proxy = true; /* without memory: libcurl will say so */
	}
	curl_free(scheme);
	curl_free(host);
	return by_proxy;
}
