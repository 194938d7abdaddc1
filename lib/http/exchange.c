/*
 * http/exchange.c - requests as their owner sees them, and responses; see http.h. Only appends to a connection's output
 * and says when the response is over: conn.c writes. Calls nothing of the owner's but common_headers() and refused().
 */
#include "http/conn.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"

#define HEAD_BYTES 512 /* of a response's head, more than most have */

static const struct status_text {
	int status;
	const char *text;
} status_texts[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 402, "Payment Required" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 417, "Expectation Failed" },
	{ 422, "Unprocessable Content" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 499, "Client Closed Request" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
};

static const char *
status_text(int status)
{
	for (size_t i = 0; i < sizeof(status_texts) / sizeof(status_texts[0]); i++)
		if (status_texts[i].status == status)
			return status_texts[i].text;
	return "Unknown";
}

struct http_exchange *
http_exchange_new(struct conn *c, struct request *req)
{
	struct http_exchange *x = calloc(1, sizeof(*x));

	if (x == NULL) {
		http_request_free(req);
		return NULL;
	}
	x->conn = c;
	x->req = req;
	x->started_us = c->started_us;
	return x;
}

void
http_exchange_free(struct http_exchange *x)
{
	if (x == NULL)
		return;
	http_request_free(x->req);
	free(x);
}

/* The request. */

const char *
http_method(const struct http_exchange *x)
{
	return x->req->text + x->req->head->method.at;
}

const char *
http_path(const struct http_exchange *x)
{
	return x->req->head->path.len > 0 ? x->req->text + x->req->head->path.at : "/";
}

const char *
http_query(const struct http_exchange *x)
{
	return x->req->text + x->req->head->query.at;
}

const char *
http_header(const struct http_exchange *x, const char *name)
{
	return http_request_header(x->req, name);
}

const uint8_t *
http_body(const struct http_exchange *x, size_t *ret_len)
{
	*ret_len = x->req->body.len;
	return x->req->body.data != NULL ? x->req->body.data : (const uint8_t *)"";
}

void
http_drop_body(struct http_exchange *x)
{
	buf_done(&x->req->body);
}

const char *
http_peer(const struct http_exchange *x)
{
	struct conn *c = x->conn;
	char *out = ((struct http_exchange *)x)->peer; /* written once, when somebody asks */
	char ip[INET6_ADDRSTRLEN] = "?";

	if (out[0] != '\0')
		return out;
	if (c->peer.sa.sa_family == AF_INET) {
		(void)inet_ntop(AF_INET, &c->peer.in.sin_addr, ip, sizeof(ip));
		(void)snprintf(out, CONN_PEER_MAX, "%s:%u", ip, ntohs(c->peer.in.sin_port));
	} else if (c->peer.sa.sa_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &c->peer.in6.sin6_addr, ip, sizeof(ip));
		(void)snprintf(out, CONN_PEER_MAX, "[%s]:%u", ip, ntohs(c->peer.in6.sin6_port));
	} else {
		(void)snprintf(out, CONN_PEER_MAX, "unix");
	}
	return out;
}

uint64_t
http_started_us(const struct http_exchange *x)
{
	return x->started_us;
}

void
http_set_user(struct http_exchange *x, void *user)
{
	x->user = user;
}

void *
http_user(const struct http_exchange *x)
{
	return x->user;
}

/* The head of a response. */

/* IMF-fixdate (RFC 9110 section 5.6.7), made once a second. strftime() would follow the locale. */
static const char *
date(struct http_server *s)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	uint64_t now_s = clock_wall_us() / 1000000;
	time_t t = (time_t)now_s;
	struct tm tm;

	if (now_s != s->date_s && gmtime_r(&t, &tm) != NULL) {
		(void)snprintf(s->date, sizeof(s->date), "%s, %02d %s %d %02d:%02d:%02d GMT",
			       days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
			       tm.tm_hour, tm.tm_min, tm.tm_sec);
		s->date_s = now_s;
	}
	return s->date;
}

/* How long the message is and whether the connection goes on is ours to say. */
static bool
is_ours(const char *name)
{
	if (strchr("cCtTdD", name[0]) == NULL) /* most are not */
		return false;
	return strcasecmp(name, "content-length") == 0 ||
	       strcasecmp(name, "transfer-encoding") == 0 || strcasecmp(name, "connection") == 0 ||
	       strcasecmp(name, "date") == 0;
}

bool
http_put_header(struct buf *headers, const char *name, const char *value)
{
	if (!http_field_valid(name, value) || is_ours(name))
		return false;
	(void)buf_append_str(headers, name);
	(void)buf_append(headers, ": ", 2);
	(void)buf_append_str(headers, value);
	return buf_append(headers, "\r\n", 2);
}

static bool
status_has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

