/*
 * router/limits.c - see limits.h.
 */
#include "router/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"

#define BYTES_PER_TOKEN  4
#define CROWDED_RETRY_MS 1000
#define AWAY_RETRY_MS    1000
#define TEMPLATE_TOKENS  4096    /* that a worker may add to a prompt */
#define CONTEXT_TOKENS   1048576 /* of a model that does not say */

static struct limit_rate
read_rate(const struct config *item, const char *rate, const char *burst)
{
	uint32_t per_minute = (uint32_t)config_int(item, rate);
	uint32_t at_once = (uint32_t)config_int(item, burst);

	return (struct limit_rate){ per_minute, at_once != 0 ? at_once : per_minute };
}

/* config_limits.c has checked it. */
static void
read_rule(const struct config *item, struct limit_rule *ret)
{
	const char *match = config_str(item, "limits[].match");
	const char *colon = strchr(match, ':');

	ret->scope = LIMIT_GLOBAL;
	ret->name = "";
	if (colon != NULL) {
		ret->scope = match[0] == 't' ? LIMIT_TENANT : LIMIT_KEY;
		ret->name = strcmp(colon + 1, "*") == 0 ? NULL : colon + 1;
	}
	ret->rate[LIMIT_REQUESTS] =
	    read_rate(item, "limits[].requests_per_minute", "limits[].requests_burst");
	ret->rate[LIMIT_TOKENS] =
	    read_rate(item, "limits[].tokens_per_minute", "limits[].tokens_burst");
}

static void
redis_changed(void *user, bool up, const struct im_err *why)
{
	(void)user;
	if (up) {
		log_info("limits are shared through Redis");
	} else {
		log_warn("the Redis that keeps the limits is away",
			 LOG_STR("error.message", why != NULL ? why->text : ""));
	}
}

static enum im_rc
start_redis(struct limits *l, const struct service_env *env, struct im_err *err)
{
	const char *without = config_str(env->config, "router.limits_without_redis");
	struct limiter_redis_params params = {
		.loop = env->loop,
		.limiter = &l->limiter,
		.url = config_str(env->config, "router.limits_redis"),
		.password_file = config_str(env->config, "router.limits_redis_password_file"),
		.away = strcmp(without, "refuse") == 0  ? LIMITER_REFUSE
			: strcmp(without, "allow") == 0 ? LIMITER_ALLOW
							: LIMITER_LOCAL,
		.changed = redis_changed,
		.user = l,
	};

	if (strcmp(params.url, "off") == 0 || !limiter_in_use(&l->limiter)) {
		return IM_OK;
	}
	random_bytes(&params.seed, sizeof(params.seed));
	return limiter_redis_start(&params, &l->redis, err);
}

enum im_rc
limits_start(struct limits *l, const struct service_env *env, struct im_err *err)
{
	size_t count = config_items(env->config, "limits");
	uint64_t seed;
	enum im_rc rc = IM_ENOMEM;

	l->answer_tokens = (uint32_t)config_int(env->config, "router.limits_tokens");
	l->rules = calloc(count + 1, sizeof(*l->rules));
	random_bytes(&seed, sizeof(seed));
	if (l->rules != NULL) {
		for (size_t i = 0; i < count; i++) {
			read_rule(config_item(env->config, "limits", i), &l->rules[i]);
		}
		rc = limiter_init(&l->limiter, l->rules, count, seed, clock_mono_ms());
	}
	return rc == IM_OK ? start_redis(l, env, err)
			   : err_set(err, rc, "no memory for the limits");
}

void
limits_stop(struct limits *l, loop_fn stopped, void *arg)
{
	struct limiter_redis *redis = l->redis;

	l->redis = NULL;
	limiter_redis_stop(redis, stopped, arg);
}

static void
nobody_waits(void *arg)
{
	(void)arg;
}

bool
limits_ready(const struct limits *l)
{
	return l->limiter.mode != LIMITER_REFUSE;
}

