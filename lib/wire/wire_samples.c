/*
 * wire/wire_samples.c - see wire_samples.h.
 */
#include "wire/wire_samples.h"

#include <string.h>

#include "wire/audit_admin.h"
#include "wire/cache_admin.h"
#include "wire/entry.h"
#include "wire/model_admin.h"
#include "wire/operator.h"
#include "wire/wire_samples_cache.h"
#include "wire/wire_samples_inputs.h"
#include "wire/wire_samples_model.h"
#include "wire/wire_samples_operator.h"

/* A recoder for a decoder with an arena, and one for a decoder without. */
#define RECODE(msg, type)                                                                          \
	static enum im_rc msg##_recode(const uint8_t *buf, size_t len, struct arena *arena,        \
				       struct buf *out, struct im_err *err)                        \
	{                                                                                          \
		struct type v;                                                                     \
		enum im_rc rc = msg##_decode(buf, len, arena, &v, err);                            \
                                                                                                   \
		if (rc == IM_OK)                                                                   \
			msg##_encode(&v, out);                                                     \
		return rc;                                                                         \
	}
#define RECODE_FLAT(msg, type)                                                                     \
	static enum im_rc msg##_recode(const uint8_t *buf, size_t len, struct arena *arena,        \
				       struct buf *out, struct im_err *err)                        \
	{                                                                                          \
		struct type v;                                                                     \
		enum im_rc rc = msg##_decode(buf, len, &v, err);                                   \
                                                                                                   \
		(void)arena;                                                                       \
		if (rc == IM_OK)                                                                   \
			msg##_encode(&v, out);                                                     \
		return rc;                                                                         \
	}

RECODE(hello, hello)
RECODE(generate_request, generate_request)
RECODE(generate_frame, generate_frame)
RECODE_FLAT(generate_end, generate_end)
RECODE(generate_reply, generate_reply)
RECODE(model_list, model_list)
RECODE(announce, announce)
RECODE_FLAT(report, load)
RECODE(router_status, router_status)
RECODE_FLAT(cache_lookup, cache_lookup)
RECODE(cache_found, cache_found)
RECODE(cache_store, cache_store)
RECODE_FLAT(cache_stats, cache_stats)
RECODE(cache_tiers, cache_tiers)
RECODE(cache_get, cache_get)
RECODE(cache_got, cache_got)
RECODE(cache_purge, cache_purge)
RECODE(cache_purged, cache_purged)
RECODE(entry_answer, entry_answer)
RECODE(model_states, model_states)
RECODE(change_model, change_model)
RECODE(model_changed, model_changed)
RECODE(audit_append, audit_append)
RECODE(audit_appended, audit_appended)
RECODE(audit_status, audit_status)
RECODE(route_list, route_list)
RECODE(set_route, set_route)
RECODE(ramp_route, ramp_route)
RECODE(set_worker, set_worker)
RECODE(worker_status, worker_status)
RECODE(audit_erase, audit_erase)
RECODE(audit_erase_reply, audit_erase_reply)
RECODE(audit_prune, audit_prune)
RECODE(audit_prune_reply, audit_prune_reply)
RECODE(audit_witnesses, audit_witnesses)
RECODE(audit_rotate_reply, audit_rotate_reply)

static void
hello_sample(struct buf *out)
{
	static const uint8_t instance[16] = { 1, 2, 3 };

	hello_encode(&(struct hello){ .version = 1,
				      .min_version = 1,
				      .role = "router",
				      .name = "r1",
				      .instance = { instance, sizeof(instance) },
				      .window_bytes = 262144,
				      .max_frame_bytes = 16777216 },
		     out);
}

static void
request_sample(struct buf *out)
{
	request_frame_encode(
	    6,
	    &(struct request_frame){ .method = "Router/Generate",
				     .budget_ms = 300000,
				     .traceparent =
					 "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
				     .priority = 1,
				     .body = { (const uint8_t *)"body", 4 } },
	    out);
	buf_consume(out, FRAME_HEADER_BYTES);
}

static enum im_rc
request_recode(const uint8_t *buf, size_t len, struct arena *arena, struct buf *out,
	       struct im_err *err)
{
	struct request_frame v;
	enum im_rc rc = request_frame_decode(buf, len, arena, &v, err);

