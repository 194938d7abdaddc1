/*
 * inference/local_models_test.c - several models in one worker: a manifest, files that are none, loading and unloading, and weights that
 * are replaced. local_storm_test.c does that under load.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/local_folder.h"

static const char question[] = "Where is my order A12345?";

/* One answer of 'model', which must be a good one; 'ret' holds 512 bytes. */
static void
ask(struct rig *r, const char *model, const char *text, char *ret)
{
	struct answer a;

	answer_init(&a, r, text);
	a.req.model = model;
	(void)snprintf(ret, 512, "%s", answer_ask(&a));
	answer_done(&a);
}

static void
assert_not_served(struct rig *r, const char *model)
{
	struct answer a;

	answer_init(&a, r, "hello");
	a.req.model = model;
	assert_int_equal(answer_submit(&a), IM_ENOTFOUND);
	answer_done(&a);
}

static void
test_manifest_models_answer_side_by_side(void **state)
{
	char one[512], two[512], yaml[512];
	const struct model_info *m;
	struct folder f;
	struct rig r;
	size_t count;

	(void)state;
	folder_make(&f, "  - {name: a, file: a.gguf}\n"
			"  - {name: b, file: a.gguf, context: 256, template: chatml}\n"
			"  - {name: c, file: a.gguf, load: false}\n");
	(void)snprintf(yaml, sizeof(yaml), "%s    aliases: {x: b, y: c}\n    max_batch_size: 2\n",
		       f.manifest);
	rig_start(&r, yaml);
	folder_settled(&r, "a");
	folder_settled(&r, "b");
	assert_string_equal(folder_state(&r, "a").error, "");
	assert_string_equal(folder_state(&r, "b").error, "");
	assert_string_equal(folder_state(&r, "c").state, "unloaded");
	m = backend_local.models(r.backend, &count);
	assert_int_equal(count, 3);
	assert_string_equal(m[0].id, "a");
	assert_string_equal(m[1].id, "b");
	assert_int_equal(m[1].context_tokens, 256);
	assert_string_equal(m[2].id, "x");
	assert_int_equal(backend_local.capacity(r.backend), 4);
	ask(&r, "a", question, one);
	ask(&r, "x", question, two);
	assert_true(strlen(one) > 10);
	assert_string_equal(one, two); /* the template is the file's own */
	assert_not_served(&r, "c");
	assert_not_served(&r, "y");
	rig_stop(&r);
	folder_remove(&f);
}

/* The folder_demo model's number 'key' of 32 bits becomes 'value'. */
static void
patch(const char *key, uint32_t value)
{
	uint8_t *at = memmem(folder_demo, folder_demo_len, key, strlen(key));

	assert_non_null(at);
	at += strlen(key) + 4; /* the type */
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static void
test_manifest_bad_files_leave_the_others_alone(void **state)
{
	static const struct {
		const char *name, *says;
	} bad[] = {
		{ "cut", "cut" },
		{ "none", "no GGUF" },
		{ "gone", "No such file" },
		{ "other", "SHA-256" },
		{ "huge", "this machine has" },
		{ "arch", "llama.cpp cannot load" },
		{ "words", "no chat template" },
	};
	struct folder f;
	struct rig r;
	char text[512], yaml[512];

	(void)state;
	folder_make(&f, "  - {name: cut, file: cut.gguf}\n"
			"  - {name: none, file: none.gguf}\n"
			"  - {name: gone, file: gone.gguf}\n"
			"  - {name: other, file: a.gguf, sha256: "
			"0000000000000000000000000000000000000000000000000000000000000000}\n"
			"  - {name: huge, file: huge.gguf, context: 1048576}\n"
			"  - {name: arch, file: arch.gguf}\n"
			"  - {name: words, file: a.gguf, template: hieroglyphs}\n"
			"  - {name: gpus, file: a.gguf, split_mode: none, main_gpu: 63}\n"
			"  - {name: good, file: a.gguf, context: 512, gpu_layers: 0}\n");
	folder_write(&f, "cut.gguf", folder_demo, 2000000);
	folder_write(&f, "none.gguf", "GIF89a, and more", 16);
	folder_demo[65] ^= 0x40; /* inside the name of the architecture */
	folder_write(&f, "arch.gguf", folder_demo, folder_demo_len);
	folder_demo[65] ^= 0x40;
	patch("llama.context_length", 0x40000000);
	folder_write(&f, "huge.gguf", folder_demo, folder_demo_len);
	(void)snprintf(yaml, sizeof(yaml), "%s    max_batch_size: 256\n", f.manifest);
	rig_start(&r, yaml);
	folder_settled(&r, "good");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct model_state s = folder_state(&r, bad[i].name);

		assert_string_equal(s.state, "failed");
		if (strstr(s.error, bad[i].says) == NULL)
			fail_msg("%s: '%s' is not in: %s", bad[i].name, bad[i].says, s.error);
		assert_non_null(strstr(s.error, f.path));
		assert_not_served(&r, bad[i].name);
	}
	/* No machine has 64; without any the text says what is missing. */
	assert_string_equal(folder_state(&r, "gpus").state, "failed");
	assert_non_null(strstr(folder_state(&r, "gpus").error, "main_gpu"));
	ask(&r, "good", question, text);
	assert_true(strlen(text) > 10);
	rig_stop(&r);
	folder_remove(&f);
}

