/*
 * cli/audit_search.c - 'infermesh audit search': the records of somebody, of a time, that ended so, the newest first.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "audit/keyfile.h"
#include "audit/record_json.h"
#include "audit/search.h"
#include "audit/shards.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/sha256.h"
#include "cli/audit_log.h"
#include "cli/operator.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "daemon/paths.h"

#define LIMIT          100
#define LIMIT_MAX      1000000000
#define DEFAULT_TENANT "default" /* as 'key create' makes it */
#define INDEX_NAME     8         /* bytes of the hash in the file's name */

struct view {
	bool json;
	uint64_t shown;
	struct buf line;
	struct progress progress;
};

static bool
usage(const char *option, const char *found, const char *allowed)
{
	(void)fprintf(stderr, "infermesh audit search: --%s: found '%.40s', allowed: %s\n", option,
		      found, allowed);
	return false;
}

static bool
parse_kind(const char *text, enum record_kind *ret)
{
	for (int k = RECORD_REQUEST; k <= RECORD_STOP; k++)
		if (strcasecmp(text, record_kind_text((enum record_kind)k)) == 0) {
			*ret = (enum record_kind)k;
			return true;
		}
	return usage("kind", text,
		     "REQUEST, RESPONSE, MODEL_LOAD, MODEL_RELOAD, CONFIG, ROUTE_CHANGE, "
		     "KEY_ROTATE, GAP, PRUNE, ERASE, START, STOP");
}

static bool
parse_outcome(const char *text, enum outcome *ret)
{
	for (int o = OUTCOME_OK; o <= OUTCOME_REJECTED; o++)
		if (strcasecmp(text, outcome_text((enum outcome)o)) == 0) {
			*ret = (enum outcome)o;
			return true;
		}
	return usage("outcome", text, "OK, ERROR, CANCELLED, CACHE_HIT, COALESCED, REJECTED");
}

/* All but the names. */
static bool
parse_filter(const struct cli_args *args, struct search *s)
{
	struct search_filter *f = &s->filter;
	const char *kind = cli_value(args, "kind"), *outcome = cli_value(args, "outcome");
	const char *status = cli_value(args, "status"), *limit = cli_value(args, "limit");
	uint32_t count = LIMIT;

	f->model = cli_value(args, "model");
	f->worker = cli_value(args, "worker");
	if ((kind != NULL && !parse_kind(kind, &f->kind)) ||
	    (outcome != NULL && !parse_outcome(outcome, &f->outcome)))
		return false;
	if (status != NULL && !operator_parse_number(status, 100, 599, &f->status_code))
		return usage("status", status, "100 to 599");
	if (limit != NULL && !operator_parse_number(limit, 0, LIMIT_MAX, &count))
		return usage("limit", limit, "0 to 1000000000");
	s->limit = count;
	return log_arg_span(args, clock_wall_us(), &f->since_us, &f->until_us);
}

/* A pseudonym given as such. */
static bool
is_pseudonym(const char *text, struct search_who *ret)
{
	if (strlen(text) != (size_t)2 * PSEUDONYM_BYTES ||
	    !hex_decode(text, ret->pseudonym[0], PSEUDONYM_BYTES))
		return false;
	ret->count = 1;
	return true;
}

/* The pseudonyms of a name in the newest epochs, of which 'keys' has the last. */
static void
pseudonyms(struct hasher *h, struct pseudonym_keys keys, const char *tenant, const char *kind,
	   const char *name, struct search_who *ret)
{
	for (ret->count = 0; keys.epoch > 0 && ret->count < SEARCH_WHO_MAX; keys.epoch--)
		pseudonym_make(h, &keys, tenant, kind, name, ret->pseudonym[ret->count++]);
}

/* Each shard has an epoch of its own. */
static enum im_rc
newest_epoch(const struct audit_source *source, struct pseudonym_keys *keys, struct im_err *err)
{
	struct shards shards;
	enum im_rc rc = shards_load(source, NULL, &shards, err);

	if (rc == IM_OK) {
		keys->epoch += (uint32_t)shards.count - 1;
		shards_done(&shards);
	}
	return rc;
}

/* The names that are no pseudonyms, by the log's keys. */
static enum im_rc
find_names(const struct log_arg *log, const char *caller, const char *tenant,
	   struct search_filter *f, struct im_err *err)
{
	const char *of = tenant != NULL ? tenant : DEFAULT_TENANT;
	struct keyfile keys = { 0 };
	struct hasher h = { 0 };
	enum im_rc rc;
	bool no_caller = caller == NULL || is_pseudonym(caller, &f->caller);
	bool no_tenant = tenant == NULL || is_pseudonym(tenant, &f->tenant);

	if (no_caller && no_tenant)
		return IM_OK;
	if (!no_caller && no_tenant && tenant != NULL)
		return err_set(err, IM_EINVAL,
			       "--caller NAME is one of a tenant: give that by its name, too");
	rc = keyfile_load(config_str(log->config, "audit.key_file"), &keys, err);
	if (rc != IM_OK) {
		err_prefix(err, "only who may read the log's key file can search for a name; a "
				"pseudonym, 32 hex digits, needs no key");
		return rc;
	}
	rc = newest_epoch(&log->source, &keys.keys, err);
	if (rc == IM_OK)
		rc = hasher_init(&h, err);
	if (rc == IM_OK && caller != NULL && f->caller.count == 0)
		pseudonyms(&h, keys.keys, of, PSEUDONYM_CALLER, caller, &f->caller);
	if (rc == IM_OK && tenant != NULL && f->tenant.count == 0)
		pseudonyms(&h, keys.keys, of, PSEUDONYM_TENANT, tenant, &f->tenant);
	hasher_done(&h);
	keyfile_done(&keys);
	return rc;
}

