/*
 * inference/errors.c - see errors.h. Shapes understood:
 *   {"error":{"message","type","param","code"}}   OpenAI, DeepSeek, vLLM (integer code), llama-server
 *   {"error":"text"}                              Ollama and small servers
 *   {"object":"error","message","type","code"}    older vLLM
 *   {"detail":"text"} or {"detail":[…]}           FastAPI's own validation
 */
#include "inference/errors.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"

#define REPORT_DEPTH_MAX 32
#define REPORT_ARENA_MAX (4 * ERRORS_BODY_MAX)

/* What a body said; absent members are "". */
struct report {
	const char *message, *type, *param, *code;
	bool shaped; /* it was an error object and no FastAPI detail, page or nothing */
};

static const char *
text_of(struct json_span v, struct arena *a)
{
	const char *text = NULL;

	if (json_type(v) == JSON_STRING)
		text = json_string(v, a);
	else if (json_type(v) != JSON_NULL)
		text = json_verbatim(v, a);
	return text != NULL ? text : "";
}

static void
report_read(struct json_span root, struct arena *a, struct report *r)
{
	enum {
		ERROR,
		OBJECT,
		DETAIL,
		ROOT_MEMBERS
	};
	enum {
		MESSAGE,
		TYPE,
		PARAM,
		CODE,
		MEMBERS
	};
	static const char *const root_names[] = { "error", "object", "detail" };
	static const char *const names[] = { "message", "type", "param", "code" };
	struct json_span top[ROOT_MEMBERS], v[MEMBERS];

	*r = (struct report){ .message = "", .type = "", .param = "", .code = "" };
	if (!json_members(root, root_names, ROOT_MEMBERS, top))
		return;
	if (json_type(top[ERROR]) == JSON_STRING) {
		r->shaped = true;
		r->message = text_of(top[ERROR], a);
		return;
	}
	if (!json_members(top[ERROR], names, MEMBERS, v)) {
		if (strcmp(text_of(top[OBJECT], a), "error") != 0) {
			r->message = text_of(top[DETAIL], a);
			return;
		}
		(void)json_members(root, names, MEMBERS, v);
	}
	r->shaped = true;
	r->message = text_of(v[MESSAGE], a);
	r->type = text_of(v[TYPE], a);
	r->param = text_of(v[PARAM], a);
	r->code = text_of(v[CODE], a);
}

bool
errors_is_report(struct json_span error, struct json_span object)
{
	if (error.len > 0)
		return json_type(error) == JSON_OBJECT || json_type(error) == JSON_STRING;
	return json_is(object, "\"error\"");
}

static bool
contains(const char *text, const char *piece)
{
	return strcasestr(text, piece) != NULL;
}

/* The prompt does not fit: each server has words of its own for it. */
static bool
is_context_overflow(const struct report *r)
{
	return contains(r->message, "maximum context length") ||
	       strcmp(r->code, "context_length_exceeded") == 0 ||
	       strcmp(r->type, "exceed_context_size_error") == 0 ||
	       contains(r->message, "exceeds the available context size");
}

static enum im_rc
context_overflow(const struct report *r, struct im_err *err)
{
	if (contains(r->message, "maximum context length"))
		return err_reason(err, IM_EINVAL, "context_length_exceeded", "%s", r->message);
	/* Clients look for these three words. */
	return err_reason(err, IM_EINVAL, "context_length_exceeded",
			  "the request is longer than the model's maximum context length: %s",
			  r->message);
}

/* Milliseconds of "12", "0.5" or a date; 0 = not said or not understood. */
static uint32_t
retry_ms(const struct upstream_reply *reply)
{
	const char *text = reply->retry_after_ms;
	double scale = 1;
	double value;
	char *end;

	if (text == NULL || text[0] == '\0') {
		text = reply->retry_after;
		scale = 1000;
	}
	if (text == NULL || text[0] == '\0')
		return 0;
	value = strtod(text, &end);
	if (end == text || *end != '\0') {
		time_t at = curl_getdate(text, NULL);

		if (at < 0)
			return 0;
		value = at > reply->now_s ? (double)(at - reply->now_s) : 0;
		scale = 1000;
	}
	value *= scale;
	if (!(value > 0))
		return 0;
	return value > ERRORS_RETRY_MAX_S * 1000.0 ? ERRORS_RETRY_MAX_S * 1000u : (uint32_t)value;
}

static const char *
message_or(const struct report *r, const char *otherwise)
{
	return r->message[0] != '\0' ? r->message : otherwise;
}

