/*
 * wire/plain_agrees.c - see plain_agrees.h.
 */
#include "wire/plain_agrees.h"

#include <stdlib.h>
#include <string.h>

#include "infermesh/v1/audit.pb-c.h"
#include "infermesh/v1/inference.pb-c.h"
#include "wire/plain_event.h"
#include "wire/plain_frame.h"
#include "wire/unpack_agrees.h"

/* What is to be encoded may have NULL for "", what was decoded never: are_there(). */
static bool
same_text(const char *ours, const char *theirs)
{
	return strcmp(ours != NULL ? ours : "", theirs) == 0;
}

static bool
are_there(const char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (texts[i] == NULL)
			return false;
	return true;
}

static bool
same_bytes(bool has, const uint8_t *ours, size_t len, const ProtobufCBinaryData *theirs)
{
	return has ? theirs->len == len && memcmp(ours, theirs->data, len) == 0 : theirs->len == 0;
}

/* Events. */

static bool
same_load(const struct worker_load *w, const Infermesh__V1__WorkerLoad *m)
{
	return same_text(w->worker, m->worker) && w->in_flight == m->in_flight &&
	       (int)w->state == (int)m->state && (int)w->breaker == (int)m->breaker &&
	       w->weight == m->weight;
}

static bool
same_routing(const struct routing *r, const Infermesh__V1__Routing *m)
{
	if (!same_text(r->worker, m->worker) || !same_text(r->policy, m->policy) ||
	    !same_text(r->reason, m->reason) || !same_text(r->route, m->route) ||
	    !same_text(r->arm, m->arm) || !same_text(r->fallback, m->fallback) ||
	    !same_text(r->rule, m->rule) || r->attempts != m->attempts ||
	    !same_bytes(r->has_cache_key, r->cache_key, sizeof(r->cache_key), &m->cache_key) ||
	    !same_bytes(r->has_leader, r->leader, sizeof(r->leader), &m->leader) ||
	    r->seen_count != m->n_seen || r->failed_count != m->n_failed)
		return false;
	for (size_t i = 0; i < m->n_seen; i++)
		if (!same_load(&r->seen[i], m->seen[i]))
			return false;
	for (size_t i = 0; i < m->n_failed; i++)
		if (!same_text(r->failed[i].worker, m->failed[i]->worker) ||
		    !same_text(r->failed[i].reason, m->failed[i]->reason))
			return false;
	return true;
}

static bool
same_usage(const struct usage *u, const Infermesh__V1__Usage *m)
{
	return u->prompt_tokens == m->prompt_tokens &&
	       u->completion_tokens == m->completion_tokens &&
	       u->cached_tokens == m->cached_tokens && u->reasoning_tokens == m->reasoning_tokens;
}

static bool
same_gap(const struct gap *g, const Infermesh__V1__Gap *m)
{
	return g->count == m->count && g->from_us == m->from_us && g->to_us == m->to_us &&
	       same_text(g->reason, m->reason);
}

static bool
same_digests(const struct audit_event *e, const Infermesh__V1__Event *m)
{
	return same_bytes(e->has_request_id, e->request_id, sizeof(e->request_id),
			  &m->request_id) &&
	       same_bytes(e->has_input, e->input_sha256, sizeof(e->input_sha256),
			  &m->input_sha256) &&
	       same_bytes(e->has_output, e->output_sha256, sizeof(e->output_sha256),
			  &m->output_sha256) &&
	       same_bytes(e->has_config_digest, e->config_digest, sizeof(e->config_digest),
			  &m->config_digest) &&
	       same_bytes(e->has_reporter, e->reporter, sizeof(e->reporter), &m->reporter);
}

static bool
same_event(const struct audit_event *e, const Infermesh__V1__Event *m)
{
	const Infermesh__V1__Routing no_routing = INFERMESH__V1__ROUTING__INIT;
	const Infermesh__V1__Gap no_gap = INFERMESH__V1__GAP__INIT;

	return (int)e->kind == (int)m->kind && (int)e->outcome == (int)m->outcome &&
	       same_text(e->caller, m->caller) && same_text(e->tenant, m->tenant) &&
	       same_text(e->model, m->model) && same_text(e->model_digest, m->model_digest) &&
	       e->request_time_us == m->request_time_us &&
	       e->response_time_us == m->response_time_us && e->status_code == m->status_code &&
	       e->has_routing == (m->routing != NULL) && e->has_usage == (m->usage != NULL) &&
	       e->has_gap == (m->gap != NULL) && same_digests(e, m) &&
	       same_routing(&e->routing, e->has_routing ? m->routing : &no_routing) &&
	       (!e->has_usage || same_usage(&e->usage, m->usage)) &&
	       same_gap(&e->gap, e->has_gap ? m->gap : &no_gap);
}

