/*
 * router/cache_client.c - questions to the cache; see cache_client.h.
 */
#include "router/cache_client.h"

#include <string.h>

#define STORE_MS 5000

_Static_assert(CACHE_KEY_BYTES == CACHE_HOMES_KEY_BYTES, "a key is a key");

static void
link_up(void *user, struct link *link)
{
	struct cache_peer *p = user;

	p->link = link;
	if (p->client->changed != NULL) {
		p->client->changed(p->client->user, p->url, true, NULL);
	}
}

static void
link_down(void *user, struct link *link, const struct im_err *why)
{
	struct cache_peer *p = user;

	if (p->link != link) {
		return;
	}
	p->link = NULL;
	if (p->client->changed != NULL) {
		p->client->changed(p->client->user, p->url, false, why);
	}
}

static const struct endpoint_ops link_ops = { .up = link_up, .down = link_down };

enum im_rc
cache_client_start(struct cache_client *cc, struct net *net, const char *const *urls, size_t count,
		   uint32_t cache_ms,
		   void (*changed)(void *user, const char *url, bool connected,
				   const struct im_err *why),
		   void *user, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	memset(cc, 0, sizeof(*cc));
	cc->cache_ms = cache_ms;
	cc->changed = changed;
	cc->user = user;
	if (!cache_homes_init(&cc->homes, urls, count)) {
		return err_set(err, IM_ENOMEM, "no memory for the addresses of the cache");
	}
	for (; rc == IM_OK && cc->count < count; cc->count++) {
		struct cache_peer *p = &cc->peers[cc->count];

		*p = (struct cache_peer){ .client = cc, .url = urls[cc->count] };
		rc = net_dial(net, p->url, &link_ops, p, &p->ep, err);
	}
	return rc;
}

void
cache_client_stop(struct cache_client *cc)
{
	for (size_t i = 0; i < cc->count; i++) {
		endpoint_close(cc->peers[i].ep);
		cc->peers[i].ep = NULL;
	}
	cache_homes_done(&cc->homes);
}

size_t
cache_client_links(const struct cache_client *cc)
{
	size_t n = 0;

	for (size_t i = 0; i < cc->count; i++) {
		n += cc->peers[i].link != NULL;
	}
	return n;
}

const char *
cache_client_state(const struct cache_client *cc)
{
	size_t n = cache_client_links(cc);

	if (cc->count == 0) {
		return "off";
	}
	return n == cc->count ? "connected" : n > 0 ? "partial" : "unavailable";
}

/* NULL: there is no such daemon, or it is away. */
static struct link *
home(const struct cache_client *cc, const uint8_t key[CACHE_KEY_BYTES])
{
	return cc->count > 0 ? cc->peers[cache_homes_find(&cc->homes, key)].link : NULL;
}

bool
cache_client_lookup(struct cache_client *cc, const struct cache_lookup *lookup,
		    const struct call_ops *ops, void *user, struct call **ret_call)
{
	struct call_request req = { .method = METHOD_CACHE_LOOKUP, .budget_ms = cc->cache_ms };
	struct buf body = BUF_INIT(0);
	struct link *link = home(cc, lookup->key);
	bool ok = false;

	if (link != NULL) {
		cache_lookup_encode(lookup, &body);
		req.body = body.data;
		req.body_len = body.len;
		ok = buf_ok(&body) && call_start(link, &req, ops, user, ret_call, NULL) == IM_OK;
		buf_done(&body);
	}
	cc->errors += !ok && cc->count > 0;
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
	struct link *link = home(cc, store->key);
	struct call *call;

	if (link == NULL) {
		return;
	}
	cache_store_encode(store, &body);
	req.body = body.data;
	req.body_len = body.len;
	if (buf_ok(&body) && call_start(link, &req, &ops, NULL, &call, NULL) == IM_OK) {
		cc->stores++;
	}
	buf_done(&body);
}
