/*
 * audit/witness_rules_test.c - requests to a witness: their bytes, and what may be cosigned.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/witness_accuse.h"
#include "audit/witness_rig.h"
#include "base/log.h"
#include "base/prng.h"

struct fixture {
	struct witness_rig log, fork; /* the fork parts at leaf 5 */
	struct witness_log known;
	struct buf request;
	struct witness_verdict v;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	witness_rig_init(&f->log, "example.com/log", 1, WITNESS_RIG_SIZE);
	witness_rig_init(&f->fork, "example.com/log", 1, 5);
	witness_rig_log(&f->log, &f->known);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	witness_rig_done(&f->log);
	witness_rig_done(&f->fork);
	buf_done(&f->request);
	free(f);
	return 0;
}

static enum witness_result
judge(struct fixture *f)
{
	witness_judge(&f->known, 1, &f->log.hasher, buf_cstr(&f->request), f->request.len, &f->v);
	return f->v.result;
}

/* As a witness that has cosigned 'size' leaves of 'rig'. */
static void
know(struct fixture *f, struct witness_rig *rig, uint64_t size)
{
	f->known.size = size;
	witness_rig_root(rig, size, &f->known.root);
}

static enum witness_result
submit(struct fixture *f, struct witness_rig *rig, uint64_t old, uint64_t size)
{
	witness_rig_request(rig, old, size, &f->request);
	return judge(f);
}

static void
test_rules_every_growth_is_good_and_nothing_else(void **state)
{
	struct fixture *f = *state;

	for (uint64_t known = 0; known <= WITNESS_RIG_SIZE; known++) {
		know(f, &f->log, known);
		for (uint64_t size = 0; size <= WITNESS_RIG_SIZE; size++) {
			enum witness_result want = size < known ? WITNESS_MALFORMED : WITNESS_GOOD;

			assert_int_equal(submit(f, &f->log, known, size), want);
			assert_true(want != WITNESS_GOOD || f->v.news == (size > known));
			if (known > 0)
				assert_int_equal(submit(f, &f->log, 0, size), WITNESS_BEHIND);
		}
	}
}

static void
test_rules_rollback_is_answered_with_the_size(void **state)
{
	struct fixture *f = *state;

	know(f, &f->log, 20);
	assert_int_equal(submit(f, &f->log, 10, 12), WITNESS_BEHIND);
	assert_int_equal(witness_status(f->v.result), 409);
	assert_int_equal(submit(f, &f->log, 19, 30), WITNESS_BEHIND);
	assert_int_equal(submit(f, &f->log, 21, 30), WITNESS_BEHIND);
	assert_int_equal(submit(f, &f->log, 20, 19), WITNESS_MALFORMED); /* 400, as the spec says */
	assert_int_equal(witness_status(f->v.result), 400);
}

static void
test_rules_fork_is_never_good(void **state)
{
	struct fixture *f = *state;

	for (uint64_t known = 6; known < WITNESS_RIG_SIZE; known++) {
		know(f, &f->log, known);
		assert_int_equal(submit(f, &f->fork, known, known), WITNESS_FORK);
		assert_int_equal(witness_status(f->v.result), 409);
		for (uint64_t size = known + 1; size <= WITNESS_RIG_SIZE; size++) {
			assert_int_equal(submit(f, &f->fork, known, size), WITNESS_INCONSISTENT);
			assert_int_equal(witness_status(f->v.result), 422);
		}
	}
	know(f, &f->log, 5); /* as far they are the same */
	assert_int_equal(submit(f, &f->fork, 5, 9), WITNESS_GOOD);
	f->known.size = 0; /* the empty tree has one root */
	witness_rig_request(&f->log, 0, 0, &f->request);
	assert_int_equal(judge(f), WITNESS_GOOD);
	assert_false(f->v.news);
}

/* The proof of one size for another, one hash short, one too many, two swapped. */
static void
test_rules_wrong_proof_is_inconsistent(void **state)
{
	struct fixture *f = *state;
	struct add_checkpoint r, bad;
	char *bytes;

	know(f, &f->log, 11);
	witness_rig_request(&f->log, 11, 37, &f->request);
	bytes = strndup(buf_cstr(&f->request), f->request.len);
	assert_int_equal(add_checkpoint_parse(bytes, f->request.len, &r, NULL), IM_OK);
	for (size_t i = 0; i <= r.proof.count; i++) {
		bad = r;
		if (i < r.proof.count)
			bad.proof.hash[i].b[i % HASH_BYTES] ^= 1;
		else
			bad.proof.count--;
		buf_clear(&f->request);
		assert_true(add_checkpoint_put(&f->request, &bad));
		assert_int_equal(judge(f), WITNESS_INCONSISTENT);
	}
	bad = r;
	bad.proof.hash[bad.proof.count++] = r.proof.hash[0];
	buf_clear(&f->request);
	assert_true(add_checkpoint_put(&f->request, &bad));
	assert_int_equal(judge(f), WITNESS_INCONSISTENT);
	/* From nothing the proof is empty. */
	f->known.size = 0;
	bad = r;
	bad.old = 0;
	buf_clear(&f->request);
	assert_true(add_checkpoint_put(&f->request, &bad));
	assert_int_equal(judge(f), WITNESS_INCONSISTENT);
	free(bytes);
}

