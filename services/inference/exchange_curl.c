/*
 * inference/exchange_curl.c - exchanges over libcurl: TLS, HTTP/2 where the upstream has it, proxies of the environment, a user in the address.
 */
#include <stdlib.h>
#include <string.h>

#include "inference/upstream.h"

/* libcurl's handles that are kept between requests: to make one and free it costs as much as sending a request. 7 KiB each. */
#define HANDLES_MAX  1024
#define TRACE_PREFIX "traceparent: "

/* b->carried */
struct by_curl {
	CURL *handles[HANDLES_MAX]; /* set up for urls[OPERATION_CHAT], not in use */
	size_t count;
	struct curl_slist *headers; /* that requests have in common */
};

struct curl_call {
	struct transfer t;
	struct exchange *x;
	struct curl_slist *headers;       /* of the request: its own, then the common ones */
	struct curl_slist *authorization; /* of its own, for the key may change; NULL = none */
	struct curl_slist trace;
	char trace_line[sizeof(TRACE_PREFIX) + TRACEPARENT_LEN];
	struct loop_task resume;
	bool held;  /* libcurl was told to pause */
	bool begun; /* the answer */
};

static CURL *
handle_get(struct backend *b)
{
	struct by_curl *p = b->carried;
	CURL *easy;

	if (p->count > 0)
		return p->handles[--p->count];
	easy = curl_easy_init();
	if (easy == NULL)
		return NULL;
	upstream_setup(b, easy);
	(void)curl_easy_setopt(easy, CURLOPT_CURLU, b->urls[OPERATION_CHAT]);
	(void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
	return easy;
}

/* Take back a handle that is in no transfer. 'whole': its answer came to its end, so it may be used again. */
static void
handle_put(struct exchange *x, CURL *easy, bool whole)
{
	struct by_curl *p = x->b->carried;

	if (easy == NULL || !whole || p->count == HANDLES_MAX) {
		curl_easy_cleanup(easy);
		return;
	}
	if (x->operation != OPERATION_CHAT)
		(void)curl_easy_setopt(easy, CURLOPT_CURLU, x->b->urls[OPERATION_CHAT]);
	(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
	(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
	(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, NULL);
	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
	p->handles[p->count++] = easy;
}

static void
call_free(struct curl_call *call, bool whole)
{
	transfer_stop(call->x->b->curl, &call->t);
	loop_cancel(call->x->b->loop, &call->resume);
	handle_put(call->x, call->t.easy, whole);
	if (call->authorization != NULL)
		call->authorization->next = NULL; /* what follows is not its */
	curl_slist_free_all(call->authorization);
	free(call);
}

static void
copy_field(const struct curl_call *call, const char *name, char *out, size_t cap)
{
	struct curl_header *h;

	if (curl_easy_header(call->t.easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK &&
	    strlen(h->value) < cap)
		(void)stpcpy(out, h->value);
}

/* The answer begins: the request is needed no more, unless the upstream speaks before it has read all of it. */
static void
take_head(struct curl_call *call)
{
	struct exchange *x = call->x;
	struct reply_head *r = &x->reply;
	curl_off_t sent = 0;

	if (call->begun)
		return;
	call->begun = true;
	(void)curl_easy_getinfo(call->t.easy, CURLINFO_RESPONSE_CODE, &r->status);
	if (r->status == 0)
		return;
	copy_field(call, "content-type", r->type, sizeof(r->type));
	if (r->status / 100 != 2) {
		copy_field(call, "retry-after", r->retry_after, sizeof(r->retry_after));
		copy_field(call, "retry-after-ms", r->retry_after_ms, sizeof(r->retry_after_ms));
	}
	(void)curl_easy_getinfo(call->t.easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	if (sent == (curl_off_t)x->request.len)
		buf_done(&x->request);
}

/* libcurl has bytes of the body. */
static size_t
on_body(char *bytes, size_t one, size_t count, void *user)
{
	struct curl_call *call = user;
	struct exchange *x = call->x;
	bool ok;

	if (x->paused) {
		call->held = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	take_head(call);
	x->inside = true;
	ok = x->body(x, bytes, one * count);
	x->inside = false;
	return ok ? one * count : CURL_WRITEFUNC_ERROR;
}

static void
on_done(struct transfer *t, CURLcode code)
{
	struct curl_call *call = CONTAINER_OF(t, struct curl_call, t);
	struct exchange *x = call->x;

	take_head(call);
	call_free(call, code == CURLE_OK);
	x->via.call = NULL;
	x->done(x, code);
}

/* What may not be done inside libcurl. */
static void
on_resume(void *arg)
{
	struct curl_call *call = arg;

	if (!call->held || call->x->paused)
		return;
	call->held = false;
	transfer_resume(call->x->b->curl,
			&call->t); /* may pause it again, or end in its 'done' later */
}

/* The common ones, with those of this request in front. */
static enum im_rc
make_headers(struct curl_call *call, struct im_err *err)
{
	const struct by_curl *p = call->x->b->carried;
	enum im_rc rc = upstream_authorize(call->x->b, &call->authorization, err);

	call->headers = p->headers;
	if (call->x->traceparent[0] != '\0') {
		(void)stpcpy(stpcpy(call->trace_line, TRACE_PREFIX), call->x->traceparent);
		call->trace =
		    (struct curl_slist){ .data = call->trace_line, .next = call->headers };
		call->headers = &call->trace;
	}
	if (call->authorization != NULL) {
		call->authorization->next = call->headers;
		call->headers = call->authorization;
	}
	return rc;
}

static enum im_rc
by_curl_start(struct exchange *x, struct im_err *err)
{
	struct curl_call *call = calloc(1, sizeof(*call));
	CURL *easy;
	enum im_rc rc;

	if (call == NULL)
		return upstream_curl_error(x->b, CURLE_OUT_OF_MEMORY, err);
	call->x = x;
	call->t.done = on_done;
	call->resume.fn = on_resume;
	call->resume.arg = call;
	call->t.easy = easy = handle_get(x->b);
	rc = easy != NULL ? make_headers(call, err)
			  : upstream_curl_error(x->b, CURLE_OUT_OF_MEMORY, err);
	if (rc == IM_OK) {
		if (x->operation != OPERATION_CHAT)
			(void)curl_easy_setopt(easy, CURLOPT_CURLU, x->b->urls[x->operation]);
		(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, x->request.data);
		(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
				       (curl_off_t)x->request.len);
		(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
		(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
		(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
		rc = transfer_start(x->b->curl, &call->t, err);
	}
	if (rc != IM_OK) {
		call_free(call, false);
		return rc;
	}
	x->via.call = call;
	return IM_OK;
}

static void
by_curl_stop(struct exchange *x)
{
	if (x->via.call == NULL)
		return;
	call_free(x->via.call, false);
	x->via.call = NULL;
}

static bool
by_curl_busy(const struct exchange *x)
{
	return curl_loop_busy(x->b->curl);
}

static void
by_curl_pause(struct exchange *x, bool paused)
{
	x->paused = paused;
	if (!paused && x->via.call != NULL && x->via.call->held)
		loop_post(x->b->loop, &x->via.call->resume);
}

static uint64_t
by_curl_sent(const struct exchange *x)
{
	curl_off_t sent = 0;

	if (x->via.call != NULL)
		(void)curl_easy_getinfo(x->via.call->t.easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	return (uint64_t)sent;
}

static void
by_curl_close(struct backend *b)
{
	struct by_curl *p = b->carried;

	if (p == NULL)
		return;
	while (p->count > 0)
		curl_easy_cleanup(p->handles[--p->count]);
	curl_slist_free_all(p->headers);
	free(p);
	b->carried = NULL;
}

static enum im_rc
by_curl_open(struct backend *b, struct im_err *err)
{
	struct by_curl *p = calloc(1, sizeof(*p));

	b->carried = p;
	if (p != NULL && upstream_header(&p->headers, "Content-Type", "application/json") &&
	    /* Without a value: libcurl leaves its own out, which would cost a round trip. */
	    upstream_header(&p->headers, "Expect", ""))
		return IM_OK;
	return upstream_curl_error(b, CURLE_OUT_OF_MEMORY, err);
}

const struct carrier carrier_curl = {
	.open = by_curl_open,
	.close = by_curl_close,
	.start = by_curl_start,
	.stop = by_curl_stop,
	.busy = by_curl_busy,
	.pause = by_curl_pause,
	.sent = by_curl_sent,
};
