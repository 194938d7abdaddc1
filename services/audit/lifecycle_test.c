/*
 * audit/lifecycle_test.c - erasure: nothing of the subject opens afterwards, every proof still verifies, and a crash at any
 * point changes neither.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/commitment.h"
#include "audit/find.h"
#include "audit/lifecycle.h"
#include "audit/opening.h"
#include "audit/testlog.h"

static void
content_of(const char *caller, uint64_t n, uint8_t ret[HASH_BYTES])
{
	char text[HASH_BYTES] = "";

	(void)snprintf(text, sizeof(text), "%s %lu", caller, (unsigned long)n);
	memcpy(ret, text, sizeof(text));
}

/* The ERASE record 'index' names the key and who asked, and not who it was about. */
static void
assert_erase_record(struct testlog *t, struct audit_log *log, uint64_t index, const uint8_t *key_id)
{
	uint8_t actor[PSEUDONYM_BYTES];
	struct audit_source source;
	struct buf entry = { 0 };
	struct arena arena = { 0 };
	struct record r;

	source_folder(&source, t->dir);
	assert_int_equal(audit_entry(&source, index, &entry, &t->err), IM_OK);
	assert_int_equal(record_decode(entry.data, entry.len, &arena, &r, &t->err), IM_OK);
	assert_int_equal(r.kind, RECORD_ERASE);
	assert_memory_equal(r.subject_key, key_id, sizeof(r.subject_key));
	pseudonym_make(&log->hasher, &t->keys.keys, "operators", PSEUDONYM_CALLER, "uid:7", actor);
	assert_true(r.has_caller);
	assert_memory_equal(r.caller, actor, sizeof(actor));
	arena_done(&arena);
	buf_done(&entry);
}

/* A record of request 'n' by 'caller', whose input is number 'said' of that caller, durable. */
static uint64_t
tell(struct testlog *t, struct audit_log *log, enum record_kind kind, const char *caller,
     uint64_t n, uint64_t said)
{
	struct audit_event e;
	uint64_t index;

	testlog_event(&e, kind, n);
	e.caller = caller;
	e.has_input = true;
	content_of(caller, said, e.input_sha256);
	assert_int_equal(audit_log_add(log, &e, &index, &t->err), IM_OK);
	assert_int_equal(audit_log_commit(log, false, &t->err), IM_OK);
	return index;
}

static uint64_t
ask(struct testlog *t, struct audit_log *log, const char *caller, uint64_t n)
{
	return tell(t, log, RECORD_REQUEST, caller, n, n);
}

/* Open the input of record 'index', and check the opening against what was said. */
static enum im_rc
open_input(struct testlog *t, uint64_t index, const char *caller, uint64_t n)
{
	uint8_t content[HASH_BYTES];
	struct opening o;
	struct hasher h;
	struct hash c;
	enum im_rc rc;

	assert_int_equal(hasher_init(&h, NULL), IM_OK);
	rc = opening_get(t->dir, t->subjects, &t->keys.keys, index, COMMITMENT_INPUT, NULL, &o,
			 &t->err);
	if (rc == IM_OK) {
		content_of(caller, n, content);
		commitment_make(&h, &o.opening, COMMITMENT_INPUT, content, &c);
		assert_memory_equal(&c, &o.commitment, sizeof(c));
	}
	hasher_done(&h);
	return rc;
}

/* What is remembered of a REQUEST must not get into a RESPONSE that says something else, is somebody else's, or comes when the key is gone. */
static void
test_response_commits_to_its_own_input_under_the_key_of_its_time(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct audit_erased e;
	uint64_t asked, same, other, whose, late;

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	assert_non_null(log);
	(void)ask(&t, log, "alice", 1);
	same = tell(&t, log, RECORD_RESPONSE, "alice", 1, 1);
	(void)ask(&t, log, "alice", 2);
	other = tell(&t, log, RECORD_RESPONSE, "alice", 2, 77);
	(void)ask(&t, log, "alice", 3);
	whose = tell(&t, log, RECORD_RESPONSE, "bob", 3, 3);
	asked = ask(&t, log, "alice", 4);
	assert_int_equal(open_input(&t, same, "alice", 1), IM_OK);
	assert_int_equal(open_input(&t, other, "alice", 77), IM_OK);
	assert_int_equal(open_input(&t, whose, "bob", 3), IM_OK);
	assert_int_equal(open_input(&t, asked, "alice", 4), IM_OK);
	assert_int_equal(audit_log_erase(log, "acme", "alice", "uid:7", &e, &t.err), IM_OK);
	late = tell(&t, log, RECORD_RESPONSE, "alice", 4, 4);
	assert_int_equal(open_input(&t, late, "alice", 4), IM_OK);
	assert_int_equal(open_input(&t, asked, "alice", 4), IM_EPERM);
	audit_log_close(log);
	testlog_done(&t);
}

