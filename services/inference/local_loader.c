/*
 * inference/local_loader.c - see local_loader.h.
 */
#include "inference/local_loader.h"

#include <assert.h>

#include "base/thread.h"

static struct loader_task *
next_task(struct loader *l)
{
	struct list *node;

	(void)pthread_mutex_lock(&l->lock);
	while (list_empty(&l->tasks) && !l->stopping)
		(void)pthread_cond_wait(&l->changed, &l->lock);
	node = list_pop_front(&l->tasks);
	(void)pthread_mutex_unlock(&l->lock);
	return node != NULL ? CONTAINER_OF(node, struct loader_task, node) : NULL;
}

static void *
loader_main(void *arg)
{
	struct loader *l = arg;
	struct loader_task *t;

	while ((t = next_task(l)) != NULL) {
		t->work(t);
		/* Not here: this thread is waited for on the loop. */
		loop_hand(l->loop, &t->done);
	}
	return NULL;
}

enum im_rc
loader_start(struct loader *l, struct loop *loop, struct im_err *err)
{
	int failed;

	*l = (struct loader){ .loop = loop };
	list_init(&l->tasks);
	(void)pthread_mutex_init(&l->lock, NULL);
	(void)pthread_cond_init(&l->changed, NULL);
	failed = thread_start(&l->thread, loader_main, l);
	l->running = failed == 0;
	if (l->running)
		return IM_OK;
	loader_stop(l);
	return err_errno(err, IM_ENOMEM, failed, "no thread to load models");
}

void
loader_do(struct loader *l, struct loader_task *task)
{
	(void)pthread_mutex_lock(&l->lock);
	assert(!l->stopping);
	list_push_back(&l->tasks, &task->node);
	(void)pthread_cond_signal(&l->changed);
	(void)pthread_mutex_unlock(&l->lock);
}

void
loader_stop(struct loader *l)
{
	if (l->loop == NULL)
		return;
	(void)pthread_mutex_lock(&l->lock);
	l->stopping = true;
	(void)pthread_cond_signal(&l->changed);
	(void)pthread_mutex_unlock(&l->lock);
	if (l->running)
		(void)pthread_join(l->thread, NULL);
	(void)pthread_cond_destroy(&l->changed);
	(void)pthread_mutex_destroy(&l->lock);
	*l = (struct loader){ 0 };
}
