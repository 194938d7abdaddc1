/*
 * audit/witnesses_rig.c - see witnesses_rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <poll.h>
#include <unistd.h>

#include "audit/witnesses_rig.h"
#include "base/clock.h"
#include "base/log.h"

/* Nothing of what it runs touches what other threads do. */
void
rig_shell(const char *cmd)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe,cert-env33-c): a test's own command */
	assert_int_equal(system(cmd), 0);
}

static void
drop_line(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

static void *
run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

void
rig_daemon_up(struct witnesses_rig *f, unsigned i, const char *listen, const char *more)
{
	struct buf yaml = { 0 };
	char dir[96];

	(void)snprintf(dir, sizeof(dir), "%s/%u", f->dir, i);
	(void)buf_printf(&yaml,
			 "mesh: {state_dir: %s, run_dir: %s}\n"
			 "witness: {listen: '%s', name: example.com/w%u, logs: {%s: '%s'%s}}\n",
			 dir, f->dir, listen, i, RIG_ORIGIN, f->t.vkey, more);
	if (witness_host_up(&f->daemon[i], f->loop, buf_cstr(&yaml), &f->t.err) != IM_OK)
		fail_msg("%s", f->t.err.text);
	buf_done(&yaml);
}

void
rig_daemon_down(struct witnesses_rig *f, unsigned i)
{
	witness_host_down(&f->daemon[i], f->loop);
}

void
rig_open_log(struct witnesses_rig *f)
{
	f->log = testlog_open(&f->t);
	if (f->log == NULL)
		fail_msg("%s", f->t.err.text);
}

static void
on_published(void *user, const char *checkpoint, size_t len)
{
	witnesses_publish(user, checkpoint, len);
}

enum im_rc
rig_open_witnesses(struct witnesses_rig *f, size_t count, unsigned quorum)
{
	struct witnesses_params p = { .ops = f->ops != NULL ? f->ops : &disk_posix,
				      .dir = f->log->publisher.store.dir,
				      .key = &f->log->shard.signer,
				      .log_dir = f->t.dir,
				      .log_origin = RIG_ORIGIN,
				      .count = count,
				      .quorum = quorum,
				      .interval_ms = 10,
				      .fatal = f->log->params.fatal,
				      .user = f->log->params.user };
	enum im_rc rc;

	for (size_t i = 0; i < count; i++) {
		memcpy(f->url[i], f->daemon[i].url, sizeof(f->url[i]));
		p.url[i] = f->url[i];
		p.vkey[i] = f->daemon[i].vkey;
	}
	rc = witnesses_open(&p, &f->w, &f->t.err);
	if (rc == IM_OK) {
		f->log->publisher.told = on_published;
		f->log->publisher.told_user = f->w;
	}
	return rc;
}

void
rig_close_log(struct witnesses_rig *f)
{
	audit_log_close(f->log);
	witnesses_close(f->w);
	f->log = NULL;
	f->w = NULL;
}

uint64_t
rig_grow(struct witnesses_rig *f, uint64_t from, uint64_t pairs)
{
	if (testlog_pairs(&f->t, f->log, from, pairs, 100) != IM_OK ||
	    publisher_pass(&f->log->publisher, true, &f->t.err) != IM_OK)
		fail_msg("%s", f->t.err.text);
	return publisher_published(&f->log->publisher);
}

int
witnesses_rig_setup(void **state)
{
	struct witnesses_rig *f = calloc(1, sizeof(*f));

	log_capture(drop_line, NULL);
	testlog_init(&f->t);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/infermesh-witnesses-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(loop_new(&f->loop, NULL), IM_OK);
	assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f->loop), 0);
	for (unsigned i = 0; i < WITNESSES; i++)
		rig_daemon_up(f, i, "127.0.0.1:0", "");
	rig_open_log(f);
	*state = f;
	return 0;
}

int
witnesses_rig_teardown(void **state)
{
	struct witnesses_rig *f = *state;
	char cmd[256];

	rig_close_log(f);
	for (unsigned i = 0; i < WITNESSES; i++)
		rig_daemon_down(f, i);
	loop_stop(f->loop);
	assert_int_equal(pthread_join(f->thread, NULL), 0);
	loop_free(f->loop);
	testlog_done(&f->t);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s' '%s.old'", f->dir, f->dir);
	rig_shell(cmd);
	log_capture(NULL, NULL);
	free(f);
	return 0;
}

void
rig_wait_for(struct witnesses_rig *f, rig_stats_fn fn, uint64_t arg, const char *what)
{
	uint64_t deadline_ms = clock_mono_ms() + 60000;
	struct witnesses_stats s;

	for (;;) {
		witnesses_stats(f->w, &s);
		if (fn(&s, arg))
			return;
		if (clock_mono_ms() > deadline_ms)
			fail_msg("in vain: %s; cosigned %llu; %s: %s", what,
				 (unsigned long long)s.cosigned, witness_peer_text(s.by[0].state),
				 s.by[0].why);
		(void)poll(NULL, 0, 5);
	}
}

bool
rig_file_says(const struct witnesses_stats *s, uint64_t size)
{
	return s->cosigned == size;
}

bool
rig_all_cosigned(const struct witnesses_stats *s, uint64_t size)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->by[i].cosigned != size || s->by[i].lag_ms != 0)
			return false;
	return s->cosigned == size;
}

bool
rig_first_is(const struct witnesses_stats *s, uint64_t state)
{
	return s->by[0].state == (enum witness_peer_state)state;
}

unsigned
rig_read_file(struct witnesses_rig *f, uint64_t *ret_size)
{
	struct note_verifier key[WITNESSES];
	struct audit_source source;
	struct cosigned c;
	unsigned count;

	source_folder(&source, f->t.dir);
	for (unsigned i = 0; i < WITNESSES; i++)
		assert_int_equal(note_cosigner_parse(f->daemon[i].vkey, &key[i], NULL), IM_OK);
	if (cosigned_read_log(&source, f->t.vkey, key, WITNESSES, 1, &c, &f->t.err) != IM_OK)
		fail_msg("%s", f->t.err.text);
	for (unsigned i = 0; i < WITNESSES; i++) {
		if (c.by[i].cosigned)
			assert_true(c.by[i].time_s + 3600 > clock_wall_us() / 1000000);
	}
	*ret_size = c.at.size;
	count = c.count;
	cosigned_done(&c);
	return count;
}
