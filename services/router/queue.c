/*
 * router/queue.c - requests that wait; see queue.h.
 */
#include "router/queue.h"

#include <assert.h>
#include <string.h>

#define COST       (1ULL << 20) /* of one request in virtual time, divided by the weight of its class */
#define HOLD_SHARE (1.0 / 16) /* of a new sample in the moving average */

static const char *const class_names[] = {
#define X(name, text) text,
	QUEUE_CLASS_MAP(X)
#undef X
};

enum queue_class
queue_class_of(int32_t priority)
{
	if (priority == 0) {
		return QUEUE_NORMAL;
	}
	return priority > 0 ? QUEUE_HIGH : QUEUE_LOW;
}

const char *
queue_class_text(enum queue_class cls)
{
	return class_names[cls];
}

void
queue_init(struct queue *q, const struct queue_settings *set)
{
	memset(q, 0, sizeof(*q));
	q->set = *set;
	list_init(&q->lines);
	for (size_t i = 0; i < QUEUE_CLASSES; i++) {
		assert(set->weight[i] >= 1 && set->weight[i] <= QUEUE_WEIGHT_MAX);
		q->waited[i].bounds = &histogram_seconds;
	}
}

static uint32_t
class_count(const struct queue_line_class *c)
{
	return ranked_count(&c->fresh) + ranked_count(&c->again);
}

uint32_t
queue_line_waiting(const struct queue_line *line, enum queue_class cls)
{
	return class_count(&line->classes[cls]);
}

bool
queue_line_blocks(const struct queue_line *line)
{
	for (size_t i = 0; i < QUEUE_CLASSES; i++) {
		if (ranked_count(&line->classes[i].fresh) > 0) {
			return true;
		}
	}
	return false;
}

/* How many at least go before somebody who comes now with this class and deadline. */
static uint64_t
count_ahead(const struct queue *q, const struct queue_line *line, enum queue_class cls,
	    uint64_t deadline_ms)
{
	const struct queue_line_class *own = &line->classes[cls];
	uint64_t ahead = (uint64_t)ranked_before(&own->fresh, deadline_ms, UINT64_MAX) +
			 ranked_before(&own->again, deadline_ms, UINT64_MAX);
	uint64_t before_own = ahead;

	for (size_t i = 0; i < QUEUE_CLASSES; i++) {
		uint64_t others = class_count(&line->classes[i]);
		uint64_t share = before_own * q->set.weight[i] / q->set.weight[cls];

		if (i != cls) {
			ahead += others < share ? others : share;
		}
	}
	return ahead;
}

/* What passes until 'count' places come free; 0 = not known. */
static double
time_for(const struct queue_line *line, uint64_t count)
{
	if (line->samples < QUEUE_SAMPLES_MIN || line->at_work == 0) {
		return 0;
	}
	return (double)count * line->hold_ms / line->at_work;
}

static uint32_t
retry_after(double wait_ms)
{
	if (wait_ms <= 0) {
		return QUEUE_RETRY_MS;
	}
	if (wait_ms < QUEUE_RETRY_MIN_MS) {
		return QUEUE_RETRY_MIN_MS;
	}
	return wait_ms < UINT32_MAX ? (uint32_t)wait_ms : UINT32_MAX;
}

static enum im_rc
refuse(struct im_err *err, double wait_ms)
{
	if (err != NULL) {
		err->retry_after_ms = retry_after(wait_ms);
	}
	return IM_EUNAVAILABLE;
}

enum im_rc
queue_admits(const struct queue *q, const struct queue_line *line, enum queue_class cls,
	     uint64_t deadline_ms, uint64_t now_ms, struct im_err *err)
{
	double wait_ms, left_ms = deadline_ms > now_ms ? (double)(deadline_ms - now_ms) : 0;

	if (line->count >= q->set.line_max) {
		(void)err_reason(
		    err, IM_EUNAVAILABLE, "queue_full",
		    "%u requests wait for this model already; try again later or raise router.queue_max",
		    line->count);
		return refuse(err, time_for(line, 1));
	}
	if (q->count >= q->set.all_max) {
		(void)err_reason(
		    err, IM_EUNAVAILABLE, "queue_full",
		    "%u requests wait for workers already; try again later or raise router.queue_all_max",
		    q->count);
		return refuse(err, time_for(line, 1));
	}
	wait_ms = time_for(line, count_ahead(q, line, cls, deadline_ms));
	if (wait_ms > left_ms) {
		(void)err_reason(
		    err, IM_EUNAVAILABLE, "deadline_unmeetable",
		    "the wait for a worker is about %.1f s, but the request has %.1f s left; try again later or give it more time",
		    wait_ms / 1000, left_ms / 1000);
		return refuse(err, wait_ms - left_ms);
	}
	return IM_OK;
}

