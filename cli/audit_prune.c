/*
 * cli/audit_prune.c - 'infermesh audit prune': deletes old entries of the running log.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "cli/audit_call.h"
#include "cli/command.h"
#include "cli/print.h"
#include "cli/when.h"
#include "wire/audit_admin.h"

#define DAY_US   (UINT64_C(86400) * 1000000)
#define DAYS_MAX 36500

static bool
parse_days(const char *text, uint64_t *ret_days)
{
	size_t len = strlen(text);

	if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
		return false;
	*ret_days = strtoull(text, NULL, 10);
	return *ret_days <= DAYS_MAX;
}

/* Before when, in '*ret_us'. False after a message. */
static bool
before(const struct cli_args *args, const struct config *config, uint64_t *ret_us)
{
	const char *date = cli_value(args, "before"), *keep = cli_value(args, "keep");
	uint64_t days = (uint64_t)config_int(config, "audit.retention_days");

	if (date != NULL && keep != NULL)
		(void)fprintf(stderr, "infermesh audit prune: give --before or --keep, not both\n");
	else if (date != NULL && !when_parse(date, clock_wall_us(), ret_us))
		(void)fprintf(
		    stderr,
		    "infermesh audit prune: --before: found '%.40s', allowed: " WHEN_ALLOWED "\n",
		    date);
	else if (date != NULL)
		return true;
	else if (keep != NULL && !parse_days(keep, &days))
		(void)fprintf(
		    stderr, "infermesh audit prune: --keep: found '%.40s', allowed: 0 to %d days\n",
		    keep, DAYS_MAX);
	else if (keep == NULL && days == 0)
		(void)fprintf(
		    stderr,
		    "infermesh audit prune: audit.retention_days is 0, all is kept for ever; give --before or --keep\n");
	else {
		*ret_us = clock_wall_us() - days * DAY_US;
		return true;
	}
	return false;
}

static void
report(const struct cli_args *args, const struct audit_prune_reply *r)
{
	bool dry = cli_flag(args, "dry-run"), any = r->min_index > r->was;
	struct buf b = { 0 };

	if (cli_flag(args, "json")) {
		(void)buf_append_str(&b, "{");
		json_number(&b, "was", r->was);
		json_number(&b, "min_index", r->min_index);
		json_number(&b, "entries", r->min_index - r->was);
		json_bool(&b, "dry_run", dry);
		if (any && !dry)
			json_number(&b, "index", r->index);
		json_close(&b, "}\n");
		json_print(&b);
		return;
	}
	if (!any)
		(void)printf(
		    "nothing to delete: no whole bundle of 256 entries is that old; the log begins at record "
		    "%" PRIu64 "\n",
		    r->was);
	else if (dry)
		(void)printf("would delete %" PRIu64 " entries, records %" PRIu64 " to %" PRIu64
			     "\n",
			     r->min_index - r->was, r->was, r->min_index - 1);
	else
		(void)printf("deletes %" PRIu64 " entries, records %" PRIu64 " to %" PRIu64
			     ", as record %" PRIu64 " says\n",
			     r->min_index - r->was, r->was, r->min_index - 1, r->index);
}

int
run_audit_prune(const struct cli_args *args)
{
	struct config *config = cli_config(args);
	struct audit_prune p = { .dry_run = cli_flag(args, "dry-run") };
	struct buf body = { 0 }, reply = { 0 };
	struct arena arena = { 0 };
	struct audit_prune_reply r;
	struct im_err err;
	enum im_rc rc;
	int status = EXIT_FINE;

	if (config == NULL || !before(args, config, &p.before_us)) {
		config_free(config);
		return EXIT_USAGE;
	}
	audit_prune_encode(&p, &body);
	rc = audit_call(config, METHOD_AUDIT_PRUNE, &body, &reply, &err);
	if (rc == IM_OK)
		rc = audit_prune_reply_decode(reply.data, reply.len, &arena, &r, &err);
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
