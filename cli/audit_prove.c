/*
 * cli/audit_prove.c - 'infermesh audit prove INDEX': a file that proves to anybody with the log's key that a record is in it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/proof_file.h"
#include "cli/audit_shard.h"
#include "cli/print.h"

static enum im_rc
write_file(const char *path, const struct buf *b, struct im_err *err)
{
	FILE *f = fopen(path, "we");
	bool ok = f != NULL && fwrite(b->data, 1, b->len, f) == b->len;
	int why = errno;

	if (f != NULL && fclose(f) != 0) {
		ok = false;
		why = errno;
	}
	return ok ? IM_OK : err_errno(err, IM_EIO, why, "%s could not be written", path);
}

static void
report(const struct cli_args *args, uint64_t index, const char *vkey, const char *path,
       struct buf *proof)
{
	struct buf b = { 0 };

	if (cli_flag(args, "json")) {
		(void)buf_append_str(&b, "{");
		json_number(&b, "index", index);
		json_bool(&b, "signature_checked", vkey[0] != '\0');
		if (vkey[0] != '\0')
			json_text(&b, "vkey", vkey);
		if (path != NULL)
			json_text(&b, "file", path);
		else
			json_text(&b, "proof", buf_cstr(proof));
		json_close(&b, "}\n");
		json_print(&b);
	} else if (path == NULL) {
		(void)fwrite(proof->data, 1, proof->len, stdout);
	} else {
		(void)printf("proof of record %" PRIu64 " in ", index);
		print_text(path);
		(void)printf("; check it with: infermesh audit check ");
		print_text(path);
		(void)printf(" --vkey %s\n", vkey[0] != '\0' ? vkey : "KEY");
	}
}

/* The proof is one of its shard's, and counts there. */
static enum im_rc
make(struct hasher *h, const struct log_arg *log, uint64_t number, struct buf *out,
     char ret_vkey[NOTE_KEYTEXT_MAX], struct im_err *err)
{
	struct note_verifier key = { .name = "" };
	struct shards shards;
	const struct shard *s;
	uint64_t index;
	bool has_key;
	enum im_rc rc = shard_arg_load(log, &shards, err);

	if (rc != IM_OK)
		return rc;
	s = shards_at(&shards, number, &index);
	has_key = shard_arg_key(log, &shards, s, &key, ret_vkey);
	rc = proof_file_make(h, &s->source, has_key ? &key : NULL, index, out, err);
	shards_done(&shards);
	return rc;
}

int
run_audit_prove(const struct cli_args *args)
{
	const char *path = cli_value(args, "output");
	struct hasher h = { 0 };
	struct buf proof = { 0 };
	char vkey[NOTE_KEYTEXT_MAX] = "";
	struct log_arg log;
	struct im_err err;
	uint64_t index;
	enum im_rc rc;
	int status;

	if (args->rest_count == 0 || !log_arg_index(args->rest[0], &index)) {
		(void)fprintf(stderr, "infermesh audit prove: INDEX, the number of a record, is "
				      "missing or no number; 'infermesh audit show REQUEST_ID' "
				      "tells it\n");
		return EXIT_USAGE;
	}
	if (!log_arg_open(args, cli_value(args, "log"), &log, &status))
		return status;
	rc = hasher_init(&h, &err);
	if (rc == IM_OK)
		rc = make(&h, &log, index, &proof, vkey, &err);
	if (rc == IM_OK && path != NULL)
		rc = write_file(path, &proof, &err);
	if (rc == IM_OK)
		report(args, index, vkey, path, &proof);
	status = rc == IM_OK ? EXIT_FINE : cli_fail(args, &err);
	hasher_done(&h);
	buf_done(&proof);
	log_arg_close(&log);
	return status;
}
