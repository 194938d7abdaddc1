/*
 * router/workers.c - who is there: announcements, incarnations, models, forgetting; see workers.h. Does not know how busy
 * they are (workers_load.c) and chooses nobody (workers_pick.c).
 */
#include "router/workers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/workers_health.h"
#include "router/workers_models.h"

void
workers_name_unref(struct worker_name *name)
{
	if (name != NULL && --name->refs == 0) {
		free(name);
	}
}

void
workers_init(struct workers *ws, uint32_t slow_start_ms, uint64_t seed)
{
	memset(ws, 0, sizeof(*ws));
	list_init(&ws->all);
	list_init(&ws->gone);
	list_init(&ws->lost_models);
	list_init(&ws->ramping);
	list_init(&ws->troubled);
	for (size_t i = 0; i < WORKERS_BUCKETS; i++) {
		list_init(&ws->buckets[i]);
		list_init(&ws->ids[i]);
		list_init(&ws->names[i]);
	}
	ws->slow_start_ms = slow_start_ms;
	ws->picks = WORKERS_PICKS_FIRST;
	prng_seed(&ws->prng, seed);
}

static void
worker_free(struct workers *ws, struct worker *w)
{
	workers_forget_models(w, 0);
	list_remove(&w->node);
	list_remove(&w->id_node);
	list_remove(&w->name_node);
	list_remove(&w->gone_node);
	ws->count--;
	workers_name_unref(w->name);
	recent_give_back(&ws->recents, w->recent);
	free(w);
}

void
workers_done(struct workers *ws)
{
	LIST_FOREACH_SAFE (&ws->all, w, struct worker, node) {
		worker_free(ws, w);
	}
	workers_models_done(ws);
	recent_store_done(&ws->recents);
}

size_t
workers_bucket_of(const char *id)
{
	return (size_t)(ring_hash(id) % WORKERS_BUCKETS);
}

/* The digest of this model that a worker has announced, or NULL if it has not announced the model. */
static const char *
announced_digest(const struct worker *w, const struct model_info *info)
{
	for (size_t i = 0; w != NULL && i < w->model_count; i++) {
		if (strcmp(w->models[i].model->id, info->id) == 0) {
			return w->models[i].digest;
		}
	}
	return NULL;
}

struct worker *
workers_by_name(const struct workers *ws, const char *name)
{
	const struct list *bucket = &ws->names[workers_bucket_of(name)];

	LIST_FOREACH (bucket, w, struct worker, name_node) {
		if (strcmp(w->name->text, name) == 0) {
			return w;
		}
	}
	return NULL;
}

struct worker *
workers_by_id(const struct workers *ws, uint64_t id)
{
	const struct list *bucket = &ws->ids[id % WORKERS_BUCKETS];

	LIST_FOREACH (bucket, w, struct worker, id_node) {
		if (w->id == id) {
			return w;
		}
	}
	return NULL;
}

bool
workers_is_here(const struct workers *ws, uint64_t id)
{
	const struct worker *w = workers_by_id(ws, id);

	return w != NULL && w->link != NULL && !w->retired;
}

const char *
workers_state(const struct worker *w)
{
	return health_state_text(w->health.state);
}

static bool
valid_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < NET_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
		   len;
}

static struct worker *
worker_new(struct workers *ws, struct link *link, const uint8_t instance[16],
	   const struct announce *a)
{
	struct worker *w = calloc(1, sizeof(*w));
	struct worker_name *name = calloc(1, sizeof(*name));
	struct recent *recent = recent_take(&ws->recents);

	if (w == NULL || name == NULL || recent == NULL) {
		recent_give_back(&ws->recents, recent);
		free(w);
		free(name);
		return NULL;
	}
	w->recent = recent;
	name->refs = 1;
	memcpy(name->text, a->worker, strlen(a->worker) + 1);
	w->name = name;
	w->id = ++ws->next_id;
	w->link = link;
	w->table = ws;
	w->last_pick =
	    prng_next(&ws->prng) % WORKERS_PICKS_FIRST; /* each router in another order */
	memcpy(w->instance, instance, sizeof(w->instance));
	list_push_back(&ws->all, &w->node);
	list_push_back(&ws->ids[w->id % WORKERS_BUCKETS], &w->id_node);
	ws->count++;
	return w;
}

