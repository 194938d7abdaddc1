/*
 * cache/operator.c - what operators may ask; see operator.h.
 */
#include "cache/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "cache/audited.h"
#include "wire/cache_admin.h"

#define ARENA_BYTES   ((size_t)64 * 1024)
#define ASKED_MAX     64 /* operators' requests at once; one more is refused */
#define SELECTION_MAX 700

_Static_assert(CHAIN_TIERS_MAX <= CACHE_TIERS_MAX, "every tier is told about");
_Static_assert(VALUE_LABEL_MAX == CACHE_LABEL_MAX, "what is stored can be purged");

/* A request that does not end at once. */
struct asked {
	struct list node;
	struct cache_operator *operator;
	struct served *served;
	bool cancelled; /* a purge goes on without the one who asked */
	struct arena arena;
	struct chain_get get;
	struct chain_purge purge;
	bool purging;
};

void
cache_operator_init(struct cache_operator *o, struct chain *chain, struct reporter *reporter)
{
	memset(o, 0, sizeof(*o));
	o->chain = chain;
	o->reporter = reporter;
	list_init(&o->asked);
}

static void
answer(struct cache_operator *o, struct served *served)
{
	struct im_err err;

	(void)err_set(&err, IM_ENOMEM, "no memory for the answer");
	served_end(served, buf_ok(&o->reply) ? NULL : &err, o->reply.data, o->reply.len);
}

static void
asked_free(struct asked *a)
{
	list_remove(&a->node);
	arena_done(&a->arena);
	free(a);
}

static void
on_cancelled(void *user, struct served *served)
{
	struct asked *a = user;

	served_end(served, NULL, NULL, 0);
	a->cancelled = true;
	if (a->purging)
		return;
	chain_cancel(&a->get);
	asked_free(a);
}

static struct asked *
asked_new(struct cache_operator *o, struct served *served, struct im_err *err)
{
	static const struct served_ops ops = { .cancelled = on_cancelled };
	struct asked *a = NULL;
	size_t count = 0;

	LIST_FOREACH (&o->asked, other, struct asked, node)
		count++;
	if (count < ASKED_MAX)
		a = calloc(1, sizeof(*a));
	if (a == NULL) {
		(void)err_set(err, IM_EUNAVAILABLE,
			      "%zu requests of operators are under way; try again later", count);
		return NULL;
	}
	a->operator= o;
	a->served = served;
	arena_init(&a->arena, ARENA_BYTES);
	list_push_back(&o->asked, &a->node);
	served_accept(served, &ops, a);
	return a;
}

static void
tiers(struct cache_operator *o, struct served *served)
{
	struct cache_tiers t = { .count = o->chain->count };

	for (size_t i = 0; i < t.count; i++) {
		const struct chain_tier *from = &o->chain->tiers[i];
		struct tier_stats s;

		from->tier->ops->stats(from->tier, &s);
		t.tier[i] = (struct cache_tier){ .name = from->tier->name,
						 .state = s.state,
						 .hits = from->n.hits,
						 .misses = from->n.misses,
						 .failed = from->n.failed,
						 .corrupt = from->n.corrupt,
						 .sized = s.sized,
						 .entries = s.entries,
						 .bytes = s.bytes,
						 .max_bytes = s.max_bytes,
						 .stored = s.stored,
						 .evicted = s.evicted,
						 .expired = s.expired,
						 .dropped = s.dropped,
						 .waiting = s.waiting,
						 .waiting_bytes = s.waiting_bytes,
						 .timeouts = s.timeouts,
						 .errors = s.errors,
						 .reconnects = s.reconnects };
	}
	cache_tiers_encode(&t, &o->reply);
	answer(o, served);
}

/* One entry. */

static bool
text_of(struct arena *arena, const struct wire_bytes *label, const char **ret)
{
	*ret = arena_strndup(arena, (const char *)label->data, label->len);
	return *ret != NULL;
}

static void
on_got(struct chain_get *get, const struct chain_found *found)
{
	struct asked *a = CONTAINER_OF(get, struct asked, get);
	struct cache_operator *o = a->operator;
	struct cache_got got = { 0 };

	buf_clear(&o->reply);
	if (found != NULL) {
		got = (struct cache_got){ .hit = true,
					  .tier = found->tier,
					  .created_us = found->meta.created_us,
					  .expires_us = found->meta.expires_us,
					  .age_ms = found->age_ms,
					  .value = { found->payload, found->len } };
		if (!text_of(&a->arena, &found->meta.tenant, &got.tenant) ||
		    !text_of(&a->arena, &found->meta.model, &got.model))
			o->reply.failed = true;
	}
	cache_got_encode(&got, &o->reply);
	answer(o, a->served);
	asked_free(a);
}

