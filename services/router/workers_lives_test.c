/*
 * router/workers_lives_test.c - random lives of a table of workers: they come, fail, probe, pause, drain, vanish and come again,
 * and what workers_health.h promises is checked after each event.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "router/health_rig.h"

#define LIVES   60UL
#define STEPS   4000
#define PENDING 24

struct life {
	struct world t;
	struct prng rng;
	struct attempt pending[PENDING];
	size_t count;
	uint64_t picks, probes;
};

static void
check_model(struct life *l, const char *id)
{
	struct model *m = workers_find_model(&l->t.ws, id);
	uint32_t serving = 0, ejected = 0, usable = 0;
	struct im_err err;

	if (m == NULL) {
		return;
	}
	LIST_FOREACH (&m->serving, wm, struct worker_model, model_node) {
		size_t probes = 0;

		for (size_t i = 0; i < l->count; i++) {
			probes += l->pending[i].worker == wm->worker && l->pending[i].model == m &&
				  breaker_is_probe(l->pending[i].ticket) &&
				  l->pending[i].ticket >> 1 == wm->breaker.period;
		}
		assert_true(probes <= 1);
		assert_int_equal(wm->breaker.probing, probes);
		assert_true(wm->serving);
		assert_true(!wm->ejected || wm->breaker.state != BREAKER_CLOSED);
		assert_int_equal(m->pool[wm->tier].seats[wm->place].usable,
				 workers_model_usable(wm));
		serving++;
		ejected += wm->ejected;
		usable += workers_model_usable(wm);
	}
	assert_int_equal(m->serving_count, serving);
	assert_int_equal(m->ejected_count, ejected);
	/* One always, and else half; those that left are made good at the next tick. */
	assert_true(ejected <= (FLEET > 1 ? FLEET / 2 : 1));
	if (workers_outage(m, l->t.now_ms, &err)) {
		assert_int_equal(usable, 0);
		assert_true(err.retry_after_ms > 0);
	}
	LIST_FOREACH (&m->probing, wm, struct worker_model, probe_node) {
		assert_true(wm->breaker.state == BREAKER_HALF_OPEN && !wm->breaker.probing &&
			    workers_model_usable(wm));
	}
}

/* Net ends the calls of a link before it says that it is lost. */
static void
lose(struct life *l, size_t i)
{
	struct worker *w = l->t.w[i];

	for (size_t k = l->count; k-- > 0;) {
		if (l->pending[k].worker == w) {
			world_end(&l->t, &l->pending[k], VERDICT_NOTHING);
			l->pending[k] = l->pending[--l->count];
		}
	}
	workers_lost(&l->t.ws, w, l->t.now_ms);
	l->t.w[i] = NULL;
}

static void
dispatch(struct life *l)
{
	struct model *m = workers_find_model(&l->t.ws, prng_below(&l->rng, 2) ? "m" : "n");
	struct pick_ask ask = { .policy = (enum policy)prng_below(&l->rng, POLICY_COUNT) };
	struct pick p;

	if (m == NULL || l->count == PENDING) {
		return;
	}
	workers_pick(&l->t.ws, m, &ask, &p);
	if (p.worker != NULL) {
		assert_true(workers_model_usable(p.wm));
		assert_true(!p.wm->ejected || breaker_admits(&p.wm->breaker));
		l->pending[l->count] = world_begin(p.worker, m);
		l->picks++;
		l->probes += breaker_is_probe(l->pending[l->count].ticket);
		l->count++;
	}
	workers_pick_done(&p);
}

static void
live(struct life *l)
{
	struct world *t = &l->t;
	size_t i = prng_below(&l->rng, FLEET);
	uint32_t dice = prng_below(&l->rng, 100);

	if (dice < 2 && t->w[i] != NULL) {
		lose(l, i);
	} else if (dice < 3) {
		t->w[i] = NULL; /* dials anew, the old link is not lost yet */
		t->instance[i][1] += prng_below(&l->rng, 2) ? 1 : 0;
		(void)world_announce(t, i, 0, 2, false);
	} else if (dice < 10) {
		(void)world_announce(t, i, prng_below(&l->rng, 2), 1, prng_below(&l->rng, 20) == 0);
	} else if (dice < 14) {
		(void)world_announce(t, i, 0, 2, false);
	} else if (dice < 15 && t->w[i] != NULL) {
		(void)workers_set_draining(t->w[i], prng_below(&l->rng, 3) == 0, t->now_ms);
	} else if (dice < 25) {
		t->now_ms += prng_below(&l->rng, 2000);
		if (prng_below(&l->rng, 3) != 0) {
			world_pass(t, 0);
		}
		workers_tick(&t->ws, t->now_ms);
	} else if (dice < 60) {
		dispatch(l);
	} else if (l->count > 0) {
		size_t k = prng_below(&l->rng, (uint32_t)l->count);

		if (dice < 65) {
			workers_attempt_token(&l->pending[k], t->now_ms);
			return;
		}
		world_end(t, &l->pending[k],
			  dice < 85 ? VERDICT_FAILED : (enum verdict)prng_below(&l->rng, 4));
		l->pending[k] = l->pending[--l->count];
	}
}

static void
test_health_random_lives_keep_every_promise(void **state)
{
	uint64_t picks = 0, probes = 0, opened = 0, closed = 0;

	(void)state;
	for (uint64_t seed = 0; seed < LIVES; seed++) {
		static struct life l;

		memset(&l, 0, sizeof(l));
		world_init(&l.t);
		l.t.ws.set.breaker = (struct breaker_settings){ .failures = 2,
								.open_ms = 1000,
								.open_max_ms = 4000 };
		prng_seed(&l.rng, seed);
		for (int i = 0; i < STEPS; i++) {
			live(&l);
			check_model(&l, "m");
			check_model(&l, "n");
		}
		while (l.count > 0) {
			world_end(&l.t, &l.pending[--l.count], VERDICT_NOTHING);
		}
		assert_int_equal(workers_slots(&l.t.ws), 0);
		picks += l.picks;
		probes += l.probes;
		opened += l.t.told.opened;
		closed += l.t.told.closed;
		workers_done(&l.t.ws);
	}
	/* The lives went through everything. */
	assert_true(picks > LIVES * 500 && probes > LIVES * 20 && opened > LIVES * 20 &&
		    closed > LIVES * 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_health_random_lives_keep_every_promise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
