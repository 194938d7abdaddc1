/*
 * router/queue.c - requests that wait; see queue.h.
 */
#include "router/queue.h"

#define QUEUE_RETRY_MS 1000

bool
waiting_has_room(const struct queue *q)
{
	return q->count < q->max;
}

enum im_rc
waiting_join(struct queue *q, struct model *m, struct queue_entry *e, uint64_t now_ms,
	     struct im_err *err)
{
	struct list *at = m->waiting.prev;

	if (e->seq == 0) {
		if (!waiting_has_room(q)) {
			(void)err_reason(
			    err, IM_EUNAVAILABLE, "queue_full",
			    "%u requests wait for a worker already; try again later or raise router.queue_max",
			    q->max);
			if (err != NULL) {
				err->retry_after_ms = QUEUE_RETRY_MS;
			}
			return IM_EUNAVAILABLE;
		}
		e->seq = ++q->seq;
	}
	while (at != &m->waiting && CONTAINER_OF(at, struct queue_entry, node)->seq > e->seq) {
		at = at->prev;
	}
	list_push_front(at, &e->node); /* right behind 'at' */
	e->model = m;
	e->since_ms = now_ms;
	q->count++;
	return IM_OK;
}

void
waiting_leave(struct queue *q, struct queue_entry *e)
{
	if (e->model == NULL) {
		return;
	}
	list_remove(&e->node);
	e->model = NULL;
	q->count--;
}

struct queue_entry *
waiting_first_for(const struct worker *w,
		  bool (*may)(const struct queue_entry *e, const struct worker *w))
{
	struct queue_entry *best = NULL;

	for (size_t i = 0; i < w->model_count; i++) {
		LIST_FOREACH (&w->models[i].model->waiting, e, struct queue_entry, node) {
			if (best != NULL && e->seq > best->seq) {
				break;
			}
			if (may(e, w)) {
				best = e;
				break;
			}
		}
	}
	return best;
}