static void
test_erase_nothing_of_the_subject_opens_and_all_still_verifies(void **state)
{
	struct testlog t;
	struct verify_report r;
	struct audit_log *log;
	struct audit_erased e, again;
	uint64_t alice[20], bob[20], later;

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	assert_non_null(log);
	for (uint64_t n = 0; n < 20; n++) {
		alice[n] = ask(&t, log, "alice", 2 * n);
		bob[n] = ask(&t, log, "bob", 2 * n + 1);
	}
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	for (uint64_t n = 0; n < 20; n++)
		assert_int_equal(open_input(&t, alice[n], "alice", 2 * n), IM_OK);
	assert_int_equal(audit_log_erase(log, "acme", "nobody", "uid:7", &e, &t.err), IM_ENOTFOUND);
	assert_int_equal(audit_log_erase(log, "acme", "alice", "uid:7", &e, &t.err), IM_OK);
	assert_false(e.before);
	assert_int_equal(e.index, 40);
	assert_erase_record(&t, log, e.index, e.key_id);
	for (uint64_t n = 0; n < 20; n++) {
		assert_int_equal(open_input(&t, alice[n], "alice", 2 * n), IM_EPERM);
		assert_non_null(strstr(t.err.text, "erased"));
		assert_int_equal(open_input(&t, bob[n], "bob", 2 * n + 1), IM_OK);
	}
	assert_int_equal(audit_log_erase(log, "acme", "alice", "uid:7", &again, &t.err), IM_OK);
	assert_true(again.before);
	assert_int_equal(again.index, 40);
	assert_memory_equal(again.key_id, e.key_id, sizeof(e.key_id));
	assert_int_equal(audit_log_size(log), 41);
	/* Who comes back gets another key: what is new opens, what is old does not. */
	later = ask(&t, log, "alice", 1000);
	assert_int_equal(open_input(&t, later, "alice", 1000), IM_OK);
	assert_int_equal(open_input(&t, alice[3], "alice", 6), IM_EPERM);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.kinds[RECORD_ERASE], 1);
	assert_int_equal(r.size, 42);
	/* It stays so over a restart. */
	log = testlog_open(&t);
	assert_non_null(log);
	assert_int_equal(audit_log_size(log), 42);
	assert_int_equal(open_input(&t, alice[0], "alice", 0), IM_EPERM);
	assert_int_equal(open_input(&t, later, "alice", 1000), IM_OK);
	audit_log_close(log);
	testlog_done(&t);
}

static void
copy(const char *from, const char *to)
{
	char bytes[4096];
	FILE *in = fopen(from, "re"), *out = fopen(to, "we");
	size_t n;

	assert_non_null(in);
	assert_non_null(out);
	while ((n = fread(bytes, 1, sizeof(bytes), in)) > 0)
		assert_int_equal(fwrite(bytes, 1, n, out), n);
	(void)fclose(in);
	assert_int_equal(fclose(out), 0);
}

static void
test_erase_holds_when_an_old_copy_of_the_keys_is_put_back(void **state)
{
	struct testlog t;
	struct audit_log *log;
	struct audit_erased e;
	uint64_t alice, bob;
	char backup[160];

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	assert_non_null(log);
	alice = ask(&t, log, "alice", 1);
	bob = ask(&t, log, "bob", 2);
	(void)snprintf(backup, sizeof(backup), "%s.old", t.subjects);
	copy(t.subjects, backup);
	assert_int_equal(audit_log_erase(log, "acme", "alice", "uid:7", &e, &t.err), IM_OK);
	audit_log_close(log);
	copy(backup, t.subjects);
	assert_int_equal(open_input(&t, alice, "alice", 1), IM_OK); /* it is back … */
	log = testlog_open(&t);
	assert_non_null(log);
	assert_int_equal(log->revived, 1);
	assert_int_equal(open_input(&t, alice, "alice", 1), IM_EPERM); /* … until the next start */
	assert_int_equal(open_input(&t, bob, "bob", 2), IM_OK);
	assert_int_equal(audit_log_erase(log, "acme", "alice", "uid:7", &e, &t.err), IM_OK);
	assert_true(e.before);
	assert_int_equal(audit_log_size(log), 3);
	audit_log_close(log);
	log = testlog_open(&t);
	assert_int_equal(log->revived, 0);
	audit_log_close(log);
	(void)unlink(backup);
	testlog_done(&t);
}

