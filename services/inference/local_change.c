/*
 * inference/local_change.c - a model is loaded, unloaded, reloaded or verified; see local_models.h. What takes long is done on the
 * loader's thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "inference/local_models_internal.h"

#define RETIRING_MAX 2 /* older weights of one name that requests still run on */

/* One change under way. 'work' touches nothing of the loop's but what is marked. */
struct change {
	struct loader_task task;
	struct local_models *m;
	struct model_entry *entry; /* the worker thread reads its id and writes its watch */
	enum model_change what;
	struct local_model_params params; /* a copy */
	struct local_spec spec;           /* without a manifest: the entry's */
	bool has_spec;
	struct resident *fresh; /* loaded, without an engine */
	char digest[65];        /* of what was loaded or verified */
	uint64_t began_us;
	enum im_rc rc;
	struct im_err err;
	backend_changed_fn done;
	void *user;
};

static enum im_rc
read_spec(struct change *c)
{
	struct local_model_params *p = &c->params;
	enum im_rc rc;

	p->watch = &c->entry->watch;
	if (c->m->manifest == NULL)
		return IM_OK;
	rc = spec_find(c->m->manifest, c->entry->id, &c->spec, &c->err);
	if (rc != IM_OK)
		return rc;
	c->has_spec = true;
	p->file = c->spec.file;
	p->sha256 = c->spec.sha256[0] != '\0' ? c->spec.sha256 : NULL;
	p->gpu = c->spec.gpu;
	p->key_file = c->spec.key_file[0] != '\0' ? c->spec.key_file : NULL;
	p->chat_template = c->spec.chat_template[0] != '\0' ? c->spec.chat_template : NULL;
	if (c->spec.context_tokens > 0)
		p->context_tokens = c->spec.context_tokens;
	return IM_OK;
}

/* On the loader's thread. */
static void
work_change(struct loader_task *t)
{
	struct change *c = CONTAINER_OF(t, struct change, task);

	c->rc = IM_OK;
	if (c->what == MODEL_CHANGE_UNLOAD)
		return;
	c->entry->watch.told_us = 0;
	c->rc = read_spec(c);
	if (c->rc != IM_OK)
		return;
	if (c->what == MODEL_CHANGE_VERIFY) {
		c->rc = local_model_verify(&c->params, c->digest, &c->err);
	} else {
		c->fresh = calloc(1, sizeof(*c->fresh));
		c->rc = c->fresh != NULL ? local_model_load(&c->params, &c->fresh->model, &c->err)
					 : err_set(&c->err, IM_ENOMEM, "no memory for a model");
		if (c->rc == IM_OK) {
			memcpy(c->digest, c->fresh->model.digest, sizeof(c->digest));
			return;
		}
		free(c->fresh);
		c->fresh = NULL;
	}
}

/* New weights are there: they answer from now on. */
static void
take_fresh(struct change *c)
{
	struct resident *old = c->entry->now;

	c->fresh->owner = c->m;
	c->rc = resident_begin(c->fresh, c->entry, &c->err);
	if (c->rc != IM_OK)
		return;
	if (c->has_spec)
		c->entry->spec = c->spec;
	models_renew_infos(c->m);
	if (old != NULL)
		resident_retire(old);
}

static void
let_go(struct change *c)
{
	struct resident *old = c->entry->now;

	c->entry->now = NULL;
	models_renew_infos(c->m);
	if (old != NULL)
		resident_retire(old);
}

static void
tell_log(const struct change *c, const char *before)
{
	static const char *const said[] = {
		[MODEL_CHANGE_LOAD] = "a model is loaded",
		[MODEL_CHANGE_UNLOAD] = "a model is unloaded",
		[MODEL_CHANGE_RELOAD] =
		    "a model is loaded again: new requests go to the new weights",
		[MODEL_CHANGE_VERIFY] = "a model's file is what it should be",
	};

	if (c->rc != IM_OK)
		log_error("a model is not loaded; the others answer on",
			  LOG_STR("infermesh.model", c->entry->id),
			  LOG_STR("error.message", c->err.text));
	else
		log_info(said[c->what], LOG_STR("infermesh.model", c->entry->id),
			 LOG_STR("infermesh.digest.before", before),
			 LOG_STR("infermesh.digest.after", c->digest),
			 LOG_UINT("event.duration", (clock_mono_us() - c->began_us) * 1000));
}

/* The loop again. */
static void
on_changed(void *arg)
{
	struct change *c = arg;
	struct local_models *m = c->m;
	struct model_entry *e = c->entry;
	struct backend_changed r = { .what = c->what };
	char before[65] = "";

	if (e->now != NULL)
		(void)snprintf(before, sizeof(before), "%s", e->now->model.digest);
	if (m->stopping && c->fresh != NULL) {
		local_model_done(&c->fresh->model);
		free(c->fresh);
		c->fresh = NULL;
	}
	if (m->stopping)
		c->rc = err_set(&c->err, IM_EUNAVAILABLE, "the worker is being stopped");
	else if (c->fresh != NULL)
		take_fresh(c);
	else if (c->what == MODEL_CHANGE_UNLOAD)
		let_go(c);
	e->busy = false;
	atomic_store(&e->watch.stage, WATCH_IDLE);
	if (c->what != MODEL_CHANGE_VERIFY)
		e->err = c->rc == IM_OK ? (struct im_err){ 0 } : c->err;
	if (!m->stopping)
		tell_log(c, before);
	r.model = c->entry->id;
	r.before = before;
	r.after = c->digest;
	if (c->done != NULL)
		c->done(c->user, c->rc == IM_OK ? NULL : &c->err, &r);
	/* One that the manifest does not have (any more) leaves with its weights. */
	if (!m->stopping && e->now == NULL && m->manifest != NULL && !c->has_spec &&
	    c->rc == IM_ENOTFOUND && c->what == MODEL_CHANGE_LOAD)
		models_drop_entry(e);
	free(c);
	m->under_way--;
	models_try_finish(m);
}

