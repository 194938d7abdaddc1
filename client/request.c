/*
 * client/request.c - requests as programs put them together; see infermesh.h. Remembers what is wrong instead of failing.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client.h"

#define REQUEST_MAX_BYTES (16u << 20) /* of all strings; the wire takes no larger frame */
#define JSON_DEPTH        64

static void
wrong(struct infermesh_request *req, enum im_rc rc, const char *text)
{
	if (req->wrong.rc == IM_OK)
		(void)err_set(&req->wrong, rc, "%s", text);
}

/* A copy in the request's memory; "" when there is none left. */
static const char *
copy(struct infermesh_request *req, const char *s)
{
	char *c;

	if (s == NULL)
		return NULL;
	c = arena_strdup(&req->arena, s);
	if (c == NULL)
		wrong(req,
		      req->arena.used_bytes + strlen(s) >= REQUEST_MAX_BYTES ? IM_ETOOBIG
									     : IM_ENOMEM,
		      "the request does not fit into memory; make it smaller");
	return c != NULL ? c : "";
}

struct infermesh_request *
infermesh_request_new(const char *model)
{
	struct infermesh_request *req = calloc(1, sizeof(*req));

	if (req == NULL)
		return NULL;
	arena_init(&req->arena, REQUEST_MAX_BYTES);
	req->timeout_ms = CLIENT_TIMEOUT_MS;
	req->req.model = copy(req, model);
	req->req.stop = req->stops;
	return req;
}

void
infermesh_request_free(struct infermesh_request *req)
{
	if (req == NULL)
		return;
	free(req->req.messages);
	arena_done(&req->arena);
	free(req);
}

static struct message *
add_message(struct infermesh_request *req, const char *role, const char *content)
{
	struct generate_request *r = &req->req;
	struct message *m;

	if (r->message_count == GENERATE_MESSAGES_MAX) {
		wrong(req, IM_ETOOBIG, "a request has at most 8192 messages");
		return NULL;
	}
	if (r->message_count == req->message_cap) {
		size_t cap = req->message_cap == 0 ? 8 : req->message_cap * 2;

		m = realloc(r->messages, cap * sizeof(*m));
		if (m == NULL) {
			wrong(req, IM_ENOMEM, "no memory for a message");
			return NULL;
		}
		r->messages = m;
		req->message_cap = cap;
	}
	m = &r->messages[r->message_count++];
	memset(m, 0, sizeof(*m));
	m->role = copy(req, role);
	m->content = copy(req, content);
	return m;
}

void
infermesh_request_message(struct infermesh_request *req, const char *role, const char *content)
{
	(void)add_message(req, role, content);
}

void
infermesh_request_tool_result(struct infermesh_request *req, const char *tool_call_id,
			      const char *content)
{
	struct message *m = add_message(req, "tool", content);

	if (m != NULL)
		m->tool_call_id = copy(req, tool_call_id);
}

/* A copy of 'json' if it is JSON. */
static const char *
copy_json(struct infermesh_request *req, const char *member, const char *json)
{
	struct im_err err = { .rc = IM_EINVAL };

	if (json == NULL)
		return NULL;
	if (json_check(json, strlen(json), JSON_DEPTH, &err) != IM_OK) {
		err_prefix(&err, "%s", member);
		if (req->wrong.rc == IM_OK)
			req->wrong = err;
		return NULL;
	}
	return copy(req, json);
}

void
infermesh_request_message_json(struct infermesh_request *req, const char *member, const char *json)
{
	struct message *m;

	if (req->req.message_count == 0) {
		wrong(req, IM_EINVAL, "there is no message yet that could have members");
		return;
	}
	m = &req->req.messages[req->req.message_count - 1];
	if (strcmp(member, "content") == 0) {
		m->content = NULL;
		m->content_json = copy_json(req, member, json);
	} else if (strcmp(member, "tool_calls") == 0) {
		m->tool_calls_json = copy_json(req, member, json);
	} else {
		wrong(req, IM_EINVAL, "JSON members of a message are content and tool_calls");
	}
}

void
infermesh_request_temperature(struct infermesh_request *req, double temperature)
{
	req->req.temperature = (struct opt_double){ .set = true, .v = temperature };
}

void
infermesh_request_top_p(struct infermesh_request *req, double top_p)
{
	req->req.top_p = (struct opt_double){ .set = true, .v = top_p };
}

void
infermesh_request_seed(struct infermesh_request *req, int64_t seed)
{
	req->req.seed = (struct opt_i64){ .set = true, .v = seed };
}

void
infermesh_request_max_tokens(struct infermesh_request *req, uint32_t max_tokens)
{
	req->req.max_tokens = (struct opt_u32){ .set = true, .v = max_tokens };
}

void
infermesh_request_stop(struct infermesh_request *req, const char *text)
{
	if (req->req.stop_count == GENERATE_STOPS_MAX)
		wrong(req, IM_EINVAL, "a request has at most 16 stop texts");
	else
		req->stops[req->req.stop_count++] = copy(req, text);
}

void
infermesh_request_json(struct infermesh_request *req, const char *member, const char *json)
{
	const struct {
		const char *member, **at;
	} members[] = {
		{ "tools", &req->req.tools_json },
		{ "tool_choice", &req->req.tool_choice_json },
		{ "response_format", &req->req.response_format_json },
		{ "extra", &req->req.extra_json },
	};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (strcmp(member, members[i].member) == 0) {
			*members[i].at = copy_json(req, member, json);
			return;
		}
	}
	wrong(req, IM_EINVAL,
	      "JSON members of a request are tools, tool_choice, response_format and extra");
}

void
infermesh_request_caller(struct infermesh_request *req, const char *caller, const char *tenant)
{
	req->req.caller = copy(req, caller);
	req->req.tenant = copy(req, tenant);
}

void
infermesh_request_traceparent(struct infermesh_request *req, const char *traceparent)
{
	req->traceparent = copy(req, traceparent);
}

void
infermesh_request_timeout(struct infermesh_request *req, uint32_t timeout_ms)
{
	req->timeout_ms = timeout_ms;
}

void
infermesh_request_priority(struct infermesh_request *req, int32_t priority)
{
	req->priority = priority;
}

void
infermesh_request_no_cache(struct infermesh_request *req)
{
	req->req.cache_no_cache = req->req.cache_no_store = true;
}

enum im_rc
client_encode(const struct infermesh_request *req, bool stream, struct buf *body,
	      struct im_err *err)
{
	struct generate_request r = req->req;

	if (req->wrong.rc != IM_OK) {
		*err = req->wrong;
		return err->rc;
	}
	if (r.model == NULL || r.model[0] == '\0')
		return err_set(err, IM_EINVAL, "the request names no model");
	if (r.message_count == 0)
		return err_set(err, IM_EINVAL, "the request has no message");
	r.stream = stream;
	generate_request_encode(&r, body);
	if (!buf_ok(body))
		return err_set(err, IM_ENOMEM, "no memory for the request");
	return IM_OK;
}
