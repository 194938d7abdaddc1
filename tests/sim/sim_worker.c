/*
 * sim/sim_worker.c - workers: they announce themselves, run what they get, fail, hang and restart; see sim.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define REPORT_US    1000000ULL
#define HEARTBEAT_US 15000000ULL /* a peer that is silent for so long is dropped */

static const uint32_t retry_after_ms[] = { 0, 200, 2000 };

const char *
model_name(uint32_t i)
{
	static const char *const names[SIM_MODELS_MAX] = { "small", "large", "code" };

	return names[i % SIM_MODELS_MAX];
}

/* --- what the router is told --- */

/* As it is told over 'l'. */
static struct load
load_of(const struct sim_worker *w, const struct wlink *l)
{
	return (struct load){
		.in_flight = w->in_flight, .capacity = w->capacity, .own = l->own, .has_own = true
	};
}

struct news {
	struct loop_timer timer;
	struct list node;
	struct wlink *at;
	struct link *link; /* that it was sent on */
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
		announce_encode(&m->announce, &body);
		req.body = body.data;
		req.body_len = body.len;
		far_serve(m->link, &req, 0, NULL, &served);
		buf_done(&body);
	}
	list_remove(&m->node);
	free(m);
}

static void
announce_to(struct wlink *l)
{
	struct sim_worker *w = l->worker;
	struct news *m;

	if (l->link == NULL || w->mood == MOOD_STOPPED) {
		return;
	}
	m = calloc(1, sizeof(*m));
	if (m == NULL) {
		sim_fail("no memory for the simulation itself");
	}
	m->at = l;
	m->link = l->link;
	m->timer = (struct loop_timer){ .fn = announce_arrives, .arg = m };
	m->announce = (struct announce){ .worker = w->name,
					 .backend = "sim",
					 .models = m->models,
					 .load = load_of(w, l),
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
	list_push_back(&w->world->messages, &m->node);
	sim_at(&m->timer, sim_now_us() + l->delay_us);
}

void
worker_announce(struct sim_worker *w)
{
	for (uint32_t i = 0; i < w->world->p.routers; i++) {
		announce_to(&w->links[i]);
	}
}

static void
report_fire(void *arg)
{
	struct sim_worker *w = arg;

	worker_announce(w);
	sim_at(&w->report, sim_now_us() + REPORT_US);
}

/* --- a job: its owner is the list of its worker; 'call' is the router's and may go before --- */

/* Frames do not depend on the request: they are made once. */
static const struct buf *
frame_bytes(bool last)
{
	static struct buf made[2];
	struct delta d = { .role = "assistant",
			   .content = "all that there is to say",
			   .finish_reason = last ? "stop" : "" };
	struct generate_frame f = { .deltas = &d, .delta_count = 1 };

	if (made[last].len == 0) {
		generate_frame_encode(&f, &made[last]);
	}
	return &made[last];
}

static void run(struct job *j);

static bool
is_inside(const struct job *j)
{
	return j->state == JOB_QUEUED || j->state == JOB_BEGUN || j->state == JOB_SPOKE;
}

/* It leaves the worker: the router that was turned away first hears of it, and the next of those that wait inside begins. */
static void
leave(struct job *j)
{
	struct sim_worker *w = j->at->worker;
	struct list *next;

	if (!is_inside(j)) {
		return;
	}
	w->in_flight--;
	j->at->own--;
	w->serving -= j->state != JOB_QUEUED;
	list_remove(&j->queue_node);
	j->state = JOB_END_SENT;
	next = list_pop_front(&w->refused);
	if (next != NULL) {
		announce_to(CONTAINER_OF(next, struct wlink, refused_node));
	}
	if (w->world->p.servers > 0 && w->serving < w->world->p.servers) {
		next = list_pop_front(&w->queue);
		if (next != NULL) {
			run(CONTAINER_OF(next, struct job, queue_node));
		}
	}
}

static void
job_free(struct job *j)
{
	leave(j);
	loop_timer_cancel(sim_loop(), &j->timer);
	loop_timer_cancel(sim_loop(), &j->cancel);
	list_remove(&j->node);
	free(j);
}

static void
deliver_end(struct job *j)
{
	struct generate_end end = { .has_usage = true,
				    .usage = { .prompt_tokens = SIM_PROMPT_TOKENS,
					       .completion_tokens = j->answer_tokens },
				    .has_load = true,
				    .load = j->load };
	struct call *call = j->call;
	struct buf body = BUF_INIT(0);
	enum im_rc rc = j->end_rc;
	struct sim_router *r = j->at->router;
	struct im_err err;

	(void)err_set(&err, rc, "told to fail");
	err.retry_after_ms = rc == IM_ELIMIT ? retry_after_ms[j->service_us % 3] : 0;
	job_free(j);
	if (call == NULL) {
		return;
	}
	if (rc != IM_OK) {
		far_end(call, &err, NULL, 0);
		return;
	}
	r->used_tokens += end.usage.prompt_tokens + end.usage.completion_tokens;
	generate_end_encode(&end, &body);
	far_end(call, NULL, body.data, body.len);
	buf_done(&body);
}

/* Its end, good or bad, goes on its way: the worker is done with it. */
static void
send_end(struct job *j, enum im_rc rc)
{
	leave(j);
	j->end_rc = rc;
	j->state = JOB_END_SENT;
	j->load = load_of(j->at->worker, j->at);
	sim_at(&j->timer, sim_now_us() + j->at->delay_us);
}

/* Half of the answers come in two pieces, but for the report, which wants one event less. */
static bool
in_pieces(const struct job *j)
{
	return j->at->worker->world->p.servers == 0 && j->service_us % 2 == 0;
}

static void
run(struct job *j)
{
	struct sim_worker *w = j->at->worker;
	struct ask *a = w->world->asks[j->ask];
	double us = (double)j->service_us * w->slowness;

	w->serving++;
	w->served++;
	j->state = JOB_BEGUN;
	if (a->gen == j->ask_gen && a->started_us == 0) {
		a->started_us = sim_now_us();
		if (w->world->started != NULL) {
			w->world->started(w->world->started_user, a, sim_now_us());
		}
	}
	sim_at(&j->timer, sim_now_us() + (uint64_t)(in_pieces(j) ? us / 2 : us));
}

static void
begin(struct job *j)
{
	struct sim_worker *w = j->at->worker;
	const struct ask *a = w->world->asks[j->ask];

	if (w->in_flight >= w->capacity) {
		w->world->tally.full++;
		if (!list_linked(&j->at->refused_node)) {
			list_push_back(&w->refused, &j->at->refused_node);
		}
		send_end(j, IM_EAGAIN);
		return;
	}
	if (w->mood == MOOD_FAILS || w->mood == MOOD_LIMITED) {
		send_end(j, w->mood == MOOD_FAILS ? IM_EUPSTREAM : IM_ELIMIT);
		return;
	}
	if (a->gen == j->ask_gen && a->bad) {
		send_end(j, IM_EINVAL);
		return;
	}
	w->in_flight++;
	j->at->own++;
	if (w->world->p.servers == 0 || w->serving < w->world->p.servers) {
		run(j);
	} else {
		j->state = JOB_QUEUED;
		list_push_back(&w->queue, &j->queue_node);
	}
}

static void
speak(struct job *j, bool last)
{
	const struct buf *bytes = frame_bytes(last);

	j->probe = false;
	if (j->call != NULL) {
		far_data(j->call, bytes->data, bytes->len);
	}
}

static void
job_fire(void *arg)
{
	struct job *j = arg;
	struct sim_worker *w = j->at->worker;

	if (j->state == JOB_END_SENT) {
		deliver_end(j);
		return;
	}
	if (j->state == JOB_SENT) {
		j->state = JOB_ARRIVED;
	}
	if (w->mood == MOOD_STOPPED) {
		return; /* worker_heal() goes on with it */
	}
	if (j->state == JOB_ARRIVED) {
		begin(j);
	} else if (w->mood == MOOD_BREAKS) {
		send_end(j, IM_EUPSTREAM);
	} else if (j->state == JOB_BEGUN && in_pieces(j)) {
		j->state = JOB_SPOKE;
		sim_at(&j->timer,
		       sim_now_us() + (uint64_t)((double)j->service_us / 2 * w->slowness));
		speak(j, false);
	} else {
		speak(j, true);
		send_end(j, IM_OK);
	}
}

/* The router's CANCEL is there. A stopped worker reads it later. */
static void
cancel_fire(void *arg)
{
	struct job *j = arg;

	if (j->at->worker->mood != MOOD_STOPPED) {
		job_free(j);
	}
}

static void *
call_opened(void *far, struct call *call, const struct call_request *req)
{
	struct wlink *l = far;
	struct world *w = l->worker->world;
	uint32_t gen;
	struct ask *a = callers_find(w, req->traceparent, &gen);
	struct job *j = calloc(1, sizeof(*j));

	if (j == NULL) {
		sim_fail("no memory for the simulation itself");
	}
	if (a == NULL) {
		sim_fail("a request was dispatched of which the caller's trace is unknown: %s",
			 req->traceparent);
	}
	j->at = l;
	j->call = call;
	j->ask = a->index;
	j->ask_gen = gen;
	j->service_us = a->service_us;
	j->answer_tokens = a->answer_tokens;
	j->timer = (struct loop_timer){ .fn = job_fire, .arg = j };
	j->cancel = (struct loop_timer){ .fn = cancel_fire, .arg = j };
	list_push_back(&l->worker->jobs, &j->node);
	sim_at(&j->timer, sim_now_us() + l->delay_us);
	w->tally.dispatched++;
	sim_trace(w, "%s sends %u to %s", l->router->name, a->index, l->worker->name);
	check_dispatch(j, a->gen == gen ? a : NULL);
	return j;
}

static void
call_gone(void *user)
{
	struct job *j = user;

	j->call = NULL;
	if (j->at->link != NULL) {
		sim_at(&j->cancel, sim_now_us() + j->at->delay_us);
	}
}

/* --- links --- */

static void
drop_jobs(struct sim_worker *w, const struct wlink *l)
{
	LIST_FOREACH_SAFE (&w->jobs, j, struct job, node) {
		if (l == NULL || j->at == l) {
			job_free(j);
		}
	}
}

static void
router_closed(void *far)
{
	struct wlink *l = far;

	l->link = NULL;
	drop_jobs(l->worker, l);
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

static const struct far_ops worker_ops = { .opened = call_opened,
					   .gone = call_gone,
					   .data = served_nothing,
					   .ended = announce_ended,
					   .closed = router_closed,
					   .goaway = router_goaway };

void
worker_connect(struct wlink *l)
{
	struct sim_worker *w = l->worker;

	if (l->link != NULL || l->router->router == NULL) {
		return;
	}
	l->link = far_open(l->router->net, "inference", w->name, w->instance, &worker_ops, l);
	announce_to(l);
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
	drop_jobs(l->worker, l);
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
	LIST_FOREACH_SAFE (&w->jobs, j, struct job, node) {
		if (!was_stopped || loop_timer_armed(&j->timer)) {
			continue;
		}
		if (j->call == NULL) {
			job_free(j); /* the CANCEL had waited to be read */
		} else {
			sim_at(&j->timer, sim_now_us());
		}
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
	l->link = far_open(l->router->net, "inference", l->worker->name, l->worker->instance,
			   &worker_ops, l);
	announce_to(l);
	far_lose(old, "cut by the simulation, late");
	drop_jobs(l->worker, l);
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
		worker_connect(l);
	}
	sim_at(&w->report, sim_now_us() + prng_below(rng, (uint32_t)REPORT_US));
}

void
worker_done(struct sim_worker *w)
{
	drop_jobs(w, NULL);
	for (uint32_t i = 0; i < w->world->p.routers; i++) {
		loop_timer_cancel(sim_loop(), &w->links[i].reopen);
	}
	loop_timer_cancel(sim_loop(), &w->heal);
	loop_timer_cancel(sim_loop(), &w->report);
	free(w->links);
}
