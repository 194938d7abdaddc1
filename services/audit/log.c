/*
 * audit/log.c - from events to durable records; see log.h. Opening is in log_open.c, going on in another shard in turn.c.
 */
#include "audit/log.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "audit/commitment.h"
#include "audit/record.h"
#include "audit/tile.h"
#include "base/hex.h"

#define ENTRY_FIXED_BYTES 640 /* more than all members of fixed size, tags and lengths take */
#define LOAD_FIXED_BYTES  32

static size_t
text_bytes(const char *s)
{
	return s != NULL ? strlen(s) : 0;
}

size_t
audit_log_event_bytes(const struct audit_event *event)
{
	size_t n = ENTRY_FIXED_BYTES + text_bytes(event->model) + text_bytes(event->model_digest);

	if (event->has_gap)
		n += text_bytes(event->gap.reason);
	if (!event->has_routing)
		return n;
	n += text_bytes(event->routing.worker) + text_bytes(event->routing.policy) +
	     text_bytes(event->routing.reason);
	n += text_bytes(event->routing.route) + text_bytes(event->routing.arm) +
	     text_bytes(event->routing.fallback) + text_bytes(event->routing.rule);
	for (size_t i = 0; i < event->routing.seen_count; i++)
		n += LOAD_FIXED_BYTES + text_bytes(event->routing.seen[i].worker);
	for (size_t i = 0; i < event->routing.failed_count; i++)
		n += LOAD_FIXED_BYTES + text_bytes(event->routing.failed[i].worker) +
		     text_bytes(event->routing.failed[i].reason);
	return n;
}

bool
audit_log_idle(const struct audit_log *log)
{
	return log->count == 0;
}

uint64_t
audit_log_size(const struct audit_log *log)
{
	return log->shard.first + log->range.size;
}

static void
commit_to(struct audit_log *log, const struct identity *who, const uint8_t *request_id,
	  const char *field, const uint8_t *content, struct hash *ret)
{
	struct hash opening;

	commitment_opening(&who->opener, request_id, field, &opening);
	commitment_make(&log->hasher, &opening, field, content, ret);
	OPENSSL_cleanse(&opening, sizeof(opening));
}

/* A RESPONSE says what its REQUEST said. */
static void
commit_input(struct audit_log *log, const struct identity *who, const struct audit_event *e,
	     struct hash *ret)
{
	if (e->kind == RECORD_RESPONSE &&
	    identity_take_input(&log->identities, who, e->request_id, e->input_sha256, ret))
		return;
	commit_to(log, who, e->request_id, COMMITMENT_INPUT, e->input_sha256, ret);
	if (e->kind == RECORD_REQUEST)
		identity_keep_input(&log->identities, who, e->request_id, e->input_sha256, ret);
}

/* Identities become pseudonyms, digests become commitments. */
static enum im_rc
hide(struct audit_log *log, const struct audit_event *e, struct record *r, struct im_err *err)
{
	const char *caller = e->caller != NULL ? e->caller : "";
	const char *tenant = e->tenant != NULL ? e->tenant : "";
	struct identity *who =
	    identity_get(&log->identities, &log->hasher, &log->pseudonyms, tenant, caller);

	r->has_caller = *caller != '\0';
	r->has_tenant = *tenant != '\0';
	if (r->has_caller)
		memcpy(r->caller, who->caller, sizeof(r->caller));
	if (r->has_tenant)
		memcpy(r->tenant, who->tenant, sizeof(r->tenant));
	r->has_input = e->has_input;
	r->has_output = e->has_output;
	if (!e->has_input && !e->has_output)
		return IM_OK;
	if (!who->has_subject) {
		enum im_rc rc = subjects_get(&log->subjects, &log->hasher, tenant, caller,
					     r->log_time_us, &who->subject, err);

		if (rc != IM_OK)
			return rc;
		hasher_hmac_key(&who->subject.key, &who->opener);
		who->has_subject = true;
	}
	r->has_subject_key = true;
	memcpy(r->subject_key, who->subject.id, sizeof(r->subject_key));
	if (e->has_input)
		commit_input(log, who, e, &r->input_commitment);
	if (e->has_output)
		commit_to(log, who, e->request_id, COMMITMENT_OUTPUT, e->output_sha256,
			  &r->output_commitment);
	return IM_OK;
}