/* STATE_DIR/audit-index/HASH.sqlite: one for each log, named by where that is. */
static enum im_rc
index_path(const struct config *config, const struct audit_source *source, struct buf *ret,
	   struct im_err *err)
{
	char *real = source->dir != NULL ? realpath(source->dir, NULL) : NULL;
	const char *name = real != NULL ? real : source->name;
	uint8_t digest[32];
	char hex[2 * INDEX_NAME + 1];

	if (!sha256_of(name, strlen(name), digest)) {
		free(real);
		return err_set(err, IM_ENOMEM, "no memory for a search");
	}
	free(real);
	hex_encode(digest, INDEX_NAME, hex);
	(void)buf_printf(ret, "%s/audit-index/%s.sqlite", config_str(config, "mesh.state_dir"),
			 hex);
	if (!buf_ok(ret))
		return err_set(err, IM_ENOMEM, "no memory for a search");
	return paths_make_parents(buf_cstr(ret), err);
}

static void
print_line(uint64_t index, const struct record *r)
{
	char time[32], id[2 * RECORD_ID_BYTES + 1] = "-", status[16] = "-";

	log_arg_time(r->log_time_us, time);
	if (r->has_request_id)
		hex_encode(r->request_id, RECORD_ID_BYTES, id);
	if (r->status_code != 0)
		(void)snprintf(status, sizeof(status), "%" PRIu32, r->status_code);
	(void)printf("%12" PRIu64 "  ", index);
	print_column(time, 20);
	print_column(record_kind_text(r->kind), 12);
	print_column(r->outcome != OUTCOME_NONE ? outcome_text(r->outcome) : "-", 9);
	print_column(status, 6);
	print_column(r->model != NULL && r->model[0] != '\0' ? r->model : "-", 16);
	(void)printf("%s\n", id);
}

static enum im_rc
on_hit(void *user, uint64_t index, const struct record *r, struct im_err *err)
{
	struct view *v = user;

	progress_end(&v->progress);
	if (!v->json) {
		if (v->shown++ == 0)
			(void)printf("%12s  %-20s  %-12s  %-9s  %-6s  %-16s  %s\n", "RECORD",
				     "LOGGED", "KIND", "OUTCOME", "STATUS", "MODEL", "REQUEST");
		print_line(index, r);
		return IM_OK;
	}
	buf_clear(&v->line);
	(void)buf_append_str(&v->line, v->shown++ == 0 ? "" : ",");
	if (!record_json(&v->line, index, r))
		return err_set(err, IM_ENOMEM, "no memory for a record");
	(void)fwrite(v->line.data, 1, v->line.len, stdout);
	return IM_OK;
}

static bool
on_progress(void *user, uint64_t done, uint64_t total)
{
	return progress_show(&((struct view *)user)->progress, done, total);
}

static void
on_rebuilt(void *user, const char *why)
{
	struct view *v = user;

	progress_end(&v->progress);
	(void)fprintf(stderr, "infermesh audit search: the index is made anew: %s\n", why);
}

static int
finish(const struct cli_args *args, const struct view *v, const struct searched *found, bool index,
       enum im_rc rc, const struct im_err *err)
{
	if (v->json)
		(void)printf("],\"more\":%s,\"size\":%" PRIu64 ",\"indexed\":%" PRIu64 "}\n",
			     found->more ? "true" : "false", found->end,
			     index ? found->indexed : 0);
	(void)fflush(stdout);
	if (rc != IM_OK)
		return cli_fail(args, err);
	if (!v->json && found->more)
		(void)fprintf(stderr,
			      "the newest %" PRIu64 "; there are more: see --limit, --until\n",
			      found->hits);
	if (!v->json && found->hits == 0)
		(void)fprintf(stderr, "no record of %" PRIu64 " matches\n", found->end);
	return EXIT_FINE;
}

int
run_audit_search(const struct cli_args *args)
{
	struct view view = { .json = cli_flag(args, "json") };
	struct search s = {
		.hit = on_hit, .progress = on_progress, .rebuilt = on_rebuilt, .user = &view
	};
	struct searched found = { 0 };
	struct buf path = { 0 };
	struct log_arg log;
	struct im_err err;
	enum im_rc rc;
	int status;

	if (!parse_filter(args, &s))
		return EXIT_USAGE;
	if (!log_arg_open(args, args->rest_count > 0 ? args->rest[0] : NULL, &log, &status))
		return status;
	s.source = &log.source;
	rc =
	    find_names(&log, cli_value(args, "caller"), cli_value(args, "tenant"), &s.filter, &err);
	if (rc == IM_OK && !cli_flag(args, "scan")) {
		rc = index_path(log.config, &log.source, &path, &err);
		if (rc == IM_OK)
			s.index = buf_cstr(&path);
		else
			err_prefix(&err, "there is no place for the index (--scan does without)");
	}
	if (rc == IM_OK) {
		progress_begin(&view.progress, s.index != NULL ? "indexing " : "");
		(void)fputs(view.json ? "{\"records\":[" : "", stdout);
		rc = audit_search(&s, &found, &err);
		progress_end(&view.progress);
		status = finish(args, &view, &found, s.index != NULL, rc, &err);
	} else {
		status = cli_fail(args, &err);
	}
	buf_done(&view.line);
	buf_done(&path);
	log_arg_close(&log);
	return status;
}
