/*
 * inference/local_bias.c - see local_bias.h.
 */
#include "inference/local_bias.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define TOKEN_DIGITS 9 /* a number of so many digits fits into 31 bits */

static enum im_rc
invalid(struct im_err *err, const char *reason, const char *text)
{
	enum im_rc rc = err_reason(err, IM_EINVAL, reason, "%s", text);

	if (err != NULL)
		(void)snprintf(err->param, sizeof(err->param), "logit_bias");
	return rc;
}

/* The token of the member 'name', whose escapes are never undone: digits need none. False: it is none of the model's. */
static bool
read_token(struct json_span name, uint32_t known, int32_t *ret)
{
	int32_t token = 0;

	if (name.len == 0 || name.len > TOKEN_DIGITS)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		if (name.at[i] < '0' || name.at[i] > '9')
			return false;
		token = token * 10 + (name.at[i] - '0');
	}
	*ret = token;
	return (uint32_t)token < known;
}

static enum im_rc
read_one(struct json_span name, struct json_span value, uint32_t known, struct token_bias *ret,
	 struct im_err *err)
{
	char text[160];
	double bias;

	if (!read_token(name, known, &ret->token)) {
		(void)snprintf(text, sizeof(text),
			       "logit_bias has '%.*s', and the model has only the tokens 0 to %u",
			       (int)(name.len < 40 ? name.len : 40), name.at, known - 1);
		return invalid(err, "invalid_value", text);
	}
	bias = json_type(value) == JSON_NUMBER ? json_double(value) : LOCAL_BIAS_MAX + 1;
	if (!(bias >= -LOCAL_BIAS_MAX && bias <= LOCAL_BIAS_MAX)) {
		(void)snprintf(text, sizeof(text),
			       "logit_bias of token %d is no number from -%d to %d", ret->token,
			       LOCAL_BIAS_MAX, LOCAL_BIAS_MAX);
		return invalid(err, "invalid_value", text);
	}
	ret->bias = (float)bias;
	return IM_OK;
}

static uint32_t
count_members(struct json_span object)
{
	struct json_span name, value;
	struct json_iter it;
	uint32_t n = 0;

	if (json_iter_init(&it, object))
		while (n <= LOCAL_BIAS_TOKENS_MAX && json_iter_next(&it, &name, &value))
			n++;
	return n;
}

enum im_rc
local_bias_read(const char *extra_json, uint32_t known, struct local_bias *ret, struct im_err *err)
{
	struct json_span object, name, value;
	struct local_bias b = { 0 };
	enum im_rc rc = IM_OK;
	struct json_iter it;

	if (extra_json == NULL || extra_json[0] == '\0' ||
	    !json_member((struct json_span){ extra_json, strlen(extra_json) }, "logit_bias",
			 &object) ||
	    json_type(object) == JSON_NULL)
		return IM_OK;
	if (json_type(object) != JSON_OBJECT)
		return invalid(err, "invalid_type",
			       "logit_bias must be an object: {\"TOKEN\": BIAS, ...}");
	b.count = count_members(object);
	if (b.count == 0)
		return IM_OK;
	if (b.count > LOCAL_BIAS_TOKENS_MAX)
		return invalid(err, "invalid_value", "logit_bias names more than 1024 tokens");
	b.list = calloc(b.count, sizeof(*b.list));
	if (b.list == NULL)
		return err_set(err, IM_ENOMEM, "no memory for the request; try again later");
	(void)json_iter_init(&it, object);
	for (uint32_t i = 0; rc == IM_OK && json_iter_next(&it, &name, &value); i++)
		rc = read_one(name, value, known, &b.list[i], err);
	if (rc == IM_OK)
		*ret = b;
	else
		local_bias_done(&b);
	return rc;
}

void
local_bias_done(struct local_bias *b)
{
	free(b->list);
	*b = (struct local_bias){ 0 };
}
