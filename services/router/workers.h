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
#include "router/queue.h"
#include "wire/mesh.h"

#define WORKERS_MAX         4096 /* incarnations */
#define WORKERS_MODELS_MAX  16384
#define WORKERS_REMEMBER_MS 60000 /* how long a lost worker and its models stay known */
#define WORKERS_BUCKETS     1024
#define WORKERS_DIGEST_MAX  64
#define WORKERS_LOAD_MAX    1000000 /* a load beyond this is taken as this */
#define WORKERS_TRIED_MAX   11      /* router.retries + 1 at most */

/* A name that outlives its worker, in routing decisions. */
struct worker_name {
	uint32_t refs;
	char text[NET_NAME_MAX];
};

void workers_name_ref(struct worker_name *name);
void workers_name_unref(struct worker_name *name); /* NULL is fine */

struct model {
	struct list node; /* in a bucket */
	struct list
	    serving; /* worker_model.model_node: workers that are not gone and not retired */
	struct queue_line waiting;
	struct list pump_node; /* router: a place may have come free for those who wait */
	uint64_t lost_ms;      /* since when nobody serves it; 0 = somebody does */
	uint64_t created;
	uint32_t context_tokens;
	uint32_t users;            /* requests that refer to it */
	char *owned_by, *digest;   /* as announced last */
	struct histogram duration; /* of calls to workers */
	char id[];
};

struct worker;

struct worker_model {
	struct list model_node;
	struct worker *worker;
	struct model *model;
	char digest[WORKERS_DIGEST_MAX + 1]; /* of the weights that this worker has */
};

struct worker {
	struct list node;
	uint64_t
	    id; /* unique among all incarnations, so that it can be remembered without a pointer */
	struct worker_name *name;
	char backend[16];
	uint8_t instance[16];
	struct link *link; /* NULL = gone */
	bool retired;      /* replaced by a newer incarnation */
	bool draining;
	uint64_t gone_ms;
	struct worker_model *models;
	size_t model_count;
	struct load load; /* as it said last */
	uint32_t slots;   /* our requests there */
	uint32_t others;  /* requests there that are not ours, as far as we know */
	uint64_t last_pick;
	uint64_t dispatched, succeeded, failed;
};

struct workers {
	struct list all;
	struct list buckets[WORKERS_BUCKETS];
	size_t count, model_count;
	uint64_t next_id, picks;
};

void workers_init(struct workers *ws);

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

/** Its link is lost: no more requests for it. */
void workers_lost(struct workers *ws, struct worker *w, uint64_t now_ms);

/** What a worker says about itself at the end of a request. */
void workers_report(struct worker *w, const struct load *load);

/** It refused a request, which still has its slot, although we thought it had room: believe it until it reports again. */
void workers_mark_full(struct worker *w);

/** Digest of the weights with which 'w' serves 'm'; "" if it says none. Lives as long as the announcement. */
const char *workers_digest(const struct worker *w, const struct model *m);

/** Requests there now: ours and, from its reports, those of others. */
uint32_t workers_in_flight(const struct worker *w);

/** True if it may get a request now. */
bool workers_has_room(const struct worker *w);

/** True if it could get one as soon as it has room. */
bool workers_usable(const struct worker *w);

/** "ready", "draining" or "gone". */
const char *workers_state(const struct worker *w);

/** Count a request in and out. */
void workers_take_slot(struct worker *w);
void workers_free_slot(struct worker *w);

/** The model called 'id', or NULL if it is not known (any more). */
struct model *workers_find_model(const struct workers *ws, const char *id);

/* The decision and what it was based on, for the audit log. */
struct pick {
	struct worker *worker; /* NULL = nobody has room */
	size_t seen_count;
	struct {
		struct worker_name *name; /* referenced */
		uint32_t in_flight;
	} seen[AUDIT_SEEN_MAX]; /* the chosen one first */
};

/** Let the policy choose among the workers of 'm', except the 'tried' ones. No slot is taken yet. */
void workers_pick(struct workers *ws, const struct model *m, const uint64_t *tried,
		  size_t tried_count, struct pick *ret);

void workers_pick_done(struct pick *pick);

/** Is there any usable worker for 'm' except the 'tried' ones, busy or not? */
bool workers_any_usable(const struct model *m, const uint64_t *tried, size_t tried_count);

/** True if the incarnation 'id' is still linked. */
bool workers_is_here(const struct workers *ws, uint64_t id);

/** Forget what has been gone for long and is not needed by anybody. */
void workers_sweep(struct workers *ws, uint64_t now_ms);

/** Sum of all slots, those of lost workers included. */
uint32_t workers_slots(const struct workers *ws);

#endif
