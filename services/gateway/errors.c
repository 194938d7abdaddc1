/*
 * gateway/errors.c - errors as HTTP clients see them; see errors.h.
 */
#include "gateway/errors.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define RETRY_DEFAULT_MS 1000
#define RETRY_MAX_MS     59000 /* SDKs ignore a retry-after of a minute or more */

/* What a code means when its error names no reason. */
struct kind {
	enum im_rc rc;
	const char *type, *code;
};

static const struct kind kinds[] = {
	{ IM_EINVAL, "invalid_request_error", NULL },
	{ IM_EAUTH, "invalid_request_error", "invalid_api_key" },
	{ IM_EPERM, "permission_error", "insufficient_permissions" },
	{ IM_ENOTFOUND, "invalid_request_error", NULL },
	{ IM_ETOOBIG, "invalid_request_error", "request_too_large" },
	{ IM_ELIMIT, "requests", "rate_limit_exceeded" },
	{ IM_ECANCELED, "invalid_request_error", "client_closed_request" },
	{ IM_EUPSTREAM, "server_error", "upstream_error" },
	{ IM_EDEADLINE, "server_error", "upstream_timeout" },
	{ IM_EMETHOD, "invalid_request_error", NULL },
	{ IM_EEXIST, "invalid_request_error", NULL },
};

static const struct kind *
kind_of(enum im_rc rc)
{
	static const struct kind other = { IM_EINTERNAL, "server_error", NULL };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].rc == rc)
			return &kinds[i];
	return &other;
}

static bool
reason_is(const struct im_err *err, const char *word)
{
	return strcmp(err->reason, word) == 0;
}

static bool
retry_is_vain(const struct api_error *e)
{
	if (strcmp(e->type, "insufficient_quota") == 0)
		return true;
	return e->status >= 400 && e->status < 500 && e->status != 408 && e->status != 409 &&
	       e->status != 429;
}

void
api_error_of(const struct im_err *err, struct api_error *ret)
{
	const struct kind *kind = kind_of(err->rc);

	*ret = (struct api_error){
		.status = im_rc_http(err->rc),
		.type = kind->type,
		.code = err->reason[0] != '\0' ? err->reason : kind->code,
		.param = err->param[0] != '\0' ? err->param : NULL,
		.message = err->text[0] != '\0' ? err->text : im_rc_text(err->rc),
	};
	if (err->rc == IM_OK) /* our bug, but never a success to the client */
		ret->status = 500;
	if (reason_is(err, "context_length_exceeded")) {
		ret->status = 400;
		ret->type = "invalid_request_error";
		if (strstr(ret->message, "maximum context length") == NULL)
			ret->message =
			    "The request is longer than this model's maximum context length.";
	} else if (reason_is(err, "insufficient_quota")) {
		ret->status = 429;
		ret->type = "insufficient_quota";
	} else if (err->rc == IM_ELIMIT) {
		ret->type = reason_is(err, "tokens") ? "tokens" : "requests";
		ret->code = kind->code;
	}
	ret->never_retry = retry_is_vain(ret);
	if (!ret->never_retry && (ret->status == 429 || ret->status == 503))
		ret->retry_after_ms =
		    err->retry_after_ms != 0 ? err->retry_after_ms : RETRY_DEFAULT_MS;
	if (ret->retry_after_ms > RETRY_MAX_MS)
		ret->retry_after_ms = RETRY_MAX_MS;
}

/* Words that programs inside the mesh use → those of the contract. Words that are not here are passed on. */
static const struct {
	const char *mesh, *code;
} words[] = {
	{ "link_lost", "router_unavailable" },
	{ "draining", "router_unavailable" },
	{ "backlog", "overloaded" },
	{ "too_many_calls", "overloaded" },
	{ "worker_busy", "overloaded" },
	{ "worker_draining", "no_healthy_worker" },
	{ "worker_stopped", "no_healthy_worker" },
	{ "deadline", "upstream_timeout" },
	{ "no_such_method", "upstream_error" },
};

static void
reason_set(struct im_err *err, const char *reason)
{
	(void)snprintf(err->reason, sizeof(err->reason), "%s", reason);
}

static void
translate_reason(struct im_err *err, const char *none)
{
	if (err->reason[0] == '\0')
		reason_set(err, none);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (reason_is(err, words[i].mesh))
			reason_set(err, words[i].code);
}

void
api_error_from_mesh(struct im_err *err)
{
	switch (err->rc) {
	case IM_EAUTH: /* a key of ours, not the caller's */
	case IM_EMETHOD:
	case IM_EPROTO:
	case IM_EEXIST:
		err->rc = IM_EUPSTREAM;
		translate_reason(err, "upstream_error");
		break;
	case IM_ETOOBIG: /* the request was taken, so it is the answer that did not fit */
		if (!reason_is(err, "context_length_exceeded") &&
		    !reason_is(err, "request_too_large")) {
			err->rc = IM_EUPSTREAM;
			translate_reason(err, "upstream_error");
		}
		break;
	case IM_ECANCELED: /* by the mesh: the caller's own leaving never comes back to us */
	case IM_EUNAVAILABLE:
		err->rc = IM_EUNAVAILABLE;
		translate_reason(err, "router_unavailable");
		break;
	case IM_EAGAIN:
		translate_reason(err, "overloaded");
		break;
	case IM_EDEADLINE:
		translate_reason(err, "upstream_timeout");
		break;
	default:
		break;
	}
}

static void
put_or_null(struct buf *out, const char *s)
{
	if (s == NULL)
		(void)buf_append_str(out, "null");
	else
		(void)json_put_cstr(out, s);
}

void
api_error_put(const struct api_error *e, struct buf *out)
{
	(void)buf_append_str(out, "{\"error\":{\"message\":");
	(void)json_put_cstr(out, e->message);
	(void)buf_append_str(out, ",\"type\":");
	(void)json_put_cstr(out, e->type);
	(void)buf_append_str(out, ",\"param\":");
	put_or_null(out, e->param);
	(void)buf_append_str(out, ",\"code\":");
	put_or_null(out, e->code);
	(void)buf_append_str(out, "}}");
}

void
api_error_headers(const struct api_error *e, struct api_error_headers *ret)
{
	uint32_t ms = e->retry_after_ms;

	ret->count = 0;
	ret->list[ret->count++] = (struct http_header){ "Content-Type", "application/json" };
	if (ms != 0) {
		(void)snprintf(ret->retry_after, sizeof(ret->retry_after), "%u", (ms + 999) / 1000);
		(void)snprintf(ret->retry_after_ms, sizeof(ret->retry_after_ms), "%u", ms);
		ret->list[ret->count++] = (struct http_header){ "retry-after", ret->retry_after };
		ret->list[ret->count++] =
		    (struct http_header){ "retry-after-ms", ret->retry_after_ms };
	}
	if (e->never_retry)
		ret->list[ret->count++] = (struct http_header){ "x-should-retry", "false" };
}