static bool
same_events(const struct audit_append *a, const Infermesh__V1__AppendRequest *m)
{
	if (a->count != m->n_events)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!same_event(&a->events[i], m->events[i]))
			return false;
	return true;
}

/* No text of what was decoded is NULL. */
static bool
texts_of_events(const struct audit_append *a)
{
	bool there = true;

	for (size_t i = 0; i < a->count; i++) {
		const struct audit_event *e = &a->events[i];
		const struct routing *r = &e->routing;
		const char *const texts[] = { e->caller, e->tenant,   e->model,  e->model_digest,
					      r->worker, r->policy,   r->reason, r->route,
					      r->arm,    r->fallback, r->rule,   e->gap.reason };

		there = there && are_there(texts, sizeof(texts) / sizeof(texts[0]));
		for (size_t k = 0; k < r->seen_count; k++)
			there = there && r->seen[k].worker != NULL;
		for (size_t k = 0; k < r->failed_count; k++)
			there = there && r->failed[k].worker != NULL && r->failed[k].reason != NULL;
	}
	return there;
}

static bool
usual_events(const struct audit_append *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (a->events[i].has_gap || a->events[i].routing.failed_count > 0)
			return false;
	return true;
}

/* Frames. */

static bool
same_delta(const struct delta *d, const Infermesh__V1__Delta *m)
{
	if (d->index != m->index || !same_text(d->role, m->role) ||
	    !same_text(d->content, m->content) ||
	    !same_text(d->reasoning_content, m->reasoning_content) ||
	    !same_text(d->finish_reason, m->finish_reason) ||
	    !same_text(d->logprobs_json, m->logprobs_json) || !same_text(d->refusal, m->refusal) ||
	    !same_bytes(d->embedding.len > 0, d->embedding.data, d->embedding.len, &m->embedding) ||
	    d->tool_call_count != m->n_tool_calls)
		return false;
	for (size_t i = 0; i < m->n_tool_calls; i++) {
		const struct tool_call_delta *t = &d->tool_calls[i];

		if (t->index != m->tool_calls[i]->index ||
		    !same_text(t->id, m->tool_calls[i]->id) ||
		    !same_text(t->name, m->tool_calls[i]->name) ||
		    !same_text(t->arguments, m->tool_calls[i]->arguments))
			return false;
	}
	return true;
}

/* But for what is in a head: by hand there is none. */
static bool
same_frame(const struct generate_frame *f, const Infermesh__V1__GenerateFrame *m)
{
	if (f->has_head != (m->head != NULL) || f->dimensions != m->dimensions ||
	    !same_text(f->system_fingerprint, m->system_fingerprint) ||
	    f->delta_count != m->n_deltas)
		return false;
	for (size_t i = 0; i < f->delta_count; i++)
		if (!same_delta(&f->deltas[i], m->deltas[i]))
			return false;
	return true;
}

static bool
texts_of_frame(const struct generate_frame *f)
{
	bool there = f->system_fingerprint != NULL && f->head.model != NULL &&
		     f->head.cache != NULL && f->head.worker != NULL && f->head.fallback != NULL;

	for (size_t i = 0; i < f->delta_count; i++) {
		const struct delta *d = &f->deltas[i];
		const char *const texts[] = {
			d->role,          d->content,       d->reasoning_content,
			d->finish_reason, d->logprobs_json, d->refusal
		};

		there = there && are_there(texts, sizeof(texts) / sizeof(texts[0]));
	}
	return there;
}

/* Pieces of text alone, and some. */
static bool
usual_frame(const struct generate_frame *f)
{
	bool usual = f->delta_count > 0 && !f->has_head && f->dimensions == 0;

	for (size_t i = 0; i < f->delta_count; i++)
		usual =
		    usual && f->deltas[i].tool_call_count == 0 && f->deltas[i].embedding.len == 0;
	return usual;
}

/* Both. */

/* In memory of its own length, so that a byte read too many is found; wiped once it is read, so that nothing points into it. */
struct reading {
	uint8_t *bytes;
	size_t len;
	struct arena arena;
	ProtobufCMessage *
	    theirs; /* NULL: protobuf-c does not take it, or makes one of two messages, which it does in a way of its own */
	bool merged;
};

static struct reading
reading_begin(const ProtobufCMessageDescriptor *type, const uint8_t *buf, size_t len)
{
	struct reading r = { .bytes = malloc(len > 0 ? len : 1), .len = len };

	if (r.bytes == NULL)
		abort();
	if (len > 0)
		memcpy(r.bytes, buf, len);
	r.merged = unpack_has_twice(type, r.bytes, len);
	r.theirs = unpack_by_protobuf(type, r.bytes, len, &r.arena);
	return r;
}

static void
reading_done(struct reading *r)
{
	arena_done(&r->arena);
	free(r->bytes);
}

