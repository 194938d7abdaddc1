/*
 * cache/entries.c - see entries.h.
 */
#include "cache/entries.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "cache/audited.h"

#define CALLS_MAX   1024 /* at once; one more is refused */
#define ARENA_SLACK ((size_t)64 * 1024)
#define FRAME_SLACK 4096 /* of a frame, besides a value */

enum entry_result {
	RESULT_DONE,
	RESULT_REFUSED, /* by what was asked: it is the caller's matter */
	RESULT_FAILED,
};

/* One request. Its answer may go out before the home gives it back: then nobody waits for it. */
struct asking {
	struct entry_call call;
	struct entries *entries;
	struct list node;
	struct served *served; /* NULL: answered, or its caller has left */
	struct loop_timer timer;
	struct arena arena;
	bool probe;
	bool ours; /* the time is up by our own limit, not by the caller's */
};

static bool
is_refusal(enum im_rc rc)
{
	return rc == IM_EINVAL || rc == IM_EPERM || rc == IM_ETOOBIG || rc == IM_ELIMIT;
}

static void
count(struct entries *s, enum entry_op op, const struct im_err *err)
{
	s->n[op][err == NULL           ? RESULT_DONE
		 : is_refusal(err->rc) ? RESULT_REFUSED
				       : RESULT_FAILED]++;
}

/* Nobody waits for 'a' any more. */
static void
end(struct asking *a, const struct im_err *err, const struct entry_answer *answer)
{
	struct entries *s = a->entries;
	struct served *served = a->served;
	struct im_err none;

	a->served = NULL;
	loop_timer_cancel(s->loop, &a->timer);
	if (served == NULL)
		return;
	count(s, a->call.ask.op, err);
	buf_clear(&s->reply);
	if (err == NULL) {
		entry_answer_encode(answer, &s->reply);
		if (!buf_ok(&s->reply)) {
			(void)err_set(&none, IM_ENOMEM, "no memory for the answer");
			err = &none;
		}
	}
	served_end(served, err, s->reply.data, s->reply.len);
}

static void
asking_free(struct asking *a)
{
	list_remove(&a->node);
	a->entries->count--;
	arena_done(&a->arena);
	free(a);
}

/* The breaker: what the home does not answer in time counts; one that says that it is away need not be spared. */

static void
failed(struct entries *s, bool probe)
{
	if (tier_breaker_failed(&s->breaker, probe, clock_mono_us(), s->answer_us, &s->prng))
		log_warn(
		    "the home of entries does not answer in time: requests for them are refused at once",
		    LOG_STR("infermesh.cache.home", s->home->name));
}

static void
well(struct entries *s)
{
	if (tier_breaker_well(&s->breaker))
		log_info("the home of entries answers again",
			 LOG_STR("infermesh.cache.home", s->home->name));
}

static void
on_done(struct entry_call *call, const struct im_err *err, const struct entry_answer *answer)
{
	struct asking *a = CONTAINER_OF(call, struct asking, call);

	if (err == NULL || is_refusal(err->rc))
		well(a->entries);
	else if (a->probe && a->served != NULL)
		failed(a->entries, true);
	end(a, err, answer);
	asking_free(a);
}

static void
on_late(void *arg)
{
	struct asking *a = arg;
	struct im_err err;

	a->entries->timeouts++;
	if (a->ours)
		failed(a->entries, a->probe);
	(void)err_set(
	    &err, IM_EDEADLINE,
	    "the home of entries did not answer in time; whether this was done is not known");
	end(a, &err, NULL);
}

static void
on_cancelled(void *user, struct served *served)
{
	struct asking *a = user;

	a->served = NULL;
	loop_timer_cancel(a->entries->loop, &a->timer);
	served_end(served, NULL, NULL, 0);
}

static enum im_rc
admit(struct entries *s, const struct link_peer *peer, const struct served_request *req,
      struct im_err *err)
{
	static const char *const may[] = { "router", "gateway", "operator" };
	bool is_one = false;

