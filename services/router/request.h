/*
 * router/request.h - one request from admission to its end: performs what request_state.c decides. The files:
 *
 *   request_admit.c   who may come in, and who is told why not
 *   request.c         events, actions, the end
 *   request_worker.c  finding a worker, the call to it, the queue
 *   request_retry.c   what follows a failed attempt
 *   request_route.c   which model is meant, and what answers when it cannot
 *   request_answer.c  frames on their way to the caller, and the cache
 *   request_shared.c  requests that share one generation
 *   request_record.c  what the audit log is told
 *
 * Never parses JSON. Threads: on the loop.
 */
#ifndef ROUTER_REQUEST_H
#define ROUTER_REQUEST_H

#include "router/answer.h"
#include "router/answer_hash.h"
#include "router/core.h"
#include "router/workers_health.h"

#define REQUEST_EVENTS_MAX 16

enum caller_kind {
	CALLER_STREAM,    /* Router/Generate */
	CALLER_ONCE,      /* Router/GenerateOnce */
	CALLER_DOOR,      /* GenerateOnce over REQ/REP */
	CALLER_FOLLOWERS, /* nobody: a generation that other requests follow */
};

/* Who asks, and over what. */
struct caller {
	enum caller_kind kind;
	struct served *served;     /* not for the door */
	struct door_request *door; /* only for the door */
};

/* Bytes on their way to the caller. */
struct held_frame {
	struct list node;
	bool head;     /* not part of the answer */
	size_t credit; /* of the worker that it took */
	size_t len;
	uint8_t bytes[];
};

/* How a request came to its model. */
enum request_fallback {
	FALLBACK_NONE,
	FALLBACK_MODEL,
	FALLBACK_STATIC,
};

/* An attempt that failed. */
struct failed_try {
	struct worker_name *worker; /* referenced */
	char reason[40];
};

struct request {
	struct list node;
	struct router *router;
	struct request_state st;
	enum request_event
	    events[REQUEST_EVENTS_MAX]; /* that arose while another is being worked on */
	uint32_t event_count;
	bool driving, over;

	struct caller caller;
	struct loop_timer deadline;
	struct model *model;
	struct route_plan *plan; /* NULL: the model was asked for by its own name */
	size_t arm;              /* of the plan */
	enum request_fallback fallback;
	size_t fallback_next; /* which of the plan's fallbacks may come next */
	bool falling;         /* the next search is for that one */
	bool not_here;        /* this model cannot answer it, another one might */
	uint8_t id[16];
	char id_hex[33];
	char *caller_name, *tenant, *traceparent; /* behind the struct, in one block */
	uint8_t *body; /* as the worker gets it; NULL once no other worker will be tried */
	size_t body_len;
	int32_t priority;
	uint8_t input_sha256[SHA256_BYTES];
	uint64_t received_us; /* since 1970 */

	struct queue_entry waiting;
	struct worker *worker; /* holds a slot there */
	uint64_t slot_ms;      /* since when */
	struct call *call;
	struct attempt attempt;     /* while 'worker' is set */
	struct judgement judgement; /* what it says of the worker, at its end */
	enum im_rc again_after;     /* the failure after which another worker is looked for */
	uint64_t tried[WORKERS_TRIED_MAX];
	size_t tried_count, failed_count; /* of 'tried' and 'failed' */
	uint32_t busier_count;            /* times that a worker was busier than we knew */
	enum policy policy;               /* as the rules say */
	size_t policy_rule;               /* which one; see policy_rules_choose() */
	uint64_t prefix;                  /* see struct pick_ask */
	char model_digest[WORKERS_DIGEST_MAX + 1];

	bool streams;   /* the caller reads tokens as they come */
	bool shareable; /* its answer may come from a generation that is shared */
	struct follower follower;
	struct generation generation; /* only of CALLER_FOLLOWERS, and so are: */
	struct loop_task share_task;
	bool telling;   /* followers are being told of the end */
	bool timed_out; /* somebody who follows ran into the deadline */

	bool cacheable, has_key;
	uint8_t key[CACHE_KEY_BYTES];
	char key_digest[WORKERS_DIGEST_MAX + 1]; /* of the weights that the key stands for */
	uint32_t max_age_ms;
	struct call *cache_call;
	char cache_word[24]; /* hit-l1, miss, bypass, coalesced */
	uint64_t age_ms;

	struct list held;
	struct answer_hash *hash;
	struct answer *answer; /* NULL = not gathered */
	struct usage usage;
	bool has_usage;
	struct limit_claim claim;
	struct audit_record *record, *end_record; /* that it waits for: REQUEST, the terminal one */

	uint64_t begun_us, part_us; /* CLOCK_MONOTONIC; part: began to wait or was dispatched */
	uint64_t heard_us; /* the dispatch, or the last tick before the worker's last frame */
	uint64_t waited_us, worker_us; /* spent waiting for a worker, and at workers */

	/* From here on more than half of it, of which a request that goes well needs next to nothing: only what says how much of
	 * each is set begins as zero. */
	struct im_err err;
	struct pick pick; /* the last one */
	struct failed_try failed[WORKERS_TRIED_MAX];
};

/* request_admit.c */

/** Admit or refuse; answers the caller in either case. 'budget_ms' 0 = none named. */
void router_request_admit(struct router *router, const struct caller *caller,
			  const struct link_peer *peer, const struct served_request *in);

