/*
 * daemon/redis_url.c - see redis_url.h.
 */
#include "daemon/redis_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config_internal.h"

#define SCHEME "redis://"

bool
redis_url_is(const char *s)
{
	char host_port[300];
	const char *db;
	size_t n;

	if (strncmp(s, SCHEME, strlen(SCHEME)) != 0)
		return false;
	s += strlen(SCHEME);
	n = strcspn(s, "/");
	if (n >= sizeof(host_port))
		return false;
	(void)snprintf(host_port, sizeof(host_port), "%.*s", (int)n, s);
	db = s[n] == '/' ? s + n + 1 : "0";
	return config_is_host_port(host_port) && strchr(host_port, '@') == NULL && strlen(db) > 0 &&
	       strlen(db) <= 5 && strspn(db, "0123456789") == strlen(db);
}

void
redis_url_read(const char *url, char *host, size_t size, int *ret_port, int *ret_db)
{
	const char *from = url + strlen(SCHEME), *slash = strchr(from, '/');
	const char *end = slash != NULL ? slash : from + strlen(from), *colon = end;

	while (*colon != ':')
		colon--;
	(void)snprintf(host, size, "%.*s", (int)(colon - from), from);
	*ret_port = (int)strtol(colon + 1, NULL, 10);
	*ret_db = slash != NULL ? (int)strtol(slash + 1, NULL, 10) : 0;
}
