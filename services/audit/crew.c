/*
 * audit/crew.c - a few threads, a list of jobs in order; see crew.h.
 */
#include "audit/crew.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"

void
crew_init(struct crew *c, struct hasher *h)
{
	cpu_set_t set;
	int cores = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	memset(c, 0, sizeof(*c));
	c->hasher = h;
	c->want = cores > CREW_THREADS_MAX ? CREW_THREADS_MAX : (unsigned)cores - 1;
	list_init(&c->jobs);
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_cond_init(&c->more, NULL);
	(void)pthread_cond_init(&c->hashed, NULL);
	c->begun = true;
}

void
crew_job_free(struct crew_job *j)
{
	if (j == NULL)
		return;
	free(j->where);
	free(j);
}

static void
hash_job(struct crew_job *j, struct hasher *h)
{
	struct chunk *c = j->chunk;

	(void)bundle_leaves(h, c->records, c->records_len, c->count, c->leaf);
	j->pieces = tlog_pieces(h, c->first, c->leaf, c->count, j->piece);
}

/* The first job that nobody has begun; it is begun now. Under the lock. */
static struct crew_job *
next_waiting(struct crew *c)
{
	struct crew_job *j = c->waiting;

	if (j == NULL)
		return NULL;
	j->state = CREW_HASHING;
	c->waiting_bytes -= j->chunk->records_len;
	c->waiting =
	    j->node.next == &c->jobs ? NULL : CONTAINER_OF(j->node.next, struct crew_job, node);
	return j;
}

/* Under the lock, which is open meanwhile. */
static void
do_job(struct crew *c, struct crew_job *j, struct hasher *h)
{
	(void)pthread_mutex_unlock(&c->lock);
	hash_job(j, h);
	(void)pthread_mutex_lock(&c->lock);
	j->state = CREW_HASHED;
	(void)pthread_cond_signal(&c->hashed);
}

static void *
run(void *arg)
{
	struct crew_thread *t = arg;
	struct crew *c = t->crew;
	struct crew_job *j;

	(void)pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		j = next_waiting(c);
		if (j != NULL)
			do_job(c, j, &t->hasher);
		else
			(void)pthread_cond_wait(&c->more, &c->lock);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* One thread more. Without memory for it the others do its work. */
static void
grow(struct crew *c)
{
	struct crew_thread *t = &c->thread[c->count];

	t->crew = c;
	if (hasher_init(&t->hasher, NULL) == IM_OK && thread_start(&t->thread, run, t) == 0) {
		c->count++;
	} else {
		hasher_done(&t->hasher);
		c->want = c->count;
	}
}

enum im_rc
crew_give(struct crew *c, struct chunk *chunk, const char *where, struct im_err *err)
{
	size_t room = tlog_pieces_max(chunk->count) * sizeof(struct tlog_piece);
	struct crew_job *j = calloc(1, sizeof(*j) + room);

	if (j == NULL || (j->where = strdup(where)) == NULL) {
		crew_job_free(j);
		return err_set(err, IM_ENOMEM, "no memory to recover the log");
	}
	j->chunk = chunk;
	(void)pthread_mutex_lock(&c->lock);
	list_push_back(&c->jobs, &j->node);
	c->waiting = c->waiting != NULL ? c->waiting : j;
	c->waiting_bytes += chunk->records_len;
	if (c->count < c->want && c->waiting_bytes >= CREW_WORTH_BYTES)
		grow(c);
	(void)pthread_cond_signal(&c->more);
	(void)pthread_mutex_unlock(&c->lock);
	return IM_OK;
}

struct crew_job *
crew_take(struct crew *c, bool wait)
{
	struct crew_job *first = NULL, *j;

	(void)pthread_mutex_lock(&c->lock);
	if (!list_empty(&c->jobs))
		first = CONTAINER_OF(c->jobs.next, struct crew_job, node);
	while (wait && first != NULL && first->state != CREW_HASHED) {
		j = next_waiting(c);
		if (j != NULL)
			do_job(c, j, c->hasher);
		else
			(void)pthread_cond_wait(&c->hashed, &c->lock);
	}
	if (first != NULL && first->state == CREW_HASHED)
		list_remove(&first->node);
	else
		first = NULL;
	(void)pthread_mutex_unlock(&c->lock);
	return first;
}

void
crew_done(struct crew *c)
{
	struct list *node;

	if (!c->begun)
		return;
	(void)pthread_mutex_lock(&c->lock);
	c->stop = true;
	(void)pthread_cond_broadcast(&c->more);
	(void)pthread_mutex_unlock(&c->lock);
	for (unsigned i = 0; i < c->count; i++) {
		(void)pthread_join(c->thread[i].thread, NULL);
		hasher_done(&c->thread[i].hasher);
	}
	while ((node = list_pop_front(&c->jobs)) != NULL)
		crew_job_free(CONTAINER_OF(node, struct crew_job, node));
	(void)pthread_cond_destroy(&c->more);
	(void)pthread_cond_destroy(&c->hashed);
	(void)pthread_mutex_destroy(&c->lock);
	c->begun = false;
}
