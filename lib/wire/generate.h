/*
 * wire/generate.h - requests to a model and its answers as plain structs; proto/infermesh/v1/inference.proto and
 * router.proto hold the meaning of each member. Ownership and errors as wire.h says.
 */
#ifndef WIRE_GENERATE_H
#define WIRE_GENERATE_H

#include <stdbool.h>

#include "wire/wire.h"

#define METHOD_GENERATE      "Router/Generate"
#define METHOD_GENERATE_ONCE "Router/GenerateOnce"
#define METHOD_LIST_MODELS   "Router/ListModels"
#define METHOD_ANNOUNCE      "Router/Announce"
#define METHOD_REPORT        "Router/Report"
#define LOAD_CHANGED                                                                               \
	"load_changed" /* reason of an IM_EAGAIN: the worker has room, and is busier than its router knew */
#define MODEL_UNLOADED                                                                             \
	"model_unloaded" /* reason of an IM_ENOTFOUND: the worker does not serve the model (any more), and has begun nothing */
#define METHOD_STATUS          "Router/Status"
#define METHOD_WORKER_GENERATE "Inference/Generate"

#define GENERATE_STOPS_MAX    16
#define GENERATE_MODEL_MAX    256 /* bytes of a model's name */
#define GENERATE_MESSAGES_MAX 8192
#define GENERATE_CHOICES_MAX  128
#define GENERATE_SESSION_MAX  256 /* bytes of a session's name */
#define GENERATE_INPUTS_MAX   2048
#define GENERATE_TOKENS_MAX   1000000 /* of all inputs, where they come as tokens */
#define GENERATE_VECTORS_MAX  ((size_t)15 * 1024 * 1024) /* bytes of all vectors of an answer */
#define GENERATE_VECTOR_MAX   65536                      /* numbers of one vector */

struct message {
	const char *role;
	const char *content; /* NULL = not given (this one member may be NULL after decoding) */
	const char *content_json; /* "" = none */
	const char *name;
	const char *tool_call_id;
	const char *tool_calls_json;
	const char *reasoning_content;
	const char *extra_json;
};

struct opt_double {
	bool set;
	double v;
};
struct opt_u32 {
	bool set;
	uint32_t v;
};
struct opt_i64 {
	bool set;
	int64_t v;
};
struct opt_bool {
	bool set;
	bool v;
};

enum generate_op {
	OPERATION_CHAT,
	OPERATION_COMPLETION,
	OPERATION_EMBEDDING,
	OPERATION_COUNT,
};

struct input {
	const char *text; /* counts if there are no tokens */
	uint32_t *tokens;
	size_t token_count;
};

struct generate_request {
	const char *model;
	struct message *messages;
	size_t message_count;
	struct opt_double temperature, top_p, min_p, frequency_penalty, presence_penalty,
	    repeat_penalty;
	struct opt_u32 top_k, max_tokens, top_logprobs;
	struct opt_i64 seed;
	struct opt_bool logprobs;
	const char **stop;
	size_t stop_count;
	uint32_t n; /* 0 = 1 */
	bool stream;
	const char *tools_json, *tool_choice_json, *response_format_json;
	const char *user;
	const char *extra_json;

	const char *request_id; /* 32 lower-case hex digits */
	const char *caller, *tenant, *session;
	uint8_t input_sha256[32];
	bool has_input_sha256;
	uint64_t received_us;
	bool cache_no_store, cache_no_cache;
	uint32_t cache_max_age_ms;

	enum generate_op operation;
	struct input *inputs; /* of a chat none, and of the others no messages */
	size_t input_count;
	struct opt_u32 dimensions;
	bool echo;
};

/** How many choices the answer has. */
uint32_t generate_choices(const struct generate_request *req);

/** Encode. Members that are NULL, 0 or unset are left out. */
void generate_request_encode(const struct generate_request *req, struct buf *out);

/** Decode and check ranges: IM_EPROTO for bytes that are no message, IM_EINVAL with err->param for a value out of range
 *  (temperature 0..2, top_p and min_p 0..1, penalties -2..2 but repeat_penalty
 *  0..10, top_logprobs ≤ 20, n ≤ 128, stops ≤ 16, model 1..256 bytes, messages
 *  1..8192 of a chat, else inputs 1..2048 (of completions with n ≤ 128 choices in all) and no messages, at most a million tokens, dimensions 1..65536,
 *  role known, request_id empty or 32 hex digits, session ≤ 256 bytes, …_json members that are not JSON). */
IM_MUST_CHECK enum im_rc generate_request_decode(const uint8_t *buf, size_t len,
						 struct arena *arena, struct generate_request *ret,
						 struct im_err *err);

struct usage {
	uint32_t prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens;
};

struct load {
	uint32_t in_flight, capacity, queued;
	uint32_t own; /* of these, the hearer's own */
	bool has_own;
};

struct tool_call_delta {
	uint32_t index;
	const char *id, *name, *arguments;
};

struct delta {
	uint32_t index;
	const char *role, *content, *reasoning_content, *finish_reason, *logprobs_json, *refusal;
	struct tool_call_delta *tool_calls;
	size_t tool_call_count;
	struct wire_bytes embedding; /* vectors, float32, little-endian */
};

struct generate_head {
	const char *model, *cache, *worker;
	uint64_t age_ms;
	const char *fallback; /* "model:NAME", "static"; "" = none */
	struct im_rates limits;
};

struct generate_frame {
	bool has_head;
	struct generate_head head;
	struct delta *deltas;
	size_t delta_count;
	const char *system_fingerprint;
	uint32_t dimensions; /* of the vectors in it */
};

void generate_frame_encode(const struct generate_frame *frame, struct buf *out);
IM_MUST_CHECK enum im_rc generate_frame_decode(const uint8_t *buf, size_t len, struct arena *arena,
					       struct generate_frame *ret, struct im_err *err);

struct generate_end {
	struct usage usage;
	struct load load;
	bool has_usage, has_load;
};

void generate_end_encode(const struct generate_end *end, struct buf *out);
IM_MUST_CHECK enum im_rc generate_end_decode(const uint8_t *buf, size_t len,
					     struct generate_end *ret, struct im_err *err);

struct tool_call {
	const char *id, *name, *arguments;
};

struct choice {
	uint32_t index;
	const char *role, *content, *reasoning_content, *finish_reason, *refusal;
	struct tool_call *tool_calls;
	size_t tool_call_count;
	struct wire_bytes embedding;
};

struct generate_reply {
	bool failed;
	struct im_err err;
	const char *request_id, *model, *cache, *fallback;
	struct im_rates limits;
	struct choice *choices;
	size_t choice_count;
	uint32_t dimensions; /* of the vectors in it */
	struct usage usage;
};

void generate_reply_encode(const struct generate_reply *reply, struct buf *out);
IM_MUST_CHECK enum im_rc generate_reply_decode(const uint8_t *buf, size_t len, struct arena *arena,
					       struct generate_reply *ret, struct im_err *err);

#endif
