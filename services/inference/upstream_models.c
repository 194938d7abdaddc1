/*
 * inference/upstream_models.c - which models the upstream has: those that the configuration names, or what GET …/models says.
 * Asked until it answers once, then never again: a list that changes under a running mesh would make the routing guess.
 */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "inference/upstream.h"

#define LIST_MAX        ((size_t)4 * 1024 * 1024) /* bytes of the answer */
#define LIST_ARENA_MAX  ((size_t)8 * 1024 * 1024)
#define LIST_TIMEOUT_MS 30000L
#define PAUSE_MIN_MS    1000
#define PAUSE_MAX_MS    60000

static enum im_rc
no_memory(struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "no memory for the list of models");
}

/* Text of the string 'v' into '*ret', NULL where there is none. IM_EPROTO for another type. */
static enum im_rc
text_of(struct json_span v, struct arena *a, const char **ret)
{
	*ret = NULL;
	if (json_type(v) == JSON_NULL)
		return IM_OK;
	if (json_type(v) != JSON_STRING)
		return IM_EPROTO;
	*ret = json_string(v, a);
	return *ret != NULL ? IM_OK : IM_ENOMEM;
}

/* '*ret_taken' stays false for an entry that is none or whose name is too long. */
static enum im_rc
read_model(struct json_span item, struct arena *a, struct model_info *m, bool *ret_taken)
{
	enum {
		ID,
		OWNER,
		CREATED,
		CONTEXT,
		MEMBERS
	};
	static const char *const names[MEMBERS] = { "id", "owned_by", "created",
						    "max_model_len" /* vLLM */ };
	struct json_span v[MEMBERS];
	const char *id, *owner = NULL;
	uint32_t number;
	enum im_rc rc;

	*ret_taken = false;
	if (!json_members(item, names, MEMBERS, v))
		return IM_OK;
	rc = text_of(v[ID], a, &id);
	if (rc == IM_OK)
		rc = text_of(v[OWNER], a, &owner);
	if (rc == IM_ENOMEM)
		return rc;
	if (id == NULL || id[0] == '\0' || strlen(id) > GENERATE_MODEL_MAX)
		return IM_OK;
	*m = (struct model_info){ .id = id, .owned_by = owner != NULL ? owner : "", .digest = "" };
	if (json_u32(v[CREATED], &number))
		m->created = number;
	if (json_u32(v[CONTEXT], &number))
		m->context_tokens = number;
	*ret_taken = true;
	return IM_OK;
}

enum im_rc
upstream_models_parse(const char *text, size_t len, struct arena *arena,
		      struct model_info **ret_models, size_t *ret_count, struct im_err *err)
{
	struct json_span root = json_trim(text, len), list, name, item;
	struct model_info *models;
	struct json_iter it;
	size_t count = 0;

	if (json_check(root.at, root.len, 32, NULL) != IM_OK || !json_member(root, "data", &list) ||
	    json_type(list) != JSON_ARRAY)
		return err_reason(
		    err, IM_EUPSTREAM, "upstream_error",
		    "the upstream's list of models is none: check workers[].url, or name workers[].models");
	models = arena_calloc(arena, ANNOUNCE_MODELS_MAX, sizeof(*models));
	if (models == NULL)
		return no_memory(err);
	(void)json_iter_init(&it, list);
	while (count < ANNOUNCE_MODELS_MAX && json_iter_next(&it, &name, &item)) {
		bool taken;

		if (read_model(item, arena, &models[count], &taken) != IM_OK)
			return no_memory(err);
		count += taken;
	}
	if (count == 0)
		return err_reason(
		    err, IM_EUPSTREAM, "upstream_error",
		    "the upstream lists no models: load one there, or name workers[].models");
	*ret_models = models;
	*ret_count = count;
	return IM_OK;
}

static enum im_rc
from_config(struct backend *b, size_t count, struct im_err *err)
{
	uint64_t now_s = clock_wall_us() / 1000000;

	if (count > ANNOUNCE_MODELS_MAX)
		return err_set(err, IM_EINVAL, "workers[].models: at most %d models are served",
			       ANNOUNCE_MODELS_MAX);
	b->models = arena_calloc(&b->model_arena, count, sizeof(*b->models));
	if (b->models == NULL)
		return no_memory(err);
	for (size_t i = 0; i < count; i++) {
		const char *id = config_strings_at(b->item, "workers[].models", i);

		if (id[0] == '\0' || strlen(id) > GENERATE_MODEL_MAX)
			return err_set(err, IM_EINVAL,
				       "workers[].models: found \"%s\", allowed: 1 to %d bytes", id,
				       GENERATE_MODEL_MAX);
		b->models[i] = (struct model_info){
			.id = id, .owned_by = "upstream", .digest = "", .created = now_s
		};
	}
	b->model_count = count;
	return IM_OK;
}

