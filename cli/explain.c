/*
 * cli/explain.c - 'infermesh explain REQUEST_ID': why a request went where it went, from what the audit log keeps. Needs no
 * running mesh.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/find.h"
#include "base/hex.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/print.h"
#include "wire/mesh.h"

#define ID_HEX ((size_t)2 * RECORD_ID_BYTES)

/* The id as clients see it: x-request-id, or in an answer "chatcmpl-…". */
static bool
parse_id(const char *text, uint8_t ret[RECORD_ID_BYTES])
{
	static const char prefix[] = "chatcmpl-";

	if (strncmp(text, prefix, strlen(prefix)) == 0)
		text += strlen(prefix);
	return strlen(text) == ID_HEX && hex_decode(text, ret, RECORD_ID_BYTES);
}

static void
line(const char *what)
{
	(void)printf("%-11s ", what);
}

static void
print_when(const struct record *request, const struct record *response)
{
	time_t s = (time_t)(request->request_time_us / 1000000);
	char text[40];
	struct tm tm;

	if (gmtime_r(&s, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return;
	line("when");
	(void)printf("%s.%03uZ", text, (unsigned)(request->request_time_us / 1000 % 1000));
	if (response != NULL && response->response_time_us >= request->request_time_us) {
		(void)printf(", took ");
		print_latency(response->response_time_us - request->request_time_us, 0);
	}
	(void)putchar('\n');
}

static void
print_asked(const struct record *r)
{
	const struct routing *to = &r->routing;

	line("asked for");
	if (to->route[0] != '\0') {
		print_text(to->route);
		(void)printf(", a route; its arm ");
		print_text(to->arm);
		(void)printf(" was chosen by the weights");
		if (strncmp(to->fallback, "model:", 6) == 0) {
			(void)printf("; served by ");
			print_text(r->model);
		}
	} else {
		print_text(r->model);
	}
	(void)putchar('\n');
}

static void
print_outcome(const struct record *r)
{
	line("outcome");
	(void)printf("%s, HTTP %u", outcome_text(r->outcome), r->status_code);
	if (r->routing.reason[0] != '\0') {
		(void)printf(" (");
		print_text(r->routing.reason);
		(void)putchar(')');
	}
	if (r->has_usage)
		(void)printf("; %u tokens in, %u out", r->usage.prompt_tokens,
			     r->usage.completion_tokens);
	(void)putchar('\n');
}

static void
print_leader(const struct routing *to)
{
	char id[ID_HEX + 1];

	hex_encode(to->leader, sizeof(to->leader), id);
	line("coalesced");
	(void)printf(
	    "it shared the generation of %s, an identical request in flight; see 'infermesh "
	    "explain %s'\n",
	    id, id);
}

/* Who answered, and why. */
static void
print_worker(const struct record *r)
{
	const struct routing *to = &r->routing;

	line(r->outcome == OUTCOME_ERROR && to->failed_count > 0 ? "last tried" : "answered by");
	if (to->has_leader) {
		(void)printf("the worker of that other request\n");
	} else if (r->outcome == OUTCOME_CACHE_HIT) {
		(void)printf("the cache: no worker was asked\n");
	} else if (strcmp(to->fallback, "static") == 0) {
		(void)printf("the fallback_answer of the route: no worker could\n");
	} else if (to->worker[0] == '\0') {
		(void)printf("nobody: no worker could take it\n");
	} else {
		print_text(to->worker);
		(void)printf(", chosen by ");
		print_text(to->policy);
		if (to->rule[0] != '\0') {
			(void)printf(" (");
			print_text(to->rule);
			(void)putchar(')');
		}
		(void)printf(", attempt %u\n", to->attempts);
	}
	if (strncmp(to->fallback, "model:", 6) == 0) {
		line("fallback");
		print_text(to->fallback + 6);
		(void)printf(" instead of ");
		print_text(to->arm);
		(void)printf(", which could not answer\n");
	}
}

static void
print_attempts(const struct routing *to)
{
	for (size_t i = 0; i < to->failed_count; i++) {
		line(i == 0 ? "failed" : "");
		print_text(to->failed[i].worker);
		(void)printf(": ");
		print_text(to->failed[i].reason);
		(void)putchar('\n');
	}
}

static void
print_candidates(const struct routing *to)
{
	if (to->seen_count == 0)
		return;
	(void)printf("\nWhat the router saw then (the chosen one first%s):\n",
		     to->seen_count == AUDIT_SEEN_MAX ? ", 16 at most" : "");
	(void)printf("  %-24s  %9s  %6s  %10s  %-9s  %s\n", "WORKER", "IN FLIGHT", "WEIGHT",
		     "(N+1)/WGT", "STATE", "BREAKER");
	for (size_t i = 0; i < to->seen_count; i++) {
		const struct worker_load *w = &to->seen[i];

		(void)printf("  ");
		print_column(w->worker, 24);
		(void)printf("%9u  %6u  ", w->in_flight, w->weight);
		if (w->weight > 0)
			(void)printf("%10.4f  ", (w->in_flight + 1.0) / w->weight);
		else
			(void)printf("%10s  ", "-");
		print_column(seen_state_text(w->state), 9);
		(void)printf("%s\n", seen_breaker_text(w->breaker));
	}
}

static void
print_found(const struct audit_found *f, const char *id, const char *dir)
{
	const struct record *r = f->has_response ? &f->response : &f->request;
	const struct routing *to = &r->routing;

	line("request");
	(void)printf("%.*s, record", (int)ID_HEX, id);
	if (f->has_request)
		(void)printf(" %" PRIu64, f->request_index);
	if (f->has_response)
		(void)printf("%s%" PRIu64, f->has_request ? " and " : " ", f->response_index);
	(void)printf(" of %s\n", dir);
	print_when(f->has_request ? &f->request : &f->response,
		   f->has_response ? &f->response : NULL);
	print_asked(r);
	if (!f->has_response) {
		line("outcome");
		(void)printf("none yet: it is in flight, or a crash cut it off\n");
		return;
	}
	print_outcome(r);
	if (to->has_leader)
		print_leader(to);
	print_worker(r);
	print_attempts(to);
	print_candidates(to);
}

static void
json_seen(struct buf *b, const struct routing *to)
{
	(void)buf_append_str(b, "\"seen\":[");
	for (size_t i = 0; i < to->seen_count; i++) {
		(void)buf_append_byte(b, '{');
		json_text(b, "worker", to->seen[i].worker);
		json_number(b, "in_flight", to->seen[i].in_flight);
		json_number(b, "weight", to->seen[i].weight);
		json_text(b, "state", seen_state_text(to->seen[i].state));
		json_text(b, "breaker", seen_breaker_text(to->seen[i].breaker));
		json_close(b, "},");
	}
	json_close(b, "],\"failed\":[");
	for (size_t i = 0; i < to->failed_count; i++) {
		(void)buf_append_byte(b, '{');
		json_text(b, "worker", to->failed[i].worker);
		json_text(b, "reason", to->failed[i].reason);
		json_close(b, "},");
	}
	json_close(b, "],");
}

static void
json_found(const struct audit_found *f, const char *id)
{
	const struct record *r = f->has_response ? &f->response : &f->request;
	const struct routing *to = &r->routing;
	char hex[65] = "";
	struct buf b = { 0 };

	(void)buf_append_byte(&b, '{');
	json_text(&b, "request_id", id);
	if (f->has_request)
		json_number(&b, "request_index", f->request_index);
	if (f->has_response)
		json_number(&b, "response_index", f->response_index);
	json_number(&b, "request_time_us", r->request_time_us);
	json_number(&b, "response_time_us", r->response_time_us);
	json_text(&b, "model", r->model);
	json_text(&b, "outcome", outcome_text(r->outcome));
	json_number(&b, "status_code", r->status_code);
	json_text(&b, "reason", to->reason);
	json_text(&b, "worker", to->worker);
	json_text(&b, "policy", to->policy);
	json_text(&b, "rule", to->rule);
	json_text(&b, "route", to->route);
	json_text(&b, "arm", to->arm);
	json_text(&b, "fallback", to->fallback);
	json_number(&b, "attempts", to->attempts);
	if (to->has_leader) {
		hex_encode(to->leader, sizeof(to->leader), hex);
		json_text(&b, "leader", hex);
	}
	if (to->has_cache_key) {
		hex_encode(to->cache_key, sizeof(to->cache_key), hex);
		json_text(&b, "cache_key", hex);
	}
	json_seen(&b, to);
	json_close(&b, "}\n");
	json_print(&b);
}

static int
explain(const struct cli_args *args, const struct config *config, const uint8_t *id)
{
	const char *dir = cli_value(args, "log");
	struct audit_found found;
	char hex[ID_HEX + 1];
	struct im_err err;
	int status = EXIT_FINE;
	struct audit_source log;
	enum im_rc rc;

	dir = dir != NULL ? dir : config_str(config, "audit.dir");
	hex_encode(id, RECORD_ID_BYTES, hex);
	source_folder(&log, dir);
	rc = audit_find(&log, id, &found, &err);
	if (rc == IM_ENOTFOUND) {
		(void)fprintf(
		    stderr,
		    "infermesh explain: %s\n"
		    "The id is the x-request-id of the reply. A request that was refused before "
		    "it was admitted (4xx, 429, some 503)\nleaves no record. For the log of "
		    "another machine or configuration give --log DIR or --config FILE.\n",
		    err.text);
		status = EXIT_TROUBLE;
	} else if (rc != IM_OK) {
		status = cli_fail(args, &err);
	} else if (cli_flag(args, "json")) {
		json_found(&found, hex);
	} else {
		print_found(&found, hex, dir);
	}
	audit_found_done(&found);
	return status;
}

int
run_explain(const struct cli_args *args)
{
	uint8_t id[RECORD_ID_BYTES];
	struct config *config;
	int status;

	if (args->rest_count == 0 || !parse_id(args->rest[0], id)) {
		(void)fprintf(stderr,
			      "infermesh explain: REQUEST_ID: found '%.80s', allowed: the 32 "
			      "hexadecimal digits that a reply has as x-request-id\n",
			      args->rest_count > 0 ? args->rest[0] : "nothing");
		return EXIT_USAGE;
	}
	config = cli_config(args);
	if (config == NULL)
		return EXIT_USAGE;
	status = explain(args, config, id);
	config_free(config);
	return status;
}
