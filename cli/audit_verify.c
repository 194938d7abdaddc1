/*
 * cli/audit_verify.c - 'infermesh audit verify': recomputes a log from its bytes and reports what it found.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/disk.h"
#include "audit/verify.h"
#include "base/hex.h"
#include "base/json.h"
#include "cli/audit_quorum.h"
#include "cli/audit_shard.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "wire/mesh.h"

#define KINDS    (sizeof(((struct verify_report *)NULL)->kinds) / sizeof(uint64_t))
#define OUTCOMES (sizeof(((struct verify_report *)NULL)->outcomes) / sizeof(uint64_t))

static void
print_time(const char *what, uint64_t us)
{
	char text[32];

	log_arg_time(us, text);
	if (text[0] != '\0')
		(void)printf("%s %s", what, text);
}

static void
print_counts(const struct verify_report *r)
{
	const char *between = "kinds:     ";

	for (size_t i = 0; i < KINDS; i++) {
		if (r->kinds[i] == 0)
			continue;
		(void)printf("%s%s %" PRIu64, between, record_kind_text((enum record_kind)i),
			     r->kinds[i]);
		between = ", ";
	}
	if (between[0] == ',')
		(void)putchar('\n');
	between = "outcomes:  ";
	for (size_t i = 0; i < OUTCOMES; i++) {
		if (r->outcomes[i] == 0)
			continue;
		(void)printf("%s%s %" PRIu64, between, outcome_text((enum outcome)i),
			     r->outcomes[i]);
		between = ", ";
	}
	if (between[0] == ',')
		(void)putchar('\n');
}

static void
print_open(const struct verify_report *r)
{
	char id[2 * RECORD_ID_BYTES + 1];

	if (r->open == 0)
		return;
	(void)printf("open:      %" PRIu64
		     " requests have no end (in flight, or cut off by a crash):\n",
		     r->open);
	for (unsigned i = 0; i < r->open_named; i++) {
		hex_encode(r->open_first[i].request_id, RECORD_ID_BYTES, id);
		(void)printf("           %s, record %" PRIu64 "\n", id, r->open_first[i].index);
	}
}

static const char *
trust_text(enum verify_trust trust)
{
	static const char *const texts[] = { "signature not checked", "signed with the key given",
					     "signed with the key that the shard before names",
					     "as the shard after it says" };

	return texts[trust];
}

/* What the checkpoint says, if it was believed. */
static void
print_tree(const struct verify_report *r)
{
	char root[2 * sizeof(r->root) + 1];

	hex_encode((const uint8_t *)&r->root, sizeof(r->root), root);
	(void)printf("records:   %" PRIu64 ", of these published %" PRIu64, r->size,
		     r->published_size);
	print_time("; from", r->first_time_us);
	print_time(" to", r->last_time_us);
	if (r->has_checkpoint)
		(void)printf("\nroot:      %s\n", root);
	else if (r->published_size == 0)
		(void)printf(
		    "\nroot:      nothing is published yet: all records are in the write-ahead log\n");
	else
		(void)printf("\nroot:      nothing of the newest shard is published yet\n");
}

/* The shards, if there is more than one, and why each is believed. */
static void
print_shards(const struct verify_report *r)
{
	if (r->continues)
		(void)printf(
		    "shard:     this is one shard; the log goes on in the next, which was not looked at\n");
	for (unsigned i = 0; r->shards > 1 && i < r->shards && i < VERIFY_SHARDS_MAX; i++) {
		const struct verify_shard *s = &r->shard[i];

		(void)printf("%s%-12s %" PRIu64 " records from %" PRIu64 " on, %s\n",
			     i == 0 ? "shards:    " : "           ",
			     s->name[0] != '\0' ? s->name : "(first)", s->size, s->first,
			     trust_text(s->trust));
	}
}

static void
print_report(const struct verify_report *r, const struct log_arg *log, const struct quorum_arg *q,
	     const struct cosigned *c)
{
	(void)printf("log:       ");
	if (r->origin[0] != '\0') {
		terminal_put(stdout, r->origin, strlen(r->origin));
		(void)printf(", ");
	}
	terminal_put(stdout, log->source.name, strlen(log->source.name));
	(void)putchar('\n');
	if (r->size > 0)
		print_tree(r);
	if (!r->signature_checked)
		(void)printf("signature: not checked: no key; give --vkey KEY\n");
	else if (log->own)
		(void)printf("signature: checked against this machine's key, %s\n", log->vkey);
	else
		(void)printf("signature: checked against --vkey\n");
	print_shards(r);
	quorum_print(q, c);
	print_counts(r);
	print_open(r);
	if (r->gap_records > 0)
		(void)printf("gaps:      %" PRIu64
			     " records are missing, as GAP records say (fail-open)\n",
			     r->gap_records);
	if (r->pruned > 0)
		(void)printf(
		    "pruned:    the first %" PRIu64
		    " records were deleted, as a PRUNE record says; their hashes are there\n",
		    r->pruned);
	if (r->orphans > 0)
		(void)printf("orphans:   %" PRIu64 " ends without a known beginning\n", r->orphans);
	if (r->torn)
		(void)printf(
		    "tail:      the write-ahead log ends in an unfinished frame, as after a crash: nothing is lost\n");
	for (uint64_t i = 0; i < r->problems && i < VERIFY_PROBLEMS_MAX; i++) {
		(void)printf("WRONG:     ");
		terminal_put(stdout, r->problem[i], strlen(r->problem[i]));
		(void)putchar('\n');
	}
	if (r->problems == 0)
		(void)printf("verified:  everything is as it was written\n");
	else
		(void)printf("NOT VERIFIED: %" PRIu64
			     " problem%s; the log is not what was written\n",
			     r->problems, r->problems == 1 ? "" : "s");
}

