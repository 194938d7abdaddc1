/*
 * audit/pages.c - requests in, files out; see pages.h.
 *
 * on_request ──todo──▶ thread reads ──done──▶ deliver() on the loop. A client that leaves takes its exchange out of its fetch;
 * the fetch goes its way and is dropped at the end.
 */
#include "audit/pages.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "audit/cosigned.h"
#include "audit/proof_file.h"
#include "audit/shards.h"
#include "base/list.h"
#include "base/thread.h"
#include "http/http.h"

struct fetch {
	struct list node;
	struct http_exchange *x;    /* NULL: the client left. On the loop only. */
	char shard[SHARD_NAME_MAX]; /* "" = the first */
	const char *text;           /* the name of a file that is no tile; else NULL */
	struct tile tile;
	struct buf body;
	struct im_err err;
	enum im_rc rc;
};

struct pages {
	struct loop *loop;
	struct http_server *server;
	char dir[DISK_PATH_MAX];
	struct pages_stats stats;
	struct loop_task deliver;
	pthread_t thread;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	struct list todo, done;
	bool stop;
};

static void
fetch_free(struct fetch *f)
{
	buf_done(&f->body);
	free(f);
}

static void
reply_text(struct http_exchange *x, int status, const char *text)
{
	static const struct http_header headers[] = {
		{ "Content-Type", "text/plain; charset=utf-8" },
		{ "Cache-Control", "no-store" },
	};

	http_reply(x, status, headers, 2, text, strlen(text));
}

/* A tile never changes, a partial one neither: a longer one has another name. The checkpoint does. */
static void
reply_file(const struct fetch *f)
{
	const struct http_header headers[] = {
		{ "Content-Type",
		  f->text != NULL ? "text/plain; charset=utf-8" : "application/octet-stream" },
		{ "Cache-Control",
		  f->text != NULL ? "no-cache" : "public, max-age=31536000, immutable" },
		{ "Access-Control-Allow-Origin", "*" },
		{ "X-Content-Type-Options", "nosniff" },
	};

	http_reply(f->x, 200, headers, sizeof(headers) / sizeof(headers[0]), f->body.data,
		   f->body.len);
}

static void
finish(struct pages *p, struct fetch *f)
{
	if (f->x == NULL) {
		/* nobody waits any more */
	} else if (f->rc == IM_OK) {
		p->stats.served++;
		reply_file(f);
	} else if (f->rc == IM_ENOTFOUND) {
		p->stats.missing++;
		reply_text(
		    f->x, 404,
		    "not published yet, pruned, or not part of this log; the checkpoint says its size\n");
	} else {
		p->stats.failed++;
		reply_text(f->x, f->rc == IM_ENOMEM ? 503 : 500, "the file could not be read\n");
	}
	fetch_free(f);
}

static void
deliver(void *arg)
{
	struct pages *p = arg;
	struct list *node;

	do {
		(void)pthread_mutex_lock(&p->lock);
		node = list_pop_front(&p->done);
		(void)pthread_mutex_unlock(&p->lock);
		if (node != NULL)
			finish(p, CONTAINER_OF(node, struct fetch, node));
	} while (node != NULL);
}

static void
read_one(const struct pages *p, struct fetch *f)
{
	struct audit_source log;
	struct shard shard;

	source_folder(&log, p->dir);
	f->rc = shard_open(&shard, &log, f->shard, &f->err);
	if (f->rc == IM_OK)
		f->rc = f->text != NULL ? shard.source.read(&shard.source, f->text, PROOF_FILE_MAX,
							    &f->body, &f->err)
					: source_tile(&shard.source, &f->tile, &f->body, &f->err);
}

