/*
 * audit/operator.c - calls of operators become jobs of the commit thread; see operator.h.
 */
#include "audit/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/lifecycle.h"
#include "base/log.h"
#include "wire/audit_admin.h"

#define ARENA_BYTES ((size_t)64 * 1024)

struct operation {
	struct commit_job job;
	struct arena arena;
	struct served *served; /* NULL after the caller gave up: it is done all the same */
	const struct method *method;
	char actor[NET_NAME_MAX + 16];
	struct audit_erase erase;
	struct audit_erased erased;
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

	return audit_log_erase(log, o->erase.tenant, o->erase.caller, &o->erased, err);
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

static const struct method methods[] = {
	{ METHOD_AUDIT_ERASE, RECORD_ERASE, erase_decode, erase_work, erase_answer },
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
