/*
 * cli/audit_http.h - a log that somebody publishes by HTTP: any static web server with the log's folder, or the pages of an
 * audit service. Blocking; while somebody walks through it, the next files are
 * fetched ahead, over at most six connections. Believes nothing: what it gets is checked by hashes.
 */
#ifndef CLI_AUDIT_HTTP_H
#define CLI_AUDIT_HTTP_H

#include "audit/source.h"

struct http_log;

/** True for http:// and https:// addresses. */
bool http_log_is(const char *where);

/** 'ret' reads below 'url', which it points to. Nothing is asked yet. A file that could not be had for a reason that may pass
 *  (no connection, 5xx, 429) is asked for three times. IM_EINVAL, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc http_log_open(const char *url, struct audit_source *ret,
				       struct http_log **ret_log, struct im_err *err);

/** NULL is fine. */
void http_log_close(struct http_log *log);

#endif