static void *
thread_main(void *arg)
{
	struct pages *p = arg;

	(void)pthread_mutex_lock(&p->lock);
	for (;;) {
		struct list *node;

		while (!p->stop && list_empty(&p->todo))
			(void)pthread_cond_wait(&p->wake, &p->lock);
		if (p->stop)
			break;
		node = list_pop_front(&p->todo);
		(void)pthread_mutex_unlock(&p->lock);
		read_one(p, CONTAINER_OF(node, struct fetch, node));
		(void)pthread_mutex_lock(&p->lock);
		list_push_back(&p->done, node);
		(void)pthread_mutex_unlock(&p->lock);
		loop_hand(p->loop, &p->deliver);
		(void)pthread_mutex_lock(&p->lock);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* "/checkpoint", "/checkpoint.cosigned", "/tile/…", "/2027h1-1/tile/…" as it is spelled in the folder. */
static bool
parse_path(const char *path, struct fetch *f)
{
	static const char *const texts[] = { "checkpoint", COSIGNED_FILE, SHARD_NEXT };
	const char *file;

	if (path[0] != '/')
		return false;
	file = shard_path_split(path + 1, f->shard);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(file, texts[i]) == 0)
			f->text = texts[i];
	return f->text != NULL || (tile_path_parse(file, &f->tile) &&
				   (f->tile.level == TILE_ENTRIES || f->tile.level < TILE_LEVELS));
}

static void
on_request(void *user, struct http_exchange *x)
{
	static const struct http_header allow[] = { { "Allow", "GET, HEAD" } };
	struct pages *p = user;
	const char *method = http_method(x);
	struct fetch wanted = { .x = x }, *f;

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		p->stats.refused++;
		http_reply(x, 405, allow, 1, "the log is only read: use GET\n", 30);
		return;
	}
	if (!parse_path(http_path(x), &wanted)) {
		p->stats.missing++;
		reply_text(
		    x, 404,
		    "there are /checkpoint, /checkpoint.cosigned, /next.tlog-proof, /tile/L/N and /tile/entries/N, and the "
		    "same below each later shard's name\n");
		return;
	}
	f = malloc(sizeof(*f));
	if (f == NULL) {
		p->stats.failed++;
		reply_text(x, 503, "not enough memory\n");
		return;
	}
	*f = wanted;
	http_set_user(x, f);
	(void)pthread_mutex_lock(&p->lock);
	list_push_back(&p->todo, &f->node);
	(void)pthread_cond_signal(&p->wake);
	(void)pthread_mutex_unlock(&p->lock);
}

static void
on_gone(void *user, struct http_exchange *x)
{
	struct fetch *f = http_user(x);

	(void)user;
	if (f != NULL)
		f->x = NULL;
	http_abort(x);
}

enum im_rc
pages_open(struct loop *loop, const char *listen, const char *dir, struct pages **ret,
	   struct im_err *err)
{
	static const struct http_ops ops = { .request = on_request, .gone = on_gone };
	const struct http_params params = { .listen = listen,
					    .header_bytes = 8192,
					    .body_bytes = 1024,
					    .max_connections = PAGES_CONNECTIONS };
	struct pages *p = calloc(1, sizeof(*p));
	enum im_rc rc;

	if (p == NULL)
		return err_set(err, IM_ENOMEM, "no memory to serve the log");
	p->loop = loop;
	p->deliver = (struct loop_task){ .fn = deliver, .arg = p };
	list_init(&p->todo);
	list_init(&p->done);
	rc = strlen(dir) < sizeof(p->dir) ? IM_OK
					  : err_set(err, IM_EINVAL, "the path %s is too long", dir);
	if (rc == IM_OK) {
		memcpy(p->dir, dir, strlen(dir) + 1);
		rc = http_server_open(loop, &params, &ops, p, &p->server, err);
		if (rc != IM_OK)
			err_prefix(err,
				   "serving the log at %s (change or switch off 'audit.serve')",
				   listen);
	}
	if (rc != IM_OK) {
		free(p);
		return rc;
	}
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->wake, NULL);
	if (thread_start(&p->thread, thread_main, p) != 0) {
		http_server_close(p->server);
		(void)pthread_mutex_destroy(&p->lock);
		(void)pthread_cond_destroy(&p->wake);
		free(p);
		return err_set(err, IM_ENOMEM, "no thread to serve the log");
	}
	*ret = p;
	return IM_OK;
}

const char *
pages_address(const struct pages *p)
{
	return http_server_address(p->server);
}

void
pages_stats(const struct pages *p, struct pages_stats *ret)
{
	*ret = p->stats;
}

void
pages_close(struct pages *p)
{
	struct list *node;

	if (p == NULL)
		return;
	http_server_close(p->server); /* every exchange is gone with it */
	(void)pthread_mutex_lock(&p->lock);
	p->stop = true;
	(void)pthread_cond_signal(&p->wake);
	(void)pthread_mutex_unlock(&p->lock);
	(void)pthread_join(p->thread, NULL);
	loop_cancel(p->loop, &p->deliver);
	while ((node = list_pop_front(&p->todo)) != NULL ||
	       (node = list_pop_front(&p->done)) != NULL)
		fetch_free(CONTAINER_OF(node, struct fetch, node));
	(void)pthread_mutex_destroy(&p->lock);
	(void)pthread_cond_destroy(&p->wake);
	free(p);
}