static void
fetch_release(struct backend *b)
{
	struct models_fetch *f = &b->fetch;

	if (f->x.easy != NULL)
		transfer_stop(b->curl, &f->x);
	curl_easy_cleanup(f->x.easy);
	f->x.easy = NULL;
	curl_slist_free_all(f->headers);
	f->headers = NULL;
	buf_done(&f->body);
}

static void
fetch_failed(struct backend *b, const struct im_err *why)
{
	struct models_fetch *f = &b->fetch;

	if (!f->failing)
		log_warn("the upstream's models are not known yet; asking again",
			 LOG_STR("error.message", why->text));
	f->failing = true;
	/* A timer that cannot be armed leaves the worker without models, which its readiness shows. */
	(void)!loop_timer_set(b->loop, &f->retry, f->pause_ms * UINT64_C(1000));
	f->pause_ms = f->pause_ms * 2 < PAUSE_MAX_MS ? f->pause_ms * 2 : PAUSE_MAX_MS;
}

static size_t
on_list(char *bytes, size_t one, size_t count, void *user)
{
	return buf_append(user, bytes, one * count) ? one * count : CURL_WRITEFUNC_ERROR;
}

static enum im_rc
fetch_result(struct backend *b, CURLcode code, struct im_err *err)
{
	struct models_fetch *f = &b->fetch;
	long status = 0;
	enum im_rc rc;

	(void)curl_easy_getinfo(f->x.easy, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK)
		return upstream_curl_error(b, code, err);
	if (status / 100 != 2) {
		return err_set(
		    err, IM_EUPSTREAM,
		    "GET …/models was answered with status %ld: check workers[].url and workers[].api_key_file, or name workers[].models",
		    status);
	}
	rc = upstream_models_parse((const char *)f->body.data, f->body.len, &b->model_arena,
				   &b->models, &b->model_count, err);
	if (rc != IM_OK)
		arena_done(&b->model_arena);
	return rc;
}

static void
on_fetched(struct transfer *x, CURLcode code)
{
	struct backend *b = CONTAINER_OF(x, struct backend, fetch.x);
	struct im_err err;
	enum im_rc rc = fetch_result(b, code, &err);

	fetch_release(b);
	if (rc != IM_OK)
		fetch_failed(b, &err);
	else
		log_info("the upstream told its models", LOG_UINT("models", b->model_count));
}

static enum im_rc
fetch_begin(struct backend *b, struct im_err *err)
{
	struct models_fetch *f = &b->fetch;
	enum im_rc rc;

	f->x.easy = curl_easy_init();
	if (f->x.easy == NULL)
		return no_memory(err);
	rc = upstream_authorize(b, &f->headers, err);
	if (rc != IM_OK)
		return rc;
	buf_init(&f->body, LIST_MAX);
	upstream_setup(b, f->x.easy);
	(void)curl_easy_setopt(f->x.easy, CURLOPT_URL, b->models_url);
	(void)curl_easy_setopt(f->x.easy, CURLOPT_TIMEOUT_MS, LIST_TIMEOUT_MS);
	(void)curl_easy_setopt(f->x.easy, CURLOPT_HTTPHEADER, f->headers);
	(void)curl_easy_setopt(f->x.easy, CURLOPT_WRITEFUNCTION, on_list);
	(void)curl_easy_setopt(f->x.easy, CURLOPT_WRITEDATA, &f->body);
	return transfer_start(b->curl, &f->x, err);
}

static void
on_retry(void *arg)
{
	struct backend *b = arg;
	struct im_err err;

	if (fetch_begin(b, &err) != IM_OK) {
		fetch_release(b);
		fetch_failed(b, &err);
	}
}

enum im_rc
upstream_models_start(struct backend *b, struct im_err *err)
{
	size_t count = config_strings_len(b->item, "workers[].models");

	arena_init(&b->model_arena, LIST_ARENA_MAX);
	if (count > 0)
		return from_config(b, count, err);
	b->fetch.x.done = on_fetched;
	b->fetch.pause_ms = PAUSE_MIN_MS;
	b->fetch.retry.fn = on_retry;
	b->fetch.retry.arg = b;
	return fetch_begin(b, err);
}

void
upstream_models_stop(struct backend *b)
{
	loop_timer_cancel(b->loop, &b->fetch.retry);
	fetch_release(b);
}