static enum im_rc
check_announce(const struct workers *ws, const struct worker *w, const struct announce *a,
	       struct im_err *err)
{
	if (!valid_name(a->worker)) {
		return err_set(
		    err, IM_EINVAL,
		    "a worker's name has 1 to %d letters, digits, '-', '_' and '.'; check workers[].name",
		    NET_NAME_MAX - 1);
	}
	if (w != NULL && strcmp(w->name->text, a->worker) != 0) {
		return err_set(err, IM_EINVAL, "this link belongs to the worker %s already",
			       w->name->text);
	}
	if (w != NULL && w->retired) {
		return err_reason(
		    err, IM_EEXIST, "name_taken",
		    "another process has announced itself as the worker %s; give each entry of workers a name of its own",
		    a->worker);
	}
	if (a->model_count > ANNOUNCE_MODELS_MAX || (w == NULL && ws->count >= WORKERS_MAX)) {
		return err_set(err, IM_ELIMIT, "at most %d workers with %d models each are taken",
			       WORKERS_MAX, ANNOUNCE_MODELS_MAX);
	}
	for (size_t i = 0; i < a->model_count; i++) {
		if (a->models[i].id[0] == '\0' || strlen(a->models[i].id) > GENERATE_MODEL_MAX) {
			return err_set(err, IM_EINVAL, "a model's name has 1 to %d bytes",
				       GENERATE_MODEL_MAX);
		}
		if (strlen(a->models[i].digest) > WORKERS_DIGEST_MAX) {
			return err_set(err, IM_EINVAL, "a model's digest has at most %d characters",
				       WORKERS_DIGEST_MAX);
		}
		for (size_t j = 0; j < i; j++) {
			if (strcmp(a->models[j].id, a->models[i].id) == 0) {
				return err_set(err, IM_EINVAL, "the model %s is announced twice",
					       a->models[i].id);
			}
		}
	}
	return IM_OK;
}

/* 'before': this process, as it announced itself last; 'old': the one before it under this name. Each may be NULL. */
static void
find_fresh(const struct worker *before, const struct worker *old, const struct announce *a,
	   struct announced *ret)
{
	for (size_t i = 0; i < a->model_count; i++) {
		const char *had = announced_digest(before, &a->models[i]);
		const char *last = announced_digest(before != NULL ? before : old, &a->models[i]);

		if (had == NULL || strcmp(had, a->models[i].digest) != 0) {
			ret->reloaded[ret->fresh_count] =
			    last != NULL && strcmp(last, a->models[i].digest) != 0;
			ret->fresh[ret->fresh_count++] = i;
		}
	}
}

enum im_rc
workers_announce(struct workers *ws, struct link *link, const uint8_t instance[16],
		 struct worker *worker, const struct announce *a, uint64_t now_ms,
		 struct announced *ret, struct im_err *err)
{
	struct worker *w = worker;
	struct worker *old, *moved = NULL; /* moved: of the same process */
	enum im_rc rc;

