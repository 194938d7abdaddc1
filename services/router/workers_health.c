/*
 * router/workers_health.c - attempts, breakers, pauses, ejection, silence, draining; see workers_health.h.
 */
#include "router/workers_health.h"

#include <string.h>

#define PROBE_WAIT_MS 1000 /* what to tell a caller while a probe is under way */

bool
workers_usable(const struct worker *w)
{
	return health_usable(&w->health);
}

bool
workers_model_usable(const struct worker_model *wm)
{
	return workers_usable(wm->worker) && wm->paused_until_ms == 0 &&
	       (!wm->ejected || breaker_admits(&wm->breaker));
}

/* It may get a request, and that would be the probe. */
static bool
awaits_probe(const struct worker_model *wm)
{
	return wm->breaker.state == BREAKER_HALF_OPEN && workers_model_usable(wm) &&
	       !wm->breaker.probing;
}

static void
tell_room(struct worker *w)
{
	const struct workers *ws = w->table;

	if (ws->ops.room != NULL) {
		ws->ops.room(ws->ops.user, w);
	}
}

/* Whether it may get requests has changed, perhaps. */
static void
refresh(struct worker_model *wm)
{
	wm->model->outage_until_ms = 0;
	if (!awaits_probe(wm)) {
		list_remove(&wm->probe_node);
	} else if (!list_linked(&wm->probe_node)) {
		list_push_back(&wm->model->probing, &wm->probe_node);
	}
	workers_reindex_model(wm);
}

static void
refresh_all(struct worker *w)
{
	for (size_t i = 0; i < w->model_count; i++) {
		refresh(&w->models[i]);
	}
}

/* How many of its model's workers may be ejected at once. */
static uint32_t
eject_limit(const struct worker_model *wm)
{
	uint32_t percent = wm->worker->table->set.eject_max_percent;
	uint32_t n = (uint32_t)((uint64_t)wm->model->serving_count * percent / 100);

	return n > 0 ? n : 1;
}

static void
set_ejected(struct worker_model *wm, bool ejected)
{
	wm->model->ejected_count += ejected;
	wm->model->ejected_count -= wm->ejected;
	wm->ejected = ejected;
}

/* Obey the breaker, or not, as far as the panic threshold allows. True if that is new. */
static bool
obey(struct worker_model *wm)
{
	uint32_t limit = eject_limit(wm);
	bool ejected = wm->ejected;

	if (wm->breaker.state == BREAKER_CLOSED) {
		set_ejected(wm, false);
	} else if (!wm->ejected && wm->model->ejected_count < limit) {
		set_ejected(wm, true);
	} else if (wm->ejected && wm->model->ejected_count > limit) {
		set_ejected(wm, false);
	}
	return wm->ejected != ejected;
}

/* Something about it needs workers_tick() to look. */
static void
set_troubled(struct worker_model *wm)
{
	bool troubled = wm->breaker.state != BREAKER_CLOSED || wm->paused_until_ms != 0;

	if (!troubled) {
		list_remove(&wm->troubled_node);
	} else if (!list_linked(&wm->troubled_node)) {
		list_push_back(&wm->worker->table->troubled, &wm->troubled_node);
	}
}

/* True while slow start holds it back for some model. */
static bool
is_ramping(const struct worker *w)
{
	for (size_t i = 0; i < w->model_count; i++) {
		if (list_linked(&w->models[i].ramp_node)) {
			return true;
		}
	}
	return false;
}

void
workers_health_event(struct worker *w, enum health_event ev, uint64_t now_ms)
{
	const struct workers *ws = w->table;
	enum health_state before = w->health.state;
	bool was_usable = workers_usable(w);

	(void)health_step(&w->health, ev, now_ms);
	if (w->health.joining && !is_ramping(w)) {
		(void)health_step(&w->health, HEALTH_EV_RAMPED, now_ms);
	}
	if (w->health.state != before && ws->ops.state != NULL) {
		ws->ops.state(ws->ops.user, w, before);
	}
	if (workers_usable(w) != was_usable) {
		refresh_all(w);
		if (!was_usable) {
			tell_room(w);
		}
	}
}

