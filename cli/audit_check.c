/*
 * cli/audit_check.c - 'infermesh audit check FILE': whether a proof file proves what it says, and with an opening, that a text
 * is what was logged. Offline: asks nobody, reads no log.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "audit/commitment.h"
#include "audit/proof_file.h"
#include "audit/record_json.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/sha256.h"
#include "cli/audit_quorum.h"
#include "cli/audit_shard.h"
#include "cli/print.h"

/* A content that is said to be what was logged. */
struct claim {
	const char *path; /* NULL = none */
	const char *field;
	struct hash opening;
};

static bool
usage(const char *text)
{
	(void)fprintf(stderr, "infermesh audit check: %s\n", text);
	return false;
}

static bool
parse_claim(const struct cli_args *args, struct claim *ret)
{
	const char *opening = cli_value(args, "opening"), *field = cli_value(args, "field");

	*ret = (struct claim){ .path = cli_value(args, "content"),
			       .field = field != NULL ? field : COMMITMENT_INPUT };
	if (args->rest_count == 0)
		return usage("say which proof: FILE, or '-' for standard input");
	if ((ret->path == NULL) != (opening == NULL))
		return usage("--content FILE and --opening HEX belong together");
	if (ret->path == NULL && field != NULL)
		return usage("--field says what --content is: give that too");
	if (strcmp(ret->field, COMMITMENT_INPUT) != 0 && strcmp(ret->field, COMMITMENT_OUTPUT) != 0)
		return usage("--field is 'input' or 'output'");
	if (opening != NULL &&
	    (strlen(opening) != 2 * HASH_BYTES || !hex_decode(opening, ret->opening.b, HASH_BYTES)))
		return usage("--opening is 64 hex digits, as 'infermesh audit open' prints them");
	return true;
}

/* 'path' or standard input, at most 'max' bytes, to 'sink'. */
static enum im_rc
read_all(const char *path, size_t max, bool (*sink)(void *user, const void *data, size_t len),
	 void *user, struct im_err *err)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	enum im_rc rc = IM_OK;
	uint8_t data[16384];
	size_t n;

	if (f == NULL)
		return err_errno(err, IM_ENOTFOUND, errno, "%s could not be opened", path);
	while (rc == IM_OK && (n = fread(data, 1, sizeof(data), f)) > 0) {
		if (n > max)
			rc = err_set(err, IM_ETOOBIG, "%s is too large to be a proof", path);
		else if (!sink(user, data, n))
			rc = err_set(err, IM_ENOMEM, "no memory to read %s", path);
		max -= n;
	}
	if (rc == IM_OK && ferror(f) != 0)
		rc = err_errno(err, IM_EIO, errno, "%s could not be read", path);
	if (f != stdin)
		(void)fclose(f);
	return rc;
}

static bool
to_buf(void *user, const void *data, size_t len)
{
	return buf_append(user, data, len);
}

static bool
to_sha256(void *user, const void *data, size_t len)
{
	return EVP_DigestUpdate(user, data, len) == 1;
}

static enum im_rc
hash_content(const char *path, uint8_t ret[HASH_BYTES], struct im_err *err)
{
	EVP_MD_CTX *ctx = sha256_new();
	enum im_rc rc = ctx == NULL ? err_set(err, IM_ENOMEM, "no memory to hash %s", path)
				    : read_all(path, SIZE_MAX, to_sha256, ctx, err);

	if (rc == IM_OK && !sha256_peek(ctx, ret))
		rc = err_set(err, IM_ENOMEM, "no memory to hash %s", path);
	EVP_MD_CTX_free(ctx);
	return rc;
}

/* IM_ECORRUPT: the content is not what was logged. */
static enum im_rc
check_claim(struct hasher *h, const struct claim *c, const struct record *r, struct im_err *err)
{
	bool input = strcmp(c->field, COMMITMENT_INPUT) == 0;
	const struct hash *logged = input ? &r->input_commitment : &r->output_commitment;
	uint8_t sha256[HASH_BYTES];
	struct hash made;
	enum im_rc rc;

	if (input ? !r->has_input : !r->has_output)
		return err_set(err, IM_ECORRUPT, "the record, a %s, has no commitment to an %s",
			       record_kind_text(r->kind), c->field);
	rc = hash_content(c->path, sha256, err);
	if (rc != IM_OK)
		return rc;
	commitment_make(h, &c->opening, c->field, sha256, &made);
	if (!tlog_equal(&made, logged))
		return err_set(
		    err, IM_ECORRUPT,
		    "%s is not the %s that was logged, or the opening is of another record",
		    c->path, c->field);
	return IM_OK;
}

struct verdict {
	struct proof_file proof;
	struct checkpoint checkpoint;
	struct record record;
	struct arena arena;
	struct cosigned cosigned;
};

