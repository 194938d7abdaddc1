/*
 * audit/record_json.c - a record as JSON; see record_json.h.
 */
#include "audit/record_json.h"

#include <inttypes.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"

static void
put_text(struct buf *b, const char *name, const char *text)
{
	if (text == NULL || text[0] == '\0')
		return;
	(void)buf_printf(b, ",\"%s\":", name);
	(void)json_put_cstr(b, text);
}

static void
put_hex(struct buf *b, const char *name, bool has, const uint8_t *data, size_t len)
{
	char hex[2 * HASH_BYTES + 1];

	if (!has)
		return;
	hex_encode(data, len, hex);
	(void)buf_printf(b, ",\"%s\":\"%s\"", name, hex);
}

static void
put_number(struct buf *b, const char *name, uint64_t v)
{
	if (v != 0)
		(void)buf_printf(b, ",\"%s\":%" PRIu64, name, v);
}

/* "{" begins each object with a member, so that all others can begin with a comma. */
static void
put_seen(struct buf *b, const struct routing *r)
{
	(void)buf_append_str(b, ",\"seen\":[");
	for (size_t i = 0; i < r->seen_count; i++) {
		const struct worker_load *w = &r->seen[i];

		(void)buf_append_str(b, i > 0 ? ",{\"worker\":" : "{\"worker\":");
		(void)json_put_cstr(b, w->worker != NULL ? w->worker : "");
		(void)buf_printf(
		    b, ",\"in_flight\":%" PRIu32 ",\"state\":\"%s\",\"breaker\":\"%s\"",
		    w->in_flight, seen_state_text(w->state), seen_breaker_text(w->breaker));
		put_number(b, "weight", w->weight);
		(void)buf_append_byte(b, '}');
	}
	(void)buf_append_byte(b, ']');
}

static void
put_routing(struct buf *b, const struct routing *r)
{
	(void)buf_printf(b, ",\"routing\":{\"attempts\":%" PRIu32, r->attempts);
	put_text(b, "worker", r->worker);
	put_text(b, "policy", r->policy);
	put_text(b, "reason", r->reason);
	put_text(b, "rule", r->rule);
	put_text(b, "route", r->route);
	put_text(b, "arm", r->arm);
	put_text(b, "fallback", r->fallback);
	put_hex(b, "cache_key", r->has_cache_key, r->cache_key, sizeof(r->cache_key));
	put_hex(b, "leader", r->has_leader, r->leader, sizeof(r->leader));
	if (r->seen_count > 0)
		put_seen(b, r);
	if (r->failed_count > 0)
		(void)buf_append_str(b, ",\"failed\":[");
	for (size_t i = 0; i < r->failed_count; i++) {
		(void)buf_append_str(b, i > 0 ? ",{\"worker\":" : "{\"worker\":");
		(void)json_put_cstr(b, r->failed[i].worker != NULL ? r->failed[i].worker : "");
		put_text(b, "reason", r->failed[i].reason);
		(void)buf_append_byte(b, '}');
	}
	(void)buf_append_str(b, r->failed_count > 0 ? "]}" : "}");
}

static void
put_extras(struct buf *b, const struct record *r)
{
	if (r->has_routing)
		put_routing(b, &r->routing);
	if (r->has_usage)
		(void)buf_printf(b,
				 ",\"usage\":{\"prompt_tokens\":%" PRIu32
				 ",\"completion_tokens\":%" PRIu32 ",\"cached_tokens\":%" PRIu32
				 ",\"reasoning_tokens\":%" PRIu32 "}",
				 r->usage.prompt_tokens, r->usage.completion_tokens,
				 r->usage.cached_tokens, r->usage.reasoning_tokens);
	if (r->has_gap) {
		(void)buf_printf(
		    b, ",\"gap\":{\"count\":%" PRIu64 ",\"from_us\":%" PRIu64 ",\"to_us\":%" PRIu64,
		    r->gap.count, r->gap.from_us, r->gap.to_us);
		put_text(b, "reason", r->gap.reason);
		(void)buf_append_byte(b, '}');
	}
	if (r->has_prune) {
		(void)buf_printf(b, ",\"prune\":{\"min_index\":%" PRIu64 ",\"size\":%" PRIu64,
				 r->prune.min_index, r->prune.size);
		put_hex(b, "root", true, r->prune.root.b, HASH_BYTES);
		put_number(b, "first", r->prune.first);
		(void)buf_append_byte(b, '}');
	}
	if (r->has_next) {
		(void)buf_append_str(b, ",\"next\":{\"origin\":");
		(void)json_put_cstr(b, r->next.origin);
		put_text(b, "vkey", r->next.vkey);
		(void)buf_append_byte(b, '}');
	}
	if (r->has_previous) {
		(void)buf_append_str(b, ",\"previous\":{\"origin\":");
		(void)json_put_cstr(b, r->previous.origin);
		put_number(b, "size", r->previous.size);
		put_hex(b, "root", true, r->previous.root.b, HASH_BYTES);
		put_number(b, "ordinal", r->previous.ordinal);
		put_number(b, "first", r->previous.first);
		(void)buf_append_byte(b, '}');
	}
}

bool
record_json(struct buf *b, uint64_t index, const struct record *r)
{
	(void)buf_printf(b, "{\"index\":%" PRIu64 ",\"kind\":\"%s\"", index,
			 record_kind_text(r->kind));
	put_hex(b, "request_id", r->has_request_id, r->request_id, RECORD_ID_BYTES);
	if (r->prev_index != 0)
		(void)buf_printf(b, ",\"request_index\":%" PRIu64, r->prev_index - 1);
	put_hex(b, "caller", r->has_caller, r->caller, RECORD_PSEUDO_BYTES);
	put_hex(b, "tenant", r->has_tenant, r->tenant, RECORD_PSEUDO_BYTES);
	put_number(b, "request_time_us", r->request_time_us);
	put_number(b, "response_time_us", r->response_time_us);
	put_number(b, "log_time_us", r->log_time_us);
	put_hex(b, "input_commitment", r->has_input, r->input_commitment.b, HASH_BYTES);
	put_hex(b, "output_commitment", r->has_output, r->output_commitment.b, HASH_BYTES);
	put_hex(b, "subject_key", r->has_subject_key, r->subject_key, RECORD_KEY_ID_BYTES);
	put_text(b, "model", r->model);
	put_text(b, "model_digest", r->model_digest);
	put_hex(b, "config_digest", r->has_config_digest, r->config_digest,
		sizeof(r->config_digest));
	if (r->outcome != OUTCOME_NONE)
		put_text(b, "outcome", outcome_text(r->outcome));
	put_number(b, "status_code", r->status_code);
	put_hex(b, "reporter", r->has_reporter, r->reporter, AUDIT_REPORTER_BYTES);
	put_extras(b, r);
	put_hex(b, "blind", true, r->blind, RECORD_BLIND_BYTES);
	return buf_append_byte(b, '}');
}