static void
json_counts(struct buf *b, const char *name, const uint64_t *counts, size_t len, bool kinds)
{
	bool any = false;

	(void)buf_printf(b, ",\"%s\":{", name);
	for (size_t i = 0; i < len; i++) {
		if (counts[i] == 0)
			continue;
		(void)buf_append_str(b, any ? "," : "");
		(void)json_put_cstr(b, kinds ? record_kind_text((enum record_kind)i)
					     : outcome_text((enum outcome)i));
		(void)buf_printf(b, ":%" PRIu64, counts[i]);
		any = true;
	}
	(void)buf_append_byte(b, '}');
}

static void
json_shards(struct buf *b, const struct verify_report *r)
{
	static const char *const trust[] = { "unchecked", "given", "chained", "pinned" };
	char hex[2 * sizeof(r->root) + 1];

	(void)buf_append_str(b, ",\"shards\":[");
	for (unsigned i = 0; i < r->shards && i < VERIFY_SHARDS_MAX; i++) {
		const struct verify_shard *s = &r->shard[i];

		hex_encode((const uint8_t *)&s->root, sizeof(s->root), hex);
		(void)buf_printf(b, "%s{\"name\":", i > 0 ? "," : "");
		(void)json_put_cstr(b, s->name);
		(void)buf_append_str(b, ",\"origin\":");
		(void)json_put_cstr(b, s->origin);
		(void)buf_printf(b,
				 ",\"first\":%" PRIu64 ",\"size\":%" PRIu64
				 ",\"root\":\"%s\",\"key\":\"%s\"}",
				 s->first, s->size, hex, trust[s->trust]);
	}
	(void)buf_append_byte(b, ']');
}

static void
print_json(const struct verify_report *r, const struct log_arg *log, const struct quorum_arg *q,
	   const struct cosigned *c)
{
	char hex[2 * sizeof(r->root) + 1];
	struct buf b = { 0 };

	(void)buf_printf(&b, "{\"verified\":%s,\"%s\":", r->problems == 0 ? "true" : "false",
			 log->source.dir != NULL ? "dir" : "url");
	(void)json_put_cstr(&b, log->source.name);
	(void)buf_append_str(&b, ",\"origin\":");
	(void)json_put_cstr(&b, r->origin);
	hex_encode((const uint8_t *)&r->root, sizeof(r->root), hex);
	(void)buf_printf(
	    &b,
	    ",\"size\":%" PRIu64 ",\"published_size\":%" PRIu64
	    ",\"root\":%s%s%s,\"signature_checked\":%s,\"torn\":%s"
	    ",\"first_time_us\":%" PRIu64 ",\"last_time_us\":%" PRIu64 ",\"gap_records\":%" PRIu64
	    ",\"open\":%" PRIu64 ",\"orphans\":%" PRIu64 ",\"pruned\":%" PRIu64,
	    r->size, r->published_size, r->has_checkpoint ? "\"" : "",
	    r->has_checkpoint ? hex : "null", r->has_checkpoint ? "\"" : "",
	    r->signature_checked ? "true" : "false", r->torn ? "true" : "false", r->first_time_us,
	    r->last_time_us, r->gap_records, r->open, r->orphans, r->pruned);
	json_shards(&b, r);
	json_counts(&b, "kinds", r->kinds, KINDS, true);
	json_counts(&b, "outcomes", r->outcomes, OUTCOMES, false);
	(void)buf_append_str(&b, ",\"open_first\":[");
	for (unsigned i = 0; i < r->open_named; i++) {
		hex_encode(r->open_first[i].request_id, RECORD_ID_BYTES, hex);
		(void)buf_printf(&b, "%s{\"request_id\":\"%s\",\"index\":%" PRIu64 "}",
				 i > 0 ? "," : "", hex, r->open_first[i].index);
	}
	(void)buf_printf(&b, "],\"problems\":%" PRIu64 ",\"problem\":[", r->problems);
	for (uint64_t i = 0; i < r->problems && i < VERIFY_PROBLEMS_MAX; i++) {
		(void)buf_append_str(&b, i > 0 ? "," : "");
		(void)json_put_cstr(&b, r->problem[i]);
	}
	(void)buf_append_byte(&b, ']');
	quorum_json(&b, q, c);
	(void)buf_append_str(&b, "}\n");
	if (buf_ok(&b))
		(void)fwrite(b.data, 1, b.len, stdout);
	buf_done(&b);
}

