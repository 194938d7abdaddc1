/*
 * daemon/config_check_test.c - every kind of mistake in a configuration gives a message with file, line, key, what was found
 * and what is allowed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/config_routes.h"

struct mistake {
	const char *text;
	const char *says; /* the whole message */
};

static const struct mistake values[] = {
	{ "router:\n  queue_max: lots\n",
	  "t.yaml:2: router.queue_max: found \"lots\", allowed: a whole number from 0 to 1000000" },
	{ "router: {queue_max: -1}",
	  "t.yaml:1: router.queue_max: found \"-1\", allowed: a whole number from 0 to 1000000" },
	{ "router: {queue_max: 5KiB}",
	  "t.yaml:1: router.queue_max: found \"5KiB\", allowed: a whole number from 0 to 1000000" },
	{ "router: {queue_max: 99999999999999999999}",
	  "t.yaml:1: router.queue_max: found \"99999999999999999999\", allowed: a whole number from 0 to 1000000" },
	{ "mesh: {drain_ms: 5d}",
	  "t.yaml:1: mesh.drain_ms: found \"5d\", allowed: a time from 0ms to 1h, such as 20ms, 5s, 5m or 1h" },
	{ "mesh: {drain_ms: 9223372036854775807h}",
	  "t.yaml:1: mesh.drain_ms: found \"9223372036854775807h\", allowed: a time from 0ms to 1h, such as 20ms, 5s, 5m or 1h" },
	{ "mesh: {max_frame_bytes: 1}",
	  "t.yaml:1: mesh.max_frame_bytes: found \"1\", allowed: a size from 64KiB to 1GiB, such as 64KiB, 16MiB or 1GiB" },
	{ "gateway: {insecure: yes}",
	  "t.yaml:1: gateway.insecure: found \"yes\", allowed: true or false" },
	{ "router: {cache_temperature: nan}",
	  "t.yaml:1: router.cache_temperature: found \"nan\", allowed: a number from 0 to 2" },
	{ "router: {cache_temperature: 2.5}",
	  "t.yaml:1: router.cache_temperature: found \"2.5\", allowed: a number from 0 to 2" },
	{ "router: {cache_rules: {m: hot}}",
	  "t.yaml:1: router.cache_rules: found \"hot\", allowed: off, all or a temperature from 0 to 2" },
	{ "router: {cache_rules: {m: 2.1}}",
	  "t.yaml:1: router.cache_rules: found \"2.1\", allowed: off, all or a temperature from 0 to 2" },
	{ "router: {cache_rules: {m: nan}}",
	  "t.yaml:1: router.cache_rules: found \"nan\", allowed: off, all or a temperature from 0 to 2" },
	{ "log: {level: loud}",
	  "t.yaml:1: log.level: found \"loud\", allowed: one of debug|info|warn|error" },
	{ "log:\n  level:\n",
	  "t.yaml:2: log.level: found nothing, allowed: one of debug|info|warn|error" },
	{ "log: {level: debug|info}",
	  "t.yaml:1: log.level: found \"debug|info\", allowed: one of debug|info|warn|error" },
	{ "gateway: {keys_file: ''}", "t.yaml:1: gateway.keys_file: found \"\", allowed: a text" },
	{ "gateway: {keys_file: \"a\\0b\"}",
	  "t.yaml:1: gateway.keys_file: the text contains a NUL character; remove it" },
	{ "gateway: {keys_file: '${home}/x'}",
	  "t.yaml:1: gateway.keys_file: found \"${home}\", allowed: ${run_dir} and ${state_dir}" },
	{ "gateway: {keys_file: '${run_dir'}",
	  "t.yaml:1: gateway.keys_file: found \"${run_dir\", allowed: ${run_dir} and ${state_dir}" },
	{ "mesh: {run_dir: '${state_dir}/x'}",
	  "t.yaml:1: mesh.run_dir: found \"${state_dir}\", allowed: ${run_dir} and ${state_dir}, and not here" },
};

