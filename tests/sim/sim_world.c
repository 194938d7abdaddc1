/*
 * sim/sim_world.c - a world made from a seed, its faults, its beginning and end; see sim.h.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/router.h"
#include "sim.h"

#define QUIET_US 20000000 /* for what goes on after the last caller has left */

double
world_exponential(struct prng *rng, double mean)
{
	return -mean * log(1 - prng_unit(rng));
}

double
world_service(struct prng *rng, enum sim_service service, double mean_us)
{
	switch (service) {
	case SERVICE_CONSTANT:
		return mean_us;
	case SERVICE_LOGNORMAL: { /* Box-Muller; exp(-1/2) makes the mean 1 */
		double u = 1 - prng_unit(rng), v = prng_unit(rng);

		return mean_us * exp(sqrt(-2 * log(u)) * cos(2 * M_PI * v) - 0.5);
	}
	case SERVICE_BIMODAL:
		return prng_below(rng, 10) == 0 ? 5.5 * mean_us : 0.5 * mean_us;
	default:
		return world_exponential(rng, mean_us);
	}
}

/* --- routers --- */

/* daemon.h: where the router finds its services; its real file would bring a whole daemon with it. */
const char *
mesh_address(const struct service_env *env, const char *role)
{
	(void)role;
	return env->single_process ? role : NULL;
}

const char *
mesh_cache_address(const struct service_env *env, size_t i)
{
	return i == 0 ? mesh_address(env, "cache") : NULL;
}

void
sim_router_start(struct sim_router *r)
{
	struct service_env env = { .loop = sim_loop(),
				   .net = r->net,
				   .config = r->config,
				   .name = r->name,
				   .single_process = r->world->p.sides };
	struct im_err err;
	void *service;

	if (router_service.start(&env, &service, &err) != IM_OK) {
		sim_fail("the router does not start: %s", err.text);
	}
	r->router = service;
	r->stopping = false;
	r->started_us = sim_now_us();
	r->used_tokens = 0;
	gateway_connect(r);
	for (uint32_t i = 0; r->world->workers != NULL && i < r->world->p.workers; i++) {
		if (r->world->workers[i].links != NULL) {
			worker_connect(&r->world->workers[i].links[r->index]);
		}
	}
}

static void
restart_fire(void *arg)
{
	struct sim_router *r = arg;

	sim_trace(r->world, "%s starts", r->name);
	sim_router_start(r);
}

static void
stopped(void *arg)
{
	struct sim_router *r = arg;

	r->router = NULL;
	if (far_calls_open(r->net) != 0) {
		sim_fail("%s has stopped with %u calls open", r->name, far_calls_open(r->net));
	}
}

void
sim_router_stop(struct sim_router *r, uint64_t back_us)
{
	if (r->router == NULL || r->stopping) {
		return;
	}
	r->stopping = true;
	router_service.drain(r->router);
	router_service.stop(r->router, stopped, r);
	if (back_us > 0) {
		sim_at(&r->restart, sim_now_us() + back_us);
	}
}

static void
router_init(struct world *w, uint32_t i)
{
	struct sim_router *r = &w->routers[i];
	char yaml[2000];
	int len;
	struct im_err err;

	r->world = w;
	r->index = i;
	(void)snprintf(r->name, sizeof(r->name), "r%u", i);
	r->restart = (struct loop_timer){ .fn = restart_fire, .arg = r };
	r->net = far_net_new(r->name, side_dialled, r);
	side_init(r);
	len = snprintf(
	    yaml, sizeof(yaml),
	    "router: {%s listen: 'inproc://%s', door: 'off', routes_file: 'off', limits_tokens: 100}\n",
	    w->p.config, r->name);
	if (w->p.requests_burst > 0) {
		len += snprintf(
		    yaml + len, sizeof(yaml) - (size_t)len,
		    "limits: [{match: global, requests_per_minute: %u, requests_burst: %u, "
		    "tokens_per_minute: %u, tokens_burst: %u}]\n",
		    w->p.requests_per_minute, w->p.requests_burst, w->p.tokens_per_minute,
		    w->p.tokens_burst);
	}
	if (w->p.routes) {
		(void)snprintf(yaml + len, sizeof(yaml) - (size_t)len,
			       "routes: [{model: chat, arms: {small: 80, %s: 20}, sticky: '%s', "
			       "fallback: [%s]%s}]\n",
			       model_name(w->p.models - 1), w->p.bursts ? "off" : "session",
			       model_name(w->p.models / 2),
			       w->p.fallback_answer ? ", fallback_answer: 'Come again.'" : "");
	}
	if (config_parse("simulation", yaml, strlen(yaml), &r->config, &err) != IM_OK) {
		sim_fail("%s", err.text);
	}
	sim_router_start(r);
}

/* --- faults --- */

static void
some_fault(struct world *w)
{
	struct prng *rng = &w->fault_rng;
	struct sim_router *r = &w->routers[prng_below(rng, w->p.routers)];
	uint32_t what = prng_below(rng, 100);

	if (what < 15) {
		operator_acts(r);
	} else if (what < 85) {
		worker_fault(&w->workers[prng_below(rng, w->p.workers)]);
	} else if (what < 90) {
		side_fault(&r->audit);
	} else if (what < 95) {
		side_fault(&r->cache);
	} else {
		sim_trace(w, "%s stops", r->name);
		sim_router_stop(r, 5000000);
	}
}

static void
fault_fire(void *arg)
{
	struct world *w = arg;

	some_fault(w);
	sim_at(&w->fault,
	       sim_now_us() + (uint64_t)world_exponential(&w->fault_rng, 1e6 / w->p.faults_per_s));
}

