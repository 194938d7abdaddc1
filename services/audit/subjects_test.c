/*
 * audit/subjects_test.c - subjects' keys: kept, destroyed, and destroyed for good whatever happens meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "audit/subjects.h"
#include "audit/testlog.h"

#define SLOT ((size_t)SUBJECT_SLOT_BYTES)

struct fixture {
	struct testlog t; /* its keys, and the place of the file */
	struct hasher h;
	struct subjects s;
};

static void
setup(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	testlog_init(&f->t);
	testdisk_arm(0, 0);
	assert_int_equal(hasher_init(&f->h, NULL), IM_OK);
}

static enum im_rc
reopen(struct fixture *f)
{
	subjects_close(&f->s);
	return subjects_open(&f->s, &testdisk, f->t.subjects, &f->t.keys.keys, &f->h, &f->t.err);
}

static void
teardown(struct fixture *f)
{
	subjects_close(&f->s);
	hasher_done(&f->h);
	testlog_done(&f->t);
}

static struct subject_key
key_of(struct fixture *f, const char *tenant, const char *caller)
{
	struct subject_key k;

	assert_int_equal(subjects_get(&f->s, &f->h, tenant, caller, /* now_us= */ 7, &k, &f->t.err),
			 IM_OK);
	return k;
}

static bool
same(struct subject_key a, struct subject_key b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

static size_t
slurp(struct fixture *f, uint8_t *out, size_t cap)
{
	FILE *file = fopen(f->t.subjects, "re");
	size_t n;

	assert_non_null(file);
	n = fread(out, 1, cap, file);
	(void)fclose(file);
	return n;
}

static void
spill(struct fixture *f, const uint8_t *data, size_t len)
{
	FILE *file = fopen(f->t.subjects, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static void
test_subjects_each_pair_has_one_key_for_ever(void **state)
{
	struct fixture f;
	struct subject_key a, b, c, many[2000];
	char name[32];

	(void)state;
	setup(&f);
	assert_int_equal(reopen(&f), IM_OK);
	a = key_of(&f, "acme", "alice");
	b = key_of(&f, "acme", "bob");
	c = key_of(&f, "acm", "ealice"); /* the same letters */
	assert_false(same(a, b) || same(a, c) || same(b, c));
	assert_true(same(a, key_of(&f, "acme", "alice")));
	assert_int_equal(subjects_sync(&f.s, &f.t.err), IM_OK);
	assert_true(same(a, key_of(&f, "acme", "alice")));
	for (unsigned i = 0; i < 2000; i++) {
		(void)snprintf(name, sizeof(name), "c%u", i);
		many[i] = key_of(&f, "t", name);
	}
	assert_int_equal(subjects_sync(&f.s, &f.t.err), IM_OK);
	assert_int_equal(reopen(&f), IM_OK);
	assert_true(same(a, key_of(&f, "acme", "alice")));
	for (unsigned i = 0; i < 2000; i++) {
		(void)snprintf(name, sizeof(name), "c%u", i);
		assert_true(same(many[i], key_of(&f, "t", name)));
	}
	assert_int_equal(f.s.count, 2003);
	assert_int_equal(f.s.slots, 2004);
	teardown(&f);
}

static void
test_subjects_key_that_was_not_synced_is_forgotten(void **state)
{
	struct fixture f;
	struct subject_key a;

	(void)state;
	setup(&f);
	assert_int_equal(reopen(&f), IM_OK);
	a = key_of(&f, "acme", "alice");
	testdisk_arm(1, ENOSPC); /* half of it is written */
	assert_int_equal(subjects_sync(&f.s, &f.t.err), IM_EUNAVAILABLE);
	assert_true(same(a, key_of(&f, "acme", "alice")));
	assert_int_equal(subjects_sync(&f.s, &f.t.err), IM_OK); /* once more: it holds */
	assert_int_equal(reopen(&f), IM_OK);
	assert_true(same(a, key_of(&f, "acme", "alice")));
	(void)key_of(&f, "acme", "bob");
	testdisk_arm(2, EIO);
	assert_int_equal(subjects_sync(&f.s, &f.t.err), IM_EIO);
	testdisk_arm(0, 0);
	teardown(&f);
}

static void
test_subjects_destroyed_key_is_not_in_the_file(void **state)
{
	struct fixture f;
	struct subject_key a, b, found;
	struct subject_slot slot;
	uint8_t before[1024], after[1024], id[SUBJECT_ID_BYTES];
	size_t len;

	(void)state;
	setup(&f);
	assert_int_equal(reopen(&f), IM_OK);
	a = key_of(&f, "acme", "alice");
	b = key_of(&f, "acme", "bob");
	assert_int_equal(subjects_destroy(&f.s, &f.h, "acme", "carol", &slot, &f.t.err),
			 IM_ENOTFOUND);
	len = slurp(&f, before, sizeof(before));
	assert_int_equal(len, 3 * SLOT);
	assert_int_equal(subjects_destroy(&f.s, &f.h, "acme", "alice", &slot, &f.t.err), IM_OK);
	assert_int_equal(slot.state, SUBJECT_DESTROYED);
	assert_memory_equal(slot.id, a.id, sizeof(a.id));
	assert_int_equal(slurp(&f, after, sizeof(after)), len);
	for (unsigned i = 52; i < 112; i++) /* nonce, sealed key, seal */
		assert_int_equal(after[SLOT + i], 0);
	assert_memory_equal(before + 2 * SLOT, after + 2 * SLOT, SLOT);
	assert_true(subjects_unrecorded(&f.s, id));
	assert_memory_equal(id, a.id, sizeof(id));
	assert_int_equal(reopen(&f), IM_OK); /* it is remembered that a record is to come */
	assert_true(subjects_unrecorded(&f.s, id));
	assert_int_equal(subjects_recorded(&f.s, id, 41, &f.t.err), IM_OK);
	assert_false(subjects_unrecorded(&f.s, id));
	assert_int_equal(subjects_destroy(&f.s, &f.h, "acme", "alice", &slot, &f.t.err), IM_OK);
	assert_int_equal(slot.state, SUBJECT_ERASED);
	assert_int_equal(slot.erase_plus, 42);
	/* Who comes back is a new subject. */
	assert_false(same(a, key_of(&f, "acme", "alice")));
	assert_true(same(b, key_of(&f, "acme", "bob")));
	assert_int_equal(subjects_sync(&f.s, &f.t.err), IM_OK);
	assert_int_equal(
	    subjects_find(f.t.subjects, &f.t.keys.keys, &f.h, a.id, &slot, &found, &f.t.err),
	    IM_OK);
	assert_int_equal(slot.state, SUBJECT_ERASED);
	assert_int_equal(
	    subjects_find(f.t.subjects, &f.t.keys.keys, &f.h, b.id, &slot, &found, &f.t.err),
	    IM_OK);
	assert_true(same(found, b));
	teardown(&f);
}

static void
test_subjects_destruction_cut_off_anywhere_is_finished_by_the_next_start(void **state)
{
	struct fixture f;
	struct subject_key a;
	struct subject_slot slot;
	uint8_t before[1024], after[1024], torn[1024], id[SUBJECT_ID_BYTES];
	const size_t at = SLOT, len = 2 * at;

	(void)state;
	setup(&f);
	assert_int_equal(reopen(&f), IM_OK);
	a = key_of(&f, "acme", "alice");
	assert_int_equal(subjects_sync(&f.s, &f.t.err), IM_OK);
	assert_int_equal(slurp(&f, before, sizeof(before)), len);
	assert_int_equal(subjects_destroy(&f.s, &f.h, "acme", "alice", &slot, &f.t.err), IM_OK);
	assert_int_equal(slurp(&f, after, sizeof(after)), len);
	for (size_t cut = 1; cut <= SLOT; cut++) {
		memcpy(torn, before, len);
		memcpy(torn + at, after + at, cut);
		spill(&f, torn, len);
		assert_int_equal(reopen(&f), IM_OK);
		assert_int_equal(f.s.damaged, 0);
		assert_true(subjects_unrecorded(&f.s, id));
		assert_memory_equal(id, a.id, sizeof(id));
		assert_int_equal(slurp(&f, torn, sizeof(torn)), len);
		assert_memory_equal(torn, after, len);
	}
	teardown(&f);
}

static void
test_subjects_destruction_that_failed_is_finished_by_the_next_one(void **state)
{
	struct fixture f;
	struct subject_key a;
	struct subject_slot slot;
	uint8_t bytes[1024], id[SUBJECT_ID_BYTES];

	(void)state;
	setup(&f);
	assert_int_equal(reopen(&f), IM_OK);
	a = key_of(&f, "acme", "alice");
	(void)key_of(&f, "acme", "bob");
	assert_int_equal(subjects_sync(&f.s, &f.t.err), IM_OK);
	testdisk_arm(1, ENOSPC); /* half of it is written */
	assert_int_equal(subjects_destroy(&f.s, &f.h, "acme", "alice", &slot, &f.t.err),
			 IM_EUNAVAILABLE);
	assert_false(same(a, key_of(&f, "acme", "alice"))); /* already another one */
	assert_int_equal(subjects_destroy(&f.s, &f.h, "acme", "bob", &slot, &f.t.err), IM_OK);
	assert_int_equal(slurp(&f, bytes, sizeof(bytes)), 4 * SLOT);
	for (unsigned i = 52; i < 112; i++)
		assert_int_equal(bytes[SLOT + i], 0);
	for (unsigned i = 0; i < 2; i++) { /* both wait for their records */
		assert_true(subjects_unrecorded(&f.s, id));
		assert_int_equal(subjects_recorded(&f.s, id, i, &f.t.err), IM_OK);
	}
	assert_false(subjects_unrecorded(&f.s, id));
	teardown(&f);
}

static void
test_subjects_changed_key_is_counted_and_replaced(void **state)
{
	struct fixture f;
	struct subject_key a, b;
	uint8_t bytes[1024];
	size_t len;

	(void)state;
	setup(&f);
	assert_int_equal(reopen(&f), IM_OK);
	a = key_of(&f, "acme", "alice");
	b = key_of(&f, "acme", "bob");
	assert_int_equal(subjects_sync(&f.s, &f.t.err), IM_OK);
	len = slurp(&f, bytes, sizeof(bytes));
	bytes[SLOT + 70] ^= 1;
	spill(&f, bytes, len - 1); /* and the last one is cut */
	assert_int_equal(reopen(&f), IM_OK);
	assert_int_equal(f.s.damaged, 1);
	assert_false(same(a, key_of(&f, "acme", "alice")));
	assert_false(same(b, key_of(&f, "acme", "bob")));
	assert_int_equal(subjects_sync(&f.s, &f.t.err), IM_OK);
	assert_int_equal(reopen(&f), IM_OK);
	assert_int_equal(f.s.count, 2);
	teardown(&f);
}

static void
test_subjects_file_of_another_key_file_is_refused(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	assert_int_equal(reopen(&f), IM_OK);
	f.t.keys.keys.master.b[0] ^= 1;
	assert_int_equal(reopen(&f), IM_EINVAL);
	assert_non_null(strstr(f.t.err.text, "another key file"));
	spill(&f, (const uint8_t *)f.t.subjects, SLOT > 90 ? 90 : 0);
	assert_int_equal(reopen(&f), IM_OK); /* shorter than a head: nothing can be in it */
	spill(&f, (const uint8_t *)&f.t, 512);
	assert_int_equal(reopen(&f), IM_EINVAL);
	assert_non_null(strstr(f.t.err.text, "no file of subject keys"));
	teardown(&f);
}

/* A power cut may leave a file's new size without the bytes. */
static void
test_subjects_zeros_that_a_power_cut_left_are_no_damage(void **state)
{
	struct fixture f;
	struct subject_key b;
	uint8_t bytes[4 * SLOT];

	(void)state;
	setup(&f);
	memset(bytes, 0, sizeof(bytes));
	spill(&f, bytes, SLOT); /* of the head, which was being made */
	assert_int_equal(reopen(&f), IM_OK);
	(void)key_of(&f, "acme", "alice");
	b = key_of(&f, "acme", "bob");
	assert_int_equal(subjects_sync(&f.s, &f.t.err), IM_OK);
	assert_int_equal(slurp(&f, bytes, sizeof(bytes)), 3 * SLOT);
	memset(bytes + SLOT, 0, SLOT); /* of keys, which were being added */
	spill(&f, bytes, 4 * SLOT);
	assert_int_equal(reopen(&f), IM_OK);
	assert_int_equal(f.s.damaged, 0);
	assert_true(same(b, key_of(&f, "acme", "bob")));
	memset(bytes, 0,
	       SLOT); /* but a head that was there before the keys was not lost in a crash */
	spill(&f, bytes, 4 * SLOT);
	assert_int_equal(reopen(&f), IM_EINVAL);
	teardown(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_subjects_each_pair_has_one_key_for_ever),
		cmocka_unit_test(test_subjects_key_that_was_not_synced_is_forgotten),
		cmocka_unit_test(test_subjects_destroyed_key_is_not_in_the_file),
		cmocka_unit_test(
		    test_subjects_destruction_cut_off_anywhere_is_finished_by_the_next_start),
		cmocka_unit_test(test_subjects_destruction_that_failed_is_finished_by_the_next_one),
		cmocka_unit_test(test_subjects_changed_key_is_counted_and_replaced),
		cmocka_unit_test(test_subjects_file_of_another_key_file_is_refused),
		cmocka_unit_test(test_subjects_zeros_that_a_power_cut_left_are_no_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
