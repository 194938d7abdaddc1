/*
 * inference/local_models.c - which models are loaded, and their end; see local_models.h. Changes are local_change.c's.
 */
#include "inference/local_models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "inference/local_models_internal.h"

#define DEMO_NAME "demo"

/* What is served, anew. */

static void
add_info(struct local_models *m, struct model_entry *e, const char *id)
{
	if (m->info_count == MODELS_NAMES_MAX)
		return; /* checked at start: aliases are not more */
	m->behind[m->info_count] = e;
	m->infos[m->info_count++] = (struct model_info){
		.id = id,
		.owned_by = "infermesh",
		.digest = e->now->model.digest,
		.created = e->now->model.created,
		.context_tokens = e->now->model.context_tokens,
	};
}

void
models_renew_infos(struct local_models *m)
{
	size_t aliases = m->item != NULL ? config_map_len(m->item, "workers[].aliases") : 0;

	m->info_count = 0;
	LIST_FOREACH (&m->entries, e, struct model_entry, node)
		if (e->now != NULL)
			add_info(m, e, e->id);
	for (size_t i = 0; i < aliases; i++) {
		const char *alias, *model;
		struct model_entry *e;

		config_map_at(m->item, "workers[].aliases", i, &alias, &model);
		e = models_entry(m, model);
		if (e != NULL && e->now != NULL)
			add_info(m, e, alias);
	}
}

struct model_entry *
models_entry(const struct local_models *m, const char *name)
{
	LIST_FOREACH (&m->entries, e, struct model_entry, node)
		if (strcmp(e->id, name) == 0)
			return e;
	return NULL;
}

struct model_entry *
models_add_entry(struct local_models *m, const char *name, struct im_err *err)
{
	struct model_entry *e;
	size_t count = 0;

	LIST_FOREACH (&m->entries, other, struct model_entry, node)
		count++;
	if (count == CONFIG_MODELS_MAX) {
		(void)err_set(err, IM_EINVAL, "a worker has at most %d models", CONFIG_MODELS_MAX);
		return NULL;
	}
	e = calloc(1, sizeof(*e));
	if (e == NULL) {
		(void)err_set(err, IM_ENOMEM, "no memory for a model");
		return NULL;
	}
	(void)snprintf(e->id, sizeof(e->id), "%s", name);
	e->watch.name = e->id;
	list_push_back(&m->entries, &e->node);
	return e;
}

void
models_drop_entry(struct model_entry *e)
{
	list_remove(&e->node);
	free(e);
}

struct resident *
models_find(struct local_models *m, const char *name, struct im_err *err)
{
	for (size_t i = 0; i < m->info_count; i++)
		if (strcmp(m->infos[i].id, name) == 0)
			return m->behind[i]->now;
	(void)err_reason(err, IM_ENOTFOUND, "model_not_found",
			 "this worker does not serve the model '%.200s'", name);
	return NULL;
}

/* The end of weights. */

static void
add_stats(struct models_sum *sum, const struct engine_stats *s)
{
	sum->steps += atomic_load(&s->steps);
	sum->prompt_tokens += atomic_load(&s->prompt_tokens);
	sum->cached_tokens += atomic_load(&s->cached_tokens);
	sum->generated_tokens += atomic_load(&s->generated_tokens);
}

static void
work_free(struct loader_task *t)
{
	struct resident *r = CONTAINER_OF(t, struct resident, free);

	engine_join(&r->engine);
	local_model_done(&r->model);
}

static void
on_freed(void *arg)
{
	struct resident *r = arg;
	struct local_models *m = r->owner;

	list_remove(&r->node);
	free(r);
	m->past.freed++;
	m->under_way--;
	models_try_finish(m);
}

/* Runs on the loop, maybe in the thread that is ending: another one waits for it. */
static void
on_exited(void *arg)
{
	struct resident *r = arg;
	struct local_models *m = r->owner;

	add_stats(&m->past, &r->engine.stats);
	r->counted = true;
	r->free.work = work_free;
	r->free.done = (struct loop_task){ .fn = on_freed, .arg = r };
	m->under_way++;
	loader_do(&m->loader, &r->free);
}

static void
resident_end(struct resident *r)
{
	if (r->ending)
		return;
	r->ending = true;
	engine_stop(&r->engine, on_exited, r);
}

void
resident_retire(struct resident *r)
{
	r->retired = true;
	if (r->jobs == 0)
		resident_end(r);
}

void
resident_submit(struct resident *r, struct job *job)
{
	r->jobs++;
	r->in_flight++;
	engine_submit(&r->engine, job);
}

void
resident_cancel(struct resident *r, struct job *job)
{
	r->in_flight--;
	atomic_store(&job->cancelled, true);
	engine_wake(&r->engine, true);
}

void
resident_done(struct resident *r, bool cancelled)
{
	r->jobs--;
	if (!cancelled)
		r->in_flight--;
	if (r->retired && r->jobs == 0)
		resident_end(r);
}

