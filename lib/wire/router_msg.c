/*
 * wire/router_msg.c - what the router is told and asked besides generating: models, announcements, status; see mesh.h.
 */
#include "infermesh/v1/router.pb-c.h"
#include "wire/mesh.h"
#include "wire/text.h"
#include "wire/usage.h"

static enum im_rc
no_memory(struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "a message needs more memory than allowed");
}

/* Pointers to 'count' packed models, from 'tmp'; NULL without memory. */
static Infermesh__V1__Model **
models_out(const struct model_info *models, size_t count, struct arena *tmp)
{
	Infermesh__V1__Model *m = arena_calloc(tmp, count + 1, sizeof(*m));
	Infermesh__V1__Model **list = arena_calloc(tmp, count + 1, sizeof(void *));

	if (m == NULL || list == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		infermesh__v1__model__init(&m[i]);
		m[i].id = text_out(models[i].id);
		m[i].created = models[i].created;
		m[i].owned_by = text_out(models[i].owned_by);
		m[i].digest = text_out(models[i].digest);
		m[i].context_tokens = models[i].context_tokens;
		list[i] = &m[i];
	}
	return list;
}

static struct model_info *
models_in(Infermesh__V1__Model **list, size_t count, struct arena *arena)
{
	struct model_info *models = arena_calloc(arena, count + 1, sizeof(*models));

	if (models == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++)
		models[i] = (struct model_info){
			.id = list[i]->id,
			.created = list[i]->created,
			.owned_by = list[i]->owned_by,
			.digest = list[i]->digest,
			.context_tokens = list[i]->context_tokens,
		};
	return models;
}

void
model_list_encode(const struct model_list *list, struct buf *out)
{
	Infermesh__V1__ListModelsReply m = INFERMESH__V1__LIST_MODELS_REPLY__INIT;
	struct arena tmp = { 0 };

	m.n_models = list->count;
	m.models = models_out(list->models, list->count, &tmp);
	if (m.models != NULL)
		wire_pack(&m.base, out);
	else
		out->failed = true;
	arena_done(&tmp);
}

enum im_rc
model_list_decode(const uint8_t *buf, size_t len, struct arena *arena, struct model_list *ret,
		  struct im_err *err)
{
	const Infermesh__V1__ListModelsReply *m;
	ProtobufCMessage *msg;
	struct model_info *models;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__list_models_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__ListModelsReply *)msg;
	models = models_in(m->models, m->n_models, arena);
	if (models == NULL)
		return no_memory(err);
	*ret = (struct model_list){ models, m->n_models };
	return IM_OK;
}

void
announce_encode(const struct announce *a, struct buf *out)
{
	Infermesh__V1__AnnounceRequest m = INFERMESH__V1__ANNOUNCE_REQUEST__INIT;
	Infermesh__V1__Load load;
	struct arena tmp = { 0 };

	m.worker = text_out(a->worker);
	m.backend = text_out(a->backend);
	m.draining = a->draining;
	m.weight = a->weight;
	m.backup = a->backup;
	load_out(&a->load, &load);
	m.load = &load;
	m.n_models = a->model_count;
	m.models = models_out(a->models, a->model_count, &tmp);
	if (m.models != NULL)
		wire_pack(&m.base, out);
	else
		out->failed = true;
	arena_done(&tmp);
}

enum im_rc
announce_decode(const uint8_t *buf, size_t len, struct arena *arena, struct announce *ret,
		struct im_err *err)
{
	const Infermesh__V1__AnnounceRequest *m;
	ProtobufCMessage *msg;
	struct model_info *models;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__announce_request__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__AnnounceRequest *)msg;
	if (m->worker[0] == '\0')
		return err_set(err, IM_EINVAL, "worker: a worker announces itself without a name");
	if (m->n_models > ANNOUNCE_MODELS_MAX)
		return err_set(err, IM_EINVAL, "models: %zu, allowed are at most %d", m->n_models,
			       ANNOUNCE_MODELS_MAX);
	if (m->weight > ANNOUNCE_WEIGHT_MAX)
		return err_set(err, IM_EINVAL, "weight: %u, allowed is at most %d", m->weight,
			       ANNOUNCE_WEIGHT_MAX);
	models = models_in(m->models, m->n_models, arena);
	if (models == NULL)
		return no_memory(err);
	*ret = (struct announce){
		.worker = m->worker,
		.backend = m->backend,
		.models = models,
		.model_count = m->n_models,
		.load = load_in(m->load),
		.draining = m->draining,
		.weight = m->weight,
		.backup = m->backup,
	};
	return IM_OK;
}

