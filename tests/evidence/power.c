/*
 * tests/evidence/power.c - a power cut behind each call that the audit log makes on its files, with every kind of loss that
 * power_disk.h knows: each disk that can come of it is recovered and compared with what was acknowledged by then.
 *
 * Checked for each state: verification finds nothing wrong in it before and after recovery; the log opens; every acknowledged
 * record is where it was said to be, which an append of it again confirms; no request is there twice; the log continues every
 * checkpoint that was ever acknowledged; an erased subject opens no more, and another one does. Lives follow each other on the
 * disk that a cut left, LIVES of them, so that recovery is cut off as well.
 *
 * usage: audit-power [--count STATES] [--seed N] [--dir DIR] [--lying-disk]
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/lifecycle.h"
#include "audit/opening.h"
#include "audit/verify.h"
#include "base/clock.h"
#include "evidence.h"
#include "power_disk.h"

#define IDS_MAX   2000
#define ACKS_MAX  1000
#define SUBJECTS  3
#define STEPS     24
#define PAIRS_MAX 40
#define LIVES     4
#define RANDOM    12 /* states tried for each moment at which something can be lost */

enum {
	MARK_SENT = 1,
	MARK_ACKED
};

/* What the clients know, and when. */
struct ledger {
	struct checkpoint ack[ACKS_MAX]; /* every checkpoint that was given out */
	uint64_t acks;
	uint64_t index[IDS_MAX]; /* of each REQUEST; its RESPONSE is behind it */
	uint64_t ids;
};

/* What was so at one moment. */
struct moment {
	uint64_t acks, ids_acked, ids_sent;
	bool erase_sent[SUBJECTS], erased[SUBJECTS];
};

struct run {
	struct power power;
	char home[64], log_dir[88], subjects[88];
	struct keyfile keys;
	char vkey[NOTE_KEYTEXT_MAX];
	struct ledger ledger;
	struct moment moment[4 * STEPS + 8];
	unsigned moments;
	struct power_image left; /* a disk that a cut left; the next life begins there */
	struct moment left_moment;
	uint8_t erased_id[SUBJECTS][SUBJECT_ID_BYTES];
	struct hasher hasher;
	struct prng r;

	uint64_t *seen; /* hashes of states: open addressing */
	uint64_t seen_cap, states, cuts, lives, torn, opened;
	uint64_t lost, duplicated, inconsistent, alarms;
};

static uint64_t fake_now = UINT64_C(1700000000000000);

static uint64_t
fake_clock(void)
{
	return fake_now += 1000;
}

static void
on_fatal(void *user, const struct im_err *err)
{
	(void)user;
	evidence_die("%s", err->text);
}

static enum im_rc
open_log(struct run *x, const struct disk_ops *ops, struct audit_log **ret, struct im_err *err)
{
	const struct audit_log_params params = {
		.ops = ops,
		.dir = x->log_dir,
		.keys = &x->keys,
		.subjects = x->subjects,
		.segment_bytes = UINT64_C(160) * 1024, /* so that it is changed often */
		.batch_records = 4096,
		.batch_bytes = (size_t)256 * 1024,
		.publish_ms = 1000,
		.now_us = fake_clock,
		.fatal = on_fatal,
	};

	return audit_log_open(&params, ret, err);
}

static const char *
caller_of(uint64_t id)
{
	static const char *const name[SUBJECTS] = { "alice", "bob", "carol" };

	return name[id % SUBJECTS];
}

static void
make_event(struct audit_event *e, uint64_t id, bool answer)
{
	*e = (struct audit_event){ .kind = answer ? RECORD_RESPONSE : RECORD_REQUEST,
				   .has_request_id = true,
				   .caller = caller_of(id),
				   .tenant = "acme",
				   .model = "demo",
				   .has_input = !answer,
				   .has_output = answer };
	memcpy(e->request_id, &id, sizeof(id));
	e->input_sha256[0] = e->output_sha256[0] = (uint8_t)id;
	if (answer) {
		e->outcome = OUTCOME_OK;
		e->status_code = 200;
	}
}

static void
must(enum im_rc rc, const struct im_err *err)
{
	if (rc != IM_OK)
		evidence_die("the run itself failed: %s", err->text);
}

static struct moment *
note_moment(struct run *x)
{
	struct moment *m = &x->moment[x->moments];

	if (x->moments > 0)
		*m = m[-1];
	x->moments++;
	return m;
}

