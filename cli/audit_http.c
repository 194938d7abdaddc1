/*
 * cli/audit_http.c - see audit_http.h.
 *
 * Whoever walks through a log asks for tile after tile: the next ones are fetched ahead, so that a distant server costs a round
 * trip for several files and not for each.
 */
#include "cli/audit_http.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/proof_file.h"
#include "audit/shards.h"
#include "daemon/daemon.h"

#define CONNECT_MS      10000L
#define SLOW_BYTES      1024L /* a second; who is slower for SLOW_S is given up */
#define SLOW_S          30L
#define REDIRECT_MAX    5L
#define CONNECTIONS_MAX 6L
#define TRIES           3
#define PAUSE_NS        300000000L /* before the second try; twice that before the third */
#define AHEAD           5          /* bundles, and as many tiles */
#define SLOTS           (2 * AHEAD + 2)

/* One file that is being fetched, or was. */
struct slot {
	CURL *easy;
	bool used, running;
	char path[SHARD_NAME_MAX + TILE_PATH_MAX];
	struct buf body;
	size_t room; /* bytes that may still come */
	bool too_big;
	CURLcode code;
	char why[CURL_ERROR_SIZE];
};

struct sized {
	char shard[SHARD_NAME_MAX];
	uint64_t size;
};

struct http_log {
	CURLM *multi;
	char *base; /* ends in '/' */
	struct buf
	    sized; /* struct sized: of each shard that is known; nothing beyond is fetched ahead */
	char shard[SHARD_NAME_MAX]; /* that a walk is in */
	uint64_t next[2];           /* bundle, and tile of level 0, that it would ask for now */
	struct slot slot[SLOTS];
};

bool
http_log_is(const char *where)
{
	return strncmp(where, "http://", 7) == 0 || strncmp(where, "https://", 8) == 0;
}

static size_t
on_body(char *data, size_t size, size_t count, void *user)
{
	struct slot *s = user;
	size_t len = size * count;

	s->too_big = len > s->room;
	if (s->too_big || !buf_append(&s->body, data, len))
		return 0;
	s->room -= len;
	return len;
}

static struct slot *
find_slot(struct http_log *log, const char *path)
{
	for (int i = 0; i < SLOTS; i++)
		if (log->slot[i].used && strcmp(log->slot[i].path, path) == 0)
			return &log->slot[i];
	return NULL;
}

static struct slot *
free_slot(struct http_log *log)
{
	for (int i = 0; i < SLOTS; i++)
		if (!log->slot[i].used)
			return &log->slot[i];
	return NULL;
}

static void
release(struct http_log *log, struct slot *s)
{
	if (s->running)
		(void)curl_multi_remove_handle(log->multi, s->easy);
	s->used = s->running = false;
}

/* Start to fetch 'path' into 's'. */
static enum im_rc
begin(struct http_log *log, struct slot *s, const char *path, size_t max, struct im_err *err)
{
	struct buf url = { 0 };

	buf_clear(&s->body);
	s->room = max;
	s->too_big = false;
	s->why[0] = '\0';
	(void)snprintf(s->path, sizeof(s->path), "%s", path);
	s->running = buf_printf(&url, "%s%s", log->base, path) &&
		     curl_easy_setopt(s->easy, CURLOPT_URL, buf_cstr(&url)) == CURLE_OK &&
		     curl_multi_add_handle(log->multi, s->easy) == CURLM_OK;
	s->used = s->running;
	buf_done(&url);
	return s->running ? IM_OK : err_set(err, IM_ENOMEM, "no memory to fetch %s", path);
}

/* Let transfers go on; note those that ended. */
static void
drive(struct http_log *log)
{
	const CURLMsg *m;
	int left;

	(void)curl_multi_perform(log->multi, &left);
	while ((m = curl_multi_info_read(log->multi, &left)) != NULL) {
		CURLcode code = m->data.result;
		struct slot *s;

		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&s);
		(void)curl_multi_remove_handle(log->multi, s->easy);
		s->running = false;
		s->code = code;
	}
}

