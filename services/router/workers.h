/*
 * router/workers.h - who can generate what: the table of workers, the models they announced, and the exact count of our
 * requests at each. Pure: links are only compared and handed back, 'now' is an argument. It never opens a call.
 *
 * A worker is one incarnation: a name on one link. When its link is lost it is "gone" and remembered for a while, so that
 * operators see it and its models stay known. When the same name announces itself on another link, that is a new
 * incarnation and the old one is retired: it keeps the requests that it has and gets no more.
 */
#ifndef ROUTER_WORKERS_H
#define ROUTER_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "daemon/metrics.h"
#include "net/net.h"
#include "router/breaker.h"
#include "router/health.h"
#include "router/policy.h"
#include "router/queue.h"
#include "router/recent.h"
#include "wire/mesh.h"

#define WORKERS_MAX         16384 /* incarnations */
#define WORKERS_MODELS_MAX  16384
#define WORKERS_REMEMBER_MS 60000 /* how long a lost worker and its models stay known */
#define WORKERS_BUCKETS     4096
#define WORKERS_WEIGHT      100 /* of a worker that names none */
#define WORKERS_RAMP_STEPS  16  /* of a slow start; the first one is at once */
#define WORKERS_DIGEST_MAX  64
#define WORKERS_LOAD_MAX    1000000      /* a load beyond this is taken as this */
#define WORKERS_PICKS_FIRST (1ULL << 32) /* below: who was never picked */
#define WORKERS_TRIED_MAX   11           /* router.retries + 1 at most */

/* A name that outlives its worker, in routing decisions. */
struct worker_name {
	uint32_t refs;
	char text[NET_NAME_MAX];
};

static inline void
workers_name_ref(struct worker_name *name)
{
	name->refs++;
}

void workers_name_unref(struct worker_name *name); /* NULL is fine */

/* Backups get requests only while no primary is usable. */
enum tier {
	TIER_PRIMARY,
	TIER_BACKUP,
	TIER_COUNT
};

struct model {
	struct list node; /* in a bucket */
	struct list
	    serving; /* worker_model.model_node: workers that are not gone and not retired */
	struct pool pool[TIER_COUNT]; /* the same ones, for the policies */
	struct list probing;          /* worker_model.probe_node: the next request probes there */
	uint32_t serving_count, ejected_count;
	uint64_t outage_until_ms; /* workers_outage(): 0 = not known, UINT64_MAX = none */
	bool outage_limited;
	struct queue_line waiting;
	struct list pump_node; /* router: a place may have come free for those who wait */
	struct list lost_node; /* in workers.lost_models, while nobody serves it */
	uint64_t lost_ms;      /* since when nobody serves it; 0 = somebody does */
	uint64_t served_ms;    /* since when somebody does */
	bool
	    withdrawn; /* nobody serves it because the last who did said so, and nobody is away who might come back with it */
	uint64_t created;
	uint32_t context_tokens;
	uint32_t users;            /* requests that refer to it */
	char *owned_by, *digest;   /* as announced last */
	struct histogram duration; /* of calls to workers */
	char id[];
};

struct worker;

/* Both begin with what each pick looks at, so that it takes few lines of the processor's caches. */
struct worker_model {
	struct worker *worker;
	struct model *model;
	enum tier tier;
	uint32_t place;           /* in model->pool[tier]; POOL_NONE = in none */
	uint64_t paused_until_ms; /* 0 = not paused */
	struct list ramp_node;    /* in workers.ramping, during slow start */
	uint32_t ramp_step;       /* of WORKERS_RAMP_STEPS, reached by now */
	bool serving;             /* counted in model->serving_count */
	bool ejected;             /* the breaker is not closed, and obeyed: workers_health.h */
	bool paused_by_limit;
	struct breaker breaker;
	uint64_t ramp_ms; /* when slow start began */
	struct list model_node, troubled_node, probe_node;
	char digest[WORKERS_DIGEST_MAX + 1]; /* of the weights that this worker has */
};

struct worker {
	struct worker_name *name;
	struct worker_model *models;
	uint32_t model_count;
	uint32_t slots;           /* our requests there */
	uint32_t others;          /* requests there that are not ours, as far as we know */
	uint32_t weight;          /* as announced */
	uint32_t operator_weight; /* in its place; 0 = none */
	struct load load;         /* as it said last */
	struct health health;
	uint64_t last_pick; /* workers.picks when it last got a request */
	struct workers *table;
	struct link *link; /* NULL = gone */
	bool retired;      /* replaced by a newer incarnation */
	bool backup;
	bool heard; /* since the last workers_tick() */
	uint64_t dispatched, succeeded, failed;

