/*
 * sim/sim.h - the simulated world: routers, which are the real ones, on virtual time, and around them workers, callers, the cache and
 * the audit service, which are not. Everything random comes from one seed, so that a run replays exactly. The files:
 *
 *   sim_loop.c     virtual time, the loop
 *   sim_net.c      links and calls without a wire
 *   sim_world.c    a world made from a seed, its faults, its beginning and end
 *   sim_worker.c   workers: they announce themselves, fail, hang, restart
 *   sim_job.c      what a worker does with a request
 *   sim_caller.c   callers: they come, wait, read slowly, leave
 *   sim_operator.c operators: they drain, weigh, split, ramp
 *   sim_side.c     the cache and the audit service
 *   sim_check.c    what must hold after every event
 *   sim_report.c   waiting times of the policies, against the ideals (sim_ideal.c), as tables (sim_table.c) and a picture (sim_svg.c)
 *
 * One world at a time, one thread.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "base/prng.h"
#include "inference/load_news.h"
#include "router/core.h"
#include "sim_loop.h"
#include "sim_net.h"

#define SIM_ROUTERS_MAX 32
#define SIM_MODELS_MAX  3

/* Faults of the router itself, which the checks have to find: see sim_check.c. */
#define SIM_BREAK_MAP(X)                                                                           \
	X(BREAK_NOTHING, "nothing")                                                                \
	X(BREAK_SLOT_TWICE, "slot-freed-twice")                                                    \
	X(BREAK_SLOT_LEAK, "slot-leaked")                                                          \
	X(BREAK_LOST_CALL, "call-lost")                                                            \
	X(BREAK_QUEUE, "queue-overfull")                                                           \
	X(BREAK_PROBE, "probed-twice")                                                             \
	X(BREAK_LIMIT, "limit-forgotten")

enum sim_break {
#define X(name, text) name,
	SIM_BREAK_MAP(X)
#undef X
	BREAK_COUNT
};

enum sim_service {
	SERVICE_CONSTANT,
	SERVICE_EXPONENTIAL,
	SERVICE_LOGNORMAL, /* sigma 1 */
	SERVICE_BIMODAL,   /* nine short ones, one of 5.5 times the mean */
	SERVICE_COUNT,
};

/* What a world is like. */
struct world_params {
	uint64_t seed, events;
	bool trace;
	enum sim_break broken;
	uint32_t routers, workers, models, capacity_max;
	uint32_t
	    servers; /* 0 = a worker runs what it takes; else so many at a time, and the rest waits there */
	enum sim_service service;
	double mean_us, load; /* arrivals per service capacity */
	uint64_t delay_us;    /* of a link, at most */
	uint32_t budget_min_ms, budget_max_ms;
	double faults_per_s;                         /* 0 = a world where nothing breaks */
	double cancels, bad, repeated, slow_readers; /* shares of the requests */
	bool routes, fallback_answer; /* routes: callers ask for an alias of two models */
	bool bursts, sides;           /* sides: with a cache and an audit service */
	bool one_class;               /* all requests are equally urgent */
	uint32_t requests_per_minute, requests_burst; /* limits of each router; 0 = none */
	uint32_t tokens_per_minute, tokens_burst;
	char config[1024]; /* members of 'router:' in YAML, each with a comma behind it */
};

struct world;
struct sim_router;
struct sim_worker;

/* One worker's link to one router. */
struct wlink {
	struct sim_worker *worker;
	struct sim_router *router;
	struct link *link; /* NULL = down */
	uint64_t delay_us;
	uint32_t own; /* of the worker's requests, those that came over it */
	struct loop_timer reopen, news_later;
	struct load_news news;
	uint64_t news_answered_us; /* when the router's answer to the last of them is here */
	struct list refused_node;  /* of its worker's list of routers that were turned away */
};

enum worker_mood {
	MOOD_WELL,
	MOOD_FAILS,   /* answers with an error of its own */
	MOOD_LIMITED, /* 429 with a Retry-After */
	MOOD_BREAKS,  /* in the middle of answers */
	MOOD_STOPPED, /* as SIGSTOP: takes nothing, says nothing */
	MOOD_COUNT,
};

struct sim_worker {
	struct world *world;
	uint32_t index;
	char name[16];
	uint8_t instance[16];
	struct wlink *links; /* one a router */
	uint32_t capacity, in_flight, weight, models;
	bool draining, backup;
	enum worker_mood mood;
	double slowness;
	struct list jobs, queue, refused;
	uint32_t serving; /* of in_flight */
	struct loop_timer report, heal;
	uint64_t served;
	uint64_t offered_us; /* until when a free place is offered to one router */
};

/* A request on its way to a worker, there, and back. */
struct job {
	struct list node, queue_node; /* of its worker's jobs; of those that wait there */
	struct wlink *at;
	struct call *call; /* NULL = gone for the router */
	struct loop_timer timer, cancel;
	uint32_t ask, ask_gen;
	uint32_t answer_tokens;
	bool crossed; /* refused because the router had not read news */
	bool probe;   /* went to a worker whose breaker was not closed, and has said nothing yet */
	uint64_t service_us;
	struct load load; /* that its END says */
	enum {
		JOB_SENT,
		JOB_ARRIVED, /* runs as soon as its worker does */
		JOB_QUEUED,  /* in the worker, behind others */
		JOB_BEGUN,
		JOB_SPOKE, /* sent its first frame */
		JOB_END_SENT
	} state;
	enum im_rc end_rc;
};

