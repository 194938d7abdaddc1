/*
 * cache/s3.c - see s3.h. libcurl 7.88 signs what it is given, so the query is sorted and escaped here, names of headers are in lower case,
 * none is left out by an empty value, and the body's hash is given along.
 */
#include "cache/s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hex.h"
#include "base/list.h"
#include "base/sha256.h"
#include "cache/s3_xml.h"
#include "daemon/api_key.h"
#include "daemon/curl_late.h"
#include "daemon/curl_loop.h"
#include "daemon/daemon.h"
#include "daemon/s3_url.h"

#define CONNECT_MS       2000L
#define LIST_BYTES_MAX   ((size_t)2 << 20) /* a page of a thousand objects is about half a megabyte */
#define WHY_MAX          200
#define HASH_HEADER      "x-amz-content-sha256: "
#define HTTP_OK          200
#define HTTP_NO_CONTENT  204
#define HTTP_PARTIAL     206
#define HTTP_NOT_FOUND   404
#define HTTP_OURS_BEGINS 500

struct s3 {
	struct loop *loop;
	struct curl_loop *curl;
	struct api_key credentials;
	char *url, *ca_file, *sigv4;
	size_t bucket_len;  /* of 'url' */
	const char *prefix; /* in 'url' */
	size_t body_bytes;
	struct list ops; /* s3_op.node */
	struct buf line; /* being made */
};

struct s3_op {
	struct list node;
	struct s3 *s;
	struct transfer x;
	enum s3_kind kind;
	struct curl_slist *headers;
	struct buf in;
	s3_done done;
	void *arg;
};

static void
op_free(struct s3_op *op)
{
	transfer_stop(op->s->curl, &op->x);
	curl_late.easy_cleanup(op->x.easy);
	curl_late.slist_free_all(op->headers);
	buf_done(&op->in);
	list_remove(&op->node);
	free(op);
}

/* Answers. */

static size_t
on_body(char *bytes, size_t size, size_t count, void *user)
{
	struct s3_op *op = user;

	return buf_append(&op->in, bytes, size * count) ? size * count : 0;
}

static enum s3_said
said(enum s3_kind kind, long status)
{
	if (status == HTTP_OK || (kind == S3_GET && status == HTTP_PARTIAL) ||
	    (kind == S3_DELETE && status == HTTP_NO_CONTENT))
		return S3_OK;
	if (status == HTTP_NOT_FOUND && (kind == S3_GET || kind == S3_DELETE))
		return S3_NONE;
	return status >= HTTP_OURS_BEGINS ? S3_BROKEN : S3_REFUSED;
}

static void
on_transferred(struct transfer *x, CURLcode code)
{
	struct s3_op *op = CONTAINER_OF(x, struct s3_op, x);
	struct s3_answer a = { S3_LOST, op->in.data, op->in.len, NULL };
	char why[WHY_MAX], word[S3_CODE_MAX + 1];
	long status = 0;

	(void)curl_late.easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	s3_xml_code(op->in.data, op->in.len, word);
	if (code != CURLE_OK) {
		(void)snprintf(why, sizeof(why), "%s", curl_late.easy_strerror(code));
	} else {
		a.said = said(op->kind, status);
		/* A bucket that is not there is no object that is not there. */
		if (a.said == S3_NONE && strcmp(word, "NoSuchBucket") == 0)
			a.said = S3_REFUSED;
		(void)snprintf(why, sizeof(why), "it answered %ld %s", status, word);
	}
	a.why = why;
	op->done(op->arg, &a);
	op_free(op);
}

/* Requests. */

/* Percent-encoding as signing wants it: all but letters, digits and "-_.~". */
static void
append_escaped(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			     (*s >= '0' && *s <= '9') || strchr("-_.~", *s) != NULL;

		if (plain)
			(void)buf_append_byte(out, (uint8_t)*s);
		else
			(void)buf_printf(out, "%%%02X", (unsigned)(uint8_t)*s);
	}
}

/* The members of the query in the order that signing wants. */
static void
append_query(const struct s3 *s, struct buf *out, const char *token)
{
	(void)buf_append_str(out, "?");
	if (token[0] != '\0') {
		(void)buf_append_str(out, "continuation-token=");
		append_escaped(out, token);
		(void)buf_append_str(out, "&");
	}
	(void)buf_printf(out, "list-type=2&max-keys=%d&prefix=", S3_PAGE_MAX);
	append_escaped(out, s->prefix);
	if (s->prefix[0] != '\0')
		(void)buf_append_str(out, "%2F");
}

static bool
set_url(struct s3_op *op, const struct s3_request *req)
{
	struct s3 *s = op->s;
	char key[2 * CACHE_KEY_BYTES + 1];

	buf_clear(&s->line);
	if (req->kind == S3_LIST) {
		(void)buf_append(&s->line, s->url, s->bucket_len);
		append_query(s, &s->line, req->token);
	} else {
		hex_encode(req->key, CACHE_KEY_BYTES, key);
		(void)buf_printf(&s->line, "%s/%s", s->url, key);
	}
	(void)buf_cstr(&s->line);
	return buf_ok(&s->line) &&
	       curl_late.easy_setopt(op->x.easy, CURLOPT_URL, s->line.data) == CURLE_OK;
}

static bool
add_header(struct s3_op *op, const char *line)
{
	struct curl_slist *longer = curl_late.slist_append(op->headers, line);

	if (longer != NULL)
		op->headers = longer;
	return longer != NULL;
}

