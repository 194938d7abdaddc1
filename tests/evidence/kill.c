/*
 * tests/evidence/kill.c - the real audit daemon is killed again and again under load. A client over its link writes each
 * acknowledgement to a file, the ledger, and what was not acknowledged it sends again to the next life, as a router does.
 *
 * In the end, and now and then before, the log is compared with the ledger: each acknowledged record is at the index that was
 * said, no request is there twice, and the log continues every checkpoint that was ever answered or published. One life in
 * eight may be killed while it starts. The daemon may never refuse to start.
 *
 * usage: audit-kill [--count KILLS] [--seed N] [--dir DIR]
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/disk.h"
#include "audit/keyfile.h"
#include "audit/verify.h"
#include "audit_daemon.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/prng.h"
#include "evidence.h"
#include "net/net.h"
#include "wire/mesh.h"

#define OUTSTANDING 6     /* calls */
#define PAIRS_MAX   3     /* of a call */
#define LOAD_US     8000  /* a life lasts so long at most after its first answer */
#define START_US    15000 /* and one that is killed early, after its beginning */
#define PATIENCE_US 20000000
#define LOOK_EVERY  100 /* kills between two verifications */
#define ARENA_BYTES 65536
#define UNKNOWN     UINT64_MAX

/* One line of the ledger. */
struct ack {
	uint64_t id, request, response; /* indices */
};

struct batch {
	struct run *x;
	uint64_t first;
	unsigned pairs;
	bool waiting; /* to be sent again */
};

struct run {
	struct audit_daemon daemon;
	struct loop *loop;
	struct net *net;
	struct endpoint *endpoint;
	struct link *link;
	struct loop_timer kill_timer, patience;
	struct batch batch[OUTSTANDING];
	struct prng r;
	int ledger;
	uint64_t kills, kills_wanted, early, acks, next_id, resent, stops, stop_at;
	bool killing; /* the end of this life is set */
	uint64_t started_us, start_us_sum, start_us_max, starts;
	struct checkpoint *seen;
	size_t seen_count;
	uint64_t lost, duplicated, inconsistent, alarms;
};

static void
must(enum im_rc rc, const struct im_err *err)
{
	if (rc != IM_OK)
		evidence_die("%s", err->text);
}

static void
see(struct run *x, const char *text, size_t len)
{
	struct checkpoint *cp;
	struct im_err err;

	if ((x->seen_count & (x->seen_count + 1)) == 0)
		x->seen = evidence_realloc(x->seen, (2 * x->seen_count + 2) * sizeof(*x->seen));
	cp = &x->seen[x->seen_count];
	if (checkpoint_open(text, len, NULL, cp, &err) != IM_OK) {
		x->inconsistent++;
		evidence_broken("a checkpoint that is none: %s", err.text);
		return;
	}
	/* Most are of the same frame as the one before. */
	if (x->seen_count == 0 || memcmp(cp, cp - 1, sizeof(*cp)) != 0)
		x->seen_count++;
}

static void send_batch(struct batch *b);

static void
fill(struct batch *b)
{
	b->first = b->x->next_id;
	b->pairs = 1 + prng_below(&b->x->r, PAIRS_MAX);
	b->x->next_id += b->pairs;
}

/* Lives end some time after their first answer. */
static void
set_end(struct run *x, uint64_t delay_us)
{
	struct im_err err;

	(void)err_set(&err, IM_ENOMEM, "no memory");
	x->killing = true;
	must(loop_timer_set(x->loop, &x->kill_timer, delay_us), &err);
}

static void
note_first_answer(struct run *x)
{
	uint64_t took_us = clock_mono_us() - x->started_us;

	x->starts++;
	x->start_us_sum += took_us;
	if (took_us > x->start_us_max)
		x->start_us_max = took_us;
	set_end(x, prng_below(&x->r, LOAD_US));
}

