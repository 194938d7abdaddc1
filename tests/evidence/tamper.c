/*
 * tests/evidence/tamper.c - changes a log folder and proof files at random, in every way that somebody with write access might,
 * and looks whether verification notices and says what and where.
 *
 * In the folder: bits, bytes, entries, hashes and files are changed, swapped, removed, repeated, cut and added to; a file comes
 * from an earlier copy of the folder or from another log of the same key; the whole folder is rolled back to an earlier copy, or
 * forked by whoever has the key, against one checkpoint that was kept outside. Changes that leave every byte as it was are not
 * counted, nor is the removal of an outdated version of a partial tile, which no checkpoint names any more.
 *
 * usage: audit-tamper [--count MUTATIONS] [--seed N] [--dir DIR]
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/log.h"
#include "audit/proof_file.h"
#include "audit/verify.h"
#include "base/clock.h"
#include "evidence.h"
#include "tamper_folder.h"

#define COPIES 8  /* of the folder as it grew */
#define PAIRS  45 /* that it grew by, from copy to copy */
#define FORKED 3  /* the copy from which the fork goes another way */
#define PROOFS 64

enum how {
	FILE_REMOVED = TAMPER_CHANGES,
	FILES_SWAPPED,
	FILE_FROM_COPY,
	ROLLED_BACK,
	FORK,
	FORK_UNDER_CHECKPOINT,
	PROOF_CHANGED,
	PROOF_MIXED,
	HOWS
};

static const char *const how_text[HOWS - TAMPER_CHANGES] = {
	"file_removed", "files_swapped",         "file_of_a_copy", "rolled_back",
	"forked",       "fork_under_checkpoint", "proof_changed",  "proof_mixed"
};

struct proof_text {
	char *text;
	size_t len;
};

struct run {
	char home[64], dir[80], fork_dir[80], key[80], subjects[96];
	struct keyfile keys;
	char vkey[NOTE_KEYTEXT_MAX];
	struct note_verifier verifier;
	struct hasher hasher;
	struct tamper_folder copy[COPIES], fork, *log; /* 'log' is the last copy */
	struct checkpoint seen[COPIES];
	struct proof_text proof[PROOFS];
	struct prng r;
	struct buf changed;
	uint64_t tried[HOWS], detected[HOWS];
};

static void
must(enum im_rc rc, const struct im_err *err)
{
	if (rc != IM_OK)
		evidence_die("the run itself failed: %s", err->text);
}

static void
on_fatal(void *user, const struct im_err *err)
{
	(void)user;
	evidence_die("%s", err->text);
}

static struct audit_log *
open_log(struct run *x, const char *dir)
{
	const struct audit_log_params params = {
		.ops = &disk_posix,
		.dir = dir,
		.keys = &x->keys,
		.subjects = x->subjects,
		.segment_bytes = UINT64_C(160) * 1024,
		.batch_records = 4096,
		.batch_bytes = (size_t)256 * 1024,
		.publish_ms = 1000,
		.now_us = clock_wall_us,
		.fatal = on_fatal,
	};
	struct audit_log *log;
	struct im_err err;

	must(audit_log_open(&params, &log, &err), &err);
	return log;
}

/* Append pairs from request 'from' on, and publish. Leaves one frame in the write-ahead log. */
static void
grow(struct run *x, const char *dir, uint64_t from, struct tamper_folder *ret,
     struct checkpoint *ret_checkpoint)
{
	struct audit_log *log = open_log(x, dir);
	struct im_err err;
	size_t used;

	for (uint64_t i = 0; i < 2UL * PAIRS; i++) {
		struct audit_event e = { .kind = i % 2 == 0 ? RECORD_REQUEST : RECORD_RESPONSE,
					 .has_request_id = true,
					 .caller = "alice",
					 .tenant = "acme",
					 .model = "demo",
					 .has_input = true };
		uint64_t id = from + i / 2, index;

		memcpy(e.request_id, &id, sizeof(id));
		if (i % 2 != 0)
			e.outcome = OUTCOME_OK;
		must(audit_log_add(log, &e, &index, &err), &err);
		if (i % 10 == 9)
			must(audit_log_commit(log, false, &err), &err);
	}
	must(publisher_pass(&log->publisher, true, &err), &err);
	must(checkpoint_open(log->checkpoint, log->checkpoint_len, &log->shard.verifier,
			     ret_checkpoint, &err),
	     &err);
	audit_log_close(log);
	log = open_log(x, dir);
	used = log->wal.offset;
	audit_log_close(log);
	tamper_folder_read(ret, dir, used);
}