static void
test_manifest_mistakes_end_the_start(void **state)
{
	struct folder f;
	struct im_err err;

	(void)state;
	folder_make(&f, "  - {name: a, fiel: a.gguf}\n");
	err = rig_start_fails(f.manifest);
	assert_int_equal(err.rc, IM_EINVAL);
	assert_non_null(strstr(err.text, "models.yaml:2: models[]"));
	folder_remove(&f);
}

static void
test_reload_takes_new_weights_and_keeps_the_old_when_they_are_bad(void **state)
{
	struct folder f;
	struct turn t;
	struct rig r;
	char first[65], text[512];

	(void)state;
	folder_make(&f, "  - {name: a, file: a.gguf}\n");
	rig_start(&r, f.manifest);
	folder_settled(&r, "a");
	(void)snprintf(first, sizeof(first), "%s", folder_state(&r, "a").digest);
	folder_demo[1500000] ^= 1; /* of the weights */
	folder_write(&f, "a.gguf", folder_demo, folder_demo_len);
	assert_int_equal(folder_change(&r, MODEL_CHANGE_RELOAD, "a", &t), IM_OK);
	assert_string_equal(t.before, first);
	assert_string_not_equal(t.after, first);
	assert_string_equal(folder_state(&r, "a").digest, t.after);
	while (folder_metric(&r, "infermesh_local_models_freed_total") < 1)
		folder_look(&r);
	(void)snprintf(first, sizeof(first), "%s", t.after);

	folder_write(&f, "a.gguf", folder_demo, 1000000);
	assert_int_equal(folder_change(&r, MODEL_CHANGE_RELOAD, "a", &t), IM_ECORRUPT);
	assert_non_null(strstr(t.text, "a.gguf"));
	assert_string_equal(folder_state(&r, "a").state, "ready");
	assert_string_equal(folder_state(&r, "a").digest, first);
	assert_string_not_equal(folder_state(&r, "a").error, "");
	assert_int_equal(folder_change(&r, MODEL_CHANGE_VERIFY, "a", &t), IM_ECORRUPT);
	ask(&r, "a", question, text);

	folder_write(&f, "a.gguf", folder_demo, folder_demo_len);
	assert_int_equal(folder_change(&r, MODEL_CHANGE_VERIFY, "a", &t), IM_OK);
	assert_string_equal(t.after, first);
	rig_stop(&r);
	folder_remove(&f);
}

