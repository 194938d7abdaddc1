/*
 * audit/witnesses.c - see witnesses.h; starting and ending are in witnesses_open.c. When to ask whom is witness_peer.c's business, the bytes on the wire witness_call.c's.
 *
 * The thread works on one checkpoint at a time, the target: all witnesses are asked for the same one, so that their cosignatures
 * come together on it. A newer one takes its place when the interval is over and enough have cosigned, or nobody is being asked
 * any more.
 */
#include "audit/witnesses_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/add_checkpoint.h"
#include "audit/cosignature.h"
#include "audit/shards.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#define WAIT_MAX_MS 60000

static unsigned
line_count(const struct witnesses *w)
{
	unsigned n = 0;

	for (size_t i = 0; i < w->params.count; i++)
		n += w->one[i].line.len > 0 ? 1 : 0;
	return n;
}

static bool
anybody_asked(const struct witnesses *w)
{
	for (size_t i = 0; i < w->params.count; i++)
		if (w->one[i].peer.asking)
			return true;
	return false;
}

/* The newest published checkpoint becomes the target, when its time has come. Returns how long until then. */
static uint64_t
next_target(struct witnesses *w, uint64_t now_ms)
{
	struct signed_checkpoint old = w->target;

	if (w->latest.size <= w->target.size)
		return UINT64_MAX;
	if (line_count(w) < w->quorum && anybody_asked(w))
		return UINT64_MAX; /* the answers wake us */
	if (now_ms < w->next_ms)
		return w->next_ms - now_ms;
	w->target = w->latest;
	buf_clear(&old.text);
	old.size = 0;
	w->latest = old;
	w->next_ms = now_ms + w->params.interval_ms;
	w->news = false;
	for (size_t i = 0; i < w->params.count; i++) {
		buf_clear(&w->one[i].line);
		if (w->one[i].since_ms == 0)
			w->one[i].since_ms = now_ms;
	}
	return UINT64_MAX;
}

static enum im_rc
make_request(struct witnesses *w, struct one *o, struct im_err *err)
{
	struct audit_source source;
	struct source_nodes nodes = { .source = &source,
				      .hasher = &w->hasher,
				      .size = w->target.size };
	struct add_checkpoint r = { .old = o->peer.size,
				    .note = buf_cstr(&w->target.text),
				    .note_len = w->target.text.len };
	enum im_rc rc;

	source_folder(&source, w->dir);
	rc = tlog_prove_consistency(&w->hasher, r.old, w->target.size, source_node, &nodes,
				    &r.proof, err);
	buf_done(&nodes.hashes);
	buf_clear(&o->call.request);
	if (rc == IM_OK && !add_checkpoint_put(&o->call.request, &r))
		rc = err_set(err, IM_ENOMEM, "no memory to ask a witness");
	return rc;
}

/* Say once that it stopped to cosign, and once that it does again. */
static void
tell(const struct one *o, enum witness_peer_state was)
{
	enum witness_peer_state is = o->peer.state;

	if (is == was || (is == WITNESS_PEER_FINE && was == WITNESS_PEER_NEW))
		return;
	if (is == WITNESS_PEER_FINE)
		log_info("a witness cosigns again", LOG_STR("infermesh.witness", o->key.name));
	else if (is == WITNESS_PEER_AHEAD)
		log_error(
		    "a witness has cosigned more of this log than there is: the folder was rolled back",
		    LOG_STR("infermesh.witness", o->key.name), LOG_STR("error.message", o->why));
	else if (is == WITNESS_PEER_FORK)
		log_error(
		    "a witness has cosigned something else than this log: the folder was rolled back and went on",
		    LOG_STR("infermesh.witness", o->key.name), LOG_STR("error.message", o->why));
	else
		log_warn("a witness does not cosign", LOG_STR("infermesh.witness", o->key.name),
			 LOG_STR("server.address", o->url), LOG_STR("error.message", o->why));
}

static void
answered(struct witnesses *w, struct one *o, const struct witness_answer *a)
{
	enum witness_peer_state was = o->peer.state;
	unsigned failures = o->peer.failures;

	witness_peer_answered(&o->peer, a, clock_mono_ms(), prng_unit(&w->prng));
	if (a->cosigned) {
		o->good++;
		o->why[0] = '\0';
	} else if (o->peer.failures > failures) {
		o->failed++;
	}
	utf8_mask(o->why); /* it may hold what a stranger said, and a cut may have come anywhere */
	tell(o, was);
}

