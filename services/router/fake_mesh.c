/*
 * router/fake_mesh.c - see fake_mesh.h.
 */
#include "router/fake_mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "router/router.h"

#define TURN_US 200

/* --- the audit service --- */

struct held_append {
	struct list node;
	struct served *served;
	struct buf body;
	bool cancelled;
};

static bool
seen_before(const struct mesh *m, const struct audit_event *ev)
{
	if (m->record_cap > 4096) {
		return false; /* the storm looks at the whole afterwards */
	}
	for (size_t i = 0; i < m->record_count; i++) {
		if (m->records[i].kind == ev->kind &&
		    memcmp(m->records[i].request_id, ev->request_id, 16) == 0) {
			return true;
		}
	}
	return false;
}

static void
record(struct mesh *m, const struct audit_event *ev)
{
	struct recorded *r;

	assert_true(
	    ev->has_request_id); /* also GAP and CONFIG: what is sent again is recognised by it */
	if (seen_before(m, ev)) {
		return;
	}
	if (m->record_count == m->record_cap) {
		m->record_cap = m->record_cap == 0 ? 1024 : m->record_cap * 2;
		m->records = realloc(m->records, m->record_cap * sizeof(*m->records));
		assert_non_null(m->records);
	}
	r = &m->records[m->record_count++];
	memset(r, 0, sizeof(*r));
	r->kind = ev->kind;
	memcpy(r->request_id, ev->request_id, 16);
	r->outcome = ev->outcome;
	r->status_code = ev->status_code;
	r->attempts = ev->routing.attempts;
	r->failed_count = ev->routing.failed_count;
	if (r->failed_count > 0) {
		const struct failed_attempt *f = &ev->routing.failed[r->failed_count - 1];

		(void)snprintf(r->failed_worker, sizeof(r->failed_worker), "%s", f->worker);
		(void)snprintf(r->failed_reason, sizeof(r->failed_reason), "%s", f->reason);
	}
	(void)snprintf(r->reason, sizeof(r->reason), "%s",
		       ev->has_routing ? ev->routing.reason : "");
	(void)snprintf(r->worker, sizeof(r->worker), "%s",
		       ev->has_routing ? ev->routing.worker : "");
	(void)snprintf(r->route, sizeof(r->route), "%s", ev->has_routing ? ev->routing.route : "");
	(void)snprintf(r->arm, sizeof(r->arm), "%s", ev->has_routing ? ev->routing.arm : "");
	(void)snprintf(r->fallback, sizeof(r->fallback), "%s",
		       ev->has_routing ? ev->routing.fallback : "");
	(void)snprintf(r->model, sizeof(r->model), "%s", ev->model);
	(void)snprintf(r->caller, sizeof(r->caller), "%s", ev->caller);
	(void)snprintf(r->digest, sizeof(r->digest), "%s", ev->model_digest);
	memcpy(r->output_sha256, ev->output_sha256, 32);
	r->has_output = ev->has_output;
	r->has_cache_key = ev->has_routing && ev->routing.has_cache_key;
	r->has_leader = ev->has_routing && ev->routing.has_leader;
	if (r->has_leader) {
		memcpy(r->leader, ev->routing.leader, sizeof(r->leader));
	}
	r->gap_count = ev->has_gap ? ev->gap.count : 0;
}

static void
acknowledge(struct mesh *m, struct served *served, const uint8_t *body, size_t len)
{
	struct audit_append a;
	struct audit_appended reply = { .checkpoint = "" };
	struct buf bytes = BUF_INIT(0);
	struct arena arena;
	struct im_err err;

	arena_init(&arena, 0);
	assert_int_equal(audit_append_decode(body, len, &arena, &a, &err), IM_OK);
	reply.count = a.count;
	reply.index = arena_calloc(&arena, a.count + 1, sizeof(*reply.index));
	for (size_t i = 0; i < a.count; i++) {
		record(m, &a.events[i]);
	}
	audit_appended_encode(&reply, &bytes);
	served_end(served, NULL, bytes.data, bytes.len);
	buf_done(&bytes);
	arena_done(&arena);
}

static void
append_gone(void *user, struct served *served)
{
	struct held_append *h = user;

	served_end(served, NULL, NULL, 0);
	list_remove(&h->node);
	buf_done(&h->body);
	free(h);
}

static void
audit_request(void *user, struct link *link, struct served *served,
	      const struct served_request *req)
{
	static const struct served_ops ops = { .cancelled = append_gone };
	struct mesh *m = user;
	struct im_err err;

	(void)link;
	if (m->audit_fails) {
		(void)err_reason(&err, IM_EUNAVAILABLE, "audit_unavailable", "the disk is full");
		served_end(served, &err, NULL, 0);
	} else if (m->audit_holds) {
		struct held_append *h = calloc(1, sizeof(*h));

		h->served = served;
		buf_append(&h->body, req->body, req->body_len);
		list_push_back(&m->audit_held, &h->node);
		served_accept(served, &ops, h);
	} else {
		acknowledge(m, served, req->body, req->body_len);
	}
}