/* 'ours' is what protobuf-c packs of 'theirs'. */
static bool
same_packed(const struct buf *ours, const ProtobufCMessage *theirs)
{
	size_t len = protobuf_c_message_get_packed_size(theirs);
	uint8_t *want = malloc(len > 0 ? len : 1);
	bool same;

	if (want == NULL)
		abort();
	(void)protobuf_c_message_pack(theirs, want);
	same = buf_ok(ours) && ours->len == len && (len == 0 || memcmp(ours->data, want, len) == 0);
	free(want);
	return same;
}

bool
plain_events_are(const struct audit_append *want, const struct buf *bytes)
{
	struct reading r =
	    reading_begin(&infermesh__v1__append_request__descriptor, bytes->data, bytes->len);
	bool are = r.theirs != NULL && same_events(want, (const void *)r.theirs) &&
		   same_packed(bytes, r.theirs);

	reading_done(&r);
	return are;
}

bool
plain_frame_is(const struct generate_frame *want, const struct buf *bytes)
{
	struct reading r =
	    reading_begin(&infermesh__v1__generate_frame__descriptor, bytes->data, bytes->len);
	bool is = r.theirs != NULL && same_frame(want, (const void *)r.theirs) &&
		  same_packed(bytes, r.theirs);

	reading_done(&r);
	return is;
}

bool
plain_events_agree(const uint8_t *buf, size_t len, bool *ret_plain)
{
	struct reading r = reading_begin(&infermesh__v1__append_request__descriptor, buf, len);
	const Infermesh__V1__AppendRequest *theirs = (const void *)r.theirs;
	struct audit_append by_hand, unpacked, again;
	struct buf out = { 0 };
	bool plain = plain_events_decode(r.bytes, len, &r.arena, &by_hand);
	bool whole = audit_append_unpack(r.bytes, len, &r.arena, &unpacked, NULL) == IM_OK;
	bool agrees = !plain || (whole && theirs != NULL && !r.merged);

	memset(r.bytes, 0xff, len);
	if (plain && agrees)
		agrees = texts_of_events(&by_hand) && same_events(&by_hand, theirs);
	if (whole && !r.merged) {
		audit_append_encode(&unpacked, &out);
		agrees = agrees && theirs != NULL && texts_of_events(&unpacked) &&
			 same_events(&unpacked, theirs) && same_packed(&out, r.theirs);
	}
	if (agrees && whole && !r.merged && usual_events(&unpacked))
		agrees = plain_events_decode(out.data, out.len, &r.arena, &again);
	if (ret_plain != NULL)
		*ret_plain = plain;
	buf_done(&out);
	reading_done(&r);
	return agrees;
}

bool
plain_frame_agrees(const uint8_t *buf, size_t len, bool *ret_plain)
{
	struct reading r = reading_begin(&infermesh__v1__generate_frame__descriptor, buf, len);
	const Infermesh__V1__GenerateFrame *theirs = (const void *)r.theirs;
	struct generate_frame by_hand, either, again;
	struct buf out = { 0 };
	bool plain = plain_frame_decode(r.bytes, len, &r.arena, &by_hand);
	bool whole = generate_frame_decode(r.bytes, len, &r.arena, &either, NULL) == IM_OK;
	ProtobufCMessage *msg;
	bool agrees = !plain || (whole && theirs != NULL && !r.merged &&
				 wire_unpack(&infermesh__v1__generate_frame__descriptor, r.bytes,
					     len, &r.arena, &msg, NULL) == IM_OK &&
				 same_frame(&by_hand, (const void *)msg));

	memset(r.bytes, 0xff, len);
	if (plain && agrees)
		agrees = texts_of_frame(&by_hand) && same_frame(&by_hand, theirs);
	if (agrees && whole && !r.merged) {
		agrees = theirs != NULL && texts_of_frame(&either) && same_frame(&either, theirs);
		if (agrees && plain_frame_encode(&either, &out))
			agrees = same_packed(&out, r.theirs);
		if (agrees && usual_frame(&either))
			agrees = plain_frame_decode(out.data, out.len, &r.arena, &again);
	}
	if (ret_plain != NULL)
		*ret_plain = plain;
	buf_done(&out);
	reading_done(&r);
	return agrees;
}

bool
plain_agrees_also_when_broken(plain_agrees_fn *agrees, const struct buf *bytes, size_t *ret_cut,
			      size_t *ret_changed)
{
	bool plain;

	*ret_cut = *ret_changed = 0;
	for (size_t len = 0; len < bytes->len; len++) {
		if (!agrees(bytes->data, len, &plain))
			return false;
		*ret_cut += plain;
	}
	for (size_t at = 0; at < bytes->len; at++) {
		uint8_t was = bytes->data[at];

		for (unsigned v = 0; v < 256; v++) {
			bytes->data[at] = (uint8_t)v;
			if (!agrees(bytes->data, bytes->len, &plain))
				return false;
			*ret_changed += plain;
		}
		bytes->data[at] = was;
	}
	return true;
}