	if (rc == IM_OK) {
		request_frame_encode(6, &v, out);
		if (buf_ok(out))
			buf_consume(out, FRAME_HEADER_BYTES);
	}
	return rc;
}

static void
end_sample(struct buf *out)
{
	struct im_err e;

	(void)err_reason(&e, IM_EUNAVAILABLE, "audit_unavailable", "the audit log is full");
	e.retry_after_ms = 1000;
	end_frame_encode(6, &e, (const uint8_t *)"x", 1, out);
	buf_consume(out, FRAME_HEADER_BYTES);
}

static enum im_rc
end_recode(const uint8_t *buf, size_t len, struct arena *arena, struct buf *out, struct im_err *err)
{
	struct end_frame v;
	enum im_rc rc = end_frame_decode(buf, len, &v, err);

	(void)arena;
	if (rc == IM_OK) {
		end_frame_encode(6, v.failed ? &v.err : NULL, v.body.data, v.body.len, out);
		if (buf_ok(out))
			buf_consume(out, FRAME_HEADER_BYTES);
	}
	return rc;
}

static void
credit_sample(struct buf *out)
{
	credit_encode(65536, out);
}

static enum im_rc
credit_recode(const uint8_t *buf, size_t len, struct arena *arena, struct buf *out,
	      struct im_err *err)
{
	uint32_t bytes;
	enum im_rc rc = credit_decode(buf, len, &bytes, err);

	(void)arena;
	if (rc == IM_OK)
		credit_encode(bytes, out);
	return rc;
}

static void
goaway_sample(struct buf *out)
{
	goaway_encode("draining", out);
}

static enum im_rc
goaway_recode(const uint8_t *buf, size_t len, struct arena *arena, struct buf *out,
	      struct im_err *err)
{
	char reason[64];
	enum im_rc rc = goaway_decode(buf, len, reason, sizeof(reason), err);

	(void)arena;
	if (rc == IM_OK)
		goaway_encode(reason, out);
	return rc;
}

static void
generate_request_sample(struct buf *out)
{
	static struct message messages[2] = {
		{ .role = "system", .content = "" },
		{ .role = "user",
		  .content_json = "[{\"type\":\"text\",\"text\":\"h\\u00e9\"}]",
		  .name = "ann" },
	};
	static const char *stop[] = { "\n\n", "END" };
	struct generate_request r = { .model = "demo", .messages = messages, .message_count = 2 };

	r.temperature = (struct opt_double){ true, 0.25 };
	r.seed = (struct opt_i64){ true, -7 };
	r.max_tokens = (struct opt_u32){ true, 64 };
	r.stop = stop;
	r.stop_count = 2;
	r.stream = true;
	r.extra_json = "{\"big\":9007199254740993}";
	r.request_id = "000102030405060708090a0b0c0d0e0f";
	r.caller = "ann";
	r.tenant = "acme";
	r.has_input_sha256 = true;
	memset(r.input_sha256, 0xab, sizeof(r.input_sha256));
	r.received_us = 1700000000000000;
	r.cache_no_store = true;
	generate_request_encode(&r, out);
}

static void
generate_frame_sample(struct buf *out)
{
	static struct tool_call_delta calls[1] = { { 0, "call_1", "weather", "{\"city\":" } };
	static struct delta deltas[2] = {
		{ .index = 0, .role = "assistant", .content = "你好" },
		{ .index = 1, .tool_calls = calls, .tool_call_count = 1, .finish_reason = "stop" },
	};

	generate_frame_encode(
	    &(struct generate_frame){
		.has_head = true,
		.head = { .model = "demo", .cache = "miss", .worker = "w1", .age_ms = 12 },
		.deltas = deltas,
		.delta_count = 2,
		.system_fingerprint = "fp" },
	    out);
}

static void
generate_end_sample(struct buf *out)
{
	generate_end_encode(&(struct generate_end){ .usage = { 10, 20, 5, 1 },
						    .load = { 1, 4, 0, 0, false },
						    .has_usage = true,
						    .has_load = true },
			    out);
}