enum im_rc
resident_begin(struct resident *r, struct model_entry *e, struct im_err *err)
{
	struct local_models *m = r->owner;
	enum im_rc rc =
	    engine_start(&r->engine, m->loop, &r->model, m->step_ms, m->on_piece, m->on_done, err);

	if (rc != IM_OK) {
		local_model_done(&r->model);
		free(r);
		return rc;
	}
	(void)snprintf(r->fingerprint, sizeof(r->fingerprint), "fp_%.12s", r->model.digest);
	(void)snprintf(r->name, sizeof(r->name), "%s", e->id);
	list_push_back(&m->residents, &r->node);
	e->now = r;
	if (r->model.sealed && !r->model.locked)
		log_warn(
		    "the memory of an encrypted model may be swapped out: encrypt the swap, or lift the limit of locked "
		    "memory (LimitMEMLOCK=infinity)",
		    LOG_STR("infermesh.model", e->id));
	return IM_OK;
}

/* Start and stop. */

/* "demo", what the configuration says, or the name of the file without its end. */
static enum im_rc
only_name(const struct config *item, const char *file, char ret[GENERATE_MODEL_MAX + 1],
	  struct im_err *err)
{
	const char *id = DEMO_NAME;
	size_t len;

	if (item != NULL && config_strings_len(item, "workers[].models") > 1)
		return err_set(
		    err, IM_EINVAL,
		    "workers[].models: a local worker serves one model; give it one name, or use workers[].aliases");
	if (item != NULL && config_strings_len(item, "workers[].models") == 1) {
		id = config_strings_at(item, "workers[].models", 0);
	} else if (file != NULL) {
		const char *slash = strrchr(file, '/');

		id = slash != NULL ? slash + 1 : file;
	}
	len = strlen(id);
	if (file != NULL && len > 5 && strcmp(id + len - 5, ".gguf") == 0)
		len -= 5;
	if (len == 0)
		return err_set(
		    err, IM_EINVAL,
		    "a model's name has 1 to %d bytes: check workers[].models and aliases",
		    GENERATE_MODEL_MAX);
	(void)snprintf(ret, GENERATE_MODEL_MAX + 1, "%.*s", (int)len, id);
	return IM_OK;
}

/* Each leads to a model of ours. */
static enum im_rc
check_aliases(const struct local_models *m, struct im_err *err)
{
	size_t count = m->item != NULL ? config_map_len(m->item, "workers[].aliases") : 0;

	if (count > MODELS_NAMES_MAX - CONFIG_MODELS_MAX)
		return err_set(err, IM_EINVAL, "workers[].aliases: at most %d are possible",
			       MODELS_NAMES_MAX - CONFIG_MODELS_MAX);
	for (size_t i = 0; i < count; i++) {
		const char *alias, *model;

		config_map_at(m->item, "workers[].aliases", i, &alias, &model);
		if (models_entry(m, model) == NULL)
			return err_set(
			    err, IM_EINVAL,
			    "workers[].aliases: '%s' stands for '%s', but this worker has no such model",
			    alias, model);
		if (alias[0] == '\0' || strlen(alias) > GENERATE_MODEL_MAX)
			return err_set(
			    err, IM_EINVAL,
			    "a model's name has 1 to %d bytes: check workers[].models and aliases",
			    GENERATE_MODEL_MAX);
	}
	return IM_OK;
}

static enum im_rc
start_one(struct local_models *m, struct im_err *err)
{
	char name[GENERATE_MODEL_MAX + 1] = "";
	struct model_entry *e = NULL;
	struct resident *r;
	enum im_rc rc = only_name(m->item, m->params.file, name, err);

	if (rc == IM_OK && (e = models_add_entry(m, name, err)) == NULL)
		return err->rc;
	if (rc == IM_OK)
		rc = check_aliases(m, err);
	if (rc != IM_OK)
		return rc;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the local backend");
	(void)snprintf(e->spec.name, sizeof(e->spec.name), "%s", name);
	r->owner = m;
	rc = local_model_load(&m->params, &r->model, err);
	if (rc != IM_OK) {
		free(r);
		return rc;
	}
	return resident_begin(r, e, err);
}

static enum im_rc
start_manifest(struct local_models *m, struct im_err *err)
{
	struct config *manifest = NULL;
	enum im_rc rc = config_load_manifest(m->manifest, &manifest, err);

	for (size_t i = 0; rc == IM_OK && i < config_items(manifest, "models"); i++) {
		struct model_entry *e;
		struct local_spec spec;

		rc = spec_at(manifest, i, &spec, err);
		if (rc != IM_OK)
			break;
		e = models_add_entry(m, spec.name, err);
		if (e == NULL)
			rc = err->rc;
		else
			e->spec = spec;
	}
	if (rc == IM_OK) {
		m->params.share = (uint32_t)config_items(manifest, "models");
		rc = check_aliases(m, err);
	}
	LIST_FOREACH (&m->entries, e, struct model_entry, node)
		if (rc == IM_OK && e->spec.load)
			/* What is not possible the entry says. */
			(void)!models_change(m, MODEL_CHANGE_LOAD, e->id, NULL, NULL, &e->err);
	if (manifest != NULL)
		config_free(manifest);
	return rc;
}

