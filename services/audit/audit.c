/*
 * audit/audit.c - the audit service: calls in, commit jobs out, answers when they are durable; see audit.h.
 *
 * All state here lives on the loop. The log itself belongs to the commit thread (committer.h) between start and stop.
 */
#include "audit/audit.h"

#include <stdlib.h>
#include <string.h>

#include "audit/audit_keys.h"
#include "audit/audit_metrics.h"
#include "audit/audit_witnesses.h"
#include "audit/committer.h"
#include "audit/operator.h"
#include "audit/pages.h"
#include "audit/turn.h"
#include "base/clock.h"
#include "base/log.h"
#include "wire/audit_admin.h"
#include "wire/mesh.h"

#define APPEND_ARENA_MAX ((size_t)32 * 1024 * 1024) /* memory of one decoded Append */

struct audit {
	struct loop *loop;
	struct endpoint *listener;
	struct pages *pages;     /* NULL: the log is not served by HTTP */
	struct endpoint *inside; /* for the other services of a single process */
	struct keyfile keys;
	struct audit_log *log;
	struct committer *committer;
	struct witnesses *witnesses; /* NULL: there are none */
	struct retention retention;
	char subjects[DISK_PATH_MAX]; /* file of subjects' keys */
	uint64_t failures;            /* commits, when last looked at */
	bool unpublished;             /* the log knows that publishing fails */
	struct audit_event stop_event;
	loop_fn stopped;
	void *stopped_arg;
};

/* One Audit/Append that is being answered. */
struct append {
	struct commit_job job;
	struct arena arena;
	struct audit *audit;
	struct served
	    *served; /* NULL after the caller gave up: its records are committed all the same */
	size_t body_len;
	uint8_t *body; /* behind the indices */
	uint64_t index[];
};

static void
append_free(struct append *a)
{
	arena_done(&a->arena);
	free(a->job.checkpoint);
	free(a);
}

static void
append_cancelled(void *user, struct served *served)
{
	struct append *a = user;

	a->served = NULL;
	served_end(served, NULL, NULL, 0);
}

/* Say once that the log takes nothing, and once that it does again. */
static void
note_trouble(struct audit *audit, const struct im_err *err)
{
	if (err->rc != IM_OK && audit->failures++ == 0)
		log_error("the audit log takes no records", LOG_STR("error.message", err->text));
	if (err->rc == IM_OK && audit->failures > 0) {
		log_info("the audit log takes records again",
			 LOG_UINT("infermesh.audit.refused", audit->failures));
		audit->failures = 0;
	}
}

/* Say once that what is durable cannot be published, and once that it is again. */
static void
note_publishing(struct audit *audit)
{
	struct im_err err;
	bool failing = publisher_trouble(&audit->log->publisher, &err) != IM_OK;

	if (failing && !audit->unpublished)
		log_warn("the audit log takes records and cannot publish them",
			 LOG_STR("error.message", err.text));
	if (!failing && audit->unpublished)
		log_info("the audit log publishes again");
	audit->unpublished = failing;
}

static void
append_done(void *user, struct commit_job *job)
{
	struct append *a = user;
	struct audit_appended reply = { job->index, job->events.count, job->checkpoint };
	struct buf out = BUF_INIT(0);
	struct im_err err = job->err;

	if (!job->malformed)
		note_trouble(a->audit, &job->err);
	note_publishing(a->audit);
	if (err.rc == IM_OK) {
		audit_appended_encode(&reply, &out);
		if (!buf_ok(&out))
			(void)err_set(&err, IM_ENOMEM, "no memory for an answer");
	}
	if (a->served != NULL)
		served_end(a->served, err.rc == IM_OK ? NULL : &err, out.data, out.len);
	buf_done(&out);
	append_free(a);
}