static enum im_rc
get(struct cache_operator *o, struct served *served, const struct served_request *req,
    struct im_err *err)
{
	struct arena arena = { .max_bytes = ARENA_BYTES };
	struct cache_get ask;
	struct asked *a = NULL;
	enum im_rc rc = cache_get_decode(req->body, req->body_len, &arena, &ask, err);

	arena_done(&arena);
	if (rc != IM_OK)
		return rc;
	a = asked_new(o, served, err);
	if (a == NULL)
		return err->rc;
	memcpy(a->get.key, ask.key, sizeof(a->get.key));
	a->get.deadline_us = req->budget_ms != 0 ? clock_mono_us() + req->budget_ms * 1000ULL : 0;
	a->get.done = on_got;
	chain_lookup(o->chain, &a->get);
	return IM_OK;
}

/* A purge. */

/* In words: what the log keeps. */
static void
selection_text(const struct value_selector *sel, char out[SELECTION_MAX])
{
	char key[2 * CACHE_KEY_BYTES + 1] = "";

	if (sel->has_key)
		hex_encode(sel->key, sizeof(sel->key), key);
	(void)snprintf(out, SELECTION_MAX, "key=%s tenant=%s model=%s before_us=%llu",
		       sel->has_key ? key : "*", sel->tenant[0] != '\0' ? sel->tenant : "*",
		       sel->model[0] != '\0' ? sel->model : "*",
		       (unsigned long long)sel->created_before_us);
}

static void
on_purged(struct chain_purge *purge)
{
	struct asked *a = CONTAINER_OF(purge, struct asked, purge);
	struct cache_operator *o = a->operator;
	struct cache_purged done = { .count = purge->count };

	for (size_t i = 0; i < purge->count; i++)
		done.tier[i] = (struct cache_purged_tier){ purge->result[i].tier,
							   purge->result[i].err.rc != IM_OK
							       ? purge->result[i].err.text
							       : "",
							   purge->result[i].removed };
	if (!a->cancelled) {
		buf_clear(&o->reply);
		cache_purged_encode(&done, &o->reply);
		answer(o, a->served);
	}
	asked_free(a);
}

static enum im_rc
purge(struct cache_operator *o, const struct link_peer *peer, struct served *served,
      const struct served_request *req, struct im_err *err)
{
	struct asked *a = asked_new(o, served, err);
	char text[SELECTION_MAX];
	struct cache_purge ask;
	enum im_rc rc;

	if (a == NULL)
		return err->rc;
	a->purging = true;
	rc = cache_purge_decode(req->body, req->body_len, &a->arena, &ask, err);
	if (rc != IM_OK) {
		asked_free(a);
		return rc;
	}
	a->purge.sel = (struct value_selector){ .has_key = ask.has_key,
						.tenant = ask.tenant,
						.model = ask.model,
						.created_before_us = ask.created_before_us };
	memcpy(a->purge.sel.key, ask.key, sizeof(ask.key));
	a->purge.done = on_purged;
	selection_text(&a->purge.sel, text);
	audited_change(o->reporter, peer, "purge", text);
	chain_purge(o->chain, &a->purge);
	return IM_OK;
}

bool
cache_operator_request(struct cache_operator *o, const struct link_peer *peer,
		       struct served *served, const struct served_request *req)
{
	bool is_tiers = strcmp(req->method, METHOD_CACHE_TIERS) == 0;
	bool is_get = strcmp(req->method, METHOD_CACHE_GET) == 0;
	struct im_err err = { 0 };
	enum im_rc rc = IM_OK;

	if (!is_tiers && !is_get && strcmp(req->method, METHOD_CACHE_PURGE) != 0)
		return false;
	buf_clear(&o->reply);
	if (strcmp(peer->role, "operator") != 0)
		rc = err_set(&err, IM_EPERM,
			     "only operators may ask for %s, and this is a %s; use 'infermesh "
			     "cache'",
			     req->method, peer->role);
	else if (is_tiers)
		tiers(o, served);
	else if (is_get)
		rc = get(o, served, req, &err);
	else
		rc = purge(o, peer, served, req, &err);
	if (rc != IM_OK)
		served_end(served, &err, NULL, 0);
	return true;
}

bool
cache_operator_idle(const struct cache_operator *o)
{
	return list_empty(&o->asked);
}

void
cache_operator_stop(struct cache_operator *o)
{
	struct im_err err;

	(void)err_set(&err, IM_EUNAVAILABLE, "the cache is being stopped");
	LIST_FOREACH_SAFE (&o->asked, a, struct asked, node) {
		if (!a->cancelled)
			served_end(a->served, &err, NULL, 0);
		a->cancelled = true;
		if (!a->purging) {
			chain_cancel(&a->get);
			asked_free(a);
		}
	}
}

void
cache_operator_done(struct cache_operator *o)
{
	LIST_FOREACH_SAFE (&o->asked, a, struct asked, node)
		asked_free(a);
	buf_done(&o->reply);
}
