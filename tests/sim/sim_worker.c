/*
 * sim/sim_worker.c - workers: they announce themselves, fail, hang, drain and restart; what they do with requests is in sim_job.c.
 * See sim.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define REPORT_US    1000000ULL
#define HEARTBEAT_US 15000000ULL /* a peer that is silent for so long is dropped */

const char *
model_name(uint32_t i)
{
	static const char *const names[SIM_MODELS_MAX] = { "small", "large", "code" };

	return names[i % SIM_MODELS_MAX];
}

/* --- what the router is told --- */

/* As it is told over 'l'. */
static struct load
load_for(const struct wlink *l)
{
	return (struct load){ .in_flight = l->worker->in_flight,
			      .capacity = l->worker->capacity,
			      .own = l->own,
			      .has_own = true };
}

struct load
worker_tell_load(struct wlink *l)
{
	struct load load = load_for(l);

	load_news_told(&l->news, &load);
	return load;
}

struct news {
	struct loop_timer timer;
	struct list node;
	struct wlink *at;
	struct link *link; /* that it was sent on */
	bool report;       /* announce.load only */
	struct announce announce;
	struct model_info models[SIM_MODELS_MAX];
};

static void
announce_arrives(void *arg)
{
	struct news *m = arg;
	struct buf body = BUF_INIT(0);
	struct served *served;
	struct served_request req = { .method = METHOD_ANNOUNCE };

	if (m->at->link == m->link && m->link != NULL) {
		if (m->report) {
			req.method = METHOD_REPORT;
			report_encode(&m->announce.load, &body);
		} else {
			announce_encode(&m->announce, &body);
		}
		req.body = body.data;
		req.body_len = body.len;
		far_serve(m->link, &req, 0, NULL, &served);
		buf_done(&body);
	}
	list_remove(&m->node);
	free(m);
}

/* What is sent on 'l' now, and what the load is; NULL if nothing can be. */
static struct news *
news_new(struct wlink *l)
{
	struct news *m;

	if (l->link == NULL || l->worker->mood == MOOD_STOPPED) {
		return NULL;
	}
	m = calloc(1, sizeof(*m));
	if (m == NULL) {
		sim_fail("no memory for the simulation itself");
	}
	m->at = l;
	m->link = l->link;
	m->timer = (struct loop_timer){ .fn = announce_arrives, .arg = m };
	m->announce.load = worker_tell_load(l);
	list_push_back(&l->worker->world->messages, &m->node);
	sim_at(&m->timer, sim_now_us() + l->delay_us);
	return m;
}

static void
report_now(struct wlink *l)
{
	struct load load = load_for(l);
	struct load_news before = l->news;
	struct news *m = news_new(l);

	if (m != NULL) {
		m->report = true;
		l->news = before;
		load_news_sent(&l->news, &load, sim_now_us());
		l->news_answered_us = sim_now_us() + 2 * l->delay_us;
	}
}

/* The router's answer to news is no event of its own: it is looked at when it matters. */
static struct load_news *
news_of(struct wlink *l)
{
	if (sim_now_us() >= l->news_answered_us) {
		load_news_answered(&l->news);
	}
	return &l->news;
}

static void
report_to(struct wlink *l)
{
	struct load load = load_for(l);
	bool unread = news_of(l)->unread;
	uint64_t due_us = load_news_due_us(&l->news, &load, l->worker->offered_us, sim_now_us());

	if (due_us == 0) {
		report_now(l);
	} else if (due_us != LOAD_NEWS_NONE || unread) {
		sim_at(&l->news_later, unread ? l->news_answered_us : sim_now_us() + due_us);
	}
}

static void
news_later_fire(void *arg)
{
	report_to(arg);
}

bool
worker_news_crossed(struct wlink *l)
{
	struct load load = load_for(l);

	return load_news_crossed(news_of(l), &load);
}

void
worker_place_free(struct sim_worker *w)
{
	struct list *node = list_pop_front(&w->refused);

	if (node != NULL) {
		struct wlink *l = CONTAINER_OF(node, struct wlink, refused_node);

		if (l->link != NULL) {
			w->offered_us = sim_now_us() + LOAD_NEWS_OFFER_US;
			report_now(l);
		}
	}
	worker_load_changed(w);
}