static void
ask(struct witnesses *w, struct one *o)
{
	const struct witness_answer none = { 0 };
	struct im_err err = { 0 };

	witness_peer_asked(&o->peer, w->target.size);
	o->target = w->target.size;
	if (make_request(w, o, &err) == IM_OK && witness_call_begin(&o->call))
		return;
	(void)snprintf(o->why, sizeof(o->why), "%.150s",
		       err.rc != IM_OK ? err.text : "not enough memory");
	answered(w, o, &none);
}

/* Take its cosignature out of an answer, which may hold those of others too. */
static bool
take_line(struct witnesses *w, struct one *o)
{
	struct buf *request = &o->call.request, *body = &o->call.body;
	struct add_checkpoint r;
	struct buf line = { 0 };
	struct im_err err = { 0 };
	enum im_rc rc = add_checkpoint_parse(buf_cstr(request), request->len, &r, &err);

	if (rc == IM_OK)
		rc = cosignature_take(r.note, r.note_len, buf_cstr(body), body->len, &o->key, &line,
				      &err);
	if (rc != IM_OK) {
		(void)snprintf(o->why, sizeof(o->why), "its answer holds no cosignature: %.100s",
			       err.text);
	} else if (o->target == w->target.size) {
		buf_done(&o->line);
		o->line = line;
		line = (struct buf){ 0 };
		w->news = true;
	}
	buf_done(&line);
	return rc == IM_OK;
}

/* Its answer to something else than a checkpoint that it cosigned, in words. */
static void
explain(struct one *o, const struct witness_answer *a)
{
	struct buf *body = &o->call.body;
	int len = body->len < 80 ? (int)body->len : 80;

	if (a->status == 0)
		(void)snprintf(o->why, sizeof(o->why), "no answer: %.140s", o->call.why);
	else if (a->has_size)
		(void)snprintf(o->why, sizeof(o->why),
			       "it has cosigned size %" PRIu64 "; it was asked for %" PRIu64,
			       a->size, o->target);
	else
		(void)snprintf(o->why, sizeof(o->why), "HTTP %d: %.*s", a->status, len,
			       buf_cstr(body));
	for (size_t i = strlen(o->why); i > 0 && o->why[i - 1] == '\n'; i--)
		o->why[i - 1] = '\0';
}

static void
on_end(struct witnesses *w, struct one *o, CURLcode code)
{
	struct witness_answer a = { 0 };
	bool is_size;

	witness_call_end(&o->call, code, &a.status, &is_size);
	a.has_size =
	    a.status == 409 && is_size &&
	    add_checkpoint_parse_size((const char *)o->call.body.data, o->call.body.len, &a.size);
	a.cosigned = a.status == 200 && take_line(w, o);
	if (!a.cosigned && a.status != 200)
		explain(o, &a);
	answered(w, o, &a);
	if (a.cosigned && o->target == w->target.size)
		o->since_ms = 0;
}

static void
serve_calls(struct witnesses *w)
{
	int left;
	CURLMsg *m;

	(void)curl_late.multi_perform(w->multi, &left);
	while ((m = curl_late.multi_info_read(w->multi, &left)) != NULL) {
		struct one *o = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_late.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&o);
		on_end(w, o, m->data.result);
	}
}

/* The target with all cosignatures that are there. */
static enum im_rc
write_file(struct witnesses *w, struct im_err *err)
{
	char path[DISK_PATH_MAX];
	struct buf text = BUF_INIT(NOTE_MAX_BYTES);
	enum im_rc rc = disk_path(path, w->dir, COSIGNED_FILE, err);

	(void)buf_append(&text, w->target.text.data, w->target.text.len);
	for (size_t i = 0; i < w->params.count; i++)
		(void)buf_append(&text, w->one[i].line.data, w->one[i].line.len);
	if (rc == IM_OK && !buf_ok(&text))
		rc = err_set(err, IM_ENOMEM, "no memory for a cosigned checkpoint");
	if (rc == IM_OK)
		rc = disk_replace(w->params.ops, path, text.data, text.len, err);
	if (rc == IM_OK)
		rc = disk_sync_dir(w->params.ops, w->dir, err);
	buf_done(&text);
	return rc;
}

/* Publish what was cosigned, if that is enough and new. */
static void
save(struct witnesses *w)
{
	struct im_err err;
	enum im_rc rc;

	if (!w->news || line_count(w) < w->quorum || w->target.size < w->cosigned)
		return;
	rc = write_file(w, &err);
	if (rc == IM_EIO) {
		w->params.fatal(w->params.user, &err);
		return; /* only a test gets here */
	}
	if (rc != IM_OK && !w->save_failed)
		log_warn("cannot publish a cosigned checkpoint",
			 LOG_STR("error.message", err.text));
	w->save_failed = rc != IM_OK;
	if (rc != IM_OK)
		return; /* again when the next cosignature comes, or on the next checkpoint */
	w->news = false;
	w->cosigned = w->target.size;
}