/* The client was told: all up to here is durable. */
static void
note_ack(struct run *x, struct audit_log *log)
{
	struct moment *m = note_moment(x);

	m->ids_acked = m->ids_sent;
	if (x->ledger.acks == ACKS_MAX ||
	    checkpoint_open(log->checkpoint, log->checkpoint_len, &log->shard.verifier,
			    &x->ledger.ack[x->ledger.acks], NULL) != IM_OK)
		evidence_die("a checkpoint of ours is none");
	m->acks = ++x->ledger.acks;
	power_mark(&x->power, x->moments - 1);
}

static void
put_pair(struct audit_log *log, uint64_t id, uint64_t index[2])
{
	struct audit_event e;
	struct im_err err;

	for (int answer = 0; answer < 2; answer++) {
		make_event(&e, id, answer != 0);
		must(audit_log_add(log, &e, &index[answer], &err), &err);
	}
}

static void
send_pairs(struct run *x, struct audit_log *log)
{
	uint64_t pairs = 1 + prng_below(&x->r, prng_below(&x->r, 3) == 0 ? PAIRS_MAX : 4);
	struct im_err err;
	uint64_t index[2];

	if (x->ledger.ids + pairs > IDS_MAX)
		return;
	note_moment(x)->ids_sent += pairs;
	power_mark(&x->power, x->moments - 1);
	for (uint64_t i = 0; i < pairs; i++) {
		put_pair(log, x->ledger.ids, index);
		x->ledger.index[x->ledger.ids++] = index[0];
	}
	must(audit_log_commit(log, false, &err), &err);
	note_ack(x, log);
}

static void
erase(struct run *x, struct audit_log *log)
{
	unsigned who = prng_below(&x->r, SUBJECTS);
	struct audit_erased done;
	struct im_err err;
	enum im_rc rc;

	if (x->ledger.ids < SUBJECTS || x->moment[x->moments - 1].erase_sent[who])
		return;
	note_moment(x)->erase_sent[who] = true;
	power_mark(&x->power, x->moments - 1);
	rc = audit_log_erase(log, "acme", caller_of(who), "uid:0", &done, &err);
	must(rc, &err);
	note_ack(x, log);
	x->moment[x->moments - 1].erased[who] = true;
	memcpy(x->erased_id[who], done.key_id, sizeof(done.key_id));
}

static void
prune(struct run *x, struct audit_log *log)
{
	struct audit_pruned done = { 0 };
	struct im_err err;

	(void)x;
	must(audit_log_prune(log, fake_now, false, NULL, &done, &err), &err);
	must(publisher_pass(&log->publisher, true, &err), &err);
}

/* What was sent in the life before and not answered is sent again. */
static void
resume(struct run *x, struct audit_log *log)
{
	const struct moment *m = &x->moment[x->moments - 1];
	struct im_err err;
	uint64_t index[2];

	if (m->ids_acked == m->ids_sent)
		return;
	for (uint64_t id = m->ids_acked; id < m->ids_sent; id++) {
		put_pair(log, id, index);
		x->ledger.index[id] = index[0];
	}
	must(audit_log_commit(log, false, &err), &err);
	note_ack(x, log);
}

/* One life of the service, recorded. */
static void
live(struct run *x)
{
	struct audit_log *log;
	struct im_err err;

	must(open_log(x, &power_disk, &log, &err), &err);
	resume(x, log);
	for (unsigned step = 0; step < STEPS; step++) {
		uint32_t what = prng_below(&x->r, 100);

		if (what < 68)
			send_pairs(x, log);
		else if (what < 86)
			must(publisher_pass(&log->publisher, what % 4 != 0, &err), &err);
		else if (what < 91)
			erase(x, log);
		else if (what < 94)
			prune(x, log);
		else if (what < 97) {
			audit_log_close(log);
			must(open_log(x, &power_disk, &log, &err), &err);
		}
	}
	audit_log_close(log);
	x->lives++;
}

/* Verification of the folder as it lies there. */
static void
verify(struct run *x, const struct moment *m, const char *when, struct verify_report *ret)
{
	const struct verify_options options = { .seen = x->ledger.ack,
						.seen_count = (size_t)m->acks };
	struct im_err err;
	enum im_rc rc = audit_verify(x->log_dir, x->vkey, &options, ret, &err);

	if (rc == IM_ENOTFOUND && m->acks == 0)
		return;
	if (rc == IM_OK && ret->problems == 0)
		return;
	x->inconsistent++;
	evidence_broken("verification %s: %s", when, rc != IM_OK ? err.text : ret->problem[0]);
}

