/*
 * daemon/config_test.c - reading, printing and digests of the configuration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/config.h"

static const char full[] = "mesh:\n"
			   "  run_dir: /run/im\n"
			   "  state_dir: ~/state\n"
			   "  drain_ms: 1500ms\n"
			   "log: {level: warn}\n"
			   "gateway:\n"
			   "  listen: 0.0.0.0:80\n"
			   "  keys_file: ${state_dir}/k\n"
			   "  body_bytes: 1MiB\n"
			   "  insecure: true\n"
			   "  cors_origins: [https://a.example, 'https://b.example']\n"
			   "router:\n"
			   "  queue_max: 7\n"
			   "  cache_temperature: 0.25\n"
			   "  addresses: tcp://router:7000\n"
			   "  door: off\n"
			   "workers:\n"
			   "  - name: ds\n"
			   "    backend: upstream\n"
			   "    url: https://api.deepseek.com\n"
			   "    models: [deepseek-flash]\n"
			   "    aliases: {deepseek-chat: deepseek-flash, \"b\\n\\u00e4\\x80\": x}\n"
			   "    extra: {thinking: '{\"type\":\"disabled\"}'}\n"
			   "    read_ms: 10m\n"
			   "  - {name: demo, threads: 2}\n";

static void
set_env(const char *name, const char *value)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): this program has one thread */
	assert_int_equal(setenv(name, value, 1), 0);
}

static struct config *
parse(const char *text)
{
	struct config *c = NULL;
	struct im_err err;

	if (config_parse("t.yaml", text, strlen(text), &c, &err) != IM_OK)
		fail_msg("%s", err.text);
	return c;
}

static char *
print(const struct config *c)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	config_print(c, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void
test_config_without_file_has_every_default(void **state)
{
	struct config *c = NULL;

	(void)state;
	set_env("XDG_RUNTIME_DIR", "/run/user/7");
	set_env("XDG_STATE_HOME", "/home/x/.s");
	assert_int_equal(config_load(NULL, &c, NULL), IM_OK);
	assert_string_equal(config_file(c), "(defaults)");
	assert_string_equal(config_str(c, "mesh.run_dir"), "/run/user/7/infermesh");
	assert_string_equal(config_str(c, "router.listen"),
			    "ipc:///run/user/7/infermesh/router.ipc");
	assert_string_equal(config_str(c, "gateway.keys_file"), "/home/x/.s/infermesh/keys");
	assert_int_equal(config_int(c, "mesh.drain_ms"), 10000);
	assert_int_equal(config_int(c, "cache.bytes"), 64 << 20);
	assert_false(config_bool(c, "gateway.insecure"));
	assert_true(config_double(c, "router.cache_temperature") == 0.3);
	assert_int_equal(config_strings_len(c, "gateway.cors_origins"), 1);
	assert_string_equal(config_strings_at(c, "gateway.cors_origins", 0), "*");
	assert_null(config_str(c, "gateway.tls_cert"));
	assert_int_equal(config_items(c, "workers"), 0);
	config_free(c);
	set_env("XDG_RUNTIME_DIR", "");
	set_env("XDG_STATE_HOME", "");
}

static void
test_config_full_file_is_read(void **state)
{
	struct config *c = parse(full);
	const struct config *w;
	const char *key, *value;

	(void)state;
	assert_int_equal(config_int(c, "mesh.drain_ms"), 1500);
	assert_string_equal(config_str(c, "log.level"), "warn");
	assert_string_equal(config_str(c, "cache.listen"), "ipc:///run/im/cache.ipc");
	assert_non_null(strstr(config_str(c, "gateway.keys_file"), "/state/k"));
	assert_int_equal(config_str(c, "gateway.keys_file")[0], '/');
	assert_int_equal(config_int(c, "gateway.body_bytes"), 1 << 20);
	assert_true(config_bool(c, "gateway.insecure"));
	assert_int_equal(config_strings_len(c, "gateway.cors_origins"), 2);
	assert_string_equal(config_strings_at(c, "gateway.cors_origins", 1), "https://b.example");
	assert_int_equal(config_strings_len(c, "router.addresses"), 1);
	assert_string_equal(config_str(c, "router.door"), "off");
	assert_int_equal(config_items(c, "workers"), 2);
	w = config_item(c, "workers", 0);
	assert_string_equal(config_str(w, "workers[].name"), "ds");
	assert_int_equal(config_int(w, "workers[].read_ms"), 600000);
	assert_int_equal(config_map_len(w, "workers[].aliases"), 2);
	config_map_at(w, "workers[].aliases", 1, &key, &value);
	assert_string_equal(key, "b\n\xc3\xa4\xc2\x80");
	assert_string_equal(value, "x");
	assert_int_equal(config_int(w, "router.queue_max"), 7);
	w = config_item(c, "workers", 1);
	assert_int_equal(config_int(w, "workers[].threads"), 2);
	assert_string_equal(config_str(w, "workers[].backend"), "local");
	assert_int_equal(config_strings_len(w, "workers[].models"), 0);
	config_free(c);
}

static void
test_config_printed_reads_back_to_same_digest(void **state)
{
	static const char *const texts[] = { full, "", "workers: []\n",
					     "gateway: {cors_origins: []}\n",
					     "workers: [{name: a, aliases: {}}]\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct config *c = parse(texts[i]), *again;
		uint8_t one[32], two[32];
		char *text = print(c);

		again = parse(text);
		config_digest(c, one);
		config_digest(again, two);
		assert_memory_equal(one, two, 32);
		config_free(again);
		config_free(c);
		free(text);
	}
}

static void
test_config_digest_changes_with_a_value_only(void **state)
{
	struct config *a = parse("router: {queue_max: 5}\n");
	struct config *b = parse("# other words\nrouter:\n  queue_max: \"5\"\n");
	struct config *c = parse("router: {queue_max: 6}\n");
	uint8_t da[32], db[32], dc[32];

	(void)state;
	config_digest(a, da);
	config_digest(b, db);
	config_digest(c, dc);
	assert_memory_equal(da, db, 32);
	assert_memory_not_equal(da, dc, 32);
	config_free(a);
	config_free(b);
	config_free(c);
}

static void
test_config_every_default_is_within_its_bounds(void **state)
{
	/* The printed defaults go through every parser again; one more look at the table itself. */
	(void)state;
	for (size_t i = 0; i < config_schema_len; i++) {
		const struct config_key *row = &config_schema[i];

		assert_non_null(row->help);
		assert_true(row->type != CONFIG_ENUM || row->allowed != NULL);
		assert_true(row->type != CONFIG_INT || (row->def != NULL && row->min < row->max));
		assert_true(row->type != CONFIG_BOOL || row->def != NULL);
	}
}

/* Every prefix of a file is either refused with a place or a file of its own; nothing is read past its end. */
static void
test_config_truncated_at_every_offset_is_refused_or_whole(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(full); n++) {
		char *cut = malloc(n > 0 ? n : 1);
		struct config *c = NULL;
		struct im_err err = { .text = "" };

		assert_non_null(cut);
		memcpy(cut, full, n);
		if (config_parse("t.yaml", cut, n, &c, &err) == IM_OK) {
			config_free(c);
		} else {
			assert_memory_equal(err.text, "t.yaml", 6);
			assert_null(c);
		}
		free(cut);
	}
}