/* What a peer may have recorded. */
static enum im_rc
check_event(const struct audit_event *e, struct im_err *err)
{
	switch (e->kind) {
	case RECORD_START:
	case RECORD_STOP:
	case RECORD_PRUNE:
	case RECORD_ERASE:
	case RECORD_KEY_ROTATE:
		return err_set(err, IM_EPERM, "only the audit service itself writes %s records",
			       record_kind_text(e->kind));
	case RECORD_REQUEST:
	case RECORD_RESPONSE:
		if (!e->has_request_id)
			return err_set(err, IM_EINVAL, "a %s has a request_id",
				       record_kind_text(e->kind));
		break;
	default:
		break;
	}
	if ((e->has_input || e->has_output) && !e->has_request_id)
		return err_set(err, IM_EINVAL,
			       "an event with input_sha256 or output_sha256 has a request_id");
	if (audit_log_event_bytes(e) > BUNDLE_ENTRY_MAX)
		return err_set(err, IM_ETOOBIG,
			       "the event is too large: a record holds at most %d bytes",
			       BUNDLE_ENTRY_MAX);
	return IM_OK;
}

/* On the commit thread. */
static enum im_rc
append_decode(struct commit_job *job, struct im_err *err)
{
	struct append *a = job->user;
	struct audit_append events;
	enum im_rc rc = audit_append_decode(a->body, a->body_len, &a->arena, &events, err);

	for (size_t i = 0; rc == IM_OK && i < events.count; i++) {
		rc = check_event(&events.events[i], err);
		if (rc != IM_OK)
			err_prefix(err, "events[%zu]", i);
	}
	if (rc == IM_OK && events.count != job->events.count) /* there are so many indices */
		rc = err_set(err, IM_EPROTO, "events: %zu, and %zu were counted", events.count,
			     job->events.count);
	if (rc != IM_OK)
		return rc;
	job->events = events;
	return IM_OK;
}

static enum im_rc
append_new(struct audit *audit, struct served *served, const struct served_request *req,
	   struct append **ret, struct im_err *err)
{
	size_t count = audit_append_count(req->body, req->body_len);
	size_t bytes = sizeof(struct append) + count * sizeof(uint64_t) + req->body_len;
	struct append *a;

	if (count == 0)
		return err_set(err, IM_EINVAL, "events: allowed are 1 to %d, well-formed",
			       AUDIT_EVENTS_MAX);
	a = malloc(bytes);
	if (a == NULL)
		return err_set(err, IM_ENOMEM, "no memory for an append");
	*a = (struct append){ .audit = audit, .served = served, .body_len = req->body_len };
	a->body = (uint8_t *)&a->index[count];
	memcpy(a->body, req->body, req->body_len);
	arena_init(&a->arena, APPEND_ARENA_MAX);
	a->job = (struct commit_job){ .events.count = count,
				      .prepare = append_decode,
				      .index = a->index,
				      .bytes = bytes,
				      .done = append_done,
				      .user = a };
	*ret = a;
	return IM_OK;
}

static void
serve_append(struct audit *audit, struct served *served, const struct served_request *req)
{
	static const struct served_ops ops = { .cancelled = append_cancelled };
	struct append *a = NULL;
	struct im_err err;
	enum im_rc rc = append_new(audit, served, req, &a, &err);

	/* 'done' comes through the loop, so never before this callback returned. */
	if (rc == IM_OK)
		rc = committer_submit(audit->committer, &a->job, &err);
	if (rc == IM_OK) {
		served_accept(served, &ops, a);
		return;
	}
	if (a != NULL)
		append_free(a);
	served_end(served, &err, NULL, 0);
}

static void
serve_status(struct audit *audit, struct served *served)
{
	struct commit_stats s;
	struct buf out = BUF_INIT(0);
	struct audit_status status;
	struct im_err err;

	note_publishing(audit);
	committer_stats(audit->committer, &s);
	status = (struct audit_status){
		.origin = s.origin,
		.state = s.trouble.rc == IM_OK ? "writable" : s.trouble.text,
		.vkey = s.vkey,
		.dir = audit->log->dir,
		.size = s.size,
		.published_size = s.published,
		.open_requests = s.open_requests,
	};
	audit_witnesses_status(audit->witnesses, &status);
	audit_status_encode(&status, &out);
	(void)err_set(&err, IM_ENOMEM, "no memory for an answer");
	served_end(served, buf_ok(&out) ? NULL : &err, out.data, out.len);
	buf_done(&out);
}