/* Each byte is given out once and forgotten here. */
void
audit_log_blind(struct audit_log *log, uint8_t *ret, size_t len)
{
	if (log->random_left < len) {
		random_bytes(log->random, sizeof(log->random));
		log->random_left = sizeof(log->random);
	}
	log->random_left -= len;
	memcpy(ret, log->random + log->random_left, len);
	OPENSSL_cleanse(log->random + log->random_left, len);
}

uint64_t
audit_log_time(const struct audit_log *log)
{
	uint64_t now_us = log->params.now_us();

	return now_us < log->frame_time_us ? log->frame_time_us : now_us;
}

static enum im_rc
make_record(struct audit_log *log, const struct audit_event *e, uint64_t now_us, struct record *r,
	    struct im_err *err)
{
	uint64_t request;

	*r = (struct record){
		.kind = e->kind,
		.has_request_id = e->has_request_id,
		.request_time_us = e->request_time_us,
		.response_time_us = e->response_time_us,
		.log_time_us = now_us,
		.model = e->model,
		.model_digest = e->model_digest,
		.has_config_digest = e->has_config_digest,
		.outcome = e->outcome,
		.status_code = e->status_code,
		.routing = e->routing,
		.has_routing = e->has_routing,
		.usage = e->usage,
		.has_usage = e->has_usage,
		.gap = e->gap,
		.has_gap = e->has_gap,
		.has_reporter = e->has_reporter,
	};
	memcpy(r->reporter, e->reporter, sizeof(r->reporter));
	memcpy(r->request_id, e->request_id, sizeof(r->request_id));
	memcpy(r->config_digest, e->config_digest, sizeof(r->config_digest));
	if (record_is_terminal(e->kind) && e->has_request_id &&
	    dedup_find(&log->dedup, e->request_id, RECORD_REQUEST, &request))
		r->prev_index = request + 1;
	return hide(log, e, r, err);
}

/* Encode 'r' as the next entry of the frame. */
static enum im_rc
put(struct audit_log *log, struct record *r, uint64_t *ret_number, struct im_err *err)
{
	size_t was = log->records.len;
	uint8_t *entry;
	size_t len;

	audit_log_blind(log, r->blind, sizeof(r->blind));
	/* Its length goes before it; it is known afterwards. */
	if (!buf_append(&log->records, "\0", 2) || !record_encode(r, &log->records))
		goto no_memory;
	len = log->records.len - was - 2;
	assert(len <= BUNDLE_ENTRY_MAX);
	entry = log->records.data + was + 2;
	entry[-2] = (uint8_t)(len >> 8);
	entry[-1] = (uint8_t)len;
	if (dedup_add(&log->dedup, r->has_request_id ? r->request_id : NULL, r->kind) != IM_OK)
		goto no_memory;
	tlog_leaf(&log->hasher, entry, len, &log->leaf[log->count]);
	tlog_range_add(&log->next, &log->hasher, &log->leaf[log->count], NULL, NULL);
	log->count++;
	log->frame_time_us = r->log_time_us;
	*ret_number = log->shard.first + log->next.size - 1;
	return IM_OK;
no_memory:
	log->records.len = was;
	log->records.failed = false;
	return err_set(err, IM_ENOMEM, "no memory for a record");
}

/* A frame does not reach over the turn to the next shard. */
static bool
frame_full(const struct audit_log *log, uint64_t now_us)
{
	return log->count == log->params.batch_records ||
	       (log->count > 0 && (log->records.len >= log->params.batch_bytes ||
				   (now_us >= log->turn_us && log->frame_time_us < log->turn_us)));
}

enum im_rc
audit_log_put(struct audit_log *log, struct record *r, uint64_t *ret_number, struct im_err *err)
{
	r->log_time_us = audit_log_time(log);
	r->request_time_us = r->log_time_us;
	return frame_full(log, r->log_time_us) ? IM_EAGAIN : put(log, r, ret_number, err);
}

enum im_rc
audit_log_add(struct audit_log *log, const struct audit_event *event, uint64_t *ret_number,
	      struct im_err *err)
{
	struct record r;
	uint64_t now_us;
	enum im_rc rc;

