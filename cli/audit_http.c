/*
 * cli/audit_http.c - see audit_http.h.
 */
#include "cli/audit_http.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/daemon.h"

#define CONNECT_MS   10000L
#define STALL_S      30L /* without a byte */
#define REDIRECT_MAX 5L
#define TRIES        3
#define PAUSE_NS     300000000L /* before the second try; twice that before the third */

struct http_log {
	CURL *easy;
	char *base; /* ends in '/' */
	struct buf *out;
	size_t room; /* bytes that may still come */
	bool too_big;
	char why[CURL_ERROR_SIZE];
};

bool
http_log_is(const char *where)
{
	return strncmp(where, "http://", 7) == 0 || strncmp(where, "https://", 8) == 0;
}

static size_t
on_body(char *data, size_t size, size_t count, void *user)
{
	struct http_log *log = user;
	size_t len = size * count;

	log->too_big = len > log->room;
	if (log->too_big || !buf_append(log->out, data, len))
		return 0;
	log->room -= len;
	return len;
}

/* One try. '*ret_again': another one may do better. */
static enum im_rc
fetch(struct http_log *log, const char *url, bool *ret_again, struct im_err *err)
{
	long status = 0;
	CURLcode code;

	log->why[0] = '\0';
	log->too_big = false;
	(void)curl_easy_setopt(log->easy, CURLOPT_URL, url);
	code = curl_easy_perform(log->easy);
	(void)curl_easy_getinfo(log->easy, CURLINFO_RESPONSE_CODE, &status);
	*ret_again = false;
	if (!buf_ok(log->out))
		return err_set(err, IM_ENOMEM, "no memory for %s", url);
	if (log->too_big)
		return err_set(err, IM_ETOOBIG, "%s is larger than such a file can be", url);
	*ret_again = code != CURLE_OK || status >= 500 || status == 429;
	if (code != CURLE_OK)
		return err_set(err, IM_EUNAVAILABLE, "%s: %s", url,
			       log->why[0] != '\0' ? log->why : curl_easy_strerror(code));
	if (status == 404 || status == 410)
		return err_set(err, IM_ENOTFOUND, "%s is missing", url);
	if (status != 200)
		return err_set(err, IM_EUNAVAILABLE, "%s: the server answered with status %ld", url,
			       status);
	return IM_OK;
}

static enum im_rc
read_http(const struct audit_source *s, const char *path, size_t max, struct buf *out,
	  struct im_err *err)
{
	struct http_log *log = s->user;
	struct buf url = { 0 };
	size_t had = out->len;
	bool again = true;
	enum im_rc rc = IM_ENOMEM;

	if (!buf_printf(&url, "%s%s", log->base, path))
		again = false;
	for (int i = 0; i < TRIES && again; i++) {
		const struct timespec pause = { 0, i * PAUSE_NS };

		if (i > 0)
			(void)nanosleep(&pause, NULL);
		log->out = out;
		log->room = max;
		out->len = had;
		rc = fetch(log, buf_cstr(&url), &again, err);
	}
	buf_done(&url);
	if (rc != IM_OK)
		out->len = had;
	return rc;
}

static void
set_options(struct http_log *log)
{
	CURL *e = log->easy;

	(void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
	(void)curl_easy_setopt(e, CURLOPT_MAXREDIRS, REDIRECT_MAX);
	(void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	(void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
	(void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, STALL_S);
	(void)curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
	(void)curl_easy_setopt(e, CURLOPT_USERAGENT, "infermesh/" INFERMESH_VERSION);
	(void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(e, CURLOPT_WRITEDATA, log);
	(void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, log->why);
}

enum im_rc
http_log_open(const char *url, struct audit_source *ret, struct http_log **ret_log,
	      struct im_err *err)
{
	struct http_log *log = calloc(1, sizeof(*log));
	struct buf base = { 0 };
	size_t len;

	if (strpbrk(url, "?#") != NULL) {
		free(log);
		return err_set(err, IM_EINVAL,
			       "the address of a log has no '?' and no '#': found %.200s", url);
	}
	(void)buf_printf(&base, "%s%s", url, url[strlen(url) - 1] == '/' ? "" : "/");
	(void)buf_append_byte(&base, '\0');
	if (log != NULL) {
		log->base = (char *)buf_take(&base, &len);
		log->easy = curl_easy_init();
	}
	if (log == NULL || log->base == NULL || log->easy == NULL) {
		buf_done(&base);
		http_log_close(log);
		return err_set(err, IM_ENOMEM, "no memory to read a log by HTTP");
	}
	set_options(log);
	*ret = (struct audit_source){ read_http, log, url, NULL };
	*ret_log = log;
	return IM_OK;
}

void
http_log_close(struct http_log *log)
{
	if (log == NULL)
		return;
	curl_easy_cleanup(log->easy);
	free(log->base);
	free(log);
}
