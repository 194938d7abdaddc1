/*
 * tests/evidence/fault_worker.c - what faults.py injects faults into: a process with one thread that keeps a log in HOME, always
 * with the same system calls, and prints what was acknowledged; and the same again to check, without faults, that all of it is there.
 *
 * usage: audit-fault-worker HOME FROM TO       append the frames FROM to TO; "ack FRAME INDEX SIZE ROOT" for each
 *        audit-fault-worker HOME check TO      the acknowledgements on standard input; sends all frames below TO again
 *
 * As the daemon does, it tries again what may be tried again, and aborts on IM_EIO. Ends with 3 if it cannot begin.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "audit/lifecycle.h"
#include "audit/verify.h"
#include "base/clock.h"
#include "base/hex.h"
#include "evidence.h"

#define ORIGIN    "evidence.example/log"
#define PAIRS     20 /* of a frame */
#define TRIES_MAX 5
#define ACKS_MAX  256

struct worker {
	char log_dir[256], key[256], subjects[280];
	struct keyfile keys;
	char vkey[NOTE_KEYTEXT_MAX];
	struct audit_log *log;
	struct im_err err;
};

static _Noreturn void
give_up(const struct worker *w, int status)
{
	(void)fprintf(stderr, "%s\n", w->err.text);
	_exit(status);
}

static void
on_fatal(void *user, const struct im_err *err)
{
	(void)user;
	(void)fprintf(stderr, "%s\n", err->text);
	abort();
}

static void
open_log(struct worker *w)
{
	const struct audit_log_params params = {
		.ops = &disk_posix,
		.dir = w->log_dir,
		.keys = &w->keys,
		.subjects = w->subjects,
		.segment_bytes = UINT64_C(160) * 1024,
		.batch_records = 4096,
		.batch_bytes = (size_t)256 * 1024,
		.publish_ms = 1000,
		.now_us = clock_wall_us,
		.fatal = on_fatal,
	};
	enum im_rc rc = keyfile_load(w->key, &w->keys, &w->err);

	if (rc == IM_ENOTFOUND)
		rc = keyfile_create(w->key, ORIGIN, &w->keys, &w->err);
	if (rc == IM_OK)
		rc = audit_log_open(&params, &w->log, &w->err);
	if (rc != IM_OK)
		give_up(w, 3);
	note_signer_vkey(&w->keys.signer, w->vkey);
}

/* True if it is to be tried again. */
static bool
failed(struct worker *w, enum im_rc rc, unsigned *tries)
{
	if (rc == IM_OK)
		return false;
	if (rc == IM_EIO || rc == IM_ECORRUPT)
		on_fatal(w, &w->err);
	if (++*tries > TRIES_MAX)
		give_up(w, 4);
	return true;
}

static enum im_rc
put_frame(struct worker *w, uint64_t frame, uint64_t *ret_index)
{
	enum im_rc rc = IM_OK;

	for (uint64_t i = 0; i < 2UL * PAIRS && rc == IM_OK; i++) {
		struct audit_event e = { .kind = i % 2 == 0 ? RECORD_REQUEST : RECORD_RESPONSE,
					 .has_request_id = true,
					 .caller = frame % 2 == 0 ? "alice" : "bob",
					 .tenant = "acme",
					 .model = "demo",
					 .has_input = true };
		uint64_t id = frame * PAIRS + i / 2, index;

		if (i % 2 != 0)
			e.outcome = OUTCOME_OK;
		memcpy(e.request_id, &id, sizeof(id));
		rc = audit_log_add(w->log, &e, &index, &w->err);
		if (i == 0)
			*ret_index = index;
	}
	return rc == IM_OK ? audit_log_commit(w->log, false, &w->err) : rc;
}

static void
acknowledge(const struct worker *w, uint64_t frame, uint64_t index)
{
	char root[2 * HASH_BYTES + 1], line[128];
	struct checkpoint cp;
	int n;

	if (checkpoint_open(w->log->checkpoint, w->log->checkpoint_len, NULL, &cp, NULL) != IM_OK)
		evidence_die("a checkpoint of ours is none");
	hex_encode(cp.root.b, HASH_BYTES, root);
	n = snprintf(line, sizeof(line), "ack %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", frame,
		     index, cp.size, root);
	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		evidence_die("cannot write");
}

static void
work(struct worker *w, uint64_t from, uint64_t to)
{
	for (uint64_t frame = from; frame < to; frame++) {
		struct audit_erased erased;
		struct audit_pruned pruned;
		unsigned tries = 0;
		uint64_t index;

		while (failed(w, put_frame(w, frame, &index), &tries))
			;
		acknowledge(w, frame, index);
		while (frame % 3 == 2 &&
		       failed(w, publisher_pass(&w->log->publisher, true, &w->err), &tries))
			;
		while (frame % 8 == 5 &&
		       failed(w, audit_log_erase(w->log, "acme", "bob", "uid:0", &erased, &w->err),
			      &tries))
			;
		while (frame % 16 == 12 && failed(w,
						  audit_log_prune(w->log, clock_wall_us(), false,
								  NULL, &pruned, &w->err),
						  &tries))
			;
	}
}

