/*
 * cli/audit_erase.c - 'infermesh audit erase': destroys one subject's key for good, after asking.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hex.h"
#include "cli/audit_call.h"
#include "cli/command.h"
#include "cli/print.h"
#include "wire/audit_admin.h"

/* "acme/alice" into its two names. */
static bool
split(const char *subject, char tenant[AUDIT_SUBJECT_NAME_MAX + 1],
      char caller[AUDIT_SUBJECT_NAME_MAX + 1])
{
	const char *slash = strchr(subject, '/');
	size_t len = slash != NULL ? (size_t)(slash - subject) : 0;

	if (slash == NULL || len > AUDIT_SUBJECT_NAME_MAX ||
	    strlen(slash + 1) > AUDIT_SUBJECT_NAME_MAX || strlen(subject) < 2)
		return false;
	memcpy(tenant, subject, len);
	tenant[len] = '\0';
	memcpy(caller, slash + 1, strlen(slash + 1) + 1);
	return true;
}

/* What is destroyed cannot be had back: the name must be typed once more. */
static bool
confirmed(const struct cli_args *args, const char *subject)
{
	char line[2 * AUDIT_SUBJECT_NAME_MAX + 4];

	if (cli_flag(args, "yes"))
		return true;
	if (isatty(STDIN_FILENO) == 0) {
		(void)fprintf(stderr,
			      "infermesh audit erase: nobody is there to confirm it; give --yes\n");
		return false;
	}
	(void)fprintf(
	    stderr,
	    "This destroys the key of %s for good: none of its records can be opened again.\nType the name to go on: ",
	    subject);
	if (fgets(line, sizeof(line), stdin) == NULL)
		return false;
	line[strcspn(line, "\n")] = '\0';
	if (strcmp(line, subject) == 0)
		return true;
	(void)fprintf(stderr, "That is another name: nothing was done.\n");
	return false;
}

static void
report(const struct cli_args *args, const struct audit_erase_reply *r)
{
	char key[2 * sizeof(r->subject_key) + 1];
	struct buf b = { 0 };

	hex_encode(r->subject_key, sizeof(r->subject_key), key);
	if (cli_flag(args, "json")) {
		(void)buf_append_str(&b, "{");
		json_number(&b, "index", r->index);
		json_text(&b, "subject_key", key);
		json_bool(&b, "before", r->before);
		json_close(&b, "}\n");
		json_print(&b);
		return;
	}
	(void)printf("%s: key %s, record %" PRIu64 "\n", r->before ? "was erased before" : "erased",
		     key, r->index);
}

int
run_audit_erase(const struct cli_args *args)
{
	char tenant[AUDIT_SUBJECT_NAME_MAX + 1], caller[AUDIT_SUBJECT_NAME_MAX + 1];
	const char *subject = cli_value(args, "subject");
	struct buf body = { 0 }, reply = { 0 };
	struct arena arena = { 0 };
	struct audit_erase_reply r;
	struct config *config;
	struct im_err err;
	enum im_rc rc;
	int status = EXIT_FINE;

	if (subject == NULL || !split(subject, tenant, caller)) {
		(void)fprintf(
		    stderr,
		    "infermesh audit erase: --subject TENANT/CALLER is missing or malformed; names have at most %d bytes\n",
		    AUDIT_SUBJECT_NAME_MAX);
		return EXIT_USAGE;
	}
	if (!confirmed(args, subject))
		return EXIT_USAGE;
	config = cli_config(args);
	if (config == NULL)
		return EXIT_USAGE;
	audit_erase_encode(&(struct audit_erase){ tenant, caller }, &body);
	rc = audit_call(config, METHOD_AUDIT_ERASE, &body, &reply, &err);
	if (rc == IM_OK)
		rc = audit_erase_reply_decode(reply.data, reply.len, &arena, &r, &err);
	if (rc == IM_OK)
		report(args, &r);
	else
		status = cli_fail(args, &err);
	arena_done(&arena);
	buf_done(&body);
	buf_done(&reply);
	config_free(config);
	return status;
}
