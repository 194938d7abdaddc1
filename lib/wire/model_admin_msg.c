/*
 * wire/model_admin_msg.c - what operators ask of a worker; see model_admin.h.
 */
#include "wire/model_admin.h"

#include <assert.h>
#include <string.h>

#include "infermesh/v1/inference.pb-c.h"
#include "wire/text.h"
#include "wire/wire.h"

_Static_assert((int)INFERMESH__V1__MODEL_CHANGE__MODEL_CHANGE_VERIFY == (int)MODEL_CHANGE_VERIFY,
	       "the same numbers");

static void
state_out(const struct model_state *s, Infermesh__V1__ModelState *m)
{
	infermesh__v1__model_state__init(m);
	m->name = text_out(s->name);
	m->state = text_out(s->state);
	m->doing = text_out(s->doing);
	m->percent = s->percent;
	m->file = text_out(s->file);
	m->digest = text_out(s->digest);
	m->quantisation = text_out(s->quantisation);
	m->error = text_out(s->error);
	m->context_tokens = s->context_tokens;
	m->sequences = s->sequences;
	m->running = s->running;
	m->retiring = s->retiring;
}

void
model_states_encode(const struct model_states *s, struct buf *out)
{
	Infermesh__V1__ModelsReply m = INFERMESH__V1__MODELS_REPLY__INIT;
	Infermesh__V1__ModelState states[MODEL_STATES_MAX], *list[MODEL_STATES_MAX];

	assert(s->count <= MODEL_STATES_MAX);
	for (size_t i = 0; i < s->count; i++) {
		state_out(&s->model[i], &states[i]);
		list[i] = &states[i];
	}
	m.n_models = s->count;
	m.models = list;
	wire_pack(&m.base, out);
}

enum im_rc
model_states_decode(const uint8_t *buf, size_t len, struct arena *arena, struct model_states *ret,
		    struct im_err *err)
{
	const Infermesh__V1__ModelsReply *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__models_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__ModelsReply *)msg;
	if (m->n_models > MODEL_STATES_MAX)
		return err_set(err, IM_EPROTO, "models: %zu, allowed are %d", m->n_models,
			       MODEL_STATES_MAX);
	ret->count = m->n_models;
	for (size_t i = 0; i < m->n_models; i++) {
		const Infermesh__V1__ModelState *s = m->models[i];

		ret->model[i] = (struct model_state){ .name = s->name,
						      .state = s->state,
						      .doing = s->doing,
						      .percent = s->percent,
						      .file = s->file,
						      .digest = s->digest,
						      .quantisation = s->quantisation,
						      .error = s->error,
						      .context_tokens = s->context_tokens,
						      .sequences = s->sequences,
						      .running = s->running,
						      .retiring = s->retiring };
	}
	return IM_OK;
}

void
change_model_encode(const struct change_model *c, struct buf *out)
{
	Infermesh__V1__ChangeModelRequest m = INFERMESH__V1__CHANGE_MODEL_REQUEST__INIT;

	m.model = text_out(c->model);
	m.change = (Infermesh__V1__ModelChange)c->change;
	wire_pack(&m.base, out);
}

enum im_rc
change_model_decode(const uint8_t *buf, size_t len, struct arena *arena, struct change_model *ret,
		    struct im_err *err)
{
	const Infermesh__V1__ChangeModelRequest *m;
	ProtobufCMessage *msg;
	enum im_rc rc = wire_unpack(&infermesh__v1__change_model_request__descriptor, buf, len,
				    arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__ChangeModelRequest *)msg;
	if (m->model[0] == '\0' || strlen(m->model) > GENERATE_MODEL_MAX)
		return err_set(err, IM_EINVAL, "model: found %zu bytes, allowed: 1 to %d",
			       strlen(m->model), GENERATE_MODEL_MAX);
	if ((int)m->change < (int)MODEL_CHANGE_LOAD || (int)m->change > (int)MODEL_CHANGE_VERIFY)
		return err_set(err, IM_EINVAL, "change: found %d, allowed: 1 to %d", (int)m->change,
			       (int)MODEL_CHANGE_VERIFY);
	*ret = (struct change_model){ m->model, (enum model_change)m->change };
	return IM_OK;
}

void
model_changed_encode(const struct model_changed *c, struct buf *out)
{
	Infermesh__V1__ChangeModelReply m = INFERMESH__V1__CHANGE_MODEL_REPLY__INIT;

	m.before = text_out(c->before);
	m.after = text_out(c->after);
	wire_pack(&m.base, out);
}

enum im_rc
model_changed_decode(const uint8_t *buf, size_t len, struct arena *arena, struct model_changed *ret,
		     struct im_err *err)
{
	const Infermesh__V1__ChangeModelReply *m;
	ProtobufCMessage *msg;
	enum im_rc rc =
	    wire_unpack(&infermesh__v1__change_model_reply__descriptor, buf, len, arena, &msg, err);

	if (rc != IM_OK)
		return rc;
	m = (const Infermesh__V1__ChangeModelReply *)msg;
	*ret = (struct model_changed){ m->before, m->after };
	return IM_OK;
}
