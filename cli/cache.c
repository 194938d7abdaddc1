/*
 * cli/cache.c - 'infermesh cache stats', 'get' and 'purge'.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/hex.h"
#include "cli/cache_call.h"
#include "cli/command.h"
#include "cli/operator.h"
#include "cli/print.h"
#include "cli/when.h"
#include "router/answer.h"
#include "wire/cache_admin.h"

#define MEMORY_MAX (64UL << 20)

/* False after a message; '*ret_status' is the exit status then. */
static bool
open_daemons(const struct cli_args *args, struct cache_daemons *ret, int *ret_status)
{
	struct config *config = cli_config(args);
	struct im_err err;

	if (config != NULL && cache_daemons_open(config, ret, &err) == IM_OK)
		return true;
	*ret_status = config != NULL ? cli_fail(args, &err) : EXIT_USAGE;
	return false;
}

/* What a command makes of the reply of one daemon. 'address' NULL: there is only one. */
typedef enum im_rc (*take_fn)(void *user, const char *address, const struct buf *reply,
			      struct im_err *err);

/*
 * Ask every daemon. One that fails is named, and the others are asked all the same. 'unreached': JSON of those that failed, if there
 * are several.
 */
static int
ask_all(const struct cli_args *args, const char *method, const struct buf *body, take_fn take,
	void *user, struct buf *unreached)
{
	struct buf reply = { 0 };
	struct cache_daemons d;
	struct im_err err;
	int status = EXIT_FINE;

	if (!open_daemons(args, &d, &status))
		return status;
	for (size_t i = 0; i < d.count; i++) {
		const char *address = d.count > 1 ? cache_daemons_address(&d, i) : NULL;
		enum im_rc rc = cache_daemons_ask(&d, i, method, body, &reply, &err);

		if (rc == IM_OK)
			rc = take(user, address, &reply, &err);
		if (rc == IM_OK)
			continue;
		if (address != NULL && cli_flag(args, "json")) {
			(void)buf_append_byte(unreached, '{');
			json_text(unreached, "cache", address);
			json_text(unreached, "error", err.text);
			json_close(unreached, "},");
			status = EXIT_TROUBLE;
			continue;
		}
		if (address != NULL)
			(void)fprintf(stderr, "%s: ", address);
		status = cli_fail(args, &err);
	}
	cache_daemons_close(&d);
	buf_done(&reply);
	return status;
}

/* {"tiers":[…]}, and with several caches those that were not reached. Takes both. */
static void
print_json(struct buf *tiers, struct buf *unreached)
{
	struct buf b = { 0 };

	json_close(tiers, "]");
	json_close(unreached, "]");
	(void)buf_append_str(&b, "{\"tiers\":[");
	(void)buf_append(&b, tiers->data, tiers->len);
	if (unreached->len > 1) {
		(void)buf_append_str(&b, ",\"unreached\":[");
		(void)buf_append(&b, unreached->data, unreached->len);
	}
	(void)buf_append_str(&b, "}\n");
	b.failed = b.failed || !buf_ok(tiers) || !buf_ok(unreached);
	json_print(&b);
	buf_done(tiers);
	buf_done(unreached);
}

/* Stats. */

static void
json_tiers(const struct cache_tiers *t, const char *address, struct buf *b)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct cache_tier *c = &t->tier[i];

		(void)buf_append_byte(b, '{');
		if (address != NULL)
			json_text(b, "cache", address);
		json_text(b, "name", c->name);
		json_text(b, "state", c->state);
		json_number(b, "hits", c->hits);
		json_number(b, "misses", c->misses);
		json_number(b, "failed", c->failed);
		json_number(b, "corrupt", c->corrupt);
		if (c->sized) {
			json_number(b, "entries", c->entries);
			json_number(b, "bytes", c->bytes);
			json_number(b, "max_bytes", c->max_bytes);
		}
		json_number(b, "stored", c->stored);
		json_number(b, "evicted", c->evicted);
		json_number(b, "expired", c->expired);
		json_number(b, "dropped", c->dropped);
		json_number(b, "waiting", c->waiting);
		json_number(b, "waiting_bytes", c->waiting_bytes);
		json_number(b, "timeouts", c->timeouts);
		json_number(b, "errors", c->errors);
		json_number(b, "reconnects", c->reconnects);
		json_close(b, "},");
	}
}

