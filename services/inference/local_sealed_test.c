/*
 * inference/local_sealed_test.c - encrypted model files in a worker: beside plain ones, with a wrong key or none, damaged, reloaded,
 * verified.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "inference/local_folder.h"
#include "inference/sealed_file.h"

static const char question[] = "Where is my order A12345?";

static void
in_folder(const struct folder *f, const char *name, char ret[128])
{
	(void)snprintf(ret, 128, "%s/%s", f->path, name);
}

/* Two keys, and a.gguf encrypted as a.imdl with the first one. */
static void
encrypt_a(const struct folder *f, char digest[65])
{
	char plain[128], sealed[128], path[128];
	struct sealed_key key, other;
	struct im_err err;

	in_folder(f, "other.key", path);
	assert_int_equal(sealed_key_create(path, &other, &err), IM_OK);
	in_folder(f, "models.key", path);
	assert_int_equal(sealed_key_create(path, &key, &err), IM_OK);
	in_folder(f, "a.gguf", plain);
	in_folder(f, "a.imdl", sealed);
	if (sealed_file_make(plain, sealed, &key, false, NULL, NULL, digest, &err) != IM_OK)
		fail_msg("%s", err.text);
}

/* The file 'name' with its last 'cut' bytes gone and a bit of byte 'at' flipped, as b.imdl. */
static void
spoil(const struct folder *f, size_t cut, size_t at)
{
	char path[128];
	size_t len = folder_demo_len + 4096;
	uint8_t *data = malloc(len);
	FILE *in;

	assert_non_null(data);
	in_folder(f, "a.imdl", path);
	in = fopen(path, "rbe");
	assert_non_null(in);
	len = fread(data, 1, len, in);
	assert_int_equal(fclose(in), 0);
	data[at] ^= 1;
	folder_write(f, "b.imdl", data, len - cut);
	free(data);
}

static void
ask(struct rig *r, const char *model, char *ret)
{
	struct answer a;

	answer_init(&a, r, question);
	a.req.model = model;
	(void)snprintf(ret, 512, "%s", answer_ask(&a));
	answer_done(&a);
}

static void
assert_failed(struct rig *r, const char *name, const char *says)
{
	struct model_state s;

	folder_settled(r, name);
	s = folder_state(r, name);
	assert_string_equal(s.state, "failed");
	if (strstr(s.error, says) == NULL)
		fail_msg("%s: '%s' is not in: %s", name, says, s.error);
}

static void
test_sealed_model_answers_as_the_plain_one(void **state)
{
	char digest[65], one[512], two[512], manifest[512];
	struct folder f;
	struct turn t;
	struct rig r;

	(void)state;
	folder_make(&f, "  - {name: none, file: none.gguf, load: false}\n");
	encrypt_a(&f, digest);
	(void)snprintf(manifest, sizeof(manifest),
		       "  - {name: plain, file: a.gguf}\n"
		       "  - {name: sealed, file: a.imdl, key_file: models.key, sha256: %s}\n",
		       digest);
	folder_write_manifest(&f, manifest);
	rig_start(&r, f.manifest);
	folder_settled(&r, "sealed");
	assert_string_equal(folder_state(&r, "sealed").error, "");
	assert_string_equal(folder_state(&r, "sealed").digest, digest);
	assert_string_equal(folder_state(&r, "plain").digest, digest);
	ask(&r, "plain", one);
	ask(&r, "sealed", two);
	assert_true(strlen(one) > 10);
	assert_string_equal(one, two);
	assert_int_equal(folder_change(&r, MODEL_CHANGE_VERIFY, "sealed", &t), IM_OK);
	assert_string_equal(t.after, digest);
	rig_stop(&r);
	folder_remove(&f);
}