static void
generate_reply_sample(struct buf *out)
{
	static struct tool_call calls[1] = { { "call_1", "weather", "{}" } };
	static struct choice choices[1] = { { .role = "assistant",
					      .content = "hi",
					      .finish_reason = "stop",
					      .tool_calls = calls,
					      .tool_call_count = 1 } };

	generate_reply_encode(&(struct generate_reply){ .request_id = "id",
							.model = "demo",
							.cache = "miss",
							.choices = choices,
							.choice_count = 1,
							.usage = { 1, 2, 0, 0 } },
			      out);
}

static struct model_info models[1] = { { "demo", "infermesh", "ab12", 1700000000, 2048 } };

static void
model_list_sample(struct buf *out)
{
	model_list_encode(&(struct model_list){ models, 1 }, out);
}

static void
announce_sample(struct buf *out)
{
	announce_encode(
	    &(struct announce){ "w1", "local", models, 1, { 1, 4, 2, 3, true }, true, 250, true },
	    out);
}

static void
report_sample(struct buf *out)
{
	report_encode(&(struct load){ 1, 4, 2, 3, true }, out);
}

static void
cache_lookup_sample(struct buf *out)
{
	cache_lookup_encode(&(struct cache_lookup){ { 1 }, 7 }, out);
}

static void
audit_append_sample(struct buf *out)
{
	static struct audit_event events[1] = {
		{ .kind = RECORD_RESPONSE,
		  .request_id = { 1, 2 },
		  .has_request_id = true,
		  .caller = "ann",
		  .tenant = "acme",
		  .request_time_us = 1,
		  .response_time_us = 2,
		  .has_output = true,
		  .model = "demo",
		  .outcome = OUTCOME_OK,
		  .status_code = 200,
		  .has_routing = true,
		  .routing = { .worker = "w1",
			       .seen = { { .worker = "w1", .in_flight = 3 } },
			       .seen_count = 1,
			       .attempts = 1 },
		  .has_usage = true,
		  .usage = { 1, 2, 0, 0 },
		  .has_gap = true,
		  .gap = { 1, 2, 3, "disk full" } }
	};

	audit_append_encode(&(struct audit_append){ events, 1 }, out);
}

/* What the router adds since routes, breakers and fallbacks: the samples above stay as they were, without. */
static void
audit_append_routed_sample(struct buf *out)
{
	static struct audit_event events[1] = {
		{ .kind = RECORD_RESPONSE,
		  .has_routing = true,
		  .routing = { .worker = "w1",
			       .policy = "least_connections",
			       .seen = { { "w1", 3, SEEN_READY, SEEN_BREAKER_HALF_OPEN, 90 } },
			       .seen_count = 1,
			       .attempts = 2,
			       .route = "chat",
			       .arm = "v1",
			       .fallback = "model:small",
			       .rule = "policies[1]",
			       .leader = { 7 },
			       .has_leader = true,
			       .failed = { { "w2", "upstream_error" } },
			       .failed_count = 1 } }
	};

	audit_append_encode(&(struct audit_append){ events, 1 }, out);
}

/* Which life of a router tells it. */
static void
audit_append_reporter_sample(struct buf *out)
{
	static struct audit_event events[1] = { { .kind = RECORD_CONFIG,
						  .has_config_digest = true,
						  .reporter = { 1, 2, 3, 4, 5, 6, 7, 8 },
						  .has_reporter = true } };

	audit_append_encode(&(struct audit_append){ events, 1 }, out);
}

static void
generate_frame_fallback_sample(struct buf *out)
{
	generate_frame_encode(
	    &(struct generate_frame){ .has_head = true, .head = { .fallback = "static" } }, out);
}

static void
audit_appended_sample(struct buf *out)
{
	static uint64_t index[3] = { 0, 300, UINT64_MAX };

	audit_appended_encode(&(struct audit_appended){ index, 3, "note" }, out);
}

static void
audit_status_sample(struct buf *out)
{
	audit_status_encode(&(struct audit_status){ "o", "writable", "v", "/d", 9, 8, 1, 7, 3, 2 },
			    out);
}

static void
audit_erase_sample(struct buf *out)
{
	audit_erase_encode(&(struct audit_erase){ "acme", "ann" }, out);
}

static void
audit_erase_reply_sample(struct buf *out)
{
	audit_erase_reply_encode(&(struct audit_erase_reply){ 300, true, { 1, 2, 3 } }, out);
}

static void
audit_prune_sample(struct buf *out)
{
	audit_prune_encode(&(struct audit_prune){ 300, true }, out);
}