static void
print_tiers(const struct cache_tiers *t)
{
	(void)printf("TIER   STATE       %12s %12s %6s %10s %10s %10s %8s %8s %8s\n", "HITS",
		     "MISSES", "HIT %", "ENTRIES", "MIB", "OF MIB", "FAILED", "CORRUPT", "DROPPED");
	for (size_t i = 0; i < t->count; i++) {
		const struct cache_tier *c = &t->tier[i];
		uint64_t asked = c->hits + c->misses + c->failed + c->corrupt;

		print_column(c->name, 5);
		print_column(c->state, 10);
		(void)printf("%12" PRIu64 " %12" PRIu64 " %6.1f ", c->hits, c->misses + c->failed,
			     asked > 0 ? 100.0 * (double)c->hits / (double)asked : 0.0);
		if (c->sized)
			(void)printf("%10" PRIu64 " %10.1f %10.1f", c->entries,
				     (double)c->bytes / 1048576, (double)c->max_bytes / 1048576);
		else
			(void)printf("%10s %10s %10s", "-", "-", "-");
		(void)printf(" %8" PRIu64 " %8" PRIu64 " %8" PRIu64 "\n", c->failed, c->corrupt,
			     c->dropped);
	}
}

struct told {
	const struct cli_args *args;
	struct buf tiers; /* JSON */
	bool unsure;      /* a tier has not said that all is gone */
};

static enum im_rc
take_stats(void *user, const char *address, const struct buf *reply, struct im_err *err)
{
	struct told *told = user;
	struct arena arena = { .max_bytes = MEMORY_MAX };
	struct cache_tiers t;
	enum im_rc rc = cache_tiers_decode(reply->data, reply->len, &arena, &t, err);

	if (rc == IM_OK && cli_flag(told->args, "json")) {
		json_tiers(&t, address, &told->tiers);
	} else if (rc == IM_OK) {
		if (address != NULL)
			(void)printf("%s\n", address);
		print_tiers(&t);
	}
	arena_done(&arena);
	return rc;
}

int
run_cache_stats(const struct cli_args *args)
{
	const struct buf empty = { 0 };
	struct told told = { .args = args };
	struct buf unreached = { 0 };
	int status = ask_all(args, METHOD_CACHE_TIERS, &empty, take_stats, &told, &unreached);

	if (cli_flag(args, "json") && (status == EXIT_FINE || unreached.len > 0))
		print_json(&told.tiers, &unreached);
	return status;
}

/* One entry. */

static bool
key_of(const char *text, uint8_t key[CACHE_KEY_BYTES])
{
	return strlen(text) == (size_t)2 * CACHE_KEY_BYTES &&
	       hex_decode(text, key, CACHE_KEY_BYTES);
}

static int
bad_key(const struct cli_args *args, const char *text)
{
	(void)fprintf(stderr,
		      "infermesh %s: found '%.80s', allowed: a key, 64 hexadecimal digits; "
		      "'infermesh explain' shows that of a request\n",
		      args->command->name, text);
	return EXIT_USAGE;
}

static void
print_got(const struct cache_got *g, const struct generate_frame *f, const struct usage *u)
{
	(void)printf("tier    %s\ntenant  ", g->tier);
	print_text(g->tenant);
	(void)printf("\nmodel   ");
	print_text(g->model);
	(void)printf("\nage     ");
	print_duration(g->age_ms);
	(void)printf("\nleft    ");
	print_duration(g->expires_us > clock_wall_us() ? (g->expires_us - clock_wall_us()) / 1000
						       : 0);
	(void)printf("\nbytes   %zu\nusage   %" PRIu32 " + %" PRIu32 " tokens\n", g->value.len,
		     u->prompt_tokens, u->completion_tokens);
	for (size_t i = 0; i < f->delta_count; i++) {
		(void)putchar('\n');
		print_text(f->deltas[i].content);
		(void)putchar('\n');
	}
}

static void
json_got(const struct cache_got *g, const struct generate_frame *f, const struct usage *u)
{
	struct buf b = { 0 };

	(void)buf_append_byte(&b, '{');
	json_text(&b, "tier", g->tier);
	json_text(&b, "tenant", g->tenant);
	json_text(&b, "model", g->model);
	json_number(&b, "created_us", g->created_us);
	json_number(&b, "expires_us", g->expires_us);
	json_number(&b, "age_ms", g->age_ms);
	json_number(&b, "bytes", g->value.len);
	json_number(&b, "prompt_tokens", u->prompt_tokens);
	json_number(&b, "completion_tokens", u->completion_tokens);
	(void)buf_append_str(&b, "\"choices\":[");
	for (size_t i = 0; i < f->delta_count; i++) {
		(void)buf_append_byte(&b, '{');
		json_text(&b, "content", f->deltas[i].content);
		json_text(&b, "finish_reason", f->deltas[i].finish_reason);
		json_close(&b, "},");
	}
	json_close(&b, "]}\n");
	json_print(&b);
}

