/*
 * daemon/dummy_service.c - see dummy_service.h.
 */
#include "daemon/dummy_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct dummy_plan dummy_plan;
char dummy_story[256];

struct dummy {
	const struct service_env *env;
	unsigned polls;
	struct loop_timer late;
	loop_fn stopped;
	void *stopped_arg;
};

static void
tell(const char *what, const char *name)
{
	size_t n = strlen(dummy_story);

	(void)snprintf(dummy_story + n, sizeof(dummy_story) - n, "%s%s%c", n > 0 ? " " : "", what,
		       name[0]);
}

static enum im_rc
dummy_start(const struct service_env *env, void **ret_service, struct im_err *err)
{
	struct dummy *d;

	if (dummy_plan.fail_start)
		return err_set(err, IM_EIO, "the dummy does not want to start");
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return err_set(err, IM_ENOMEM, "not enough memory");
	d->env = env;
	tell("s", env->name);
	*ret_service = d;
	return IM_OK;
}

static void
dummy_drain(void *service)
{
	const struct dummy *d = service;

	tell("d", d->env->name);
}

static bool
dummy_drained(const void *service)
{
	struct dummy *d = (struct dummy *)service;

	return !dummy_plan.never_drained && d->polls++ >= dummy_plan.busy_polls;
}

static void
finish(void *arg)
{
	struct dummy *d = arg;
	loop_fn stopped = d->stopped;
	void *stopped_arg = d->stopped_arg;

	tell("e", d->env->name);
	free(d);
	stopped(stopped_arg);
}

static void
dummy_stop(void *service, loop_fn stopped, void *arg)
{
	struct dummy *d = service;

	d->stopped = stopped;
	d->stopped_arg = arg;
	while (dummy_plan.stop_blocks)
		(void)pause();
	if (dummy_plan.stop_never)
		return;
	if (!dummy_plan.stop_late) {
		finish(d);
		return;
	}
	d->late = (struct loop_timer){ .fn = finish, .arg = d };
	if (loop_timer_set(d->env->loop, &d->late, 2000) != IM_OK)
		abort();
}

static void
dummy_ready(const void *service, struct buf *why)
{
	(void)service;
	if (dummy_plan.never_ready)
		(void)buf_append_str(why, "no worker");
	for (unsigned i = 0; i < dummy_plan.reasons; i++)
		(void)buf_append_str(why, "one more reason, ");
}

static void
dummy_metrics(const void *service, struct metrics_page *page)
{
	(void)service;
	metrics_counter(page, "dummy_total", "Dummies.", 7);
}

#define DUMMY(role)                                                                                \
	const struct service_ops dummy_##role = {                                                  \
		.name = #role,                                                                     \
		.summary = "does nothing",                                                         \
		.start = dummy_start,                                                              \
		.drain = dummy_drain,                                                              \
		.drained = dummy_drained,                                                          \
		.stop = dummy_stop,                                                                \
		.ready = dummy_ready,                                                              \
		.metrics = dummy_metrics,                                                          \
	}

DUMMY(router);
DUMMY(cache);
DUMMY(audit);
DUMMY(inference);
