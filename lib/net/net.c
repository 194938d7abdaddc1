/*
 * net/net.c - a daemon's end of the mesh: who it is, its endpoints, its counters. Opens no connection itself.
 */
#include "net/net.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "net/room.h"

static void
set_defaults(struct net_params *p)
{
	p->max_frame_bytes = p->max_frame_bytes != 0 ? p->max_frame_bytes : 16u << 20;
	p->window_bytes = p->window_bytes != 0 ? p->window_bytes : 256u << 10;
	p->max_calls = p->max_calls != 0 ? p->max_calls : 65536;
	p->max_links = p->max_links != 0 ? p->max_links : 4096;
	p->heartbeat_ms = p->heartbeat_ms != 0 ? p->heartbeat_ms : 5000;
	p->hello_timeout_ms = p->hello_timeout_ms != 0 ? p->hello_timeout_ms : 5000;
	p->reconnect_min_ms = p->reconnect_min_ms != 0 ? p->reconnect_min_ms : 10;
	p->reconnect_max_ms = p->reconnect_max_ms != 0 ? p->reconnect_max_ms : 1000;
}

enum im_rc
net_new(struct loop *loop, const struct net_params *params, struct net **ret_net,
	struct im_err *err)
{
	size_t role_len = params->role != NULL ? strlen(params->role) : 0;
	size_t name_len = params->name != NULL ? strlen(params->name) : 0;
	struct net *net;

	if (role_len == 0 || role_len >= NET_ROLE_MAX)
		return err_set(err, IM_EINVAL, "the role of a daemon has 1 to %d bytes",
			       NET_ROLE_MAX - 1);
	if (name_len >= NET_NAME_MAX)
		return err_set(err, IM_EINVAL,
			       "the name '%.40s...' is longer than %d bytes; shorten it",
			       params->name, NET_NAME_MAX - 1);
	if (params->max_frame_bytes > UINT32_MAX ||
	    (params->max_frame_bytes != 0 && params->max_frame_bytes < FRAME_MIN_MAX))
		return err_set(err, IM_EINVAL, "max_frame_bytes must be %u to %u", FRAME_MIN_MAX,
			       UINT32_MAX);
	net = calloc(1, sizeof(*net));
	if (net == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the mesh");
	net->loop = loop;
	net->params = *params;
	set_defaults(&net->params);
	memcpy(net->role, params->role, role_len);
	if (name_len > 0)
		memcpy(net->name, params->name, name_len);
	net->params.role = net->role;
	net->params.name = net->name;
	random_bytes(net->instance, sizeof(net->instance));
	random_bytes(&net->random, sizeof(net->random));
	list_init(&net->endpoints);
	list_init(&net->links);
	list_init(&net->orphans);
	*ret_net = net;
	return IM_OK;
}

uint64_t
net_random(struct net *net)
{
	uint64_t z = net->random +=
	    UINT64_C(0x9e3779b97f4a7c15); /* splitmix64, seeded by the kernel */

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void
net_unpend(struct net *net)
{
	if (--net->pending == 0 && net->closing)
		loop_post(net->loop, &net->closed_task);
}

void
net_close(struct net *net, loop_fn closed, void *arg)
{
	assert(!net->closing);
	net->closing = true;
	net->closed_task.fn = closed;
	net->closed_task.arg = arg;
	net->pending++;
	LIST_FOREACH_SAFE (&net->endpoints, ep, struct endpoint, node)
		endpoint_close(ep);
	net_unpend(net);
}

void
net_free(struct net *net)
{
	struct list *node;

	if (net == NULL)
		return;
	assert(net->pending == 0 && list_empty(&net->links));
	while ((node = list_pop_front(&net->orphans)) != NULL)
		CONTAINER_OF(node, struct served, node)->net = NULL;
	free(net);
}

void
net_counters(const struct net *net, struct net_counters *ret)
{
	*ret = net->counters;
}