static void
make_proofs(struct run *x)
{
	struct audit_source folder;
	struct im_err err;

	source_folder(&folder, x->dir);
	for (unsigned i = 0; i < PROOFS; i++) {
		struct buf out = { 0 };

		must(proof_file_make(&x->hasher, &folder, &x->verifier,
				     prng_below(&x->r, 2 * COPIES * PAIRS), &out, &err),
		     &err);
		x->proof[i].text = (char *)buf_take(&out, &x->proof[i].len);
	}
}

static void
setup(struct run *x, const struct evidence_args *args)
{
	struct tamper_folder between = { .files = 0 };
	struct checkpoint cp;
	struct im_err err;

	evidence_folder(args, x->home);
	(void)snprintf(x->dir, sizeof(x->dir), "%s/log", x->home);
	(void)snprintf(x->fork_dir, sizeof(x->fork_dir), "%s/fork", x->home);
	(void)snprintf(x->key, sizeof(x->key), "%s/key", x->home);
	(void)snprintf(x->subjects, sizeof(x->subjects), "%s" SUBJECTS_SUFFIX, x->key);
	must(keyfile_create(x->key, "evidence.example/log", &x->keys, &err), &err);
	note_signer_vkey(&x->keys.signer, x->vkey);
	must(note_verifier_parse(x->vkey, &x->verifier, &err), &err);
	must(hasher_init(&x->hasher, &err), &err);
	for (unsigned i = 0; i < COPIES; i++)
		grow(x, x->dir, UINT64_C(1000) * i, &x->copy[i], &x->seen[i]);
	x->log = &x->copy[COPIES - 1];
	make_proofs(x);
	tamper_folder_write(&x->copy[FORKED], x->fork_dir);
	for (unsigned i = FORKED + 1; i < COPIES; i++) {
		grow(x, x->fork_dir, UINT64_C(1000) * i + 500, &between, &cp);
		if (i + 1 < COPIES)
			tamper_folder_done(&between);
	}
	x->fork = between;
}

/* Verify what lies there; 'name' and 'other' were changed, NULL = the whole folder. */
static void
expect(struct run *x, unsigned how, const char *name, const char *other,
       const struct checkpoint *seen)
{
	static struct verify_report r;
	const struct verify_options options = { .seen = seen, .seen_count = seen != NULL };
	const char *text =
	    how < TAMPER_CHANGES ? tamper_change_text[how] : how_text[how - TAMPER_CHANGES];
	struct im_err err;
	bool named = false;

	x->tried[how]++;
	must(audit_verify(x->dir, x->vkey, &options, &r, &err), &err);
	if (r.problems == 0) {
		evidence_broken("not noticed: %s, %s", text, name != NULL ? name : "the folder");
		return;
	}
	for (unsigned i = 0; i < r.problems && i < VERIFY_PROBLEMS_MAX && !named; i++) {
		const char *said = r.problem[i];
		const char *index = strstr(said, "record");

		if (name == NULL)
			named = index != NULL && strpbrk(said, "0123456789") != NULL;
		else
			named =
			    strstr(said, name) != NULL || strstr(said, other) != NULL ||
			    ((strncmp(name, "wal/", 4) == 0 || strncmp(other, "wal/", 4) == 0) &&
			     strncmp(said, "wal: ", 5) == 0);
	}
	if (named)
		x->detected[how]++;
	else
		evidence_broken("%s of %s, %s is not named: %s", text, name != NULL ? name : "all",
				other != NULL ? other : "", r.problem[0]);
}

static const struct tamper_file *
any_file(struct run *x, const struct tamper_folder *f)
{
	return &f->file[prng_below(&x->r, f->files)];
}

static void
put_back(struct run *x, const struct tamper_file *f)
{
	tamper_put(x->dir, f->name, f->data, f->len);
}