void
witnesses_put_stats(struct witnesses *w, uint64_t now_ms)
{
	(void)pthread_mutex_lock(&w->lock);
	w->stats.cosigned = w->cosigned;
	for (size_t i = 0; i < w->params.count; i++) {
		const struct one *o = &w->one[i];
		struct witness_stats *s = &w->stats.by[i];

		s->state = o->peer.state;
		s->cosigned = o->peer.cosigned;
		s->lag_ms = o->since_ms != 0 ? now_ms - o->since_ms : 0;
		s->good = o->good;
		s->failed = o->failed;
		memcpy(s->why, o->why, sizeof(s->why));
	}
	(void)pthread_mutex_unlock(&w->lock);
}

/* The log goes on in another shard: all begins anew. */
static void
next_shard(struct witnesses *w, const char *origin)
{
	const char *name = shard_name_of(w->log_origin, origin);

	if (name == NULL || disk_path(w->dir, w->log_dir, name, NULL) != IM_OK)
		return;
	(void)snprintf(w->origin, sizeof(w->origin), "%s", origin);
	buf_clear(&w->target.text);
	buf_clear(&w->latest.text);
	w->target.size = w->latest.size = 0;
	w->cosigned = w->next_ms = 0;
	w->news = false;
	for (size_t i = 0; i < w->params.count; i++) {
		w->one[i].peer = (struct witness_peer){ .size = 0 };
		w->one[i].since_ms = 0;
		buf_clear(&w->one[i].line);
	}
}

/* Can what was published be taken? Not while answers about the shard before are to come: they wake us. */
static bool
can_take(struct witnesses *w)
{
	struct checkpoint c;

	if (w->published.len == 0 ||
	    checkpoint_open(buf_cstr(&w->published), w->published.len, NULL, &c, NULL) != IM_OK)
		return false;
	if (strcmp(c.origin, w->origin) == 0)
		return true;
	if (anybody_asked(w))
		return false;
	next_shard(w, c.origin);
	return true;
}

/* What was published meanwhile becomes the latest. False: it is time to end. */
static bool
take_published(struct witnesses *w)
{
	struct checkpoint c;
	struct buf swap;
	bool stop;

	(void)pthread_mutex_lock(&w->lock);
	stop = w->stop;
	if (can_take(w)) {
		swap = w->latest.text;
		w->latest.text = w->published;
		w->published = swap;
		buf_clear(&w->published);
		w->latest.size = 0;
	}
	(void)pthread_mutex_unlock(&w->lock);
	if (w->latest.size == 0 && w->latest.text.len > 0 &&
	    checkpoint_open(buf_cstr(&w->latest.text), w->latest.text.len, NULL, &c, NULL) == IM_OK)
		w->latest.size = c.size;
	return !stop;
}

void *
witnesses_run(void *arg)
{
	struct witnesses *w = arg;

	while (take_published(w)) {
		uint64_t now_ms, wait_ms;

		serve_calls(w);
		save(w);
		now_ms = clock_mono_ms();
		wait_ms = next_target(w, now_ms);
		for (size_t i = 0; i < w->params.count; i++) {
			bool due;
			uint64_t ms;

			due = witness_peer_due(&w->one[i].peer, w->target.size, now_ms, &ms);
			if (due)
				ask(w, &w->one[i]);
			if (ms < wait_ms)
				wait_ms = ms;
		}
		witnesses_put_stats(w, now_ms);
		(void)curl_late.multi_poll(
		    w->multi, NULL, 0, wait_ms < WAIT_MAX_MS ? (int)wait_ms : WAIT_MAX_MS, NULL);
	}
	return NULL;
}

void
witnesses_publish(struct witnesses *w, const char *text, size_t len)
{
	(void)pthread_mutex_lock(&w->lock);
	buf_clear(&w->published);
	if (!buf_append(&w->published, text, len)) /* then the next one */
		buf_clear(&w->published);
	(void)pthread_mutex_unlock(&w->lock);
	(void)curl_late.multi_wakeup(w->multi);
}

void
witnesses_stats(struct witnesses *w, struct witnesses_stats *ret)
{
	(void)pthread_mutex_lock(&w->lock);
	*ret = w->stats;
	(void)pthread_mutex_unlock(&w->lock);
}