/* One caller's request. */
struct ask {
	uint32_t index, gen;
	struct sim_router *router;
	struct served *served; /* NULL = over */
	uint64_t number, came_us, deadline_us, service_us, started_us;
	uint32_t frames, answer_tokens;
	bool bad, slow, used, done;
	struct loop_timer act, watch;
};

/* The cache or the audit service of one router. */
struct side {
	struct sim_router *router;
	struct endpoint *ep; /* NULL = nobody dials */
	struct link *link;
	struct loop_timer up;
	bool audit, silent;
	struct list calls; /* being answered */
};

struct sim_router {
	struct world *world;
	uint32_t index;
	char name[16];
	struct net *net;
	struct config *config;
	struct router *router; /* NULL = stopped */
	bool stopping;
	struct link *gateway;
	struct loop_timer restart;
	struct side audit, cache;
	uint32_t asks_open;
	uint64_t over_us; /* since when too many workers are ejected; 0 = they are not */
	uint64_t started_us, used_tokens; /* since it was started */
};

struct tally {
	uint64_t asked, ok, cancelled, refused, failed, late, broken;
	uint64_t dispatched, full, crossed;
};

struct world {
	struct world_params p;
	struct prng rng, fault_rng, arrival_rng;
	struct sim_router routers[SIM_ROUTERS_MAX];
	struct sim_worker *workers;
	struct ask **asks;
	uint32_t ask_count, ask_cap, *free_asks, free_count;
	uint32_t asks_open;
	struct loop_timer arrival, fault;
	double rate_per_us;
	struct list messages; /* of workers, on their way */
	bool quiet;           /* no more arrivals and faults */
	struct tally tally;
	/* For the report, may be NULL: a worker begins with what 'a' asked. */
	void (*started)(void *user, const struct ask *a, uint64_t now_us);
	void *started_user;
};

/* sim_main.c */

/** Say which seed and event it was and how to see it again, and exit with 1. */
void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/** One line of the trace, if one is wanted. It is part of the run's digest in any case. */
void sim_trace(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** True if an end that the router says on a link to 'role' is to be lost, because somebody asked for that fault. */
bool sim_loses(const char *role);

/* sim_world.c */

/** A world of faults from a seed. */
void world_params_from_seed(struct world_params *p, uint64_t seed);

/** Run it: p->events events, then until all is quiet and stopped. */
void world_run(const struct world_params *p, struct tally *ret_tally);

void world_begin(struct world *w, const struct world_params *p);
void world_end(struct world *w);

double world_exponential(struct prng *rng, double mean);

/* Tokens that a worker reports for every prompt: fewer than the router reserves. */
#define SIM_PROMPT_TOKENS 2

/** Microseconds that a request takes at an idle worker. */
double world_service(struct prng *rng, enum sim_service service, double mean_us);

void sim_router_start(struct sim_router *r);
void sim_router_stop(struct sim_router *r, uint64_t back_us);

/* sim_worker.c */

void worker_init(struct world *w, uint32_t index);
void worker_done(struct sim_worker *w);
void worker_messages_done(struct world *world);
void worker_connect(struct wlink *l);
void worker_announce(struct sim_worker *w);
void worker_fault(struct sim_worker *w);
void worker_heal(struct sim_worker *w);
void worker_announce_to(struct wlink *l);
struct load worker_tell_load(struct wlink *l);
/** As the real one: requests have come or gone. */
void worker_load_changed(struct sim_worker *w);
void worker_place_free(struct sim_worker *w);
bool worker_news_crossed(struct wlink *l);
const char *model_name(uint32_t i);

/* sim_job.c: a worker's far_ops.opened and .gone; 'far' is a struct wlink. */

void *job_opened(void *far, struct call *call, const struct call_request *req);
void job_gone(void *user);

/** Forget the jobs that came over 'l', or with NULL all. */
void jobs_drop(struct sim_worker *w, const struct wlink *l);

/** The worker was stopped and goes on. */
void jobs_resume(struct sim_worker *w);

/* sim_caller.c */

void callers_begin(struct world *w);
void callers_done(struct world *w);
void callers_stop(struct world *w);
void gateway_connect(struct sim_router *r);
/** The ask that 'traceparent' names. It may be over, and its place be another's: then its gen is not '*ret_gen'. NULL: none. */
struct ask *callers_find(struct world *w, const char *traceparent, uint32_t *ret_gen);

/* sim_side.c */

void side_init(struct sim_router *r);
void side_done(struct sim_router *r);
void side_dialled(void *router, struct endpoint *ep, const char *url);
void side_fault(struct side *s);

/* sim_operator.c */

void operator_acts(struct sim_router *r);

/* sim_report.c */

/** Measure the policies, or with 'policy' only that one, and write what came of it into the folder 'dir'. True if least
 *  connections, if it was measured, keeps to its targets. */
bool report_write(const char *dir, const char *policy, uint64_t requests, uint64_t jobs);

/* sim_check.c */

void check_dispatch(struct job *j, const struct ask *a);
void check_event(struct world *w);
void check_all(struct world *w);
void check_quiet(struct world *w);

#endif