/* Status line and headers up to the framing, which the caller adds. 'x' may be NULL. */
static void
put_head(struct conn *c, struct http_exchange *x, int status, bool close)
{
	struct buf *out = &c->out;

	(void)buf_append_str(out, "HTTP/1.1 ");
	(void)buf_append_uint(out, (uint64_t)status);
	(void)buf_append_byte(out, ' ');
	(void)buf_append_str(out, status_text(status));
	(void)buf_append_str(out, "\r\nDate: ");
	(void)buf_append_str(out, date(c->server));
	(void)buf_append_str(out, close ? "\r\nConnection: close\r\n" : "\r\n");
	if (c->server->ops.common_headers != NULL)
		c->server->ops.common_headers(c->server->user, x, out);
}

static void
put_length(struct buf *out, size_t len)
{
	(void)buf_append_str(out, "Content-Length: ");
	(void)buf_append_uint(out, len);
	(void)buf_append_str(out, "\r\n\r\n");
}

/* Our own mistake must not look like an informational response to the client. */
static int
final_status(int status)
{
	return status >= 200 && status <= 599 ? status : 500;
}

static void
begin(struct http_exchange *x, int status)
{
	x->no_body = strcmp(http_method(x), "HEAD") == 0 || !status_has_body(status);
	x->close = x->req->head->close || x->conn->server->draining;
}

static void
put_headers(struct buf *out, const struct http_header *headers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)http_put_header(out, headers[i].name, headers[i].value);
}

/* Keep the written part of the output from growing with a stream that never pauses. */
static void
compact(struct conn *c)
{
	if (c->out_at == 0 || c->out_at < http_conn_unsent(c))
		return;
	buf_consume(&c->out, c->out_at);
	c->out_at = 0;
}

void
http_reply(struct http_exchange *x, int status, const struct http_header *headers,
	   size_t header_count, const void *body, size_t len)
{
	struct conn *c = x->conn;

	status = final_status(status);
	begin(x, status);
	if (!x->gone) {
		compact(c);
		(void)buf_reserve(
		    &c->out, HEAD_BYTES + (x->no_body ? 0 : len)); /* at once, not by doubling */
		put_head(c, x, status, x->close);
		put_headers(&c->out, headers, header_count);
		if (status_has_body(status))
			put_length(&c->out, len);
		else
			(void)buf_append(&c->out, "\r\n", 2);
		if (!x->no_body)
			(void)buf_append(&c->out, body, len);
	}
	http_conn_response_over(c, x->close);
}

void
http_stream_begin(struct http_exchange *x, int status, const struct http_header *headers,
		  size_t header_count)
{
	struct conn *c = x->conn;

	status = final_status(status);
	begin(x, status);
	x->begun = true;
	if (x->gone)
		return;
	x->chunked = x->req->head->minor == 1 && status_has_body(status);
	compact(c);
	put_head(c, x, status, x->close);
	put_headers(&c->out, headers, header_count);
	(void)buf_append_str(&c->out, x->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
	http_conn_post(c);
}

static void
put_chunk(struct buf *out, const void *data, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	char size[18];
	size_t i = sizeof(size), n = len;

	size[--i] = '\n';
	size[--i] = '\r';
	do
		size[--i] = hex[n & 15];
	while ((n >>= 4) != 0);
	(void)buf_append(out, size + i, sizeof(size) - i);
	(void)buf_append(out, data, len);
	(void)buf_append(out, "\r\n", 2);
}

bool
http_stream_write(struct http_exchange *x, const void *data, size_t len)
{
	struct conn *c = x->conn;

	if (x->gone || x->no_body)
		return true;
	compact(c);
	if (len > 0 && x->chunked)
		put_chunk(&c->out, data, len);
	else if (len > 0)
		(void)buf_append(&c->out, data, len);
	http_conn_post(c);
	if (http_conn_unsent(c) <= c->server->params.write_high_bytes)
		return true;
	c->want_writable = true;
	return false;
}

void
http_stream_end(struct http_exchange *x)
{
	struct conn *c = x->conn;

	if (!x->gone && x->chunked && !x->no_body)
		(void)buf_append_str(&c->out, "0\r\n\r\n");
	http_conn_response_over(c, x->close);
}

void
http_abort(struct http_exchange *x)
{
	struct conn *c = x->conn;

	c->broken = true;
	/* Also for a client that asked for the close itself: what was written must reach it. */
	x->req->head->close = false;
	http_conn_response_over(c, true);
}

void
http_exchange_refuse(struct conn *c, struct http_exchange *x, const struct http_refusal *refusal)
{
	struct http_server *s = c->server;
	struct buf body = BUF_INIT(0);
	const char *type = "text/plain; charset=utf-8";

	if (s->ops.refused != NULL) {
		type = s->ops.refused(s->user, refusal->status, refusal->text, &body);
	} else {
		(void)buf_append_str(&body, refusal->text);
		(void)buf_append_byte(&body, '\n');
	}
	put_head(c, x, refusal->status, true);
	(void)http_put_header(&c->out, "Content-Type", type);
	put_length(&c->out, body.len);
	if (x == NULL || strcmp(http_method(x), "HEAD") != 0)
		(void)buf_append(&c->out, body.data, body.len);
	buf_done(&body);
}
