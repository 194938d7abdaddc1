/*
 * inference/worker_state.h - the parts of the worker among themselves: worker.c (the service), worker_link.c (routers and
 * announcements), worker_operator.c (operators), worker_request.c (one Inference/Generate). Nobody else includes this.
 */
#ifndef INFERENCE_WORKER_STATE_H
#define INFERENCE_WORKER_STATE_H

#include "base/list.h"
#include "inference/load_news.h"
#include "inference/worker.h"

#define WORKER_ROUTERS_MAX 64
#define WORKER_ANNOUNCE_US 1000000 /* between announcements */
#define WORKER_LOOK_US     50000   /* while the backend does not know its models yet */
#define WORKER_QUEUE_MAX   ((size_t)16 * 1024 * 1024) /* bytes of one answer that wait for credit */
#define WORKER_BATCH_MAX   ((size_t)16 * 1024)        /* frames that go together */
#define WORKER_ARENA_MIN                                                                           \
	((size_t)8 * 1024 * 1024) /* bound of a decoded request, beside four times its bytes */

/* A router that we have a link to. */
struct router_link {
	struct list node;         /* in worker.links */
	struct list refused_node; /* in worker.refused */
	struct worker *w;
	struct link *link;
	struct call *call;      /* an announcement that is not answered yet */
	struct call *news_call; /* news that are not answered yet */
	struct load_news news;
	struct loop_timer news_later; /* for those that have to wait */
	uint32_t own;                 /* requests that came from it */
	bool again;                   /* something changed meanwhile */
	bool refused;                 /* the log knows */
};

struct worker_stats {
	uint64_t ok, cancelled, refused;
	uint64_t failed[IM_EMETHOD + 1]; /* by code */
	uint64_t prompt_tokens, completion_tokens;
	struct histogram seconds, first_token, per_token;
};

struct worker {
	struct service_env env;
	const struct backend_ops *ops;
	struct backend *b;
	struct endpoint *routers[WORKER_ROUTERS_MAX];
	size_t router_count;
	struct list links;    /* of struct router_link: those that are up */
	struct list refused;  /* of struct router_link: who was told "full", longest ago first */
	struct list requests; /* of struct request */
	uint32_t request_count;
	struct endpoint *operators; /* NULL = they are not served */
	struct list asked;          /* changes that operators asked for */
	struct buf scratch;         /* for encoding within one callback */
	struct buf batch; /* encoded frames of 'batch_of' that leave at the end of the turn */
	struct request *batch_of; /* NULL = none */
	bool batch_named;         /* a system_fingerprint is in it */
	struct loop_task flush;
	struct loop_timer tick;
	uint64_t offered_us; /* until when a free place is offered to one router */
	uint32_t weight;     /* 0 = not configured */
	bool backup;
	bool trouble_logged;
	bool draining;
	bool stopping, backend_stopped;
	loop_fn stopped;
	void *stopped_arg;
	struct worker_stats stats;
};

/** How busy the worker is now, as 'hearer' sees it; NULL = nobody in particular. */
struct load worker_load(const struct worker *w, const struct router_link *hearer);

/** The same, and 'hearer' is being told. */
struct load worker_tell_load(const struct worker *w, struct router_link *hearer);

/** The model behind 'name', which may be an alias: NULL if there is none. */
const char *worker_model(const struct worker *w, const char *name);

/** Free what is left once links and backend are gone; tells the daemon. Does nothing before. */
void worker_try_finish(struct worker *w);

/* worker_link.c */

/** Dial every router. On failure none is left dialled. */
IM_MUST_CHECK enum im_rc worker_dial(struct worker *w, struct im_err *err);

/** Tell every router what we are; one that has not answered yet is told again when it has. */
void worker_announce(struct worker *w);

/** 'r' brought a request for which there was no place: it will hear when there is one. NULL is fine. */
void worker_turned_away(struct router_link *r);

/** A request has come or gone: tell the routers to which that is news (load_news.h). */
void worker_load_changed(struct worker *w);

/** The same, and a place came free: offer it to the router that was turned away first, so that they do not all come at once. */
void worker_place_free(struct worker *w);

/** True if 'r', from which a request has just come, had not read that the worker is busier. NULL is fine. */
bool worker_news_crossed(const struct worker *w, const struct router_link *r);

/** Tell every router to send no more. */
void worker_goaway(struct worker *w);

/** Close all endpoints; links report that they are down later. */
void worker_hang_up(struct worker *w);

/* worker_operator.c */

/** Listen for operators, where the configuration says so and the backend has anything for them. */
IM_MUST_CHECK enum im_rc worker_listen(struct worker *w, struct im_err *err);

/** Answer whoever waits for a change, which goes on, and hang up. */
void worker_refuse_operators(struct worker *w);

/* worker_request.c */

/** An endpoint_ops.request. */
void worker_request(void *user, struct link *link, struct served *served,
		    const struct served_request *req);

/** Send what this turn gathered; 'arg' is the worker. A loop_fn. */
void worker_flush(void *arg);

/** Cancel every request and end it with 'why'. */
void worker_end_requests(struct worker *w, const struct im_err *why);

#endif
