/*
 * inference/worker.c - the inference service: picks the backend, offers its models to every router, says how busy it is,
 * drains and stops. Never knows which backend it has, beyond choosing it at start.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "inference/worker_state.h"

struct load
worker_load(const struct worker *w, const struct router_link *hearer)
{
	uint32_t queued = w->ops->queued(w->b);

	if (queued > w->request_count)
		queued = w->request_count;
	return (struct load){
		.in_flight = w->request_count - queued,
		.capacity = w->ops->capacity(w->b),
		.queued = queued,
		.own = hearer != NULL ? hearer->own : 0,
		.has_own = hearer != NULL,
	};
}

struct load
worker_tell_load(const struct worker *w, struct router_link *hearer)
{
	struct load load = worker_load(w, hearer);

	if (hearer != NULL)
		load_news_told(&hearer->news, &load);
	return load;
}

static bool
backend_has(const struct worker *w, const char *name)
{
	size_t count;
	const struct model_info *models = w->ops->models(w->b, &count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(models[i].id, name) == 0)
			return true;
	return false;
}

const char *
worker_model(const struct worker *w, const char *name)
{
	const struct config *item = w->env.item;
	size_t aliases;

	if (backend_has(w, name)) /* nearly always */
		return name;
	aliases = item != NULL ? config_map_len(item, "workers[].aliases") : 0;
	for (size_t i = 0; i < aliases; i++) {
		const char *alias, *model;

		config_map_at(item, "workers[].aliases", i, &alias, &model);
		if (strcmp(alias, name) == 0 && backend_has(w, model))
			return model;
	}
	return NULL;
}

/* Once a second; sooner while the backend still asks for its models, so that they are offered as soon as they are known. */
static void
on_tick(void *arg)
{
	struct worker *w = arg;
	size_t count;

	(void)w->ops->models(w->b, &count);
	if (count > 0)
		worker_announce(w);
	/* Cannot fail: the timer has just been taken out of the loop's heap. */
	if (loop_timer_set(w->env.loop, &w->tick,
			   count > 0 ? WORKER_ANNOUNCE_US : WORKER_LOOK_US) != IM_OK)
		log_error("the worker can no longer announce itself: out of memory");
}

static enum im_rc
choose_backend(const struct config *item, const struct backend_ops **ret, struct im_err *err)
{
	if (item != NULL && strcmp(config_str(item, "workers[].backend"), "upstream") == 0) {
		*ret = &backend_upstream;
		return IM_OK;
	}
#ifdef HAVE_LLAMA
	(void)err;
	*ret = &backend_local;
	return IM_OK;
#else
	return err_set(
	    err, IM_EINVAL,
	    "this build has no local backend: run third_party/fetch-llama.sh and build again, or "
	    "configure a worker with 'backend: upstream'");
#endif
}

enum im_rc
worker_start(const struct service_env *env, const struct backend_ops *ops, void **ret_service,
	     struct im_err *err)
{
	struct worker *w = calloc(1, sizeof(*w));
	enum im_rc rc;

