/*
 * cli/status.c - 'infermesh status': asks the router, the cache and the audit service, and prints what they say.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/mesh.h"
#include "cli/terminal.h"
#include "cli/user.h"
#include "wire/mesh.h"

#define CALL_TIMEOUT_MS 3000
#define SIDE_TIMEOUT_MS 1000 /* cache and audit: nice to have */
#define DECODED_MAX     (64UL * 1024 * 1024)

struct view {
	struct arena arena;
	struct router_status router;
	bool has_cache, has_audit;
	struct cache_stats cache;
	struct audit_status audit;
};

struct peers {
	struct peer *router, *cache, *audit; /* NULL = not reached */
};

static void
put(const char *text)
{
	terminal_put(stdout, text, strlen(text));
}

/* 'text' in a column of 'width', cut if need be; never a control character. */
static void
column(const char *text, int width)
{
	int n = (int)strlen(text);

	terminal_put(stdout, text, (size_t)(n > width ? width : n));
	(void)printf("%*s", n < width ? width - n + 2 : 2, "");
}

static void
print_duration(uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (s >= 86400)
		(void)printf("%" PRIu64 "d%" PRIu64 "h", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		(void)printf("%" PRIu64 "h%" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		(void)printf("%" PRIu64 "m%" PRIu64 "s", s / 60, s % 60);
}

static void
print_workers(const struct router_status *s)
{
	(void)printf("\n%-20s  %-8s  %-8s  %5s  %9s  %6s  %9s  %6s  MODELS\n", "WORKER", "BACKEND",
		     "STATE", "SLOTS", "CAPACITY", "QUEUED", "ANSWERED", "FAILED");
	for (size_t i = 0; i < s->worker_count; i++) {
		const struct worker_status *w = &s->workers[i];

		column(w->name, 20);
		column(w->backend, 8);
		column(w->state, 8);
		(void)printf("%5u  %9u  %6u  %9" PRIu64 "  %6" PRIu64 "  ", w->slots,
			     w->load.capacity, w->load.queued, w->succeeded, w->failed);
		for (size_t k = 0; k < w->model_count; k++) {
			(void)fputs(k > 0 ? ", " : "", stdout);
			put(w->models[k]);
		}
		(void)putchar('\n');
	}
	if (s->worker_count == 0)
		(void)printf("(none: nobody can answer yet)\n");
}

static void
print_table(const struct view *v)
{
	const struct router_status *s = &v->router;

	(void)printf("router  ");
	put(s->name);
	(void)putchar(' ');
	put(s->version);
	(void)printf(", up ");
	print_duration(s->uptime_ms);
	(void)printf("%s: calls %u, queued %u, slots %u; admitted %" PRIu64 ", ended %" PRIu64
		     ", refused %" PRIu64 "\n",
		     s->draining ? ", draining" : "", s->calls, s->queued, s->slots, s->admitted,
		     s->ended, s->refused);
	(void)printf("cache   ");
	put(s->cache);
	if (v->has_cache) {
		(void)printf(": entries %" PRIu64 ", %.1f of %.1f MiB; hits %" PRIu64
			     ", misses %" PRIu64 ", evicted %" PRIu64,
			     v->cache.entries, (double)v->cache.bytes / 1048576,
			     (double)v->cache.max_bytes / 1048576, v->cache.hits, v->cache.misses,
			     v->cache.evicted);
	}
	(void)printf("\naudit   ");
	put(s->audit);
	(void)printf(": records pending %u", s->records_pending);
	if (s->records_dropped > 0)
		(void)printf(", dropped %" PRIu64, s->records_dropped);
	if (v->has_audit) {
		(void)printf("; log of %" PRIu64 " records, open requests %" PRIu64 ", ",
			     v->audit.size, v->audit.open_requests);
		put(v->audit.state);
		(void)printf(", ");
		put(v->audit.dir);
	}
	(void)putchar('\n');
	print_workers(s);
}

static void
json_text(struct buf *b, const char *name, const char *value)
{
	(void)buf_printf(b, "\"%s\":", name);
	(void)json_put_cstr(b, value);
	(void)buf_append_byte(b, ',');
}

static void
json_number(struct buf *b, const char *name, uint64_t value)
{
	(void)buf_printf(b, "\"%s\":%" PRIu64 ",", name, value);
}

/* Turn the comma after the last member into the end. */
static void
json_close(struct buf *b, const char *end)
{
	if (b->len > 0 && b->data[b->len - 1] == ',')
		b->len--;
	(void)buf_append_str(b, end);
}

static void
json_worker(struct buf *b, const struct worker_status *w)
{
	(void)buf_append_byte(b, '{');
	json_text(b, "name", w->name);
	json_text(b, "backend", w->backend);
	json_text(b, "state", w->state);
	json_number(b, "slots", w->slots);
	json_number(b, "in_flight", w->load.in_flight);
	json_number(b, "capacity", w->load.capacity);
	json_number(b, "queued", w->load.queued);
	json_number(b, "dispatched", w->dispatched);
	json_number(b, "succeeded", w->succeeded);
	json_number(b, "failed", w->failed);
	(void)buf_append_str(b, "\"models\":[");
	for (size_t i = 0; i < w->model_count; i++) {
		(void)json_put_cstr(b, w->models[i]);
		(void)buf_append_byte(b, ',');
	}
	json_close(b, "]},");
}

static void
json_router(struct buf *b, const struct router_status *s)
{
	(void)buf_append_str(b, "\"router\":{");
	json_text(b, "name", s->name);
	json_text(b, "version", s->version);
	json_number(b, "uptime_ms", s->uptime_ms);
	(void)buf_printf(b, "\"draining\":%s,", s->draining ? "true" : "false");
	json_number(b, "calls", s->calls);
	json_number(b, "queued", s->queued);
	json_number(b, "slots", s->slots);
	json_number(b, "admitted", s->admitted);
	json_number(b, "ended", s->ended);
	json_number(b, "refused", s->refused);
	json_number(b, "records_pending", s->records_pending);
	json_number(b, "records_dropped", s->records_dropped);
	json_text(b, "audit", s->audit);
	json_text(b, "cache", s->cache);
	json_close(b, "},\"workers\":[");
	for (size_t i = 0; i < s->worker_count; i++)
		json_worker(b, &s->workers[i]);
	json_close(b, "],");
}

static void
json_cache(struct buf *b, const struct cache_stats *s)
{
	(void)buf_append_str(b, "\"cache\":{");
	json_number(b, "entries", s->entries);
	json_number(b, "bytes", s->bytes);
	json_number(b, "max_bytes", s->max_bytes);
	json_number(b, "hits", s->hits);
	json_number(b, "misses", s->misses);
	json_number(b, "stored", s->stored);
	json_number(b, "evicted", s->evicted);
	json_number(b, "expired", s->expired);
	json_number(b, "corrupt", s->corrupt);
	json_close(b, "},");
}

static void
json_audit(struct buf *b, const struct audit_status *s)
{
	(void)buf_append_str(b, "\"audit\":{");
	json_text(b, "origin", s->origin);
	json_text(b, "state", s->state);
	json_text(b, "vkey", s->vkey);
	json_text(b, "dir", s->dir);
	json_number(b, "size", s->size);
	json_number(b, "published_size", s->published_size);
	json_number(b, "open_requests", s->open_requests);
	json_close(b, "},");
}

static void
print_json(const struct view *v)
{
	struct buf b = { 0 };

	(void)buf_append_byte(&b, '{');
	json_router(&b, &v->router);
	if (v->has_cache)
		json_cache(&b, &v->cache);
	else
		(void)buf_append_str(&b, "\"cache\":null,");
	if (v->has_audit)
		json_audit(&b, &v->audit);
	else
		(void)buf_append_str(&b, "\"audit\":null,");
	json_close(&b, "}\n");
	if (buf_ok(&b))
		(void)fwrite(b.data, 1, b.len, stdout);
	buf_done(&b);
}

static enum im_rc
ask(const struct peers *peers, struct view *v, struct im_err *err)
{
	struct buf empty = { 0 }, reply = { 0 };
	enum im_rc rc =
	    mesh_call(peers->router, METHOD_STATUS, &empty, CALL_TIMEOUT_MS, &reply, err);

	arena_init(&v->arena, DECODED_MAX);
	if (rc == IM_OK)
		rc = router_status_decode(reply.data, reply.len, &v->arena, &v->router, err);
	v->has_cache = rc == IM_OK && peers->cache != NULL &&
		       mesh_call(peers->cache, METHOD_CACHE_STATS, &empty, SIDE_TIMEOUT_MS, &reply,
				 NULL) == IM_OK &&
		       cache_stats_decode(reply.data, reply.len, &v->cache, NULL) == IM_OK;
	v->has_audit =
	    rc == IM_OK && peers->audit != NULL &&
	    mesh_call(peers->audit, METHOD_AUDIT_STATUS, &empty, SIDE_TIMEOUT_MS, &reply, NULL) ==
		IM_OK &&
	    audit_status_decode(reply.data, reply.len, &v->arena, &v->audit, NULL) == IM_OK;
	buf_done(&reply);
	return rc;
}

static int
show(const struct cli_args *args, const struct peers *peers)
{
	struct view v = { 0 };
	struct im_err err;
	int status = EXIT_FINE;

	if (ask(peers, &v, &err) != IM_OK)
		status = cli_fail(args, &err);
	else if (cli_flag(args, "json"))
		print_json(&v);
	else
		print_table(&v);
	(void)fflush(stdout);
	arena_done(&v.arena);
	return status;
}

/* Wait a second, or until SIGINT or SIGTERM: then false. They are blocked. */
static bool
next_second(const sigset_t *stop)
{
	const struct timespec second = { .tv_sec = 1 };

	return sigtimedwait(stop, NULL, &second) < 0;
}

static int
watch(const struct cli_args *args, const struct peers *peers)
{
	bool terminal = isatty(STDOUT_FILENO) != 0 && !cli_flag(args, "json");
	sigset_t stop;

	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGINT);
	(void)sigaddset(&stop, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &stop, NULL);
	do {
		if (terminal)
			(void)fputs("\033[H\033[2J", stdout);
		/* A router that restarts comes back: go on asking. */
		(void)show(args, peers);
	} while (!ferror(stdout) && next_second(&stop));
	return EXIT_FINE;
}

static void
dial_side(struct mesh *mesh, const char *address, struct peer **ret_peer)
{
	*ret_peer = NULL;
	if (strcmp(address, "off") != 0 &&
	    mesh_dial(mesh, address, SIDE_TIMEOUT_MS, ret_peer, NULL) != IM_OK)
		*ret_peer = NULL;
}

int
run_status(const struct cli_args *args)
{
	struct config *config = cli_config(args);
	struct mesh *mesh = NULL;
	struct peers peers = { NULL, NULL, NULL };
	struct im_err err;
	char name[NET_NAME_MAX];
	int status;

	if (config == NULL)
		return EXIT_USAGE;
	user_name(name, sizeof(name));
	if (mesh_open(config, "operator", name, &mesh, &err) != IM_OK ||
	    mesh_dial_router(mesh, config, &peers.router, &err) != IM_OK) {
		status = cli_fail(args, &err);
	} else {
		dial_side(mesh, config_str(config, "cache.address"), &peers.cache);
		dial_side(mesh, config_str(config, "audit.address"), &peers.audit);
		status = cli_flag(args, "watch") ? watch(args, &peers) : show(args, &peers);
	}
	mesh_close(mesh);
	config_free(config);
	return status;
}