static void
on_request(void *user, struct link *link, struct served *served, const struct served_request *req)
{
	struct audit *audit = user;
	struct commit_stats s;
	struct im_err err;

	if (strcmp(req->method, METHOD_AUDIT_APPEND) == 0) {
		serve_append(audit, served, req);
	} else if (strcmp(req->method, METHOD_AUDIT_STATUS) == 0) {
		serve_status(audit, served);
	} else if (strcmp(req->method, METHOD_AUDIT_WITNESSES) == 0) {
		committer_stats(audit->committer, &s);
		audit_witnesses_serve(audit->witnesses, s.origin,
				      publisher_published(&audit->log->publisher), served);
	} else if (!operator_request(audit->committer, link_peer(link), served, req)) {
		(void)err_set(&err, IM_EMETHOD, "the audit service has no method %.64s",
			      req->method);
		served_end(served, &err, NULL, 0);
	}
}

static void
on_trouble(void *user, const struct im_err *why)
{
	(void)user;
	log_warn("a peer was turned away", LOG_STR("error.message", why->text));
}

/* The kernel may have dropped what it had taken: only a fresh start, which reads the disk, can know what is there. */
static void
on_fatal(void *user, const struct im_err *err)
{
	(void)user;
	log_error("the audit log cannot be trusted to the disk any more; ending",
		  LOG_STR("error.message", err->text));
	abort();
}

static enum im_rc
open_log(struct audit *audit, const struct config *config, struct im_err *err)
{
	struct audit_log_params params = {
		.ops = &disk_posix,
		.dir = config_str(config, "audit.dir"),
		.keys = &audit->keys,
		.key_file = config_str(config, "audit.key_file"),
		.half_years = strcmp(config_str(config, "audit.shard"), "half-year") == 0,
		.subjects = audit->subjects,
		.segment_bytes = (uint64_t)config_int(config, "audit.segment_bytes"),
		.batch_records = (uint32_t)config_int(config, "audit.batch_records"),
		.batch_bytes = (size_t)config_int(config, "audit.batch_bytes"),
		.publish_ms = (uint64_t)config_int(config, "audit.publish_ms"),
		.now_us = clock_wall_us,
		.fatal = on_fatal,
	};
	struct config_change start;
	uint64_t began_us = clock_mono_us(), index;
	char vkey[NOTE_KEYTEXT_MAX];
	enum im_rc rc = audit_log_open(&params, &audit->log, err);

	if (rc != IM_OK)
		return rc;
	if (audit->log->recovered.torn)
		log_warn("dropped a record that was never acknowledged, as after a crash",
			 LOG_STR("file.path", audit->log->recovered.torn_where));
	if (audit->log->subjects.damaged > 0)
		log_warn("keys of subjects cannot be read: records made with them cannot be opened",
			 LOG_STR("file.path", audit->subjects),
			 LOG_UINT("infermesh.audit.damaged", audit->log->subjects.damaged));
	if (audit->log->revived > 0)
		log_warn(
		    "an old copy of the subjects' keys was put back; what had been erased was erased again",
		    LOG_STR("file.path", audit->subjects),
		    LOG_UINT("infermesh.audit.revived", audit->log->revived));
	if (audit_log_turn_due(audit->log) && audit_log_turn(audit->log, err) == IM_EIO)
		return IM_EIO; /* else it is tried again */
	config_change_start(&start, "audit", config);
	start.event.kind = RECORD_START;
	start.event.has_request_id = false; /* there is no second try that it had to be known by */
	rc = audit_log_add(audit->log, &start.event, &index, err);
	if (rc == IM_OK)
		rc = audit_log_commit(audit->log, false, err);
	note_signer_vkey(&audit->log->shard.signer, vkey);
	if (rc == IM_OK)
		log_info("audit log open", LOG_STR("file.directory", audit->log->dir),
			 LOG_UINT("infermesh.audit.size", audit_log_size(audit->log)),
			 LOG_UINT("infermesh.audit.open_requests", audit->log->dedup.open),
			 LOG_UINT("infermesh.recovery_ms", (clock_mono_us() - began_us) / 1000),
			 LOG_STR("infermesh.audit.vkey", vkey));
	return rc;
}

static void
release(struct audit *audit)
{
	endpoint_close(audit->listener);
	endpoint_close(audit->inside);
	retention_stop(&audit->retention);
	audit_log_close(audit->log);
	witnesses_close(audit->witnesses); /* after the publisher, which tells them */
	keyfile_done(&audit->keys);
	free(audit);
}