static void
test_models_load_and_unload_as_operators_say(void **state)
{
	struct folder f;
	struct turn t;
	struct rig r;
	char text[512];
	size_t count;

	(void)state;
	folder_make(&f, "  - {name: a, file: a.gguf}\n"
			"  - {name: b, file: a.gguf, load: false}\n");
	rig_start(&r, f.manifest);
	folder_settled(&r, "a");
	assert_int_equal(folder_change(&r, MODEL_CHANGE_LOAD, "a", &t), IM_EEXIST);
	assert_int_equal(folder_change(&r, MODEL_CHANGE_UNLOAD, "b", &t), IM_ENOTFOUND);
	assert_int_equal(folder_change(&r, MODEL_CHANGE_RELOAD, "b", &t), IM_ENOTFOUND);
	assert_int_equal(folder_change(&r, MODEL_CHANGE_RELOAD, "z", &t), IM_ENOTFOUND);
	assert_int_equal(folder_change(&r, MODEL_CHANGE_LOAD, "z", &t), IM_ENOTFOUND);
	assert_non_null(strstr(t.text, "models.yaml has no model 'z'"));
	assert_string_equal(folder_state(&r, "z").state, ""); /* and it is not listed */
	assert_int_equal(folder_change(&r, MODEL_CHANGE_LOAD, "b", &t), IM_OK);
	assert_string_equal(t.before, "");
	assert_int_equal(folder_change(&r, MODEL_CHANGE_UNLOAD, "a", &t), IM_OK);
	assert_string_equal(t.after, "");
	assert_not_served(&r, "a");
	ask(&r, "b", question, text);
	assert_int_equal(folder_change(&r, MODEL_CHANGE_UNLOAD, "b", &t), IM_OK);
	(void)backend_local.models(r.backend, &count);
	assert_int_equal(count, 0);
	while (folder_metric(&r, "infermesh_local_models_freed_total") < 2)
		folder_look(&r);

	folder_write_manifest(&f, "  - {name: c, file: a.gguf}\n");
	assert_int_equal(folder_change(&r, MODEL_CHANGE_LOAD, "c", &t), IM_OK);
	ask(&r, "c", question, text);
	assert_int_equal(folder_begin(&r, MODEL_CHANGE_RELOAD, "c", &t), IM_OK);
	assert_int_equal(folder_begin(&r, MODEL_CHANGE_RELOAD, "c", &(struct turn){ 0 }),
			 IM_EAGAIN);
	while (!folder_done(&r, &t))
		folder_look(&r);
	rig_stop(&r);
	folder_remove(&f);
}

static void
test_models_without_a_manifest_reload_too(void **state)
{
	struct turn t;
	struct rig r;
	char one[512], two[512];

	(void)state;
	rig_start(&r, NULL);
	ask(&r, "demo", question, one);
	assert_int_equal(folder_change(&r, MODEL_CHANGE_RELOAD, "demo", &t), IM_OK);
	assert_string_equal(t.before, t.after);
	assert_int_equal(strlen(t.after), 64);
	ask(&r, "demo", question, two);
	assert_string_equal(one, two);
	assert_int_equal(folder_change(&r, MODEL_CHANGE_LOAD, "b", &t), IM_ENOTFOUND);
	rig_stop(&r);
}

static void
test_models_stop_while_one_is_being_loaded(void **state)
{
	struct folder f;
	struct turn t;
	struct rig r;

	(void)state;
	folder_make(&f, "  - {name: a, file: a.gguf}\n"
			"  - {name: b, file: a.gguf}\n"
			"  - {name: c, file: a.gguf}\n");
	rig_start(&r, f.manifest);
	folder_settled(&r, "a");
	assert_int_equal(folder_begin(&r, MODEL_CHANGE_RELOAD, "a", &t), IM_OK);
	rig_stop(&r);
	assert_true(t.done);
	assert_int_equal(t.rc, IM_EUNAVAILABLE);
	folder_remove(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifest_models_answer_side_by_side),
		cmocka_unit_test(test_manifest_bad_files_leave_the_others_alone),
		cmocka_unit_test(test_manifest_mistakes_end_the_start),
		cmocka_unit_test(test_reload_takes_new_weights_and_keeps_the_old_when_they_are_bad),
		cmocka_unit_test(test_models_load_and_unload_as_operators_say),
		cmocka_unit_test(test_models_without_a_manifest_reload_too),
		cmocka_unit_test(test_models_stop_while_one_is_being_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