enum im_rc
queue_join(struct queue *q, struct queue_line *line, struct queue_entry *e, uint64_t now_ms,
	   struct im_err *err)
{
	struct queue_line_class *c = &line->classes[e->cls];
	struct ranked *set = e->picky ? &c->again : &c->fresh;

	assert(e->line == NULL);
	if (e->seq == 0) {
		enum im_rc rc = queue_admits(q, line, e->cls, e->deadline_ms, now_ms, err);

		if (rc != IM_OK) {
			return rc;
		}
		e->seq = ++q->seq;
	}
	if (class_count(c) == 0 && c->turn < line->virtual_now) {
		c->turn = line->virtual_now; /* it was idle: that gives it no claim */
	}
	set->salt = set->root == NULL ? q->set.salt : set->salt;
	ranked_insert(set, &e->node, e->deadline_ms, e->seq);
	e->line = line;
	e->since_ms = now_ms;
	if (line->count++ == 0) {
		list_push_back(&q->lines, &line->node);
	}
	q->count++;
	return IM_OK;
}

void
queue_pass(struct queue *q, struct queue_entry *e)
{
	if (e->seq == 0) {
		e->seq = ++q->seq;
	}
}

uint32_t
queue_retry_after(const struct queue_line *line)
{
	return retry_after(time_for(line, 1));
}

void
queue_leave(struct queue *q, struct queue_entry *e)
{
	struct queue_line *line = e->line;

	if (line == NULL) {
		return;
	}
	ranked_remove(e->picky ? &line->classes[e->cls].again : &line->classes[e->cls].fresh,
		      &e->node);
	e->line = NULL;
	q->count--;
	if (--line->count == 0) {
		list_remove(&line->node);
	}
}

static struct queue_entry *
entry_of(struct ranked_node *n)
{
	return n == NULL ? NULL : CONTAINER_OF(n, struct queue_entry, node);
}

static bool
goes_before(const struct ranked_node *a, const struct ranked_node *b)
{
	return a->key < b->key || (a->key == b->key && a->tie < b->tie);
}

/* The first of one class that can go. '*open' is cleared when one that is not picky cannot. */
static struct queue_entry *
class_next(const struct queue_line_class *c, bool (*can)(struct queue_entry *e, void *arg),
	   void *arg, bool *open)
{
	struct ranked_node *fresh = ranked_first(&c->fresh), *again = ranked_first(&c->again);
	unsigned looks = 0;

	while ((fresh != NULL && *open) || again != NULL) {
		bool take_again =
		    again != NULL && (fresh == NULL || !*open || goes_before(again, fresh));
		struct queue_entry *e = entry_of(take_again ? again : fresh);

		if (can(e, arg)) {
			return e;
		}
		if (!take_again) {
			*open = false;
		} else {
			again = ++looks < QUEUE_LOOK_MAX ? ranked_next(again) : NULL;
		}
	}
	return NULL;
}

struct queue_entry *
queue_next(const struct queue_line *line, bool (*can)(struct queue_entry *e, void *arg), void *arg)
{
	bool asked[QUEUE_CLASSES] = { false }, open = true;

	for (size_t round = 0; round < QUEUE_CLASSES; round++) {
		const struct queue_line_class *best = NULL;
		struct queue_entry *e;

		/* The earliest start; at equal ones the more urgent class. */
		for (size_t i = QUEUE_CLASSES; i-- > 0;) {
			const struct queue_line_class *c = &line->classes[i];

			if (!asked[i] && class_count(c) > 0 &&
			    (best == NULL || c->turn < best->turn)) {
				best = c;
			}
		}
		if (best == NULL) {
			return NULL;
		}
		asked[best - line->classes] = true;
		e = class_next(best, can, arg, &open);
		if (e != NULL) {
			return e;
		}
	}
	return NULL;
}

void
queue_take(struct queue *q, struct queue_entry *e, uint64_t now_ms)
{
	struct queue_line *line = e->line;
	struct queue_line_class *c = &line->classes[e->cls];

	if (line->virtual_now < c->turn) {
		line->virtual_now = c->turn;
	}
	c->turn += COST / q->set.weight[e->cls];
	histogram_add(&q->waited[e->cls],
		      now_ms > e->since_ms ? (double)(now_ms - e->since_ms) / 1000 : 0);
	queue_leave(q, e);
}

void
queue_line_began(struct queue_line *line)
{
	line->at_work++;
}

void
queue_line_refused(struct queue_line *line)
{
	assert(line->at_work > 0);
	line->at_work--;
}

void
queue_line_ended(struct queue_line *line, uint64_t held_ms)
{
	queue_line_refused(line);
	if (line->samples == 0) {
		line->hold_ms = (double)held_ms;
	} else {
		line->hold_ms += ((double)held_ms - line->hold_ms) * HOLD_SHARE;
	}
	line->samples += line->samples < QUEUE_SAMPLES_MIN;
}
