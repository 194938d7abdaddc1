/*
 * gateway/models.c - see models.h. Asks each time: nothing is kept that could be out of date.
 */
#include "gateway/models.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "gateway/errors.h"
#include "gateway/mesh_link.h"

#define BUDGET_MS      10000 /* the router knows the answer without asking anybody */
#define LIST_MAX_BYTES (16UL * 1024 * 1024)

struct models {
	struct gateway_request *rq;
	struct call *call;
};

void
gateway_model_put(const struct model_info *model, struct buf *out)
{
	(void)buf_append_str(out, "{\"id\":");
	(void)json_put_cstr(out, model->id);
	(void)buf_printf(
	    out, ",\"object\":\"model\",\"created\":%" PRIu64 ",\"owned_by\":", model->created);
	(void)json_put_cstr(out, model->owned_by[0] != '\0' ? model->owned_by : "infermesh");
	(void)buf_append_byte(out, '}');
}

void
gateway_model_list_put(const struct model_list *list, struct buf *out)
{
	(void)buf_append_str(out, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			(void)buf_append_byte(out, ',');
		gateway_model_put(&list->models[i], out);
	}
	(void)buf_append_str(out, "]}");
}

static enum im_rc
put_answer(const struct gateway_request *rq, const struct model_list *list, struct buf *out,
	   struct im_err *err)
{
	const char *id = rq->match.arg;

	if (rq->match.route == ROUTE_MODELS) {
		gateway_model_list_put(list, out);
		return IM_OK;
	}
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->models[i].id, id) == 0) {
			gateway_model_put(&list->models[i], out);
			return IM_OK;
		}
	}
	return err_reason(err, IM_ENOTFOUND, "model_not_found",
			  "The model `%s` does not exist or you do not have access to it.", id);
}

static void
on_end(void *user, struct call *call, const struct im_err *why, const uint8_t *body, size_t len)
{
	static const struct http_header type = { "Content-Type", "application/json" };
	struct models *m = user;
	struct gateway_request *rq = m->rq;
	struct arena arena;
	struct model_list list;
	struct buf out = { 0 };
	struct im_err err = { 0 };
	enum im_rc rc = IM_OK;

	(void)call;
	free(m);
	arena_init(&arena, LIST_MAX_BYTES);
	if (why != NULL)
		err = *why;
	else
		rc = model_list_decode(body, len, &arena, &list, &err);
	if (why != NULL || rc != IM_OK) {
		api_error_from_mesh(&err);
		rc = err.rc;
	} else {
		rc = put_answer(rq, &list, &out, &err);
	}
	if (rc == IM_OK && !buf_ok(&out))
		rc = err_set(&err, IM_ENOMEM, "no memory for the list of models; try again later");
	arena_done(&arena);
	if (rc == IM_OK)
		gateway_request_reply(rq, 200, &type, 1, &out, NULL);
	else
		gateway_request_fail(rq, &err);
	buf_done(&out);
}

static void
models_drop(void *work)
{
	struct models *m = work;

	call_cancel(m->call);
	free(m);
}

static void
models_writable(void *work)
{
	(void)work; /* nothing is streamed */
}

void
gateway_models_begin(struct gateway_request *rq)
{
	static const struct request_work work = { .drop = models_drop,
						  .writable = models_writable };
	static const struct call_ops ops = { .end = on_end };
	const struct call_request req = {
		.method = METHOD_LIST_MODELS,
		.budget_ms = BUDGET_MS,
		.traceparent = rq->traceparent,
	};
	struct models *m = calloc(1, sizeof(*m));
	struct im_err err = { 0 };

	if (m == NULL) {
		(void)err_set(&err, IM_ENOMEM, "no memory for the list of models; try again later");
		gateway_request_fail(rq, &err);
		return;
	}
	if (gateway_link_call(rq->gateway, &req, &ops, m, &m->call, &err) != IM_OK) {
		free(m);
		gateway_request_fail(rq, &err);
		return;
	}
	m->rq = rq;
	rq->work = &work;
	rq->work_data = m;
}
