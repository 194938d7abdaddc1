/*
 * daemon/config_log_test.c - the audit log's name, its witnesses and the logs of a witness: mistakes are named, the rest is taken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/config.h"

#define WITNESS "witness.example/w1+e75f6532+BAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
#define LOG_KEY "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"

static void
test_config_log_mistakes_are_named(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "audit: {origin: "
		  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx}",
		  "allowed: at most 239 bytes" },
		{ "audit: {origin: a+b}",
		  "t.yaml:1: audit.origin: found \"a+b\", allowed: a name such as example.com/log, no spaces and no +" },
		{ "audit:\n  witnesses:\n    ftp://w: " WITNESS "\n",
		  "t.yaml:2: audit.witnesses: found \"ftp://w\", allowed: http://... or https://..., what comes before" },
		{ "audit: {witnesses: {http://w?x: " WITNESS "}}", "found \"http://w?x\"" },
		{ "audit:\n  witnesses:\n    http://w: w+00000000+AAAA\n",
		  "t.yaml:2: audit.witnesses: found \"w+00000000+AAAA\", allowed: a witness's verifier key, NAME+HASH+KEY" },
		{ "audit: {witnesses: {http://w: " LOG_KEY "}}", "a witness's verifier key" },
		{ "audit: {witnesses: {http://w: x" WITNESS "}}", "a witness's verifier key" },
		{ "audit: {witnesses: {http://w: " WITNESS "A}}", "a witness's verifier key" },
		{ "audit: {witnesses: {http://v: " WITNESS ", http://w: " WITNESS "}}",
		  "a key that no other witness has" },
		{ "audit:\n  witnesses:\n    http://w: " WITNESS "\n  witness_quorum: 2\n",
		  "t.yaml:4: audit.witness_quorum: is 2, but audit.witnesses names 1" },
		{ "audit: {witness_quorum: 1}", "is 1, but audit.witnesses names 0" },
		{ "witness: {logs: {a: " WITNESS "}}", "a log's verifier key, NAME+HASH+KEY" },
		{ "witness: {logs: {a: " LOG_KEY " x}}",
		  "found \"x\", allowed: a log's verifier key" },
		{ "witness: {logs: {'': " LOG_KEY "}}", "an origin of 1 to 255 bytes" },
		{ "witness: {name: a b}",
		  "t.yaml:1: witness.name: found \"a b\", allowed: a name such as example.com/witness, no spaces and no +" },
		{ "witness: {prefix: w1}",
		  "t.yaml:1: witness.prefix: found \"w1\", allowed: /, or a path such as /w1 without a / at its end" },
		{ "witness: {prefix: /w1/}", "witness.prefix: found \"/w1/\"" },
		{ "witness: {listen: 'off'}",
		  "t.yaml:1: witness.listen: found \"off\", allowed: HOST:PORT or unix:PATH" },
		{ "witness: {admin: '127.0.0.1:9103'}", "the same address as audit.admin" },
		{ "witness: {tls_key: a}",
		  "t.yaml:1: witness.tls_key: needs witness.tls_cert, the file of its certificate" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct config *c = NULL;
		struct im_err err = { .text = "" };

		if (config_parse("t.yaml", bad[i].text, strlen(bad[i].text), &c, &err) !=
			IM_EINVAL ||
		    strstr(err.text, bad[i].says) == NULL)
			fail_msg("%s: %s", bad[i].text, err.text);
		assert_null(c);
	}
}

static void
test_config_log_witnesses_and_witnessed_logs_are_read(void **state)
{
	static const char text[] = "audit:\n"
				   "  witnesses:\n"
				   "    https://witness.example:8443/w1: " WITNESS "\n"
				   "  witness_quorum: 1\n"
				   "witness:\n"
				   "  logs:\n"
				   "    example.com/log/testdata: " LOG_KEY " " LOG_KEY "\n"
				   "    go.sum database tree: " LOG_KEY "\n";
	struct config *c;
	struct im_err err;
	const char *key, *value;

	(void)state;
	if (config_parse("t.yaml", text, strlen(text), &c, &err) != IM_OK)
		fail_msg("%s", err.text);
	assert_int_equal(config_map_len(c, "audit.witnesses"), 1);
	config_map_at(c, "audit.witnesses", 0, &key, &value);
	assert_string_equal(key, "https://witness.example:8443/w1");
	assert_string_equal(value, WITNESS);
	assert_int_equal(config_map_len(c, "witness.logs"), 2);
	config_map_at(c, "witness.logs", 1, &key, &value);
	assert_string_equal(key, "go.sum database tree");
	config_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_log_mistakes_are_named),
		cmocka_unit_test(test_config_log_witnesses_and_witnessed_logs_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