/** A request for what 'r' asks, without caller, bytes, answer and state. NULL without memory. */
struct request *router_request_copy(const struct request *r);

/* request.c */

/** An event from outside. The request may be gone afterwards. */
void router_request_event(struct request *r, enum request_event ev);

/** Cut it off, because the router stops: its worker is told, its terminal record is on its way, its end follows. */
void router_request_cut(struct request *r);

/** End everything at once, without waiting for anybody: the audit log took no record in time. */
void router_request_abort(struct request *r);

/** Free a request that nothing refers to any more. */
void router_request_free(struct request *r);

/** Answer somebody with an error. */
void router_caller_fail(const struct caller *caller, const char *request_id,
			const struct im_err *err);

extern const struct served_ops router_request_served_ops;

/* request_worker.c */

void router_request_find_worker(struct request *r);
void router_request_dispatch(struct request *r);
void router_request_cancel_worker(struct request *r);

void router_request_free_slot(struct request *r);

void router_pump_fire(void *arg);

/** What its caller is to read: nobody serves its model any more. */
void router_request_model_gone(struct request *r);

/** Its deadline is near: if it still waits for its first worker it is told to come again. It may be gone afterwards. */
void router_request_overdue(struct request *r);

/** End what has waited in vain, and look for places that came free with time. */
void router_sweep_waiting(struct router *router);

/* request_retry.c */

/** The call to its worker has ended with 'err', or was never 'opened'. */
void router_request_attempt_failed(struct request *r, const struct im_err *err, bool opened);

/** A frame of the worker is here, with part of an answer ('token') or without. */
void router_request_heard(struct request *r, bool token);

/** The deadline has passed while the worker was at it: set 'judgement'. */
void router_request_judge_deadline(struct request *r);

/** A worker was found; if an attempt failed before, this is a retry: count it and say why. */
void router_request_count_again(struct request *r);

/* request_route.c */

/* What a request that asks for a route is given. */
struct route_choice {
	struct route *route; /* NULL: it asks for no route */
	size_t arm;
	const char *alias;
	double cache_temperature; /* up to which answers are cached: cache_rules.h */
};

/** If 'req' asks for a route: let it ask for the arm instead, whose model is made known. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc router_request_choose_arm(struct router *router,
						   const struct link_peer *peer,
						   struct generate_request *req,
						   struct route_choice *ret);

/** It was admitted with 'choice', asking for what 'req' says. */
void router_request_keep_arm(struct request *r, const struct generate_request *req,
			     const struct route_choice *choice);

/** It cannot be answered where it was looked for. True: then it is elsewhere, and goes on there. */
bool router_request_falls_back(struct request *r);

/** Go over to what falls back. False: no worker is to be looked for any more. */
bool router_request_switch(struct request *r);

/** "model:NAME", "static" or "". */
const char *router_request_fallback_text(const struct request *r, char room[AUDIT_ROUTE_MAX + 1]);

/** It has ended: for the route's counts and its ramp. */
void router_request_count_arm(const struct request *r);

/* request_answer.c */

/** Answer with 'text', as if a worker had said it. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc router_request_answer_static(struct request *r, const char *text,
						      uint32_t choices);

void router_request_ask_cache(struct request *r);
void router_request_fill_cache(struct request *r);
void router_request_open(struct request *r);
void router_request_flush(struct request *r);
void router_request_drop_held(struct request *r, bool head_too);

/** Start gathering and hashing anew. False without memory. */
bool router_request_answer_reset(struct request *r);

/** Take one frame of the worker. */
void router_request_take_frame(struct request *r, const uint8_t *body, size_t len);

/** A first frame of the answer has reached somebody: there is no other worker for it any more. */
void router_request_delivered(struct request *r);

/* request_shared.c */

/** True if a generation of this key is under way that may be joined. */
bool router_request_may_follow(const struct router *router, const uint8_t key[CACHE_KEY_BYTES],
			       bool streams);

/** Join a generation of the same key, or begin one. */
void router_request_follow(struct request *r);

/** Listen no more; the last one ends the generation. Nothing happens if it follows none. */
void router_request_leave_shared(struct request *r);

/** Refer to it no more: the generation may be gone afterwards. Nothing happens if it follows none. */
void router_request_forget_shared(struct request *r);

/** The request that has the worker, the answer and the digest: the generation that 'r' follows, else 'r'. */
struct request *router_request_doer(struct request *r);

/** Let those who follow have the next frame. IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc router_request_say(struct request *doer, const uint8_t *bytes, size_t len,
					    size_t credit);

/** Send what is there to read. True if nothing is left; else '*ret_rc' says why, as served_send() does. */
bool router_request_flush_shared(struct request *r, enum im_rc *ret_rc);

/** Nobody is there who could do it. Those who have another model to go to go there; the generation waits on for the others. */
void router_request_let_go(struct request *doer);

/** The generation is over; those who follow are told after the present callback. */
void router_request_shared_over(struct request *doer);

/* request_record.c */

/** Hand over the REQUEST record. False if it was not taken. */
bool router_request_record_begin(struct request *r);

/** Hand over the terminal record. False without memory. */
bool router_request_record_end(struct request *r);

/** HTTP status that the caller was given. */
uint32_t router_request_status(const struct request *r);

#endif