static enum im_rc
open_pages(struct audit *audit, const struct config *config, struct im_err *err)
{
	const char *listen = config_str(config, "audit.serve");
	enum im_rc rc;

	if (strcmp(listen, "off") == 0)
		return IM_OK;
	rc = pages_open(audit->loop, listen, audit->log->dir, &audit->pages, err);
	if (rc == IM_OK)
		log_info("the published log is served by HTTP",
			 LOG_STR("server.address", pages_address(audit->pages)));
	return rc;
}

static enum im_rc
audit_start(const struct service_env *env, void **ret_service, struct im_err *err)
{
	static const struct endpoint_ops ops = { .request = on_request, .trouble = on_trouble };
	struct audit *audit = calloc(1, sizeof(*audit));
	enum im_rc rc;

	if (audit == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the audit service");
	audit->loop = env->loop;
	rc = audit_keys_load(env->config, &audit->keys, audit->subjects, err);
	if (rc == IM_OK)
		rc = open_log(audit, env->config, err);
	if (rc == IM_OK)
		rc = audit_witnesses_start(env->config, audit->log, &audit->witnesses, err);
	if (rc == IM_OK)
		rc = publisher_start(&audit->log->publisher, err);
	if (rc == IM_OK)
		rc = net_listen(env->net, config_str(env->config, "audit.listen"), &ops, audit,
				&audit->listener, err);
	if (rc == IM_OK && env->single_process)
		rc = net_listen(env->net, mesh_address(env, "audit"), &ops, audit, &audit->inside,
				err);
	if (rc == IM_OK)
		rc =
		    retention_start(&audit->retention, env->loop,
				    (uint64_t)config_int(env->config, "audit.retention_days"), err);
	if (rc == IM_OK)
		rc = open_pages(audit, env->config, err);
	/* Last, because a thread cannot be taken back at once; calls come through the loop, so not before we return. */
	if (rc == IM_OK)
		rc = committer_new(env->loop, audit->log, on_fatal, NULL, &audit->committer, err);
	if (rc != IM_OK) {
		release(audit);
		return rc;
	}
	audit->retention.committer = audit->committer;
	*ret_service = audit;
	return IM_OK;
}

static void
audit_drain(void *service)
{
	(void)
	    service; /* routers that drain need us to the end: we take records until we are stopped */
}

static bool
audit_drained(const void *service)
{
	const struct audit *audit = service;

	return committer_pending(audit->committer) == 0;
}

static void
on_stopped(void *arg)
{
	struct audit *audit = arg;
	loop_fn stopped = audit->stopped;
	void *stopped_arg = audit->stopped_arg;

	committer_free(audit->committer);
	release(audit);
	stopped(stopped_arg);
}

static void
audit_stop(void *service, loop_fn stopped, void *arg)
{
	struct audit *audit = service;

	if (audit == NULL) {
		stopped(arg);
		return;
	}
	endpoint_close(audit->listener);
	endpoint_close(audit->inside);
	audit->listener = audit->inside = NULL;
	retention_stop(&audit->retention);
	audit->stopped = stopped;
	audit->stopped_arg = arg;
	audit->stop_event =
	    (struct audit_event){ .kind = RECORD_STOP, .request_time_us = clock_wall_us() };
	committer_stop(audit->committer, &audit->stop_event, on_stopped, audit);
}

static void
audit_ready(const void *service, struct buf *why)
{
	const struct audit *audit = service;
	struct commit_stats s;

	committer_stats(audit->committer, &s);
	if (s.trouble.rc != IM_OK)
		(void)buf_printf(why, "audit log: %s", s.trouble.text);
}

static void
audit_metrics(const void *service, struct metrics_page *page)
{
	const struct audit *audit = service;
	struct commit_stats s;

	committer_stats(audit->committer, &s);
	audit_metrics_put(&s, audit->pages, page);
	audit_witnesses_metrics(audit->witnesses, page);
}

const struct service_ops audit_service = {
	.name = "audit",
	.summary = "keeps an append-only Merkle log of every request, verifiable offline",
	.also =
	    "infermesh-audit --witness [OPTION...]    cosign the checkpoints of other logs instead: --witness --help",
	.start = audit_start,
	.drain = audit_drain,
	.drained = audit_drained,
	.stop = audit_stop,
	.ready = audit_ready,
	.metrics = audit_metrics,
};
