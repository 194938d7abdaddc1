/*
 * inference/worker_operator.c - what operators ask of a worker: its models, and to load, unload, reload or verify one. They dial it, on a
 * socket of its own; nobody else does. A change goes on when the one who asked has left, and is told to the audit log.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "daemon/worker_name.h"
#include "inference/worker_state.h"

#define ARENA_BYTES ((size_t)64 * 1024)
#define ASKED_MAX   64 /* changes under way; one more is refused */

/* A change on its way. */
struct asked {
	struct list node; /* in worker.asked */
	struct worker *w;
	struct served *served; /* NULL: nobody waits for it any more */
	char actor[32];
	uint32_t uid;
};

static void
answer(struct worker *w, struct served *served)
{
	struct im_err err;

	(void)err_set(&err, IM_ENOMEM, "no memory for the answer");
	served_end(served, buf_ok(&w->scratch) ? NULL : &err, w->scratch.data, w->scratch.len);
}

static void
list_models(struct worker *w, struct served *served)
{
	struct model_states s = { .count = 0 };

	if (w->ops->list != NULL)
		w->ops->list(w->b, &s);
	buf_clear(&w->scratch);
	model_states_encode(&s, &w->scratch);
	answer(w, served);
}

/* The record's digest is that of the weights in use from now on; its rule says which were before. */
static void
report(const struct asked *a, const struct backend_changed *r)
{
	static const char *const reasons[] = { [MODEL_CHANGE_LOAD] = "model-load",
					       [MODEL_CHANGE_UNLOAD] = "model-unload",
					       [MODEL_CHANGE_RELOAD] = "model-reload" };
	char rule[AUDIT_ROUTE_MAX + 1];
	struct config_change change;
	uint8_t digest[32] = { 0 };

	if (r->after[0] != '\0' && !hex_decode(r->after, digest, sizeof(digest)))
		return;
	(void)snprintf(rule, sizeof(rule), "before=%s after=%s",
		       r->before[0] != '\0' ? r->before : "-",
		       r->after[0] != '\0' ? r->after : "-");
	config_change_fill(&change, a->w->env.name, reasons[r->what], digest, a->uid);
	(void)snprintf(change.actor, sizeof(change.actor), "%s", a->actor);
	change.event.model = r->model;
	change.event.model_digest = r->after;
	change.event.routing.rule = rule;
	reporter_submit(a->w->env.reporter, &change);
}

static void
on_changed(void *user, const struct im_err *err, const struct backend_changed *r)
{
	struct asked *a = user;
	struct worker *w = a->w;

	if (err == NULL && r->what != MODEL_CHANGE_VERIFY) {
		report(a, r);
		worker_announce(w);
	}
	if (a->served != NULL && err != NULL) {
		served_end(a->served, err, NULL, 0);
	} else if (a->served != NULL) {
		buf_clear(&w->scratch);
		model_changed_encode(&(struct model_changed){ r->before, r->after }, &w->scratch);
		answer(w, a->served);
	}
	list_remove(&a->node);
	free(a);
}

static void
on_cancelled(void *user, struct served *served)
{
	struct asked *a = user;

	served_end(served, NULL, NULL, 0);
	a->served = NULL;
}

static struct asked *
asked_new(struct worker *w, const struct link_peer *peer, struct im_err *err)
{
	struct asked *a = NULL;
	size_t count = 0;

	LIST_FOREACH (&w->asked, other, struct asked, node)
		count++;
	if (count < ASKED_MAX)
		a = calloc(1, sizeof(*a));
	if (a == NULL) {
		(void)err_set(err, IM_EUNAVAILABLE, "%zu changes are under way; try again later",
			      count);
		return NULL;
	}
	a->w = w;
	a->uid = peer->uid;
	if (peer->has_uid)
		(void)snprintf(a->actor, sizeof(a->actor), "uid:%u", (unsigned)peer->uid);
	else
		(void)snprintf(a->actor, sizeof(a->actor), "operator:%.20s", peer->name);
	list_push_back(&w->asked, &a->node);
	return a;
}