static const struct mistake shapes[] = {
	{ "gateway:\n  - listen\n",
	  "t.yaml:2: gateway: found a list, allowed: a map ('key: value' lines)" },
	{ "router: {queue_max: [1]}",
	  "t.yaml:1: router.queue_max: found a list, allowed: a whole number from 0 to 1000000" },
	{ "router: {addresses: {a: b}}",
	  "t.yaml:1: router.addresses: found a map, allowed: a list of texts, or one text" },
	{ "router: {addresses: [[a]]}",
	  "t.yaml:1: router.addresses: found a list, allowed: a list of texts, or one text" },
	{ "workers: {name: a}",
	  "t.yaml:1: workers: found a map, allowed: a list of maps ('- name: ...')" },
	{ "workers: [a]", "t.yaml:1: workers: found \"a\", allowed: a map ('- name: ...')" },
	{ "workers: [{name: a, aliases: [x]}]",
	  "t.yaml:1: workers[].aliases: found a list, allowed: a map, such as { name: value }" },
	{ "workers: [{name: a, aliases: {x: [y]}}]",
	  "t.yaml:1: workers[].aliases: found a list, allowed: a map, such as { name: value }" },
	{ "workers: [{name: a, aliases: {x: y, x: z}}]",
	  "t.yaml:1: workers[].aliases: \"x\" is given twice; remove one" },
	{ "- a", "t.yaml:1: found a list, allowed: a map of sections such as 'gateway:'" },
	{ "just text",
	  "t.yaml:1: found \"just text\", allowed: a map of sections such as 'gateway:'" },
	{ "? [a]\n: b\n", "t.yaml:1: found a list as a key, allowed: a text" },
	{ "log: {level: info}\n---\nlog: {level: warn}\n",
	  "t.yaml:3: a second document begins ('---'); allowed: one" },
	{ "router:\n  queue_max: 1\n  queue_max: 2\n",
	  "t.yaml:3: router.queue_max: given twice, first in line 2; remove one" },
	{ "log: {level: info}\nrouter: {}\nlog: {level: warn}\n",
	  "t.yaml:3: log: given twice, first in line 1; join the two" },
	{ "workers: []\nworkers: []\n",
	  "t.yaml:2: workers: given twice, first in line 1; remove one" },
	{ "router:\n  queue_mx: 1\n",
	  "t.yaml:2: router: \"queue_mx\" is no key here; did you mean \"queue_max\"?" },
	{ "rooter: {}\n", "t.yaml:1: \"rooter\" is no key here; did you mean \"router\"?" },
	{ "zzz: {}\n",
	  "t.yaml:1: \"zzz\" is no key here, allowed: mesh, log, gateway, router, policies, cache, audit, witness, limits, routes, workers, models" },
	{ "log: {verbosity: 1}\n",
	  "t.yaml:1: log: \"verbosity\" is no key here, allowed: level, format" },
	{ "workers: [{nam: a}]",
	  "t.yaml:1: workers[]: \"nam\" is no key here; did you mean \"name\"?" },
	{ "router:\n\tqueue_max: 5\n",
	  "t.yaml:2: not YAML: the line is indented with a tab; use spaces" },
	{ "router:\n  a: 'b\n", "t.yaml:3: not YAML: found unexpected end of stream (column 1)" },
	{ "log:\n  level: \xff\n",
	  "t.yaml:2: not YAML: invalid leading UTF-8 octet; the file must be UTF-8 text" },
};

