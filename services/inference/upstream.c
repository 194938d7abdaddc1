/*
 * inference/upstream.c - the upstream backend: requests go over HTTP to an OpenAI-compatible server (DeepSeek, vLLM,
 * llama-server, Ollama). Holds the configuration, the models and the connections; one request is upstream_job.c's.
 * Never shows the caller's key to the upstream, nor ours to the caller.
 */
#include "inference/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"

static enum im_rc
no_memory(struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "no memory for the upstream's address");
}

static enum im_rc
read_url(struct backend *b, struct im_err *err)
{
	static const char *const paths[OPERATION_COUNT] = {
		[OPERATION_CHAT] = "/chat/completions",
		[OPERATION_COMPLETION] = "/completions",
		[OPERATION_EMBEDDING] = "/embeddings",
	};
	const char *url = config_str(b->item, "workers[].url");
	char *text = NULL;
	size_t len;
	CURLUcode code = CURLUE_OK;

	if (url == NULL || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0))
		return err_set(err, IM_EINVAL,
			       "workers[].url: found \"%s\", allowed: http://… or https://…",
			       url != NULL ? url : "nothing");
	len = strlen(url);
	while (len > 0 && url[len - 1] == '/')
		len--;
	for (int i = 0; i < OPERATION_COUNT && code == CURLUE_OK; i++) {
		b->urls[i] = curl_url();
		if (b->urls[i] == NULL || asprintf(&text, "%.*s%s", (int)len, url, paths[i]) < 0)
			return no_memory(err);
		code = curl_url_set(b->urls[i], CURLUPART_URL, text, 0);
		free(text);
	}
	if (code != CURLUE_OK && code != CURLUE_OUT_OF_MEMORY)
		return err_set(err, IM_EINVAL,
			       "workers[].url: found \"%s\": %s, allowed: http://… or https://…",
			       url, curl_url_strerror(code));
	if (code != CURLUE_OK || asprintf(&b->models_url, "%.*s/models", (int)len, url) < 0) {
		b->models_url = NULL;
		return no_memory(err);
	}
	return IM_OK;
}

/* That each value is JSON was checked when the configuration was read. */
static enum im_rc
read_extra(struct backend *b, struct im_err *err)
{
	size_t n = config_map_len(b->item, "workers[].extra");

	if (n > REQUEST_EXTRA_MAX)
		return err_set(err, IM_EINVAL, "workers[].extra: at most %d members are taken",
			       REQUEST_EXTRA_MAX);
	for (size_t i = 0; i < n; i++)
		config_map_at(b->item, "workers[].extra", i, &b->extra[i].name, &b->extra[i].value);
	b->extra_count = n;
	return IM_OK;
}

static void
backend_free(struct backend *b)
{
	upstream_models_stop(b);
	if (b->carrier != NULL)
		b->carrier->close(b);
	curl_loop_free(b->curl);
	api_key_done(&b->key);
	loop_cancel(b->loop, &b->turn_over);
	arena_done(&b->piece_arena);
	chunk_pattern_done(&b->pattern);
	arena_done(&b->model_arena);
	for (int i = 0; i < OPERATION_COUNT; i++)
		curl_url_cleanup(b->urls[i]);
	free(b->models_url);
	free(b);
}

