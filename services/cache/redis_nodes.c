/*
 * cache/redis_nodes.c - the nodes of a pool and its table of slots; see redis_pool.h.
 *
 *   UNKNOWN ──CLUSTER SLOTS refused──▶ ALONE: the first node has all keys
 *      └──────CLUSTER SLOTS answered─▶ CLUSTER: asked again after a redirection, and while somebody is away
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cache/redis_pool_internal.h"
#include "daemon/redis_url.h"

#define TICK_US      500000
#define ASK_AGAIN_US 100000 /* for the table, at most so often */

static void ask_for_table(struct redis_pool *p);

static bool
node_is_up(const struct redis_node *n, unsigned connections)
{
	for (unsigned i = 0; i < connections; i++)
		if (n->link[i] != NULL && redis_link_is_up(n->link[i]))
			return true;
	return false;
}

bool
redis_pool_is_up(const struct redis_pool *p)
{
	for (size_t i = 0; i < REDIS_NODES_MAX; i++)
		if (p->node[i].owner && node_is_up(&p->node[i], p->with.connections))
			return true;
	return false;
}

bool
redis_pool_is_whole(const struct redis_pool *p)
{
	for (size_t i = 0; i < REDIS_NODES_MAX; i++)
		if (p->node[i].owner && redis_node_link(p, &p->node[i], REDIS_WRITE) == NULL)
			return false;
	return p->mode == REDIS_MODE_ALONE ||
	       (p->mode == REDIS_MODE_CLUSTER && memchr(p->map, NODE_NONE, REDIS_SLOTS) == NULL);
}

static void
tell(struct redis_pool *p, const struct im_err *why)
{
	bool up = redis_pool_is_up(p);

	if (up ? p->told == TOLD_UP : p->told == TOLD_DOWN || why == NULL)
		return;
	p->told = up ? TOLD_UP : TOLD_DOWN;
	p->with.changed(p->with.user, up, up ? NULL : why);
}

struct redis_link *
redis_node_link(const struct redis_pool *p, const struct redis_node *n, enum redis_lane lane)
{
	struct redis_link *best = NULL;

	/* Writing is done in order, so by one alone. */
	for (unsigned i = 1; lane == REDIS_READ && i < p->with.connections; i++) {
		if (n->link[i] != NULL && redis_link_is_up(n->link[i]) &&
		    (best == NULL || redis_link_pending(n->link[i]) < redis_link_pending(best)))
			best = n->link[i];
	}
	if (best == NULL && n->link[0] != NULL && redis_link_is_up(n->link[0]))
		best = n->link[0];
	return best;
}

static void
on_changed(void *user, bool up, const struct im_err *why)
{
	struct redis_node *n = user;
	struct redis_pool *p = n->pool;

	p->lost += !up;
	if (p->mode == REDIS_MODE_CLUSTER)
		p->stale = true; /* whoever comes or goes may have taken slots along */
	if (up && p->mode != REDIS_MODE_ALONE)
		ask_for_table(p);
	tell(p, why);
}

static void
on_failed(void *user, const struct im_err *why)
{
	struct redis_node *n = user;

	if (!redis_pool_is_up(n->pool))
		tell(n->pool, why);
}

static void
close_node(struct redis_pool *p, struct redis_node *n)
{
	for (unsigned i = 0; i < p->with.connections; i++) {
		struct redis_link *link = n->link[i];

		n->link[i] = NULL; /* what is given up inside may look for another connection */
		redis_link_free(link);
	}
	memset(n, 0, sizeof(*n));
}

static bool
open_node(struct redis_pool *p, struct redis_node *n, const struct redis_place *place)
{
	struct redis_link_params params = { .loop = p->with.loop,
					    .host = place->host,
					    .port = place->port,
					    .db = p->db,
					    .password = &p->password,
					    .reply_bytes = p->with.reply_bytes,
					    .changed = on_changed,
					    .failed = on_failed,
					    .user = n };

	n->pool = p;
	n->place = *place;
	for (unsigned i = 0; i < p->with.connections; i++) {
		params.seed = p->with.seed + p->seeds++;
		if (redis_link_new(&params, &n->link[i], NULL) != IM_OK) {
			close_node(p, n);
			return false;
		}
	}
	return true;
}

uint8_t
redis_nodes_find(struct redis_pool *p, const struct redis_place *place)
{
	uint8_t free_one = NODE_NONE;

	for (uint8_t i = 0; i < REDIS_NODES_MAX; i++) {
		const struct redis_node *n = &p->node[i];

		if (n->link[0] == NULL && free_one == NODE_NONE)
			free_one = i;
		if (n->link[0] != NULL && n->place.port == place->port &&
		    strcmp(n->place.host, place->host) == 0)
			return i;
	}
	if (free_one != NODE_NONE && !open_node(p, &p->node[free_one], place))
		free_one = NODE_NONE;
	return free_one;
}

/* The table of slots. */

/* Who has slots owns them, and nobody else. Nodes that are of no use any more go when no callback is theirs. */
static void
find_owners(struct redis_pool *p)
{
	for (size_t i = 0; i < REDIS_NODES_MAX; i++)
		p->node[i].owner = p->mode == REDIS_MODE_ALONE && i == 0;
	for (size_t s = 0; p->mode == REDIS_MODE_CLUSTER && s < REDIS_SLOTS; s++)
		if (p->map[s] != NODE_NONE)
			p->node[p->map[s]].owner = true;
	p->generation++;
	loop_post(p->with.loop, &p->tidy);
}

static void
on_tidy(void *arg)
{
	struct redis_pool *p = arg;

	for (size_t i = 0; i < REDIS_NODES_MAX; i++) {
		struct redis_node *n = &p->node[i];

		if (n->link[0] != NULL && !n->owner && !n->seed)
			close_node(p, n);
	}
}

