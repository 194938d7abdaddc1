/*
 * audit/operator.c - calls of operators, and what is due by itself, become jobs of the commit thread; see operator.h.
 */
#include "audit/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/lifecycle.h"
#include "audit/turn.h"
#include "base/clock.h"
#include "base/log.h"
#include "wire/audit_admin.h"

#define ARENA_BYTES  ((size_t)64 * 1024)
#define DAY_US       (UINT64_C(86400) * 1000000)
#define RETENTION_US (UINT64_C(3600) * 1000000) /* how often old entries are looked for */

struct operation {
	struct commit_job job;
	struct arena arena;
	struct served *served; /* NULL after the caller gave up: it is done all the same */
	const struct method *method;
	char actor[NET_NAME_MAX + 16];
	struct audit_erase erase;
	struct audit_erased erased;
	struct audit_prune prune;
	struct audit_pruned pruned;
	struct audit_rotated rotated;
};

/* One method: decode on the loop, work on the commit thread, answer on the loop. */
struct method {
	const char *name;
	enum record_kind kind; /* that it writes */
	enum im_rc (*decode)(struct operation *o, const struct served_request *req,
			     struct im_err *err);
	commit_work_fn work;
	void (*answer)(const struct operation *o, struct buf *out);
};

static enum im_rc
erase_decode(struct operation *o, const struct served_request *req, struct im_err *err)
{
	return audit_erase_decode(req->body, req->body_len, &o->arena, &o->erase, err);
}

static enum im_rc
erase_work(struct audit_log *log, void *user, struct im_err *err)
{
	struct operation *o = user;

	return audit_log_erase(log, o->erase.tenant, o->erase.caller, o->actor, &o->erased, err);
}

/* Whom it was about is nobody's business any more: the log names the key. */
static void
erase_answer(const struct operation *o, struct buf *out)
{
	struct audit_erase_reply reply = { .index = o->erased.index, .before = o->erased.before };

	memcpy(reply.subject_key, o->erased.key_id, sizeof(reply.subject_key));
	audit_erase_reply_encode(&reply, out);
	log_info(o->erased.before ? "a subject was erased before" : "a subject was erased",
		 LOG_STR("infermesh.actor", o->actor),
		 LOG_UINT("infermesh.audit.index", o->erased.index));
}

static enum im_rc
prune_decode(struct operation *o, const struct served_request *req, struct im_err *err)
{
	return audit_prune_decode(req->body, req->body_len, &o->arena, &o->prune, err);
}

static enum im_rc
prune_work(struct audit_log *log, void *user, struct im_err *err)
{
	struct operation *o = user;

	return audit_log_prune(log, o->prune.before_us, o->prune.dry_run, o->actor, &o->pruned,
			       err);
}

static void
prune_log(const struct audit_pruned *p, const char *actor)
{
	if (p->min_index > p->was)
		log_info("old entries are deleted", LOG_STR("infermesh.actor", actor),
			 LOG_UINT("infermesh.audit.min_index", p->min_index),
			 LOG_UINT("infermesh.audit.index", p->index));
}

static void
prune_answer(const struct operation *o, struct buf *out)
{
	const struct audit_pruned *p = &o->pruned;

	audit_prune_reply_encode(&(struct audit_prune_reply){ p->was, p->min_index, p->index },
				 out);
	if (!o->prune.dry_run)
		prune_log(p, o->actor);
}

static enum im_rc
rotate_decode(struct operation *o, const struct served_request *req, struct im_err *err)
{
	(void)o;
	return req->body_len == 0 ? IM_OK
				  : err_set(err, IM_EPROTO, "a RotateKeyRequest has nothing in it");
}

static enum im_rc
rotate_work(struct audit_log *log, void *user, struct im_err *err)
{
	struct operation *o = user;

	return audit_log_rotate(log, o->actor, &o->rotated, err);
}

static void
rotate_answer(const struct operation *o, struct buf *out)
{
	const struct audit_rotated *r = &o->rotated;

	audit_rotate_reply_encode(&(struct audit_rotate_reply){ r->number, r->origin, r->vkey },
				  out);
	log_info("the signing key was rotated: back the key file up",
		 LOG_STR("infermesh.actor", o->actor), LOG_UINT("infermesh.audit.index", r->number),
		 LOG_STR("infermesh.audit.vkey", r->vkey));
}

static const struct method methods[] = {
	{ METHOD_AUDIT_ERASE, RECORD_ERASE, erase_decode, erase_work, erase_answer },
	{ METHOD_AUDIT_PRUNE, RECORD_PRUNE, prune_decode, prune_work, prune_answer },
	{ METHOD_AUDIT_ROTATE, RECORD_KEY_ROTATE, rotate_decode, rotate_work, rotate_answer },
};

