/*
 * audit/witnesses_test.c - a log and its witnesses: real ones, some of them away, a log that was rolled back, one that goes on in
 * another shard.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "audit/turn.h"
#include "audit/witnesses_rig.h"

static void
test_witnesses_cosign_as_the_log_grows(void **state)
{
	struct witnesses_rig *f = *state;
	uint64_t size = 0, read_size;

	assert_int_equal(rig_open_witnesses(f, 3, 0), IM_OK);
	for (uint64_t n = 0; n < 5; n++) {
		size = rig_grow(f, n * 200, 1 + n * 70); /* over tiles */
		rig_wait_for(f, rig_all_cosigned, size, "all cosign");
	}
	assert_int_equal(rig_read_file(f, &read_size), 3);
	assert_int_equal(read_size, size);
	/* A restart goes on where they are, without being told. */
	rig_close_log(f);
	rig_open_log(f);
	assert_int_equal(rig_open_witnesses(f, 3, 3), IM_OK);
	size = rig_grow(f, 5000, 3);
	rig_wait_for(f, rig_all_cosigned, size, "all cosign after a restart");
	testlog_verify(&f->t, &(struct verify_report){ 0 });
}

/* Two of three are enough; one of three is not, and the log goes on all the same. */
static void
test_witnesses_quorum_is_needed_and_the_log_never_waits(void **state)
{
	struct witnesses_rig *f = *state;
	char address[64];
	uint64_t size, enough, read_size;

	rig_daemon_down(f, 2);
	assert_int_equal(rig_open_witnesses(f, 3, 0), IM_OK);
	enough = rig_grow(f, 0, 10);
	rig_wait_for(f, rig_file_says, enough, "two of three cosign");
	assert_int_equal(rig_read_file(f, &read_size), 2);
	(void)snprintf(address, sizeof(address), "%s", f->daemon[0].url + strlen("http://"));
	rig_daemon_down(f, 0);
	size = rig_grow(f, 100, 10); /* published without anybody */
	assert_true(size > enough);
	rig_wait_for(f, rig_first_is, WITNESS_PEER_SILENT, "the first is away");
	assert_int_equal(rig_read_file(f, &read_size), 2);
	assert_int_equal(read_size, enough); /* what the file says is always whole */
	rig_daemon_up(f, 0, address, "");
	rig_wait_for(f, rig_file_says, size, "two of three are back");
}

static void
keep_copy(struct witnesses_rig *f)
{
	char cmd[256];

	(void)snprintf(cmd, sizeof(cmd), "cp -a '%s' '%s.old'", f->t.dir, f->dir);
	rig_shell(cmd);
}

static void
roll_back(struct witnesses_rig *f, const char *but)
{
	char cmd[512];

	rig_close_log(f);
	(void)snprintf(
	    cmd, sizeof(cmd),
	    "cd '%s' && cp -a '%s' ../kept.$$ 2>/dev/null; rm -rf '%s' && cp -a '%s.old' '%s' && "
	    "if [ -e ../kept.$$ ]; then mv ../kept.$$ '%s/%s'; fi",
	    f->t.dir, but, f->t.dir, f->dir, f->t.dir, f->t.dir, but);
	rig_shell(cmd);
	rig_open_log(f);
}

static void
test_log_that_was_rolled_back_is_told_by_its_witnesses(void **state)
{
	struct witnesses_rig *f = *state;
	uint64_t size, before;

	assert_int_equal(rig_open_witnesses(f, 3, 0), IM_OK);
	before = rig_grow(f, 0, 10);
	rig_wait_for(f, rig_all_cosigned, before, "all cosign");
	rig_close_log(f); /* all is in the folder */
	keep_copy(f);
	rig_open_log(f);
	assert_int_equal(rig_open_witnesses(f, 3, 0), IM_OK);
	size = rig_grow(f, 100, 40);
	rig_wait_for(f, rig_all_cosigned, size, "all cosign");
	roll_back(f, "nothing");
	assert_int_equal(rig_open_witnesses(f, 3, 0), IM_OK);
	assert_true(rig_grow(f, 1000, 3) < size);
	rig_wait_for(f, rig_first_is, WITNESS_PEER_AHEAD, "rolled back");
	/* It goes on, and nobody ever cosigns that. */
	(void)rig_grow(f, 2000, 100);
	rig_wait_for(f, rig_first_is, WITNESS_PEER_FORK, "forked");
	assert_int_equal(rig_read_file(f, &size), 3);
	assert_int_equal(size, before);
}

