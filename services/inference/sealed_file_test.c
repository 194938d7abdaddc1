/*
 * inference/sealed_file_test.c - encrypted model files on disk and in memory: keys, making one, giving up, what is left behind.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "inference/sealed_memory.h"

#define KEY  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define DEMO "deploy/models/demo-q8_0.gguf"

static struct {
	char dir[64];
	char key[96], sealed[96], tmp[96], bad[96];
} at;

static int
set_up(void **state)
{
	(void)state;
	(void)snprintf(at.dir, sizeof(at.dir), "/tmp/infermesh-sealed-XXXXXX");
	assert_non_null(mkdtemp(at.dir));
	(void)snprintf(at.key, sizeof(at.key), "%s/models.key", at.dir);
	(void)snprintf(at.sealed, sizeof(at.sealed), "%s/demo.imdl", at.dir);
	(void)snprintf(at.tmp, sizeof(at.tmp), "%s/demo.imdl.tmp", at.dir);
	(void)snprintf(at.bad, sizeof(at.bad), "%s/bad", at.dir);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	(void)unlink(at.key);
	(void)unlink(at.sealed);
	(void)unlink(at.tmp);
	(void)unlink(at.bad);
	assert_int_equal(rmdir(at.dir), 0); /* nothing else is left */
	return 0;
}

static bool
is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static void
write_file(const char *path, const void *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	assert_int_equal(close(fd), 0);
}

/* All of 'f', which is closed; free() it. */
static uint8_t *
slurp(FILE *f, size_t *ret_len)
{
	struct stat st;
	uint8_t *data;

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	*ret_len = (size_t)st.st_size;
	data = malloc(*ret_len);
	assert_non_null(data);
	assert_int_equal(fread(data, 1, *ret_len, f), *ret_len);
	assert_int_equal(fclose(f), 0);
	return data;
}

static void
make(char digest[65])
{
	struct sealed_key key;
	struct im_err err;

	assert_int_equal(sealed_key_create(at.key, &key, &err), IM_OK);
	if (sealed_file_make(DEMO, at.sealed, &key, false, NULL, NULL, digest, &err) != IM_OK)
		fail_msg("%s", err.text);
}

static enum im_rc
decrypt(const char *path, FILE **ret, struct im_err *err)
{
	FILE *f = fopen(path, "rbe");
	enum im_rc rc;

	assert_non_null(f);
	rc = sealed_memory_open(f, at.key, NULL, NULL, ret, err);
	assert_int_equal(fclose(f), 0);
	return rc;
}

