/*
 * router/workers_models.c - what workers serve: the table of models, and the places of workers in their pools; see workers.h and
 * workers_models.h. Does not know who announces what, nor when.
 */
#include "router/workers_models.h"

#include <stdlib.h>
#include <string.h>

#include "router/workers_health.h"

static void
model_free(struct workers *ws, struct model *m)
{
	list_remove(&m->node);
	list_remove(&m->pump_node);
	list_remove(&m->lost_node);
	ws->model_count--;
	for (size_t i = 0; i < TIER_COUNT; i++) {
		pool_done(&m->pool[i]);
	}
	free(m->owned_by);
	free(m->digest);
	free(m);
}

static void
lose_model(struct workers *ws, struct model *m, uint64_t now_ms)
{
	m->lost_ms = now_ms;
	list_push_back(&ws->lost_models, &m->lost_node);
}

static void
leave_pool(struct worker_model *wm)
{
	if (wm->place != POOL_NONE) {
		pool_remove(&wm->model->pool[wm->tier], wm->place);
		wm->place = POOL_NONE;
	}
}

/* Take the worker off the models that it serves; it keeps its list for the status page. */
void
workers_unlist(struct worker *w, uint64_t now_ms)
{
	for (size_t i = 0; i < w->model_count; i++) {
		struct worker_model *wm = &w->models[i];

		if (!list_linked(&wm->model_node)) {
			continue;
		}
		leave_pool(wm);
		workers_health_unserve(wm);
		list_remove(&wm->ramp_node);
		list_remove(&wm->model_node);
		if (list_empty(&wm->model->serving)) {
			lose_model(w->table, wm->model, now_ms);
		}
	}
}

void
workers_forget_models(struct worker *w, uint64_t now_ms)
{
	workers_unlist(w, now_ms);
	for (size_t i = 0; i < w->model_count; i++) {
		w->models[i].model->users--;
	}
	free(w->models);
	w->models = NULL;
	w->model_count = 0;
}

struct model *
workers_find_model(const struct workers *ws, const char *id)
{
	const struct list *bucket = &ws->buckets[workers_bucket_of(id)];

	LIST_FOREACH (bucket, m, struct model, node) {
		if (strcmp(m->id, id) == 0) {
			return m;
		}
	}
	return NULL;
}

static struct model *
model_get(struct workers *ws, const char *id, uint64_t now_ms)
{
	struct model *m = workers_find_model(ws, id);
	size_t len = strlen(id);

	if (m != NULL || ws->model_count >= WORKERS_MODELS_MAX) {
		return m;
	}
	m = calloc(1, sizeof(*m) + len + 1);
	if (m == NULL) {
		return NULL;
	}
	memcpy(m->id, id, len + 1);
	list_init(&m->serving);
	list_init(&m->probing);
	lose_model(ws, m, now_ms);
	m->duration.bounds = &histogram_seconds;
	list_push_back(&ws->buckets[workers_bucket_of(id)], &m->node);
	ws->model_count++;
	return m;
}

/* The latest announcement says what a model is. */
static bool
model_describe(struct model *m, const struct model_info *info)
{
	char *owned_by = strdup(info->owned_by);
	char *digest = strdup(info->digest);

	if (owned_by == NULL || digest == NULL) {
		free(owned_by);
		free(digest);
		return false;
	}
	free(m->owned_by);
	free(m->digest);
	m->owned_by = owned_by;
	m->digest = digest;
	m->created = info->created;
	m->context_tokens = info->context_tokens;
	return true;
}

struct model *
workers_want_model(struct workers *ws, const char *id, uint64_t now_ms)
{
	static const struct model_info nothing = { .owned_by = "", .digest = "" };
	struct model *m = model_get(ws, id, now_ms);

	return m == NULL || m->digest != NULL || model_describe(m, &nothing) ? m : NULL;
}

bool
workers_same_models(const struct worker *w, const struct announce *a)
{
	if (w->model_count != a->model_count || w->backup != a->backup) {
		return false;
	}
	for (size_t i = 0; i < a->model_count; i++) {
		if (strcmp(w->models[i].model->id, a->models[i].id) != 0 ||
		    strcmp(w->models[i].digest, a->models[i].digest) != 0) {
			return false;
		}
	}
	return true;
}

/* A place for the worker in one announced model. */
static bool
join_model(struct workers *ws, struct worker *w, const struct model_info *info, enum tier tier,
	   struct worker_model *ret, uint64_t now_ms)
{
	struct model *m = model_get(ws, info->id, now_ms);

