/*
 * daemon/admin.c - the pages that every daemon has: /metrics, /livez, /readyz. Read only; it changes nothing and asks nobody.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "daemon/host_internal.h"
#include "http/http.h"

#define METRICS_PAGE_MAX (16UL * 1024 * 1024)

struct admin {
	struct http_server *server;
	struct host *host;
};

static void
reply_json(struct http_exchange *x, int status, struct buf *body, const struct http_header *extra)
{
	struct http_header headers[2] = { { "Content-Type", "application/json" } };

	if (extra != NULL)
		headers[1] = *extra;
	if (!buf_ok(body))
		http_reply(x, 503, headers, 1, "{}", 2);
	else
		http_reply(x, status, headers, extra != NULL ? 2 : 1, body->data, body->len);
}

static void
put_error(struct buf *body, const char *text)
{
	(void)buf_append_str(body, "{\"error\":{\"message\":");
	(void)json_put_cstr(body, text);
	(void)buf_append_str(body, "}}\n");
}

static void
reply_metrics(struct admin *a, struct http_exchange *x)
{
	static const struct http_header type = { "Content-Type",
						 "text/plain; version=0.0.4; charset=utf-8" };
	struct metrics_page page = { .out = BUF_INIT(METRICS_PAGE_MAX) };

	host_metrics(a->host, &page);
	if (buf_ok(&page.out))
		http_reply(x, 200, &type, 1, page.out.data, page.out.len);
	else
		http_reply(x, 503, &type, 1, "# not enough memory\n", 20);
	buf_done(&page.out);
}

static void
reply_ready(struct admin *a, struct http_exchange *x)
{
	struct buf why = BUF_INIT(4096), body = { 0 };
	bool ready;

	host_ready_one(a->host, &why);
	ready = why.len == 0 && buf_ok(&why);
	if (ready) {
		(void)buf_append_str(&body, "{\"status\":\"ready\"}\n");
	} else {
		(void)buf_append_str(&body, "{\"status\":\"not ready\",\"reason\":");
		(void)json_put_string(&body, (const char *)why.data, why.len);
		(void)buf_append_str(&body, "}\n");
	}
	reply_json(x, ready ? 200 : 503, &body, NULL);
	buf_done(&why);
	buf_done(&body);
}

static void
on_request(void *user, struct http_exchange *x)
{
	static const struct http_header allow = { "Allow", "GET, HEAD" };
	struct admin *a = user;
	const char *path = http_path(x), *method = http_method(x);
	struct buf body = { 0 };
	bool known = strcmp(path, "/metrics") == 0 || strcmp(path, "/livez") == 0 ||
		     strcmp(path, "/readyz") == 0;

	if (known && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		put_error(&body, "this page is only read: use GET");
		reply_json(x, 405, &body, &allow);
	} else if (strcmp(path, "/metrics") == 0) {
		reply_metrics(a, x);
	} else if (strcmp(path, "/readyz") == 0) {
		reply_ready(a, x);
	} else if (strcmp(path, "/livez") == 0) {
		(void)buf_append_str(&body, "{\"status\":\"alive\"}\n");
		reply_json(x, 200, &body, NULL);
	} else {
		put_error(&body, "no such page; there are /metrics, /livez and /readyz");
		reply_json(x, 404, &body, NULL);
	}
	buf_done(&body);
}

static void
on_gone(void *user, struct http_exchange *x)
{
	(void)user;
	/* Every request is answered inside on_request(): nobody waits here. */
	http_abort(x);
}

static const char *
on_refused(void *user, int status, const char *text, struct buf *body)
{
	(void)user;
	(void)status;
	put_error(body, text);
	return "application/json";
}

enum im_rc
admin_open(struct host *host, const char *listen, struct admin **ret_admin, struct im_err *err)
{
	static const struct http_ops ops = { .request = on_request,
					     .gone = on_gone,
					     .refused = on_refused };
	const struct http_params params = {
		.listen = listen, .header_bytes = 8192, .body_bytes = 1024, .max_connections = 64
	};
	struct admin *a = calloc(1, sizeof(*a));
	enum im_rc rc;

	if (a == NULL)
		return err_set(err, IM_ENOMEM, "not enough memory for the pages of %s", host->name);
	a->host = host;
	rc = http_server_open(host->loop, &params, &ops, a, &a->server, err);
	if (rc != IM_OK) {
		err_prefix(
		    err, "metrics and health pages of %s at %s (change or switch off '%s.admin')",
		    host->name, listen, host->env.item != NULL ? "workers[]" : host->ops->name);
		free(a);
		return rc;
	}
	*ret_admin = a;
	return IM_OK;
}

const char *
admin_address(const struct admin *a)
{
	return http_server_address(a->server);
}

void
admin_close(struct admin *a)
{
	if (a == NULL)
		return;
	http_server_close(a->server);
	free(a);
}