int
run_cache_get(const struct cli_args *args)
{
	struct arena arena = { .max_bytes = MEMORY_MAX };
	struct buf body = { 0 }, reply = { 0 };
	struct generate_frame frame;
	struct cache_daemons d;
	struct cache_get get;
	struct cache_got got;
	struct usage usage;
	struct im_err err;
	size_t home;
	int status = EXIT_FINE;
	const char *text = operator_argument(args, 0, "KEY", &status);
	enum im_rc rc;

	if (text == NULL)
		return status;
	if (!key_of(text, get.key))
		return bad_key(args, text);
	if (!open_daemons(args, &d, &status))
		return status;
	cache_get_encode(&get, &body);
	rc = cache_daemons_home(&d, get.key, &home, &err);
	if (rc == IM_OK)
		rc = cache_daemons_ask(&d, home, METHOD_CACHE_GET, &body, &reply, &err);
	if (rc == IM_OK)
		rc = cache_got_decode(reply.data, reply.len, &arena, &got, &err);
	if (rc == IM_OK && !got.hit)
		rc = err_set(&err, IM_ENOTFOUND, "no tier has it");
	if (rc == IM_OK)
		rc = router_answer_value_decode(got.value.data, got.value.len, &arena, &frame,
						&usage, &err);
	if (rc != IM_OK)
		status = cli_fail(args, &err);
	else if (cli_flag(args, "json"))
		json_got(&got, &frame, &usage);
	else
		print_got(&got, &frame, &usage);
	cache_daemons_close(&d);
	arena_done(&arena);
	buf_done(&body);
	buf_done(&reply);
	return status;
}

/* Purge. */

static enum im_rc
take_purged(void *user, const char *address, const struct buf *reply, struct im_err *err)
{
	struct told *told = user;
	struct arena arena = { .max_bytes = MEMORY_MAX };
	struct cache_purged p = { 0 };
	enum im_rc rc = cache_purged_decode(reply->data, reply->len, &arena, &p, err);

	if (address != NULL && rc == IM_OK && !cli_flag(told->args, "json"))
		(void)printf("%s\n", address);
	for (size_t i = 0; rc == IM_OK && i < p.count; i++) {
		const struct cache_purged_tier *t = &p.tier[i];

		told->unsure = told->unsure || t->error[0] != '\0';
		if (cli_flag(told->args, "json")) {
			(void)buf_append_byte(&told->tiers, '{');
			if (address != NULL)
				json_text(&told->tiers, "cache", address);
			json_text(&told->tiers, "tier", t->tier);
			json_number(&told->tiers, "removed", t->removed);
			json_text(&told->tiers, "error", t->error);
			json_close(&told->tiers, "},");
			continue;
		}
		print_column(t->tier, 5);
		(void)printf("%" PRIu64 " removed", t->removed);
		if (t->error[0] != '\0') {
			(void)printf("; not all is gone for sure: ");
			print_text(t->error);
		}
		(void)putchar('\n');
	}
	arena_done(&arena);
	return rc;
}

/* What the options select; false after a message. */
static bool
selection(const struct cli_args *args, struct cache_purge *ret)
{
	const char *key = cli_value(args, "key"), *older = cli_value(args, "older-than");
	const char *tenant = cli_value(args, "tenant"), *model = cli_value(args, "model");
	bool any = key != NULL || older != NULL || tenant != NULL || model != NULL;

	*ret = (struct cache_purge){ .tenant = tenant, .model = model };
	if (any == cli_flag(args, "all")) {
		(void)fprintf(stderr, "infermesh cache purge: say what: --model, --tenant, --key, "
				      "--older-than, which may stand together, or --all\n");
		return false;
	}
	if (key != NULL && !key_of(key, ret->key)) {
		(void)bad_key(args, key);
		return false;
	}
	ret->has_key = key != NULL;
	if (older != NULL && !when_parse(older, clock_wall_us(), &ret->created_before_us)) {
		(void)fprintf(
		    stderr,
		    "infermesh cache purge: --older-than: found '%.40s', allowed: " WHEN_ALLOWED
		    "\n",
		    older);
		return false;
	}
	return true;
}

int
run_cache_purge(const struct cli_args *args)
{
	struct told told = { .args = args };
	struct buf body = { 0 }, unreached = { 0 };
	struct cache_purge purge;
	int status;

	if (!selection(args, &purge))
		return EXIT_USAGE;
	cache_purge_encode(&purge, &body);
	status = ask_all(args, METHOD_CACHE_PURGE, &body, take_purged, &told, &unreached);
	if (cli_flag(args, "json") && (status == EXIT_FINE || unreached.len > 0))
		print_json(&told.tiers, &unreached);
	buf_done(&body);
	return status == EXIT_FINE && told.unsure ? EXIT_TROUBLE : status;
}