static const struct mistake crossed[] = {
	{ "policies:\n  - route: x\n",
	  "t.yaml:2: policies[].use: missing: each entry names a policy, such as 'use: round_robin'" },
	{ "policies: [{use: least-connections}]",
	  "t.yaml:1: policies[].use: found \"least-connections\", allowed: one of least_connections|round_robin|smooth_weighted_round_robin|power_of_two|prefix_affinity" },
	{ "workers:\n  - name: a\n  - name: a\n",
	  "t.yaml:3: workers[].name: found \"a\", allowed: a name that no other worker has" },
	{ "workers:\n  - backend: local\n",
	  "t.yaml:2: workers[].name: missing: each worker needs a name" },
	{ "workers: [{name: 'a b'}]",
	  "t.yaml:1: workers[].name: found \"a b\", allowed: 1 to 63 letters, digits, '-', '_' and '.'" },
	{ "workers: [{name: a, backend: upstream}]",
	  "t.yaml:1: workers[].url: missing: 'backend: upstream' needs a URL such as https://api.deepseek.com/v1" },
	{ "workers: [{name: a, backend: upstream, url: ftp://x}]",
	  "t.yaml:1: workers[].url: found \"ftp://x\", allowed: http://... or https://..." },
	{ "workers:\n  - name: a\n    url: http://x\n",
	  "t.yaml:3: workers[].url: is for 'backend: upstream' only; this worker's backend is local" },
	{ "workers: [{name: a, backend: upstream, url: http://x, threads: 3}]",
	  "t.yaml:1: workers[].threads: is for 'backend: local' only; this worker's backend is upstream" },
	{ "workers: [{name: a, backend: upstream, url: http://x, api_key_env: A, api_key_file: b}]",
	  "t.yaml:1: workers[].api_key_env: is given beside workers[].api_key_file; remove one" },
	{ "workers: [{name: a, models: [x, y]}]",
	  "t.yaml:1: workers[].models: a local worker serves one model; name one, or add a worker" },
	{ "workers: [{name: a, sha256: abc}]",
	  "t.yaml:1: workers[].sha256: found \"abc\", allowed: 64 hexadecimal digits" },
	{ "gateway: {tls_cert: a}",
	  "t.yaml:1: gateway.tls_cert: needs gateway.tls_key, the file of its private key" },
	{ "gateway: {tls_key: a}",
	  "t.yaml:1: gateway.tls_key: needs gateway.tls_cert, the file of its certificate" },
	{ "router:\n  breaker_open_ms: 10m\n",
	  "t.yaml:2: router.breaker_open_ms: is more than router.breaker_open_max_ms, the longest pause; raise that one" },
	{ "gateway: {listen: '8080'}",
	  "t.yaml:1: gateway.listen: found \"8080\", allowed: HOST:PORT or unix:PATH" },
	{ "gateway: {listen: 'off'}",
	  "t.yaml:1: gateway.listen: found \"off\", allowed: HOST:PORT or unix:PATH" },
	{ "router: {admin: 'h:70000'}",
	  "t.yaml:1: router.admin: found \"h:70000\", allowed: HOST:PORT, unix:PATH or off" },
	{ "router: {admin: '127.0.0.1:9102'}\n", "(line of cache.admin)" },
	{ "router: {listen: 'http://x'}",
	  "t.yaml:1: router.listen: found \"http://x\", allowed: ipc://PATH (shorter than 108 bytes) or tcp://HOST:PORT" },
	{ "router: {addresses: []}",
	  "t.yaml:1: router.addresses: found no address, allowed: at least one" },
	{ "audit: {origin: a b}",
	  "t.yaml:1: audit.origin: found \"a b\", allowed: a name such as example.com/log, no spaces and no +" },
};

static void
check(const struct mistake *table, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct config *c = NULL;
		struct im_err err = { .text = "" };

		assert_int_equal(
		    config_parse("t.yaml", table[i].text, strlen(table[i].text), &c, &err),
		    IM_EINVAL);
		assert_null(c);
		if (table[i].says[0] == '(')
			assert_non_null(strstr(
			    err.text, "the same address as router.admin; give each its own"));
		else
			assert_string_equal(err.text, table[i].says);
	}
}

static void
test_config_wrong_values_are_named(void **state)
{
	(void)state;
	check(values, sizeof(values) / sizeof(values[0]));
}

static void
test_config_wrong_shapes_are_named(void **state)
{
	(void)state;
	check(shapes, sizeof(shapes) / sizeof(shapes[0]));
}

static void
test_config_keys_that_do_not_fit_together_are_named(void **state)
{
	(void)state;
	check(crossed, sizeof(crossed) / sizeof(crossed[0]));
}

