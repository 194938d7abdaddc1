/*
 * router/queue.h - requests that wait for a worker: who is next, how many may wait, and how long it will take. Pure: 'now' is an
 * argument, nothing is allocated, and it knows neither workers nor requests.
 *
 * Each model has a line of its own; a line has three classes. Among the classes of a line places are given in proportion to
 * their weights by start-time fair queueing (P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing", IEEE/ACM Transactions on
 * Networking 5, 1997) with a cost of 1 for each request: a class that has had its share waits, a class that was idle
 * saves nothing up. Inside a class the earliest deadline goes first, at equal deadlines who came first. Who waits again
 * after a failed attempt has the old place.
 *
 * Every operation costs O(log n). Those who may go to any worker stand in 'fresh'; those that some worker failed already
 * stand in 'again', and of these the first QUEUE_LOOK_MAX of a class are looked at, however many wait.
 */
#ifndef ROUTER_QUEUE_H
#define ROUTER_QUEUE_H

#include "base/err.h"
#include "base/list.h"
#include "base/ranked.h"
#include "daemon/metrics.h"

#define QUEUE_LOOK_MAX     16
#define QUEUE_WEIGHT_MAX   1000
#define QUEUE_SAMPLES_MIN  8    /* of the time at a worker, before anybody is refused for it */
#define QUEUE_RETRY_MS     1000 /* Retry-After as long as nothing is known */
#define QUEUE_RETRY_MIN_MS 100

#define QUEUE_CLASS_MAP(X)                                                                         \
	X(QUEUE_LOW, "low")                                                                        \
	X(QUEUE_NORMAL, "normal")                                                                  \
	X(QUEUE_HIGH, "high")

enum queue_class {
#define X(name, text) name,
	QUEUE_CLASS_MAP(X)
#undef X
	QUEUE_CLASSES
};

/** The class of a call's priority (proto/infermesh/v1/link.proto): below 0 low, 0 normal, above 0 high. */
enum queue_class queue_class_of(int32_t priority);

/** "low", "normal", "high". */
const char *queue_class_text(enum queue_class cls);

struct queue_settings {
	uint32_t line_max, all_max;     /* requests that wait for one model, and in all */
	uint32_t weight[QUEUE_CLASSES]; /* 1 to QUEUE_WEIGHT_MAX */
	uint64_t salt;                  /* random: so that nobody outside can unbalance the trees */
};

struct queue {
	struct queue_settings set;
	struct list lines; /* queue_line.node: those in which somebody waits */
	uint32_t count;
	uint64_t seq;
	struct histogram waited[QUEUE_CLASSES]; /* seconds, of those who got a place */
};

struct queue_line_class {
	struct ranked fresh, again;
	uint64_t turn; /* virtual time at which its next one may start */
};

/* The line of one model; embedded in it, zero-initialised. */
struct queue_line {
	struct list node; /* in queue.lines */
	struct queue_line_class classes[QUEUE_CLASSES];
	uint64_t virtual_now; /* start of the one that went last */
	uint32_t count;       /* who wait */
	uint32_t at_work;     /* places at workers taken by requests of this model */
	uint32_t samples;     /* up to QUEUE_SAMPLES_MIN */
	double hold_ms;       /* how long a place is taken: moving average */
};

/* Embedded in its owner, zero-initialised; then 'cls' and 'deadline_ms' are set. */
struct queue_entry {
	struct ranked_node node;
	struct queue_line *line; /* NULL = does not wait */
	enum queue_class cls;
	uint64_t deadline_ms; /* CLOCK_MONOTONIC */
	bool picky;           /* some worker failed it: not every one will do */
	uint64_t seq;         /* its place among equal deadlines; 0 = never waited */
	uint64_t since_ms;
};

void queue_init(struct queue *q, const struct queue_settings *set);

/**
 * May one more of this class and deadline wait in 'line'? IM_OK, or IM_EUNAVAILABLE with retry_after_ms and the reason
 * "queue_full" or "deadline_unmeetable". The latter only if the wait is known to be longer than the time left:
 *
 *     wait = ahead * hold_ms / at_work,
 *     ahead = those of its class with an earlier deadline + of each other class what its weight lets go first meanwhile
 *
 * which leaves out everybody who may come and overtake it, so it errs to admitting; without data nobody is refused.
 */
IM_MUST_CHECK enum im_rc queue_admits(const struct queue *q, const struct queue_line *line,
				      enum queue_class cls, uint64_t deadline_ms, uint64_t now_ms,
				      struct im_err *err);

/**
 * Wait in 'line'. Who waits again gets the old place back and is not turned away; who comes first is asked by
 * queue_admits(), whose failure is returned.
 */
IM_MUST_CHECK enum im_rc queue_join(struct queue *q, struct queue_line *line, struct queue_entry *e,
				    uint64_t now_ms, struct im_err *err);

/** It got a place without having waited; should it have to wait later, it stands where it would have stood now. */
void queue_pass(struct queue *q, struct queue_entry *e);

/** When trying again makes sense for somebody who waited in 'line' in vain, in ms: the time until a place comes free. */
uint32_t queue_retry_after(const struct queue_line *line);

/** Go without a place. Does nothing if it does not wait. */
void queue_leave(struct queue *q, struct queue_entry *e);

/** How many of a class wait in 'line'. */
uint32_t queue_line_waiting(const struct queue_line *line, enum queue_class cls);

/** True if somebody waits in 'line' whom any worker of the model would do: who comes now stands behind. */
bool queue_line_blocks(const struct queue_line *line);

/**
 * Whose turn it is in 'line' among those whom 'can' lets go; NULL if there is none. It stays in the line. 'can' is asked in the
 * order of the line; when it refuses one that is not picky it is asked for no other such.
 */
struct queue_entry *queue_next(const struct queue_line *line,
			       bool (*can)(struct queue_entry *e, void *arg), void *arg);

/** It got a place: it leaves the line, and its class's share is charged. */
void queue_take(struct queue *q, struct queue_entry *e, uint64_t now_ms);

/** A request of this model got a place at a worker, whether it had waited or not; and gave it back after 'held_ms'. */
void queue_line_began(struct queue_line *line);
void queue_line_ended(struct queue_line *line, uint64_t held_ms);

/** The worker was full and did not take it: it has no place, and how long that took says nothing of how long places are held. */
void queue_line_refused(struct queue_line *line);

#endif