/* Clients that heard nothing send again, and one that heard is sure. */
static void
send_again(struct run *x, const struct moment *m, struct audit_log *log)
{
	uint64_t from = m->ids_acked > 3 ? m->ids_acked - 3 : 0, index[2];
	struct im_err err;

	/* What was pruned is forgotten: it would be a new request. */
	while (from < m->ids_acked && x->ledger.index[from] < log->publisher.first)
		from++;
	for (uint64_t id = from; id < m->ids_sent; id++) {
		put_pair(log, id, index);
		if (id < m->ids_acked &&
		    (index[0] != x->ledger.index[id] || index[1] != index[0] + 1)) {
			x->duplicated++;
			evidence_broken("request %" PRIu64 " was record %" PRIu64
					" and is record %" PRIu64 " now",
					id, x->ledger.index[id], index[0]);
		}
	}
	must(audit_log_commit(log, false, &err), &err);
	must(publisher_pass(&log->publisher, true, &err), &err);
}

/* Do records open that should, and those that should not, not? */
static void
try_openings(struct run *x, const struct moment *m, uint64_t pruned)
{
	uint64_t id = m->ids_acked > 0 ? prng_below(&x->r, (uint32_t)m->ids_acked) : 0;
	unsigned who = (unsigned)(id % SUBJECTS);
	struct opening o;
	struct im_err err;
	enum im_rc rc;

	if (m->ids_acked == 0 || x->ledger.index[id] < pruned)
		return;
	rc = opening_get(x->log_dir, x->subjects, &x->keys.keys, x->ledger.index[id], "input", NULL,
			 &o, &err);
	/* One that came back after the erasure has a new key, and opens. */
	if (!m->erase_sent[who] && rc != IM_OK) {
		x->lost++;
		evidence_broken("record %" PRIu64 " does not open: %s", x->ledger.index[id],
				err.text);
	}
	x->opened += rc == IM_OK;
	if (m->erased[who] && id < SUBJECTS &&
	    rc != IM_EPERM) { /* the first ones are of the key that went */
		x->lost++;
		evidence_broken("record %" PRIu64 " opens after the erasure of its subject",
				x->ledger.index[id]);
	}
}

/* Not even the disk as the cut left it may hold the key of a subject whose erasure was acknowledged. */
static void
find_erased_keys(struct run *x, const struct moment *m)
{
	struct subject_slot slot;
	struct subject_key key;
	struct im_err err;

	for (unsigned who = 0; who < SUBJECTS; who++) {
		enum im_rc rc;

		if (!m->erased[who])
			continue;
		rc = subjects_find(x->subjects, &x->keys.keys, &x->hasher, x->erased_id[who], &slot,
				   &key, &err);
		if (rc == IM_OK && slot.state != SUBJECT_LIVE)
			continue;
		x->lost++;
		evidence_broken("the key of %s lives after its erasure: %s", caller_of(who),
				rc != IM_OK ? err.text : "in its slot");
	}
}

static void
check_state(struct run *x, const struct moment *m, const struct power_image *image)
{
	static struct verify_report r;
	struct audit_log *log;
	struct im_err err;
	enum im_rc rc;

	power_image_write(image, x->power.root);
	verify(x, m, "before recovery", &r);
	find_erased_keys(x, m);
	rc = open_log(x, &disk_posix, &log, &err);
	if (rc != IM_OK) {
		x->alarms++;
		evidence_broken("the log does not open after a power cut: %s", err.text);
		return;
	}
	x->torn += log->recovered.torn;
	if (log->subjects.damaged > 0) {
		x->alarms++;
		evidence_broken("%" PRIu64 " keys of subjects are said to be damaged",
				log->subjects.damaged);
	}
	if (m->acks > 0 && audit_log_size(log) < x->ledger.ack[m->acks - 1].size) {
		x->lost++;
		evidence_broken("%" PRIu64 " records were acknowledged, %" PRIu64 " are there",
				x->ledger.ack[m->acks - 1].size, audit_log_size(log));
	} else {
		send_again(x, m, log);
	}
	audit_log_close(log);
	verify(x, m, "after recovery", &r);
	if (r.open != 0 || (r.pruned == 0 && r.kinds[RECORD_REQUEST] != m->ids_sent)) {
		x->duplicated++;
		evidence_broken("%" PRIu64 " requests were sent, %" PRIu64 " are recorded",
				m->ids_sent, r.kinds[RECORD_REQUEST]);
	}
	try_openings(x, m, r.pruned);
}

