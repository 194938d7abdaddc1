/*
 * http/http_fuzz.c - arbitrary bytes as a connection's input. Beside crashes it looks for a reading that depends on how the
 * bytes are cut: the same bytes whole and in pieces must give the same requests.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "http/request.h"

struct outcome {
	unsigned requests;
	size_t body_bytes;
	int status;
	uint32_t sum; /* over methods, paths, headers and bodies */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
add(struct outcome *o, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++)
		o->sum = (o->sum ^ b[i]) * 16777619u;
}

static void
take(struct reader *r, struct outcome *o)
{
	struct request *req = http_reader_take(r);
	const char *cookie = http_request_header(req, "cookie");

	o->requests++;
	o->body_bytes += req->body.len;
	add(o, req->text + req->head->method.at, strlen(req->text + req->head->method.at));
	add(o, req->text + req->head->path.at, strlen(req->text + req->head->path.at));
	add(o, req->text + req->head->query.at, strlen(req->text + req->head->query.at));
	for (uint32_t i = 0; i < req->head->field_count; i++) {
		const struct http_field *f = &req->head->fields[i];

		assert(http_field_valid(req->text + f->name.at, req->text + f->value.at));
		add(o, req->text + f->value.at, f->value.len);
	}
	if (cookie != NULL)
		add(o, cookie, strlen(cookie));
	if (req->body.len > 0)
		add(o, req->body.data, req->body.len);
	http_request_free(req);
}

static void
read_all(const uint8_t *data, size_t size, size_t step, struct outcome *o)
{
	struct reader r;
	size_t at = 0;

	memset(o, 0, sizeof(*o));
	http_reader_init(&r, 4096, 4096);
	while (at < size && o->status == 0) {
		size_t n = size - at < step ? size - at : step;
		size_t used;

		switch (http_reader_feed(&r, data + at, n, &used)) {
		case READER_MORE:
		case READER_HEAD:
			break;
		case READER_REQUEST:
			take(&r, o);
			break;
		case READER_REFUSED:
			o->status = r.refusal.status;
			break;
		}
		at += used;
	}
	http_reader_done(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, pieces;

	read_all(data, size, size + 1, &whole);
	read_all(data, size, 1 + size % 7, &pieces);
	/* The kind of refusal may differ where two rules are broken; what was taken may not. */
	assert(whole.requests == pieces.requests && whole.sum == pieces.sum);
	assert((whole.status == 0) == (pieces.status == 0));
	return 0;
}