	struct list node;
	struct list id_node, name_node; /* in buckets */
	struct list gone_node;          /* in workers.gone, once its link is lost */
	uint64_t
	    id; /* unique among all incarnations, so that it can be remembered without a pointer */
	char backend[16];
	uint8_t instance[16];
	uint64_t heard_ms, gone_ms;
	struct recent *recent; /* calls to it that have ended */
};

struct workers_settings {
	struct breaker_settings breaker;
	uint32_t eject_max_percent; /* of a model's workers */
	uint32_t suspect_ms;        /* silent for so long; 0 = however long */
};

/* What is told while it happens. Any member may be NULL; none may take a slot or announce. */
struct workers_ops {
	/* health.state has changed from 'before'. */
	void (*state)(void *user, struct worker *w, enum health_state before);
	void (*breaker)(void *user, struct worker_model *wm, enum breaker_change change,
			const char *why);
	void (*paused)(void *user, struct worker_model *wm, uint32_t pause_ms, const char *why);
	/* Requests that found nobody may go there now. */
	void (*room)(void *user, struct worker *w);
	void *user;
};

struct workers {
	struct workers_settings set; /* zero: no breaker opens, nobody is silent */
	struct workers_ops ops;
	struct list troubled; /* worker_model.troubled_node: not closed, or paused */
	uint64_t ticked_ms;
	uint32_t breakers; /* made so far */
	struct list all;
	struct list buckets[WORKERS_BUCKETS]; /* of models, by id */
	struct list ids[WORKERS_BUCKETS];     /* of workers */
	struct list names[WORKERS_BUCKETS];   /* of workers that are not retired */
	struct list gone;                     /* workers whose link is lost */
	struct list lost_models;
	struct list ramping; /* struct worker_model: in slow start */
	size_t count, model_count;
	uint64_t next_id;
	uint64_t picks; /* requests ever given to a worker */
	uint32_t slow_start_ms;
	struct prng prng;
	struct recent_store recents;
	uint64_t decisions[POLICY_COUNT][PICK_REASON_COUNT];
};

/** 'seed' makes what is drawn at random repeatable; 'slow_start_ms' 0 = none. Then 'set' and 'ops' may be filled. */
void workers_init(struct workers *ws, uint32_t slow_start_ms, uint64_t seed);

/** Free everything. No slot may be taken and no model in use. */
void workers_done(struct workers *ws);

/* What an announcement changed. */
struct announced {
	struct worker *worker;
	struct worker *replaced; /* the incarnation that it retired, or NULL */
	bool joined;             /* a new incarnation */
	bool models_changed;
	/* Models that this process of the worker had not announced before, with these weights: indices into announce.models. */
	size_t fresh[ANNOUNCE_MODELS_MAX];
	bool reloaded
	    [ANNOUNCE_MODELS_MAX]; /* of each of these: the worker had it with other weights */
	size_t fresh_count;
};

/**
 * Take an announcement that came over 'link', whose owner is 'worker' (NULL at first). Returns IM_OK; IM_EINVAL (no valid
 * name, or another one than before on this link); IM_EEXIST (it was retired: another process uses its name); IM_ELIMIT;
 * IM_ENOMEM. On failure nothing has changed.
 */
IM_MUST_CHECK enum im_rc workers_announce(struct workers *ws, struct link *link,
					  const uint8_t instance[16], struct worker *worker,
					  const struct announce *a, uint64_t now_ms,
					  struct announced *ret, struct im_err *err);

/**
 * What an operator said of 'name' before this router started: it is known as gone, and who announces itself so takes it over.
 * IM_EINVAL (no valid name), IM_EEXIST (it is known), IM_ELIMIT, IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc workers_expect(struct workers *ws, const char *name, bool draining,
					uint32_t weight, uint64_t now_ms, struct im_err *err);

/** Its link is lost: no more requests for it. */
void workers_lost(struct workers *ws, struct worker *w, uint64_t now_ms);

/** The incarnation 'id', or NULL if it is forgotten. */
struct worker *workers_by_id(const struct workers *ws, uint64_t id);

/** The newest incarnation called 'name', gone or not, or NULL. */
struct worker *workers_by_name(const struct workers *ws, const char *name);

/** What 'w' has to do with 'm', or NULL if it does not serve it. */
struct worker_model *workers_serving(const struct worker *w, const struct model *m);

/** As health_state_text(). */
const char *workers_state(const struct worker *w);