	*ret = (struct worker_model){ .worker = w, .model = m, .tier = tier, .place = POOL_NONE };
	if (m == NULL || !model_describe(m, info)) {
		return false;
	}
	memcpy(ret->digest, info->digest, strlen(info->digest) + 1);
	ret->place = pool_add(&m->pool[tier], ret, ring_hash(w->name->text));
	return ret->place != POOL_NONE;
}

/* The new models are in the place of those that 'before' has: serve them. What goes on is no new start. Breakers go on as those of
 * 'moved', another incarnation of the same process, if there is one. */
static void
serve_models(struct worker *w, const struct worker *before, const struct worker *moved,
	     uint64_t now_ms)
{
	for (size_t i = 0; i < w->model_count; i++) {
		struct worker_model *wm = &w->models[i];
		struct model *m = wm->model;
		struct worker_model *old = workers_serving(before, m);

		list_push_back(&m->serving, &wm->model_node);
		workers_health_serve(wm, moved != NULL ? workers_serving(moved, m) : old,
				     moved != NULL, now_ms);
		if (list_linked(&m->lost_node)) {
			list_remove(&m->lost_node);
			m->lost_ms = 0;
			m->withdrawn = false;
			m->served_ms = now_ms;
		}
		if (old == NULL) {
			workers_slow_start(wm, now_ms);
		} else if (list_linked(&old->ramp_node)) {
			wm->ramp_ms = old->ramp_ms;
			wm->ramp_step = old->ramp_step;
			list_push_back(&w->table->ramping, &wm->ramp_node);
		}
	}
}

/* A worker whose link is lost had it, and may come back with it. */
static bool
may_come_back(const struct workers *ws, const struct model *m)
{
	LIST_FOREACH (&ws->gone, w, struct worker, gone_node) {
		if (!w->retired && workers_serving(w, m) != NULL) {
			return true;
		}
	}
	return false;
}

/* Models of 'before' that nobody serves now are withdrawn. */
static void
withdraw_models(const struct workers *ws, struct worker *before, uint64_t now_ms)
{
	workers_unlist(before, now_ms);
	for (size_t i = 0; i < before->model_count; i++) {
		struct model *m = before->models[i].model;

		m->withdrawn = list_empty(&m->serving) && !may_come_back(ws, m);
	}
}

/* Put the announced models in the place of those that it had. Nothing has changed when it fails. */
bool
workers_set_models(struct workers *ws, struct worker *w, const struct announce *a,
		   const struct worker *moved, uint64_t now_ms)
{
	enum tier tier = a->backup ? TIER_BACKUP : TIER_PRIMARY;
	struct worker_model *models =
	    calloc(a->model_count > 0 ? a->model_count : 1, sizeof(*models));
	struct worker before = *w;
	size_t n = 0;

	if (models == NULL) {
		return false;
	}
	while (n < a->model_count && join_model(ws, w, &a->models[n], tier, &models[n], now_ms)) {
		n++;
	}
	if (n < a->model_count) {
		/* Models made here without anybody to serve them are swept. */
		for (size_t i = 0; i < n; i++) {
			leave_pool(&models[i]);
		}
		free(models);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		models[i].model->users++;
	}
	w->models = models;
	w->model_count = n;
	w->backup = a->backup;
	serve_models(w, &before, moved, now_ms);
	withdraw_models(ws, &before, now_ms);
	workers_forget_models(&before, now_ms);
	return true;
}

struct worker_model *
workers_serving(const struct worker *w, const struct model *m)
{
	for (size_t i = 0; i < w->model_count; i++) {
		if (w->models[i].model == m) {
			return &w->models[i];
		}
	}
	return NULL;
}

void
workers_models_sweep(struct workers *ws, uint64_t now_ms)
{
	LIST_FOREACH_SAFE (&ws->lost_models, m, struct model, lost_node) {
		if (m->users == 0 && m->waiting.count == 0 &&
		    now_ms >= m->lost_ms + WORKERS_REMEMBER_MS) {
			model_free(ws, m);
		}
	}
}

void
workers_models_done(struct workers *ws)
{
	for (size_t i = 0; i < WORKERS_BUCKETS; i++) {
		LIST_FOREACH_SAFE (&ws->buckets[i], m, struct model, node) {
			model_free(ws, m);
		}
	}
}