	if (event->has_request_id &&
	    dedup_find(&log->dedup, event->request_id, event->kind, ret_number))
		return IM_OK;
	if (audit_log_event_bytes(event) > BUNDLE_ENTRY_MAX)
		return err_set(err, IM_ETOOBIG, "a record holds at most %d bytes",
			       BUNDLE_ENTRY_MAX);
	now_us = audit_log_time(log);
	if (frame_full(log, now_us))
		return IM_EAGAIN;
	rc = make_record(log, event, now_us, &r, err);
	return rc == IM_OK ? put(log, &r, ret_number, err) : rc;
}

/* All that a durable frame needs later, taken before it is written: afterwards nothing may fail. */
static struct chunk *
make_chunk(struct audit_log *log, struct im_err *err)
{
	struct chunk *c = calloc(1, sizeof(*c));
	struct buf text = BUF_INIT(CHECKPOINT_MAX_BYTES);
	enum im_rc rc;

	if (c == NULL) {
		(void)err_set(err, IM_ENOMEM, "no memory for a frame of records");
		return NULL;
	}
	c->first = log->range.size;
	c->count = log->count;
	tlog_range_root(&log->next, &log->hasher, &c->root);
	rc = checkpoint_sign(&log->shard.signer, log->next.size, &c->root, &text, err);
	c->checkpoint_len = text.len;
	c->checkpoint = rc == IM_OK ? strdup(buf_cstr(&text)) : NULL;
	buf_done(&text);
	c->leaf = malloc(c->count * sizeof(*c->leaf));
	c->records = malloc(log->records.len);
	if (rc != IM_OK || c->checkpoint == NULL || c->leaf == NULL || c->records == NULL) {
		if (rc == IM_OK)
			(void)err_set(err, IM_ENOMEM, "no memory for a frame of records");
		chunk_free(c);
		return NULL;
	}
	memcpy(c->leaf, log->leaf, c->count * sizeof(*c->leaf));
	memcpy(c->records, log->records.data, log->records.len);
	c->records_len = log->records.len;
	return c;
}

void
audit_log_forget(struct audit_log *log)
{
	while (log->dedup.next > log->dedup.settled)
		dedup_pop(&log->dedup);
	log->next = log->range;
	log->frame_time_us = log->log_time_us;
	log->count = 0;
	buf_clear(&log->records);
}

void
audit_log_recycle(struct audit_log *log)
{
	struct list gone;

	list_init(&gone);
	wal_recycle(&log->wal, publisher_published(&log->publisher), &gone);
	publisher_close(&log->publisher, &gone);
}

enum im_rc
audit_log_commit(struct audit_log *log, bool urgent, struct im_err *err)
{
	struct chunk *c = NULL;
	struct wal_frame frame;
	struct im_err why;
	char *text = NULL;
	enum im_rc rc;

	if (log->count == 0)
		return IM_OK;
	if (log->dead.rc != IM_OK && err != NULL)
		*err = log->dead;
	rc = log->dead.rc;
	if (rc == IM_OK && !urgent)
		rc = publisher_room(&log->publisher, err);
	if (rc != IM_OK)
		goto fail;
	c = make_chunk(log, err);
	text = c != NULL ? strdup(c->checkpoint) : NULL;
	if (text == NULL) {
		rc = c == NULL ? IM_ENOMEM : err_set(err, IM_ENOMEM, "no memory for a checkpoint");
		goto fail;
	}
	frame = (struct wal_frame){ .first = c->first,
				    .count = c->count,
				    .records = c->records,
				    .records_len = c->records_len,
				    .root = c->root,
				    .checkpoint = c->checkpoint,
				    .checkpoint_len = c->checkpoint_len };
	rc = subjects_sync(&log->subjects, &why); /* no commitment under a key that may be lost */
	if (rc == IM_OK)
		rc = wal_append(&log->wal, &frame, urgent, &why);
	if (rc != IM_OK) {
		if (rc == IM_EIO)
			log->dead = why;
		if (err != NULL)
			*err = why;
		goto fail;
	}
	/* Durable: from here on nothing can fail. */
	free(log->checkpoint);
	log->checkpoint = text;
	log->checkpoint_len = c->checkpoint_len;
	log->range = log->next;
	log->log_time_us = log->frame_time_us;
	dedup_settle(&log->dedup);
	log->count = 0;
	buf_clear(&log->records);
	publisher_push(&log->publisher, c);
	audit_log_recycle(log);
	return IM_OK;
fail:
	free(text);
	chunk_free(c);
	audit_log_forget(log);
	return rc;
}