static void
test_sealed_models_that_do_not_open_leave_the_others_alone(void **state)
{
	char digest[65], text[512], path[128];
	struct folder f;
	struct rig r;

	(void)state;
	folder_make(&f, "  - {name: wrong, file: a.imdl, key_file: other.key}\n"
			"  - {name: nokey, file: a.imdl}\n"
			"  - {name: gone, file: a.imdl, key_file: gone.key}\n"
			"  - {name: notakey, file: a.imdl, key_file: models.yaml}\n"
			"  - {name: plain, file: a.gguf, key_file: models.key}\n"
			"  - {name: damaged, file: b.imdl, key_file: models.key}\n"
			"  - {name: digest, file: a.imdl, key_file: models.key, sha256: "
			"0000000000000000000000000000000000000000000000000000000000000000}\n"
			"  - {name: good, file: a.imdl, key_file: models.key}\n");
	encrypt_a(&f, digest);
	in_folder(&f, "models.yaml", path);
	assert_int_equal(chmod(path, 0600), 0);
	spoil(&f, 0, 1500000);
	rig_start(&r, f.manifest);
	assert_failed(&r, "wrong", "encrypted with another key");
	assert_failed(&r, "nokey", "it is encrypted; name the file of its key");
	assert_failed(&r, "gone", "gone.key is missing");
	assert_failed(&r, "notakey", "no key of model files");
	assert_failed(&r, "plain", "it is not encrypted");
	assert_failed(&r, "damaged", "chunk 1 is not what was written there");
	assert_failed(&r, "digest", digest);
	folder_settled(&r, "good");
	ask(&r, "good", text);
	assert_true(strlen(text) > 10);
	rig_stop(&r);
	folder_remove(&f);
}

static void
test_sealed_model_is_reloaded_and_the_old_stays_when_the_new_is_cut(void **state)
{
	char digest[65], one[512], two[512];
	struct folder f;
	struct turn t;
	struct rig r;

	(void)state;
	folder_make(&f, "  - {name: a, file: a.gguf}\n");
	encrypt_a(&f, digest);
	rig_start(&r, f.manifest);
	folder_settled(&r, "a");
	ask(&r, "a", one);
	/* From plain to encrypted: the same weights. */
	folder_write_manifest(&f, "  - {name: a, file: a.imdl, key_file: models.key}\n");
	assert_int_equal(folder_change(&r, MODEL_CHANGE_RELOAD, "a", &t), IM_OK);
	assert_string_equal(t.before, digest);
	assert_string_equal(t.after, digest);
	while (folder_metric(&r, "infermesh_local_models_freed_total") < 1)
		folder_look(&r);
	spoil(&f, 0, 0);
	folder_write_manifest(&f, "  - {name: a, file: b.imdl, key_file: models.key}\n");
	assert_int_equal(folder_change(&r, MODEL_CHANGE_RELOAD, "a", &t), IM_ECORRUPT);
	assert_non_null(strstr(t.text, "neither"));
	spoil(&f, 1000000, 1000);
	assert_int_equal(folder_change(&r, MODEL_CHANGE_RELOAD, "a", &t), IM_ECORRUPT);
	assert_non_null(strstr(t.text, "cut off"));
	assert_int_equal(folder_change(&r, MODEL_CHANGE_VERIFY, "a", &t), IM_ECORRUPT);
	assert_string_equal(folder_state(&r, "a").state, "ready");
	ask(&r, "a", two);
	assert_string_equal(one, two);
	rig_stop(&r);
	folder_remove(&f);
}

static void
test_sealed_model_of_a_worker_without_a_manifest(void **state)
{
	char digest[65], yaml[512], text[512];
	struct folder f;
	struct im_err err;
	struct rig r;

	(void)state;
	folder_make(&f, "  - {name: none, file: none.gguf, load: false}\n");
	encrypt_a(&f, digest);
	(void)snprintf(yaml, sizeof(yaml),
		       "    model_file: %s/a.imdl\n    model_key_file: %s/other.key\n"
		       "    models: [demo]\n",
		       f.path, f.path);
	err = rig_start_fails(yaml);
	assert_int_equal(err.rc, IM_EINVAL);
	assert_non_null(strstr(err.text, "a.imdl"));
	(void)snprintf(yaml, sizeof(yaml),
		       "    model_file: %s/a.imdl\n    model_key_file: %s/models.key\n"
		       "    models: [demo]\n    sha256: %s\n",
		       f.path, f.path, digest);
	rig_start(&r, yaml);
	ask(&r, "demo", text);
	assert_true(strlen(text) > 10);
	rig_stop(&r);
	folder_remove(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sealed_model_answers_as_the_plain_one),
		cmocka_unit_test(test_sealed_models_that_do_not_open_leave_the_others_alone),
		cmocka_unit_test(
		    test_sealed_model_is_reloaded_and_the_old_stays_when_the_new_is_cut),
		cmocka_unit_test(test_sealed_model_of_a_worker_without_a_manifest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
