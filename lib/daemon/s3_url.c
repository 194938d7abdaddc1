/*
 * daemon/s3_url.c - see s3_url.h.
 */
#include "daemon/s3_url.h"

#include <stdio.h>
#include <string.h>

#include "daemon/config_internal.h"

#define LETTERS  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
#define HOST_MAX 255

static const char *
after_scheme(const char *s)
{
	if (strncmp(s, "http://", 7) == 0)
		return s + 7;
	return strncmp(s, "https://", 8) == 0 ? s + 8 : NULL;
}

/* One name of a path; "." and ".." are none. */
static bool
is_name(const char *s, size_t len)
{
	return len > 0 && strspn(s, LETTERS) >= len && strspn(s, ".") < len;
}

static bool
is_host(const char *s, size_t len)
{
	char host_port[HOST_MAX + 8];
	bool has_port = len > 0 && s[len - 1] != ']' && memchr(s, ':', len) != NULL;

	if (len == 0 || len > HOST_MAX || strspn(s, LETTERS ":[]") < len)
		return false;
	(void)snprintf(host_port, sizeof(host_port), "%.*s%s", (int)len, s, has_port ? "" : ":1");
	return config_is_host_port(host_port);
}

bool
s3_url_is(const char *s)
{
	const char *host = after_scheme(s);
	size_t len;

	if (host == NULL || strlen(s) > S3_URL_MAX)
		return false;
	len = strcspn(host, "/");
	if (!is_host(host, len))
		return false;
	for (s = host + len; *s == '/'; s += len) {
		len = strcspn(++s, "/");
		if (!is_name(s, len))
			return false;
	}
	return s > host + strcspn(host, "/"); /* there is a bucket */
}

size_t
s3_url_bucket_len(const char *url)
{
	const char *bucket = strchr(after_scheme(url), '/') + 1;

	return (size_t)(bucket - url) + strcspn(bucket, "/");
}