static void
on_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct batch *b = user;
	struct run *x = b->x;
	struct ack ack[PAIRS_MAX];
	struct audit_appended reply;
	struct arena arena;
	struct im_err bad;

	(void)call;
	if (err != NULL) { /* the link went; nobody knows whether it is in the log */
		b->waiting = true;
		return;
	}
	arena_init(&arena, ARENA_BYTES);
	must(audit_appended_decode(body, len, &arena, &reply, &bad), &bad);
	if (reply.count != 2UL * b->pairs)
		evidence_die("an answer about %zu records", reply.count);
	for (unsigned i = 0; i < b->pairs; i++)
		ack[i] =
		    (struct ack){ b->first + i, reply.index[2UL * i], reply.index[2UL * i + 1] };
	see(x, reply.checkpoint, strlen(reply.checkpoint));
	arena_done(&arena);
	if (write(x->ledger, ack, b->pairs * sizeof(ack[0])) !=
	    (ssize_t)(b->pairs * sizeof(ack[0])))
		evidence_die("cannot write the ledger");
	x->acks += b->pairs;
	if (!x->killing)
		note_first_answer(x);
	fill(b);
	if (x->link != NULL && x->kills < x->kills_wanted)
		send_batch(b);
	else
		b->waiting = true;
}

static void
send_batch(struct batch *b)
{
	static const struct call_ops ops = { .end = on_end };
	struct audit_event event[2 * PAIRS_MAX];
	struct audit_append append = { event, 2UL * b->pairs };
	struct call_request req = { .method = METHOD_AUDIT_APPEND, .budget_ms = 60000 };
	struct buf body = { 0 };
	struct call *call;
	struct im_err err;

	for (unsigned i = 0; i < 2 * b->pairs; i++) {
		uint64_t id = b->first + i / 2;

		event[i] =
		    (struct audit_event){ .kind = i % 2 == 0 ? RECORD_REQUEST : RECORD_RESPONSE,
					  .has_request_id = true,
					  .caller = "alice",
					  .tenant = "acme",
					  .model = "demo",
					  .has_input = true };
		if (i % 2 != 0)
			event[i].outcome = OUTCOME_OK;
		memcpy(event[i].request_id, &id, sizeof(id));
	}
	audit_append_encode(&append, &body);
	req.body = body.data;
	req.body_len = body.len;
	b->waiting = call_start(b->x->link, &req, &ops, b, &call, &err) != IM_OK;
	buf_done(&body);
}

static void
on_up(void *user, struct link *link)
{
	struct run *x = user;

	x->link = link;
	if (x->kills == x->kills_wanted)
		return;
	for (unsigned i = 0; i < OUTSTANDING; i++) {
		if (!x->batch[i].waiting)
			continue;
		x->resent++;
		send_batch(&x->batch[i]);
	}
}

static void
on_down(void *user, struct link *link, const struct im_err *why)
{
	struct run *x = user;

	(void)why;
	if (x->link == link)
		x->link = NULL;
}

/* The checkpoint that whoever looks at the folder sees now. */
static void
see_published(struct run *x)
{
	char path[DISK_PATH_MAX];
	struct buf text = { 0 };

	(void)snprintf(path, sizeof(path), "%s/checkpoint", x->daemon.dir);
	if (disk_read(path, NOTE_MAX_BYTES, &text, NULL) == IM_OK)
		see(x, buf_cstr(&text), text.len);
	buf_done(&text);
}

static int
by_size(const void *a, const void *b)
{
	const struct checkpoint *x = a, *y = b;

	return x->size < y->size ? -1 : x->size > y->size;
}

static uint64_t
verify(struct run *x)
{
	static struct verify_report r;
	struct verify_options options = { 0 };
	char vkey[NOTE_KEYTEXT_MAX];
	struct keyfile keys;
	struct im_err err;
	enum im_rc rc;

	qsort(x->seen, x->seen_count, sizeof(*x->seen), by_size);
	options.seen = x->seen;
	options.seen_count = x->seen_count;
	must(keyfile_load(x->daemon.key, &keys, &err), &err);
	note_signer_vkey(&keys.signer, vkey);
	keyfile_done(&keys);
	rc = audit_verify(x->daemon.dir, vkey, &options, &r, &err);
	if (rc != IM_OK || r.problems != 0) {
		x->inconsistent++;
		evidence_broken("after %" PRIu64 " kills: %s", x->kills,
				rc != IM_OK ? err.text : r.problem[0]);
	}
	return r.size;
}

