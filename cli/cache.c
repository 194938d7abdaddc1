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
#include "cli/command.h"
#include "cli/mesh.h"
#include "cli/operator.h"
#include "cli/print.h"
#include "cli/user.h"
#include "cli/when.h"
#include "router/answer.h"
#include "wire/cache_admin.h"

#define DIAL_TIMEOUT_MS 5000
#define CALL_TIMEOUT_MS 600000 /* a purge goes through every tier */
#define MEMORY_MAX      (64UL << 20)

/* Ask the cache and wait. On failure the message is printed and the exit status returned. */
static int
ask(const struct cli_args *args, const char *method, const struct buf *body, struct buf *reply)
{
	struct config *config = cli_config(args);
	struct mesh *mesh = NULL;
	char name[NET_NAME_MAX];
	struct peer *cache;
	struct im_err err;
	enum im_rc rc;

	if (config == NULL)
		return EXIT_USAGE;
	user_name(name, sizeof(name));
	if (strcmp(config_str(config, "cache.address"), "off") == 0)
		rc = err_set(&err, IM_EUNAVAILABLE, "there is no cache: cache.address is off");
	else
		rc = mesh_open(config, "operator", name, &mesh, &err);
	if (rc == IM_OK) {
		rc = mesh_dial(mesh, config_str(config, "cache.address"), DIAL_TIMEOUT_MS, &cache,
			       &err);
		if (rc == IM_EUNAVAILABLE)
			err_prefix(&err, "the cache is not reached (cache.address); start the mesh "
					 "with 'infermesh up'");
	}
	if (rc == IM_OK)
		rc = mesh_call(cache, method, body, CALL_TIMEOUT_MS, reply, &err);
	mesh_close(mesh);
	config_free(config);
	return rc == IM_OK ? EXIT_FINE : cli_fail(args, &err);
}

/* Stats. */

static void
json_tiers(const struct cache_tiers *t)
{
	struct buf b = { 0 };

	(void)buf_append_str(&b, "{\"tiers\":[");
	for (size_t i = 0; i < t->count; i++) {
		const struct cache_tier *c = &t->tier[i];

		(void)buf_append_byte(&b, '{');
		json_text(&b, "name", c->name);
		json_text(&b, "state", c->state);
		json_number(&b, "hits", c->hits);
		json_number(&b, "misses", c->misses);
		json_number(&b, "failed", c->failed);
		json_number(&b, "corrupt", c->corrupt);
		if (c->sized) {
			json_number(&b, "entries", c->entries);
			json_number(&b, "bytes", c->bytes);
			json_number(&b, "max_bytes", c->max_bytes);
		}
		json_number(&b, "stored", c->stored);
		json_number(&b, "evicted", c->evicted);
		json_number(&b, "expired", c->expired);
		json_number(&b, "dropped", c->dropped);
		json_number(&b, "waiting", c->waiting);
		json_number(&b, "waiting_bytes", c->waiting_bytes);
		json_number(&b, "timeouts", c->timeouts);
		json_number(&b, "errors", c->errors);
		json_number(&b, "reconnects", c->reconnects);
		json_close(&b, "},");
	}
	json_close(&b, "]}\n");
	json_print(&b);
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

int
run_cache_stats(const struct cli_args *args)
{
	const struct buf empty = { 0 };
	struct arena arena = { .max_bytes = MEMORY_MAX };
	struct buf reply = { 0 };
	struct cache_tiers t;
	struct im_err err;
	int status = ask(args, METHOD_CACHE_TIERS, &empty, &reply);

	if (status == EXIT_FINE &&
	    cache_tiers_decode(reply.data, reply.len, &arena, &t, &err) != IM_OK)
		status = cli_fail(args, &err);
	else if (status == EXIT_FINE && cli_flag(args, "json"))
		json_tiers(&t);
	else if (status == EXIT_FINE)
		print_tiers(&t);
	arena_done(&arena);
	buf_done(&reply);
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
	struct cache_get get;
	struct cache_got got;
	struct usage usage;
	struct im_err err;
	int status = EXIT_FINE;
	const char *text = operator_argument(args, 0, "KEY", &status);
	enum im_rc rc;

	if (text == NULL)
		return status;
	if (!key_of(text, get.key))
		return bad_key(args, text);
	cache_get_encode(&get, &body);
	status = ask(args, METHOD_CACHE_GET, &body, &reply);
	if (status == EXIT_FINE) {
		rc = cache_got_decode(reply.data, reply.len, &arena, &got, &err);
		if (rc == IM_OK && !got.hit)
			rc = err_set(&err, IM_ENOTFOUND, "no tier has it");
		if (rc == IM_OK)
			rc = router_answer_value_decode(got.value.data, got.value.len, &arena,
							&frame, &usage, &err);
		if (rc != IM_OK)
			status = cli_fail(args, &err);
		else if (cli_flag(args, "json"))
			json_got(&got, &frame, &usage);
		else
			print_got(&got, &frame, &usage);
	}
	arena_done(&arena);
	buf_done(&body);
	buf_done(&reply);
	return status;
}

/* Purge. */

static int
report(const struct cli_args *args, const struct cache_purged *p)
{
	struct buf b = { 0 };
	bool sure = true;

	(void)buf_append_str(&b, "{\"tiers\":[");
	for (size_t i = 0; i < p->count; i++) {
		const struct cache_purged_tier *t = &p->tier[i];

		sure = sure && t->error[0] == '\0';
		(void)buf_append_byte(&b, '{');
		json_text(&b, "tier", t->tier);
		json_number(&b, "removed", t->removed);
		json_text(&b, "error", t->error);
		json_close(&b, "},");
		if (cli_flag(args, "json"))
			continue;
		print_column(t->tier, 5);
		(void)printf("%" PRIu64 " removed", t->removed);
		if (t->error[0] != '\0') {
			(void)printf("; not all is gone for sure: ");
			print_text(t->error);
		}
		(void)putchar('\n');
	}
	json_close(&b, "]}\n");
	if (cli_flag(args, "json"))
		json_print(&b);
	else
		buf_done(&b);
	return sure ? EXIT_FINE : EXIT_TROUBLE;
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
	struct arena arena = { .max_bytes = MEMORY_MAX };
	struct buf body = { 0 }, reply = { 0 };
	struct cache_purge purge;
	struct cache_purged done;
	struct im_err err;
	int status;

	if (!selection(args, &purge))
		return EXIT_USAGE;
	cache_purge_encode(&purge, &body);
	status = ask(args, METHOD_CACHE_PURGE, &body, &reply);
	if (status == EXIT_FINE &&
	    cache_purged_decode(reply.data, reply.len, &arena, &done, &err) != IM_OK)
		status = cli_fail(args, &err);
	else if (status == EXIT_FINE)
		status = report(args, &done);
	arena_done(&arena);
	buf_done(&body);
	buf_done(&reply);
	return status;
}
