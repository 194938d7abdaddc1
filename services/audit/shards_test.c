/*
 * audit/shards_test.c - names of shards, and the way from the first one to the last, also when somebody has bent it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>

#include "audit/proof_file.h"
#include "audit/shards.h"
#include "audit/testlog.h"

#define ORIGIN "a.test/log"
#define US     UINT64_C(1000000)

/* 2027-01-01, 2027-07-01 and 2028-01-01, 00:00 UTC */
#define Y2027  (UINT64_C(1798761600) * US)
#define Y2027M (UINT64_C(1814400000) * US)
#define Y2028  (UINT64_C(1830297600) * US)

static void
test_shard_names_have_one_spelling(void **state)
{
	static const char *const bad[] = { "",          "2027",     "2027h1",          "2027h1-",
					   "2027h1-0",  "2027h3-1", "2027h0-1",        "2027h1-01",
					   "02027h1-1", "2027H1-1", "27h1-1",          "2027h1-1/",
					   "2027h1-+1", "tile",     "2027h1-100000000" };

	(void)state;
	assert_true(shard_name_ok("2027h1-1"));
	assert_true(shard_name_ok("2027h2-99999"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (shard_name_ok(bad[i]))
			fail_msg("%s", bad[i]);
	assert_string_equal(shard_name_of(ORIGIN, ORIGIN "/2027h1-1"), "2027h1-1");
	assert_null(shard_name_of(ORIGIN, ORIGIN "/2027h1-1/x"));
	assert_null(shard_name_of(ORIGIN, ORIGIN));
	assert_null(shard_name_of(ORIGIN, "b.test/log/2027h1-1"));
	assert_null(shard_name_of(ORIGIN, ORIGIN "/../2027h1-1"));
}

static void
expect_next(const char *previous, uint64_t us, const char *want)
{
	char name[SHARD_NAME_MAX];

	assert_true(shard_name_next(previous, us, name));
	assert_string_equal(name, want);
}

static void
test_shard_name_follows_from_the_time_and_the_one_before(void **state)
{
	char name[SHARD_NAME_MAX];

	(void)state;
	expect_next("", Y2027, "2027h1-1");
	expect_next("", Y2027 - 1, "2026h2-1");
	expect_next("2027h1-1", Y2027, "2027h1-2");
	expect_next("2027h1-9", Y2027M - 1, "2027h1-10");
	expect_next("2027h1-9", Y2027M, "2027h2-1");
	expect_next("2027h2-3", Y2027, "2027h2-4"); /* a clock that was set back */
	assert_false(shard_name_next("2027h1-99999", Y2027, name));
}

static void
test_shard_half_year_ends_at_midnight_utc(void **state)
{
	(void)state;
	assert_int_equal(shard_half_year_end(Y2027 - 1), Y2027);
	assert_int_equal(shard_half_year_end(Y2027), Y2027M);
	assert_int_equal(shard_half_year_end(Y2027M - 1), Y2027M);
	assert_int_equal(shard_half_year_end(Y2027M), Y2028);
}

/* A chain of links in a folder, without the shards themselves. */
struct chain {
	struct testlog t;
	struct audit_source source;
	struct hasher h;
	struct note_signer signer[4];
	char vkey[4][NOTE_KEYTEXT_MAX];
	struct im_err err;
};

static const char *const origins[] = { ORIGIN, ORIGIN "/2026h2-1", ORIGIN "/2026h2-2",
				       ORIGIN "/2027h1-1" };

static void
setup(struct chain *c)
{
	memset(c, 0, sizeof(*c));
	testlog_init(&c->t);
	source_folder(&c->source, c->t.dir);
	assert_int_equal(hasher_init(&c->h, NULL), IM_OK);
	for (unsigned i = 0; i < 4; i++) {
		const uint8_t seed[NOTE_KEY_BYTES] = { (uint8_t)i };

		assert_int_equal(note_signer_new(origins[i], seed, &c->signer[i], NULL), IM_OK);
		note_signer_vkey(&c->signer[i], c->vkey[i]);
	}
}

static void
teardown(struct chain *c)
{
	for (unsigned i = 0; i < 4; i++)
		note_signer_done(&c->signer[i]);
	hasher_done(&c->h);
	testlog_done(&c->t);
}

/* The shard in folder 'name' ends with its first record, which names 'origin' and 'vkey'. */
static void
end_shard(struct chain *c, const char *name, const struct note_signer *signer, const char *origin,
	  const char *vkey)
{
	const struct record r = { .kind = RECORD_KEY_ROTATE,
				  .has_next = true,
				  .next = { origin, vkey } };
	struct proof_file p = { 0 };
	struct buf entry = { 0 }, cp = { 0 }, out = { 0 };
	char path[256];
	struct hash root;
	FILE *f;

	assert_true(record_encode(&r, &entry));
	tlog_leaf(&c->h, entry.data, entry.len, &root);
	assert_int_equal(checkpoint_sign(signer, 1, &root, &cp, NULL), IM_OK);
	p.entry = entry.data;
	p.entry_len = entry.len;
	p.checkpoint = buf_cstr(&cp);
	p.checkpoint_len = cp.len;
	assert_int_equal(proof_file_put(&p, &out, NULL), IM_OK);
	(void)snprintf(path, sizeof(path), "%s/%s", c->t.dir, name);
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof(path), "%s/%s/" SHARD_NEXT, c->t.dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(out.data, 1, out.len, f), out.len);
	assert_int_equal(fclose(f), 0);
	buf_done(&entry);
	buf_done(&cp);
	buf_done(&out);
}

static void
test_shards_of_a_log_without_any_are_one(void **state)
{
	struct shards s;
	struct chain c;
	uint64_t index;

	(void)state;
	setup(&c);
	assert_int_equal(shards_load(&c.source, NULL, &s, &c.err), IM_OK);
	assert_int_equal(s.count, 1);
	assert_false(s.shard[0]->closed);
	assert_ptr_equal(shards_at(&s, 4711, &index), s.shard[0]);
	assert_int_equal(index, 4711);
	shards_done(&s);
	teardown(&c);
}

static void
test_shards_are_found_from_the_first_on(void **state)
{
	struct shards s;
	struct chain c;
	uint64_t index;

	(void)state;
	setup(&c);
	end_shard(&c, "", &c.signer[0], origins[1], c.vkey[1]);
	end_shard(&c, "2026h2-1", &c.signer[1], origins[2], c.vkey[2]);
	end_shard(&c, "2026h2-2", &c.signer[2], origins[3], c.vkey[3]);
	assert_int_equal(shards_load(&c.source, c.vkey[0], &s, &c.err), IM_OK);
	assert_int_equal(s.count, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_string_equal(s.shard[i]->origin, origins[i]);
		assert_string_equal(s.shard[i]->vkey, c.vkey[i]);
		assert_int_equal(s.shard[i]->first, i);
		assert_int_equal(s.shard[i]->closed, i < 3);
		assert_ptr_equal(shards_at(&s, i, &index), s.shard[i]);
		assert_int_equal(index, 0);
	}
	assert_ptr_equal(shards_at(&s, 100, &index), s.shard[3]);
	assert_int_equal(index, 97);
	assert_ptr_equal(shards_named(&s, "2026h2-2"), s.shard[2]);
	assert_null(shards_named(&s, "2026h2-3"));
	shards_done(&s);
	/* Without a key the first link is believed. */
	assert_int_equal(shards_load(&c.source, NULL, &s, &c.err), IM_OK);
	assert_int_equal(s.count, 4);
	shards_done(&s);
	teardown(&c);
}

static void
refused(struct chain *c, const char *where)
{
	struct shards s = { 0 };

	assert_int_equal(shards_load(&c->source, c->vkey[0], &s, &c->err), IM_ECORRUPT);
	if (strstr(c->err.text, where) == NULL)
		fail_msg("%s", c->err.text);
}

static void
test_shards_bent_links_are_refused(void **state)
{
	struct chain c;

	(void)state;
	setup(&c);
	/* Signed by somebody else. */
	end_shard(&c, "", &c.signer[1], origins[1], c.vkey[1]);
	refused(&c, ": next.tlog-proof");
	end_shard(&c, "", &c.signer[0], origins[1], c.vkey[1]);
	end_shard(&c, "2026h2-1", &c.signer[2], origins[2], c.vkey[2]);
	refused(&c, "/2026h2-1: next.tlog-proof");
	/* In a circle, and out of the folder. */
	end_shard(&c, "2026h2-1", &c.signer[1], origins[1], c.vkey[1]);
	refused(&c, "no next shard");
	end_shard(&c, "2026h2-1", &c.signer[1], ORIGIN "/../etc", c.vkey[2]);
	refused(&c, "the key of");
	/* A name and a key that do not belong together; a key that is none. */
	end_shard(&c, "2026h2-1", &c.signer[1], origins[2], c.vkey[3]);
	refused(&c, "the key of");
	end_shard(&c, "2026h2-1", &c.signer[1], origins[2], "key");
	refused(&c, "2026h2-1: next.tlog-proof");
	teardown(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shard_names_have_one_spelling),
		cmocka_unit_test(test_shard_name_follows_from_the_time_and_the_one_before),
		cmocka_unit_test(test_shard_half_year_ends_at_midnight_utc),
		cmocka_unit_test(test_shards_of_a_log_without_any_are_one),
		cmocka_unit_test(test_shards_are_found_from_the_first_on),
		cmocka_unit_test(test_shards_bent_links_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
