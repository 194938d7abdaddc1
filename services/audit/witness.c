/*
 * audit/witness.c - requests in, verdicts and cosignatures out; see witness.h. What may be cosigned is decided in
 * witness_rules.c and made durable in witness_store.c.
 *
 * on_request ──todo──▶ thread: judge, persist, cosign ──done──▶ deliver() on the loop. One thread takes one request after the
 * other, so looking at the state and changing it is one step.
 */
#include "audit/witness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "audit/add_checkpoint.h"
#include "audit/witness_accuse.h"
#include "audit/witness_key.h"
#include "audit/witness_store.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/thread.h"
#include "http/http.h"

#define CONNECTIONS 256 /* each has one request at a time */

struct request {
	struct list node;
	struct http_exchange *x; /* NULL: the client left. On the loop only. */
	struct buf body;
	enum witness_result result;
	uint64_t size; /* WITNESS_BEHIND: of the last cosigned checkpoint */
	struct buf answer;
	struct im_err err;
};

struct witness {
	struct loop *loop;
	struct http_server *server;
	char *path; /* where it answers: witness.prefix and "/add-checkpoint" */
	struct note_signer key;
	struct witness_store store; /* the thread's, and so are the logs */
	struct witness_log *logs;
	size_t log_count;
	struct witness_accused accused; /* the thread's, too */
	struct loop_task deliver;
	pthread_t thread;
	bool running;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	struct list todo, done;
	bool stop;
	uint64_t count[WITNESS_RESULTS];
	uint64_t *sizes;       /* of the logs, for who is not the thread */
	struct im_err trouble; /* rc IM_OK: the folder can be written */
};

static void
request_free(struct request *r)
{
	buf_done(&r->body);
	buf_done(&r->answer);
	free(r);
}

static void
reply(struct http_exchange *x, int status, const char *type, const void *body, size_t len)
{
	const struct http_header headers[] = {
		{ "Content-Type", type },
		{ "Cache-Control", "no-store" },
		{ "X-Content-Type-Options", "nosniff" },
	};

	http_reply(x, status, headers, sizeof(headers) / sizeof(headers[0]), body, len);
}

#define TEXT "text/plain; charset=utf-8"

static void
finish(struct request *r)
{
	if (r->x != NULL && r->result == WITNESS_GOOD) {
		reply(r->x, 200, TEXT, r->answer.data, r->answer.len);
	} else if (r->x != NULL) {
		struct buf text = BUF_INIT(1024);
		bool size = r->result == WITNESS_BEHIND;

		if (size)
			(void)buf_printf(&text, "%llu\n", (unsigned long long)r->size);
		else
			(void)buf_printf(&text, "%s\n", r->err.text);
		reply(r->x, witness_status(r->result), size ? ADD_CHECKPOINT_SIZE_TYPE : TEXT,
		      text.data, text.len);
		buf_done(&text);
	}
	request_free(r);
}

static void
deliver(void *arg)
{
	struct witness *w = arg;
	struct list *node;

	do {
		(void)pthread_mutex_lock(&w->lock);
		node = list_pop_front(&w->done);
		(void)pthread_mutex_unlock(&w->lock);
		if (node != NULL)
			finish(CONTAINER_OF(node, struct request, node));
	} while (node != NULL);
}

