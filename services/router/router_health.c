/*
 * router/router_health.c - the settings of breakers, health and the retry budget, the log of what changes, and their metrics;
 * see workers_health.h. Decides nothing.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "router/core.h"
#include "router/request.h"

static void
state_changed(void *user, struct worker *w, enum health_state before)
{
	enum health_state state = w->health.state;

	(void)user;
	if (w->link == NULL || w->retired) {
		return; /* the loss itself is logged */
	}
	if (state == HEALTH_SUSPECT || state == HEALTH_EJECTED) {
		log_warn("worker is in trouble", LOG_STR("worker.name", w->name->text),
			 LOG_STR("worker.state", health_state_text(state)),
			 LOG_STR("worker.state_before", health_state_text(before)),
			 LOG_STR("event.reason", health_reason(&w->health)));
	} else {
		log_info("worker changed its state", LOG_STR("worker.name", w->name->text),
			 LOG_STR("worker.state", health_state_text(state)),
			 LOG_STR("worker.state_before", health_state_text(before)),
			 LOG_STR("event.reason", health_reason(&w->health)));
	}
}

static void
breaker_changed(void *user, struct worker_model *wm, enum breaker_change change, const char *why)
{
	const char *worker = wm->worker->name->text, *model = wm->model->id;

	(void)user;
	switch (change) {
	case BREAKER_OPENS:
	case BREAKER_REOPENS:
		log_warn(wm->ejected
			     ? "circuit breaker opened"
			     : "circuit breaker opened, not obeyed: router.eject_max_percent",
			 LOG_STR("worker.name", worker), LOG_STR("gen_ai.request.model", model),
			 LOG_UINT("infermesh.pause_ms", wm->breaker.pause_ms),
			 LOG_STR("event.reason",
				 change == BREAKER_REOPENS ? "the probe failed" : "failures"),
			 LOG_STR("error.message", why));
		break;
	case BREAKER_PROBES:
		log_info("circuit breaker half open, the next request probes",
			 LOG_STR("worker.name", worker), LOG_STR("gen_ai.request.model", model));
		break;
	case BREAKER_CLOSES:
		log_info("circuit breaker closed", LOG_STR("worker.name", worker),
			 LOG_STR("gen_ai.request.model", model), LOG_STR("event.reason", why));
		break;
	case BREAKER_PROBE_FREE:
	case BREAKER_SAME:
		break;
	}
}

static void
worker_paused(void *user, struct worker_model *wm, uint32_t pause_ms, const char *why)
{
	(void)user;
	log_info("worker paused: its upstream asks for it",
		 LOG_STR("worker.name", wm->worker->name->text),
		 LOG_STR("gen_ai.request.model", wm->model->id),
		 LOG_UINT("infermesh.pause_ms", pause_ms), LOG_STR("error.message", why));
}

static void
has_room(void *user, struct worker *w)
{
	router_pump(user, w);
}

void
router_health_start(struct router *router, const struct config *c)
{
	struct workers_settings *set = &router->workers.set;

	set->breaker = (struct breaker_settings){
		.failures = (uint32_t)config_int(c, "router.breaker_failures"),
		.rate_percent = (uint32_t)config_int(c, "router.breaker_error_percent"),
		.rate_min = (uint32_t)config_int(c, "router.breaker_min_requests"),
		.window_ms = (uint32_t)config_int(c, "router.breaker_window_ms"),
		.open_ms = (uint32_t)config_int(c, "router.breaker_open_ms"),
		.open_max_ms = (uint32_t)config_int(c, "router.breaker_open_max_ms"),
	};
	set->eject_max_percent = (uint32_t)config_int(c, "router.eject_max_percent");
	set->suspect_ms = (uint32_t)config_int(c, "router.suspect_ms");
	router->set.silence_ms = (uint32_t)config_int(c, "router.breaker_silence_ms");
	router->workers.ops = (struct workers_ops){ .state = state_changed,
						    .breaker = breaker_changed,
						    .paused = worker_paused,
						    .room = has_room,
						    .user = router };
	retry_budget_init(&router->retry_budget,
			  (uint32_t)config_int(c, "router.retry_budget_percent"),
			  (uint32_t)config_int(c, "router.retry_budget_min"));
}

/* What a series of one worker and model is made of. */
static double
breaker_state(const struct worker_model *wm)
{
	static const double values[] = {
		[BREAKER_CLOSED] = 0, [BREAKER_HALF_OPEN] = 1, [BREAKER_OPEN] = 2
	};

	return values[wm->breaker.state];
}

static double
breaker_opened(const struct worker_model *wm)
{
	return (double)wm->breaker.opened;
}

static double
breaker_probes(const struct worker_model *wm)
{
	return (double)wm->breaker.probes;
}

static double
is_ejected(const struct worker_model *wm)
{
	return wm->ejected;
}

static double
is_paused(const struct worker_model *wm)
{
	return wm->paused_until_ms != 0;
}

static void
write_states(const struct router *router, struct metrics_page *page)
{
	metrics_family(page, "infermesh_worker_state", "gauge",
		       "1 for the state that a worker is in.");
	LIST_FOREACH (&router->workers.all, w, struct worker, node) {
		struct metrics_label labels[] = { { "worker", w->name->text },
						  { "state", workers_state(w) } };

		if (!w->retired) {
			metrics_value(page, "infermesh_worker_state", labels, 2, 1);
		}
	}
}

void
router_health_metrics(const struct router *router, struct metrics_page *page)
{
	static const struct {
		const char *name, *type, *help;
		double (*value)(const struct worker_model *wm);
	} rows[] = {
		{ "infermesh_circuit_breaker_state", "gauge", "0 closed, 1 half open, 2 open.",
		  breaker_state },
		{ "infermesh_circuit_breaker_opened_total", "counter",
		  "How often it opened, failed probes included.", breaker_opened },
		{ "infermesh_circuit_breaker_probes_total", "counter",
		  "Requests that were to find out whether the worker is well again.",
		  breaker_probes },
		{ "infermesh_worker_ejected", "gauge",
		  "1: the breaker is not closed, and obeyed; see router.eject_max_percent.",
		  is_ejected },
		{ "infermesh_worker_paused", "gauge", "1: the upstream asked for a pause.",
		  is_paused },
	};

	write_states(router, page);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		metrics_family(page, rows[i].name, rows[i].type, rows[i].help);
		LIST_FOREACH (&router->workers.all, w, struct worker, node) {
			for (size_t k = 0; !w->retired && k < w->model_count; k++) {
				struct metrics_label labels[] = { { "worker", w->name->text },
								  { "model",
								    w->models[k].model->id } };

				metrics_value(page, rows[i].name, labels, 2,
					      rows[i].value(&w->models[k]));
			}
		}
	}
}