static void
operation_free(struct operation *o)
{
	arena_done(&o->arena);
	free(o);
}

static void
on_cancelled(void *user, struct served *served)
{
	struct operation *o = user;

	o->served = NULL;
	served_end(served, NULL, NULL, 0);
}

static void
on_done(void *user, struct commit_job *job)
{
	struct operation *o = user;
	struct buf out = { 0 };
	struct im_err err = job->err;

	if (err.rc == IM_OK) {
		o->method->answer(o, &out);
		if (!buf_ok(&out))
			(void)err_set(&err, IM_ENOMEM, "no memory for an answer");
	}
	if (o->served != NULL)
		served_end(o->served, err.rc == IM_OK ? NULL : &err, out.data, out.len);
	buf_done(&out);
	operation_free(o);
}

static enum im_rc
start(struct operation *o, struct committer *c, const struct link_peer *peer,
      const struct served_request *req, struct im_err *err)
{
	enum im_rc rc;

	if (strcmp(peer->role, "operator") != 0)
		return err_set(
		    err, IM_EPERM,
		    "only operators may ask for %s, and this is a %s; use 'infermesh audit'",
		    req->method, peer->role);
	if (peer->has_uid)
		(void)snprintf(o->actor, sizeof(o->actor), "uid:%u", peer->uid);
	else
		(void)snprintf(o->actor, sizeof(o->actor), "operator:%s", peer->name);
	rc = o->method->decode(o, req, err);
	if (rc != IM_OK)
		return rc;
	o->job.work = o->method->work;
	o->job.work_kind = o->method->kind;
	o->job.bytes = sizeof(*o);
	o->job.done = on_done;
	o->job.user = o;
	return committer_submit(c, &o->job, err);
}

bool
operator_request(struct committer *c, const struct link_peer *peer, struct served *served,
		 const struct served_request *req)
{
	static const struct served_ops ops = { .cancelled = on_cancelled };
	const struct method *method = NULL;
	struct operation *o;
	struct im_err err;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(methods[i].name, req->method) == 0)
			method = &methods[i];
	if (method == NULL)
		return false;
	o = calloc(1, sizeof(*o));
	if (o == NULL) {
		(void)err_set(&err, IM_ENOMEM, "no memory for %s", req->method);
		served_end(served, &err, NULL, 0);
		return true;
	}
	o->method = method;
	o->served = served;
	arena_init(&o->arena, ARENA_BYTES);
	/* 'done' comes through the loop, so never before this callback returned. */
	if (start(o, c, peer, req, &err) != IM_OK) {
		operation_free(o);
		served_end(served, &err, NULL, 0);
	} else {
		served_accept(served, &ops, o);
	}
	return true;
}

static void
on_retained(void *user, struct commit_job *job)
{
	struct retention *r = user;

	r->busy = false;
	if (job->err.rc == IM_OK)
		prune_log(&r->pruned, "audit.retention_days");
	else
		log_warn("old entries cannot be deleted", LOG_STR("error.message", job->err.text));
}

static enum im_rc
retention_work(struct audit_log *log, void *user, struct im_err *err)
{
	struct retention *r = user;

	return audit_log_prune(log, r->before_us, false, NULL, &r->pruned, err);
}

static void
on_retention(void *arg)
{
	struct retention *r = arg;
	uint64_t now_us = clock_wall_us(), keep_us = r->days * DAY_US;

	if (loop_timer_set(r->loop, &r->timer, RETENTION_US) != IM_OK)
		log_error("no memory: old entries are deleted at the next start only");
	if (r->busy || keep_us >= now_us)
		return;
	r->before_us = now_us - keep_us;
	r->job = (struct commit_job){
		.work = retention_work, .work_kind = RECORD_PRUNE, .done = on_retained, .user = r
	};
	r->busy = committer_submit(r->committer, &r->job, NULL) == IM_OK;
}

enum im_rc
retention_start(struct retention *r, struct loop *loop, uint64_t days, struct im_err *err)
{
	*r = (struct retention){ .loop = loop, .days = days };
	r->timer = (struct loop_timer){ .fn = on_retention, .arg = r };
	if (days == 0)
		return IM_OK;
	return loop_timer_set(loop, &r->timer, 0) == IM_OK
		   ? IM_OK
		   : err_set(err, IM_ENOMEM, "no memory for a timer");
}

void
retention_stop(struct retention *r)
{
	if (r->loop != NULL)
		loop_timer_cancel(r->loop, &r->timer);
}