static void
start_life(struct run *x)
{
	x->killing = false;
	x->started_us = clock_mono_us();
	audit_daemon_start(&x->daemon);
	if (prng_below(&x->r, 8) == 0) {
		x->early++;
		set_end(x, prng_below(&x->r, START_US));
	}
}

static void
on_kill(void *arg)
{
	struct run *x = arg;

	if (!audit_daemon_kill(&x->daemon)) {
		x->alarms++;
		evidence_broken("the daemon ended by itself in life %" PRIu64, x->kills);
		audit_daemon_show_log(&x->daemon);
	}
	x->kills++;
	see_published(x);
	if (x->kills % LOOK_EVERY == 0)
		(void)verify(x);
	if (x->kills == x->kills_wanted)
		loop_stop(x->loop);
	else
		start_life(x);
}

/* No answer for so long: it does not start. */
static void
on_patience(void *arg)
{
	struct run *x = arg;

	if (clock_mono_us() - x->started_us > PATIENCE_US) {
		x->alarms++;
		evidence_broken("life %" PRIu64 " answers nothing", x->kills);
		audit_daemon_show_log(&x->daemon);
		loop_stop(x->loop);
		return;
	}
	(void)!loop_timer_set(x->loop, &x->patience, 1000000); /* it was armed: cannot fail */
}

/* Where every request is in the log: pairs of indices, by id. */
static uint64_t *
read_log(struct run *x, uint64_t size)
{
	uint64_t *at = evidence_alloc(2 * x->next_id * sizeof(*at));
	struct audit_source folder;
	struct buf b = { 0 };
	struct im_err err;

	for (uint64_t i = 0; i < 2 * x->next_id; i++)
		at[i] = UNKNOWN;
	source_folder(&folder, x->daemon.dir);
	for (uint64_t i = 0; i < size;) {
		struct tile t = { TILE_ENTRIES, tile_width(size, TILE_ENTRIES, i / TILE_WIDTH),
				  i / TILE_WIDTH };
		struct bundle_iter it;
		const uint8_t *entry;
		size_t len;

		must(source_tile(&folder, &t, &b, &err), &err);
		it = (struct bundle_iter){ b.data, b.len };
		for (; bundle_next(&it, &entry, &len); i++) {
			struct arena arena = { 0 };
			struct record rec;
			uint64_t id;

			must(record_decode(entry, len, &arena, &rec, &err), &err);
			memcpy(&id, rec.request_id, sizeof(id));
			if (rec.has_request_id) {
				uint64_t *place = &at[2 * id + (rec.kind == RECORD_RESPONSE)];

				if (*place != UNKNOWN) {
					x->duplicated++;
					evidence_broken("request %" PRIu64 " is record %" PRIu64
							" and record %" PRIu64,
							id, *place, i);
				}
				*place = i;
			}
			arena_done(&arena);
		}
	}
	buf_done(&b);
	return at;
}

static void
compare_ledger(struct run *x, const uint64_t *at)
{
	struct ack a;

	if (lseek(x->ledger, 0, SEEK_SET) != 0)
		evidence_die("cannot read the ledger");
	for (uint64_t i = 0; i < x->acks; i++) {
		if (read(x->ledger, &a, sizeof(a)) != sizeof(a))
			evidence_die("cannot read the ledger");
		if (at[2 * a.id] == a.request && at[2 * a.id + 1] == a.response)
			continue;
		x->lost++;
		evidence_broken("request %" PRIu64 " was acknowledged as %" PRIu64 " and %" PRIu64
				", and the log has it at %" PRIu64 " and %" PRIu64,
				a.id, a.request, a.response, at[2 * a.id], at[2 * a.id + 1]);
	}
}