const char *
limits_state(const struct limits *l)
{
	if (l->redis == NULL) {
		return "";
	}
	return limiter_redis_is_up(l->redis) ? "connected" : "unavailable";
}

void
limits_done(struct limits *l)
{
	limits_stop(l, nobody_waits, NULL); /* it has not connected yet, or is stopped already */
	limiter_done(&l->limiter);
	free(l->rules);
	l->rules = NULL;
}

void
limits_tick(struct limits *l)
{
	if (limiter_in_use(&l->limiter)) {
		limiter_sweep(&l->limiter, clock_mono_ms());
		if (l->redis != NULL) {
			limiter_redis_tick(l->redis);
		}
	}
}

/* Buckets have changed: there may be something to tell. */
static void
changed(struct limits *l)
{
	if (l->redis != NULL) {
		limiter_redis_ask(l->redis);
	}
}

/* "key `ann`", "tenant `acme`", "this mesh" */
static const char *
describe(const struct limit_rule *rule, const struct limit_ask *ask, char *out, size_t cap)
{
	if (rule->scope == LIMIT_GLOBAL) {
		return "this mesh";
	}
	(void)snprintf(out, cap, "%s `%.64s`", limit_scope_text(rule->scope),
		       rule->scope == LIMIT_KEY ? ask->key : ask->tenant);
	return out;
}

static void
say_exceeded(const struct limit_verdict *v, const struct limit_ask *ask, struct im_err *err)
{
	const struct limit_rate *rate = &v->rule->rate[v->kind];
	const char *kind = limit_kind_text(v->kind);
	char who[96];

	(void)err_reason(err, IM_ELIMIT, kind,
			 "Rate limit reached for %s of %s: %" PRIu32 " a minute, %" PRIu32
			 " at once, and this request needs %" PRIu64
			 ". Please try again in %" PRIu32 ".%" PRIu32 " s.",
			 kind, describe(v->rule, ask, who, sizeof(who)), rate->per_minute,
			 rate->burst, v->asked, v->retry_ms / 1000, v->retry_ms % 1000 / 100);
	err->retry_after_ms = v->retry_ms;
}

/* Waiting would not help, so it is not a 429, which clients repeat. */
static void
say_too_large(const struct limit_verdict *v, const struct limit_ask *ask, struct im_err *err)
{
	bool prompt = ask->prompt_tokens > v->most;
	char who[96];

	(void)err_reason(err, IM_EINVAL, "request_exceeds_limit",
			 "This request needs about %" PRIu64
			 " tokens, and the limit of %s is %" PRIu64
			 " at once, so it can never be taken. %s.",
			 v->asked, describe(v->rule, ask, who, sizeof(who)), v->most,
			 prompt ? "Shorten the messages" : "Ask for fewer max_tokens");
	(void)snprintf(err->param, sizeof(err->param), "%s", prompt ? "messages" : "max_tokens");
}

static void
refuse(struct limits *l, const struct limit_verdict *v, const struct limit_ask *ask,
       struct im_err *err)
{
	enum limited why = LIMITED_AWAY;

	switch (v->result) {
	case LIMIT_OK:
		return;
	case LIMIT_EXCEEDED:
		why = v->kind == LIMIT_REQUESTS ? LIMITED_REQUESTS : LIMITED_TOKENS;
		say_exceeded(v, ask, err);
		break;
	case LIMIT_TOO_LARGE:
		why = LIMITED_OVERSIZE;
		say_too_large(v, ask, err);
		break;
	case LIMIT_CROWDED:
		why = LIMITED_CROWDED;
		(void)err_reason(err, IM_ELIMIT, "requests",
				 "too many different callers at once; try again later");
		err->retry_after_ms = CROWDED_RETRY_MS;
		break;
	case LIMIT_AWAY:
		(void)err_reason(err, IM_EUNAVAILABLE, "limits_unavailable",
				 "the Redis that keeps the limits is away; try again later");
		err->retry_after_ms = AWAY_RETRY_MS;
		break;
	}
	l->rejected[why]++;
	err->rates = v->rates;
}