	if (w == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the worker");
	w->env = *env;
	w->ops = ops;
	list_init(&w->links);
	list_init(&w->refused);
	list_init(&w->requests);
	list_init(&w->asked);
	w->tick.fn = on_tick;
	w->tick.arg = w;
	w->flush.fn = worker_flush;
	w->flush.arg = w;
	w->stats.seconds.bounds = &histogram_seconds;
	w->stats.first_token.bounds = &histogram_first_token;
	w->stats.per_token.bounds = &histogram_per_token;
	if (env->item != NULL) {
		w->weight = (uint32_t)config_int(env->item, "workers[].weight");
		w->backup = config_bool(env->item, "workers[].backup");
	}
	rc = worker_dial(w, err);
	if (rc == IM_OK) {
		rc = worker_listen(w, err);
		if (rc != IM_OK)
			worker_hang_up(w);
	}
	if (rc != IM_OK) {
		free(w);
		return rc;
	}
	/* The backend comes last: it is the only part that cannot be stopped at once. */
	rc = loop_timer_set(env->loop, &w->tick, WORKER_LOOK_US);
	if (rc != IM_OK)
		err_set(err, rc, "no memory for the worker");
	else
		rc = ops->start(env->loop, env->item, &w->b, err);
	if (rc != IM_OK) {
		loop_timer_cancel(env->loop, &w->tick);
		worker_refuse_operators(w);
		worker_hang_up(w);
		free(w);
		return rc;
	}
	*ret_service = w;
	return IM_OK;
}

static enum im_rc
start(const struct service_env *env, void **ret_service, struct im_err *err)
{
	const struct backend_ops *ops = NULL;
	enum im_rc rc = choose_backend(env->item, &ops, err);

	return ops != NULL ? worker_start(env, ops, ret_service, err) : rc;
}

static void
drain(void *service)
{
	struct worker *w = service;

	w->draining = true;
	worker_announce(w);
	worker_goaway(w);
}

static bool
drained(const void *service)
{
	const struct worker *w = service;

	return w->request_count == 0;
}

void
worker_try_finish(struct worker *w)
{
	loop_fn stopped = w->stopped;
	void *arg = w->stopped_arg;

	if (!w->backend_stopped || !list_empty(&w->links))
		return;
	loop_cancel(w->env.loop, &w->flush);
	buf_done(&w->scratch);
	buf_done(&w->batch);
	free(w);
	stopped(arg);
}

static void
on_backend_stopped(void *arg)
{
	struct worker *w = arg;

	w->backend_stopped = true;
	worker_try_finish(w);
}

static void
stop(void *service, loop_fn stopped, void *arg)
{
	struct worker *w = service;
	struct im_err why;

	if (w == NULL) {
		stopped(arg);
		return;
	}
	w->stopping = true;
	w->stopped = stopped;
	w->stopped_arg = arg;
	err_reason(&why, IM_EUNAVAILABLE, "worker_stopped", "the worker stops");
	worker_end_requests(w, &why);
	loop_timer_cancel(w->env.loop, &w->tick);
	worker_refuse_operators(w);
	worker_hang_up(w);
	w->ops->stop(w->b, on_backend_stopped, w);
}

static void
ready(const void *service, struct buf *why)
{
	const struct worker *w = service;
	size_t count;

	(void)w->ops->models(w->b, &count);
	if (count == 0)
		(void)buf_append_str(why, "the models are not known yet");
	else if (list_empty(&w->links))
		(void)buf_append_str(why, "no router is reached");
}

static void
request_metrics(const struct worker *w, struct metrics_page *page)
{
	static const char name[] = "infermesh_worker_requests_total";
	struct metrics_label labels[] = { { "worker", w->env.name }, { "result", "ok" } };

	metrics_family(page, name, "counter", "Requests that ended, by result.");
	metrics_value(page, name, labels, 2, (double)w->stats.ok);
	labels[1].value = "cancelled";
	metrics_value(page, name, labels, 2, (double)w->stats.cancelled);
	labels[1].value = "refused";
	metrics_value(page, name, labels, 2, (double)w->stats.refused);
	for (size_t i = 1; i < sizeof(w->stats.failed) / sizeof(w->stats.failed[0]); i++) {
		if (w->stats.failed[i] == 0)
			continue;
		labels[1].value = im_rc_text((enum im_rc)i);
		metrics_value(page, name, labels, 2, (double)w->stats.failed[i]);
	}
}

static void
put_gauge(const struct worker *w, struct metrics_page *page, const char *name, const char *help,
	  uint32_t value)
{
	const struct metrics_label label = { "worker", w->env.name };

	metrics_family(page, name, "gauge", help);
	metrics_value(page, name, &label, 1, value);
}

static void
put_histogram(const struct worker *w, struct metrics_page *page, const char *name, const char *help,
	      const struct histogram *h)
{
	const struct metrics_label label = { "worker", w->env.name };

	metrics_family(page, name, "histogram", help);
	metrics_histogram(page, name, &label, 1, h);
}

static void
metrics(const void *service, struct metrics_page *page)
{
	static const char tokens[] = "infermesh_worker_tokens_total";
	const struct worker *w = service;
	struct load load = worker_load(w, NULL);
	struct metrics_label labels[] = { { "worker", w->env.name }, { "type", "prompt" } };

	put_gauge(w, page, "infermesh_worker_running", "Requests being generated.", load.in_flight);
	put_gauge(w, page, "infermesh_worker_waiting", "Requests that wait inside the worker.",
		  load.queued);
	put_gauge(w, page, "infermesh_worker_capacity", "Requests that are generated at once.",
		  load.capacity);
	request_metrics(w, page);
	metrics_family(page, tokens, "counter", "Tokens, as the backend counts them.");
	metrics_value(page, tokens, labels, 2, (double)w->stats.prompt_tokens);
	labels[1].value = "completion";
	metrics_value(page, tokens, labels, 2, (double)w->stats.completion_tokens);
	put_histogram(w, page, "infermesh_worker_request_duration_seconds",
		      "From a request's arrival to its end.", &w->stats.seconds);
	put_histogram(w, page, "infermesh_worker_time_to_first_token_seconds",
		      "From a request's arrival to the first piece of its answer.",
		      &w->stats.first_token);
	put_histogram(w, page, "infermesh_worker_time_per_output_token_seconds",
		      "Time of one token after the first.", &w->stats.per_token);
	w->ops->metrics(w->b, page);
}

const struct service_ops inference_service = {
	.name = "inference",
	.summary = "serves models to the mesh: one in this process, or those of an upstream server",
	.reports = true,
	.start = start,
	.drain = drain,
	.drained = drained,
	.stop = stop,
	.ready = ready,
	.metrics = metrics,
};