/* Open, or more than half way there. */
static bool
is_failing(const struct worker_model *wm)
{
	uint32_t limit = wm->worker->table->set.breaker.failures;

	return wm->breaker.state != BREAKER_CLOSED || (limit > 0 && wm->breaker.row * 2 > limit);
}

/* Which of its models are ejected, or about to be, may have changed. */
static void
review(struct worker *w, uint64_t now_ms)
{
	size_t ejected = 0, failing = 0;

	for (size_t i = 0; i < w->model_count; i++) {
		ejected += w->models[i].ejected;
		failing += is_failing(&w->models[i]);
	}
	workers_health_event(w, failing > 0 ? HEALTH_EV_FAILING : HEALTH_EV_WELL, now_ms);
	workers_health_event(
	    w, ejected > 0 && ejected == w->model_count ? HEALTH_EV_EJECT : HEALTH_EV_READMIT,
	    now_ms);
}

static void
changed(struct worker_model *wm, enum breaker_change change, const char *why, uint64_t now_ms)
{
	struct worker *w = wm->worker;
	const struct workers *ws = w->table;

	(void)obey(wm);
	set_troubled(wm);
	if (change == BREAKER_CLOSES) {
		workers_slow_start(wm, now_ms);
	}
	refresh(wm);
	if (change != BREAKER_PROBE_FREE && ws->ops.breaker != NULL) {
		ws->ops.breaker(ws->ops.user, wm, change, why);
	}
	review(w, now_ms);
	if (workers_model_usable(wm)) {
		tell_room(w);
	}
}

void
workers_attempt_begin(struct worker_model *wm, struct attempt *ret)
{
	ret->worker = wm->worker;
	ret->model = wm->model;
	ret->at = (size_t)(wm - wm->worker->models);
	ret->ticket = breaker_begin(&wm->breaker);
	if (breaker_is_probe(ret->ticket)) {
		refresh(wm);
	}
}

/* Its entry, or NULL if the worker does not serve the model any more. Entries move when a worker announces other models. */
static struct worker_model *
entry_of(const struct attempt *a)
{
	struct worker_model *wm;

	if (a->at < a->worker->model_count && a->worker->models[a->at].model == a->model) {
		wm = &a->worker->models[a->at];
	} else {
		wm = workers_serving(a->worker, a->model);
	}
	return wm != NULL && wm->serving ? wm : NULL;
}

bool
workers_attempt_is_probe(const struct attempt *a)
{
	return breaker_is_probe(a->ticket);
}

void
workers_attempt_token(struct attempt *a, uint64_t now_ms)
{
	struct worker_model *wm;
	enum breaker_change change;

	if (!breaker_is_probe(a->ticket)) {
		return;
	}
	wm = entry_of(a);
	if (wm == NULL) {
		return;
	}
	change = breaker_first_token(&wm->breaker, &a->ticket, now_ms);
	if (change != BREAKER_SAME) {
		changed(wm, change, "the probe is answered", now_ms);
	}
}

static void
set_pause(struct worker_model *wm, const struct judgement *what, uint64_t now_ms)
{
	uint64_t until_ms = now_ms + what->pause_ms;

	/* Answers to requests sent before may name an earlier time: the last to end counts. */
	if (until_ms <= wm->paused_until_ms) {
		return;
	}
	wm->paused_until_ms = until_ms;
	wm->paused_by_limit = what->limited;
	set_troubled(wm);
	refresh(wm);
}