static bool
set_headers(struct s3_op *op, const struct s3_request *req)
{
	char line[sizeof(HASH_HEADER) + (size_t)2 * SHA256_BYTES] = HASH_HEADER;
	uint8_t hash[SHA256_BYTES];

	if (!sha256_of(req->kind == S3_PUT ? req->body : (const uint8_t *)"",
		       req->kind == S3_PUT ? req->len : 0, hash))
		return false;
	hex_encode(hash, sizeof(hash), line + strlen(HASH_HEADER));
	return add_header(op, line) &&
	       (req->kind != S3_PUT || add_header(op, "content-type: application/octet-stream")) &&
	       curl_late.easy_setopt(op->x.easy, CURLOPT_HTTPHEADER, op->headers) == CURLE_OK;
}

static bool
set_kind(struct s3_op *op, const struct s3_request *req)
{
	CURL *easy = op->x.easy;
	char range[40];

	if (req->kind == S3_GET && req->first_bytes > 0) {
		(void)snprintf(range, sizeof(range), "0-%zu", req->first_bytes - 1);
		return curl_late.easy_setopt(easy, CURLOPT_RANGE, range) == CURLE_OK;
	}
	if (req->kind == S3_DELETE)
		return curl_late.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE") == CURLE_OK;
	if (req->kind != S3_PUT)
		return true;
	return curl_late.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->len) ==
		   CURLE_OK &&
	       curl_late.easy_setopt(easy, CURLOPT_POSTFIELDS, req->body) == CURLE_OK &&
	       curl_late.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "PUT") == CURLE_OK;
}

static bool
set_all(struct s3_op *op, const struct s3_request *req, const char *credentials)
{
	struct s3 *s = op->s;
	CURL *easy = op->x.easy;

	(void)curl_late.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_late.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_late.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_late.easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_late.easy_setopt(easy, CURLOPT_USERAGENT, "infermesh/" INFERMESH_VERSION);
	(void)curl_late.easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)curl_late.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	(void)curl_late.easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)S3_REQUEST_MS);
	/* A name's look-up has a thread of its own: giving up must not wait for it. */
	(void)curl_late.easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	(void)curl_late.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_late.easy_setopt(easy, CURLOPT_WRITEDATA, op);
	if (s->ca_file != NULL &&
	    curl_late.easy_setopt(easy, CURLOPT_CAINFO, s->ca_file) != CURLE_OK)
		return false;
	curl_loop_adopt(s->curl, easy);
	return curl_late.easy_setopt(easy, CURLOPT_AWS_SIGV4, s->sigv4) == CURLE_OK &&
	       curl_late.easy_setopt(easy, CURLOPT_USERPWD, credentials) == CURLE_OK &&
	       set_url(op, req) && set_headers(op, req) && set_kind(op, req);
}

static enum im_rc
get_credentials(struct s3 *s, const char **ret, struct im_err *err)
{
	enum im_rc rc = api_key_get(&s->credentials, ret, err);

	if (rc == IM_OK && strchr(*ret, ':') == NULL)
		return err_set(err, IM_EINVAL,
			       "the credentials of the object store are not ID:SECRET");
	return rc;
}

struct s3_op *
s3_send(struct s3 *s, const struct s3_request *req, s3_done done, void *arg, struct im_err *err)
{
	struct s3_op *op;
	const char *credentials;

	if (get_credentials(s, &credentials, err) != IM_OK)
		return NULL;
	op = calloc(1, sizeof(*op));
	if (op == NULL)
		goto no_memory;
	op->s = s;
	op->kind = req->kind;
	op->done = done;
	op->arg = arg;
	op->x.done = on_transferred;
	op->in.max_bytes = req->kind == S3_LIST ? LIST_BYTES_MAX : s->body_bytes;
	list_push_back(&s->ops, &op->node);
	op->x.easy = curl_late.easy_init();
	if (op->x.easy != NULL && set_all(op, req, credentials) &&
	    transfer_start(s->curl, &op->x, err) == IM_OK)
		return op;
	op_free(op);
no_memory:
	(void)err_set(err, IM_ENOMEM, "no memory for a request to the object store");
	return NULL;
}

const char *
s3_prefix(const struct s3 *s)
{
	return s->prefix;
}

enum im_rc
s3_new(struct loop *loop, const struct s3_params *p, struct s3 **ret, struct im_err *err)
{
	struct s3 *s = calloc(1, sizeof(*s));
	const char *credentials;
	enum im_rc rc;

	if (s == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the object store");
	list_init(&s->ops);
	s->loop = loop;
	s->body_bytes = p->body_bytes;
	s->url = strdup(p->url);
	s->ca_file = p->ca_file != NULL ? strdup(p->ca_file) : NULL;
	if (asprintf(&s->sigv4, "aws:amz:%s:s3", p->region) < 0)
		s->sigv4 = NULL;
	rc = api_key_init(&s->credentials, p->credentials_file, p->credentials_env, err);
	if (rc == IM_OK)
		rc = get_credentials(s, &credentials, err);
	if (rc == IM_OK &&
	    (s->url == NULL || s->sigv4 == NULL || (p->ca_file != NULL && s->ca_file == NULL)))
		rc = err_set(err, IM_ENOMEM, "no memory for the object store");
	if (rc == IM_OK)
		rc = curl_loop_new(loop, (long)p->connections, &s->curl, err);
	if (rc != IM_OK) {
		s3_free(s);
		return rc;
	}
	s->bucket_len = s3_url_bucket_len(s->url);
	s->prefix = s->url + s->bucket_len;
	s->prefix += s->prefix[0] == '/';
	*ret = s;
	return IM_OK;
}

void
s3_free(struct s3 *s)
{
	if (s == NULL)
		return;
	LIST_FOREACH_SAFE (&s->ops, op, struct s3_op, node) {
		op_free(op);
	}
	curl_loop_free(s->curl);
	api_key_done(&s->credentials);
	buf_done(&s->line);
	free(s->url);
	free(s->ca_file);
	free(s->sigv4);
	free(s);
}
