/*
 * inference/plain_head.c - the head of a request over plain HTTP/1.1, see exchange_plain.c. What requests to an address have in common is
 * written once.
 */
#include "inference/plain_head.h"

#include "daemon/daemon.h"

#define OWN_FIELDS_MAX (TRACEPARENT_LEN + 128) /* without the key */

/* "name[:port]", as the Host field has it. */
static bool
write_host(CURLU *url, struct buf *out)
{
	char *host = NULL, *port = NULL;
	bool ok = curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK;

	if (ok && curl_url_get(url, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT) == CURLUE_OK)
		(void)buf_printf(out, "%s:%s", host, port);
	else if (ok)
		(void)buf_append_str(out, host);
	curl_free(host);
	curl_free(port);
	return ok;
}

static bool
write_target(CURLU *url, struct buf *out)
{
	char *path = NULL, *query = NULL;
	bool ok = curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK;

	if (ok)
		(void)buf_append_str(out, path);
	if (ok && curl_url_get(url, CURLUPART_QUERY, &query, 0) == CURLUE_OK)
		(void)buf_printf(out, "?%s", query);
	curl_free(path);
	curl_free(query);
	return ok;
}

bool
plain_head_common(CURLU *url, struct buf *out)
{
	bool ok;

	(void)buf_append_str(out, "POST ");
	ok = write_target(url, out);
	(void)buf_append_str(out, " HTTP/1.1\r\nHost: ");
	ok = ok && write_host(url, out);
	(void)buf_append_str(out, "\r\nUser-Agent: " UPSTREAM_USER_AGENT
				  "\r\nAccept: */*\r\nContent-Type: application/json\r\n");
	return ok && buf_ok(out);
}

enum im_rc
plain_head(const struct exchange *x, const struct buf *common, struct buf *out, struct im_err *err)
{
	const char *key;
	enum im_rc rc = api_key_get(&x->b->key, &key, err);

	if (rc != IM_OK)
		return rc;
	/* At once: memory that it grows out of would keep the key. */
	if (buf_reserve(out, common->len + strlen(key) + OWN_FIELDS_MAX) == NULL)
		return IM_ENOMEM;
	(void)buf_append(out, common->data, common->len);
	if (key[0] != '\0') {
		(void)buf_append_str(out, "Authorization: Bearer ");
		(void)buf_append_str(out, key);
		(void)buf_append_str(out, "\r\n");
	}
	if (x->traceparent[0] != '\0') {
		(void)buf_append_str(out, "traceparent: ");
		(void)buf_append_str(out, x->traceparent);
		(void)buf_append_str(out, "\r\n");
	}
	(void)buf_append_str(out, "Content-Length: ");
	(void)buf_append_uint(out, x->request.len);
	(void)buf_append_str(out, "\r\n\r\n");
	return buf_ok(out) ? IM_OK : IM_ENOMEM;
}