void
redis_nodes_moved(struct redis_pool *p, uint16_t slot, uint8_t node)
{
	if (p->mode != REDIS_MODE_CLUSTER)
		return;
	if (node != NODE_NONE && p->map[slot] != node) {
		p->map[slot] = node;
		find_owners(p);
	}
	p->stale = true;
	ask_for_table(p);
}

struct reading {
	struct redis_pool *pool;
	const struct redis_place *by; /* who said it */
	uint8_t map[REDIS_SLOTS];
};

static void
on_range(void *arg, uint16_t first, uint16_t last, const struct redis_place *primary)
{
	struct reading *r = arg;
	struct redis_place at = *primary;
	uint8_t node;

	if (at.host[0] == '\0')
		memcpy(at.host, r->by->host, sizeof(at.host));
	node = redis_nodes_find(r->pool, &at);
	memset(r->map + first, node, (size_t)(last - first) + 1);
}

static bool
take_table(struct redis_pool *p, const struct redis_place *by, const redisReply *reply)
{
	struct reading *r = malloc(sizeof(*r));
	bool well = r != NULL;

	if (well) {
		r->pool = p;
		r->by = by;
		memset(r->map, NODE_NONE, sizeof(r->map));
		well = redis_slots_read(reply, on_range, r);
	}
	if (well && p->map == NULL)
		well = (p->map = malloc(REDIS_SLOTS)) != NULL;
	if (well && (p->mode != REDIS_MODE_CLUSTER || memcmp(p->map, r->map, REDIS_SLOTS) != 0)) {
		memcpy(p->map, r->map, REDIS_SLOTS);
		p->mode = REDIS_MODE_CLUSTER;
		find_owners(p);
	}
	free(r);
	loop_post(p->with.loop, &p->tidy); /* of nodes that a faulty table named */
	return well;
}

/* "ERR This instance has cluster support disabled", or a server that knows no such command, or lets us not ask. */
static bool
is_alone(const struct redis_pool *p, const redisReply *reply)
{
	return p->mode == REDIS_MODE_UNKNOWN && p->with.url_count == 1 &&
	       reply->type == REDIS_REPLY_ERROR &&
	       (strncmp(reply->str, "ERR ", 4) == 0 || strncmp(reply->str, "NOPERM", 6) == 0);
}

static void
on_table(void *arg, const redisReply *reply)
{
	struct redis_node *n = arg;
	struct redis_pool *p = n->pool;
	struct im_err why;

	p->asking = false;
	if (reply == NULL)
		return;
	if (is_alone(p, reply)) {
		p->mode = REDIS_MODE_ALONE;
		find_owners(p);
	} else if (reply->type == REDIS_REPLY_ARRAY) {
		p->stale = !take_table(p, &n->place, reply);
	}
	(void)err_set(&why, IM_EUNAVAILABLE, "CLUSTER SLOTS: %.200s",
		      reply->type == REDIS_REPLY_ERROR ? reply->str : "no table of slots");
	tell(p, p->mode == REDIS_MODE_UNKNOWN ? &why : NULL);
}

static void
ask_for_table(struct redis_pool *p)
{
	static const char command[] = "*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n";
	uint64_t now_us = clock_mono_us();

	if (p->asking || (p->mode == REDIS_MODE_CLUSTER && now_us - p->asked_us < ASK_AGAIN_US))
		return;
	for (unsigned i = 0; i < REDIS_NODES_MAX; i++) {
		struct redis_node *n = &p->node[(p->turn + i) % REDIS_NODES_MAX];
		struct redis_link *link = redis_node_link(p, n, REDIS_READ);

		if (link == NULL ||
		    !redis_link_send(link, on_table, n, command, sizeof(command) - 1))
			continue;
		p->turn = (p->turn + i + 1) % REDIS_NODES_MAX;
		p->asking = true;
		p->asked_us = now_us;
		return;
	}
}

static void
on_tick(void *arg)
{
	struct redis_pool *p = arg;

	if (p->mode == REDIS_MODE_UNKNOWN ||
	    (p->mode == REDIS_MODE_CLUSTER && (p->stale || !redis_pool_is_whole(p))))
		ask_for_table(p);
	/* Cannot fail: the timer that has just fired gave its place back. */
	(void)!loop_timer_set(p->with.loop, &p->tick, TICK_US);
}

enum im_rc
redis_nodes_start(struct redis_pool *p, struct im_err *err)
{
	p->tick = (struct loop_timer){ .fn = on_tick, .arg = p };
	p->tidy = (struct loop_task){ .fn = on_tidy, .arg = p };
	for (size_t i = 0; i < p->with.url_count && i < REDIS_NODES_MAX; i++) {
		struct redis_place place;
		uint8_t node;

		redis_url_read(p->with.urls[i], place.host, sizeof(place.host), &place.port,
			       &p->db);
		node = redis_nodes_find(p, &place);
		if (node == NODE_NONE)
			return err_set(err, IM_ENOMEM, "no memory for a connection");
		p->node[node].seed = true;
	}
	if (loop_timer_set(p->with.loop, &p->tick, TICK_US) != IM_OK)
		return err_set(err, IM_ENOMEM, "no memory for a timer");
	return IM_OK;
}

void
redis_nodes_stop(struct redis_pool *p)
{
	for (size_t i = 0; i < REDIS_NODES_MAX; i++)
		close_node(p, &p->node[i]);
	loop_timer_cancel(p->with.loop, &p->tick);
	loop_cancel(p->with.loop, &p->tidy);
	free(p->map);
}