/* Whoever keeps the one file keeps the service from going on with an older log. */
static void
test_log_older_than_its_cosigned_checkpoint_is_refused(void **state)
{
	struct witnesses_rig *f = *state;
	uint64_t size;

	assert_int_equal(rig_open_witnesses(f, 3, 0), IM_OK);
	size = rig_grow(f, 0, 10);
	rig_wait_for(f, rig_all_cosigned, size, "all cosign");
	rig_close_log(f);
	keep_copy(f);
	rig_open_log(f);
	assert_int_equal(rig_open_witnesses(f, 3, 0), IM_OK);
	size = rig_grow(f, 100, 40);
	rig_wait_for(f, rig_all_cosigned, size, "all cosign");
	roll_back(f, COSIGNED_FILE);
	assert_int_equal(rig_open_witnesses(f, 3, 0), IM_ECORRUPT);
	assert_non_null(strstr(f->t.err.text, "witnesses have cosigned"));
	(void)rig_grow(f, 2000, 100); /* as large again, and something else */
	assert_int_equal(rig_open_witnesses(f, 3, 0), IM_ECORRUPT);
	assert_non_null(strstr(f->t.err.text, "is not what witnesses cosigned"));
}

static bool
first_cosigned(const struct witnesses_stats *s, uint64_t size)
{
	return s->by[0].cosigned == size;
}

/* No space for the one file: the log and its witnesses go on, and so does the file when there is space again. */
static void
test_cosigned_file_that_cannot_be_written_is_tried_again(void **state)
{
	static const char *const calls[] = { "open", "pwrite", "rename" };
	struct witnesses_rig *f = *state;
	uint64_t size = 0, good = 0;

	f->ops = &testdisk;
	testdisk_arm(0, 0);
	assert_int_equal(rig_open_witnesses(f, 1, 1), IM_OK);
	for (uint64_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		testdisk_arm_name(calls[i], ENOSPC);
		size = rig_grow(f, i * 100, 3);
		rig_wait_for(f, first_cosigned, size, "it cosigns");
		rig_wait_for(f, rig_file_says, good, "the file is as before");
		testdisk_arm(0, 0);
		good = rig_grow(f, i * 100 + 50, 3);
		rig_wait_for(f, rig_file_says, good, "the file is written");
		assert_int_equal(rig_read_file(f, &size), 1);
		assert_int_equal(size, good);
	}
}

/* A sync that fails ends the process: whoever gets it must not go on. */
static void
test_cosigned_file_whose_sync_fails_is_fatal(void **state)
{
	struct witnesses_rig *f = *state;

	f->ops = &testdisk;
	testdisk_arm_name("fsync", EIO);
	assert_int_equal(rig_open_witnesses(f, 1, 1), IM_OK);
	(void)rig_grow(f, 0, 3);
	rig_wait_for(f, first_cosigned, publisher_published(&f->log->publisher), "it cosigns");
	rig_close_log(f); /* the thread has ended: what it said can be read */
	assert_int_equal(f->t.err.rc, IM_EIO);
	testdisk_arm(0, 0);
}

/* Cut the last two lines off: only one witness has come to it yet. */
static void
cut_two_lines(const char *path)
{
	struct buf text = { 0 };
	size_t len;

	assert_int_equal(disk_read(path, NOTE_MAX_BYTES, &text, NULL), IM_OK);
	len = text.len;
	for (int lines = 0; lines < 3;)
		if (text.data[--len] == '\n')
			lines++;
	assert_int_equal(truncate(path, (off_t)len + 1), 0);
	buf_done(&text);
}