/* On the thread. */
static void
answer(struct witness *w, struct request *r)
{
	struct witness_verdict v;
	struct im_err trouble = { 0 };

	witness_judge(w->logs, w->log_count, &w->store.hasher, (const char *)r->body.data,
		      r->body.len, &v);
	if (v.result == WITNESS_GOOD) {
		enum im_rc rc =
		    witness_store_cosign(&w->store, &w->logs[v.log], &v, clock_wall_us() / 1000000,
					 &r->answer, &trouble);

		if (rc == IM_EIO) { /* only a fresh start can know what the disk holds */
			log_error("the witness cannot trust its disk any more; ending",
				  LOG_STR("error.message", trouble.text));
			abort();
		}
		if (rc != IM_OK) {
			v.result = WITNESS_FAILED;
			(void)err_set(&v.why, rc, "the witness cannot keep its state now");
			log_error("cannot keep what was to be cosigned",
				  LOG_STR("error.message", trouble.text));
		}
	}
	if (v.result == WITNESS_FORK || v.result == WITNESS_INCONSISTENT)
		witness_accuse(&w->accused, &v, clock_mono_ms());
	r->result = v.result;
	r->err = v.why;
	r->size = v.result == WITNESS_BEHIND ? w->logs[v.log].size : 0;
	(void)pthread_mutex_lock(&w->lock);
	w->count[v.result]++;
	if (v.result == WITNESS_GOOD)
		w->sizes[v.log] = w->logs[v.log].size;
	if (v.result == WITNESS_GOOD || v.result == WITNESS_FAILED)
		w->trouble = trouble;
	(void)pthread_mutex_unlock(&w->lock);
}

