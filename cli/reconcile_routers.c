/*
 * cli/reconcile_routers.c - see reconcile_routers.h.
 */
#include "cli/reconcile_routers.h"

#include <stdio.h>
#include <string.h>

#include "cli/user.h"
#include "wire/mesh.h"

#define DIAL_MS 1000
#define CALL_MS 5000

enum im_rc
asked_routers_open(struct asked_routers *a, const struct config *config, struct im_err *err)
{
	size_t count = config_strings_len(config, "router.addresses");
	char name[NET_NAME_MAX];
	enum im_rc rc;

	memset(a, 0, sizeof(*a));
	user_name(name, sizeof(name));
	rc = mesh_open(config, "operator", name, &a->mesh, err);
	for (size_t i = 0; rc == IM_OK && i < count && i < ROUTERS_MAX; i++) {
		struct asked_router *r = &a->router[a->count];
		struct im_err why;

		r->address = config_strings_at(config, "router.addresses", i);
		r->reached =
		    mesh_dial(a->mesh, r->address, DIAL_MS, &a->peer[a->count], &why) == IM_OK;
		if (!r->reached)
			(void)snprintf(r->why, sizeof(r->why), "%.250s", why.text);
		a->reached += r->reached;
		a->count++;
	}
	return rc;
}

static void
ask_one(struct asked_router *r, struct peer *peer, const struct reconcile *log)
{
	struct buf empty = { 0 }, reply = { 0 };
	struct arena arena = { 0 };
	struct router_status s = { .admitted = 0 };
	struct im_err err;
	enum im_rc rc = mesh_call(peer, METHOD_STATUS, &empty, CALL_MS, &reply, &err);

	if (rc == IM_OK)
		rc = router_status_decode(reply.data, reply.len, &arena, &s, &err);
	r->counts = rc == IM_OK && s.has_reporter;
	if (rc != IM_OK)
		(void)snprintf(r->why, sizeof(r->why), "%.250s", err.text);
	else if (!r->counts)
		(void)snprintf(r->why, sizeof(r->why), "it keeps no log (router.audit_mode: off)");
	if (r->counts) {
		r->is = (struct reconcile_router){ .admitted = s.admitted, .in_flight = s.calls };
		memcpy(r->is.reporter, s.reporter, sizeof(r->is.reporter));
		r->is.before = reconcile_reporter(log, s.reporter).requests;
		r->dropped = s.records_dropped;
		r->pending = s.records_pending > 0;
	}
	arena_done(&arena);
	buf_done(&reply);
}

void
asked_routers_ask(struct asked_routers *a, const struct reconcile *r)
{
	for (size_t i = 0; i < a->count; i++)
		if (a->router[i].reached)
			ask_one(&a->router[i], a->peer[i], r);
}

bool
asked_routers_agree(struct asked_routers *a, const struct reconcile *r)
{
	bool agree = true;

	for (size_t i = 0; i < a->count; i++) {
		struct asked_router *q = &a->router[i];
		struct reconcile_reporter now = reconcile_reporter(r, q->is.reporter);

		q->is.after = now.requests;
		q->is.open = now.open;
		agree = agree && (!q->reached || (q->counts && reconcile_agrees(&q->is)));
	}
	return agree;
}

bool
asked_routers_quiet(const struct asked_routers *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (a->router[i].counts &&
		    (a->router[i].pending || a->router[i].is.before != a->router[i].is.after))
			return false;
	return true;
}

const struct asked_router *
asked_routers_find(const struct asked_routers *a, const uint8_t reporter[AUDIT_REPORTER_BYTES])
{
	for (size_t i = 0; i < a->count; i++)
		if (a->router[i].counts &&
		    memcmp(a->router[i].is.reporter, reporter, AUDIT_REPORTER_BYTES) == 0)
			return &a->router[i];
	return NULL;
}

void
asked_routers_close(struct asked_routers *a)
{
	mesh_close(a->mesh);
}