static enum im_rc
bad_request(const struct report *r, long status, struct im_err *err)
{
	static const char *const known[] = { "missing_required_parameter", "invalid_type",
					     "invalid_value" };
	const char *reason = "";

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(r->code, known[i]) == 0)
			reason = known[i];
	err_reason(err, IM_EINVAL, reason, "%s",
		   message_or(r, status == 422 ? "the upstream refused a parameter"
					       : "the upstream refused the request"));
	if (err != NULL && strcmp(r->param, "null") != 0)
		(void)snprintf(err->param, sizeof(err->param), "%s", r->param);
	return IM_EINVAL;
}

static enum im_rc
not_found(const struct report *r, const char *model, struct im_err *err)
{
	if (!r->shaped)
		return err_reason(
		    err, IM_EUPSTREAM, "upstream_error",
		    "the upstream serves nothing at this address: check workers[].url");
	if (model == NULL)
		return err_reason(err, IM_ENOTFOUND, "model_not_found", "%s",
				  message_or(r, "the upstream does not know the model"));
	return err_reason(err, IM_ENOTFOUND, "model_not_found",
			  "The model `%s` does not exist or you do not have access to it.",
			  model != NULL ? model : "");
}

static enum im_rc
unavailable(const struct report *r, long status, struct im_err *err)
{
	if (contains(r->message, "loading model"))
		return err_reason(err, IM_EUNAVAILABLE, "upstream_error",
				  "the upstream is still loading its model: try again in a moment");
	return err_reason(err, IM_EUPSTREAM, "upstream_error",
			  "the upstream failed with status %ld%s%.200s", status,
			  r->message[0] != '\0' ? ": " : "", r->message);
}

static enum im_rc
from_status(const struct report *r, long status, const char *model, struct im_err *err)
{
	if (is_context_overflow(r))
		return context_overflow(r, err);
	switch (status) {
	case 400:
	case 422:
		return bad_request(r, status, err);
	case 401:
	case 403:
		return err_reason(err, IM_EUPSTREAM, "upstream_error",
				  "the upstream refused our key: check workers[].api_key_file");
	case 402:
		return err_reason(err, IM_ELIMIT, "insufficient_quota",
				  "our balance at the upstream is used up: top it up there");
	case 404:
		return not_found(r, model, err);
	case 408:
	case 429:
		return err_reason(err, IM_ELIMIT, "rate_limit_exceeded",
				  "the upstream limits us: %s",
				  message_or(r, "too many requests, try again later"));
	case 413:
		return err_reason(err, IM_ETOOBIG, "request_too_large", "%s",
				  message_or(r, "the request is larger than the upstream takes"));
	default:
		break;
	}
	if (status >= 300 && status < 400) {
		return err_reason(
		    err, IM_EUPSTREAM, "upstream_error",
		    "the upstream answered with a redirect (%ld), which is not followed: check workers[].url",
		    status);
	}
	return unavailable(r, status, err);
}

enum im_rc
errors_from_reply(const struct upstream_reply *reply, struct im_err *err)
{
	struct json_span root = { "", 0 };
	struct arena a;
	struct report r;
	enum im_rc rc;

	arena_init(&a, REPORT_ARENA_MAX);
	if (reply->body != NULL)
		root = json_trim(reply->body, reply->body_len);
	if (root.len == 0 || json_check(root.at, root.len, REPORT_DEPTH_MAX, NULL) != IM_OK)
		root = (struct json_span){ "", 0 };
	report_read(root, &a, &r);
	rc = from_status(&r, reply->status, reply->model, err);
	arena_done(&a);
	if (rc == IM_ELIMIT || rc == IM_EUNAVAILABLE || rc == IM_EUPSTREAM)
		err->retry_after_ms = retry_ms(reply);
	if (rc == IM_EUPSTREAM && reply->status == 503 && err->retry_after_ms > 0)
		rc = err->rc = IM_EUNAVAILABLE; /* not broken: it asks for a pause */
	if (rc == IM_EUNAVAILABLE && err->retry_after_ms == 0)
		err->retry_after_ms = 1000;
	return rc;
}

enum im_rc
errors_from_report(struct json_span root, struct im_err *err)
{
	struct arena a;
	struct report r;
	char *end;
	long status;
	enum im_rc rc;

	arena_init(&a, REPORT_ARENA_MAX);
	report_read(root, &a, &r);
	/* vLLM puts the status that it can no longer send into the code. */
	status = strtol(r.code, &end, 10);
	if (end == r.code || *end != '\0' || status < 400 || status > 599)
		status = 500;
	if (status == 500 && !is_context_overflow(&r)) {
		rc = err_reason(err, IM_EUPSTREAM, "upstream_error",
				"the upstream broke off with an error: %.300s",
				message_or(&r, "it says no more"));
	} else {
		rc = from_status(&r, status, NULL, err);
	}
	arena_done(&a);
	return rc;
}
