/*
 * router/cache_client.c - questions to the cache; see cache_client.h.
 */
#include "router/cache_client.h"

#include <string.h>

#define STORE_MS 5000

static void
link_up(void *user, struct link *link)
{
	struct cache_client *cc = user;

	cc->link = link;
	if (cc->changed != NULL) {
		cc->changed(cc->user, true, NULL);
	}
}

static void
link_down(void *user, struct link *link, const struct im_err *why)
{
	struct cache_client *cc = user;

	if (cc->link != link) {
		return;
	}
	cc->link = NULL;
	if (cc->changed != NULL) {
		cc->changed(cc->user, false, why);
	}
}

static const struct endpoint_ops link_ops = { .up = link_up, .down = link_down };

enum im_rc
cache_client_start(struct cache_client *cc, struct net *net, const char *url, uint32_t cache_ms,
		   void (*changed)(void *user, bool connected, const struct im_err *why),
		   void *user, struct im_err *err)
{
	memset(cc, 0, sizeof(*cc));
	cc->cache_ms = cache_ms;
	cc->changed = changed;
	cc->user = user;
	return url == NULL ? IM_OK : net_dial(net, url, &link_ops, cc, &cc->ep, err);
}

void
cache_client_stop(struct cache_client *cc)
{
	endpoint_close(cc->ep);
	cc->ep = NULL;
}

const char *
cache_client_state(const struct cache_client *cc)
{
	if (cc->ep == NULL) {
		return "off";
	}
	return cc->link != NULL ? "connected" : "unavailable";
}

bool
cache_client_lookup(struct cache_client *cc, const struct cache_lookup *lookup,
		    const struct call_ops *ops, void *user, struct call **ret_call)
{
	struct call_request req = { .method = METHOD_CACHE_LOOKUP, .budget_ms = cc->cache_ms };
	struct buf body = BUF_INIT(0);
	bool ok = false;

	if (cc->link != NULL) {
		cache_lookup_encode(lookup, &body);
		req.body = body.data;
		req.body_len = body.len;
		ok =
		    buf_ok(&body) && call_start(cc->link, &req, ops, user, ret_call, NULL) == IM_OK;
		buf_done(&body);
	}
	cc->errors += !ok && cc->ep != NULL;
	return ok;
}

bool
cache_client_found(struct cache_client *cc, const struct im_err *err, const uint8_t *body,
		   size_t len, struct arena *arena, struct cache_found *ret)
{
	if (err != NULL || cache_found_decode(body, len, arena, ret, NULL) != IM_OK) {
		cc->errors++;
		return false;
	}
	cc->hits += ret->hit;
	cc->misses += !ret->hit;
	return ret->hit;
}

static void
store_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	(void)user;
	(void)call;
	(void)err;
	(void)body;
	(void)len;
}

void
cache_client_store(struct cache_client *cc, const struct cache_store *store)
{
	static const struct call_ops ops = { .end = store_end };
	struct call_request req = { .method = METHOD_CACHE_STORE, .budget_ms = STORE_MS };
	struct buf body = BUF_INIT(0);
	struct call *call;

	if (cc->link == NULL) {
		return;
	}
	cache_store_encode(store, &body);
	req.body = body.data;
	req.body_len = body.len;
	if (buf_ok(&body) && call_start(cc->link, &req, &ops, NULL, &call, NULL) == IM_OK) {
		cc->stores++;
	}
	buf_done(&body);
}
