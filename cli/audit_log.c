/*
 * cli/audit_log.c - see audit_log.h.
 */
#include "cli/audit_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/keyfile.h"
#include "cli/audit_http.h"
#include "cli/when.h"

/* --vkey, else the public half of this machine's own key if 'own_log'. */
static enum im_rc
find_key(const struct cli_args *args, bool own_log, struct log_arg *l, struct im_err *err)
{
	struct keyfile keys = { 0 };

	l->vkey = cli_value(args, "vkey");
	if (l->vkey == NULL && own_log &&
	    keyfile_load(config_str(l->config, "audit.key_file"), &keys, NULL) == IM_OK) {
		keyfile_first_vkey(&keys, l->text);
		keyfile_done(&keys);
		l->vkey = l->text;
		l->own = true;
	}
	return l->vkey != NULL ? note_verifier_parse(l->vkey, &l->key, err) : IM_OK;
}

static bool
begin(const struct cli_args *args, struct log_arg *ret, int *ret_status)
{
	*ret = (struct log_arg){ .config = cli_config(args) };
	*ret_status = EXIT_USAGE;
	return ret->config != NULL;
}

static bool
failed(const struct cli_args *args, struct log_arg *l, const struct im_err *err, int *ret_status)
{
	*ret_status = cli_fail(args, err);
	if (err->rc == IM_EINVAL)
		*ret_status = EXIT_USAGE;
	log_arg_close(l);
	return false;
}

bool
log_arg_open(const struct cli_args *args, const char *where, struct log_arg *ret, int *ret_status)
{
	struct im_err err;
	enum im_rc rc = IM_OK;

	if (!begin(args, ret, ret_status))
		return false;
	if (where != NULL && http_log_is(where))
		rc = http_log_open(where, &ret->source, &ret->http, &err);
	else
		source_folder(&ret->source,
			      where != NULL ? where : config_str(ret->config, "audit.dir"));
	if (rc == IM_OK)
		rc = find_key(args, where == NULL, ret, &err);
	return rc == IM_OK || failed(args, ret, &err, ret_status);
}

bool
log_arg_key(const struct cli_args *args, struct log_arg *ret, int *ret_status)
{
	struct im_err err;
	enum im_rc rc;

	if (!begin(args, ret, ret_status))
		return false;
	source_folder(&ret->source, config_str(ret->config, "audit.dir"));
	rc = find_key(args, true, ret, &err);
	if (rc == IM_OK && ret->vkey == NULL)
		rc = err_set(
		    &err, IM_EINVAL,
		    "a proof is worth as much as the key it is checked with: give --vkey KEY "
		    "(this machine has no log of its own)");
	return rc == IM_OK || failed(args, ret, &err, ret_status);
}

void
log_arg_close(struct log_arg *l)
{
	http_log_close(l->http);
	config_free(l->config);
}

bool
log_arg_index(const char *text, uint64_t *ret)
{
	char *end;

	if (text[0] < '0' || text[0] > '9' || strlen(text) > 19)
		return false;
	*ret = strtoull(text, &end, 10);
	return *end == '\0';
}

static bool
moment(const struct cli_args *args, const char *option, uint64_t now_us, uint64_t *ret_us)
{
	const char *text = cli_value(args, option);

	*ret_us = 0;
	if (text == NULL || when_parse(text, now_us, ret_us))
		return true;
	(void)fprintf(stderr, "infermesh %s: --%s: found '%.40s', allowed: " WHEN_ALLOWED "\n",
		      args->command->name, option, text);
	return false;
}

bool
log_arg_span(const struct cli_args *args, uint64_t now_us, uint64_t *ret_since_us,
	     uint64_t *ret_until_us)
{
	return moment(args, "since", now_us, ret_since_us) &&
	       moment(args, "until", now_us, ret_until_us);
}

void
log_arg_time(uint64_t us, char ret[32])
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm;

	if (us == 0 || gmtime_r(&s, &tm) == NULL ||
	    strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		ret[0] = '\0';
}
