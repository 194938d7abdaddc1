/*
 * router/queue.h - requests that wait for a worker: first come first served for each model, bounded in all. Pure. Never
 * decides how long somebody waits.
 */
#ifndef ROUTER_QUEUE_H
#define ROUTER_QUEUE_H

#include "base/list.h"
#include "router/workers.h"

struct queue {
	uint32_t count, max;
	uint64_t seq;
};

/* Embedded in its owner, zero-initialised. */
struct queue_entry {
	struct list node;
	struct model *model; /* NULL = does not wait */
	uint64_t seq;        /* its place; kept when it waits again */
	uint64_t since_ms;
};

/** True if one more may wait. */
bool waiting_has_room(const struct queue *q);

/**
 * Wait for a worker of 'm'. Somebody who waits again (after a failed attempt) gets the old place back and is not turned
 * away. IM_EUNAVAILABLE (reason queue_full) when there is no room.
 */
IM_MUST_CHECK enum im_rc waiting_join(struct queue *q, struct model *m, struct queue_entry *e,
				      uint64_t now_ms, struct im_err *err);

/** Does nothing if it does not wait. */
void waiting_leave(struct queue *q, struct queue_entry *e);

/** The one of the models' queues of 'w' that has waited longest and may go to 'w' as 'may' says; NULL if there is none. It
 *  stays in the queue. */
struct queue_entry *waiting_first_for(const struct worker *w,
				      bool (*may)(const struct queue_entry *e,
						  const struct worker *w));

#endif