static void
setup(struct run *x, const struct evidence_args *args)
{
	static const struct endpoint_ops ops = { .up = on_up, .down = on_down };
	const struct net_params params = {
		.role = "router", .name = "evidence", .reconnect_min_ms = 1, .reconnect_max_ms = 4
	};
	char home[64], path[96];
	struct im_err err;

	evidence_folder(args, home);
	audit_daemon_init(&x->daemon, home, 30, "  segment_bytes: 1MiB\n");
	(void)snprintf(path, sizeof(path), "%s/ledger", home);
	x->ledger = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (x->ledger < 0)
		evidence_die("cannot make %s", path);
	prng_seed(&x->r, args->seed);
	x->kills_wanted = args->count;
	x->kill_timer = (struct loop_timer){ .fn = on_kill, .arg = x };
	x->patience = (struct loop_timer){ .fn = on_patience, .arg = x };
	for (unsigned i = 0; i < OUTSTANDING; i++) {
		x->batch[i].x = x;
		x->batch[i].waiting = true;
		fill(&x->batch[i]);
	}
	must(loop_new(&x->loop, &err), &err);
	loop_enter(x->loop);
	must(net_new(x->loop, &params, &x->net, &err), &err);
	must(net_dial(x->net, x->daemon.url, &ops, x, &x->endpoint, &err), &err);
	start_life(x);
	(void)err_set(&err, IM_ENOMEM, "no memory");
	must(loop_timer_set(x->loop, &x->patience, 1000000), &err);
	loop_leave(x->loop);
}

static void
on_closed(void *arg)
{
	struct run *x = arg;

	loop_stop(x->loop);
}

static void
close_client(struct run *x)
{
	loop_enter(x->loop);
	loop_timer_cancel(x->loop, &x->patience);
	loop_timer_cancel(x->loop, &x->kill_timer);
	net_close(x->net, on_closed, x);
	loop_leave(x->loop);
	loop_run(x->loop);
	net_free(x->net);
	loop_free(x->loop);
}

int
main(int argc, char **argv)
{
	static struct run x;
	struct evidence_args args;
	uint64_t began_us = clock_mono_us(), size = 0, *at;

	evidence_parse(argc, argv, 20, NULL, &args);
	setup(&x, &args);
	loop_run(x.loop);
	close_client(&x);
	if (x.daemon.pid > 0)
		(void)audit_daemon_kill(&x.daemon);
	/* One more life in peace, so that all is published. */
	audit_daemon_start(&x.daemon);
	audit_daemon_wait(&x.daemon);
	if (!audit_daemon_stop(&x.daemon)) {
		x.alarms++;
		evidence_broken("the daemon did not end well");
		audit_daemon_show_log(&x.daemon);
	}
	size = verify(&x);
	at = read_log(&x, size);
	compare_ledger(&x, at);
	(void)printf("{\"kills\":%" PRIu64 ",\"seed\":%" PRIu64 ",\"while_starting\":%" PRIu64
		     ",\"records\":%" PRIu64 ",\"acknowledged\":%" PRIu64 ",\"sent_again\":%" PRIu64
		     ",\"checkpoints\":%zu,\"start_ms_mean\":%.1f,\"start_ms_max\":%.1f,"
		     "\"lost\":%" PRIu64 ",\"duplicated\":%" PRIu64 ",\"inconsistent\":%" PRIu64
		     ",\"false_alarms\":%" PRIu64 ",\"seconds\":%.1f}\n",
		     x.kills, args.seed, x.early, size, 2 * x.acks, x.resent, x.seen_count,
		     x.starts > 0 ? (double)x.start_us_sum / (double)x.starts / 1e3 : 0,
		     (double)x.start_us_max / 1e3, x.lost, x.duplicated, x.inconsistent, x.alarms,
		     (double)(clock_mono_us() - began_us) / 1e6);
	free(at);
	free(x.seen);
	(void)close(x.ledger);
	evidence_remove(x.daemon.home);
	return evidence_breaches() == 0 ? 0 : 1;
}
