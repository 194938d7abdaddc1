/*
 * router/policy_rules.c - which policy a request gets; see policy_rules.h.
 */
#include "router/policy_rules.h"

#include <stdlib.h>
#include <string.h>

static enum queue_class
class_called(const char *text)
{
	int i = 0;

	while (i < QUEUE_CLASSES - 1 && strcmp(queue_class_text((enum queue_class)i), text) != 0)
		i++;
	return (enum queue_class)i;
}

static bool
load_rule(const struct config *item, struct policy_rule *ret)
{
	const char *route = config_str(item, "policies[].route");
	const char *stream = config_str(item, "policies[].stream");

	*ret = (struct policy_rule){
		.min_priority = class_called(config_str(item, "policies[].min_priority")),
		.max_prompt_bytes = (uint64_t)config_int(item, "policies[].max_prompt_bytes"),
		.max_tokens_below = (uint32_t)config_int(item, "policies[].max_tokens_below"),
		.stream = strcmp(stream, "no") != 0,
		.whole = strcmp(stream, "yes") != 0,
		.use = policy_find(config_str(item, "policies[].use")),
	};
	if (strcmp(route, "*") == 0)
		return true;
	ret->route = strdup(route);
	return ret->route != NULL;
}

enum im_rc
policy_rules_load(struct policy_rules *r, const struct config *config, struct im_err *err)
{
	size_t count = config_items(config, "policies");

	r->otherwise = policy_find(config_str(config, "router.policy"));
	r->count = 0;
	r->rules = calloc(count + 1, sizeof(*r->rules));
	while (r->rules != NULL && r->count < count &&
	       load_rule(config_item(config, "policies", r->count), &r->rules[r->count]))
		r->count++;
	if (r->rules != NULL && r->count == count)
		return IM_OK;
	policy_rules_done(r);
	return err_set(err, IM_ENOMEM, "no memory for the rules of policies");
}

void
policy_rules_done(struct policy_rules *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->rules[i].route);
	free(r->rules);
	r->rules = NULL;
	r->count = 0;
}

static bool
matches(const struct policy_rule *rule, const struct policy_facts *f)
{
	return (f->stream ? rule->stream : rule->whole) && f->priority >= rule->min_priority &&
	       (rule->max_prompt_bytes == 0 || f->prompt_bytes <= rule->max_prompt_bytes) &&
	       (rule->max_tokens_below == 0 ||
		(f->max_tokens != 0 && f->max_tokens < rule->max_tokens_below)) &&
	       (rule->route == NULL || strcmp(rule->route, f->route) == 0);
}

enum policy
policy_rules_choose(const struct policy_rules *r, const struct policy_facts *facts,
		    size_t *ret_rule)
{
	size_t i = 0;

	while (i < r->count && !matches(&r->rules[i], facts))
		i++;
	*ret_rule = i;
	return i < r->count ? r->rules[i].use : r->otherwise;
}

static uint64_t
length(const char *text)
{
	return text != NULL ? strlen(text) : 0;
}

uint64_t
prompt_bytes(const struct generate_request *req)
{
	uint64_t sum = length(req->tools_json);

	for (size_t i = 0; i < req->message_count; i++) {
		const struct message *m = &req->messages[i];

		sum += length(m->content) + length(m->content_json) + length(m->tool_calls_json) +
		       length(m->reasoning_content);
	}
	for (size_t i = 0; i < req->input_count; i++) {
		sum += length(req->inputs[i].text) +
		       req->inputs[i].token_count * sizeof(*req->inputs[i].tokens);
	}
	return sum;
}

/* FNV-1a over the beginning, and the length, which keeps apart what begins alike and is long. */
static uint64_t
mix_bytes(uint64_t h, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len && i < PROMPT_PREFIX_MAX; i++)
		h = (h ^ at[i]) * 1099511628211ULL;
	h ^= len;
	return prng_splitmix(&h);
}

static uint64_t
mix(uint64_t h, const char *text)
{
	return mix_bytes(h, text, length(text));
}

uint64_t
prompt_prefix(const struct generate_request *req, const char *tenant)
{
	uint64_t h = mix(14695981039346656037ULL, tenant);
	bool user = false;

	for (size_t i = 0; i < req->message_count && i < PROMPT_PREFIX_MESSAGES && !user; i++) {
		const struct message *m = &req->messages[i];

		user = strcmp(m->role, "user") == 0;
		h = mix(mix(mix(h, m->role), m->content), m->content_json);
	}
	if (req->input_count > 0)
		h = mix_bytes(mix(h, req->inputs[0].text), req->inputs[0].tokens,
			      req->inputs[0].token_count * sizeof(*req->inputs[0].tokens));
	return h != 0 ? h : 1;
}
