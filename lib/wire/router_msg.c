/*
 * wire/router_msg.c - what the router is told and asked besides generating: models, announcements; see mesh.h.
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

void
report_encode(const struct load *load, struct buf *out)
{
	Infermesh__V1__ReportRequest m = INFERMESH__V1__REPORT_REQUEST__INIT;
	Infermesh__V1__Load l;

	load_out(load, &l);
	m.load = &l;
	wire_pack(&m.base, out);
}

enum im_rc
report_decode(const uint8_t *buf, size_t len, struct load *ret, struct im_err *err)
{
	struct arena arena = { .max_bytes = SMALL_MESSAGE_BYTES };
	const Infermesh__V1__ReportRequest *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__report_request__descriptor, buf, len, &arena, &msg, err);

	if (rc == IM_OK) {
		m = (const Infermesh__V1__ReportRequest *)msg;
		if (m->load != NULL)
			*ret = load_in(m->load);
		else
			rc = err_set(err, IM_EINVAL, "load: a report without one");
	}
	arena_done(&arena);
	return rc;
}