static void *
thread_main(void *arg)
{
	struct witness *w = arg;

	(void)pthread_mutex_lock(&w->lock);
	for (;;) {
		struct list *node;

		while (!w->stop && list_empty(&w->todo))
			(void)pthread_cond_wait(&w->wake, &w->lock);
		if (w->stop)
			break;
		node = list_pop_front(&w->todo);
		(void)pthread_mutex_unlock(&w->lock);
		answer(w, CONTAINER_OF(node, struct request, node));
		(void)pthread_mutex_lock(&w->lock);
		list_push_back(&w->done, node);
		(void)pthread_mutex_unlock(&w->lock);
		loop_hand(w->loop, &w->deliver);
		(void)pthread_mutex_lock(&w->lock);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void
on_request(void *user, struct http_exchange *x)
{
	static const struct http_header allow[] = { { "Allow", "POST" } };
	struct witness *w = user;
	struct request *r;
	size_t len;
	const uint8_t *body = http_body(x, &len);

	if (strcmp(http_path(x), w->path) != 0) {
		static const char text[] = "this is a witness: it takes POST .../add-checkpoint\n";

		reply(x, 404, TEXT, text, sizeof(text) - 1);
		return;
	}
	if (strcmp(http_method(x), "POST") != 0) {
		http_reply(x, 405, allow, 1, "use POST\n", 9);
		return;
	}
	r = calloc(1, sizeof(*r));
	if (r == NULL || !buf_append(&r->body, body, len)) {
		free(r);
		reply(x, 503, TEXT, "not enough memory\n", 18);
		return;
	}
	r->x = x;
	http_set_user(x, r);
	(void)pthread_mutex_lock(&w->lock);
	list_push_back(&w->todo, &r->node);
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
}

static void
on_gone(void *user, struct http_exchange *x)
{
	struct request *r = http_user(x);

	(void)user;
	if (r != NULL)
		r->x = NULL;
	http_abort(x);
}

/* One entry of witness.logs: an origin, and keys with blanks between them. */
static enum im_rc
add_log(struct witness *w, const char *origin, const char *keys, struct im_err *err)
{
	struct witness_log *log = &w->logs[w->log_count];
	char vkey[NOTE_KEYTEXT_MAX];
	enum im_rc rc = IM_OK;

	if (strlen(origin) > NOTE_NAME_MAX)
		return err_set(err, IM_EINVAL, "the origin is longer than %d bytes", NOTE_NAME_MAX);
	memcpy(log->origin, origin, strlen(origin) + 1);
	w->log_count++;
	for (keys += strspn(keys, " "); *keys != '\0' && rc == IM_OK; keys += strspn(keys, " ")) {
		size_t len = strcspn(keys, " ");

		if (len >= sizeof(vkey) || log->key_count == WITNESS_LOG_KEYS_MAX)
			return err_set(err, IM_EINVAL, "more than %d keys, or one that is too long",
				       WITNESS_LOG_KEYS_MAX);
		memcpy(vkey, keys, len);
		vkey[len] = '\0';
		keys += len;
		rc = note_verifier_parse(vkey, &log->key[log->key_count], err);
		if (rc == IM_OK)
			log->key_count++;
	}
	if (rc == IM_OK && log->key_count == 0)
		rc = err_set(err, IM_EINVAL, "there is no verifier key");
	return rc;
}

static enum im_rc
load_logs(struct witness *w, const struct config *config, struct im_err *err)
{
	size_t n = config_map_len(config, "witness.logs");
	enum im_rc rc = IM_OK;

	if (n == 0)
		return err_set(
		    err, IM_EINVAL,
		    "there is no log to witness: name some in witness.logs, ORIGIN: VERIFIER_KEY");
	w->logs = calloc(n, sizeof(*w->logs));
	w->sizes = calloc(n, sizeof(*w->sizes));
	if (w->logs == NULL || w->sizes == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the logs of a witness");
	for (size_t i = 0; i < n && rc == IM_OK; i++) {
		const char *origin, *keys;

		config_map_at(config, "witness.logs", i, &origin, &keys);
		rc = add_log(w, origin, keys, err);
		if (rc != IM_OK)
			err_prefix(err, "witness.logs: %s", origin);
		else
			rc = witness_store_load(&w->store, &w->logs[i], err);
		w->sizes[i] = w->logs[i].size;
	}
	return rc;
}

static enum im_rc
open_key(struct witness *w, const struct config *config, struct im_err *err)
{
	const char *path = config_str(config, "witness.key_file");
	char vkey[NOTE_KEYTEXT_MAX];
	bool made;
	enum im_rc rc =
	    witness_key_open(path, config_str(config, "witness.name"), &w->key, &made, err);

	if (rc != IM_OK)
		return rc;
	if (made)
		log_info("made the key of a new witness: back this file up",
			 LOG_STR("file.path", path));
	note_signer_vkey(&w->key, vkey);
	log_info("witness", LOG_STR("infermesh.witness.vkey", vkey));
	return IM_OK;
}

static enum im_rc
open_server(struct witness *w, const struct config *config, struct im_err *err)
{
	static const struct http_ops ops = { .request = on_request, .gone = on_gone };
	const char *prefix = config_str(config, "witness.prefix");
	const struct http_params params = { .listen = config_str(config, "witness.listen"),
					    .header_bytes = 8192,
					    .body_bytes = ADD_CHECKPOINT_MAX_BYTES,
					    .body_timeout_ms = 10000,
					    .max_connections = CONNECTIONS,
					    .tls_cert_file = config_str(config, "witness.tls_cert"),
					    .tls_key_file = config_str(config, "witness.tls_key") };
	struct buf path = { 0 };
	enum im_rc rc;

	(void)buf_printf(&path, "%s" ADD_CHECKPOINT_PATH, strcmp(prefix, "/") == 0 ? "" : prefix);
	w->path = buf_ok(&path) ? strdup(buf_cstr(&path)) : NULL;
	buf_done(&path);
	if (w->path == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a witness");
	rc = http_server_open(w->loop, &params, &ops, w, &w->server, err);
	if (rc != IM_OK)
		err_prefix(err, "serving the witness at %s (witness.listen)", params.listen);
	return rc;
}

static enum im_rc
start_thread(struct witness *w, struct im_err *err)
{
	int failed = thread_start(&w->thread, thread_main, w);

	if (failed != 0)
		return err_errno(err, IM_ENOMEM, failed, "cannot start the witness's thread");
	w->running = true;
	return IM_OK;
}

static void
release(struct witness *w)
{
	struct list *node;

	http_server_close(w->server); /* every exchange is gone with it */
	if (w->running) {
		(void)pthread_mutex_lock(&w->lock);
		w->stop = true;
		(void)pthread_cond_signal(&w->wake);
		(void)pthread_mutex_unlock(&w->lock);
		(void)pthread_join(w->thread, NULL);
		loop_cancel(w->loop, &w->deliver);
	}
	while ((node = list_pop_front(&w->todo)) != NULL ||
	       (node = list_pop_front(&w->done)) != NULL)
		request_free(CONTAINER_OF(node, struct request, node));
	free(w->logs);
	free(w->sizes);
	free(w->path);
	witness_store_close(&w->store);
	note_signer_done(&w->key);
	(void)pthread_cond_destroy(&w->wake);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}

static enum im_rc
witness_start(const struct service_env *env, void **ret_service, struct im_err *err)
{
	struct witness *w = calloc(1, sizeof(*w));
	enum im_rc rc;

	if (w == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a witness");
	w->loop = env->loop;
	w->deliver = (struct loop_task){ .fn = deliver, .arg = w };
	w->store.lock_fd = -1;
	list_init(&w->todo);
	list_init(&w->done);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->wake, NULL);
	rc = open_key(w, env->config, err);
	if (rc == IM_OK)
		rc = witness_store_open(&w->store, &disk_posix,
					config_str(env->config, "witness.dir"), &w->key, err);
	if (rc == IM_OK)
		rc = load_logs(w, env->config, err);
	if (rc == IM_OK)
		rc = start_thread(w, err);
	if (rc == IM_OK)
		rc = open_server(w, env->config, err);
	if (rc != IM_OK) {
		release(w);
		return rc;
	}
	*ret_service = w;
	return IM_OK;
}

static void
witness_drain(void *service)
{
	struct witness *w = service;

	http_server_drain(w->server);
}

static bool
witness_drained(const void *service)
{
	const struct witness *w = service;

	return http_server_connections(w->server) == 0;
}

static void
witness_stop(void *service, loop_fn stopped, void *arg)
{
	if (service != NULL)
		release(service);
	stopped(arg);
}

static void
witness_ready(const void *service, struct buf *why)
{
	struct witness *w = (struct witness *)service; /* the lock is not const */

	(void)pthread_mutex_lock(&w->lock);
	if (w->trouble.rc != IM_OK)
		(void)buf_printf(why, "witness: %s", w->trouble.text);
	(void)pthread_mutex_unlock(&w->lock);
}

static void
witness_metrics(const void *service, struct metrics_page *page)
{
	static const char requests[] = "infermesh_witness_requests_total",
			  size[] = "infermesh_witness_size";
	struct witness *w = (struct witness *)service;

	(void)pthread_mutex_lock(&w->lock);
	metrics_family(page, requests, "counter", "Checkpoints that were submitted, by result.");
	for (int i = 0; i < WITNESS_RESULTS; i++) {
		const struct metrics_label label = { "result",
						     witness_result_text((enum witness_result)i) };

		metrics_value(page, requests, &label, 1, (double)w->count[i]);
	}
	metrics_family(page, size, "gauge", "Size of the last checkpoint cosigned, by log.");
	for (size_t i = 0; i < w->log_count; i++) {
		const struct metrics_label label = { "origin", w->logs[i].origin };

		metrics_value(page, size, &label, 1, (double)w->sizes[i]);
	}
	(void)pthread_mutex_unlock(&w->lock);
}

static const char *
witness_address(const void *service)
{
	const struct witness *w = service;

	return http_server_address(w->server);
}

const struct service_ops witness_service = {
	.name = "witness",
	.program = "audit --witness",
	.summary =
	    "cosigns checkpoints of other logs, so that none of them can be rewritten unseen",
	.start = witness_start,
	.drain = witness_drain,
	.drained = witness_drained,
	.stop = witness_stop,
	.ready = witness_ready,
	.metrics = witness_metrics,
	.address = witness_address,
};