/* IM_OK, or why the proof or the claim does not hold. */
static enum im_rc
judge(const struct buf *file, const struct claim *claim, const struct log_arg *log,
      const struct quorum_arg *q, struct verdict *v, struct im_err *err)
{
	struct note_verifier own = { .name = "" };
	const struct note_verifier *key = &log->key;
	struct hasher h = { 0 };
	enum im_rc rc = hasher_init(&h, err);

	if (rc == IM_OK)
		rc = proof_file_parse((const char *)file->data, file->len, &v->proof, err);
	/* This machine's log has a key for each shard. */
	if (rc == IM_OK && log->own &&
	    proof_file_check(&h, &v->proof, NULL, &v->checkpoint, NULL) == IM_OK &&
	    shard_arg_key_of(log, v->checkpoint.origin, &own))
		key = &own;
	if (rc == IM_OK)
		rc = proof_file_check(&h, &v->proof, key, &v->checkpoint, err);
	if (rc == IM_ENOTFOUND) /* no signature of this key */
		rc = err->rc = IM_ECORRUPT;
	if (rc == IM_OK)
		rc = cosigned_open(v->proof.checkpoint, v->proof.checkpoint_len, key, q->key,
				   q->count, &v->cosigned, err);
	if (rc == IM_OK && quorum_lacks(q, &v->cosigned))
		rc = err_set(err, IM_ECORRUPT,
			     "%u of the %zu witnesses have cosigned, and %u are needed",
			     v->cosigned.count, q->count, q->needed);
	if (rc == IM_OK)
		rc = record_decode(v->proof.entry, v->proof.entry_len, &v->arena, &v->record, err);
	if (rc == IM_OK && claim->path != NULL)
		rc = check_claim(&h, claim, &v->record, err);
	hasher_done(&h);
	return rc;
}

static void
print_verdict(const struct verdict *v, const struct claim *claim, const struct log_arg *log,
	      const struct quorum_arg *q)
{
	char time[32], id[2 * RECORD_ID_BYTES + 1] = "";

	log_arg_time(v->record.log_time_us, time);
	if (v->record.has_request_id)
		hex_encode(v->record.request_id, RECORD_ID_BYTES, id);
	(void)printf("log:       ");
	print_text(v->checkpoint.origin);
	(void)printf(", signed with %s\n", log->own ? "this machine's key" : "the key of --vkey");
	quorum_print(q, &v->cosigned);
	(void)printf("record:    %" PRIu64 " of %" PRIu64 ", %s%s%s, logged %s\n", v->proof.index,
		     v->checkpoint.size, record_kind_text(v->record.kind),
		     id[0] != '\0' ? " of request " : "", id, time);
	if (claim->path != NULL) {
		(void)printf("content:   ");
		print_text(claim->path);
		(void)printf(" is the %s that was logged\n", claim->field);
	}
	(void)printf("verified:  the log holds this record\n");
}

static void
print_json(const struct verdict *v, const struct claim *claim, const struct quorum_arg *q,
	   const struct im_err *why)
{
	struct buf b = { 0 };

	(void)buf_printf(&b, "{\"verified\":%s", why == NULL ? "true" : "false");
	if (why != NULL) {
		(void)buf_append_str(&b, ",\"problem\":");
		(void)json_put_cstr(&b, why->text);
	} else {
		(void)buf_append_str(&b, ",\"origin\":");
		(void)json_put_cstr(&b, v->checkpoint.origin);
		(void)buf_printf(&b, ",\"index\":%" PRIu64 ",\"size\":%" PRIu64 ",\"content\":%s",
				 v->proof.index, v->checkpoint.size,
				 claim->path != NULL ? "true" : "false");
		(void)buf_append_str(&b, ",\"record\":");
		(void)record_json(&b, v->proof.index, &v->record);
		quorum_json(&b, q, &v->cosigned);
	}
	(void)buf_append_str(&b, "}\n");
	json_print(&b);
}

/* Errors that say something of the proof or the content, and not of this machine. */
static bool
disproved(enum im_rc rc)
{
	return rc == IM_EPROTO || rc == IM_ECORRUPT || rc == IM_EINVAL;
}

static int
check_file(const struct cli_args *args, const struct buf *file, const struct claim *claim,
	   const struct log_arg *log, const struct quorum_arg *q)
{
	struct verdict v = { 0 };
	struct im_err err;
	bool json = cli_flag(args, "json");
	enum im_rc rc = judge(file, claim, log, q, &v, &err);

	if (rc == IM_OK && json)
		print_json(&v, claim, q, NULL);
	else if (rc == IM_OK)
		print_verdict(&v, claim, log, q);
	else if (!disproved(rc))
		(void)cli_fail(args, &err);
	else if (json)
		print_json(&v, claim, q, &err);
	else
		(void)printf("NOT VERIFIED: %s\n", err.text);
	cosigned_done(&v.cosigned);
	proof_file_done(&v.proof);
	arena_done(&v.arena);
	return rc == IM_OK ? EXIT_FINE : EXIT_TROUBLE;
}

int
run_audit_check(const struct cli_args *args)
{
	struct buf file = { 0 };
	struct quorum_arg quorum;
	struct claim claim;
	struct log_arg log;
	struct im_err err;
	int status;

	if (!parse_claim(args, &claim) || !quorum_arg_open(args, NULL, &quorum))
		return EXIT_USAGE;
	if (!log_arg_key(args, &log, &status)) {
		quorum_arg_close(&quorum);
		return status;
	}
	if (read_all(args->rest[0], PROOF_FILE_MAX, to_buf, &file, &err) == IM_OK)
		status = check_file(args, &file, &claim, &log, &quorum);
	else
		status = cli_fail(args, &err);
	quorum_arg_close(&quorum);
	buf_done(&file);
	log_arg_close(&log);
	return status;
}