/* Is it a tile that the checkpoint implies, or no tile? */
static bool
is_needed(const struct run *x, const struct tamper_file *f)
{
	struct tile t;

	return !tile_path_parse(f->name, &t) ||
	       t.width == tile_width(x->seen[COPIES - 1].size, t.level, t.n);
}

static void
change_file(struct run *x, enum tamper_change how)
{
	const struct tamper_file *f = any_file(x, x->log);

	if (!tamper_change(f, how, &x->r, &x->changed))
		return;
	tamper_put(x->dir, f->name, x->changed.data, x->changed.len);
	expect(x, how, f->name, f->name, NULL);
	put_back(x, f);
}

static void
remove_file(struct run *x)
{
	const struct tamper_file *f = any_file(x, x->log);

	if (!is_needed(x, f))
		return;
	tamper_put(x->dir, f->name, NULL, SIZE_MAX);
	expect(x, FILE_REMOVED, f->name, f->name, NULL);
	put_back(x, f);
}

static void
swap_files(struct run *x)
{
	const struct tamper_file *a = any_file(x, x->log), *b = any_file(x, x->log);

	if (a->len == b->len && memcmp(a->data, b->data, a->len) == 0)
		return;
	tamper_put(x->dir, a->name, b->data, b->len);
	tamper_put(x->dir, b->name, a->data, a->len);
	expect(x, FILES_SWAPPED, a->name, b->name, NULL);
	put_back(x, a);
	put_back(x, b);
}

/* A file comes from an earlier copy or from the fork. */
static void
take_from_copy(struct run *x)
{
	const struct tamper_folder *from =
	    prng_below(&x->r, 2) == 0 ? &x->fork : &x->copy[prng_below(&x->r, COPIES - 1)];
	const struct tamper_file *f = any_file(x, x->log), *other = tamper_find(from, f->name);

	if (other == NULL || (other->len == f->len && memcmp(other->data, f->data, f->len) == 0))
		return;
	tamper_put(x->dir, f->name, other->data, other->len);
	expect(x, FILE_FROM_COPY, f->name, strcmp(f->name, "checkpoint") == 0 ? "wal" : f->name,
	       NULL);
	put_back(x, f);
}

static void
roll_back(struct run *x)
{
	unsigned to = prng_below(&x->r, COPIES - 1);

	tamper_folder_write(&x->copy[to], x->dir);
	expect(x, ROLLED_BACK, NULL, NULL, &x->seen[to + 1 + prng_below(&x->r, COPIES - to - 1)]);
	tamper_folder_write(x->log, x->dir);
}

/* The fork is whole and signed: only a checkpoint that was kept can tell, or the one that is still in the folder. */
static void
put_fork(struct run *x)
{
	bool under = prng_below(&x->r, 2) != 0;

	tamper_folder_write(&x->fork, x->dir);
	if (under) {
		put_back(x, tamper_find(x->log, "checkpoint"));
		expect(x, FORK_UNDER_CHECKPOINT, "checkpoint", "wal", NULL);
	} else {
		expect(x, FORK, NULL, NULL,
		       &x->seen[FORKED + 1 + prng_below(&x->r, COPIES - FORKED - 1)]);
	}
	tamper_folder_write(x->log, x->dir);
}