/* 'load' is one for each worker; the packed message points to it. */
static void
worker_status_out(const struct worker_status *w, Infermesh__V1__Load *load,
		  Infermesh__V1__WorkerStatus *ret)
{
	infermesh__v1__worker_status__init(ret);
	load_out(&w->load, load);
	ret->name = text_out(w->name);
	ret->backend = text_out(w->backend);
	ret->state = text_out(w->state);
	ret->n_models = w->model_count;
	ret->models = texts_out(w->models);
	ret->slots = w->slots;
	ret->load = load;
	ret->dispatched = w->dispatched;
	ret->succeeded = w->succeeded;
	ret->failed = w->failed;
}

static void
status_scalars_out(const struct router_status *s, Infermesh__V1__StatusReply *m)
{
	m->name = text_out(s->name);
	m->version = text_out(s->version);
	m->audit = text_out(s->audit);
	m->cache = text_out(s->cache);
	m->uptime_ms = s->uptime_ms;
	m->draining = s->draining;
	m->calls = s->calls;
	m->queued = s->queued;
	m->slots = s->slots;
	m->records_pending = s->records_pending;
	m->records_dropped = s->records_dropped;
	m->admitted = s->admitted;
	m->ended = s->ended;
	m->refused = s->refused;
}

void
router_status_encode(const struct router_status *s, struct buf *out)
{
	Infermesh__V1__StatusReply m = INFERMESH__V1__STATUS_REPLY__INIT;
	struct arena tmp = { 0 };
	Infermesh__V1__WorkerStatus *workers =
	    arena_calloc(&tmp, s->worker_count + 1, sizeof(*workers));
	Infermesh__V1__WorkerStatus **list =
	    arena_calloc(&tmp, s->worker_count + 1, sizeof(void *));
	Infermesh__V1__Load *loads = arena_calloc(&tmp, s->worker_count + 1, sizeof(*loads));

	if (workers == NULL || list == NULL || loads == NULL) {
		out->failed = true;
		arena_done(&tmp);
		return;
	}
	for (size_t i = 0; i < s->worker_count; i++) {
		worker_status_out(&s->workers[i], &loads[i], &workers[i]);
		list[i] = &workers[i];
	}
	m.n_workers = s->worker_count;
	m.workers = list;
	status_scalars_out(s, &m);
	wire_pack(&m.base, out);
	arena_done(&tmp);
}

static struct worker_status
worker_status_in(const Infermesh__V1__WorkerStatus *m)
{
	return (struct worker_status){
		.name = m->name,
		.backend = m->backend,
		.state = m->state,
		.models = texts_in(m->models),
		.model_count = m->n_models,
		.slots = m->slots,
		.load = load_in(m->load),
		.dispatched = m->dispatched,
		.succeeded = m->succeeded,
		.failed = m->failed,
	};
}

enum im_rc
router_status_decode(const uint8_t *buf, size_t len, struct arena *arena, struct router_status *ret,
		     struct im_err *err)
{
	const Infermesh__V1__StatusReply *m;
	ProtobufCMessage *msg;
	struct worker_status *workers;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__status_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__StatusReply *)msg;
	workers = arena_calloc(arena, m->n_workers + 1, sizeof(*workers));
	if (workers == NULL)
		return no_memory(err);
	for (size_t i = 0; i < m->n_workers; i++)
		workers[i] = worker_status_in(m->workers[i]);
	*ret = (struct router_status){
		.name = m->name,
		.version = m->version,
		.audit = m->audit,
		.cache = m->cache,
		.uptime_ms = m->uptime_ms,
		.draining = m->draining,
		.workers = workers,
		.worker_count = m->n_workers,
		.calls = m->calls,
		.queued = m->queued,
		.slots = m->slots,
		.records_pending = m->records_pending,
		.admitted = m->admitted,
		.ended = m->ended,
		.refused = m->refused,
		.records_dropped = m->records_dropped,
	};
	return IM_OK;
}
