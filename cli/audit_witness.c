/*
 * cli/audit_witness.c - 'infermesh audit witness': who cosigns the log and how far they are; and the key of a witness.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/witness_key.h"
#include "base/arena.h"
#include "cli/audit_call.h"
#include "cli/command.h"
#include "cli/print.h"
#include "wire/audit_admin.h"

static void
print_json(const struct audit_witnesses *w)
{
	struct buf b = { 0 };

	(void)buf_append_byte(&b, '{');
	json_text(&b, "origin", w->origin);
	json_number(&b, "published_size", w->published_size);
	json_number(&b, "cosigned_size", w->cosigned_size);
	json_number(&b, "quorum", w->quorum);
	(void)buf_append_str(&b, "\"witnesses\":[");
	for (size_t i = 0; i < w->count; i++) {
		const struct audit_witness *a = &w->witness[i];

		(void)buf_append_byte(&b, '{');
		json_text(&b, "name", a->name);
		json_text(&b, "url", a->url);
		json_text(&b, "state", a->state);
		json_number(&b, "cosigned_size", a->cosigned_size);
		json_number(&b, "lag_ms", a->lag_ms);
		json_number(&b, "cosigned", a->cosigned);
		json_number(&b, "failed", a->failed);
		json_text(&b, "why", a->why);
		json_close(&b, "},");
	}
	if (w->count > 0)
		json_close(&b, "]}\n");
	else
		(void)buf_append_str(&b, "]}\n");
	json_print(&b);
}

static void
print_table(const struct audit_witnesses *w)
{
	(void)printf("log        ");
	print_text(w->origin);
	(void)printf("\npublished  %" PRIu64 " records\n", w->published_size);
	if (w->count == 0) {
		(void)printf(
		    "witnesses  none: name some in audit.witnesses, so that nobody can rewrite "
		    "the log unseen\n");
		return;
	}
	(void)printf("cosigned   %" PRIu64 " records, by %u or more of %zu witnesses\n\n",
		     w->cosigned_size, w->quorum, w->count);
	print_column("WITNESS", 32);
	print_column("STATE", 11);
	(void)printf("%12s %10s %10s %8s\n", "SIZE", "LAG", "COSIGNED", "FAILED");
	for (size_t i = 0; i < w->count; i++) {
		const struct audit_witness *a = &w->witness[i];

		print_column(a->name, 32);
		print_column(a->state, 11);
		(void)printf("%12" PRIu64 " %8.1f s %10" PRIu64 " %8" PRIu64 "\n", a->cosigned_size,
			     (double)a->lag_ms / 1000, a->cosigned, a->failed);
		if (a->why[0] != '\0') {
			(void)printf("  ");
			print_text(a->url);
			(void)printf(": ");
			print_text(a->why);
			(void)putchar('\n');
		}
	}
}

/* Status 1 if one of them says that the log was rolled back or forked. */
static int
show(const struct cli_args *args, const struct config *config)
{
	struct buf body = { 0 }, reply = { 0 };
	struct arena arena = { 0 };
	struct audit_witnesses w;
	struct im_err err;
	int status = EXIT_FINE;
	enum im_rc rc = audit_call(config, METHOD_AUDIT_WITNESSES, &body, &reply, &err);

	if (rc == IM_OK)
		rc = audit_witnesses_decode(reply.data, reply.len, &arena, &w, &err);
	if (rc != IM_OK) {
		status = cli_fail(args, &err);
	} else {
		if (cli_flag(args, "json"))
			print_json(&w);
		else
			print_table(&w);
		for (size_t i = 0; i < w.count; i++)
			if (strcmp(w.witness[i].state, "rolled_back") == 0 ||
			    strcmp(w.witness[i].state, "forked") == 0)
				status = EXIT_TROUBLE;
	}
	arena_done(&arena);
	buf_done(&reply);
	return status;
}

/* The key alone on standard output, so that $(...) takes it. */
static int
keygen(const struct cli_args *args, const struct config *config)
{
	const char *path = config_str(config, "witness.key_file");
	char vkey[NOTE_KEYTEXT_MAX];
	struct note_signer key;
	struct im_err err;
	bool made;

	if (witness_key_open(path, config_str(config, "witness.name"), &key, &made, &err) != IM_OK)
		return cli_fail(args, &err);
	note_signer_vkey(&key, vkey);
	note_signer_done(&key);
	if (cli_flag(args, "json")) {
		struct buf b = { 0 };

		(void)buf_append_byte(&b, '{');
		json_text(&b, "vkey", vkey);
		json_text(&b, "key_file", path);
		json_bool(&b, "made", made);
		json_close(&b, "}\n");
		json_print(&b);
	} else {
		(void)printf("%s\n", vkey);
	}
	(void)fprintf(stderr,
		      "%s %s: back it up. Logs that are to be cosigned need the line above in "
		      "audit.witnesses.\n",
		      made ? "Made the key in" : "The key was there, in", path);
	return EXIT_FINE;
}

int
run_audit_witness(const struct cli_args *args)
{
	struct config *config;
	int status;

	if (args->rest_count > 0 && strcmp(args->rest[0], "keygen") != 0) {
		(void)fprintf(stderr,
			      "infermesh audit witness: found '%.40s', allowed: keygen, or "
			      "nothing\n",
			      args->rest[0]);
		return EXIT_USAGE;
	}
	config = cli_config(args);
	if (config == NULL)
		return EXIT_USAGE;
	status = args->rest_count > 0 ? keygen(args, config) : show(args, config);
	config_free(config);
	return status;
}
