/*
 * daemon/entry_client.c - see entry_client.h.
 */
#include "daemon/entry_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"

#define ARENA_SLACK ((size_t)64 * 1024)

struct entry_client {
	struct endpoint *ep[CACHE_HOMES_MAX];
	size_t count;
	struct cache_homes homes;
	struct list requests;
};

struct entry_request {
	struct list node;
	struct call *call;
	entry_client_fn fn;
	void *arg;
};

bool
entry_client_key(const struct entry_ask *ask, uint8_t ret[CACHE_HOMES_KEY_BYTES])
{
	uint8_t name[ENTRY_NAME_MAX];

	return sha256_of(name, entry_name(ask, name), ret);
}

enum im_rc
entry_client_new(const struct service_env *env, struct entry_client **ret, struct im_err *err)
{
	static const struct endpoint_ops ops = { NULL };
	struct entry_client *c = calloc(1, sizeof(*c));
	const char *urls[CACHE_HOMES_MAX];
	enum im_rc rc = IM_OK;

	if (c == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a client of entries");
	list_init(&c->requests);
	while (c->count < CACHE_HOMES_MAX &&
	       (urls[c->count] = mesh_cache_address(env, c->count)) != NULL)
		c->count++;
	if (c->count == 0)
		rc = err_set(err, IM_EUNAVAILABLE, "there is no cache: cache.addresses is off");
	else if (!cache_homes_init(&c->homes, urls, c->count))
		rc = err_set(err, IM_ENOMEM, "no memory for a client of entries");
	for (size_t i = 0; rc == IM_OK && i < c->count; i++)
		rc = net_dial(env->net, urls[i], &ops, NULL, &c->ep[i], err);
	if (rc != IM_OK) {
		entry_client_free(c);
		return rc;
	}
	*ret = c;
	return IM_OK;
}

void
entry_client_free(struct entry_client *c)
{
	if (c == NULL)
		return;
	LIST_FOREACH_SAFE (&c->requests, r, struct entry_request, node)
		entry_client_cancel(r);
	for (size_t i = 0; i < c->count; i++)
		endpoint_close(c->ep[i]);
	cache_homes_done(&c->homes);
	free(c);
}

static void
on_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct entry_request *r = user;
	struct arena arena;
	struct entry_answer answer;
	struct im_err wrong;

	(void)call;
	arena_init(&arena, 2 * len + ARENA_SLACK);
	if (err == NULL && entry_answer_decode(body, len, &arena, &answer, &wrong) != IM_OK)
		err = &wrong;
	list_remove(&r->node);
	r->fn(r->arg, err, err == NULL ? &answer : NULL);
	arena_done(&arena);
	free(r);
}

enum im_rc
entry_client_ask(struct entry_client *c, const struct entry_ask *ask, uint32_t budget_ms,
		 entry_client_fn fn, void *arg, struct entry_request **ret, struct im_err *err)
{
	static const struct call_ops ops = { .end = on_end };
	struct call_request req = { .method = entry_method(ask->op), .budget_ms = budget_ms };
	uint8_t key[CACHE_HOMES_KEY_BYTES];
	struct buf body = { 0 };
	struct entry_request *r;
	struct link *link;
	enum im_rc rc = entry_ask_check(ask, err);

	if (rc != IM_OK)
		return rc;
	r = malloc(sizeof(*r));
	if (r == NULL || !entry_client_key(ask, key)) {
		free(r);
		return err_set(err, IM_ENOMEM, "no memory for a request");
	}
	*r = (struct entry_request){ .fn = fn, .arg = arg };
	link = endpoint_link(c->ep[cache_homes_find(&c->homes, key)]);
	entry_ask_encode(ask, &body);
	req.body = body.data;
	req.body_len = body.len;
	if (!buf_ok(&body))
		rc = err_set(err, IM_ENOMEM, "no memory for a request");
	else if (link == NULL)
		rc =
		    err_set(err, IM_EUNAVAILABLE, "the cache that keeps this entry is not reached");
	else
		rc = call_start(link, &req, &ops, r, &r->call, err);
	buf_done(&body);
	if (rc != IM_OK) {
		free(r);
		return rc;
	}
	list_push_back(&c->requests, &r->node);
	if (ret != NULL)
		*ret = r;
	return IM_OK;
}

void
entry_client_cancel(struct entry_request *r)
{
	call_cancel(r->call);
	list_remove(&r->node);
	free(r);
}