static enum im_rc
change_model(struct worker *w, const struct link_peer *peer, struct served *served,
	     const struct served_request *req, struct im_err *err)
{
	static const struct served_ops ops = { .cancelled = on_cancelled };
	struct arena arena = { .max_bytes = ARENA_BYTES };
	struct change_model c;
	struct asked *a = NULL;
	enum im_rc rc = change_model_decode(req->body, req->body_len, &arena, &c, err);

	if (rc == IM_OK && w->ops->change == NULL)
		rc = err_set(err, IM_EMETHOD,
			     "this worker's models are those of its upstream: it loads none");
	if (rc == IM_OK && (w->draining || w->stopping))
		rc = err_set(err, IM_EUNAVAILABLE, "the worker is being stopped");
	if (rc == IM_OK && (a = asked_new(w, peer, err)) == NULL)
		rc = IM_EUNAVAILABLE;
	if (a != NULL) {
		rc = w->ops->change(w->b, c.change, c.model, on_changed, a, err);
		if (rc == IM_OK) {
			a->served = served;
			served_accept(served, &ops, a);
		} else {
			list_remove(&a->node);
			free(a);
		}
	}
	arena_done(&arena);
	return rc;
}

static void
on_request(void *user, struct link *link, struct served *served, const struct served_request *req)
{
	const struct link_peer *peer = link_peer(link);
	struct worker *w = user;
	bool list = strcmp(req->method, METHOD_MODELS) == 0;
	struct im_err err = { 0 };
	enum im_rc rc = IM_OK;

	if (!list && strcmp(req->method, METHOD_CHANGE_MODEL) != 0)
		rc = err_set(&err, IM_EMETHOD, "operators of a worker have no method %.64s",
			     req->method);
	else if (strcmp(peer->role, "operator") != 0)
		rc = err_set(
		    &err, IM_EPERM,
		    "only operators may ask for %s, and this is a %s; use 'infermesh model'",
		    req->method, peer->role);
	else if (list)
		list_models(w, served);
	else
		rc = change_model(w, peer, served, req, &err);
	if (rc != IM_OK)
		served_end(served, &err, NULL, 0);
}

static void
on_trouble(void *user, const struct im_err *why)
{
	(void)user;
	log_warn("a peer was turned away", LOG_STR("error.message", why->text));
}

enum im_rc
worker_listen(struct worker *w, struct im_err *err)
{
	static const struct endpoint_ops ops = { .request = on_request, .trouble = on_trouble };
	bool said = w->env.item != NULL &&
		    strcmp(config_str(w->env.item, "workers[].operators"), "auto") != 0;
	char url[WORKER_URL_MAX];
	struct im_err why;

	worker_operators(w->env.config, w->env.item, w->env.name, url);
	if (w->ops->change == NULL || url[0] == '\0')
		return IM_OK;
	if (net_listen(w->env.net, url, &ops, w, &w->operators, &why) == IM_OK)
		return IM_OK;
	w->operators = NULL;
	if (said) {
		err_prefix(&why, "workers[].operators");
		*err = why;
		return why.rc;
	}
	/* The place was not asked for: that it cannot be had is no reason to serve no models. */
	log_warn("operators cannot reach this worker; set workers[].operators",
		 LOG_STR("error.message", why.text));
	return IM_OK;
}

void
worker_refuse_operators(struct worker *w)
{
	struct im_err err;

	(void)err_set(&err, IM_EUNAVAILABLE, "the worker is being stopped");
	LIST_FOREACH (&w->asked, a, struct asked, node) {
		if (a->served != NULL)
			served_end(a->served, &err, NULL, 0);
		a->served = NULL;
	}
	endpoint_close(w->operators);
	w->operators = NULL;
}
