/*
 * audit/witness_call.h - one connection to one witness: a request out, its answer in, both bounded, by libcurl. Knows nothing of
 * what an answer means. On the thread of its CURLM.
 */
#ifndef AUDIT_WITNESS_CALL_H
#define AUDIT_WITNESS_CALL_H

#include "daemon/curl_late.h"

#include "base/buf.h"
#include "base/err.h"

#define WITNESS_CALL_CONNECT_MS 5000L
#define WITNESS_CALL_MS         15000L /* all of it */
#define WITNESS_CALL_BODY_MAX   16384  /* bytes of an answer */

struct witness_call {
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers;
	struct buf request, body;
	bool running;
	char why[CURL_ERROR_SIZE];
};

/** For 'url', a slash at its end or none, and 'user', which CURLINFO_PRIVATE gives back. On failure witness_call_done() is still fine. */
IM_MUST_CHECK enum im_rc witness_call_init(struct witness_call *c, CURLM *multi, const char *url,
					   const char *ca_file, void *user, struct im_err *err);
void witness_call_done(struct witness_call *c);

/** Send c->request, which the caller has filled. False: no memory; nothing runs. */
bool witness_call_begin(struct witness_call *c);

/** It is over with 'code'. '*ret_status' is the HTTP status, 0 for none with the reason in c->why; '*ret_is_size': the body is of the type of a
 *  tree size. c->body holds until the next begin. */
void witness_call_end(struct witness_call *c, CURLcode code, int *ret_status, bool *ret_is_size);

#endif
