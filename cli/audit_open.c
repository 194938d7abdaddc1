/*
 * cli/audit_open.c - 'infermesh audit open': hands out the opening of one field of one record.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/commitment.h"
#include "audit/keyfile.h"
#include "audit/opening.h"
#include "base/hex.h"
#include "cli/command.h"
#include "cli/print.h"

static void
report(const struct cli_args *args, uint64_t index, const char *field, const struct opening *o)
{
	char id[2 * RECORD_ID_BYTES + 1], opening[2 * HASH_BYTES + 1],
	    commitment[2 * HASH_BYTES + 1];
	struct buf b = { 0 };

	hex_encode(o->request_id, sizeof(o->request_id), id);
	hex_encode(o->opening.b, HASH_BYTES, opening);
	hex_encode(o->commitment.b, HASH_BYTES, commitment);
	if (cli_flag(args, "json")) {
		(void)buf_append_str(&b, "{");
		json_number(&b, "index", index);
		json_text(&b, "request_id", id);
		json_text(&b, "field", field);
		json_text(&b, "commitment", commitment);
		json_text(&b, "opening", opening);
		json_bool(&b, "derived", o->derived);
		json_close(&b, "}\n");
		json_print(&b);
		return;
	}
	(void)printf("record:     %" PRIu64 "\nrequest:    %s\nfield:      %s\ncommitment: %s\n"
		     "opening:    %s\n",
		     index, id, field, commitment, opening);
}

/* The index and the field that the command line names. */
static bool
what(const struct cli_args *args, uint64_t *ret_index, const char **ret_field)
{
	const char *field = cli_value(args, "field");
	char *end;

	*ret_field = field != NULL ? field : COMMITMENT_INPUT;
	if (strcmp(*ret_field, COMMITMENT_INPUT) != 0 &&
	    strcmp(*ret_field, COMMITMENT_OUTPUT) != 0) {
		(void)fprintf(
		    stderr,
		    "infermesh audit open: --field: found '%.40s', allowed: input or output\n",
		    field);
		return false;
	}
	if (args->rest_count == 0 || args->rest[0][0] < '0' || args->rest[0][0] > '9' ||
	    strlen(args->rest[0]) > 19 ||
	    (*ret_index = strtoull(args->rest[0], &end, 10), *end != '\0')) {
		(void)fprintf(
		    stderr,
		    "infermesh audit open: INDEX, the number of a record, is missing or no number\n");
		return false;
	}
	return true;
}

int
run_audit_open(const struct cli_args *args)
{
	const struct opening_subject subject = { cli_value(args, "tenant"),
						 cli_value(args, "caller") };
	struct keyfile keys = { 0 };
	char subjects[DISK_PATH_MAX];
	const char *dir, *field, *key_file;
	struct config *config;
	struct opening o;
	struct im_err err;
	uint64_t index;
	enum im_rc rc;
	int status = EXIT_FINE;

	if (!what(args, &index, &field))
		return EXIT_USAGE;
	config = cli_config(args);
	if (config == NULL)
		return EXIT_USAGE;
	dir = cli_value(args, "log") != NULL ? cli_value(args, "log")
					     : config_str(config, "audit.dir");
	key_file = config_str(config, "audit.key_file");
	(void)snprintf(subjects, sizeof(subjects), "%s" SUBJECTS_SUFFIX, key_file);
	rc = keyfile_load(key_file, &keys, &err);
	if (rc != IM_OK)
		err_prefix(&err, "only who may read the log's key file can open a record");
	if (rc == IM_OK)
		rc = opening_get(dir, subjects, &keys.keys, index, field, &subject, &o, &err);
	if (rc == IM_OK)
		report(args, index, field, &o);
	else
		status = cli_fail(args, &err);
	keyfile_done(&keys);
	config_free(config);
	return status;
}
