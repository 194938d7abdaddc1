/*
 * router/policy_rules_test.c - rules from a configuration, and what of a conversation decides its home.
 */
#include "router/policy_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void
load(struct policy_rules *r, const char *yaml)
{
	struct config *config;
	struct im_err err;

	if (config_parse("t.yaml", yaml, strlen(yaml), &config, &err) != IM_OK)
		fail_msg("%s", err.text);
	assert_int_equal(policy_rules_load(r, config, &err), IM_OK);
	config_free(config);
}

static void
expect(const struct policy_rules *r, struct policy_facts facts, enum policy policy, size_t rule)
{
	size_t which;

	assert_string_equal(policy_text(policy_rules_choose(r, &facts, &which)),
			    policy_text(policy));
	assert_int_equal(which, rule);
}

static void
test_policy_rules_none_is_least_connections(void **state)
{
	struct policy_rules r;

	(void)state;
	load(&r, "");
	expect(&r, (struct policy_facts){ .route = "m" }, POLICY_LEAST_CONNECTIONS, 0);
	policy_rules_done(&r);
	load(&r, "router: {policy: power_of_two}");
	expect(&r, (struct policy_facts){ .route = "m" }, POLICY_POWER_OF_TWO, 0);
	policy_rules_done(&r);
}

static void
test_policy_rules_long_short_and_urgent_go_their_ways(void **state)
{
	struct policy_facts f = { .route = "m", .priority = QUEUE_NORMAL };
	struct policy_rules r;

	(void)state;
	load(&r, "policies:\n"
		 "  - {min_priority: high, use: smooth_weighted_round_robin}\n"
		 "  - {max_prompt_bytes: 1KiB, max_tokens_below: 65, use: round_robin}\n");
	expect(&r, f, POLICY_LEAST_CONNECTIONS, 2); /* max_tokens not said: it may be long */
	f.max_tokens = 64;
	f.prompt_bytes = 1024;
	expect(&r, f, POLICY_ROUND_ROBIN, 1);
	f.prompt_bytes = 1025;
	expect(&r, f, POLICY_LEAST_CONNECTIONS, 2);
	f.prompt_bytes = 1;
	f.max_tokens = 65;
	expect(&r, f, POLICY_LEAST_CONNECTIONS, 2);
	f.priority = QUEUE_HIGH;
	expect(&r, f, POLICY_SMOOTH_WEIGHTED_ROUND_ROBIN, 0);
	policy_rules_done(&r);
}

static void
test_policy_rules_first_match_wins(void **state)
{
	struct policy_facts f = { .route = "chat", .stream = true };
	struct policy_rules r;

	(void)state;
	load(&r, "router: {policy: round_robin}\n"
		 "policies:\n"
		 "  - {route: chat, stream: yes, use: prefix_affinity}\n"
		 "  - {route: chat, use: power_of_two}\n"
		 "  - {stream: no, use: least_connections}\n");
	expect(&r, f, POLICY_PREFIX_AFFINITY, 0);
	f.stream = false;
	expect(&r, f, POLICY_POWER_OF_TWO, 1);
	f.route = "chat2";
	expect(&r, f, POLICY_LEAST_CONNECTIONS, 2);
	f.stream = true;
	expect(&r, f, POLICY_ROUND_ROBIN, 3);
	policy_rules_done(&r);
}

static struct generate_request
conversation(struct message *messages, size_t count)
{
	return (struct generate_request){
		.model = "m", .messages = messages, .message_count = count, .tools_json = ""
	};
}

static void
test_prompt_prefix_stays_while_a_conversation_grows(void **state)
{
	struct message m[] = {
		{ .role = "system", .content = "be brief", .content_json = "" },
		{ .role = "user", .content = "hello", .content_json = "" },
		{ .role = "assistant", .content = "hi", .content_json = "" },
		{ .role = "user", .content = "and now?", .content_json = "" },
	};
	struct generate_request first = conversation(m, 2), later = conversation(m, 4);
	uint64_t prefix = prompt_prefix(&first, "t");

	(void)state;
	assert_true(prefix != 0);
	assert_true(prompt_prefix(&later, "t") == prefix);
	assert_true(prompt_prefix(&later, "other") != prefix);
	m[1].content = "hello!";
	assert_true(prompt_prefix(&later, "t") != prefix);
	/* The same text said as parts is another conversation. */
	m[1].content = NULL;
	m[1].content_json = "hello";
	assert_true(prompt_prefix(&later, "t") != prefix);
}

static void
test_prompt_prefix_of_long_texts_is_bounded(void **state)
{
	static char text[3 * PROMPT_PREFIX_MAX];
	struct message m[PROMPT_PREFIX_MESSAGES + 2];
	struct generate_request req = conversation(m, PROMPT_PREFIX_MESSAGES + 2);
	uint64_t prefix, longer;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	for (size_t i = 0; i < sizeof(m) / sizeof(m[0]); i++)
		m[i] = (struct message){ .role = "system", .content = "s", .content_json = "" };
	m[0].content = text;
	prefix = prompt_prefix(&req, "t");
	text[PROMPT_PREFIX_MAX] = 'y'; /* behind what is looked at */
	m[PROMPT_PREFIX_MESSAGES].content = "other";
	assert_true(prompt_prefix(&req, "t") == prefix);
	text[PROMPT_PREFIX_MAX - 1] = 'y';
	assert_true(prompt_prefix(&req, "t") != prefix);
	longer = prompt_prefix(&req, "t");
	text[sizeof(text) - 2] = '\0'; /* the length counts */
	assert_true(prompt_prefix(&req, "t") != longer);
}

static void
test_prompt_bytes_counts_all_text(void **state)
{
	struct message m[] = {
		{ .role = "user", .content = "12345", .content_json = "" },
		{ .role = "assistant",
		  .content_json = "",
		  .tool_calls_json = "[12]",
		  .reasoning_content = "123" },
		{ .role = "user", .content_json = "[\"1\"]" },
	};
	struct generate_request req = conversation(m, 3);

	(void)state;
	req.tools_json = "{}";
	assert_int_equal(prompt_bytes(&req), 5 + 4 + 3 + 5 + 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy_rules_none_is_least_connections),
		cmocka_unit_test(test_policy_rules_long_short_and_urgent_go_their_ways),
		cmocka_unit_test(test_policy_rules_first_match_wins),
		cmocka_unit_test(test_prompt_prefix_stays_while_a_conversation_grows),
		cmocka_unit_test(test_prompt_prefix_of_long_texts_is_bounded),
		cmocka_unit_test(test_prompt_bytes_counts_all_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
