/*
 * cli/audit_keys.c - 'infermesh audit keys': which verifier key each shard of the log has, and a new one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "cli/audit_call.h"
#include "cli/audit_shard.h"
#include "cli/print.h"
#include "wire/audit_admin.h"

/* One shard. Of the first one only a key that was given says who it is. */
static void
show_json(struct buf *b, const struct shard *s, const char *vkey)
{
	(void)buf_append_byte(b, '{');
	json_text(b, "shard", s->name);
	json_text(b, "vkey", vkey);
	json_number(b, "first", s->first);
	if (s->closed)
		json_number(b, "records", s->size);
	json_bool(b, "open", !s->closed);
	json_close(b, "},");
}

static void
show_line(const struct shard *s, const char *vkey)
{
	char records[32] = "open";

	if (s->closed)
		(void)snprintf(records, sizeof(records), "%" PRIu64, s->size);
	print_column(s->name[0] != '\0' ? s->name : "(first)", 12);
	(void)printf("%14" PRIu64 " %14s  ", s->first, records);
	print_text(vkey[0] != '\0' ? vkey : "not known: give --vkey KEY");
	(void)putchar('\n');
}

static int
show(const struct cli_args *args)
{
	bool json = cli_flag(args, "json");
	struct buf b = { 0 };
	struct shards shards = { 0 };
	struct log_arg log;
	struct im_err err;
	enum im_rc rc;
	int status;

	if (!log_arg_open(args, cli_value(args, "log"), &log, &status))
		return status;
	rc = shard_arg_load(&log, &shards, &err);
	if (rc == IM_OK && json)
		(void)buf_append_str(&b, "{\"shards\":[");
	else if (rc == IM_OK)
		(void)printf("%-12s%14s %14s  %s\n", "SHARD", "FIRST RECORD", "RECORDS",
			     "VERIFIER KEY");
	for (size_t i = 0; i < shards.count; i++) {
		const struct shard *s = shards.shard[i];
		char vkey[NOTE_KEYTEXT_MAX] = "";
		struct note_verifier key = { .name = "" };

		if (!shard_arg_key(&log, &shards, s, &key, vkey))
			(void)snprintf(vkey, sizeof(vkey), "%s", s->vkey);
		if (json)
			show_json(&b, s, vkey);
		else
			show_line(s, vkey);
	}
	if (rc == IM_OK && json) {
		json_close(&b, "]}\n");
		json_print(&b);
	}
	status = rc == IM_OK ? EXIT_FINE : cli_fail(args, &err);
	shards_done(&shards);
	log_arg_close(&log);
	return status;
}

static void
report(const struct cli_args *args, const char *key_file, const struct audit_rotate_reply *r)
{
	struct buf b = { 0 };

	if (cli_flag(args, "json")) {
		(void)buf_append_byte(&b, '{');
		json_number(&b, "index", r->index);
		json_text(&b, "origin", r->origin);
		json_text(&b, "vkey", r->vkey);
		json_close(&b, "}\n");
		json_print(&b);
		return;
	}
	(void)printf("the log goes on as ");
	print_text(r->origin);
	(void)printf(", as record %" PRIu64 " says, under the key\n", r->index);
	print_text(r->vkey);
	(void)printf("\nback %s up now: an older copy cannot continue the log\n", key_file);
}

static int
rotate(const struct cli_args *args)
{
	struct config *config = cli_config(args);
	struct buf body = { 0 }, reply = { 0 };
	struct arena arena = { 0 };
	struct audit_rotate_reply r;
	struct im_err err;
	enum im_rc rc;
	int status = EXIT_FINE;

	if (config == NULL)
		return EXIT_USAGE;
	rc = audit_call(config, METHOD_AUDIT_ROTATE, &body, &reply, &err);
	if (rc == IM_OK)
		rc = audit_rotate_reply_decode(reply.data, reply.len, &arena, &r, &err);
	if (rc == IM_OK)
		report(args, config_str(config, "audit.key_file"), &r);
	else
		status = cli_fail(args, &err);
	arena_done(&arena);
	buf_done(&reply);
	config_free(config);
	return status;
}

int
run_audit_keys(const struct cli_args *args)
{
	const char *what = args->rest_count > 0 ? args->rest[0] : "show";

	if (strcmp(what, "show") == 0)
		return show(args);
	if (strcmp(what, "rotate") == 0)
		return rotate(args);
	(void)fprintf(stderr, "infermesh audit keys: found '%.40s', allowed: show or rotate\n",
		      what);
	return EXIT_USAGE;
}