/* What the log must continue: the checkpoint that --seen names, and the one that was cosigned. */
struct kept {
	struct checkpoint list[2];
	size_t count;
	struct cosigned cosigned;
};

static enum im_rc
read_seen(const struct cli_args *args, const struct log_arg *log, const struct shards *shards,
	  struct kept *k, struct im_err *err)
{
	const char *path = cli_value(args, "seen");
	const struct shard *of = shards->shard[0];
	struct note_verifier key = { .name = "" };
	char vkey[NOTE_KEYTEXT_MAX];
	bool has_key;
	struct buf text = { 0 };
	enum im_rc rc;

	if (path == NULL)
		return IM_OK;
	rc = disk_read(path, NOTE_MAX_BYTES, &text, err);
	if (rc == IM_OK) {
		rc = checkpoint_open(buf_cstr(&text), text.len, NULL, &k->list[k->count], err);
		for (size_t i = 0; i < shards->count; i++)
			if (strcmp(shards->shard[i]->origin, k->list[k->count].origin) == 0)
				of = shards->shard[i];
		has_key = log->vkey != NULL && shard_arg_key(log, shards, of, &key, vkey);
		if (rc == IM_OK && has_key)
			rc = checkpoint_open(buf_cstr(&text), text.len, &key, &k->list[k->count],
					     err);
		if (rc != IM_OK)
			err_prefix(err, "%s", path);
	}
	buf_done(&text);
	k->count++;
	return rc;
}

/* Before the log is looked at, which may grow meanwhile. */
static enum im_rc
read_cosigned(const struct log_arg *log, const struct quorum_arg *q, struct kept *k,
	      struct im_err *err)
{
	enum im_rc rc;

	if (q->count == 0)
		return IM_OK;
	rc = cosigned_read_log(&log->source, log->vkey, q->key, q->count, q->needed, &k->cosigned,
			       err);
	if (rc != IM_OK || k->cosigned.count == 0)
		return rc;
	k->list[k->count] = k->cosigned.at;
	k->count++;
	if (k->count == 2 && k->list[0].size > k->list[1].size) {
		k->list[1] = k->list[0];
		k->list[0] = k->cosigned.at;
	}
	return IM_OK;
}

/* Too few witnesses are one more problem. */
static void
add_lack(const struct quorum_arg *q, const struct cosigned *c, struct verify_report *r)
{
	if (!quorum_lacks(q, c))
		return;
	if (r->problems < VERIFY_PROBLEMS_MAX)
		(void)snprintf(r->problem[r->problems], sizeof(r->problem[0]),
			       "%u of the %zu witnesses have cosigned, and %u are needed", c->count,
			       q->count, q->needed);
	r->problems++;
}

static int
verify(const struct cli_args *args, const struct log_arg *log, const struct quorum_arg *q,
       struct verify_report *report)
{
	struct progress progress;
	struct kept kept = { 0 };
	struct verify_options options = { .open_ids = 10,
					  .progress = progress_show,
					  .user = &progress };
	struct shards shards = { 0 };
	struct im_err err;
	enum im_rc rc = IM_OK;
	int status = EXIT_TROUBLE;

	progress_begin(&progress, "");
	if (cli_value(args, "seen") != NULL)
		rc = shard_arg_load(log, &shards, &err);
	if (rc == IM_OK && shards.count > 0)
		rc = read_seen(args, log, &shards, &kept, &err);
	if (rc == IM_OK)
		rc = read_cosigned(log, q, &kept, &err);
	options.seen = kept.list;
	options.seen_count = kept.count;
	if (rc == IM_OK)
		rc = audit_verify_source(&log->source, log->vkey, &options, report, &err);
	progress_end(&progress);
	if (rc != IM_OK) {
		status = cli_fail(args, &err);
	} else {
		add_lack(q, &kept.cosigned, report);
		if (cli_flag(args, "json"))
			print_json(report, log, q, &kept.cosigned);
		else
			print_report(report, log, q, &kept.cosigned);
		status = report->problems == 0 ? EXIT_FINE : EXIT_TROUBLE;
	}
	shards_done(&shards);
	cosigned_done(&kept.cosigned);
	return status;
}

int
run_audit_verify(const struct cli_args *args)
{
	const char *where = args->rest_count > 0 ? args->rest[0] : NULL;
	struct verify_report *report = calloc(1, sizeof(*report));
	struct quorum_arg quorum;
	struct log_arg log;
	struct im_err err;
	int status;

	if (report == NULL) {
		(void)err_set(&err, IM_ENOMEM, "no memory to verify the log");
		return cli_fail(args, &err);
	}
	if (!log_arg_open(args, where, &log, &status)) {
		free(report);
		return status;
	}
	if (quorum_arg_open(args, where == NULL ? log.config : NULL, &quorum)) {
		status = verify(args, &log, &quorum, report);
		quorum_arg_close(&quorum);
	} else {
		status = EXIT_USAGE;
	}
	free(report);
	log_arg_close(&log);
	return status;
}