/* Plain HTTP and nothing between: no proxy, nobody to log in as. */
static bool
is_plain(const struct backend *b)
{
	char *scheme = NULL, *user = NULL;
	bool plain = b->proxy != NULL &&
		     curl_url_get(b->urls[0], CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		     strcmp(scheme, "http") == 0 &&
		     curl_url_get(b->urls[0], CURLUPART_USER, &user, 0) == CURLUE_NO_USER;

	curl_free(scheme);
	curl_free(user);
	return plain;
}

static enum im_rc
backend_setup(struct backend *b, struct im_err *err)
{
	enum im_rc rc;

	if ((rc = read_url(b, err)) != IM_OK || (rc = read_extra(b, err)) != IM_OK)
		return rc;
	rc = api_key_init(&b->key, config_str(b->item, "workers[].api_key_file"),
			  config_str(b->item, "workers[].api_key_env"), err);
	if (rc != IM_OK)
		return rc;
	b->read_us = (uint64_t)config_int(b->item, "workers[].read_ms") * 1000;
	b->connect_ms = (long)config_int(b->item, "workers[].connect_ms");
	b->ca_file = config_str(b->item, "workers[].ca_file");
	b->proxy = upstream_by_proxy(b->urls[0]) ? NULL : "";
	b->capacity = (uint32_t)config_int(b->item, "workers[].capacity");
	if (b->capacity == 0)
		b->capacity = UPSTREAM_CAPACITY;
	rc = curl_loop_new(b->loop, (long)b->capacity, &b->curl, err);
	if (rc != IM_OK)
		return rc;
	b->carrier = is_plain(b) ? &carrier_plain : &carrier_curl;
	rc = b->carrier->open(b, err);
	return rc == IM_OK ? upstream_models_start(b, err) : rc;
}

static void
turn_over(void *arg)
{
	struct backend *b = arg;

	b->turn_us = 0;
}

static enum im_rc
start(struct loop *loop, const struct config *item, struct backend **ret, struct im_err *err)
{
	struct backend *b;
	enum im_rc rc;

	if (item == NULL)
		return err_set(err, IM_EINVAL, "an upstream worker needs an entry in 'workers'");
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the upstream backend");
	b->loop = loop;
	b->item = item;
	list_init(&b->jobs);
	b->turn_over.fn = turn_over;
	b->turn_over.arg = b;
	arena_init(&b->piece_arena, UPSTREAM_PIECE_ARENA_MAX);
	for (int i = 0; i < OPERATION_COUNT; i++) {
		b->stats.seconds[i].bounds = &histogram_seconds;
		b->stats.first_token[i].bounds = &histogram_first_token;
	}
	rc = backend_setup(b, err);
	if (rc != IM_OK) {
		backend_free(b);
		return rc;
	}
	*ret = b;
	return IM_OK;
}

static void
stop_now(void *arg)
{
	struct backend *b = arg;
	loop_fn stopped = b->stopped;
	void *stopped_arg = b->stopped_arg;

	backend_free(b);
	stopped(stopped_arg);
}

/* In a task of its own: jobs that were cancelled inside a callback are freed by tasks that were posted before. */
static void
stop(struct backend *b, loop_fn stopped, void *arg)
{
	b->stopped = stopped;
	b->stopped_arg = arg;
	b->stop_task.fn = stop_now;
	b->stop_task.arg = b;
	loop_post(b->loop, &b->stop_task);
}

static const struct model_info *
models(const struct backend *b, size_t *ret_count)
{
	*ret_count = b->model_count;
	return b->models;
}

static uint32_t
capacity(const struct backend *b)
{
	return b->capacity;
}

static uint32_t
queued(const struct backend *b)
{
	(void)b;
	return 0; /* what does not fit is refused */
}

static void
put_by_operation(struct metrics_page *page, const char *name, const struct histogram *h)
{
	static const char *const names[OPERATION_COUNT] = { "chat", "text_completion",
							    "embeddings" };

	for (int i = 0; i < OPERATION_COUNT; i++)
		metrics_histogram(page, name,
				  &(struct metrics_label){ "gen_ai_operation_name", names[i] }, 1,
				  &h[i]);
}

static void
metrics(const struct backend *b, struct metrics_page *page)
{
	struct metrics_label result[] = { { "result", "ok" } };

	metrics_family(page, "infermesh_upstream_requests_total", "counter",
		       "Requests to the upstream that ended, by result");
	metrics_value(page, "infermesh_upstream_requests_total", result, 1, (double)b->stats.ok);
	result[0].value = "cancelled";
	metrics_value(page, "infermesh_upstream_requests_total", result, 1,
		      (double)b->stats.cancelled);
	for (size_t i = 1; i < sizeof(b->stats.failed) / sizeof(b->stats.failed[0]); i++) {
		if (b->stats.failed[i] == 0)
			continue;
		result[0].value = im_rc_text((enum im_rc)i);
		metrics_value(page, "infermesh_upstream_requests_total", result, 1,
			      (double)b->stats.failed[i]);
	}
	metrics_family(page, "infermesh_upstream_operation_duration_seconds", "histogram",
		       "Time of a request to the upstream, until its end");
	put_by_operation(page, "infermesh_upstream_operation_duration_seconds", b->stats.seconds);
	metrics_family(page, "infermesh_upstream_time_to_first_token_seconds", "histogram",
		       "Time until the upstream's first piece of an answer");
	put_by_operation(page, "infermesh_upstream_time_to_first_token_seconds",
			 b->stats.first_token);
}

void
upstream_setup(const struct backend *b, CURL *easy)
{
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	(void)curl_easy_setopt(easy, CURLOPT_USERAGENT, UPSTREAM_USER_AGENT);
	(void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, b->connect_ms);
	/* A name's look-up has a thread of its own: giving up must not wait for it. */
	(void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	if (b->ca_file != NULL)
		(void)curl_easy_setopt(easy, CURLOPT_CAINFO, b->ca_file);
	if (b->proxy != NULL) { /* else libcurl looks at the environment, for each request anew */
		(void)curl_easy_setopt(easy, CURLOPT_PROXY, b->proxy);
		(void)curl_easy_setopt(easy, CURLOPT_NOPROXY, b->proxy);
	}
	curl_loop_adopt(b->curl, easy);
}

bool
upstream_header(struct curl_slist **headers, const char *name, const char *value)
{
	struct curl_slist *longer;
	char *line;

	if (asprintf(&line, "%s:%s%s", name, value[0] != '\0' ? " " : "", value) < 0)
		return false;
	longer = curl_slist_append(*headers, line);
	explicit_bzero(line, strlen(line)); /* it may be the key */
	free(line);
	if (longer == NULL)
		return false;
	*headers = longer;
	return true;
}

enum im_rc
upstream_authorize(struct backend *b, struct curl_slist **headers, struct im_err *err)
{
	char bearer[API_KEY_MAX + sizeof("Bearer ")];
	const char *key;
	enum im_rc rc = api_key_get(&b->key, &key, err);
	bool ok;

	if (rc != IM_OK || key[0] == '\0')
		return rc;
	(void)snprintf(bearer, sizeof(bearer), "Bearer %s", key);
	ok = upstream_header(headers, "Authorization", bearer);
	explicit_bzero(bearer, sizeof(bearer));
	return ok ? IM_OK : upstream_curl_error(b, CURLE_OUT_OF_MEMORY, err);
}

enum im_rc
upstream_curl_error(const struct backend *b, CURLcode code, struct im_err *err)
{
	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		return err_set(err, IM_ENOMEM, "no memory for a request to the upstream");
	case CURLE_OPERATION_TIMEDOUT: /* the only time limit that libcurl keeps for us */
		return err_reason(
		    err, IM_EDEADLINE, "upstream_timeout",
		    "the upstream took no connection within %lld ms: check workers[].url, or raise workers[].connect_ms",
		    (long long)b->connect_ms);
	case CURLE_URL_MALFORMAT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
		return err_reason(
		    err, IM_EUPSTREAM, "upstream_error",
		    "the upstream cannot be reached (%s): check workers[].url and that it runs",
		    curl_easy_strerror(code));
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		return err_reason(
		    err, IM_EUPSTREAM, "upstream_error",
		    "the upstream's certificate is not trusted (%s): check workers[].ca_file",
		    curl_easy_strerror(code));
	default:
		return err_reason(err, IM_EUPSTREAM, "upstream_error",
				  "the connection to the upstream broke: %s",
				  curl_easy_strerror(code));
	}
}

const struct backend_ops backend_upstream = {
	.name = "upstream",
	.reads_once = true,
	.start = start,
	.stop = stop,
	.models = models,
	.capacity = capacity,
	.queued = queued,
	.submit = upstream_submit,
	.cancel = upstream_cancel,
	.pause = upstream_pause,
	.metrics = metrics,
};
