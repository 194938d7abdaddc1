/*
 * audit/witnesses_open.c - before and after the thread: keys, connections, and what an earlier run left; see witnesses.h.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit/witnesses_internal.h"
#include "base/hex.h"
#include "base/thread.h"

/* What the file says is the beginning of this log, and where the witnesses are. */
static enum im_rc
check_file(struct witnesses *w, const struct audit_source *source,
	   const struct checkpoint *cosigned, struct im_err *err)
{
	struct source_nodes nodes = { .source = source, .hasher = &w->hasher };
	struct buf text = { 0 };
	struct checkpoint now;
	struct hash root;
	enum im_rc rc = source_checkpoint(source, &w->log_key, &text, &now, err);

	if (rc == IM_OK && cosigned->size > now.size)
		rc = err_set(err, IM_ECORRUPT,
			     "witnesses have cosigned %" PRIu64
			     " records of it, and it holds %" PRIu64,
			     cosigned->size, now.size);
	nodes.size = now.size;
	if (rc == IM_OK && cosigned->size > 0)
		rc = source_root(&nodes, cosigned->size, &root, err);
	if (rc == IM_OK && cosigned->size > 0 && !tlog_equal(&root, &cosigned->root))
		rc = err_set(err, IM_ECORRUPT,
			     "the root of its first %" PRIu64
			     " records is not what witnesses cosigned",
			     cosigned->size);
	buf_done(&nodes.hashes);
	buf_done(&text);
	return rc;
}

/* checkpoint.cosigned of an earlier run: it says where the witnesses are. */
static enum im_rc
load_file(struct witnesses *w, struct im_err *err)
{
	struct note_verifier keys[COSIGNED_WITNESSES];
	struct audit_source source;
	struct buf text = { 0 };
	struct cosigned c = { 0 };
	enum im_rc rc;

	source_folder(&source, w->dir);
	rc = source.read(&source, COSIGNED_FILE, NOTE_MAX_BYTES, &text, err);
	if (rc == IM_ENOTFOUND) {
		buf_done(&text);
		return IM_OK;
	}
	for (size_t i = 0; i < w->params.count; i++)
		keys[i] = w->one[i].key; /* their owner stays w->one */
	if (rc == IM_OK)
		rc = cosigned_open(buf_cstr(&text), text.len, &w->log_key, keys, w->params.count,
				   &c, err);
	if (rc == IM_OK)
		rc = check_file(w, &source, &c.at, err);
	if (rc == IM_OK) {
		w->cosigned = c.at.size;
		for (size_t i = 0; i < w->params.count; i++)
			if (c.by[i].cosigned)
				w->one[i].peer.size = w->one[i].peer.cosigned = c.at.size;
	} else {
		err_prefix(err,
			   "%s/" COSIGNED_FILE " does not fit the log (put the newest copy of the "
			   "whole folder back)",
			   w->dir);
		rc = rc == IM_EIO || rc == IM_ENOMEM ? rc : IM_ECORRUPT;
	}
	cosigned_done(&c);
	buf_done(&text);
	return rc;
}

static enum im_rc
open_one(struct witnesses *w, size_t i, struct im_err *err)
{
	struct one *o = &w->one[i];
	struct witness_stats *s = &w->stats.by[i];
	enum im_rc rc = note_cosigner_parse(w->params.vkey[i], &o->key, err);

	if (rc != IM_OK) {
		err_prefix(err, "audit.witnesses: %s", w->params.url[i]);
		return rc;
	}
	o->url = s->url = w->params.url[i];
	memcpy(s->name, o->key.name, sizeof(s->name));
	return witness_call_init(&o->call, w->multi, o->url, w->params.ca_file, o, err);
}

static enum im_rc
start_thread(struct witnesses *w, struct im_err *err)
{
	int failed = thread_start(&w->thread, witnesses_run, w);

	if (failed != 0)
		return err_errno(err, IM_ENOMEM, failed, "cannot start the witnesses' thread");
	w->running = true;
	return IM_OK;
}

static enum im_rc
begin(struct witnesses *w, struct im_err *err)
{
	uint64_t seed;
	enum im_rc rc = hasher_init(&w->hasher, err);

	if (rc == IM_OK)
		rc = disk_path(w->dir, w->params.dir, "", err);
	if (rc != IM_OK)
		return rc;
	w->dir[strlen(w->dir) - 1] = '\0';
	rc = disk_path(w->log_dir, w->params.log_dir, "", err);
	if (rc != IM_OK)
		return rc;
	(void)snprintf(w->origin, sizeof(w->origin), "%s", w->params.key->name);
	(void)snprintf(w->log_origin, sizeof(w->log_origin), "%s", w->params.log_origin);
	random_bytes(&seed, sizeof(seed));
	prng_seed(&w->prng, seed);
	w->curl = curl_late.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	w->multi = w->curl ? curl_late.multi_init() : NULL;
	if (w->multi == NULL)
		return err_set(err, IM_ENOMEM, "no memory for witnesses");
	note_verifier_of(w->params.key, &w->log_key);
	for (size_t i = 0; i < w->params.count && rc == IM_OK; i++)
		rc = open_one(w, i, err);
	if (rc == IM_OK)
		rc = load_file(w, err);
	if (rc == IM_OK)
		witnesses_put_stats(w, 0);
	return rc == IM_OK ? start_thread(w, err) : rc;
}

enum im_rc
witnesses_open(const struct witnesses_params *params, struct witnesses **ret, struct im_err *err)
{
	enum im_rc rc = curl_late_load(err);
	struct witnesses *w;

	assert(params->count <= COSIGNED_WITNESSES);
	if (rc != IM_OK)
		return rc;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return err_set(err, IM_ENOMEM, "no memory for witnesses");
	w->params = *params;
	w->quorum = cosigned_quorum(params->quorum, params->count);
	w->stats.count = params->count;
	w->stats.quorum = w->quorum;
	(void)pthread_mutex_init(&w->lock, NULL);
	rc = begin(w, err);
	if (rc == IM_OK)
		*ret = w;
	else
		witnesses_close(w);
	return rc;
}

void
witnesses_close(struct witnesses *w)
{
	if (w == NULL)
		return;
	if (w->running) {
		(void)pthread_mutex_lock(&w->lock);
		w->stop = true;
		(void)pthread_mutex_unlock(&w->lock);
		(void)curl_late.multi_wakeup(w->multi);
		(void)pthread_join(w->thread, NULL);
	}
	for (size_t i = 0; i < w->params.count; i++) {
		witness_call_done(&w->one[i].call);
		buf_done(&w->one[i].line);
	}
	(void)curl_late.multi_cleanup(w->multi);
	if (w->curl)
		curl_late.global_cleanup();
	buf_done(&w->target.text);
	buf_done(&w->latest.text);
	buf_done(&w->published);
	hasher_done(&w->hasher);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}