	ret->worker = ret->replaced = NULL;
	ret->joined = ret->models_changed = false;
	ret->fresh_count = 0;
	if (w == NULL ||
	    !workers_same_models(w, a)) { /* once a second nothing is new: spare the check */
		rc = check_announce(ws, w, a, err);
		ret->models_changed = true;
	} else {
		rc = check_announce(ws, w, &(struct announce){ .worker = a->worker }, err);
	}
	if (rc != IM_OK) {
		return rc;
	}
	old = w == NULL ? workers_by_name(ws, a->worker) : NULL;
	if (ret->models_changed) {
		if (old != NULL && memcmp(old->instance, instance, sizeof(old->instance)) == 0) {
			moved = old;
		}
		find_fresh(w != NULL ? w : moved, old, a, ret);
	}
	if (w == NULL) {
		w = worker_new(ws, link, instance, a);
		ret->joined = true;
	}
	if (w == NULL || (ret->models_changed && !workers_set_models(ws, w, a, moved, now_ms))) {
		if (ret->joined && w != NULL) {
			worker_free(ws, w);
		}
		return err_set(err, IM_ENOMEM,
			       "no memory for a worker's announcement, or more than %d models",
			       WORKERS_MODELS_MAX);
	}
	if (ret->joined) {
		workers_health_join(w, now_ms);
		list_push_back(&ws->names[workers_bucket_of(a->worker)], &w->name_node);
	}
	if (old != NULL) {
		old->retired = true;
		list_remove(&old->name_node);
		workers_health_replace(w, old, now_ms);
		workers_unlist(old, now_ms);
		w->dispatched = old->dispatched;
		w->succeeded = old->succeeded;
		w->failed = old->failed;
		w->operator_weight = old->operator_weight;
		ret->replaced = old;
	}
	(void)snprintf(w->backend, sizeof(w->backend), "%s", a->backend);
	w->weight = a->weight != 0 ? a->weight : WORKERS_WEIGHT;
	workers_report(w, &a->load);
	workers_health_announced(w, a->draining, now_ms);
	ret->worker = w;
	return IM_OK;
}

enum im_rc
workers_expect(struct workers *ws, const char *name, bool draining, uint32_t weight,
	       uint64_t now_ms, struct im_err *err)
{
	const struct announce a = { .worker = name };
	const uint8_t nobody[16] = { 0 };
	struct worker *w;
	enum im_rc rc = check_announce(ws, NULL, &a, err);

	if (rc != IM_OK) {
		return rc;
	}
	if (workers_by_name(ws, name) != NULL) {
		return err_set(err, IM_EEXIST, "the worker %s is there twice", name);
	}
	w = worker_new(ws, NULL, nobody, &a);
	if (w == NULL) {
		return err_set(err, IM_ENOMEM, "no memory for what operators said of workers");
	}
	workers_health_join(w, now_ms);
	list_push_back(&ws->names[workers_bucket_of(name)], &w->name_node);
	w->weight = WORKERS_WEIGHT;
	workers_lost(ws, w, now_ms);
	workers_set_weight(w, weight);
	(void)workers_set_draining(w, draining, now_ms);
	return IM_OK;
}

void
workers_lost(struct workers *ws, struct worker *w, uint64_t now_ms)
{
	w->link = NULL;
	w->gone_ms = now_ms;
	list_push_back(&ws->gone, &w->gone_node);
	workers_health_event(w, HEALTH_EV_LOST, now_ms);
	workers_unlist(w, now_ms);
}

static void
sweep(struct workers *ws, uint64_t now_ms)
{
	LIST_FOREACH_SAFE (&ws->gone, w, struct worker, gone_node) {
		bool old = now_ms >= w->gone_ms + WORKERS_REMEMBER_MS;
		bool by_operator = w->health.operator_draining || w->operator_weight != 0;

		if (w->slots == 0 && (w->retired || (old && !by_operator))) {
			worker_free(ws, w);
		}
	}
	workers_models_sweep(ws, now_ms);
}

void
workers_tick(struct workers *ws, uint64_t now_ms)
{
	workers_ramp(ws, now_ms);
	workers_health_tick(ws, now_ms);
	sweep(ws, now_ms);
}

uint32_t
workers_slots(const struct workers *ws)
{
	uint32_t sum = 0;

	LIST_FOREACH (&ws->all, w, struct worker, node) {
		sum += w->slots;
	}
	return sum;
}
