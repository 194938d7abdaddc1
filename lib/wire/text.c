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

void
error_out(const struct im_err *error, struct im_err *copy, Infermesh__V1__Error *ret)
{
	*copy = *error;
	utf8_mask(copy->text);
	utf8_mask(copy->reason);
	utf8_mask(copy->param);
	infermesh__v1__error__init(ret);
	ret->code = (uint32_t)error->rc;
	ret->message = copy->text;
	ret->reason = copy->reason;
	ret->param = copy->param;
	ret->retry_after_ms = error->retry_after_ms;
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
	*ret = (struct im_err){ .rc = code_in(m->code), .retry_after_ms = m->retry_after_ms };
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
	}
	ret->rc = code_in(code);
}