void
worker_load_changed(struct sim_worker *w)
{
	for (uint32_t i = 0; i < w->world->p.routers; i++) {
		report_to(&w->links[i]);
	}
}

void
worker_announce_to(struct wlink *l)
{
	struct sim_worker *w = l->worker;
	struct news *m = news_new(l);

	if (m == NULL) {
		return;
	}
	m->announce = (struct announce){ .worker = w->name,
					 .backend = "sim",
					 .models = m->models,
					 .load = m->announce.load,
					 .draining = w->draining,
					 .weight = w->weight,
					 .backup = w->backup };
	for (uint32_t i = 0; i < w->world->p.models; i++) {
		if ((w->models & (1U << i)) != 0) {
			m->models[m->announce.model_count++] = (struct model_info){
				.id = model_name(i), .owned_by = "us", .digest = "aa"
			};
		}
	}
}

void
worker_announce(struct sim_worker *w)
{
	for (uint32_t i = 0; i < w->world->p.routers; i++) {
		worker_announce_to(&w->links[i]);
	}
}

static void
report_fire(void *arg)
{
	struct sim_worker *w = arg;

	worker_announce(w);
	sim_at(&w->report, sim_now_us() + REPORT_US);
}

/* --- links --- */

static void
router_closed(void *far)
{
	struct wlink *l = far;

	l->link = NULL;
	jobs_drop(l->worker, l);
	sim_at(&l->reopen, sim_now_us() + 50000);
}

static void
router_goaway(void *far)
{
	(void)far;
}

static void
served_nothing(void *user, const uint8_t *body, size_t len)
{
	(void)user;
	(void)body;
	(void)len;
	sim_fail("the router answers an announcement with data");
}

static void
announce_ended(void *user, const struct im_err *err, const uint8_t *body, size_t len)
{
	(void)user;
	(void)err;
	(void)body;
	(void)len;
}

static const struct far_ops worker_ops = { .opened = job_opened,
					   .gone = job_gone,
					   .data = served_nothing,
					   .ended = announce_ended,
					   .closed = router_closed,
					   .goaway = router_goaway };

static void
up(struct wlink *l)
{
	struct sim_worker *w = l->worker;

	l->link = far_open(l->router->net, "inference", w->name, w->instance, &worker_ops, l);
	l->news = (struct load_news){ 0 };
	l->news_answered_us = 0;
	worker_announce_to(l);
}

void
worker_connect(struct wlink *l)
{
	if (l->link != NULL || l->router->router == NULL) {
		return;
	}
	up(l);
}

static void
reopen_fire(void *arg)
{
	worker_connect(arg);
}

static void
lose(struct wlink *l, uint64_t back_us)
{
	struct link *link = l->link;

	l->link = NULL;
	if (link != NULL) {
		far_lose(link, "cut by the simulation");
	}
	jobs_drop(l->worker, l);
	sim_at(&l->reopen, sim_now_us() + back_us);
}

/* --- faults --- */

void
worker_heal(struct sim_worker *w)
{
	bool was_stopped = w->mood == MOOD_STOPPED;

	w->mood = MOOD_WELL;
	w->slowness = 1;
	w->draining = false;
	loop_timer_cancel(sim_loop(), &w->heal);
	if (was_stopped) {
		jobs_resume(w);
	}
	worker_announce(w);
}

static void
heal_fire(void *arg)
{
	struct sim_worker *w = arg;

	sim_trace(w->world, "%s is well again", w->name);
	/* Longer than the heartbeat allows: the routers have given it up meanwhile. */
	worker_heal(w);
}

static void
restart(struct sim_worker *w)
{
	for (uint32_t i = 0; i < w->world->p.routers; i++) {
		lose(&w->links[i], 50000 + prng_below(&w->world->fault_rng, 3000000));
	}
	w->instance[1]++;
	w->instance[2] += w->instance[1] == 0;
	w->mood = MOOD_WELL;
	w->draining = false;
}

/* A second connection before the first is found dead: the router has to retire the old one. */
static void
overtake(struct wlink *l)
{
	struct link *old = l->link;

	if (old == NULL || l->router->router == NULL) {
		return;
	}
	up(l);
	far_lose(old, "cut by the simulation, late");
	jobs_drop(l->worker, l);
}