void
workers_attempt_end(struct attempt *a, const struct judgement *what, const char *why,
		    uint64_t now_ms)
{
	const struct workers *ws = a->worker->table;
	struct worker_model *wm = entry_of(a);
	enum breaker_change change;
	bool was_failing;

	if (wm == NULL) {
		return; /* it serves the model no more */
	}
	was_failing = is_failing(wm);
	if (what->verdict == VERDICT_PAUSE) {
		bool was_paused = wm->paused_until_ms != 0;

		set_pause(wm, what, now_ms);
		if (!was_paused && ws->ops.paused != NULL) {
			ws->ops.paused(ws->ops.user, wm, what->pause_ms, why);
		}
	}
	change = breaker_end(&wm->breaker, &ws->set.breaker, a->ticket, what->verdict, now_ms);
	if (change != BREAKER_SAME) {
		changed(wm, change, why, now_ms);
	} else if (is_failing(wm) != was_failing) {
		review(a->worker, now_ms);
	}
}

/* One entry whose time may have come. */
static void
tick_entry(struct worker_model *wm, uint64_t now_ms)
{
	bool admitted = workers_model_usable(wm), was_ejected = wm->ejected;
	enum breaker_change change = breaker_tick(&wm->breaker, now_ms);

	if (wm->paused_until_ms != 0 && now_ms >= wm->paused_until_ms) {
		wm->paused_until_ms = 0;
	}
	if (change != BREAKER_SAME) {
		changed(wm, change, "the pause is over", now_ms);
		return;
	}
	(void)obey(wm); /* workers of the model came or went, or another one has recovered */
	set_troubled(wm);
	refresh(wm);
	if (wm->ejected != was_ejected) {
		review(wm->worker, now_ms);
	}
	if (!admitted && workers_model_usable(wm)) {
		tell_room(wm->worker);
	}
}

static void
tick_worker(struct worker *w, uint64_t now_ms)
{
	uint32_t suspect_ms = w->table->set.suspect_ms;
	bool silent;

	if (w->heard) {
		w->heard = false;
		w->heard_ms = now_ms;
	}
	if (w->health.lost) {
		return;
	}
	silent = suspect_ms > 0 && now_ms >= w->heard_ms + suspect_ms;
	if (silent != w->health.silent) {
		workers_health_event(w, silent ? HEALTH_EV_SILENT : HEALTH_EV_HEARD, now_ms);
	}
	if (w->health.joining && !w->health.ejected) {
		workers_health_event(w, HEALTH_EV_READMIT, now_ms); /* perhaps it is no more */
	}
}

void
workers_health_tick(struct workers *ws, uint64_t now_ms)
{
	/* When we were stopped ourselves nobody could be heard: what they said waits in our sockets. */
	if (ws->ticked_ms != 0 && ws->set.suspect_ms > 0 &&
	    now_ms >= ws->ticked_ms + ws->set.suspect_ms / 2) {
		LIST_FOREACH (&ws->all, w, struct worker, node) {
			w->heard_ms = now_ms;
		}
	}
	ws->ticked_ms = now_ms;
	LIST_FOREACH_SAFE (&ws->troubled, wm, struct worker_model, troubled_node) {
		tick_entry(wm, now_ms);
	}
	LIST_FOREACH (&ws->all, w, struct worker, node) {
		tick_worker(w, now_ms);
	}
}

bool
workers_set_draining(struct worker *w, bool draining, uint64_t now_ms)
{
	bool new = w->health.operator_draining != draining;

	workers_health_event(w, draining ? HEALTH_EV_OPERATOR_DRAIN : HEALTH_EV_OPERATOR_UNDRAIN,
			     now_ms);
	return new;
}

static bool
was_tried(const struct worker *w, const uint64_t *tried, size_t tried_count)
{
	for (size_t i = 0; i < tried_count; i++) {
		if (tried[i] == w->id) {
			return true;
		}
	}
	return false;
}

struct worker_model *
workers_awaiting_probe(const struct model *m, const uint64_t *tried, size_t tried_count)
{
	LIST_FOREACH (&m->probing, wm, struct worker_model, probe_node) {
		if (workers_has_room(wm->worker) && !was_tried(wm->worker, tried, tried_count)) {
			return wm;
		}
	}
	return NULL;
}