void
mesh_audit_release(struct mesh *m, bool hold_on)
{
	loop_enter(m->loop);
	m->audit_holds = hold_on; /* what follows may happen inside loop_leave() */
	LIST_FOREACH_SAFE (&m->audit_held, h, struct held_append, node) {
		list_remove(&h->node);
		acknowledge(m, h->served, h->body.data, h->body.len);
		buf_done(&h->body);
		free(h);
	}
	loop_leave(m->loop);
}

void
mesh_audit_release_one(struct mesh *m)
{
	struct held_append *h;

	loop_enter(m->loop);
	h = CONTAINER_OF(list_pop_front(&m->audit_held), struct held_append, node);
	acknowledge(m, h->served, h->body.data, h->body.len);
	loop_leave(m->loop);
	buf_done(&h->body);
	free(h);
}

void
mesh_audit_up(struct mesh *m)
{
	static const struct endpoint_ops ops = { .request = audit_request };
	struct im_err err;

	loop_enter(m->loop);
	assert_int_equal(net_listen(m->audit_net, "inproc://audit", &ops, m, &m->audit_ep, &err),
			 IM_OK);
	loop_leave(m->loop);
}

void
mesh_audit_down(struct mesh *m)
{
	loop_enter(m->loop);
	endpoint_close(m->audit_ep);
	m->audit_ep = NULL;
	loop_leave(m->loop);
}

size_t
mesh_count(const struct mesh *m, enum record_kind kind, enum outcome outcome)
{
	size_t n = 0;

	for (size_t i = 0; i < m->record_count; i++) {
		n += m->records[i].kind == kind &&
		     (outcome == OUTCOME_NONE || m->records[i].outcome == outcome);
	}
	return n;
}

const struct recorded *
mesh_last(const struct mesh *m, enum record_kind kind)
{
	for (size_t i = m->record_count; i > 0; i--) {
		if (m->records[i - 1].kind == kind) {
			return &m->records[i - 1];
		}
	}
	fail_msg("no record of that kind");
	return NULL;
}

/* --- the cache --- */

static void
cache_lookup(struct mesh *m, struct served *served, const struct served_request *req)
{
	struct cache_lookup lookup;
	struct cache_found found = { .tier = "l1", .age_ms = 5 };
	struct buf bytes = BUF_INIT(0);

	assert_int_equal(cache_lookup_decode(req->body, req->body_len, &lookup, NULL), IM_OK);
	for (size_t i = 0; i < m->entry_count; i++) {
		if (memcmp(m->entries[i].key, lookup.key, sizeof(lookup.key)) == 0) {
			found.hit = true;
			found.value.data = m->entries[i].value.data;
			found.value.len = m->entries[i].value.len;
		}
	}
	cache_found_encode(&found, &bytes);
	served_end(served, NULL, bytes.data, bytes.len);
	buf_done(&bytes);
}

static void
cache_store(struct mesh *m, struct served *served, const struct served_request *req)
{
	struct cache_store store;
	struct buf bytes = BUF_INIT(0);
	struct arena arena;

	arena_init(&arena, 0);
	assert_int_equal(cache_store_decode(req->body, req->body_len, &arena, &store, NULL), IM_OK);
	if (m->entry_count < MESH_ENTRIES) {
		memcpy(m->entries[m->entry_count].key, store.key, sizeof(store.key));
		buf_append(&m->entries[m->entry_count].value, store.value.data, store.value.len);
		m->entry_count++;
	}
	cache_stored_encode(true, &bytes);
	served_end(served, NULL, bytes.data, bytes.len);
	buf_done(&bytes);
	arena_done(&arena);
}

static void
end_quietly(void *user, struct served *served)
{
	(void)user;
	served_end(served, NULL, NULL, 0);
}

static void
cache_request(void *user, struct link *link, struct served *served,
	      const struct served_request *req)
{
	static const struct served_ops silent = { .cancelled = end_quietly };
	struct mesh *m = user;

	(void)link;
	if (m->cache_silent) {
		served_accept(served, &silent, m);
	} else if (strcmp(req->method, METHOD_CACHE_LOOKUP) == 0) {
		cache_lookup(m, served, req);
	} else {
		cache_store(m, served, req);
	}
}

/* --- the whole --- */

static void
caller_up(void *user, struct link *link)
{
	((struct mesh *)user)->caller_link = link;
}

static void
caller_down(void *user, struct link *link, const struct im_err *why)
{
	(void)link;
	(void)why;
	((struct mesh *)user)->caller_link = NULL;
}

static void
caller_goaway(void *user, struct link *link)
{
	(void)link;
	((struct mesh *)user)->caller_goaway = true;
}

static void
poll_fire(void *arg)
{
	loop_stop(((struct mesh *)arg)->loop);
}