static void
test_rules_unknown_logs_and_keys_are_refused(void **state)
{
	struct fixture *f = *state;
	struct witness_rig other;

	witness_rig_init(&other, "example.com/other", 1, 0);
	assert_int_equal(submit(f, &other, 0, 3), WITNESS_UNKNOWN);
	assert_int_equal(witness_status(f->v.result), 404);
	witness_rig_done(&other);
	witness_rig_init(&other, "example.com/log", 2, 0); /* another key of the same name */
	assert_int_equal(submit(f, &other, 0, 3), WITNESS_UNSIGNED);
	assert_int_equal(witness_status(f->v.result), 403);
	note_verifier_of(&other.key, &f->known.key[1]);
	f->known.key_count = 2;
	assert_int_equal(judge(f), WITNESS_GOOD); /* any of the keys will do */
	assert_int_equal(f->v.sig->key_id, other.key.key_id);
	witness_rig_done(&other);
}

/* Another log may have extension lines, and an origin that is no name of a key; others' signatures do not matter. */
static void
test_rules_of_other_peoples_logs(void **state)
{
	struct fixture *f = *state;
	struct buf note = { 0 };
	struct hash root;
	struct checkpoint c = { .origin = "go.sum database tree", .size = 9 };
	struct add_checkpoint r = { .old = 0 };

	memcpy(f->known.origin, c.origin, sizeof(c.origin));
	witness_rig_root(&f->log, 9, &root);
	c.root = root;
	assert_true(checkpoint_put(&note, &c) && buf_append_str(&note, "more\nlines of it\n"));
	r.note = strndup(buf_cstr(&note), note.len);
	r.note_len = note.len;
	buf_clear(&note);
	assert_int_equal(note_sign(&f->log.key, r.note, r.note_len, &note, NULL), IM_OK);
	(void)buf_append_str(&note, "\xe2\x80\x94 somebody.else q83vAAAAAAAAAA==\n");
	free((char *)r.note);
	r.note = buf_cstr(&note);
	r.note_len = note.len;
	buf_clear(&f->request);
	assert_true(add_checkpoint_put(&f->request, &r));
	assert_int_equal(judge(f), WITNESS_GOOD);
	assert_int_equal(f->v.at.size, 9);
	assert_non_null(strstr(f->v.note.text, "lines of it"));
	buf_done(&note);
}

static void
test_request_golden_bytes(void **state)
{
	static const char golden[] =
	    "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
	    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\nexample.com/behind-the-sofa\n";
	struct add_checkpoint r;
	struct buf again = { 0 };

	(void)state;
	assert_int_equal(add_checkpoint_parse(golden, strlen(golden), &r, NULL), IM_OK);
	assert_int_equal(r.old, 20852014);
	assert_int_equal(r.proof.count, 2);
	assert_int_equal(r.proof.hash[0].b[0], 0x3e);
	assert_int_equal(r.note_len, strlen("example.com/behind-the-sofa\n"));
	assert_true(add_checkpoint_put(&again, &r));
	assert_string_equal(buf_cstr(&again), golden);
	buf_done(&again);
}