/* When requests may go there again; 0 = nobody knows. */
static uint64_t
back_ms(const struct worker_model *wm, uint64_t now_ms)
{
	uint64_t at_ms = wm->paused_until_ms;

	if (!workers_usable(wm->worker)) {
		return 0;
	}
	if (wm->ejected) {
		uint64_t breaker_ms = wm->breaker.state == BREAKER_OPEN
					  ? now_ms + breaker_wait_ms(&wm->breaker, now_ms)
					  : now_ms + PROBE_WAIT_MS;

		at_ms = at_ms > breaker_ms ? at_ms : breaker_ms;
	}
	return at_ms;
}

/* Who is back first, if nobody may get requests now. */
static void
find_outage(struct model *m, uint64_t now_ms)
{
	m->outage_until_ms = UINT64_MAX;
	LIST_FOREACH (&m->serving, wm, struct worker_model, model_node) {
		uint64_t at_ms = back_ms(wm, now_ms);

		if (workers_model_usable(wm)) {
			m->outage_until_ms = UINT64_MAX;
			return;
		}
		if (at_ms != 0 && at_ms < m->outage_until_ms) {
			m->outage_until_ms = at_ms;
			m->outage_limited = wm->paused_until_ms != 0 && wm->paused_by_limit;
		}
	}
}

bool
workers_outage(struct model *m, uint64_t now_ms, struct im_err *ret)
{
	if (m->outage_until_ms == 0 ||
	    (m->outage_until_ms != UINT64_MAX && now_ms >= m->outage_until_ms)) {
		find_outage(m, now_ms);
	}
	if (m->outage_until_ms == UINT64_MAX) {
		return false;
	}
	if (m->outage_limited) {
		(void)err_reason(ret, IM_ELIMIT, "rate_limit_exceeded",
				 "the upstreams of the model %s limit us; try again later", m->id);
	} else {
		(void)err_reason(
		    ret, IM_EUNAVAILABLE, "no_healthy_worker",
		    "every worker of the model %s has failed or asked for a pause; see 'infermesh status'",
		    m->id);
	}
	ret->retry_after_ms = (uint32_t)(m->outage_until_ms - now_ms);
	return true;
}

void
workers_health_join(struct worker *w, uint64_t now_ms)
{
	health_init(&w->health, now_ms);
	if (!is_ramping(w)) {
		(void)health_step(&w->health, HEALTH_EV_RAMPED, now_ms);
	}
	w->heard_ms = now_ms;
}

void
workers_health_replace(struct worker *w, struct worker *old, uint64_t now_ms)
{
	workers_health_event(old, HEALTH_EV_LOST, now_ms);
	if (old->health.operator_draining) {
		workers_health_event(w, HEALTH_EV_OPERATOR_DRAIN, now_ms);
	}
}

void
workers_health_announced(struct worker *w, bool draining, uint64_t now_ms)
{
	workers_heard(w);
	workers_health_event(w, draining ? HEALTH_EV_DRAIN : HEALTH_EV_UNDRAIN, now_ms);
	review(w, now_ms);
}

void
workers_health_serve(struct worker_model *wm, struct worker_model *old, bool moved, uint64_t now_ms)
{
	struct workers *ws = wm->worker->table;

	breaker_init(&wm->breaker, ++ws->breakers);
	if (old != NULL) {
		workers_health_unserve(old);
		wm->paused_until_ms = old->paused_until_ms;
		wm->paused_by_limit = old->paused_by_limit;
		if (moved) {
			breaker_inherit(&wm->breaker, &old->breaker, &ws->set.breaker, now_ms);
		} else {
			wm->breaker = old->breaker; /* its attempts go on */
		}
	}
	wm->serving = true;
	wm->model->serving_count++;
	(void)obey(wm);
	set_troubled(wm);
	refresh(wm);
}

void
workers_health_unserve(struct worker_model *wm)
{
	if (!wm->serving) {
		return;
	}
	set_ejected(wm, false);
	wm->serving = false;
	wm->model->serving_count--;
	wm->model->outage_until_ms = 0;
	list_remove(&wm->troubled_node);
	list_remove(&wm->probe_node);
}