static void
test_sealed_model_comes_back_in_sealed_memory(void **state)
{
	uint8_t *plain, *back, *sealed;
	size_t len, back_len, sealed_len;
	struct stat st;
	struct im_err err;
	char digest[65];
	void *map;
	FILE *f;

	(void)state;
	make(digest);
	assert_int_equal(strlen(digest), 64);
	assert_false(is_there(at.tmp));
	assert_int_equal(stat(at.sealed, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	plain = slurp(fopen(DEMO, "rbe"), &len);
	sealed = slurp(fopen(at.sealed, "rbe"), &sealed_len);
	assert_null(memmem(sealed, sealed_len, "general.architecture", 20));
	assert_non_null(memmem(plain, len, "general.architecture", 20));

	assert_int_equal(decrypt(at.sealed, &f, &err), IM_OK);
	assert_int_equal(fcntl(fileno(f), F_GET_SEALS) &
			     (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_SEAL),
			 F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_SEAL);
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, fileno(f), 0); /* as llama.cpp does */
	assert_true(map != MAP_FAILED);
	assert_memory_equal(map, plain, len);
	assert_int_equal(munmap(map, len), 0);
	back = slurp(f, &back_len);
	assert_int_equal(back_len, len);
	assert_memory_equal(back, plain, len);
	free(plain);
	free(sealed);
	free(back);
}

static void
test_sealed_model_damaged_or_cut_is_refused(void **state)
{
	uint8_t *sealed;
	struct im_err err;
	char digest[65];
	size_t len;
	FILE *f;

	(void)state;
	make(digest);
	sealed = slurp(fopen(at.sealed, "rbe"), &len);
	sealed[len - 1] ^= 1;
	write_file(at.bad, sealed, len, 0600);
	assert_int_equal(decrypt(at.bad, &f, &err), IM_ECORRUPT);
	assert_non_null(strstr(err.text, "chunk"));
	sealed[len - 1] ^= 1;
	write_file(at.bad, sealed, len - 1000000, 0600);
	assert_int_equal(decrypt(at.bad, &f, &err), IM_ECORRUPT);
	assert_non_null(strstr(err.text, "cut off"));
	write_file(at.bad, sealed, 40, 0600);
	assert_int_equal(decrypt(at.bad, &f, &err), IM_ECORRUPT);
	assert_int_equal(decrypt(DEMO, &f, &err), IM_ECORRUPT);
	assert_non_null(strstr(err.text, "no encrypted"));
	free(sealed);
}

static void
test_sealed_model_with_another_key_is_refused(void **state)
{
	struct sealed_key key;
	struct im_err err;
	char digest[65];
	FILE *f;

	(void)state;
	make(digest);
	assert_int_equal(unlink(at.key), 0);
	assert_int_equal(sealed_key_create(at.key, &key, &err), IM_OK);
	assert_int_equal(decrypt(at.sealed, &f, &err), IM_EINVAL);
	assert_non_null(strstr(err.text, "another key"));
	assert_non_null(strstr(err.text, at.key));
}

static void
test_sealed_key_files_are_private_and_whole(void **state)
{
	static const char good[] =
	    "# mine\n\n000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\r\n";
	static const char two[] = KEY KEY;
	static const char *const bad[] = {
		"",
		"# only this\n",
		"0001\n",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00\n",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g\n",
		two,
	};
	struct sealed_key key, again;
	struct im_err err;
	struct stat st;

	(void)state;
	assert_int_equal(sealed_key_load(at.key, &key, &err), IM_ENOTFOUND);
	write_file(at.key, good, strlen(good), 0600);
	assert_int_equal(sealed_key_load(at.key, &key, &err), IM_OK);
	for (size_t i = 0; i < SEALED_KEY_BYTES; i++)
		assert_int_equal(key.bytes[i], i);
	write_file(at.key, good, strlen(good), 0640);
	assert_int_equal(sealed_key_load(at.key, &key, &err), IM_EPERM);
	assert_non_null(strstr(err.text, "chmod 600"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(at.key, bad[i], strlen(bad[i]), 0600);
		assert_int_equal(sealed_key_load(at.key, &key, &err), IM_EINVAL);
		assert_non_null(strstr(err.text, at.key));
		assert_null(strstr(err.text, "0001020304")); /* no text tells a key */
	}
	assert_int_equal(sealed_key_create(at.key, &key, &err), IM_EEXIST);
	assert_int_equal(unlink(at.key), 0);
	assert_int_equal(sealed_key_create(at.key, &key, &err), IM_OK);
	assert_int_equal(stat(at.key, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(sealed_key_load(at.key, &again, &err), IM_OK);
	assert_memory_equal(&key, &again, sizeof(key));
}

struct patience {
	unsigned calls, give_up_at;
	uint64_t last;
};

static bool
on_progress(void *user, uint64_t done, uint64_t total)
{
	struct patience *p = user;

	assert_true(done < total && (p->calls == 0 || done > p->last));
	p->last = done;
	return ++p->calls != p->give_up_at;
}

static void
test_sealed_file_given_up_leaves_nothing(void **state)
{
	struct patience p = { .give_up_at = 2 };
	struct sealed_key key;
	struct im_err err;
	char digest[65];
	FILE *f, *plain;

	(void)state;
	assert_int_equal(sealed_key_create(at.key, &key, &err), IM_OK);
	write_file(at.tmp, "left by a crash", 15, 0600);
	assert_int_equal(
	    sealed_file_make(DEMO, at.sealed, &key, false, on_progress, &p, digest, &err),
	    IM_ECANCELED);
	assert_int_equal(p.calls, 2);
	assert_false(is_there(at.sealed) || is_there(at.tmp));
	p = (struct patience){ 0 };
	assert_int_equal(
	    sealed_file_make(DEMO, at.sealed, &key, false, on_progress, &p, digest, &err), IM_OK);
	assert_true(p.calls > 2);
	p = (struct patience){ .give_up_at = 2 };
	f = fopen(at.sealed, "rbe");
	assert_non_null(f);
	assert_int_equal(sealed_memory_open(f, at.key, on_progress, &p, &plain, &err),
			 IM_ECANCELED);
	assert_int_equal(fclose(f), 0);
}

static void
test_sealed_file_takes_no_name_and_no_file_that_it_should_not(void **state)
{
	struct sealed_key key;
	struct im_err err;
	char digest[65];

	(void)state;
	assert_int_equal(sealed_key_create(at.key, &key, &err), IM_OK);
	write_file(at.bad, "GIF89a, and more", 16, 0600);
	assert_int_equal(sealed_file_make(at.bad, at.sealed, &key, false, NULL, NULL, digest, &err),
			 IM_ECORRUPT);
	write_file(at.bad, "", 0, 0600);
	assert_int_equal(sealed_file_make(at.bad, at.sealed, &key, false, NULL, NULL, digest, &err),
			 IM_ECORRUPT);
	assert_int_equal(sealed_file_make(at.dir, at.sealed, &key, false, NULL, NULL, digest, &err),
			 IM_EINVAL);
	assert_int_equal(
	    sealed_file_make("/nonexistent", at.sealed, &key, false, NULL, NULL, digest, &err),
	    IM_ENOTFOUND);
	assert_false(is_there(at.sealed) || is_there(at.tmp));
	assert_int_equal(sealed_file_make(DEMO, at.bad, &key, false, NULL, NULL, digest, &err),
			 IM_EEXIST);
	assert_int_equal(sealed_file_make(DEMO, at.bad, &key, true, NULL, NULL, digest, &err),
			 IM_OK);
	assert_int_equal(sealed_file_make(DEMO, at.dir, &key, true, NULL, NULL, digest, &err),
			 IM_EEXIST);
	assert_int_equal(rename(at.bad, at.sealed), 0);
	assert_int_equal(sealed_file_make(at.sealed, at.bad, &key, false, NULL, NULL, digest, &err),
			 IM_EINVAL);
	assert_non_null(strstr(err.text, "already"));
}

static void
test_sealed_file_on_a_full_disk_leaves_nothing(void **state)
{
	struct rlimit was, little;
	struct sealed_key key;
	struct im_err err;
	char digest[65];
	enum im_rc rc;

	(void)state;
	assert_int_equal(sealed_key_create(at.key, &key, &err), IM_OK);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	little = was;
	little.rlim_cur = 1500000;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	rc = sealed_file_make(DEMO, at.sealed, &key, false, NULL, NULL, digest, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(rc, IM_EIO);
	assert_false(is_there(at.sealed) || is_there(at.tmp));
}

static void
test_sealed_memory_is_kept_out_of_core_dumps(void **state)
{
	char path[256];

	(void)state;
	assert_int_equal(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
	(void)!sealed_memory_hide();
	assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
	assert_true(readlink("/proc/self/exe", path, sizeof(path)) > 0); /* still ours to read */
	assert_int_equal(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
	assert_int_equal(munlockall(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sealed_model_comes_back_in_sealed_memory,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sealed_model_damaged_or_cut_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_sealed_model_with_another_key_is_refused,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sealed_key_files_are_private_and_whole, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_sealed_file_given_up_leaves_nothing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
		    test_sealed_file_takes_no_name_and_no_file_that_it_should_not, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_sealed_file_on_a_full_disk_leaves_nothing,
						set_up, tear_down),
		cmocka_unit_test(test_sealed_memory_is_kept_out_of_core_dumps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