/* Whose key it is decides nothing: the newest shard that enough of them have cosigned is the one. */
static void
read_with_each_key(struct witnesses_rig *f, const struct audit_rotated *rotated, uint64_t size)
{
	const char *vkeys[] = { f->t.vkey, rotated->vkey, NULL };
	struct note_verifier key[WITNESSES];
	const uint8_t seed[NOTE_KEY_BYTES] = { 1 };
	struct note_signer other;
	char wrong[NOTE_KEYTEXT_MAX], path[DISK_PATH_MAX];
	struct audit_source source;
	struct cosigned c;

	source_folder(&source, f->t.dir);
	for (unsigned i = 0; i < WITNESSES; i++)
		assert_int_equal(note_cosigner_parse(f->daemon[i].vkey, &key[i], NULL), IM_OK);
	for (unsigned i = 0; i < 3; i++) {
		if (cosigned_read_log(&source, vkeys[i], key, WITNESSES, 2, &c, &f->t.err) != IM_OK)
			fail_msg("%s", f->t.err.text);
		assert_int_equal(c.count, 3);
		assert_string_equal(c.at.origin, rotated->origin);
		assert_int_equal(c.at.size, size);
		assert_int_equal(c.first, f->log->shard.first);
		cosigned_done(&c);
	}
	/* The right name, another key. */
	assert_int_equal(note_signer_new(rotated->origin, seed, &other, NULL), IM_OK);
	note_signer_vkey(&other, wrong);
	note_signer_done(&other);
	assert_int_equal(cosigned_read_log(&source, wrong, key, WITNESSES, 2, &c, &f->t.err),
			 IM_ECORRUPT);
	cosigned_done(&c);
	/* Too few have come to the new shard: then it is the one before. */
	assert_int_equal(disk_path(path, f->log->shard.dir, COSIGNED_FILE, NULL), IM_OK);
	cut_two_lines(path);
	assert_int_equal(cosigned_read_log(&source, f->t.vkey, key, WITNESSES, 2, &c, &f->t.err),
			 IM_OK);
	assert_int_equal(c.count, 3);
	assert_string_equal(c.at.origin, "test.example/log");
	cosigned_done(&c);
	assert_int_equal(cosigned_read_log(&source, f->t.vkey, key, WITNESSES, 1, &c, &f->t.err),
			 IM_OK);
	assert_int_equal(c.count, 1);
	assert_string_equal(c.at.origin, rotated->origin);
	cosigned_done(&c);
}

/* To a witness the next shard is another log: it cosigns that when it knows its key, and that covers the one before. */
static void
test_witnesses_follow_the_log_into_its_next_shard(void **state)
{
	struct witnesses_rig *f = *state;
	struct audit_rotated rotated;
	char more[NOTE_KEYTEXT_MAX + 300], listen[WITNESSES][64];
	uint64_t size, read_size;

	assert_int_equal(rig_open_witnesses(f, 3, 2), IM_OK);
	size = rig_grow(f, 0, 10);
	rig_wait_for(f, rig_all_cosigned, size, "all cosign");
	assert_int_equal(audit_log_rotate(f->log, "uid:0", &rotated, &f->t.err), IM_OK);
	(void)rig_grow(f, 100, 3);
	rig_wait_for(f, rig_first_is, WITNESS_PEER_REFUSED, "nobody knows the new key");
	rig_wait_for(f, rig_file_says, 0, "nothing of the shard is cosigned");
	(void)snprintf(more, sizeof(more), ", %s: '%s'", rotated.origin, rotated.vkey);
	for (unsigned i = 0; i < WITNESSES; i++) {
		(void)snprintf(listen[i], sizeof(listen[i]), "%s",
			       f->daemon[i].url + strlen("http://"));
		rig_daemon_down(f, i);
		rig_daemon_up(f, i, listen[i], more);
	}
	size = rig_grow(f, 200, 3);
	rig_wait_for(f, rig_all_cosigned, size, "all cosign the new shard");
	assert_int_equal(rig_read_file(f, &read_size), 3);
	assert_int_equal(read_size, size);
	/* And after a restart too. */
	rig_close_log(f);
	rig_open_log(f);
	assert_int_equal(rig_open_witnesses(f, 3, 2), IM_OK);
	size = rig_grow(f, 300, 3);
	rig_wait_for(f, rig_all_cosigned, size, "all cosign after a restart");
	assert_int_equal(rig_read_file(f, &read_size), 3);
	assert_int_equal(read_size, size);
	testlog_verify(&f->t, &(struct verify_report){ 0 });
	rig_close_log(f);
	rig_open_log(f);
	read_with_each_key(f, &rotated, size);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_witnesses_cosign_as_the_log_grows,
						witnesses_rig_setup, witnesses_rig_teardown),
		cmocka_unit_test_setup_teardown(
		    test_witnesses_quorum_is_needed_and_the_log_never_waits, witnesses_rig_setup,
		    witnesses_rig_teardown),
		cmocka_unit_test_setup_teardown(
		    test_log_that_was_rolled_back_is_told_by_its_witnesses, witnesses_rig_setup,
		    witnesses_rig_teardown),
		cmocka_unit_test_setup_teardown(
		    test_log_older_than_its_cosigned_checkpoint_is_refused, witnesses_rig_setup,
		    witnesses_rig_teardown),
		cmocka_unit_test_setup_teardown(
		    test_cosigned_file_that_cannot_be_written_is_tried_again, witnesses_rig_setup,
		    witnesses_rig_teardown),
		cmocka_unit_test_setup_teardown(test_cosigned_file_whose_sync_fails_is_fatal,
						witnesses_rig_setup, witnesses_rig_teardown),
		cmocka_unit_test_setup_teardown(test_witnesses_follow_the_log_into_its_next_shard,
						witnesses_rig_setup, witnesses_rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
