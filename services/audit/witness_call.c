/*
 * audit/witness_call.c - see witness_call.h.
 */
#include "audit/witness_call.h"

#include <string.h>

#include "audit/add_checkpoint.h"
#include "daemon/daemon.h"

static size_t
on_body(char *data, size_t size, size_t count, void *user)
{
	struct witness_call *c = user;

	return buf_append(&c->body, data, size * count) ? size * count : 0;
}

static enum im_rc
set_url(struct witness_call *c, const char *url, struct im_err *err)
{
	struct buf whole = { 0 };
	size_t len = strlen(url);
	enum im_rc rc = IM_OK;

	if (url[len - 1] == '/')
		len--;
	(void)buf_printf(&whole, "%.*s" ADD_CHECKPOINT_PATH, (int)len, url);
	if (!buf_ok(&whole) ||
	    curl_late.easy_setopt(c->easy, CURLOPT_URL, buf_cstr(&whole)) != CURLE_OK)
		rc = err_set(err, IM_ENOMEM, "no memory to ask a witness");
	buf_done(&whole);
	return rc;
}

enum im_rc
witness_call_init(struct witness_call *c, CURLM *multi, const char *url, const char *ca_file,
		  void *user, struct im_err *err)
{
	c->multi = multi;
	buf_init(&c->body, WITNESS_CALL_BODY_MAX);
	c->easy = curl_late.easy_init();
	c->headers = curl_late.slist_append(NULL, "Content-Type: text/plain; charset=utf-8");
	if (c->easy == NULL || c->headers == NULL)
		return err_set(err, IM_ENOMEM, "no memory to ask a witness");
	(void)curl_late.easy_setopt(c->easy, CURLOPT_PRIVATE, user);
	(void)curl_late.easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_late.easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_late.easy_setopt(c->easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_late.easy_setopt(c->easy, CURLOPT_USERAGENT,
				    "infermesh-audit/" INFERMESH_VERSION);
	(void)curl_late.easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, WITNESS_CALL_CONNECT_MS);
	(void)curl_late.easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, WITNESS_CALL_MS);
	/* A name's look-up has a thread of its own: giving up must not wait for it. */
	(void)curl_late.easy_setopt(c->easy, CURLOPT_QUICK_EXIT, 1L);
	(void)curl_late.easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->why);
	(void)curl_late.easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
	(void)curl_late.easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_late.easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
	if (ca_file != NULL)
		(void)curl_late.easy_setopt(c->easy, CURLOPT_CAINFO, ca_file);
	return set_url(c, url, err);
}

void
witness_call_done(struct witness_call *c)
{
	if (c->running)
		(void)curl_late.multi_remove_handle(c->multi, c->easy);
	curl_late.easy_cleanup(c->easy);
	curl_late.slist_free_all(c->headers);
	buf_done(&c->request);
	buf_done(&c->body);
}

bool
witness_call_begin(struct witness_call *c)
{
	buf_clear(&c->body);
	c->why[0] = '\0';
	if (curl_late.easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE,
				  (curl_off_t)c->request.len) != CURLE_OK ||
	    curl_late.easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->request.data) != CURLE_OK ||
	    curl_late.multi_add_handle(c->multi, c->easy) != CURLM_OK)
		return false;
	c->running = true;
	return true;
}

void
witness_call_end(struct witness_call *c, CURLcode code, int *ret_status, bool *ret_is_size)
{
	const char *type = NULL;
	size_t len = strlen(ADD_CHECKPOINT_SIZE_TYPE);
	long status = 0;

	(void)curl_late.easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_late.easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
	(void)curl_late.multi_remove_handle(c->multi, c->easy);
	c->running = false;
	if (code != CURLE_OK) { /* also half an answer is none */
		status = 0;
		if (c->why[0] == '\0')
			(void)snprintf(c->why, sizeof(c->why), "%s",
				       buf_ok(&c->body) ? curl_late.easy_strerror(code)
							: "its answer is too long");
	}
	*ret_status = (int)status;
	*ret_is_size = type != NULL && strncmp(type, ADD_CHECKPOINT_SIZE_TYPE, len) == 0 &&
		       (type[len] == '\0' || type[len] == ';');
}
