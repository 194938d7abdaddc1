/*
 * router/health_rig.c - see health_rig.h.
 */
#include "router/health_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void
on_state(void *user, struct worker *w, enum health_state before)
{
	struct told *told = user;

	assert_int_not_equal(w->health.state, before);
	told->states++;
	told->last = w->health.state;
}

static void
on_breaker(void *user, struct worker_model *wm, enum breaker_change change, const char *why)
{
	struct told *told = user;

	assert_non_null(why);
	assert_true(wm->serving);
	told->opened += change == BREAKER_OPENS || change == BREAKER_REOPENS;
	told->closed += change == BREAKER_CLOSES;
}

static void
on_paused(void *user, struct worker_model *wm, uint32_t pause_ms, const char *why)
{
	struct told *told = user;

	assert_non_null(why);
	assert_true(pause_ms > 0 && wm->paused_until_ms != 0);
	told->pauses++;
}

static void
on_room(void *user, struct worker *w)
{
	struct told *told = user;

	assert_true(workers_usable(w));
	told->rooms++;
}

static struct model_info models[] = { { .id = "m", .owned_by = "", .digest = "" },
				      { .id = "n", .owned_by = "", .digest = "" } };

void
world_init(struct world *t)
{
	memset(t, 0, sizeof(*t));
	t->now_ms = 1000;
	workers_init(&t->ws, 0, 1);
	t->ws.set = (struct workers_settings){
		.breaker = { .failures = 5, .open_ms = 30000, .open_max_ms = 120000 },
		.eject_max_percent = 50,
		.suspect_ms = 3000
	};
	t->ws.ops = (struct workers_ops){ .state = on_state,
					  .breaker = on_breaker,
					  .paused = on_paused,
					  .room = on_room,
					  .user = &t->told };
	for (size_t i = 0; i < FLEET; i++) {
		t->instance[i][0] = (uint8_t)i;
	}
}

/* Worker number 'i' announces 'count' models, from number 'first' on, over the link that it has or a new one. */
struct worker *
world_announce(struct world *t, size_t i, size_t first, size_t count, bool draining)
{
	char name[8];
	struct announce a = { .worker = name,
			      .backend = "local",
			      .models = &models[first],
			      .model_count = count,
			      .draining = draining,
			      .load = { .capacity = 8 } };
	struct link *link = t->w[i] != NULL
				? t->w[i]->link
				: (struct link *)(void *)&t->links[t->links_used++ % 4096];
	struct announced ret;
	struct im_err err;

	(void)snprintf(name, sizeof(name), "w%zu", i);
	assert_int_equal(
	    workers_announce(&t->ws, link, t->instance[i], t->w[i], &a, t->now_ms, &ret, &err),
	    IM_OK);
	t->w[i] = ret.worker;
	return ret.worker;
}

void
world_join(struct world *t, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		(void)world_announce(t, i, 0, 1, false);
	}
}

struct model *
world_model(struct world *t)
{
	return workers_find_model(&t->ws, "m");
}

struct worker_model *
world_entry(struct world *t, size_t i)
{
	return workers_serving(t->w[i], world_model(t));
}

/* Time passes, everybody speaks. */
void
world_pass(struct world *t, uint64_t ms)
{
	t->now_ms += ms;
	LIST_FOREACH (&t->ws.all, w, struct worker, node) {
		workers_heard(w);
	}
	workers_tick(&t->ws, t->now_ms);
}

struct attempt
world_begin(struct worker *w, struct model *m)
{
	struct attempt a;

	workers_take_slot(w);
	workers_attempt_begin(workers_serving(w, m), &a);
	return a;
}

void
world_end(struct world *t, struct attempt *a, enum verdict verdict)
{
	struct judgement what = { .verdict = verdict, .pause_ms = 7000, .limited = true };

	workers_attempt_end(a, &what, "told to", t->now_ms);
	workers_free_slot(a->worker);
}

void
world_attempt(struct world *t, size_t i, enum verdict verdict)
{
	struct attempt a = world_begin(t->w[i], world_model(t));

	world_end(t, &a, verdict);
}

void
world_fail(struct world *t, size_t i, unsigned times)
{
	while (times-- > 0) {
		world_attempt(t, i, VERDICT_FAILED);
	}
}

struct worker *
world_pick(struct world *t)
{
	struct pick_ask ask = { .policy = POLICY_LEAST_CONNECTIONS };
	struct pick p;
	struct worker *w;

	workers_pick(&t->ws, world_model(t), &ask, &p);
	w = p.worker;
	workers_pick_done(&p);
	return w;
}
