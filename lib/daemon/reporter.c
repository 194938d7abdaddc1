/*
 * daemon/reporter.c - reports on their way to the audit service; see reporter.h.
 */
#include "daemon/reporter.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"

#define APPEND_MS      5000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 10000

void
config_change_fill(struct config_change *ret, const char *daemon, const char *what,
		   const uint8_t digest[32], uint32_t uid)
{
	struct audit_event *e = &ret->event;

	*ret =
	    (struct config_change){ .event = { .kind = RECORD_CONFIG,
					       .has_request_id = true,
					       .caller = ret->actor,
					       .tenant = REPORT_OPERATOR,
					       .request_time_us = clock_wall_us(),
					       .has_config_digest = true,
					       .has_routing = true,
					       .routing = { .worker = daemon, .reason = what } } };
	(void)snprintf(ret->actor, sizeof(ret->actor), "uid:%u", (unsigned)uid);
	memcpy(e->config_digest, digest, sizeof(e->config_digest));
	random_bytes(e->request_id, sizeof(e->request_id));
}

void
config_change_start(struct config_change *ret, const char *daemon, const struct config *config)
{
	uint8_t digest[32];
	struct stat st;

	config_digest(config, digest);
	if (stat(config_file(config), &st) != 0)
		st.st_uid = geteuid();
	config_change_fill(ret, daemon, REPORT_START, digest, st.st_uid);
}

static void
retry_later(struct reporter *r)
{
	r->backoff_ms = r->backoff_ms == 0                   ? BACKOFF_MIN_MS
			: r->backoff_ms < BACKOFF_MAX_MS / 2 ? r->backoff_ms * 2
							     : BACKOFF_MAX_MS;
	if (loop_timer_set(r->loop, &r->retry, r->backoff_ms * UINT64_C(1000)) != IM_OK)
		log_error("no memory: what changed is told to the audit log with the next change");
}

static void
append_failed(struct reporter *r, const struct im_err *why)
{
	if (!r->told)
		log_warn("the audit log does not take what changed here; trying again",
			 LOG_STR("error.message", why->text));
	r->told = true;
	retry_later(r);
}

static void
append_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct reporter *r = user;

	(void)call;
	(void)body;
	(void)len;
	r->call = NULL;
	if (err != NULL) {
		append_failed(r, err);
		return;
	}
	for (size_t i = 0; i < r->sending; i++)
		buf_done(&r->report[i]);
	r->count -= r->sending;
	memmove(r->report, r->report + r->sending, r->count * sizeof(r->report[0]));
	r->sending = 0;
	r->backoff_ms = 0;
	r->told = false;
	loop_post_last(r->loop, &r->hang_up); /* or go on, if more came */
}

/* Everything that waits as one Append: the bytes of several messages behind each other are one with all their events. */
static void
send_all(struct reporter *r)
{
	static const struct call_ops ops = { .end = append_end };
	struct call_request req = { .method = METHOD_AUDIT_APPEND, .budget_ms = APPEND_MS };
	struct buf body = { 0 };
	struct im_err err;
	enum im_rc rc;

	if (r->link == NULL || r->call != NULL || r->count == 0 || loop_timer_armed(&r->retry))
		return;
	for (size_t i = 0; i < r->count; i++)
		(void)buf_append(&body, r->report[i].data, r->report[i].len);
	req.body = body.data;
	req.body_len = body.len;
	rc = buf_ok(&body) ? call_start(r->link, &req, &ops, r, &r->call, &err)
			   : err_set(&err, IM_ENOMEM, "no memory to send it");
	buf_done(&body);
	if (rc == IM_OK) {
		r->sending = r->count;
		return;
	}
	r->call = NULL;
	append_failed(r, &err);
}

static void
on_retry(void *arg)
{
	send_all(arg);
}

static void
on_up(void *user, struct link *link)
{
	struct reporter *r = user;

	r->link = link;
	send_all(r);
}

static void
on_down(void *user, struct link *link, const struct im_err *why)
{
	struct reporter *r = user;

	(void)why;
	if (r->link == link)
		r->link = NULL; /* 'end' of the call came before */
}

static void
dial(struct reporter *r)
{
	static const struct endpoint_ops ops = { .up = on_up, .down = on_down };
	struct im_err err;

	if (r->ep == NULL && net_dial(r->net, r->url, &ops, r, &r->ep, &err) != IM_OK) {
		r->ep = NULL;
		append_failed(r, &err);
	}
}

/* All is told: nobody keeps a link for what happens once a week. */
static void
on_hang_up(void *arg)
{
	struct reporter *r = arg;

	if (r->count > 0) {
		send_all(r);
		return;
	}
	endpoint_close(r->ep);
	r->ep = NULL;
	r->link = NULL;
}

void
reporter_init(struct reporter *r, struct loop *loop, struct net *net, const char *url)
{
	*r = (struct reporter){ .loop = loop, .net = net, .url = url };
	random_bytes(r->id, sizeof(r->id));
	r->retry = (struct loop_timer){ .fn = on_retry, .arg = r };
	r->hang_up = (struct loop_task){ .fn = on_hang_up, .arg = r };
}

void
reporter_submit(struct reporter *r, const struct config_change *report)
{
	struct audit_append one = { .count = 1 };
	struct audit_event event;
	struct buf *to;

	if (r == NULL || r->url == NULL)
		return;
	if (r->count == REPORTS_MAX) {
		log_error("the audit log is away for too long: a change is not told to it");
		return;
	}
	event = report->event;
	one.events = &event;
	memcpy(event.reporter, r->id, sizeof(event.reporter));
	event.has_reporter = true;
	to = &r->report[r->count];
	*to = (struct buf){ 0 };
	audit_append_encode(&one, to);
	if (!buf_ok(to)) {
		buf_done(to);
		log_error("no memory: a change is not told to the audit log");
		return;
	}
	r->count++;
	dial(r);
	send_all(r);
}

void
reporter_stop(struct reporter *r)
{
	if (r->loop == NULL)
		return;
	if (r->call != NULL)
		call_cancel(r->call);
	r->call = NULL;
	loop_timer_cancel(r->loop, &r->retry);
	loop_cancel(r->loop, &r->hang_up);
	endpoint_close(r->ep);
	r->ep = NULL;
	for (size_t i = 0; i < r->count; i++)
		buf_done(&r->report[i]);
	r->count = 0;
	r->url = NULL;
}