static void
fall_ill(struct sim_worker *w, enum worker_mood mood)
{
	struct prng *rng = &w->world->fault_rng;
	uint64_t us = (uint64_t)world_exponential(rng, 4e6);

	w->mood = mood;
	if (mood == MOOD_STOPPED && us > HEARTBEAT_US) {
		us = HEARTBEAT_US;
	}
	sim_at(&w->heal, sim_now_us() + us);
}

void
worker_fault(struct sim_worker *w)
{
	struct prng *rng = &w->world->fault_rng;
	struct wlink *l = &w->links[prng_below(rng, w->world->p.routers)];
	uint32_t what = prng_below(rng, 11);

	sim_trace(w->world, "fault %u at %s", what, w->name);
	switch (what) {
	case 0:
		restart(w);
		break;
	case 1:
		lose(l, 1000 + prng_below(rng, 5000000));
		break;
	case 2:
		overtake(l);
		break;
	case 3:
		w->slowness = 1 + prng_below(rng, 10);
		sim_at(&w->heal, sim_now_us() + prng_below(rng, 5000000));
		break;
	case 4:
		w->draining = !w->draining;
		sim_at(&w->heal, sim_now_us() + prng_below(rng, 5000000));
		worker_announce(w);
		break;
	case 5:
		w->capacity = 1 + prng_below(rng, w->world->p.capacity_max);
		worker_announce(w);
		break;
	case 6:
		w->weight = 1 + prng_below(rng, 200);
		worker_announce(w);
		break;
	default:
		fall_ill(w, (enum worker_mood)(1 + what % (MOOD_COUNT - 1)));
		break;
	}
}

void
worker_messages_done(struct world *world)
{
	LIST_FOREACH_SAFE (&world->messages, m, struct news, node) {
		loop_timer_cancel(sim_loop(), &m->timer);
		list_remove(&m->node);
		free(m);
	}
}

void
worker_init(struct world *world, uint32_t index)
{
	struct sim_worker *w = &world->workers[index];
	struct prng *rng = &world->rng;

	w->world = world;
	w->index = index;
	(void)snprintf(w->name, sizeof(w->name), "w%u", index);
	w->instance[0] = 1;
	memcpy(&w->instance[8], &index, sizeof(index));
	w->capacity = world->p.servers > 0 ? world->p.capacity_max
					   : 1 + prng_below(rng, world->p.capacity_max);
	w->weight =
	    world->p.faults_per_s > 0 && prng_below(rng, 4) == 0 ? 50 + prng_below(rng, 200) : 100;
	w->backup = world->p.faults_per_s > 0 && prng_below(rng, 12) == 0;
	w->models = 1 + prng_below(rng, (1U << world->p.models) - 1);
	w->models |= index == 0 ? (1U << world->p.models) - 1 : 0; /* somebody serves each */
	w->slowness = 1;
	list_init(&w->jobs);
	list_init(&w->refused);
	list_init(&w->queue);
	w->heal = (struct loop_timer){ .fn = heal_fire, .arg = w };
	w->report = (struct loop_timer){ .fn = report_fire, .arg = w };
	w->links = calloc(world->p.routers, sizeof(*w->links));
	for (uint32_t i = 0; i < world->p.routers; i++) {
		struct wlink *l = &w->links[i];

		*l = (struct wlink){ .worker = w, .router = &world->routers[i] };
		l->delay_us = 20 + prng_below(rng, (uint32_t)world->p.delay_us);
		l->reopen = (struct loop_timer){ .fn = reopen_fire, .arg = l };
		l->news_later = (struct loop_timer){ .fn = news_later_fire, .arg = l };
		worker_connect(l);
	}
	sim_at(&w->report, sim_now_us() + prng_below(rng, (uint32_t)REPORT_US));
}

void
worker_done(struct sim_worker *w)
{
	jobs_drop(w, NULL);
	for (uint32_t i = 0; i < w->world->p.routers; i++) {
		loop_timer_cancel(sim_loop(), &w->links[i].reopen);
		loop_timer_cancel(sim_loop(), &w->links[i].news_later);
	}
	loop_timer_cancel(sim_loop(), &w->heal);
	loop_timer_cancel(sim_loop(), &w->report);
	free(w->links);
}