	for (size_t i = 0; i < sizeof(may) / sizeof(may[0]); i++)
		is_one = is_one || strcmp(peer->role, may[i]) == 0;
	if (!is_one)
		return err_set(
		    err, IM_EPERM,
		    "only routers, gateways and operators may ask for %.64s, and this is a %s",
		    req->method, peer->role);
	if (s->count >= CALLS_MAX)
		return err_set(err, IM_EUNAVAILABLE,
			       "%zu requests for entries are under way; try again later", s->count);
	if (s->breaker.open && clock_mono_us() < s->breaker.probe_us)
		return err_set(err, IM_EUNAVAILABLE,
			       "the home of entries (%s) does not answer in time", s->home->name);
	return IM_OK;
}

/* The log hears of what people do here, not of what daemons keep. */
static void
tell(struct entries *s, const struct link_peer *peer, const struct entry_ask *ask)
{
	char text[AUDITED_ENTRY_MAX];

	if (ask->op == ENTRY_GET || strcmp(peer->role, "operator") != 0)
		return;
	audited_entry_text(ask, text);
	audited_change(s->reporter, peer, "store", text);
}

static enum im_rc
start(struct entries *s, const struct link_peer *peer, struct served *served, enum entry_op op,
      const struct served_request *req, struct im_err *err)
{
	static const struct served_ops ops = { .cancelled = on_cancelled };
	struct asking *a = calloc(1, sizeof(*a));
	uint64_t now_us = clock_mono_us(), wait_us = s->answer_us;
	enum im_rc rc;

	if (a == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a request");
	a->entries = s;
	a->call.done = on_done;
	a->timer = (struct loop_timer){ .fn = on_late, .arg = a };
	arena_init(&a->arena, 2 * req->body_len + ARENA_SLACK);
	list_push_back(&s->calls, &a->node);
	s->count++;
	rc = entry_ask_decode(op, req->body, req->body_len, &a->arena, &a->call.ask, err);
	a->ours = req->budget_ms == 0 || req->budget_ms * 1000ULL > wait_us;
	if (!a->ours)
		wait_us = req->budget_ms * 1000ULL;
	if (rc == IM_OK && loop_timer_set(s->loop, &a->timer, wait_us) != IM_OK)
		rc = err_set(err, IM_ENOMEM, "no memory for a timer");
	if (rc != IM_OK) {
		asking_free(a);
		return rc;
	}
	a->probe = s->breaker.open;
	if (a->probe) /* one alone; the next one when this has failed, or after the longest pause */
		s->breaker.probe_us = now_us + TIER_BREAKER_PAUSE_MAX_US;
	a->served = served;
	served_accept(served, &ops, a);
	tell(s, peer, &a->call.ask);
	s->home->ops->ask(s->home, &a->call);
	return IM_OK;
}

bool
entries_request(struct entries *s, const struct link_peer *peer, struct served *served,
		const struct served_request *req)
{
	enum entry_op op;
	struct im_err err;
	enum im_rc rc;

	if (!entry_op_of(req->method, &op))
		return false;
	rc = admit(s, peer, req, &err);
	if (rc == IM_OK)
		rc = start(s, peer, served, op, req, &err);
	if (rc != IM_OK) {
		count(s, op, &err);
		served_end(served, &err, NULL, 0);
	}
	return true;
}

bool
entries_idle(const struct entries *s)
{
	LIST_FOREACH (&s->calls, a, struct asking, node)
		if (a->served != NULL)
			return false;
	return true;
}

void
entries_metrics(const struct entries *s, struct metrics_page *page)
{
	static const char *const ops[ENTRY_OPS] = { "put", "get", "append", "compare_and_set",
						    "delete" };
	static const char *const results[ENTRY_RESULTS] = { "done", "refused", "failed" };
	struct entry_home_stats st;
	const struct metrics_label home[] = { { "home", s->home->name }, { "state", NULL } };
	struct metrics_label ready[] = { home[0], home[1] };

	s->home->ops->stats(s->home, &st);
	ready[1].value = s->breaker.open ? "open" : st.state;
	metrics_family(page, "infermesh_cache_store_requests_total", "counter",
		       "Requests for entries by operation and result; refused: by what was asked.");
	for (unsigned op = 0; op < ENTRY_OPS; op++)
		for (unsigned r = 0; r < ENTRY_RESULTS; r++) {
			const struct metrics_label labels[] = { { "operation", ops[op] },
								{ "result", results[r] } };

			metrics_value(page, "infermesh_cache_store_requests_total", labels, 2,
				      (double)s->n[op][r]);
		}
	metrics_family(
	    page, "infermesh_cache_store_ready", "gauge",
	    "1: entries are kept as they should be; 0: the label says what it is instead.");
	metrics_value(page, "infermesh_cache_store_ready", ready, 2,
		      strcmp(ready[1].value, "ready") == 0);
	metrics_family(page, "infermesh_cache_store_timeouts_total", "counter",
		       "Requests for entries that were given up.");
	metrics_value(page, "infermesh_cache_store_timeouts_total", home, 1, (double)s->timeouts);
	metrics_family(page, "infermesh_cache_store_errors_total", "counter",
		       "How often the home of entries was lost, or refused.");
	metrics_value(page, "infermesh_cache_store_errors_total", home, 1, (double)st.errors);
	if (!st.sized)
		return;
	metrics_family(page, "infermesh_cache_store_entries", "gauge", "Entries kept.");
	metrics_value(page, "infermesh_cache_store_entries", home, 1, (double)st.entries);
	metrics_family(page, "infermesh_cache_store_bytes", "gauge",
		       "Bytes of entries, overhead included.");
	metrics_value(page, "infermesh_cache_store_bytes", home, 1, (double)st.bytes);
	metrics_family(page, "infermesh_cache_store_max_bytes", "gauge",
		       "Bound of infermesh_cache_store_bytes.");
	metrics_value(page, "infermesh_cache_store_max_bytes", home, 1, (double)st.max_bytes);
}

void
entries_end(struct entries *s)
{
	struct im_err err;

	(void)err_set(&err, IM_EUNAVAILABLE,
		      "the cache is being stopped; whether this was done is not known");
	if (s->home == NULL)
		return;
	LIST_FOREACH (&s->calls, a, struct asking, node)
		end(a, &err, NULL);
}

void
entries_stop(struct entries *s, loop_fn stopped, void *arg)
{
	if (s->home == NULL)
		stopped(arg);
	else
		s->home->ops->stop(s->home, stopped, arg);
}

void
entries_done(struct entries *s)
{
	buf_done(&s->reply);
}

enum home {
	HOME_MEMORY,
	HOME_DISK,
	HOME_REDIS,
};

static enum home
home_of(const struct config *config)
{
	const char *word = config_str(config, "cache.store");
	bool is_auto = strcmp(word, "auto") == 0;
	bool disk = strcmp(config_str(config, "cache.l2_dir"), "off") != 0;
	bool redis = strcmp(config_strings_at(config, "cache.redis", 0), "off") != 0;

	if (is_auto ? disk : strcmp(word, "disk") == 0)
		return HOME_DISK;
	return (is_auto ? redis : strcmp(word, "redis") == 0) ? HOME_REDIS : HOME_MEMORY;
}

enum im_rc
entries_init(struct entries *s, struct loop *loop, const struct config *config,
	     struct reporter *reporter, struct im_err *err)
{
	const char *dir = config_str(config, "cache.l2_dir");
	enum home where = home_of(config);
	size_t value = (size_t)config_int(config, "cache.store_value_bytes");
	size_t frame = (size_t)config_int(config, "mesh.max_frame_bytes") - FRAME_SLACK;
	uint64_t seed;

	memset(s, 0, sizeof(*s));
	s->loop = loop;
	s->reporter = reporter;
	s->answer_us = (uint32_t)config_int(config, "cache.store_ms") * 1000;
	list_init(&s->calls);
	random_bytes(&seed, sizeof(seed));
	prng_seed(&s->prng, seed);
	if (value > frame)
		value = frame;
	if (where == HOME_REDIS)
		return entry_redis_new(loop, config, value, &s->home, err);
	return entry_local_new(loop, where == HOME_DISK ? dir : NULL,
			       (size_t)config_int(config, "cache.store_bytes"), value, &s->home,
			       err);
}