bool
limits_admit(struct limits *l, const struct generate_request *req, size_t body_len,
	     struct limit_claim *claim, struct im_err *err)
{
	struct limit_ask ask = { .key = req->caller,
				 .tenant = req->tenant,
				 .prompt_tokens =
				     (body_len + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN,
				 .completion_tokens = l->answer_tokens,
				 .stated =
				     req->max_tokens.set || req->operation == OPERATION_EMBEDDING };
	struct limit_verdict v;

	memset(claim, 0, sizeof(*claim));
	if (!limiter_in_use(&l->limiter)) {
		return true;
	}
	if (req->max_tokens.set) {
		ask.completion_tokens = req->max_tokens.v;
	}
	if (req->operation == OPERATION_EMBEDDING) {
		ask.completion_tokens = 0;
	}
	claim->choices = generate_choices(req);
	ask.completion_tokens *= claim->choices;
	claim->prompt_most = (uint64_t)body_len + TEMPLATE_TOKENS;
	claim->answer_most = req->max_tokens.set ? ask.completion_tokens : 0;
	limiter_acquire(&l->limiter, &ask, clock_mono_ms(), &claim->hold, &v);
	changed(l);
	claim->rates = v.rates;
	claim->prompt_tokens = ask.prompt_tokens;
	refuse(l, &v, &ask, err);
	return v.result == LIMIT_OK;
}

void
limits_undo(struct limits *l, struct limit_claim *claim)
{
	limiter_undo(&l->limiter, &claim->hold, clock_mono_ms());
	changed(l);
}

static uint64_t
tokens_of(const char *text)
{
	return (strlen(text) + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
}

void
limits_see(struct limit_claim *claim, const struct generate_frame *frame)
{
	if (claim->hold.count == 0) {
		return;
	}
	for (size_t i = 0; i < frame->delta_count; i++) {
		const struct delta *d = &frame->deltas[i];

		claim->seen_tokens +=
		    tokens_of(d->content) + tokens_of(d->reasoning_content) + tokens_of(d->refusal);
		for (size_t k = 0; k < d->tool_call_count; k++) {
			claim->seen_tokens += tokens_of(d->tool_calls[k].name) +
					      tokens_of(d->tool_calls[k].arguments);
		}
	}
}

void
limits_see_nothing(struct limit_claim *claim)
{
	claim->seen_tokens = 0;
}

void
limits_pass(struct limits *l, struct limit_claim *from, struct limit_claim *to)
{
	*to = *from;
	limiter_pass(&l->limiter, &from->hold, &to->hold);
}

void
limits_ease(struct limits *l, struct limit_claim *claim)
{
	if (claim->hold.count > 0) {
		limiter_ease(&l->limiter, &claim->hold, clock_mono_ms());
		changed(l);
	}
}

uint64_t
limits_believe(struct limits *l, const struct limit_claim *claim, const struct usage *usage,
	       uint32_t context_tokens)
{
	uint64_t context = context_tokens > 0 ? context_tokens : CONTEXT_TOKENS;
	uint64_t most = claim->answer_most > 0 ? claim->answer_most : context * claim->choices;
	uint64_t prompt = usage->prompt_tokens, answer = usage->completion_tokens;

	if (claim->hold.count == 0) {
		return 0; /* nothing is counted */
	}
	l->disbelieved += prompt > claim->prompt_most || answer > most;
	prompt = prompt < claim->prompt_most ? prompt : claim->prompt_most;
	answer = answer < most ? answer : most;
	return prompt + answer;
}

void
limits_settle(struct limits *l, struct limit_claim *claim, uint64_t tokens)
{
	if (claim->hold.count > 0) {
		limiter_settle(&l->limiter, &claim->hold, tokens, clock_mono_ms());
		changed(l);
	}
}

static void
write_rejected(const struct limits *l, struct metrics_page *page)
{
	static const char *const names[LIMITED_COUNT] = {
#define X(name, text) [name] = text,
		LIMITED_MAP(X)
#undef X
	};

	metrics_family(page, "infermesh_ratelimit_rejected_total", "counter",
		       "Requests that a limit refused.");
	for (size_t i = 0; i < LIMITED_COUNT; i++) {
		struct metrics_label label = { "kind", names[i] };

		metrics_value(page, "infermesh_ratelimit_rejected_total", &label, 1,
			      (double)l->rejected[i]);
	}
}

/* As it stands in the configuration, so there are never more labels than limits. */
static void
match_of(const struct limit_rule *rule, char *out, size_t cap)
{
	if (rule->scope == LIMIT_GLOBAL) {
		(void)snprintf(out, cap, "global");
	} else {
		(void)snprintf(out, cap, "%s:%s", limit_scope_text(rule->scope),
			       rule->name != NULL ? rule->name : "*");
	}
}

static void
write_rules(const struct limits *l, struct metrics_page *page)
{
	char match[300];

	metrics_family(page, "infermesh_ratelimit_buckets", "gauge",
		       "Names that a limit keeps a bucket for.");
	for (size_t i = 0; i < l->limiter.rule_count; i++) {
		struct metrics_label label = { "match", match };

		match_of(&l->rules[i], match, sizeof(match));
		metrics_value(page, "infermesh_ratelimit_buckets", &label, 1, l->rules[i].buckets);
	}
	metrics_family(page, "infermesh_ratelimit_remaining", "gauge",
		       "What is left of limits that are for one name.");
	for (size_t i = 0; i < l->limiter.rule_count; i++) {
		const struct limit_rule *rule = &l->rules[i];

		match_of(rule, match, sizeof(match));
		for (int k = 0; k < LIMIT_KINDS; k++) {
			enum limit_kind kind = (enum limit_kind)k;
			struct metrics_label labels[] = { { "match", match },
							  { "kind", limit_kind_text(kind) } };

			if (rule->own != NULL && rule->rate[kind].per_minute != 0) {
				metrics_value(page, "infermesh_ratelimit_remaining", labels, 2,
					      limiter_left(rule, kind, clock_mono_ms()));
			}
		}
	}
}

static void
write_redis(const struct limits *l, struct metrics_page *page)
{
	struct metrics_label answered = { "result", "answered" };
	struct metrics_label unanswered = { "result", "unanswered" };
	uint64_t counts[2];

	if (l->redis == NULL) {
		return;
	}
	limiter_redis_counts(l->redis, &counts[0], &counts[1]);
	metrics_gauge(page, "infermesh_ratelimit_redis_up",
		      "1 while the limits are shared through Redis.",
		      limiter_redis_is_up(l->redis));
	metrics_family(page, "infermesh_ratelimit_leases_total", "counter",
		       "Leases asked of Redis or given back to it.");
	metrics_value(page, "infermesh_ratelimit_leases_total", &answered, 1, (double)counts[0]);
	metrics_value(page, "infermesh_ratelimit_leases_total", &unanswered, 1, (double)counts[1]);
}

void
limits_metrics(const struct limits *l, uint64_t claims, struct metrics_page *page)
{
	if (!limiter_in_use(&l->limiter)) {
		return;
	}
	write_rejected(l, page);
	write_rules(l, page);
	metrics_counter(page, "infermesh_ratelimit_usage_disbelieved_total",
			"Requests of which a worker reported more tokens than they can have used.",
			l->disbelieved);
	write_redis(l, page);
	metrics_gauge(page, "infermesh_ratelimit_reserved_tokens",
		      "Tokens reserved for requests that are under way.",
		      (double)l->limiter.reserved_tokens);
	metrics_gauge(page, "infermesh_ratelimit_reservations_leaked",
		      "Reservations minus requests that hold one; always 0.",
		      (double)((int64_t)l->limiter.reservations - (int64_t)claims));
}