static void
audit_prune_reply_sample(struct buf *out)
{
	audit_prune_reply_encode(&(struct audit_prune_reply){ 256, 512, 1300 }, out);
}

static void
audit_witnesses_sample(struct buf *out)
{
	audit_witnesses_encode(
	    &(struct audit_witnesses){
		"o",
		9,
		8,
		2,
		{ { "w1", "http://w1", "fine", "", 8, 0, 5, 0 },
		  { "w2", "http://w2", "silent", "no answer", 3, 7000, 1, 4 } },
		2 },
	    out);
}

static void
audit_rotate_reply_sample(struct buf *out)
{
	audit_rotate_reply_encode(&(struct audit_rotate_reply){ 1300, "a/2027h1-1", "key" }, out);
}

static const struct im_rates limits = { { 60, 0, 12000 }, { 1000, 250, 45000 } };

static void
end_limits_sample(struct buf *out)
{
	struct im_err e;

	(void)err_reason(&e, IM_ELIMIT, "requests", "too many");
	e.retry_after_ms = 200;
	e.rates = limits;
	end_frame_encode(6, &e, NULL, 0, out);
	buf_consume(out, FRAME_HEADER_BYTES);
}

static void
generate_frame_limits_sample(struct buf *out)
{
	generate_frame_encode(
	    &(struct generate_frame){ .has_head = true, .head = { .limits = limits } }, out);
}

static void
generate_reply_limits_sample(struct buf *out)
{
	generate_reply_encode(&(struct generate_reply){ .limits = { .tokens = limits.tokens } },
			      out);
}

#define SAMPLE(msg)                                                                                \
	{                                                                                          \
#		msg, msg##_sample, msg##_recode                                                   \
	}

#define SAMPLE_MORE(msg, more)                                                                     \
	{                                                                                          \
#		msg "_" #                more, msg##_##more##_sample, msg##_recode                \
	}

const struct wire_sample wire_samples[] = {
	SAMPLE(hello),
	SAMPLE(request),
	SAMPLE(end),
	SAMPLE(credit),
	SAMPLE(goaway),
	SAMPLE(generate_request),
	SAMPLE(generate_frame),
	SAMPLE(generate_end),
	SAMPLE(generate_reply),
	SAMPLE(model_list),
	SAMPLE(announce),
	SAMPLE(report),
	SAMPLE(router_status),
	SAMPLE(cache_lookup),
	SAMPLE(cache_found),
	SAMPLE(cache_store),
	SAMPLE(cache_stats),
	SAMPLE(audit_append),
	SAMPLE(audit_appended),
	SAMPLE(audit_status),
	SAMPLE_MORE(audit_append, routed),
	SAMPLE_MORE(audit_append, reporter),
	SAMPLE_MORE(generate_frame, fallback),
	SAMPLE_MORE(end, limits),
	SAMPLE_MORE(generate_frame, limits),
	SAMPLE_MORE(generate_reply, limits),
	SAMPLE_MORE(generate_request, inputs),
	SAMPLE_MORE(generate_frame, vectors),
	SAMPLE_MORE(generate_reply, vectors),
	SAMPLE_MORE(router_status, policies),
	SAMPLE_MORE(router_status, reporter),
	SAMPLE_MORE(router_status, limits),
	SAMPLE(route_list),
	SAMPLE_MORE(route_list, kept),
	SAMPLE(set_route),
	SAMPLE(ramp_route),
	SAMPLE(set_worker),
	SAMPLE(worker_status),
	SAMPLE(audit_erase),
	SAMPLE(audit_erase_reply),
	SAMPLE(audit_prune),
	SAMPLE(audit_prune_reply),
	SAMPLE(audit_witnesses),
	SAMPLE(audit_rotate_reply),
	SAMPLE(cache_tiers),
	SAMPLE(cache_get),
	SAMPLE(cache_got),
	SAMPLE(cache_purge),
	SAMPLE(cache_purged),
	SAMPLE(entry_ask),
	SAMPLE(entry_answer),
	SAMPLE(model_states),
	SAMPLE(change_model),
	SAMPLE(model_changed),
};

const size_t wire_samples_len = sizeof(wire_samples) / sizeof(wire_samples[0]);