static const struct mistake routes[] = {
	{ "routes:\n  - arms: {a: 1}\n",
	  "t.yaml:2: routes[].model: allowed: a name of 1 to 256 bytes" },
	{ "routes:\n  - model: chat\n",
	  "t.yaml:2: routes[].arms: allowed: 1 to 16 models with their weights" },
	{ "routes:\n  - model: chat\n    arms: {a: lots}\n",
	  "t.yaml:3: routes[].arms: the weight of a: found \"lots\", allowed: a whole number from 0 to 10000" },
	{ "routes:\n  - model: chat\n    arms: {a: 10001}\n",
	  "t.yaml:3: routes[].arms: allowed: weights from 0 to 10000" },
	{ "routes:\n  - model: chat\n    arms: {a: 0}\n",
	  "t.yaml:3: routes[].arms: allowed: at least one weight above 0" },
	{ "routes:\n  - {model: chat, arms: {a: 1}, sticky: maybe}\n",
	  "t.yaml:2: routes[].sticky: found \"maybe\", allowed: one of session|caller|off" },
	{ "routes:\n  - {model: chat, arms: {a: 1}, fallback: [a,b,c,d,e,f,g,h,i]}\n",
	  "t.yaml:2: routes[].fallback: allowed: at most 8 models" },
	{ "routes:\n  - {model: chat, arms: {a: 1}}\n  - {model: chat, arms: {b: 1}}\n",
	  "t.yaml:3: routes[].model: found \"chat\", allowed: a model that no other route has" },
};

static void
test_config_routes_that_are_none_are_named(void **state)
{
	(void)state;
	check(routes, sizeof(routes) / sizeof(routes[0]));
}

static void
test_config_route_is_read_as_it_stands(void **state)
{
	static const char text[] = "routes:\n  - model: chat\n    arms: {v1: 90, v2: 10}\n"
				   "    fallback: small\n    fallback_answer: later\n";
	struct config *c = NULL;
	struct route_spec r;
	struct im_err err;

	(void)state;
	assert_int_equal(config_parse("t.yaml", text, strlen(text), &c, &err), IM_OK);
	assert_int_equal(config_route(c, 0, &r, &err), IM_OK);
	assert_string_equal(r.model, "chat");
	assert_int_equal(r.arm_count, 2);
	assert_string_equal(r.arms[1].model, "v2");
	assert_int_equal(r.arms[1].weight, 10);
	assert_int_equal(r.sticky, STICKY_SESSION);
	assert_string_equal(r.fallback[0], "small");
	assert_string_equal(r.answer, "later");
	config_free(c);
}

static void
test_config_extra_that_is_not_json_is_refused(void **state)
{
	static const char text[] =
	    "workers:\n  - name: a\n    backend: upstream\n    url: http://x\n"
	    "    extra: {thinking: disabled}\n";
	struct config *c = NULL;
	struct im_err err;

	(void)state;
	assert_int_equal(config_parse("t.yaml", text, strlen(text), &c, &err), IM_EINVAL);
	assert_memory_equal(err.text,
			    "t.yaml:5: workers[].extra: the value of 'thinking' is not JSON", 62);
}

static void
test_config_long_found_text_is_shortened(void **state)
{
	char text[600] = "log: {level: ";
	struct config *c = NULL;
	struct im_err err;

	(void)state;
	memset(text + strlen(text), 'x', 500);
	text[strlen(text)] = '}';
	assert_int_equal(config_parse("t.yaml", text, strlen(text), &c, &err), IM_EINVAL);
	assert_non_null(strstr(err.text, "xxx...\", allowed:"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_wrong_values_are_named),
		cmocka_unit_test(test_config_wrong_shapes_are_named),
		cmocka_unit_test(test_config_keys_that_do_not_fit_together_are_named),
		cmocka_unit_test(test_config_routes_that_are_none_are_named),
		cmocka_unit_test(test_config_route_is_read_as_it_stands),
		cmocka_unit_test(test_config_extra_that_is_not_json_is_refused),
		cmocka_unit_test(test_config_long_found_text_is_shortened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