static void
test_request_malformed_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"old 1",
		"old \n\nx",
		"old 01\n\nx",
		"old -1\n\nx",
		"old  1\n\nx",
		"old 1 \n\nx",
		"old 18446744073709551616\n\nx",
		"OLD 1\n\nx",
		"old 1\r\n\r\nx",
		"old 1\nx\n\n",
		"old 1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n\nx", /* 31 bytes */
		"old 1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\nx", /* 33 bytes */
		"old 1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n\nx", /* unused bits */
		"old 1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nx",
	};
	struct fixture *f = *state;
	struct add_checkpoint r;
	struct buf many = { 0 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (add_checkpoint_parse(bad[i], strlen(bad[i]), &r, NULL) != IM_EPROTO)
			fail_msg("taken: %s", bad[i]);
	(void)buf_append_str(&many, "old 1\n");
	for (int i = 0; i < ADD_CHECKPOINT_PROOF_MAX; i++)
		(void)buf_append_str(&many, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
	(void)buf_append_str(&many, "\nx");
	assert_int_equal(add_checkpoint_parse(buf_cstr(&many), many.len, &r, NULL), IM_OK);
	assert_int_equal(r.proof.count, ADD_CHECKPOINT_PROOF_MAX);
	many.len -= 2;
	(void)buf_append_str(&many, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nx");
	assert_int_equal(add_checkpoint_parse(buf_cstr(&many), many.len, &r, NULL), IM_EPROTO);
	while (many.len <= ADD_CHECKPOINT_MAX_BYTES)
		assert_true(buf_append_byte(&many, 'x'));
	assert_int_equal(add_checkpoint_parse(buf_cstr(&many), many.len, &r, NULL), IM_ETOOBIG);
	buf_done(&many);
	/* Cut at every byte: never more than refused. */
	know(f, &f->log, 11);
	witness_rig_request(&f->log, 11, 37, &f->request);
	for (size_t len = f->request.len; len-- > 0;) {
		witness_judge(&f->known, 1, &f->log.hasher, buf_cstr(&f->request), len, &f->v);
		assert_int_not_equal(f->v.result, WITNESS_GOOD);
	}
}

static void
test_request_with_flipped_bits_is_never_good(void **state)
{
	struct fixture *f = *state;
	struct prng p;
	const uint64_t seed = 20260704;

	prng_seed(&p, seed);
	know(f, &f->log, 11);
	witness_rig_request(&f->log, 11, 37, &f->request);
	for (int i = 0; i < 20000; i++) {
		uint32_t bit = prng_below(&p, (uint32_t)f->request.len * 8);

		f->request.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (judge(f) == WITNESS_GOOD)
			fail_msg("seed %llu: bit %u flipped, and it was good",
				 (unsigned long long)seed, bit);
		f->request.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(judge(f), WITNESS_GOOD);
}

static char lines[16384];

static void
keep_line(void *arg, const char *line)
{
	(void)arg;
	(void)strncat(lines, line, sizeof(lines) - strlen(lines) - 1);
}

static unsigned
count(const char *what)
{
	unsigned n = 0;

	for (const char *at = lines; (at = strstr(at, what)) != NULL; at++)
		n++;
	return n;
}

/* Anybody can send the log's newest checkpoint with a wrong proof, as often as he likes, and what the log signed too. */
static void
test_log_is_accused_of_what_it_signed_and_of_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct witness_accused a = { .said = { false } };
	struct witness_rig third;

	lines[0] = '\0';
	log_capture(keep_line, NULL);
	know(f, &f->log, 9);
	for (uint64_t ms = 0; ms <= WITNESS_ACCUSE_MS; ms += WITNESS_ACCUSE_MS / 8) {
		witness_rig_request(&f->log, 9, 12, &f->request);
		f->request.data[strlen("old 9\n")] ^= 1;
		assert_int_equal(judge(f), WITNESS_INCONSISTENT);
		witness_accuse(&a, &f->v, ms);
		assert_int_equal(submit(f, &f->fork, 9, 9), WITNESS_FORK);
		witness_accuse(&a, &f->v, ms);
	}
	assert_int_equal(count("a proof that does not continue"), 2); /* now, and a minute later */
	assert_int_equal(count("a log signed a checkpoint"), 2);
	witness_rig_init(&third, "example.com/log", 1, 7);
	assert_int_equal(submit(f, &third, 9, 9), WITNESS_FORK);
	witness_rig_done(&third);
	witness_accuse(&a, &f->v, WITNESS_ACCUSE_MS);
	assert_int_equal(count("a log signed a checkpoint"), 3);
	assert_int_equal(count("\"error\""), 3);
	/* Without the log's signature the line would prove nothing. */
	assert_int_equal(count("\"infermesh.signature\":\"\xe2\x80\x94 example.com/log "), 5);
	log_capture(NULL, NULL);
}

static void
test_size_answer_is_strict(void **state)
{
	uint64_t v = 7;

	(void)state;
	assert_true(add_checkpoint_parse_size("0\n", 2, &v) && v == 0);
	assert_true(add_checkpoint_parse_size("18446744073709551615\n", 21, &v) && v == UINT64_MAX);
	assert_false(add_checkpoint_parse_size("5", 1, &v));
	assert_false(add_checkpoint_parse_size("\n", 1, &v));
	assert_false(add_checkpoint_parse_size("5\r\n", 3, &v));
	assert_false(add_checkpoint_parse_size("05\n", 3, &v));
	assert_false(add_checkpoint_parse_size("", 0, &v));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rules_every_growth_is_good_and_nothing_else,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_rules_rollback_is_answered_with_the_size,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_rules_fork_is_never_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rules_wrong_proof_is_inconsistent, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_rules_unknown_logs_and_keys_are_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_rules_of_other_peoples_logs, setup, teardown),
		cmocka_unit_test(test_request_golden_bytes),
		cmocka_unit_test_setup_teardown(test_request_malformed_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_request_with_flipped_bits_is_never_good, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
		    test_log_is_accused_of_what_it_signed_and_of_nothing_else, setup, teardown),
		cmocka_unit_test(test_size_answer_is_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
