/*
 * daemon/config_models_test.c - manifests: what they may say, and where a mistake is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/config.h"

static enum im_rc
load(const char *text, struct config **ret, struct im_err *err)
{
	char path[] = "/tmp/infermesh-manifest-XXXXXX";
	int fd = mkstemp(path);
	enum im_rc rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(close(fd), 0);
	rc = config_load_manifest(path, ret, err);
	assert_int_equal(unlink(path), 0);
	if (rc != IM_OK) { /* the name of the file begins every message */
		assert_memory_equal(err->text, path, strlen(path));
		memmove(err->text, err->text + strlen(path), strlen(err->text + strlen(path)) + 1);
	}
	return rc;
}

static void
test_manifest_models_are_read(void **state)
{
	struct config *c = NULL;
	struct im_err err;
	const struct config *m;

	(void)state;
	if (load(
		"models:\n"
		"  - {name: a, file: a.gguf, quantisation: q8_0, template: chatml, context: 4096, key_file: k}\n"
		"  - name: b\n"
		"    file: /models/b.gguf\n"
		"    load: false\n",
		&c, &err) != IM_OK)
		fail_msg("%s", err.text);
	assert_int_equal(config_items(c, "models"), 2);
	m = config_item(c, "models", 0);
	assert_string_equal(config_str(m, "models[].name"), "a");
	assert_int_equal(config_int(m, "models[].context"), 4096);
	assert_string_equal(config_str(m, "models[].key_file"), "k");
	assert_int_equal(config_int(m, "models[].gpu_layers"), -1);
	assert_true(config_bool(m, "models[].load"));
	m = config_item(c, "models", 1);
	assert_null(config_str(m, "models[].sha256"));
	assert_null(config_str(m, "models[].key_file"));
	assert_false(config_bool(m, "models[].load"));
	config_free(c);
}

static void
test_manifest_mistakes_are_named_with_their_line(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", ": models: found 0, allowed: 1 to 64 ('- name: ...')" },
		{ "models:\n  - file: a\n", ":2: models[].name: missing: each model needs a name" },
		{ "models:\n  - {name: '', file: a}\n",
		  ":2: models[].name: found \"\", allowed: a text" },
		{ "models:\n  - name: a\n",
		  ":2: models[].file: missing: each model needs its GGUF file" },
		{ "models:\n  - {name: a, file: a}\n  - {name: a, file: b}\n",
		  ":3: models[].name: found \"a\", allowed: a name that no other model has" },
		{ "models:\n  - name: a\n    file: a\n    sha256: abc\n",
		  ":4: models[].sha256: found \"abc\", allowed: 64 hexadecimal digits" },
		{ "models:\n  - name: a\n    file: a\n    context: 63\n",
		  ":4: models[].context: found \"63\", allowed: 0, or a whole number from 64 to 1048576" },
		{ "models:\n  - name: a\n    file: a\n    gpu_layers: -2\n",
		  ":4: models[].gpu_layers: found \"-2\", allowed: a whole number from -1 to 10000" },
		{ "models:\n  - name: a\n    file: a\n    split_mode: both\n",
		  ":4: models[].split_mode: found \"both\", allowed: one of none|layer|row|tensor" },
		{ "models:\n  - name: a\n    file: a\n    main_gpu: 1\n",
		  ":4: models[].main_gpu: is for 'split_mode: none' only, where one GPU has it all" },
		{ "models:\n  - name: a\n    file: a\n    fiel: b\n",
		  ":4: models[]: \"fiel\" is no key here; did you mean \"file\"?" },
		{ "router:\n  retries: 2\nmodels:\n  - {name: a, file: a}\n",
		  ":2: router.retries: a manifest has models and nothing else; move this to infermesh.yaml" },
		{ "models:\n  - {name: a, file: a}\nworkers:\n  - name: w\n",
		  ":3: workers: a manifest has models and nothing else; move this to infermesh.yaml" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config *c = NULL;
		struct im_err err;

		assert_int_equal(load(rows[i].text, &c, &err), IM_EINVAL);
		assert_string_equal(err.text, rows[i].says);
	}
}

static void
assert_refused(const char *text, const char *says)
{
	struct config *c = NULL;
	struct im_err err;

	assert_int_equal(config_parse("t.yaml", text, strlen(text), &c, &err), IM_EINVAL);
	assert_string_equal(err.text, says);
}

static void
test_config_models_stand_in_a_manifest_only(void **state)
{
	(void)state;
	assert_refused(
	    "models:\n  - {name: a, file: a}\n",
	    "t.yaml:2: models: stands in a file of its own, which workers[].manifest names; move it there");
	assert_refused(
	    "workers:\n  - name: w\n    manifest: m.yaml\n    sha256: x\n",
	    "t.yaml:4: workers[].sha256: is given beside workers[].manifest, which says it of each model; remove one");
	assert_refused(
	    "workers:\n  - name: w\n    manifest: m.yaml\n    model_key_file: x\n",
	    "t.yaml:4: workers[].model_key_file: is given beside workers[].manifest, which says it of each model; remove one");
	assert_refused(
	    "workers:\n  - name: w\n    model_key_file: x\n",
	    "t.yaml:3: workers[].model_key_file: is given without workers[].model_file, the encrypted file that it is for");
	assert_refused(
	    "workers:\n  - name: w\n    backend: upstream\n    url: http://x\n    model_key_file: x\n",
	    "t.yaml:5: workers[].model_key_file: is for 'backend: local' only; this worker's backend is upstream");
	assert_refused(
	    "workers:\n  - name: w\n    operators: here\n",
	    "t.yaml:3: workers[].operators: found \"here\", allowed: auto, ipc://PATH (shorter than 108 bytes) or tcp://HOST:PORT or off");
	assert_refused(
	    "workers:\n  - name: w\n    backend: upstream\n    url: http://x\n    manifest: m\n",
	    "t.yaml:5: workers[].manifest: is for 'backend: local' only; this worker's backend is upstream");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifest_models_are_read),
		cmocka_unit_test(test_manifest_mistakes_are_named_with_their_line),
		cmocka_unit_test(test_config_models_stand_in_a_manifest_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