void
mesh_turn(struct mesh *m)
{
	loop_enter(m->loop);
	assert_int_equal(loop_timer_set(m->loop, &m->poll, TURN_US), IM_OK);
	loop_leave(m->loop);
	loop_run(m->loop);
}

void
mesh_wait_turn(struct mesh *m, uint64_t end_us, const char *what)
{
	mesh_turn(m);
	if (clock_mono_us() > end_us) {
		fail_msg("waited in vain for: %s", what);
	}
}

static void
set_true(void *arg)
{
	*(bool *)arg = true;
}

static struct net *
new_net(struct mesh *m, const char *role, const char *name)
{
	struct net_params params = { .role = role,
				     .name = name,
				     .window_bytes = 4096,
				     .max_frame_bytes = strcmp(role, "audit") == 0 ? 4096 : 0,
				     .reconnect_max_ms = 20 };
	struct net *net;
	struct im_err err;

	assert_int_equal(net_new(m->loop, &params, &net, &err), IM_OK);
	return net;
}

struct mesh *
mesh_start(const char *router_yaml, const char *role)
{
	return mesh_start_with(router_yaml, "", role);
}

struct mesh *
mesh_start_with(const char *router_yaml, const char *more_yaml, const char *role)
{
	static const struct endpoint_ops cache_ops = { .request = cache_request };
	static const struct endpoint_ops caller_ops = { .up = caller_up,
							.down = caller_down,
							.goaway = caller_goaway };
	struct mesh *m = calloc(1, sizeof(*m));
	struct buf yaml = BUF_INIT(0);
	struct im_err err;

	assert_non_null(m);
	list_init(&m->audit_held);
	m->poll = (struct loop_timer){ .fn = poll_fire, .arg = m };
	buf_printf(
	    &yaml,
	    "mesh: {reconnect_max_ms: 20}\nrouter: {listen: 'inproc://outside', %s%s%scache_ms: 5s%s%s}\n%s",
	    strstr(router_yaml, "door:") == NULL ? "door: 'off', " : "",
	    strstr(router_yaml, "routes_file:") == NULL ? "routes_file: 'off', " : "",
	    /* Fake workers announce themselves once. */
	    strstr(router_yaml, "suspect_ms:") == NULL ? "suspect_ms: 10m, " : "",
	    router_yaml[0] != '\0' ? ", " : "", router_yaml, more_yaml);
	if (config_parse("test.yaml", (const char *)yaml.data, yaml.len, &m->config, &err) !=
	    IM_OK) {
		fail_msg("%s", err.text);
	}
	buf_done(&yaml);
	assert_int_equal(loop_new(&m->loop, &err), IM_OK);
	loop_enter(m->loop);
	m->audit_net = new_net(m, "audit", "audit");
	m->cache_net = new_net(m, "cache", "cache");
	m->caller_net = new_net(m, role, "caller");
	assert_int_equal(
	    net_listen(m->cache_net, "inproc://cache", &cache_ops, m, &m->cache_ep, &err), IM_OK);
	loop_leave(m->loop);
	mesh_audit_up(m);
	loop_enter(m->loop);
	if (host_start(m->loop, m->config, NULL, &router_service, "router", true, NULL, &m->host,
		       &err) != IM_OK) {
		fail_msg("%s", err.text);
	}
	assert_int_equal(
	    net_dial(m->caller_net, "inproc://router", &caller_ops, m, &m->caller_ep, &err), IM_OK);
	loop_leave(m->loop);
	MESH_WAIT(m, m->caller_link != NULL);
	MESH_WAIT(m, mesh_metric(m, "infermesh_audit_records_pending 0"));
	return m;
}

static void
close_net(struct mesh *m, struct net *net)
{
	bool closed = false;

	if (net == NULL) {
		return;
	}
	loop_enter(m->loop);
	net_close(net, set_true, &closed);
	loop_leave(m->loop);
	MESH_WAIT(m, closed);
	net_free(net);
}

void
mesh_halt(struct mesh *m)
{
	assert_true(mesh_metric(m, "infermesh_router_slots_leaked 0\n"));
	loop_enter(m->loop);
	host_stop(m->host, set_true, &m->closed);
	loop_leave(m->loop);
	MESH_WAIT(m, m->closed);
}

void
mesh_stop(struct mesh *m)
{
	if (!m->closed) {
		mesh_halt(m);
	}
	close_net(m, m->caller_net);
	close_net(m, m->cache_net);
	close_net(m, m->audit_net);
	for (size_t i = 0; i < MESH_WORKERS; i++) {
		close_net(m, m->workers[i].net);
	}
	for (size_t i = 0; i < m->entry_count; i++) {
		buf_done(&m->entries[i].value);
	}
	loop_enter(m->loop);
	loop_timer_cancel(m->loop, &m->poll);
	loop_leave(m->loop);
	free(m->records);
	config_free(m->config);
	loop_free(m->loop);
	free(m);
}