static void
free_entries(struct local_models *m)
{
	LIST_FOREACH_SAFE (&m->entries, e, struct model_entry, node)
		models_drop_entry(e);
}

enum im_rc
models_start(struct local_models *m, struct loop *loop, const struct config *item,
	     void (*on_piece)(struct job *, struct buf *), void (*on_done)(struct job *),
	     struct im_err *err)
{
	struct im_err why;
	enum im_rc rc;

	*m = (struct local_models){
		.loop = loop,
		.item = item,
		.manifest = item != NULL ? config_str(item, "workers[].manifest") : NULL,
		.params = { .file = item != NULL ? config_str(item, "workers[].model_file") : NULL,
			    .sha256 = item != NULL ? config_str(item, "workers[].sha256") : NULL,
			    .key_file =
				item != NULL ? config_str(item, "workers[].model_key_file") : NULL,
			    .sequences = spec_setting(item, "workers[].max_batch_size"),
			    .context_tokens = spec_setting(item, "workers[].max_context_length"),
			    .batch_tokens = spec_setting(item, "workers[].batch_tokens"),
			    .threads = spec_setting(item, "workers[].threads"),
			    .exact = item != NULL && config_bool(item, "workers[].exact"),
			    .sinks = spec_setting(item, "workers[].context_sinks"),
			    .gpu = { .layers = GPU_LAYERS_ALL, .split = GPU_SPLIT_LAYER },
			    .share = 1 },
		.step_ms = spec_setting(item, "workers[].step_ms"),
		.capacity = spec_setting(item, "workers[].capacity"),
		.on_piece = on_piece,
		.on_done = on_done,
	};
	if (err == NULL)
		err = &why;
	list_init(&m->entries);
	list_init(&m->residents);
	rc = loader_start(&m->loader, loop, err);
	if (rc == IM_OK)
		rc = m->manifest != NULL ? start_manifest(m, err) : start_one(m, err);
	if (rc != IM_OK) {
		/* Nothing was begun: each way to get here comes before. */
		loader_stop(&m->loader);
		free_entries(m);
		return rc;
	}
	models_renew_infos(m);
	return IM_OK;
}

static void
work_goodbye(struct loader_task *t)
{
	(void)t;
}

static void
on_goodbye(void *arg)
{
	struct local_models *m = arg;
	loop_fn stopped = m->stopped;
	void *stopped_arg = m->stopped_arg;

	loader_stop(&m->loader);
	free_entries(m);
	stopped(stopped_arg);
}

void
models_try_finish(struct local_models *m)
{
	if (!m->stopping || !list_empty(&m->residents) || m->under_way > 0)
		return;
	m->goodbye.work = work_goodbye;
	m->goodbye.done = (struct loop_task){ .fn = on_goodbye, .arg = m };
	loader_do(&m->loader, &m->goodbye);
}

void
models_stop(struct local_models *m, loop_fn stopped, void *arg)
{
	m->stopping = true;
	m->stopped = stopped;
	m->stopped_arg = arg;
	LIST_FOREACH (&m->entries, e, struct model_entry, node) {
		atomic_store(&e->watch.give_up, true);
		e->now = NULL;
	}
	m->info_count = 0;
	LIST_FOREACH (&m->residents, r, struct resident, node) {
		r->retired = true;
		resident_end(r);
	}
	models_try_finish(m);
}

/* What is told. */

uint32_t
models_capacity(const struct local_models *m)
{
	uint32_t sum = 0;

	if (m->capacity > 0)
		return m->capacity;
	LIST_FOREACH (&m->entries, e, struct model_entry, node)
		sum += e->now != NULL ? e->now->model.sequences : 0;
	return sum > 0 ? sum : 1;
}

struct models_sum
models_sum(const struct local_models *m)
{
	struct models_sum sum = m->past;

	LIST_FOREACH (&m->residents, r, struct resident, node) {
		if (r->retired)
			sum.retiring++;
		else
			sum.loaded++;
		if (r->counted)
			continue;
		add_stats(&sum, &r->engine.stats);
		sum.seated += atomic_load(&r->engine.stats.seated);
		sum.waiting += atomic_load(&r->engine.stats.waiting);
	}
	return sum;
}

uint32_t
models_queued(const struct local_models *m)
{
	uint32_t sum = 0;

	LIST_FOREACH (&m->residents, r, struct resident, node)
		sum += r->counted ? 0 : atomic_load(&r->engine.stats.waiting);
	return sum;
}
