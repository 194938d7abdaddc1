/*
 * cli/audit.c - 'infermesh audit verify': recomputes a log folder and reports what it found.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/keyfile.h"
#include "audit/verify.h"
#include "base/hex.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "wire/mesh.h"

#define KINDS    (sizeof(((struct verify_report *)NULL)->kinds) / sizeof(uint64_t))
#define OUTCOMES (sizeof(((struct verify_report *)NULL)->outcomes) / sizeof(uint64_t))

/* The key that the checkpoint must be signed with. */
struct trust {
	const char *vkey; /* NULL = none is known */
	bool own;         /* from this machine's key file */
	char text[NOTE_KEYTEXT_MAX];
};

static bool
on_progress(void *user, uint64_t done, uint64_t total)
{
	(void)user;
	(void)fprintf(stderr, "\r\033[K%" PRIu64 " of %" PRIu64 " records", done, total);
	(void)fflush(stderr);
	return true;
}

static void
print_time(const char *what, uint64_t us)
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm;
	char text[40];

	if (us != 0 && gmtime_r(&s, &tm) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
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
	(void)printf("\nroot:      %s\n", root);
}

static void
print_report(const struct verify_report *r, const char *dir, const struct trust *trust)
{
	(void)printf("log:       ");
	if (r->origin[0] != '\0') {
		terminal_put(stdout, r->origin, strlen(r->origin));
		(void)printf(", ");
	}
	(void)printf("%s\n", dir);
	if (r->size > 0)
		print_tree(r);
	if (!r->signature_checked)
		(void)printf("signature: not checked: no key; give --vkey KEY\n");
	else if (trust->own)
		(void)printf("signature: checked against this machine's key, %s\n", trust->vkey);
	else
		(void)printf("signature: checked against --vkey\n");
	print_counts(r);
	print_open(r);
	if (r->gap_records > 0)
		(void)printf("gaps:      %" PRIu64
			     " records are missing, as GAP records say (fail-open)\n",
			     r->gap_records);
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
print_json(const struct verify_report *r, const char *dir)
{
	char hex[2 * sizeof(r->root) + 1];
	struct buf b = { 0 };

	(void)buf_printf(&b, "{\"verified\":%s,\"dir\":", r->problems == 0 ? "true" : "false");
	(void)json_put_cstr(&b, dir);
	(void)buf_append_str(&b, ",\"origin\":");
	(void)json_put_cstr(&b, r->origin);
	hex_encode((const uint8_t *)&r->root, sizeof(r->root), hex);
	(void)buf_printf(&b,
			 ",\"size\":%" PRIu64 ",\"published_size\":%" PRIu64
			 ",\"root\":\"%s\",\"signature_checked\":%s,\"torn\":%s"
			 ",\"first_time_us\":%" PRIu64 ",\"last_time_us\":%" PRIu64
			 ",\"gap_records\":%" PRIu64 ",\"open\":%" PRIu64 ",\"orphans\":%" PRIu64,
			 r->size, r->published_size, hex, r->signature_checked ? "true" : "false",
			 r->torn ? "true" : "false", r->first_time_us, r->last_time_us,
			 r->gap_records, r->open, r->orphans);
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
	(void)buf_append_str(&b, "]}\n");
	if (buf_ok(&b))
		(void)fwrite(b.data, 1, b.len, stdout);
	buf_done(&b);
}

/* --vkey, else for the log of this machine the public half of its own key. */
static void
find_trust(const struct cli_args *args, const struct config *config, struct trust *ret)
{
	struct keyfile keys = { 0 };

	*ret = (struct trust){ .vkey = cli_value(args, "vkey") };
	if (ret->vkey != NULL || args->rest_count > 0 ||
	    keyfile_load(config_str(config, "audit.key_file"), &keys, NULL) != IM_OK)
		return;
	note_signer_vkey(&keys.signer, ret->text);
	keyfile_done(&keys);
	ret->vkey = ret->text;
	ret->own = true;
}

int
run_audit_verify(const struct cli_args *args)
{
	struct config *config = cli_config(args);
	struct verify_options options = { .open_ids = 10 };
	struct verify_report *report = calloc(1, sizeof(*report));
	bool progress = isatty(STDERR_FILENO) != 0;
	struct trust trust;
	const char *dir;
	struct im_err err;
	enum im_rc rc;
	int status = EXIT_TROUBLE;

	if (config == NULL || report == NULL) {
		free(report);
		config_free(config);
		return EXIT_USAGE;
	}
	dir = args->rest_count > 0 ? args->rest[0] : config_str(config, "audit.dir");
	if (progress)
		options.progress = on_progress;
	find_trust(args, config, &trust);
	rc = audit_verify(dir, trust.vkey, &options, report, &err);
	if (progress)
		(void)fprintf(stderr, "\r\033[K");
	if (rc != IM_OK) {
		(void)cli_fail(args, &err);
	} else {
		if (cli_flag(args, "json"))
			print_json(report, dir);
		else
			print_report(report, dir, &trust);
		status = report->problems == 0 ? EXIT_FINE : EXIT_TROUBLE;
	}
	free(report);
	config_free(config);
	return status;
}
