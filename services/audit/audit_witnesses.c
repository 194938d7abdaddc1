/*
 * audit/audit_witnesses.c - see audit_witnesses.h.
 */
#include "audit/audit_witnesses.h"

#include "wire/audit_admin.h"

_Static_assert(AUDIT_WITNESSES_MAX == COSIGNED_WITNESSES, "an answer has room for all");

static void
on_published(void *user, const char *checkpoint, size_t len)
{
	witnesses_publish(user, checkpoint, len);
}

enum im_rc
audit_witnesses_start(const struct config *config, struct audit_log *log, struct witnesses **ret,
		      struct im_err *err)
{
	struct witnesses_params params = {
		.ops = log->params.ops,
		.dir = log->publisher.store.dir,
		.key = &log->shard.signer,
		.log_dir = log->dir,
		.log_origin = log->origin,
		.count = config_map_len(config, "audit.witnesses"),
		.quorum = (unsigned)config_int(config, "audit.witness_quorum"),
		.interval_ms = (uint64_t)config_int(config, "audit.witness_ms"),
		.ca_file = config_str(config, "audit.witness_ca_file"),
		.fatal = log->params.fatal,
		.user = log->params.user,
	};
	enum im_rc rc;

	*ret = NULL;
	if (params.count == 0)
		return IM_OK;
	for (size_t i = 0; i < params.count; i++)
		config_map_at(config, "audit.witnesses", i, &params.url[i], &params.vkey[i]);
	rc = witnesses_open(&params, ret, err);
	if (rc != IM_OK)
		return rc;
	log->publisher.told = on_published;
	log->publisher.told_user = *ret;
	return IM_OK;
}

void
audit_witnesses_serve(struct witnesses *w, const char *origin, uint64_t published,
		      struct served *served)
{
	struct witnesses_stats s = { 0 };
	struct audit_witnesses reply = { .origin = origin, .published_size = published };
	struct buf out = BUF_INIT(0);
	struct im_err err;

	if (w != NULL)
		witnesses_stats(w, &s);
	reply.cosigned_size = s.cosigned;
	reply.quorum = s.quorum;
	reply.count = s.count;
	for (size_t i = 0; i < s.count; i++) {
		reply.witness[i] =
		    (struct audit_witness){ .name = s.by[i].name,
					    .url = s.by[i].url,
					    .state = witness_peer_text(s.by[i].state),
					    .why = s.by[i].why,
					    .cosigned_size = s.by[i].cosigned,
					    .lag_ms = s.by[i].lag_ms,
					    .cosigned = s.by[i].good,
					    .failed = s.by[i].failed };
	}
	audit_witnesses_encode(&reply, &out);
	(void)err_set(&err, IM_ENOMEM, "no memory for an answer");
	served_end(served, buf_ok(&out) ? NULL : &err, out.data, out.len);
	buf_done(&out);
}

void
audit_witnesses_status(struct witnesses *w, struct audit_status *ret)
{
	struct witnesses_stats s;

	if (w == NULL)
		return;
	witnesses_stats(w, &s);
	ret->cosigned_size = s.cosigned;
	ret->witnesses = (uint32_t)s.count;
	for (size_t i = 0; i < s.count; i++)
		ret->witnesses_fine += s.by[i].state == WITNESS_PEER_FINE ? 1 : 0;
}

/* One family with a value for each witness. */
static void
put_each(const struct witnesses_stats *s, const char *name, const char *help,
	 double (*value)(const struct witness_stats *), struct metrics_page *page)
{
	metrics_family(page, name, "gauge", help);
	for (size_t i = 0; i < s->count; i++) {
		const struct metrics_label label = { "witness", s->by[i].name };

		metrics_value(page, name, &label, 1, value(&s->by[i]));
	}
}

static double
size_of(const struct witness_stats *s)
{
	return (double)s->cosigned;
}

static double
lag_of(const struct witness_stats *s)
{
	return (double)s->lag_ms / 1000;
}

static double
alarm_of(const struct witness_stats *s)
{
	return s->state == WITNESS_PEER_AHEAD || s->state == WITNESS_PEER_FORK ? 1 : 0;
}

void
audit_witnesses_metrics(struct witnesses *w, struct metrics_page *page)
{
	static const char requests[] = "infermesh_audit_witness_requests_total";
	struct witnesses_stats s;

	if (w == NULL)
		return;
	witnesses_stats(w, &s);
	metrics_gauge(page, "infermesh_audit_cosigned_size",
		      "Size of the newest checkpoint that enough witnesses cosigned.",
		      (double)s.cosigned);
	put_each(&s, "infermesh_audit_witness_size",
		 "Size of the last checkpoint that the witness cosigned.", size_of, page);
	put_each(&s, "infermesh_audit_witness_lag_seconds",
		 "Since when there is a checkpoint that it has not cosigned; 0 = there is none.",
		 lag_of, page);
	put_each(&s, "infermesh_audit_witness_alarm",
		 "1 if it says that the log was rolled back or forked: look at once.", alarm_of,
		 page);
	metrics_family(page, requests, "counter", "Checkpoints submitted, by witness and result.");
	for (size_t i = 0; i < s.count; i++) {
		struct metrics_label labels[] = { { "witness", s.by[i].name },
						  { "result", "cosigned" } };

		metrics_value(page, requests, labels, 2, (double)s.by[i].good);
		labels[1].value = "failed";
		metrics_value(page, requests, labels, 2, (double)s.by[i].failed);
	}
}