/** The model called 'id', or NULL if it is not known (any more). */
struct model *workers_find_model(const struct workers *ws, const char *id);

/** The model called 'id'; one that nobody has announced is made, and forgotten again like one that was lost: for routes, whose
 *  models need not be served yet. NULL without memory or place. */
struct model *workers_want_model(struct workers *ws, const char *id, uint64_t now_ms);

/** True if the incarnation 'id' is still linked. */
bool workers_is_here(const struct workers *ws, uint64_t id);

/** Time has passed: slow starts go on; pauses and silences begin and end; what has been gone for long and is not needed by anybody is forgotten. */
void workers_tick(struct workers *ws, uint64_t now_ms);

/** Sum of all slots, those of lost workers included. */
uint32_t workers_slots(const struct workers *ws);

/*
 * workers_load.c: how busy workers are.
 *
 * Requests at a worker, as this router knows it: slots + others. 'slots' is exact at any time. 'others' is what other
 * routers have there: of its own count, a worker says in each report which part came over this link ('own'), so
 *
 *      others = in_flight + queued - own
 *
 * is exact for the moment of the report, however long it took and whatever of ours was on its way meanwhile. A worker that
 * does not say it (no 'own') gets others = max(0, in_flight + queued - slots): too low by what is on its way to it.
 */

/** What a worker says about itself, once a second and at the end of a request. */
void workers_report(struct worker *w, const struct load *load);

/** It refused a request, which still has its slot, although we thought it had room: believe it until it reports again. */
void workers_mark_full(struct worker *w);

/** Requests there now: ours and, from its reports, those of others. */
static inline uint32_t
workers_in_flight(const struct worker *w)
{
	return w->slots + w->others;
}

/** Count a request in and out. */
void workers_take_slot(struct worker *w);
void workers_free_slot(struct worker *w);

/** The operator's weight, 1 to ANNOUNCE_WEIGHT_MAX, in place of the announced one; 0 = the announced one again. It holds for the
 *  name, as workers_set_draining() does. */
void workers_set_weight(struct worker *w, uint32_t weight);

/** The weight that policies reckon with now, slow start included, in 1/POOL_WEIGHT_ONE. At least 1. */
uint32_t workers_weight(const struct worker_model *wm);

/** Let slow starts go on; a part of workers_tick(). */
void workers_ramp(struct workers *ws, uint64_t now_ms);

/** It begins anew (it has recovered): slow start, if anybody else has served the model for that long. */
void workers_slow_start(struct worker_model *wm, uint64_t now_ms);

/*
 * Who may get requests. One predicate each; when something that they look at has changed, say so with workers_reindex().
 */

/** True if it could get one as soon as it has room, its breakers and pauses apart. */
bool workers_usable(const struct worker *w);

/** The same for one of its models, with breaker and pause; a half-open breaker whose probe is free counts. */
bool workers_model_usable(const struct worker_model *wm);

/** True if it may get a request now. */
bool workers_has_room(const struct worker *w);

/** Put the policies right about 'w', and about one model of it. Cheap: a path in a tree for each model. */
void workers_reindex(struct worker *w);
void workers_reindex_model(struct worker_model *wm);

/* workers_pick.c: who gets a request. */

/* How a request is to be placed. */
struct pick_ask {
	enum policy policy;
	uint64_t prefix;       /* hash of the conversation's beginning, 0 = none */
	const uint64_t *tried; /* incarnations that are out of the question */
	size_t tried_count;
};

/* The decision and what it was based on, for the audit log. */
struct pick {
	struct worker *worker; /* NULL = nobody has room */
	struct worker_model *wm;
	enum policy policy;
	enum pick_reason reason;
	size_t seen_count;
	struct {
		struct worker_name *name; /* referenced */
		uint32_t in_flight;
		uint32_t weight; /* as announced or set, without slow start */
		enum seen_state state;
		enum seen_breaker breaker;
	} seen[AUDIT_SEEN_MAX]; /* the chosen one first; then see pool_sample() */
};

/** Let the policy choose among the workers of 'm', except the 'tried' ones. Counts the decision; no slot is taken yet. */
void workers_pick(struct workers *ws, struct model *m, const struct pick_ask *ask,
		  struct pick *ret);

void workers_pick_done(struct pick *pick);

/** Is there any usable worker for 'm' except the 'tried' ones, busy or not? */
bool workers_any_usable(const struct workers *ws, const struct model *m, const uint64_t *tried,
			size_t tried_count);

/** Has any worker for 'm' room now that would get requests, tried or not? */
bool workers_any_room(const struct model *m);

#endif