/* "ack FRAME INDEX SIZE ROOT" */
static bool
parse_ack(char *line, uint64_t *frame, uint64_t *index, struct checkpoint *seen)
{
	uint64_t *const number[] = { frame, index, &seen->size };
	char *at = line + 4;

	if (strncmp(line, "ack ", 4) != 0)
		return false;
	for (int i = 0; i < 3; i++) {
		char *end;

		*number[i] = strtoull(at, &end, 10);
		if (end == at || *end != ' ')
			return false;
		at = end + 1;
	}
	at[strcspn(at, "\n")] = '\0';
	evidence_copy(seen->origin, sizeof(seen->origin), ORIGIN);
	return strlen(at) == 2UL * HASH_BYTES && hex_decode(at, seen->root.b, HASH_BYTES);
}

/* The acknowledgements of standard input, which ends in the middle of a line perhaps. */
static size_t
read_acks(struct checkpoint *seen, uint64_t *frame, uint64_t *index)
{
	char line[160];
	size_t n = 0;

	while (n < ACKS_MAX && fgets(line, sizeof(line), stdin) != NULL &&
	       parse_ack(line, &frame[n], &index[n], &seen[n]))
		n++;
	return n;
}

static void
verify(struct worker *w, const struct checkpoint *seen, size_t count, const char *when,
       struct verify_report *r)
{
	const struct verify_options options = { .seen = seen, .seen_count = count };
	enum im_rc rc = audit_verify(w->log_dir, w->vkey, &options, r, &w->err);

	if (rc == IM_ENOTFOUND && count == 0)
		return;
	if (rc != IM_OK || r->problems != 0)
		evidence_broken("inconsistent: %s: %s", when,
				rc != IM_OK ? w->err.text : r->problem[0]);
}

static void
check(struct worker *w, uint64_t to)
{
	static struct checkpoint seen[ACKS_MAX];
	static struct verify_report r;
	uint64_t frame[ACKS_MAX], index[ACKS_MAX], now, kept, first = 0;
	size_t count = read_acks(seen, frame, index);

	open_log(w);
	verify(w, seen, count, "after the fault", &r);
	if (count > 0 && audit_log_size(w->log) < seen[count - 1].size)
		evidence_broken("lost: %" PRIu64 " records were acknowledged, %" PRIu64
				" are there",
				seen[count - 1].size, audit_log_size(w->log));
	kept = publisher_minimum(&w->log->publisher); /* what was pruned is forgotten */
	for (size_t i = 0; i < count; i++) {
		if (index[i] < kept)
			first = frame[i] + 1;
		else if (put_frame(w, frame[i], &now) != IM_OK || now != index[i])
			evidence_broken("duplicated: frame %" PRIu64 " was at %" PRIu64
					" and is at %" PRIu64,
					frame[i], index[i], now);
	}
	for (uint64_t f = first; f < to; f++)
		if (put_frame(w, f, &now) != IM_OK)
			evidence_broken("lost: frame %" PRIu64 ": %s", f, w->err.text);
	if (publisher_pass(&w->log->publisher, true, &w->err) != IM_OK)
		evidence_broken("lost: cannot publish: %s", w->err.text);
	audit_log_close(w->log);
	verify(w, seen, count, "after all was sent again", &r);
	if (r.open != 0 || (r.pruned == 0 && r.kinds[RECORD_REQUEST] != to * PAIRS))
		evidence_broken("duplicated: %" PRIu64 " requests were sent, %" PRIu64
				" are recorded",
				to * PAIRS, r.kinds[RECORD_REQUEST]);
}

int
main(int argc, char **argv)
{
	static struct worker w;
	struct rlimit none = { 0, 0 };

	if (argc != 4)
		evidence_die("usage: audit-fault-worker HOME FROM TO | HOME check TO");
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)snprintf(w.log_dir, sizeof(w.log_dir), "%s/log", argv[1]);
	(void)snprintf(w.key, sizeof(w.key), "%s/key", argv[1]);
	(void)snprintf(w.subjects, sizeof(w.subjects), "%s" SUBJECTS_SUFFIX, w.key);
	if (strcmp(argv[2], "check") == 0) {
		check(&w, strtoull(argv[3], NULL, 10));
	} else {
		open_log(&w);
		work(&w, strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
		audit_log_close(w.log);
	}
	keyfile_done(&w.keys);
	return evidence_breaches() == 0 ? 0 : 1;
}
