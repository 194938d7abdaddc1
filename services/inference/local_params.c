/*
 * inference/local_params.c - parameters and their refusals; see local_params.h.
 */
#include "inference/local_params.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"

static enum im_rc
refuse(struct im_err *err, const char *param, const char *what)
{
	enum im_rc rc = err_reason(
	    err, IM_EINVAL, "unsupported_parameter",
	    "a local model does not support %s; leave it out, or ask a model of an upstream", what);

	if (err != NULL)
		(void)snprintf(err->param, sizeof(err->param), "%s", param);
	return rc;
}

static bool
given(const char *json)
{
	return json != NULL && json[0] != '\0';
}

/* The array or object at 'json' has a member. */
static bool
has_members(const char *json)
{
	struct json_span name, value;
	struct json_iter it;

	return given(json) && json_iter_init(&it, (struct json_span){ json, strlen(json) }) &&
	       json_iter_next(&it, &name, &value);
}

/* Is 'name' given in 'extra_json', and neither null nor 'harmless'? */
static bool
wants(const char *extra_json, const char *name, const char *harmless)
{
	struct json_span v;

	return given(extra_json) &&
	       json_member((struct json_span){ extra_json, strlen(extra_json) }, name, &v) &&
	       json_type(v) != JSON_NULL && !json_is(v, harmless);
}

static enum im_rc
check_completion(const struct generate_request *req, struct im_err *err)
{
	char n[16];

	(void)snprintf(n, sizeof(n), "%u", req->n == 0 ? 1 : req->n);
	if (wants(req->extra_json, "suffix", "\"\""))
		return refuse(err, "suffix", "suffix");
	if (wants(req->extra_json, "best_of", n))
		return refuse(err, "best_of", "best_of");
	if (req->echo && req->logprobs.set && req->logprobs.v)
		return refuse(err, "echo", "echo together with logprobs");
	return IM_OK;
}

static enum im_rc
check_supported(const struct generate_request *req, struct im_err *err)
{
	if (has_members(req->tools_json))
		return refuse(err, "tools", "tools");
	return req->operation == OPERATION_COMPLETION ? check_completion(req, err) : IM_OK;
}

static float
or_default(struct opt_double v, double otherwise)
{
	double d = v.set && isfinite(v.v) ? v.v : otherwise;

	return (float)d;
}

enum im_rc
local_params_read(const struct generate_request *req, struct local_params *ret, struct im_err *err)
{
	enum im_rc rc = check_supported(req, err);

	if (rc != IM_OK)
		return rc;
	*ret = (struct local_params){
		.temperature = or_default(req->temperature, LOCAL_TEMPERATURE),
		.top_p = or_default(req->top_p, LOCAL_TOP_P),
		.min_p = or_default(req->min_p, 0),
		.top_k = req->top_k.set ? (int32_t)(req->top_k.v & INT32_MAX) : LOCAL_TOP_K,
		.frequency_penalty = or_default(req->frequency_penalty, 0),
		.presence_penalty = or_default(req->presence_penalty, 0),
		.repeat_penalty = or_default(req->repeat_penalty, 1),
		.max_tokens = req->max_tokens.set ? req->max_tokens.v : UINT32_MAX,
		.choices = generate_choices(req),
		.choices_each = req->n == 0 ? 1 : req->n,
	};
	if (req->operation == OPERATION_COMPLETION && !req->max_tokens.set)
		ret->max_tokens = LOCAL_MAX_TOKENS;
	ret->legacy_logprobs = req->operation == OPERATION_COMPLETION;
	/* As OpenAI's API has it, top_logprobs needs logprobs; who asks for it alone wants them all the same. */
	ret->top_logprobs = req->top_logprobs.set ? req->top_logprobs.v : 0;
	ret->logprobs = (req->logprobs.set && req->logprobs.v) || ret->top_logprobs > 0;
	if (ret->repeat_penalty <= 0)
		ret->repeat_penalty = 1; /* 0 and less have no meaning: it divides */
	if (req->seed.set)
		ret->seed = (uint64_t)req->seed.v;
	else
		random_bytes(&ret->seed, sizeof(ret->seed));
	return IM_OK;
}
