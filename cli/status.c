/*
 * cli/status.c - 'infermesh status': asks the router, the cache and the audit service, and prints what they say.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/mesh.h"
#include "cli/status_view.h"
#include "cli/user.h"
#include "daemon/cache_homes.h"

#define CALL_TIMEOUT_MS 3000
#define SIDE_TIMEOUT_MS 1000 /* cache and audit: nice to have */
#define DECODED_MAX     (64UL * 1024 * 1024)

struct peers {
	struct peer *router, *audit; /* NULL = not reached */
	struct peer *caches[CACHE_HOMES_MAX];
	size_t cache_count;
};

/* The sum of those that answer. */
static void
add_cache(struct peer *cache, struct status_view *v)
{
	struct buf empty = { 0 }, reply = { 0 };
	struct cache_stats s;

	if (cache != NULL &&
	    mesh_call(cache, METHOD_CACHE_STATS, &empty, SIDE_TIMEOUT_MS, &reply, NULL) == IM_OK &&
	    cache_stats_decode(reply.data, reply.len, &s, NULL) == IM_OK) {
		v->has_cache = true;
		v->cache.entries += s.entries;
		v->cache.bytes += s.bytes;
		v->cache.max_bytes += s.max_bytes;
		v->cache.hits += s.hits;
		v->cache.misses += s.misses;
		v->cache.stored += s.stored;
		v->cache.evicted += s.evicted;
		v->cache.expired += s.expired;
		v->cache.corrupt += s.corrupt;
	}
	buf_done(&reply);
}

static enum im_rc
ask(const struct peers *peers, struct status_view *v, struct im_err *err)
{
	struct buf empty = { 0 }, reply = { 0 };
	enum im_rc rc =
	    mesh_call(peers->router, METHOD_STATUS, &empty, CALL_TIMEOUT_MS, &reply, err);

	arena_init(&v->arena, DECODED_MAX);
	if (rc == IM_OK)
		rc = router_status_decode(reply.data, reply.len, &v->arena, &v->router, err);
	for (size_t i = 0; rc == IM_OK && i < peers->cache_count; i++)
		add_cache(peers->caches[i], v);
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
	struct status_view v = { 0 };
	struct im_err err;
	int status = EXIT_FINE;

	if (ask(peers, &v, &err) != IM_OK)
		status = cli_fail(args, &err);
	else if (cli_flag(args, "json"))
		status_json(&v);
	else
		status_print(&v);
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
	struct peers peers = { 0 };
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
		peers.cache_count = config_strings_len(config, "cache.addresses");
		for (size_t i = 0; i < peers.cache_count; i++)
			dial_side(mesh, config_strings_at(config, "cache.addresses", i),
				  &peers.caches[i]);
		dial_side(mesh, config_str(config, "audit.address"), &peers.audit);
		status = cli_flag(args, "watch") ? watch(args, &peers) : show(args, &peers);
	}
	mesh_close(mesh);
	config_free(config);
	return status;
}