/* Must not be accepted, with a text that says which part is wrong. */
static void
expect_refused(struct run *x, unsigned how, const char *text, size_t len)
{
	static const char *const parts[] = { "line",      "record", "index", "hash", "checkpoint",
					     "signature", "root",   "byte",  "note", "proof" };
	struct proof_file p;
	struct checkpoint cp;
	struct im_err err = { .rc = IM_OK };
	enum im_rc rc = proof_file_parse(text, len, &p, &err);
	bool named = false;

	x->tried[how]++;
	if (rc == IM_OK) {
		rc = proof_file_check(&x->hasher, &p, &x->verifier, &cp, &err);
		proof_file_done(&p);
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		named = named || strstr(err.text, parts[i]) != NULL;
	if (rc != IM_OK && named)
		x->detected[how]++;
	else
		evidence_broken("a changed proof: %s\n%.*s", rc == IM_OK ? "accepted" : err.text,
				(int)len, text);
}

static void
change_proof(struct run *x)
{
	const struct proof_text *p = &x->proof[prng_below(&x->r, PROOFS)];
	const struct tamper_file f = { "proof", (uint8_t *)p->text, p->len, p->len };

	if (tamper_change(&f, (enum tamper_change)prng_below(&x->r, TAMPER_CHANGES), &x->r,
			  &x->changed))
		expect_refused(x, PROOF_CHANGED, (const char *)x->changed.data, x->changed.len);
}

/* Some lines of one proof in place of those of another one. */
static void
mix_proofs(struct run *x)
{
	const struct proof_text *a = &x->proof[prng_below(&x->r, PROOFS)],
				*b = &x->proof[prng_below(&x->r, PROOFS)];
	const char *at = a->text, *bt = b->text, *a_end = at + a->len, *b_end = bt + b->len;

	buf_clear(&x->changed);
	while (at < a_end && bt < b_end) {
		const char *a_line = at, *b_line = bt;

		at = (const char *)memchr(at, '\n', (size_t)(a_end - at)) + 1;
		bt = (const char *)memchr(bt, '\n', (size_t)(b_end - bt)) + 1;
		if (prng_below(&x->r, 2) == 0)
			(void)buf_append(&x->changed, a_line, (size_t)(at - a_line));
		else
			(void)buf_append(&x->changed, b_line, (size_t)(bt - b_line));
	}
	for (int i = 0; i < PROOFS; i++) /* it came out as one of them */
		if (x->changed.len == x->proof[i].len &&
		    memcmp(x->changed.data, x->proof[i].text, x->changed.len) == 0)
			return;
	expect_refused(x, PROOF_MIXED, (const char *)x->changed.data, x->changed.len);
}

static void
mutate(struct run *x)
{
	uint32_t what = prng_below(&x->r, 100);

	if (what < 63)
		change_file(x, (enum tamper_change)(what % TAMPER_CHANGES));
	else if (what < 67)
		remove_file(x);
	else if (what < 72)
		swap_files(x);
	else if (what < 77)
		take_from_copy(x);
	else if (what < 79)
		roll_back(x);
	else if (what < 81)
		put_fork(x);
	else if (what < 95)
		change_proof(x);
	else
		mix_proofs(x);
}

static uint64_t
sum(const uint64_t *n)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < HOWS; i++)
		all += n[i];
	return all;
}

int
main(int argc, char **argv)
{
	static struct run x;
	static struct verify_report r;
	struct evidence_args args;
	struct im_err err;
	uint64_t began_us = clock_mono_us();

	evidence_parse(argc, argv, 3000, NULL, &args);
	prng_seed(&x.r, args.seed);
	setup(&x, &args);
	while (sum(x.tried) < args.count)
		mutate(&x);
	/* Nothing of it stuck: else all would be detected for nothing. */
	must(audit_verify(x.dir, x.vkey, NULL, &r, &err), &err);
	if (r.problems != 0)
		evidence_broken("the log that was put back: %s", r.problem[0]);
	(void)printf("{\"mutations\":%" PRIu64 ",\"detected\":%" PRIu64 ",\"seed\":%" PRIu64
		     ",\"records\":%" PRIu64 ",\"files\":%u,\"by_kind\":{",
		     sum(x.tried), sum(x.detected), args.seed, r.size, x.log->files);
	for (unsigned i = 0; i < HOWS; i++)
		(void)printf("%s\"%s\":[%" PRIu64 ",%" PRIu64 "]", i > 0 ? "," : "",
			     i < TAMPER_CHANGES ? tamper_change_text[i]
						: how_text[i - TAMPER_CHANGES],
			     x.detected[i], x.tried[i]);
	(void)printf("},\"seconds\":%.1f}\n", (double)(clock_mono_us() - began_us) / 1e6);
	for (unsigned i = 0; i < COPIES; i++)
		tamper_folder_done(&x.copy[i]);
	tamper_folder_done(&x.fork);
	for (unsigned i = 0; i < PROOFS; i++)
		free(x.proof[i].text);
	buf_done(&x.changed);
	keyfile_done(&x.keys);
	hasher_done(&x.hasher);
	evidence_remove(x.home);
	return evidence_breaches() == 0 ? 0 : 1;
}