void
world_params_from_seed(struct world_params *p, uint64_t seed)
{
	static const char *const modes[] = { "off", "off", "fail-open", "fail-closed" };
	struct prng rng;
	uint32_t mode;

	prng_seed(&rng, seed);
	memset(p, 0, sizeof(*p));
	p->seed = seed;
	p->routers = 1 + prng_below(&rng, 3);
	p->workers = 1 + prng_below(&rng, 12);
	p->models = 1 + prng_below(&rng, SIM_MODELS_MAX);
	p->capacity_max = 1 + prng_below(&rng, 8);
	p->service = (enum sim_service)prng_below(&rng, SERVICE_COUNT);
	p->mean_us = 10000 * exp(prng_unit(&rng) * 4);
	p->load = 0.3 + prng_unit(&rng) * 0.9;
	p->delay_us = 50 + prng_below(&rng, 10000);
	p->budget_min_ms = 50;
	p->budget_max_ms = 1000 + prng_below(&rng, 20000);
	p->faults_per_s = prng_below(&rng, 5) == 0 ? 0 : 0.2 + prng_unit(&rng) * 3;
	p->cancels = prng_unit(&rng) * 0.2;
	p->bad = prng_unit(&rng) * 0.05;
	p->repeated = prng_below(&rng, 2) == 0 ? prng_unit(&rng) * 0.5 : 0;
	p->slow_readers = prng_below(&rng, 3) == 0 ? 0.1 : 0;
	p->bursts = prng_below(&rng, 2) == 0;
	mode = prng_below(&rng, 4);
	p->sides = mode > 0;
	(void)snprintf(
	    p->config, sizeof(p->config),
	    "queue_max: %u, queue_all_max: %u, retries: %u, calls_max: %u, audit_mode: '%s', policy: %s, "
	    "breaker_failures: %u, breaker_open_ms: %u, breaker_open_max_ms: 60s, eject_max_percent: %u, "
	    "retry_budget_percent: %u, slow_start_ms: %u, suspect_ms: %u, coalesce: %s,",
	    prng_below(&rng, 200), prng_below(&rng, 400), prng_below(&rng, 4),
	    200 + prng_below(&rng, 2000), modes[mode],
	    policy_text((enum policy)prng_below(&rng, POLICY_COUNT)), 1 + prng_below(&rng, 6),
	    100 + prng_below(&rng, 3000), prng_below(&rng, 101), prng_below(&rng, 100),
	    prng_below(&rng, 2) * 2000, 1500 + prng_below(&rng, 4000),
	    prng_below(&rng, 4) == 0 ? "false" : "true");
	p->routes = p->models > 1 && prng_below(&rng, 2) == 0;
	p->fallback_answer = prng_below(&rng, 2) == 0;
	if (prng_below(&rng, 3) == 0) {
		p->requests_per_minute = 60 + prng_below(&rng, 6000);
		p->requests_burst = 1 + prng_below(&rng, 200);
		p->tokens_per_minute = 2000 + prng_below(&rng, 200000);
		p->tokens_burst = 1000 + prng_below(&rng, 20000);
	}
}

void
world_begin(struct world *w, const struct world_params *p)
{
	memset(w, 0, sizeof(*w));
	w->p = *p;
	sim_loop_begin(p->seed);
	prng_seed(&w->rng, p->seed * 2 + 1);
	prng_seed(&w->fault_rng, p->seed * 2 + 2);
	prng_seed(&w->arrival_rng, p->seed);
	list_init(&w->messages);
	for (uint32_t i = 0; i < p->routers; i++) {
		router_init(w, i);
	}
	w->workers = calloc(p->workers, sizeof(*w->workers));
	if (w->workers == NULL) {
		sim_fail("no memory for the simulation itself");
	}
	for (uint32_t i = 0; i < p->workers; i++) {
		worker_init(w, i);
	}
	sim_loop_tasks();
	callers_begin(w);
	w->fault = (struct loop_timer){ .fn = fault_fire, .arg = w };
	if (p->faults_per_s > 0) {
		sim_at(&w->fault, sim_now_us() + 1000000);
	}
}

static void
calm_down(struct world *w)
{
	w->quiet = true;
	callers_stop(w);
	loop_timer_cancel(sim_loop(), &w->fault);
	for (uint32_t i = 0; i < w->p.workers; i++) {
		worker_heal(&w->workers[i]);
	}
	while (w->asks_open > 0 && sim_loop_step(UINT64_MAX)) {
		check_event(w);
	}
	for (uint64_t end_us = sim_now_us() + QUIET_US; sim_loop_step(end_us);) {
		check_event(w);
	}
	check_quiet(w);
}

void
world_end(struct world *w)
{
	for (uint32_t i = 0; i < w->p.routers; i++) {
		loop_timer_cancel(sim_loop(), &w->routers[i].restart);
		sim_router_stop(&w->routers[i], 0);
	}
	sim_loop_tasks();
	for (uint64_t end_us = sim_now_us() + QUIET_US; sim_loop_step(end_us);) {
	}
	for (uint32_t i = 0; i < w->p.workers; i++) {
		worker_done(&w->workers[i]);
	}
	worker_messages_done(w);
	callers_stop(w);
	callers_done(w);
	for (uint32_t i = 0; i < w->p.routers; i++) {
		struct sim_router *r = &w->routers[i];

		if (r->router != NULL) {
			sim_fail("%s does not stop", r->name);
		}
		side_done(r);
		far_net_free(r->net);
		config_free(r->config);
	}
	free(w->workers);
	sim_loop_done();
}

void
world_run(const struct world_params *p, struct tally *ret_tally)
{
	struct world w;

	world_begin(&w, p);
	while (sim_events() < p->events && sim_loop_step(UINT64_MAX)) {
		check_event(&w);
	}
	calm_down(&w);
	*ret_tally = w.tally;
	world_end(&w);
}