static void
test_config_load_missing_file_says_which(void **state)
{
	struct config *c = NULL;
	struct im_err err;

	(void)state;
	assert_int_equal(config_load("/nonexistent/x.yaml", &c, &err), IM_EIO);
	assert_non_null(strstr(err.text, "/nonexistent/x.yaml"));
	assert_int_equal(config_load("/tmp", &c, &err), IM_EIO);
	assert_non_null(strstr(err.text, "/tmp"));
}

static void
test_config_load_file_over_the_limit_is_refused(void **state)
{
	char path[] = "/tmp/config-test-XXXXXX", line[64];
	struct config *c = NULL;
	struct im_err err;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	memset(line, '#', sizeof(line));
	line[63] = '\n';
	for (int i = 0; i < (1 << 20) / 64; i++)
		assert_int_equal(write(fd, line, sizeof(line)), sizeof(line));
	assert_int_equal(config_load(path, &c, &err), IM_OK);
	config_free(c);
	assert_int_equal(write(fd, line, 1), 1);
	assert_int_equal(config_load(path, &c, &err), IM_EINVAL);
	assert_non_null(strstr(err.text, "larger than"));
	(void)close(fd);
	(void)unlink(path);
}

static void
test_config_anchors_that_repeat_are_bounded(void **state)
{
	char text[40000];
	size_t n = 0;
	struct config *c = NULL;
	struct im_err err;

	(void)state;
	n += (size_t)snprintf(text + n, sizeof(text) - n, "gateway:\n  cors_origins: &o [a");
	for (int i = 0; i < 5000; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, ",a");
	(void)snprintf(text + n, sizeof(text) - n, "]\n");
	assert_int_equal(config_parse("t", text, strlen(text), &c, &err), IM_EINVAL);
	assert_non_null(strstr(err.text, "at most 1024"));
	/* An anchor used twice is fine. */
	c = parse("workers:\n  - {name: a, models: &m [x]}\n  - {name: b, models: *m}\n");
	assert_string_equal(config_strings_at(config_item(c, "workers", 1), "workers[].models", 0),
			    "x");
	config_free(c);
	/* One that contains itself ends. */
	assert_int_equal(config_parse("t", "workers: &a [*a]\n", 17, &c, &err), IM_EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_without_file_has_every_default),
		cmocka_unit_test(test_config_full_file_is_read),
		cmocka_unit_test(test_config_printed_reads_back_to_same_digest),
		cmocka_unit_test(test_config_digest_changes_with_a_value_only),
		cmocka_unit_test(test_config_every_default_is_within_its_bounds),
		cmocka_unit_test(test_config_truncated_at_every_offset_is_refused_or_whole),
		cmocka_unit_test(test_config_load_missing_file_says_which),
		cmocka_unit_test(test_config_load_file_over_the_limit_is_refused),
		cmocka_unit_test(test_config_anchors_that_repeat_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
