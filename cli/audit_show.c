/*
 * cli/audit_show.c - 'infermesh audit show INDEX|REQUEST_ID': what one record, or those of one request, say.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "audit/find.h"
#include "audit/record_json.h"
#include "base/hex.h"
#include "cli/audit_log.h"
#include "cli/print.h"

static void
line(const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	(void)printf("  %-18s ", name);
	print_text(value);
	(void)putchar('\n');
}

static void
line_hex(const char *name, bool has, const uint8_t *data, size_t len)
{
	char hex[2 * HASH_BYTES + 1];

	if (!has)
		return;
	hex_encode(data, len, hex);
	line(name, hex);
}

static void
line_time(const char *name, uint64_t us)
{
	char text[32];

	log_arg_time(us, text);
	line(name, text);
}

static void
line_number(const char *name, uint64_t v)
{
	if (v != 0)
		(void)printf("  %-18s %" PRIu64 "\n", name, v);
}

static void
print_record(uint64_t index, const struct record *r)
{
	(void)printf("record %" PRIu64 ": %s\n", index, record_kind_text(r->kind));
	line_hex("request", r->has_request_id, r->request_id, RECORD_ID_BYTES);
	if (r->prev_index != 0)
		(void)printf("  %-18s record %" PRIu64 "\n", "answers", r->prev_index - 1);
	line_time("logged", r->log_time_us);
	line_time("asked", r->request_time_us);
	line_time("answered", r->response_time_us);
	line_hex("caller", r->has_caller, r->caller, RECORD_PSEUDO_BYTES);
	line_hex("tenant", r->has_tenant, r->tenant, RECORD_PSEUDO_BYTES);
	line("model", r->model);
	line("model digest", r->model_digest);
	line_hex("configuration", r->has_config_digest, r->config_digest, sizeof(r->config_digest));
	if (r->outcome != OUTCOME_NONE)
		line("outcome", outcome_text(r->outcome));
	line_number("status", r->status_code);
	if (r->has_routing) {
		line("worker", r->routing.worker);
		line("policy", r->routing.policy);
	}
	if (r->has_usage)
		(void)printf("  %-18s %" PRIu32 " in, %" PRIu32 " out\n", "tokens",
			     r->usage.prompt_tokens, r->usage.completion_tokens);
	line_hex("input commitment", r->has_input, r->input_commitment.b, HASH_BYTES);
	line_hex("output commitment", r->has_output, r->output_commitment.b, HASH_BYTES);
	line_hex("subject key", r->has_subject_key, r->subject_key, RECORD_KEY_ID_BYTES);
	if (r->has_gap) {
		line_number("missing records", r->gap.count);
		line("why", r->gap.reason);
	}
	if (r->has_prune)
		(void)printf("  %-18s records below %" PRIu64 "\n", "deleted",
			     r->prune.first + r->prune.min_index);
	if (r->has_next) {
		line("goes on as", r->next.origin);
		line("under the key", r->next.vkey);
	}
	if (r->has_previous) {
		line("continues", r->previous.origin);
		line_number("of records", r->previous.size);
		line_hex("with the root", true, r->previous.root.b, HASH_BYTES);
	}
}

static void
print_found(const struct cli_args *args, const struct audit_found *f)
{
	struct buf b = { 0 };

	if (!cli_flag(args, "json")) {
		if (f->has_request)
			print_record(f->request_index, &f->request);
		if (f->has_response)
			print_record(f->response_index, &f->response);
		return;
	}
	(void)buf_append_str(&b, "{\"records\":[");
	if (f->has_request)
		(void)record_json(&b, f->request_index, &f->request);
	if (f->has_request && f->has_response)
		(void)buf_append_byte(&b, ',');
	if (f->has_response)
		(void)record_json(&b, f->response_index, &f->response);
	(void)buf_append_str(&b, "]}\n");
	json_print(&b);
}

static enum im_rc
find_index(const struct audit_source *source, uint64_t index, struct audit_found *ret,
	   struct im_err *err)
{
	struct buf entry = { 0 };
	struct record r;
	enum im_rc rc;

	memset(ret, 0, sizeof(*ret));
	rc = audit_entry(source, index, &entry, err);
	if (rc == IM_OK)
		rc = record_decode(entry.data, entry.len, &ret->arena, &r, err);
	buf_done(&entry);
	if (rc != IM_OK)
		return rc;
	ret->has_response = true; /* whatever it is */
	ret->response = r;
	ret->response_index = index;
	return IM_OK;
}

int
run_audit_show(const struct cli_args *args)
{
	static const char completion[] = "chatcmpl-";
	uint8_t id[RECORD_ID_BYTES];
	struct audit_found found;
	struct log_arg log;
	struct im_err err;
	const char *what = args->rest_count > 0 ? args->rest[0] : "";
	uint64_t index = 0;
	bool is_index = log_arg_index(what, &index);
	enum im_rc rc;
	int status;

	if (strncmp(what, completion, strlen(completion)) == 0)
		what += strlen(completion);
	if (!is_index && (strlen(what) != 2 * sizeof(id) || !hex_decode(what, id, sizeof(id)))) {
		(void)fprintf(stderr,
			      "infermesh audit show: say which: INDEX, the number of a record, or "
			      "REQUEST_ID, the 32 hex digits of x-request-id\n");
		return EXIT_USAGE;
	}
	if (!log_arg_open(args, cli_value(args, "log"), &log, &status))
		return status;
	rc = is_index ? find_index(&log.source, index, &found, &err)
		      : audit_find(&log.source, id, &found, &err);
	if (rc == IM_OK)
		print_found(args, &found);
	status = rc == IM_OK ? EXIT_FINE : cli_fail(args, &err);
	audit_found_done(&found);
	log_arg_close(&log);
	return status;
}