/* What came of it. '*ret_again': another try may do better. */
static enum im_rc
judge(const struct http_log *log, const struct slot *s, bool *ret_again, struct im_err *err)
{
	long status = 0;

	(void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
	*ret_again = false;
	if (!buf_ok(&s->body))
		return err_set(err, IM_ENOMEM, "no memory for %s%s", log->base, s->path);
	if (s->too_big)
		return err_set(err, IM_ETOOBIG, "%s%s is larger than such a file can be", log->base,
			       s->path);
	*ret_again = s->code != CURLE_OK || status >= 500 || status == 429;
	if (s->code == CURLE_OPERATION_TIMEDOUT && s->body.len > 0) {
		*ret_again = false;
		return err_set(
		    err, IM_EUNAVAILABLE,
		    "%s%s: the server is too slow: it has sent less than %ld bytes a second for %ld seconds",
		    log->base, s->path, SLOW_BYTES, SLOW_S);
	}
	if (s->code != CURLE_OK)
		return err_set(err, IM_EUNAVAILABLE, "%s%s: %s", log->base, s->path,
			       s->why[0] != '\0' ? s->why : curl_easy_strerror(s->code));
	if (status == 404 || status == 410)
		return err_set(err, IM_ENOTFOUND, "%s%s is missing", log->base, s->path);
	if (status != 200)
		return err_set(err, IM_EUNAVAILABLE, "%s%s: the server answered with status %ld",
			       log->base, s->path, status);
	return IM_OK;
}

static struct sized *
find_sized(struct http_log *log, const char *shard)
{
	struct sized *all = (struct sized *)log->sized.data;

	for (size_t i = 0; i < log->sized.len / sizeof(*all); i++)
		if (strcmp(all[i].shard, shard) == 0)
			return &all[i];
	return NULL;
}

/* What a checkpoint says, or the end of a shard, of its size. Of no use but for fetching ahead: whoever reads them checks them. */
static void
note_size(struct http_log *log, const char *path, const char *bytes, size_t len)
{
	struct sized new = { .size = 0 }, *known;
	const char *file = shard_path_split(path, new.shard);
	struct proof_file p = { 0 };
	struct checkpoint cp;

	if (strcmp(file, SHARD_NEXT) == 0) {
		if (proof_file_parse(bytes, len, &p, NULL) != IM_OK)
			return;
		bytes = p.checkpoint;
		len = p.checkpoint_len;
	} else if (strcmp(file, "checkpoint") != 0) {
		return;
	}
	if (checkpoint_open(bytes, len, NULL, &cp, NULL) == IM_OK) {
		known = find_sized(log, new.shard);
		new.size = cp.size;
		if (known != NULL)
			*known = new;
		else if (log->sized.len < SHARDS_MAX * sizeof(new))
			(void)buf_append(&log->sized, &new, sizeof(new));
	}
	proof_file_done(&p);
}

/* If 'path' is where a walk would go on, fetch what comes after it. */
static void
look_ahead(struct http_log *log, const char *path)
{
	char shard[SHARD_NAME_MAX];
	const char *file = shard_path_split(path, shard);
	const struct sized *sized = find_sized(log, shard);
	struct tile t;
	uint64_t *next;

	if (!tile_path_parse(file, &t) || t.level > 0 || sized == NULL)
		return;
	if (strcmp(shard, log->shard) != 0) {
		memcpy(log->shard, shard, sizeof(shard));
		log->next[0] = log->next[1] = 0;
	}
	next = &log->next[t.level == 0];
	if (t.n != *next) {
		*next = t.n + 1;
		return;
	}
	*next = t.n + 1;
	for (int i = 0; i < AHEAD; i++) {
		struct slot *s = free_slot(log);
		char name[SHARD_NAME_MAX + TILE_PATH_MAX];
		size_t before = (size_t)(file - path);

		t.n++;
		t.width = tile_width(sized->size, t.level, t.n);
		if (t.width == 0 || s == NULL)
			return;
		memcpy(name, path, before);
		tile_path(&t, name + before);
		if (find_slot(log, name) == NULL &&
		    begin(log, s, name, t.level == 0 ? TILE_BYTES : BUNDLE_MAX_BYTES, NULL) !=
			IM_OK)
			return;
	}
}

/* A slot that fetches 'path' or has. What was fetched ahead for nothing makes room. */
static enum im_rc
take_slot(struct http_log *log, const char *path, size_t max, struct slot **ret, struct im_err *err)
{
	*ret = find_slot(log, path);
	if (*ret != NULL)
		return IM_OK;
	*ret = free_slot(log);
	for (int i = 0; *ret == NULL && i < SLOTS; i++)
		release(log, &log->slot[i]);
	if (*ret == NULL)
		*ret = &log->slot[0];
	return begin(log, *ret, path, max, err);
}

static enum im_rc
fetch(struct http_log *log, const char *path, size_t max, struct buf *out, bool *ret_again,
      struct im_err *err)
{
	struct slot *s;
	enum im_rc rc = take_slot(log, path, max, &s, err);

	*ret_again = false;
	if (rc != IM_OK)
		return rc;
	look_ahead(log, path);
	drive(log);
	while (s->running) {
		(void)curl_multi_poll(log->multi, NULL, 0, 1000, NULL);
		drive(log);
	}
	rc = judge(log, s, ret_again, err);
	if (rc == IM_OK && !buf_append(out, s->body.data, s->body.len))
		rc = err_set(err, IM_ENOMEM, "no memory for %s", path);
	release(log, s);
	return rc;
}

static enum im_rc
read_http(const struct audit_source *s, const char *path, size_t max, struct buf *out,
	  struct im_err *err)
{
	struct http_log *log = s->user;
	size_t had = out->len;
	bool again = true;
	enum im_rc rc = IM_OK;

	for (int i = 0; i < TRIES && again; i++) {
		const struct timespec pause = { 0, i * PAUSE_NS };

		if (i > 0)
			(void)nanosleep(&pause, NULL);
		rc = fetch(log, path, max, out, &again, err);
	}
	if (rc == IM_OK)
		note_size(log, path, (const char *)out->data + had, out->len - had);
	return rc;
}

static bool
set_options(struct slot *s)
{
	CURL *e = s->easy = curl_easy_init();

	if (e == NULL)
		return false;
	(void)curl_easy_setopt(e, CURLOPT_PRIVATE, s);
	(void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
	(void)curl_easy_setopt(e, CURLOPT_MAXREDIRS, REDIRECT_MAX);
	(void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	(void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	(void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, SLOW_S);
	(void)curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
	(void)curl_easy_setopt(e, CURLOPT_USERAGENT, "infermesh/" INFERMESH_VERSION);
	(void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(e, CURLOPT_WRITEDATA, s);
	(void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, s->why);
	return true;
}

/* False without memory. */
static bool
set_up(struct http_log *log, const char *url)
{
	struct buf base = { 0 };
	size_t len;

	(void)buf_printf(&base, "%s%s", url, url[strlen(url) - 1] == '/' ? "" : "/");
	if (!buf_append_byte(&base, '\0'))
		return false;
	log->base = (char *)buf_take(&base, &len);
	log->multi = curl_multi_init();
	if (log->multi == NULL)
		return false;
	(void)curl_multi_setopt(log->multi, CURLMOPT_MAX_HOST_CONNECTIONS, CONNECTIONS_MAX);
	for (int i = 0; i < SLOTS; i++)
		if (!set_options(&log->slot[i]))
			return false;
	return true;
}

enum im_rc
http_log_open(const char *url, struct audit_source *ret, struct http_log **ret_log,
	      struct im_err *err)
{
	struct http_log *log;

	if (strpbrk(url, "?#") != NULL)
		return err_set(err, IM_EINVAL,
			       "the address of a log has no '?' and no '#': found %.200s", url);
	log = calloc(1, sizeof(*log));
	if (log == NULL || !set_up(log, url)) {
		http_log_close(log);
		return err_set(err, IM_ENOMEM, "no memory to read a log by HTTP");
	}
	*ret = (struct audit_source){ read_http, log, url, NULL };
	*ret_log = log;
	return IM_OK;
}

void
http_log_close(struct http_log *log)
{
	if (log == NULL)
		return;
	for (int i = 0; i < SLOTS; i++) {
		if (log->slot[i].used)
			release(log, &log->slot[i]);
		if (log->slot[i].easy != NULL)
			curl_easy_cleanup(log->slot[i].easy);
		buf_done(&log->slot[i].body);
	}
	if (log->multi != NULL)
		(void)curl_multi_cleanup(log->multi);
	buf_done(&log->sized);
	free(log->base);
	free(log);
}