static struct change *
change_new(struct local_models *m, struct model_entry *e, enum model_change what,
	   backend_changed_fn done, void *user, struct im_err *err)
{
	struct change *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		(void)err_set(err, IM_ENOMEM, "no memory to change a model");
		return NULL;
	}
	c->m = m;
	c->entry = e;
	c->what = what;
	c->params = m->params;
	c->began_us = clock_mono_us();
	c->done = done;
	c->user = user;
	c->task.work = work_change;
	c->task.done = (struct loop_task){ .fn = on_changed, .arg = c };
	return c;
}

static uint32_t
count_retiring(const struct local_models *m, const char *name)
{
	uint32_t count = 0;

	LIST_FOREACH (&m->residents, r, struct resident, node)
		count += r->retired && strcmp(r->name, name) == 0;
	return count;
}

/* Is that possible with an entry as it is? */
static enum im_rc
check_possible(const struct local_models *m, const struct model_entry *e, enum model_change what,
	       struct im_err *err)
{
	uint32_t retiring = count_retiring(m, e->id);

	if (e->busy)
		return err_reason(
		    err, IM_EAGAIN, "model_busy",
		    "'%.80s' is being changed already; 'infermesh model list' says how "
		    "far it is",
		    e->id);
	if (what == MODEL_CHANGE_LOAD && e->now != NULL)
		return err_set(err, IM_EEXIST,
			       "'%.80s' is loaded; 'infermesh model reload' takes its file anew",
			       e->id);
	if ((what == MODEL_CHANGE_UNLOAD || what == MODEL_CHANGE_RELOAD) && e->now == NULL)
		return err_set(err, IM_ENOTFOUND,
			       "'%.80s' is not loaded; 'infermesh model load' does it", e->id);
	if (what != MODEL_CHANGE_VERIFY && retiring >= RETIRING_MAX)
		return err_reason(
		    err, IM_EAGAIN, "model_busy",
		    "requests still run on %u older weights of '%.80s', which take memory; "
		    "try again when they have ended",
		    retiring, e->id);
	return IM_OK;
}

enum im_rc
models_change(struct local_models *m, enum model_change what, const char *name,
	      backend_changed_fn done, void *user, struct im_err *err)
{
	struct model_entry *e = models_entry(m, name);
	bool added = false;
	struct change *c;
	enum im_rc rc = IM_OK;

	if (m->stopping)
		return err_set(err, IM_EUNAVAILABLE, "the worker is being stopped");
	if (e == NULL && m->manifest != NULL && what == MODEL_CHANGE_LOAD) {
		e = models_add_entry(m, name, err); /* it may stand in the manifest by now */
		added = e != NULL;
	} else if (e == NULL) {
		rc = err_set(err, IM_ENOTFOUND, "this worker has no model '%.80s'", name);
	} else {
		rc = check_possible(m, e, what, err);
	}
	if (rc != IM_OK || e == NULL)
		return err->rc;
	c = change_new(m, e, what, done, user, err);
	if (c == NULL) {
		if (added)
			models_drop_entry(e);
		return IM_ENOMEM;
	}
	e->busy = true;
	m->under_way++;
	loader_do(&m->loader, &c->task);
	return IM_OK;
}

static const char *
state_text(const struct model_entry *e)
{
	if (e->now != NULL)
		return "ready";
	if (e->busy)
		return "loading";
	return e->err.rc != IM_OK ? "failed" : "unloaded";
}

static struct model_state
describe(const struct model_entry *e)
{
	const struct resident *now = e->now;
	struct model_state s = { .name = e->id,
				 .state = state_text(e),
				 .doing = "",
				 .file = e->spec.file,
				 .digest = "",
				 .quantisation = e->spec.quantisation,
				 .error = e->err.rc != IM_OK ? e->err.text : "" };

	if (e->busy) {
		s.doing = watch_doing(&e->watch);
		s.percent = atomic_load(&e->watch.percent);
	}
	if (now != NULL) {
		s.file = now->model.path;
		s.digest = now->model.digest;
		s.context_tokens = now->model.context_tokens;
		s.sequences = now->model.sequences;
		s.running = now->in_flight;
	}
	return s;
}

void
models_list(const struct local_models *m, struct model_states *ret)
{
	ret->count = 0;
	LIST_FOREACH (&m->entries, e, struct model_entry, node) {
		if (ret->count == MODEL_STATES_MAX)
			break;
		ret->model[ret->count] = describe(e);
		ret->model[ret->count++].retiring = count_retiring(m, e->id);
	}
}