/* True if this state was not seen before. */
static bool
is_new(struct run *x, uint64_t hash)
{
	uint64_t at;

	hash |= 1;
	for (at = hash % x->seen_cap; x->seen[at] != 0; at = (at + 1) % x->seen_cap)
		if (x->seen[at] == hash)
			return false;
	x->seen[at] = hash;
	return true;
}

static void
try_state(struct run *x, const struct moment *m, enum power_fate fate)
{
	struct power_image image;

	power_crash(&x->power, fate, &x->r, &image);
	if (is_new(x, power_image_hash(&image) + m->acks * 2 + m->ids_sent * 4096)) {
		x->states++;
		check_state(x, m, &image);
	}
	power_image_done(&image);
}

/* Cut the power behind every call. */
static void
cut_everywhere(struct run *x, uint64_t count)
{
	const struct moment *m = x->moment;
	int leave_at = (int)prng_below(&x->r, (uint32_t)x->power.ops + 1);

	for (int cut = 0; cut <= x->power.ops && x->states < count; cut++) {
		power_seek(&x->power, cut);
		if (cut > 0 && x->power.op[cut - 1].kind == POWER_MARK)
			m = &x->moment[x->power.op[cut - 1].mark];
		if (cut == leave_at) {
			power_crash(&x->power, POWER_SOME, &x->r, &x->left);
			x->left_moment = *m;
		}
		x->cuts++;
		try_state(x, m, POWER_ALL);
		if (x->power.pendings == 0)
			continue;
		try_state(x, m, POWER_NONE);
		for (int i = 0; i < RANDOM && x->states < count; i++)
			try_state(x, m, POWER_SOME);
	}
}

static void
run_lives(struct run *x, uint64_t count)
{
	x->ledger.acks = x->ledger.ids = 0;
	x->left_moment = (struct moment){ 0 };
	for (int life = 0; life < LIVES && x->states < count; life++) {
		x->moment[0] = x->left_moment;
		x->moments = 1;
		x->ledger.acks = x->left_moment.acks;
		x->ledger.ids = x->left_moment.ids_sent;
		power_record(&x->power, life > 0 ? &x->left : NULL);
		power_image_done(&x->left);
		live(x);
		cut_everywhere(x, count);
		power_done(&x->power);
	}
	power_image_done(&x->left);
}

int
main(int argc, char **argv)
{
	static struct run x;
	struct evidence_args args;
	struct im_err err;
	char key[80];
	uint64_t began_us = clock_mono_us();

	/* Each state opens a log: its tables come from memory that is there already, not from fresh pages. */
	(void)mallopt(M_MMAP_THRESHOLD, 64 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 256 << 20);
	evidence_parse(argc, argv, 2000, "--lying-disk", &args);
	evidence_folder(&args, x.home);
	(void)snprintf(x.power.root, sizeof(x.power.root), "%s/d", x.home);
	(void)snprintf(x.log_dir, sizeof(x.log_dir), "%s/log", x.power.root);
	(void)snprintf(x.subjects, sizeof(x.subjects), "%s/key" SUBJECTS_SUFFIX, x.power.root);
	(void)snprintf(key, sizeof(key), "%s/key", x.home);
	must(keyfile_create(key, "evidence.example/log", &x.keys, &err), &err);
	must(hasher_init(&x.hasher, &err), &err);
	note_signer_vkey(&x.keys.signer, x.vkey);
	x.power.lies = args.flag;
	prng_seed(&x.r, args.seed);
	x.seen_cap = 2 * args.count + 1;
	x.seen = calloc(x.seen_cap, sizeof(*x.seen));
	if (x.seen == NULL)
		evidence_die("no memory");
	while (x.states < args.count)
		run_lives(&x, args.count);
	(void)printf("{\"states\":%" PRIu64 ",\"seed\":%" PRIu64 ",\"lives\":%" PRIu64
		     ",\"cuts\":%" PRIu64 ",\"torn_tails\":%" PRIu64 ",\"records_opened\":%" PRIu64
		     ",\"lost\":%" PRIu64 ",\"duplicated\":%" PRIu64 ",\"inconsistent\":%" PRIu64
		     ",\"false_alarms\":%" PRIu64 ",\"seconds\":%.1f}\n",
		     x.states, args.seed, x.lives, x.cuts, x.torn, x.opened, x.lost, x.duplicated,
		     x.inconsistent, x.alarms, (double)(clock_mono_us() - began_us) / 1e6);
	hasher_done(&x.hasher);
	keyfile_done(&x.keys);
	free(x.seen);
	evidence_remove(x.home);
	return evidence_breaches() == 0 ? 0 : 1;
}
