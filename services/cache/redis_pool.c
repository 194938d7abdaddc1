/*
 * cache/redis_pool.c - the questions of a pool; see redis_pool.h. Its nodes: redis_nodes.c.
 */
#include "cache/redis_pool.h"

#include <stdlib.h>
#include <string.h>

#include "cache/redis_pool_internal.h"

#define HOPS_MAX 2 /* redirections of one question */

struct redis_op {
	struct redis_pool *pool;
	redis_op_fn fn; /* NULL = forgotten */
	void *arg;
	char *command; /* kept for a redirection */
	size_t len;
	enum redis_lane lane;
	uint8_t node; /* that is asked */
	uint8_t hops;
	bool keyed;
};

static void
end_op(struct redis_op *op, const redisReply *reply)
{
	if (op->fn != NULL)
		op->fn(op->arg, reply);
	redisFreeCommand(op->command);
	free(op);
}

static void on_reply(void *arg, const redisReply *reply);

static void
ignore(void *arg, const redisReply *reply)
{
	(void)arg; /* of ASKING: what it was for says if it failed */
	(void)reply;
}

static bool
send_op(struct redis_op *op, uint8_t node, bool asking)
{
	static const char ask[] = "*1\r\n$6\r\nASKING\r\n";
	struct redis_pool *p = op->pool;
	struct redis_link *link =
	    node != NODE_NONE ? redis_node_link(p, &p->node[node], op->lane) : NULL;

	op->node = node;
	return link != NULL &&
	       (!asking || redis_link_send(link, ignore, NULL, ask, sizeof(ask) - 1)) &&
	       redis_link_send(link, on_reply, op, op->command, op->len);
}

static void
on_reply(void *arg, const redisReply *reply)
{
	struct redis_op *op = arg;
	struct redis_pool *p = op->pool;
	struct redis_place place;
	uint8_t node = NODE_NONE;
	uint16_t slot;
	enum redis_redirection where = REDIS_STAYS;

	if (reply != NULL && op->keyed && p->mode == REDIS_MODE_CLUSTER)
		where = redis_redirection_read(reply, &slot, &place);
	if (where == REDIS_STAYS) {
		end_op(op, reply);
		return;
	}
	if (place.host[0] == '\0')
		memcpy(place.host, p->node[op->node].place.host, sizeof(place.host));
	node = redis_nodes_find(p, &place);
	if (where == REDIS_MOVED)
		redis_nodes_moved(p, slot, node);
	p->redirections++;
	if (op->fn == NULL || op->hops++ >= HOPS_MAX || !send_op(op, node, where == REDIS_ASK))
		end_op(op, NULL);
}

static struct redis_op *
start_op(struct redis_pool *p, uint8_t node, bool keyed, enum redis_lane lane, int argc,
	 const char *const *argv, const size_t *len, redis_op_fn fn, void *arg)
{
	/* hiredis' prototype lacks a const. */
	union {
		const char *const *ours;
		const char **theirs;
	} words = { .ours = argv };
	struct redis_op *op;
	int bytes;

	if (node == NODE_NONE || redis_node_link(p, &p->node[node], lane) == NULL)
		return NULL;
	op = malloc(sizeof(*op));
	if (op == NULL)
		return NULL;
	*op = (struct redis_op){ .pool = p, .fn = fn, .arg = arg, .lane = lane, .keyed = keyed };
	bytes = redisFormatCommandArgv(&op->command, argc, words.theirs, len);
	if (bytes <= 0) {
		free(op);
		return NULL;
	}
	op->len = (size_t)bytes;
	if (!send_op(op, node, false)) {
		redisFreeCommand(op->command);
		free(op);
		return NULL;
	}
	return op;
}

/* Who has the key that is word number 'at'. */
static uint8_t
node_of(const struct redis_pool *p, const char *const *argv, const size_t *len, size_t at)
{
	if (p->mode == REDIS_MODE_CLUSTER)
		return p->map[redis_slot(argv[at], len[at])];
	return p->mode == REDIS_MODE_ALONE ? 0 : NODE_NONE;
}

struct redis_op *
redis_pool_send(struct redis_pool *p, enum redis_lane lane, int argc, const char *const *argv,
		const size_t *len, redis_op_fn fn, void *arg)
{
	return start_op(p, node_of(p, argv, len, 1), true, lane, argc, argv, len, fn, arg);
}

struct redis_op *
redis_pool_eval(struct redis_pool *p, enum redis_lane lane, int argc, const char *const *argv,
		const size_t *len, redis_op_fn fn, void *arg)
{
	return start_op(p, node_of(p, argv, len, 3), true, lane, argc, argv, len, fn, arg);
}

struct redis_op *
redis_pool_send_to(struct redis_pool *p, size_t node, enum redis_lane lane, int argc,
		   const char *const *argv, const size_t *len, redis_op_fn fn, void *arg)
{
	bool is_node = node < REDIS_NODES_MAX && p->node[node].owner;

	return start_op(p, is_node ? (uint8_t)node : NODE_NONE, false, lane, argc, argv, len, fn,
			arg);
}

void
redis_op_forget(struct redis_op *op)
{
	op->fn = NULL;
}

size_t
redis_pool_next(const struct redis_pool *p, size_t from)
{
	while (from < REDIS_NODES_MAX && !p->node[from].owner)
		from++;
	return from;
}

uint64_t
redis_pool_generation(const struct redis_pool *p)
{
	return p->generation;
}

bool
redis_pool_is_cluster(const struct redis_pool *p)
{
	return p->mode == REDIS_MODE_CLUSTER;
}

uint64_t
redis_pool_lost(const struct redis_pool *p)
{
	return p->lost;
}

uint64_t
redis_pool_redirections(const struct redis_pool *p)
{
	return p->redirections;
}

enum im_rc
redis_pool_new(const struct redis_pool_params *params, struct redis_pool **ret, struct im_err *err)
{
	struct redis_pool *p = calloc(1, sizeof(*p));
	enum im_rc rc;

	if (p == NULL)
		return err_set(err, IM_ENOMEM, "no memory for Redis");
	p->with = *params;
	rc = api_key_init(&p->password, params->password_file, NULL, err);
	if (rc == IM_OK)
		rc = redis_nodes_start(p, err);
	p->with.urls = NULL;
	if (rc != IM_OK) {
		redis_pool_free(p);
		return rc;
	}
	*ret = p;
	return IM_OK;
}

void
redis_pool_free(struct redis_pool *p)
{
	if (p == NULL)
		return;
	redis_nodes_stop(p);
	api_key_done(&p->password);
	free(p);
}
