/*
 * sim/sim_side.c - the cache and the audit service: they answer after a moment, sometimes too late, sometimes not at all. See
 * sim.h.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "wire/mesh.h"

#define BACK_US 200000

/* A call that is being answered. */
struct side_call {
	struct list node;
	struct side *side;
	struct call *call;
	struct loop_timer timer;
	bool lookup, append;
	size_t records;
};

static void
side_call_free(struct side_call *c)
{
	loop_timer_cancel(sim_loop(), &c->timer);
	list_remove(&c->node);
	free(c);
}

static void
answer_append(struct call *call, size_t records)
{
	static uint64_t index[AUDIT_EVENTS_MAX];
	struct audit_appended reply = { .index = index, .count = records, .checkpoint = "" };
	struct buf body = BUF_INIT(0);

	audit_appended_encode(&reply, &body);
	far_end(call, NULL, body.data, body.len);
	buf_done(&body);
}

static void
answer_lookup(struct call *call, bool lookup)
{
	struct cache_found found = { .tier = "" };
	struct buf body = BUF_INIT(0);

	if (lookup) {
		cache_found_encode(&found, &body);
	} else {
		cache_stored_encode(true, &body);
	}
	far_end(call, NULL, body.data, body.len);
	buf_done(&body);
}

static void
answer_fire(void *arg)
{
	struct side_call *c = arg;
	struct side_call was = *c;

	side_call_free(c);
	if (was.append) {
		answer_append(was.call, was.records);
	} else {
		answer_lookup(was.call, was.lookup);
	}
}

static size_t
count_records(const struct call_request *req)
{
	struct audit_append a;
	struct arena arena;
	struct im_err err;

	arena_init(&arena, 0);
	if (audit_append_decode(req->body, req->body_len, &arena, &a, &err) != IM_OK) {
		sim_fail("the audit service cannot read an Append: %s", err.text);
	}
	arena_done(&arena);
	return a.count;
}

static void *
side_opened(void *far, struct call *call, const struct call_request *req)
{
	struct side *s = far;
	struct prng *rng = &s->router->world->rng;
	struct side_call *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		sim_fail("no memory for the simulation itself");
	}
	c->side = s;
	c->call = call;
	c->timer = (struct loop_timer){ .fn = answer_fire, .arg = c };
	c->append = s->audit;
	c->lookup = strcmp(req->method, METHOD_CACHE_LOOKUP) == 0;
	c->records = s->audit ? count_records(req) : 0;
	list_push_back(&s->calls, &c->node);
	if (!s->silent) {
		sim_at(&c->timer, sim_now_us() + 100 + prng_below(rng, 5000));
	}
	return c;
}

static void
side_gone(void *user)
{
	side_call_free(user);
}

static void
side_nothing(void *user, const uint8_t *body, size_t len)
{
	(void)user;
	(void)body;
	(void)len;
}

static void
side_ended(void *user, const struct im_err *err, const uint8_t *body, size_t len)
{
	(void)user;
	(void)err;
	(void)body;
	(void)len;
}

static void
side_closed(void *far)
{
	((struct side *)far)->link = NULL;
}

static void
side_goaway(void *far)
{
	(void)far;
}

static void
up_fire(void *arg)
{
	static const struct far_ops ops = { .opened = side_opened,
					    .gone = side_gone,
					    .data = side_nothing,
					    .ended = side_ended,
					    .closed = side_closed,
					    .goaway = side_goaway };
	struct side *s = arg;

	s->silent = false;
	LIST_FOREACH (&s->calls, c, struct side_call, node) {
		if (!loop_timer_armed(&c->timer)) {
			sim_at(&c->timer, sim_now_us());
		}
	}
	if (s->link == NULL && s->ep != NULL) {
		s->link = far_open_dialled(s->ep, s->audit ? "audit" : "cache", &ops, s);
	}
}

void
side_dialled(void *router, struct endpoint *ep, const char *url)
{
	struct sim_router *r = router;

	if (url == NULL) {
		r->audit.ep = r->audit.ep == ep ? NULL : r->audit.ep;
		r->cache.ep = r->cache.ep == ep ? NULL : r->cache.ep;
		return;
	}
	if (strstr(url, "audit") != NULL) {
		r->audit.ep = ep;
		sim_at(&r->audit.up, sim_now_us());
	} else {
		r->cache.ep = ep;
		sim_at(&r->cache.up, sim_now_us());
	}
}

/* It goes away, or falls silent, for a while. */
void
side_fault(struct side *s)
{
	struct prng *rng = &s->router->world->fault_rng;
	struct link *link = s->link;

	if (prng_below(rng, 2) == 0) {
		s->silent = true;
	} else if (link != NULL) {
		s->link = NULL;
		far_lose(link, "cut by the simulation");
	}
	sim_at(&s->up, sim_now_us() + BACK_US + prng_below(rng, 3000000));
}

static void
one_init(struct sim_router *r, struct side *s, bool audit)
{
	s->router = r;
	s->audit = audit;
	list_init(&s->calls);
	s->up = (struct loop_timer){ .fn = up_fire, .arg = s };
}

void
side_init(struct sim_router *r)
{
	one_init(r, &r->audit, true);
	one_init(r, &r->cache, false);
}

static void
one_done(struct side *s)
{
	LIST_FOREACH_SAFE (&s->calls, c, struct side_call, node) {
		side_call_free(c);
	}
	loop_timer_cancel(sim_loop(), &s->up);
}

void
side_done(struct sim_router *r)
{
	one_done(&r->audit);
	one_done(&r->cache);
}
