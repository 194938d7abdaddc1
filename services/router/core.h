/*
 * router/core.h - the state of one router, shared by the files of this room and by nobody else. All of it lives on one loop.
 */
#ifndef ROUTER_CORE_H
#define ROUTER_CORE_H

#include "daemon/daemon.h"
#include "net/door.h"
#include "router/audit_client.h"
#include "router/cache_client.h"
#include "router/cache_rules.h"
#include "router/coalesce.h"
#include "router/limits.h"
#include "router/policy_rules.h"
#include "router/queue.h"
#include "router/retry_budget.h"
#include "router/routes.h"
#include "router/workers.h"

#define ROUTER_TICK_MS      100
#define ROUTER_NO_WORKER_MS 5000 /* how long a request waits for a worker to come back */
#define ROUTER_RC_COUNT     (IM_EMETHOD + 1)

/* Why a request was not admitted. */
#define REFUSED_MAP(X)                                                                             \
	X(REFUSED_INVALID, "invalid")                                                              \
	X(REFUSED_MODEL, "model_not_found")                                                        \
	X(REFUSED_DRAINING, "draining")                                                            \
	X(REFUSED_CALLS, "calls_max")                                                              \
	X(REFUSED_QUEUE, "queue_full")                                                             \
	X(REFUSED_DEADLINE, "deadline_unmeetable")                                                 \
	X(REFUSED_LIMIT, "rate_limit")                                                             \
	X(REFUSED_OVERSIZE, "exceeds_limit")                                                       \
	X(REFUSED_LIMITS_AWAY, "limits_unavailable")                                               \
	X(REFUSED_AUDIT, "audit_unavailable")                                                      \
	X(REFUSED_MEMORY, "no_memory")

enum refused {
#define X(name, text) name,
	REFUSED_MAP(X)
#undef X
	REFUSED_COUNT
};

/* Why a worker did not take a request that was sent to it, which is no failure. */
#define TURNED_AWAY_MAP(X)                                                                         \
	X(TURNED_AWAY_FULL, "full")                                                                \
	X(TURNED_AWAY_BUSIER, "busier") /* than this router knew: LOAD_CHANGED */

enum turned_away {
#define X(name, text) name,
	TURNED_AWAY_MAP(X)
#undef X
	TURNED_AWAY_COUNT
};

struct router_settings {
	uint32_t calls_max, request_ms, retries;
	uint32_t silence_ms; /* of a worker at a deadline, that counts against it */
	bool coalesce;
	size_t cache_answer_bytes, once_bytes;
	enum audit_mode audit_mode;
};

/* A link that somebody opened to us. */
struct peer {
	struct list node;
	struct router *router;
	struct link *link;
	struct worker *worker; /* once it has announced one */
	bool told_goaway;
};

struct router {
	struct loop *loop;
	struct net *net;
	char name[NET_NAME_MAX];
	uint64_t started_ms;
	struct router_settings set;
	struct endpoint *listen[2];
	size_t listen_count;
	struct door *door;
	uint32_t door_open_requests;
	struct list peers;
	struct workers workers;
	struct policy_rules policies;
	struct queue queue;
	struct coalesce coalesce;
	struct audit_client audit;
	struct cache_client cache;
	struct cache_rules cache_rules;
	struct limits limits;
	struct routes routes;
	struct list requests; /* struct request.node */
	uint32_t running;
	struct list pump; /* models in turn: a place may have come free */
	struct loop_task pump_task;
	struct loop_timer tick;
	bool draining;
	bool hold_off; /* some request found no memory for its terminal record */

	uint64_t admitted;
	uint64_t refused[REFUSED_COUNT];
	struct retry_budget retry_budget;
	uint64_t retries[ROUTER_RC_COUNT]; /* by what the worker's failure was */
	uint64_t retries_denied;           /* by the budget */
	uint64_t turned_away[TURNED_AWAY_COUNT];
	uint64_t outcomes[OUTCOME_REJECTED + 1];
	struct histogram overhead;

	bool leases_returned; /* to Redis */
	bool stopping, closing,
	    door_closed;      /* closing: the last records are out, links are being closed */
	uint64_t close_at_ms; /* stopping: when the last records have had their time */
	bool audit_was_up, cache_was_up; /* for the log: changes only */
	struct loop_task stop_task;
	loop_fn stopped;
	void *stopped_arg;
};

/* router_peers.c: links that others open */

extern const struct endpoint_ops router_peer_ops; /* 'user' is the struct router */

/* rpc.c: what is answered at once */

void router_announce(struct router *router, struct peer *peer, struct served *served,
		     const struct served_request *req);
void router_report(struct router *router, struct peer *peer, struct served *served,
		   const struct served_request *req);
void router_list_models(const struct router *router, struct served *served);

/** End with 'bytes', or with an error if they failed for want of memory. */
void router_end_with(struct served *served, const struct buf *bytes);

/* status.c */

void router_status(const struct router *router, struct served *served);

/** One worker; strings and lists point into it and into 'arena'. False without memory. */
IM_MUST_CHECK bool router_worker_status(const struct worker *w, uint64_t now_ms,
					struct arena *arena, struct worker_status *ret);

/* request_worker.c */

/** A place may have come free at 'w': let those who wait have it, after the present callback. */
void router_pump(struct router *router, struct worker *w);

/* router_health.c */

/** Breakers, health and the retry budget, as configured; the table of workers is there. */
void router_health_start(struct router *router, const struct config *c);
void router_health_metrics(const struct router *router, struct metrics_page *page);

/* router_metrics.c */

void router_metrics(const void *service, struct metrics_page *page);

/** Slots counted at workers minus requests that say they hold one: anything but 0 is a defect. */
int64_t router_slots_leaked(const struct router *router);

#endif
