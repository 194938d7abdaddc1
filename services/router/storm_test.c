/*
 * router/storm_test.c - 20,000 requests among workers that die, fail and hang, callers that leave, deadlines that pass and an
 * audit service that refuses now and then: afterwards no slot is taken and each admitted request has one terminal record.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "router/fake_mesh.h"

#define REQUESTS 20000
#define AT_ONCE  128
#define SEED     20261122

static uint64_t seed = SEED;

static uint32_t
roll(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % n;
}

static void
ask_something(struct mesh *m, struct ask *ask, unsigned number)
{
	char prompt[32];

	(void)snprintf(prompt, sizeof(prompt), "%s", "hang");
	if (roll(8) != 0) {
		(void)snprintf(prompt, sizeof(prompt), "prompt %u",
			       roll(2) == 0 ? roll(20) : number);
	}
	mesh_ask(m, ask, roll(3) == 0 ? METHOD_GENERATE_ONCE : METHOD_GENERATE,
		 roll(2) == 0 ? "demo" : "other", prompt, 5 + roll(200));
}

static void
stir_workers(struct mesh *m)
{
	struct fake_worker *w = &m->workers[roll(MESH_WORKERS)];
	static const enum im_rc failures[] = { IM_OK, IM_OK, IM_OK, IM_EUPSTREAM, IM_EINVAL };

	w->fail_with = failures[roll(5)];
	w->say_one_then_hang = roll(6) == 0;
	w->refuse_full = roll(12) == 0;
	if (roll(4) == 0) {
		mesh_worker_cut(w);
	} else if (w->link != NULL) {
		mesh_worker_announce(w);
	}
	m->audit_fails = roll(200) == 0;
}

/* Not admitted: it is asked again, so that the storm is as large as it claims to be. */
static bool
refused(const struct ask *ask)
{
	return ask->ended && ask->failed && !ask->has_head &&
	       (strcmp(ask->err.reason, "queue_full") == 0 ||
		strcmp(ask->err.reason, "audit_unavailable") == 0);
}

static void
calm(struct mesh *m)
{
	m->audit_fails = false;
	for (size_t i = 0; i < MESH_WORKERS; i++) {
		m->workers[i].fail_with = IM_OK;
		m->workers[i].say_one_then_hang = m->workers[i].refuse_full = false;
	}
}

static int
by_id(const void *a, const void *b)
{
	const struct recorded *x = a, *y = b;
	int order = memcmp(x->request_id, y->request_id, 16);

	return order != 0 ? order : (int)x->kind - (int)y->kind;
}

static bool
same(const struct recorded *a, const struct recorded *b)
{
	return by_id(a, b) == 0 && a->outcome == b->outcome && a->status_code == b->status_code &&
	       a->attempts == b->attempts && strcmp(a->reason, b->reason) == 0 &&
	       strcmp(a->worker, b->worker) == 0 &&
	       memcmp(a->output_sha256, b->output_sha256, 32) == 0;
}

/* A record may come twice, word for word: an Append whose answer was lost is sent again. */
static size_t
distinct(struct recorded *all, size_t count)
{
	size_t n = 0;

	qsort(all, count, sizeof(*all), by_id);
	for (size_t i = 0; i < count; i++) {
		if (n == 0 || !same(&all[n - 1], &all[i])) {
			all[n++] = all[i];
		}
	}
	return n;
}

static void
check_records(struct mesh *m, uint64_t admitted)
{
	uint64_t requests = 0, responses = 0;
	size_t count = distinct(m->records, m->record_count);

	for (size_t i = 0; i < count; i++) {
		const struct recorded *r = &m->records[i];

		if (r->kind == RECORD_REQUEST) {
			requests++;
			/* Its one terminal record stands right behind it. */
			assert_true(i + 1 < count);
			assert_int_equal(m->records[i + 1].kind, RECORD_RESPONSE);
			assert_memory_equal(m->records[i + 1].request_id, r->request_id, 16);
		}
		responses += r->kind == RECORD_RESPONSE;
	}
	assert_int_equal(requests, admitted);
	assert_int_equal(responses, admitted);
}

/* Take leave of some, ask anew. */
static void
tend(struct mesh *m, struct ask *asks, unsigned *asked, unsigned *open)
{
	for (size_t i = 0; i < AT_ONCE; i++) {
		struct ask *ask = &asks[i];

		if (ask->ended || (ask->call != NULL && roll(100) == 0)) {
			*asked -= refused(ask);
			ask_done(ask);
			memset(ask, 0, sizeof(*ask));
			(*open)--;
		}
		if (ask->mesh == NULL && *asked < REQUESTS && roll(3) == 0) {
			ask_something(m, ask, (*asked)++);
			(*open)++;
		}
	}
}

static void
test_router_storm_leaves_no_slot_and_one_terminal_record_each(void **state)
{
	struct mesh *m =
	    mesh_start_with("audit_ms: 60s, queue_max: 64",
			    "limits: [{match: 'key:*', requests_per_minute: 1000000000, "
			    "tokens_per_minute: 1000000000}]\n",
			    "gateway");
	struct ask *asks = calloc(AT_ONCE, sizeof(*asks));
	unsigned asked = 0, open = 0;
	struct router_status s;
	struct arena arena;
	char name[16];

	(void)state;
	assert_non_null(asks);
	for (size_t i = 0; i < MESH_WORKERS; i++) {
		(void)snprintf(name, sizeof(name), "w%zu", i);
		(void)mesh_worker(m, i, name, 8);
	}
	while (asked < REQUESTS || open > 0) {
		tend(m, asks, &asked, &open);
		if (roll(3) == 0) {
			stir_workers(m);
		}
		mesh_turn(m);
	}
	calm(m);
	arena_init(&arena, 0);
	MESH_WAIT(m, mesh_metric(m, "infermesh_requests_running 0\n") &&
			 mesh_metric(m, "infermesh_audit_records_pending 0\n"));
	mesh_status(m, &arena, &s);
	assert_int_equal(s.slots, 0);
	assert_int_equal(s.queued, 0);
	assert_int_equal(s.admitted, s.ended);
	assert_true(mesh_metric(m, "infermesh_ratelimit_reservations_leaked 0\n"));
	assert_true(mesh_metric(m, "infermesh_ratelimit_reserved_tokens 0\n"));
	assert_true(s.admitted > REQUESTS / 2); /* or the storm was none */
	assert_true(mesh_count(m, RECORD_RESPONSE, OUTCOME_OK) > 0);
	assert_true(mesh_count(m, RECORD_RESPONSE, OUTCOME_CANCELLED) > 0);
	assert_true(mesh_count(m, RECORD_RESPONSE, OUTCOME_CACHE_HIT) > 0);
	assert_true(mesh_count(m, RECORD_RESPONSE, OUTCOME_ERROR) > 0);
	/* How many were coalesced is a matter of the machine, a few dozen as a rule: that it is right is coalesce_test's business. */
	print_message("seed %d: %llu of %d admitted, %zu coalesced\n", SEED,
		      (unsigned long long)s.admitted, REQUESTS,
		      mesh_count(m, RECORD_RESPONSE, OUTCOME_COALESCED));
	check_records(m, s.admitted);
	arena_done(&arena);
	free(asks);
	mesh_stop(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_router_storm_leaves_no_slot_and_one_terminal_record_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