/* An erasure in a process that is killed at disk call 'at', or whose call fails. False when there was no such call. */
static bool
erase_cut_off(unsigned at, int errnum)
{
	struct testlog t;
	struct verify_report r;
	struct audit_log *log;
	struct audit_erased e;
	uint64_t index, other;
	int status;
	pid_t pid;

	testlog_init(&t);
	testdisk_arm(0, 0);
	t.ops = &testdisk;
	log = testlog_open(&t);
	assert_non_null(log);
	index = ask(&t, log, "alice", 1);
	other = ask(&t, log, "bob", 2);
	pid = fork(); /* the log is its, from here on */
	assert_true(pid >= 0);
	if (pid == 0) {
		enum im_rc rc;

		testdisk_arm(at, errnum);
		rc = audit_log_erase(log, "acme", "alice", "uid:7", &e, &t.err);
		_exit(testdisk_calls() < at ? 0 : rc == IM_OK ? 1 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	audit_log_close(log);
	log = testlog_open(&t);
	if (log == NULL)
		fail_msg("call %u: %s", at, t.err.text);
	/* Either nothing happened, or all of it; in the latter case the record is there. */
	if (subjects_unrecorded(&log->subjects, e.key_id))
		fail_msg("call %u: an erasure without its record", at);
	if (open_input(&t, index, "alice", 1) == IM_OK)
		assert_int_equal(audit_log_size(log), 2);
	else
		assert_int_equal(audit_log_size(log), 3);
	assert_int_equal(audit_log_erase(log, "acme", "alice", "uid:7", &e, &t.err), IM_OK);
	assert_int_equal(open_input(&t, index, "alice", 1), IM_EPERM);
	assert_int_equal(open_input(&t, other, "bob", 2), IM_OK);
	assert_int_equal(e.index, 2);
	assert_int_equal(audit_log_size(log), 3);
	assert_int_equal(publisher_pass(&log->publisher, true, &t.err), IM_OK);
	audit_log_close(log);
	testlog_verify(&t, &r);
	assert_int_equal(r.kinds[RECORD_ERASE], 1);
	testlog_done(&t);
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
test_erase_killed_or_failing_at_any_call_is_finished_once(void **state)
{
	static const int how[] = { TESTDISK_KILL, ENOSPC, EIO };
	unsigned runs = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(how) / sizeof(how[0]); i++)
		for (unsigned at = 1; erase_cut_off(at, how[i]); at++)
			runs++;
	assert_true(runs >= 15);
	print_message("%u sites x faults\n", runs);
}

static enum im_rc
open_old(struct testlog *t, const char *tenant, const char *caller, struct opening *ret)
{
	const struct opening_subject who = { tenant, caller };

	return opening_get(t->dir, t->subjects, &t->keys.keys, 0, COMMITMENT_OUTPUT, &who, ret,
			   &t->err);
}

/* As the service wrote them before subjects had keys of their own. */
static void
test_open_record_without_a_subject_key_needs_the_names(void **state)
{
	struct record r = { .kind = RECORD_RESPONSE,
			    .has_request_id = true,
			    .request_id = { 9 },
			    .has_caller = true,
			    .has_tenant = true,
			    .has_output = true };
	uint8_t content[HASH_BYTES];
	struct testlog t;
	struct audit_log *log;
	struct hash subject, opening;
	struct hmac_key opener;
	struct opening o;
	uint64_t index;

	(void)state;
	testlog_init(&t);
	log = testlog_open(&t);
	assert_non_null(log);
	content_of("alice", 7, content);
	pseudonym_make(&log->hasher, &t.keys.keys, "acme", PSEUDONYM_CALLER, "alice", r.caller);
	pseudonym_make(&log->hasher, &t.keys.keys, "acme", PSEUDONYM_TENANT, "acme", r.tenant);
	pseudonym_subject(&log->hasher, &t.keys.keys, "acme", "alice", &subject);
	hasher_hmac_key(&subject, &opener);
	commitment_opening(&opener, r.request_id, COMMITMENT_OUTPUT, &opening);
	commitment_make(&log->hasher, &opening, COMMITMENT_OUTPUT, content, &r.output_commitment);
	assert_int_equal(audit_log_put(log, &r, &index, &t.err), IM_OK);
	assert_int_equal(audit_log_commit(log, false, &t.err), IM_OK);
	assert_int_equal(open_old(&t, "acme", "alice", &o), IM_OK);
	assert_true(o.derived);
	assert_memory_equal(&o.opening, &opening, sizeof(opening));
	assert_memory_equal(&o.commitment, &r.output_commitment, sizeof(o.commitment));
	assert_int_equal(open_old(&t, "acme", "bob", &o), IM_EINVAL);
	assert_int_equal(open_old(&t, "acm", "ealice", &o), IM_EINVAL);
	assert_int_equal(open_old(&t, NULL, NULL, &o), IM_EINVAL);
	assert_non_null(strstr(t.err.text, "--caller"));
	assert_int_equal(
	    opening_get(t.dir, t.subjects, &t.keys.keys, 0, COMMITMENT_INPUT, NULL, &o, &t.err),
	    IM_EINVAL);
	assert_non_null(strstr(t.err.text, "has no input"));
	assert_int_equal(
	    opening_get(t.dir, t.subjects, &t.keys.keys, 1, COMMITMENT_INPUT, NULL, &o, &t.err),
	    IM_ENOTFOUND);
	audit_log_close(log);
	testlog_done(&t);
}

/* The contents that people really send: there are not many short ones. */
static void
short_prompt(struct hasher *h, unsigned n, uint8_t ret[HASH_BYTES])
{
	static const char *const words[] = { "yes", "no",   "hello", "cancel", "salary of",
					     "pin", "code", "call",  "is ill", "owes" };
	char text[64];
	struct hash sha;
	struct hash_part part = { text, 0 };

	part.len = (size_t)snprintf(text, sizeof(text), "%s %u", words[n % 10], n / 10);
	hasher_parts(h, &part, 1, &sha);
	memcpy(ret, sha.b, HASH_BYTES);
}

static void
test_privacy_dictionary_finds_plain_hashes_and_no_commitment(void **state)
{
	enum {
		WORDS = 100000,
		RECORDS = 50
	};
	struct testlog t;
	struct audit_log *log;
	struct audit_erased erased;
	struct hash plain[RECORDS], commitment[RECORDS], zero = { { 0 } };
	unsigned found_plain = 0, found = 0;
	struct hasher h;

	(void)state;
	assert_int_equal(hasher_init(&h, NULL), IM_OK);
	testlog_init(&t);
	log = testlog_open(&t);
	for (unsigned i = 0; i < RECORDS; i++) {
		struct opening o;
		struct audit_event e;
		uint64_t index;

		testlog_event(&e, RECORD_REQUEST, i);
		short_prompt(&h, i * (WORDS / RECORDS), e.input_sha256);
		memcpy(plain[i].b, e.input_sha256, HASH_BYTES);
		assert_int_equal(audit_log_add(log, &e, &index, &t.err), IM_OK);
		assert_int_equal(audit_log_commit(log, false, &t.err), IM_OK);
		assert_int_equal(opening_get(t.dir, t.subjects, &t.keys.keys, index,
					     COMMITMENT_INPUT, NULL, &o, &t.err),
				 IM_OK);
		commitment[i] = o.commitment;
	}
	assert_int_equal(audit_log_erase(log, "acme", "alice", "uid:7", &erased, &t.err), IM_OK);
	/* The attacker has the log, the formula and the dictionary, and no key. */
	for (unsigned n = 0; n < WORDS; n++) {
		struct hash guess, made;

		short_prompt(&h, n, guess.b);
		commitment_make(&h, &zero, COMMITMENT_INPUT, guess.b, &made);
		for (unsigned i = 0; i < RECORDS; i++) {
			found_plain += memcmp(&guess, &plain[i], sizeof(guess)) == 0;
			found += memcmp(&guess, &commitment[i], sizeof(guess)) == 0 ||
				 memcmp(&made, &commitment[i], sizeof(made)) == 0;
		}
	}
	print_message("%u prompts tried: %u of %u plain hashes found, %u of %u commitments\n",
		      WORDS, found_plain, RECORDS, found, RECORDS);
	assert_int_equal(found_plain, RECORDS);
	assert_int_equal(found, 0);
	audit_log_close(log);
	hasher_done(&h);
	testlog_done(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_response_commits_to_its_own_input_under_the_key_of_its_time),
		cmocka_unit_test(test_erase_nothing_of_the_subject_opens_and_all_still_verifies),
		cmocka_unit_test(test_erase_holds_when_an_old_copy_of_the_keys_is_put_back),
		cmocka_unit_test(test_erase_killed_or_failing_at_any_call_is_finished_once),
		cmocka_unit_test(test_open_record_without_a_subject_key_needs_the_names),
		cmocka_unit_test(test_privacy_dictionary_finds_plain_hashes_and_no_commitment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
