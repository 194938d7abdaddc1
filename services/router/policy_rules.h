/*
 * router/policy_rules.h - which policy a request gets: the rules of the configuration, first match wins. Pure but for reading the
 * configuration once.
 */
#ifndef ROUTER_POLICY_RULES_H
#define ROUTER_POLICY_RULES_H

#include "daemon/config.h"
#include "router/policy.h"
#include "router/queue.h"
#include "wire/generate.h"

#define PROMPT_PREFIX_MAX      4096
#define PROMPT_PREFIX_MESSAGES 16

/* What a rule may look at. */
struct policy_facts {
	const char *route; /* the model or alias that was asked for */
	enum queue_class priority;
	uint64_t prompt_bytes;
	uint32_t max_tokens; /* 0 = not said: as many as the model likes */
	bool stream;
};

struct policy_rule {
	char *route; /* NULL = any */
	enum queue_class min_priority;
	uint64_t max_prompt_bytes; /* 0 = any */
	uint32_t max_tokens_below; /* 0 = any; matches only who names fewer */
	bool stream, whole;        /* which of the two it is for */
	enum policy use;
};

struct policy_rules {
	enum policy otherwise; /* router.policy */
	struct policy_rule *rules;
	size_t count;
};

/** Read router.policy and policies[]. IM_OK or IM_ENOMEM: then there are no rules. */
IM_MUST_CHECK enum im_rc policy_rules_load(struct policy_rules *r, const struct config *config,
					   struct im_err *err);

void policy_rules_done(struct policy_rules *r);

/** The policy for a request, and which rule says so: an index, or rules.count for router.policy. */
enum policy policy_rules_choose(const struct policy_rules *r, const struct policy_facts *facts,
				size_t *ret_rule);

/** Bytes of text in the prompt of 'req', tools included. */
uint64_t prompt_bytes(const struct generate_request *req);

/**
 * Hash of how the conversation begins: the tenant and all messages up to the first of the user, of each the first
 * PROMPT_PREFIX_MAX bytes and the length; of messages before it at most PROMPT_PREFIX_MESSAGES. It stays the same from
 * turn to turn. Never 0.
 */
uint64_t prompt_prefix(const struct generate_request *req, const char *tenant);

#endif
