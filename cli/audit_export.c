/*
 * cli/audit_export.c - 'infermesh audit export': the records as JSON, one a line, for other software to read.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/record_json.h"
#include "audit/walk.h"
#include "base/clock.h"
#include "cli/audit_log.h"
#include "cli/print.h"
#include "cli/progress.h"

struct export
{
	FILE *out;
	const char *path; /* for messages */
	bool array;       /* one JSON array, and not one object a line */
	struct buf line;
	uint64_t count, first, last;
	struct progress progress;
};

static enum im_rc
cannot_write(const struct export *x, struct im_err *err)
{
	return err_errno(err, IM_EIO, errno, "%s cannot be written", x->path);
}

static enum im_rc
on_record(void *user, uint64_t index, const struct record *r, struct im_err *err)
{
	struct export *x = user;

	buf_clear(&x->line);
	if (x->array)
		(void)buf_append_str(&x->line, x->count == 0 ? "[\n" : ",\n");
	(void)record_json(&x->line, index, r);
	if (!x->array)
		(void)buf_append_byte(&x->line, '\n');
	if (!buf_ok(&x->line))
		return err_set(err, IM_ENOMEM, "no memory for a record");
	if (fwrite(x->line.data, 1, x->line.len, x->out) != x->line.len)
		return cannot_write(x, err);
	if (x->count++ == 0)
		x->first = index;
	x->last = index;
	return IM_OK;
}

static bool
on_progress(void *user, uint64_t done, uint64_t total)
{
	return progress_show(&((struct export *)user)->progress, done, total);
}

static enum im_rc
finish(struct export *x, enum im_rc rc, struct im_err *err)
{
	if (rc == IM_OK && x->array && fputs(x->count == 0 ? "[]\n" : "\n]\n", x->out) == EOF)
		rc = cannot_write(x, err);
	if (x->out != stdout && fclose(x->out) != 0 && rc == IM_OK)
		rc = cannot_write(x, err);
	if (x->out == stdout && fflush(stdout) != 0 && rc == IM_OK)
		rc = cannot_write(x, err);
	buf_done(&x->line);
	return rc;
}

/* Where the next export goes on, also after this one was cut off. */
static void
say(const struct export *x)
{
	if (x->count == 0)
		(void)fprintf(stderr, "no records\n");
	else
		(void)fprintf(stderr,
			      "%" PRIu64 " records, %" PRIu64 " to %" PRIu64
			      "; go on with --from %" PRIu64 "\n",
			      x->count, x->first, x->last, x->last + 1);
}

static bool
usage(const char *option, const char *found)
{
	(void)fprintf(stderr,
		      "infermesh audit export: --%s: found '%.40s', allowed: the number of a "
		      "record\n",
		      option, found);
	return false;
}

static bool
range(const struct cli_args *args, struct audit_walk *w)
{
	const char *from = cli_value(args, "from"), *to = cli_value(args, "to");
	uint64_t last;

	if (from != NULL && !log_arg_index(from, &w->from))
		return usage("from", from);
	if (to != NULL && !log_arg_index(to, &last))
		return usage("to", to);
	if (to != NULL)
		w->to = last + 1;
	return log_arg_span(args, clock_wall_us(), &w->since_us, &w->until_us);
}

int
run_audit_export(const struct cli_args *args)
{
	const char *path = cli_value(args, "output");
	struct export x = { .out = stdout,
			    .path = path != NULL ? path : "standard output",
			    .array = cli_flag(args, "json") };
	struct audit_walk walk = { .record = on_record, .progress = on_progress, .user = &x };
	struct audit_walked walked;
	struct log_arg log;
	struct im_err err;
	enum im_rc rc;
	int status;

	if (x.array && cli_flag(args, "ndjson")) {
		(void)fprintf(stderr,
			      "infermesh audit export: give --ndjson or --json, not both\n");
		return EXIT_USAGE;
	}
	if (!range(args, &walk))
		return EXIT_USAGE;
	if (!log_arg_open(args, args->rest_count > 0 ? args->rest[0] : NULL, &log, &status))
		return status;
	if (path != NULL && (x.out = fopen(path, "we")) == NULL) {
		(void)cannot_write(&x, &err);
		log_arg_close(&log);
		return cli_fail(args, &err);
	}
	walk.source = &log.source;
	progress_begin(&x.progress, "");
	rc = finish(&x, audit_walk(&walk, &walked, &err), &err);
	progress_end(&x.progress);
	say(&x);
	status = rc == IM_OK ? EXIT_FINE : cli_fail(args, &err);
	log_arg_close(&log);
	return status;
}
