/*
 * wire/text.c - see text.h.
 */
#include "wire/text.h"

#include <string.h>

#include "base/json.h"
#include "wire/reader.h"

/* protobuf-c's structs are not const, although packing writes nothing. */
union text {
	const char *in;
	char *out;
};

union texts {
	const char **in;
	char **out;
};

union bytes {
	const uint8_t *in;
	uint8_t *out;
};

char *
text_out(const char *s)
{
	return (union text){ .in = s == NULL ? "" : s }.out;
}

char **
texts_out(const char **list)
{
	return (union texts){ .in = list }.out;
}

const char **
texts_in(char **list)
{
	return (union texts){ .out = list }.in;
}

ProtobufCBinaryData
bytes_out(const uint8_t *data, size_t len)
{
	return (ProtobufCBinaryData){ .len = len, .data = (union bytes){ .in = data }.out };
}

void
text_copy(char *dst, size_t cap, const char *s, size_t len)
{
	if (len >= cap)
		len = utf8_whole_prefix(s, cap - 1);
	if (len > 0)
		memcpy(dst, s, len);
	dst[len] = '\0';
}

static void
rate_out(const struct im_rate *rate, Infermesh__V1__RateLimitKind kind, struct rates_packed *ret)
{
	Infermesh__V1__RateLimit *m = &ret->m[ret->count];

	if (rate->limit == 0)
		return;
	infermesh__v1__rate_limit__init(m);
	m->kind = kind;
	m->limit = rate->limit;
	m->remaining = rate->remaining;
	m->reset_ms = rate->reset_ms;
	ret->list[ret->count++] = m;
}

void
rates_out(const struct im_rates *rates, struct rates_packed *ret)
{
	ret->count = 0;
	rate_out(&rates->requests, INFERMESH__V1__RATE_LIMIT_KIND__RATE_LIMIT_KIND_REQUESTS, ret);
	rate_out(&rates->tokens, INFERMESH__V1__RATE_LIMIT_KIND__RATE_LIMIT_KIND_TOKENS, ret);
}

/* The first of each kind counts. */
static void
rate_in(struct im_rates *rates, uint64_t kind, const struct im_rate *rate)
{
	struct im_rate *to = NULL;

	if (kind == INFERMESH__V1__RATE_LIMIT_KIND__RATE_LIMIT_KIND_REQUESTS)
		to = &rates->requests;
	else if (kind == INFERMESH__V1__RATE_LIMIT_KIND__RATE_LIMIT_KIND_TOKENS)
		to = &rates->tokens;
	if (to != NULL && to->limit == 0)
		*to = *rate;
}

struct im_rates
rates_in(Infermesh__V1__RateLimit *const *list, size_t count)
{
	struct im_rates rates = { 0 };

	for (size_t i = 0; i < count; i++)
		rate_in(&rates, (uint64_t)list[i]->kind,
			&(struct im_rate){ list[i]->limit, list[i]->remaining, list[i]->reset_ms });
	return rates;
}

static void
rate_in_raw(const uint8_t *buf, size_t len, struct im_rates *rates)
{
	struct reader r = { .at = buf, .end = buf + len };
	struct im_rate rate = { 0 };
	struct reader_field f;
	uint64_t kind = 0;

	while (reader_next(&r, &f)) {
		if (f.tag == 1)
			kind = f.num;
		else if (f.tag == 2)
			rate.limit = f.num;
		else if (f.tag == 3)
			rate.remaining = f.num;
		else if (f.tag == 4)
			rate.reset_ms = (uint32_t)f.num;
	}
	rate_in(rates, kind, &rate);
}

void
error_out(const struct im_err *error, struct error_packed *ret)
{
	ret->copy = *error;
	utf8_mask(ret->copy.text);
	utf8_mask(ret->copy.reason);
	utf8_mask(ret->copy.param);
	infermesh__v1__error__init(&ret->m);
	ret->m.code = (uint32_t)error->rc;
	ret->m.message = ret->copy.text;
	ret->m.reason = ret->copy.reason;
	ret->m.param = ret->copy.param;
	ret->m.retry_after_ms = error->retry_after_ms;
	rates_out(&error->rates, &ret->rates);
	ret->m.n_limits = ret->rates.count;
	ret->m.limits = ret->rates.list;
}

/* An error without a code, or with the code of success, is still an error. */
static enum im_rc
code_in(uint64_t code)
{
	enum im_rc rc = code > UINT32_MAX ? IM_EINTERNAL : im_rc_from_wire((uint32_t)code);

	return rc == IM_OK ? IM_EINTERNAL : rc;
}

void
error_in(const Infermesh__V1__Error *m, struct im_err *ret)
{
	*ret = (struct im_err){ .rc = code_in(m->code),
				.retry_after_ms = m->retry_after_ms,
				.rates = rates_in(m->limits, m->n_limits) };
	text_copy(ret->text, sizeof(ret->text), m->message, strlen(m->message));
	text_copy(ret->reason, sizeof(ret->reason), m->reason, strlen(m->reason));
	text_copy(ret->param, sizeof(ret->param), m->param, strlen(m->param));
}

void
error_in_raw(const uint8_t *buf, size_t len, struct im_err *ret)
{
	struct reader r = { .at = buf, .end = buf + len };
	struct reader_field f;
	uint64_t code = 0;

	*ret = (struct im_err){ .rc = IM_EINTERNAL };
	while (reader_next(&r, &f)) {
		if (f.tag == 1)
			code = f.num;
		else if (f.tag == 2)
			text_copy(ret->text, sizeof(ret->text), (const char *)f.data, f.len);
		else if (f.tag == 3)
			text_copy(ret->reason, sizeof(ret->reason), (const char *)f.data, f.len);
		else if (f.tag == 4)
			text_copy(ret->param, sizeof(ret->param), (const char *)f.data, f.len);
		else if (f.tag == 5)
			ret->retry_after_ms = (uint32_t)f.num;
		else if (f.tag == 6)
			rate_in_raw(f.data, f.len, &ret->rates);
	}
	ret->rc = code_in(code);
}
