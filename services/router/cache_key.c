/*
 * router/cache_key.c - the canonical encoding behind a key; see cache_key.h and docs/cache.md.
 */
#include "router/cache_key.h"

#include <string.h>

/* Tags of the members, ascending; never reused. Each stands in front of a length (u32) and that many bytes. */
enum tag {
	TAG_TENANT = 1,
	TAG_MODEL,
	TAG_MODEL_DIGEST,
	TAG_MESSAGES, /* their number; then the members of each */
	TAG_ROLE,
	TAG_CONTENT, /* left out where there is none */
	TAG_CONTENT_JSON,
	TAG_NAME,
	TAG_TOOL_CALL_ID,
	TAG_TOOL_CALLS_JSON,
	TAG_REASONING,
	TAG_MESSAGE_EXTRA,
	TAG_TEMPERATURE,
	TAG_TOP_P,
	TAG_MIN_P,
	TAG_FREQUENCY_PENALTY,
	TAG_PRESENCE_PENALTY,
	TAG_REPEAT_PENALTY,
	TAG_TOP_K,
	TAG_MAX_TOKENS,
	TAG_TOP_LOGPROBS,
	TAG_SEED,
	TAG_LOGPROBS,
	TAG_STOPS, /* their number; then each */
	TAG_STOP,
	TAG_N,
	TAG_TOOLS,
	TAG_TOOL_CHOICE,
	TAG_RESPONSE_FORMAT,
	TAG_EXTRA,
	/* What is not a chat has these too. */
	TAG_OPERATION,
	TAG_INPUTS, /* their number; then each */
	TAG_INPUT_TEXT,
	TAG_INPUT_TOKENS, /* in the place of a text */
	TAG_DIMENSIONS,
	TAG_ECHO,
};

/* Most members are empty or short: they are gathered, since a call of libcrypto costs more than hashing them. */
struct writer {
	struct sha256 hash;
	bool ok;
	size_t len; /* gathered */
	uint8_t bytes[1024];
};

static void
flush(struct writer *w)
{
	sha256_add(&w->hash, w->bytes, w->len);
	w->len = 0;
}

static void
put(struct writer *w, const void *data, size_t len)
{
	if (len > sizeof(w->bytes) - w->len) {
		flush(w);
	}
	if (len > sizeof(w->bytes)) {
		sha256_add(&w->hash, data, len);
	} else if (len > 0) {
		memcpy(w->bytes + w->len, data, len);
		w->len += len;
	}
}

static void
put_bytes(struct writer *w, enum tag tag, const void *data, size_t len)
{
	uint8_t head[5] = { (uint8_t)tag, (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)(len >> 16),
			    (uint8_t)(len >> 24) };

	w->ok = w->ok && len <= UINT32_MAX;
	put(w, head, sizeof(head));
	put(w, data, len);
}

static void
put_text(struct writer *w, enum tag tag, const char *text)
{
	put_bytes(w, tag, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

/* u64, little-endian */
static void
put_number(struct writer *w, enum tag tag, uint64_t v)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] = (uint8_t)(v >> (8 * i));
	}
	put_bytes(w, tag, bytes, sizeof(bytes));
}

static void
put_double(struct writer *w, enum tag tag, const struct opt_double *d)
{
	double v = d->v == 0 ? 0 : d->v; /* minus zero asks for the same as zero */
	uint64_t bits;

	if (d->set) {
		memcpy(&bits, &v, sizeof(bits));
		put_number(w, tag, bits);
	}
}

static void
put_u32(struct writer *w, enum tag tag, const struct opt_u32 *v)
{
	if (v->set) {
		put_number(w, tag, v->v);
	}
}

static void
put_message(struct writer *w, const struct message *m)
{
	put_text(w, TAG_ROLE, m->role);
	if (m->content != NULL) {
		put_text(w, TAG_CONTENT, m->content);
	}
	put_text(w, TAG_CONTENT_JSON, m->content_json);
	put_text(w, TAG_NAME, m->name);
	put_text(w, TAG_TOOL_CALL_ID, m->tool_call_id);
	put_text(w, TAG_TOOL_CALLS_JSON, m->tool_calls_json);
	put_text(w, TAG_REASONING, m->reasoning_content);
	put_text(w, TAG_MESSAGE_EXTRA, m->extra_json);
}

static void
put_sampling(struct writer *w, const struct generate_request *req)
{
	put_double(w, TAG_TEMPERATURE, &req->temperature);
	put_double(w, TAG_TOP_P, &req->top_p);
	put_double(w, TAG_MIN_P, &req->min_p);
	put_double(w, TAG_FREQUENCY_PENALTY, &req->frequency_penalty);
	put_double(w, TAG_PRESENCE_PENALTY, &req->presence_penalty);
	put_double(w, TAG_REPEAT_PENALTY, &req->repeat_penalty);
	put_u32(w, TAG_TOP_K, &req->top_k);
	put_u32(w, TAG_MAX_TOKENS, &req->max_tokens);
	put_u32(w, TAG_TOP_LOGPROBS, &req->top_logprobs);
	if (req->seed.set) {
		put_number(w, TAG_SEED, (uint64_t)req->seed.v);
	}
	if (req->logprobs.set) {
		put_number(w, TAG_LOGPROBS, req->logprobs.v);
	}
}

static void
put_tokens(struct writer *w, const struct input *in)
{
	uint8_t head[5] = { TAG_INPUT_TOKENS };
	uint64_t len = in->token_count * (uint64_t)4;

	w->ok = w->ok && len <= UINT32_MAX;
	for (size_t i = 0; i < 4; i++) {
		head[1 + i] = (uint8_t)(len >> (8 * i));
	}
	put(w, head, sizeof(head));
	for (size_t i = 0; i < in->token_count && w->ok; i++) {
		uint8_t bytes[4] = { (uint8_t)in->tokens[i], (uint8_t)(in->tokens[i] >> 8),
				     (uint8_t)(in->tokens[i] >> 16),
				     (uint8_t)(in->tokens[i] >> 24) };

		put(w, bytes, sizeof(bytes));
	}
}

static void
put_inputs(struct writer *w, const struct generate_request *req)
{
	put_number(w, TAG_OPERATION, req->operation);
	put_number(w, TAG_INPUTS, req->input_count);
	for (size_t i = 0; i < req->input_count; i++) {
		if (req->inputs[i].token_count > 0) {
			put_tokens(w, &req->inputs[i]);
		} else {
			put_text(w, TAG_INPUT_TEXT, req->inputs[i].text);
		}
	}
	put_u32(w, TAG_DIMENSIONS, &req->dimensions);
	put_number(w, TAG_ECHO, req->echo);
}

bool
cache_key_make(const struct generate_request *req, const char *tenant, const char *model_digest,
	       uint8_t ret[CACHE_KEY_BYTES])
{
	static const char version[] = "infermesh-cache-key/v1"; /* with its NUL */
	struct writer w;                                        /* its room is not cleared */

	sha256_start(&w.hash);
	w.ok = true;
	w.len = 0;
	put(&w, version, sizeof(version));
	put_text(&w, TAG_TENANT, tenant);
	put_text(&w, TAG_MODEL, req->model);
	put_text(&w, TAG_MODEL_DIGEST, model_digest);
	put_number(&w, TAG_MESSAGES, req->message_count);
	for (size_t i = 0; i < req->message_count; i++) {
		put_message(&w, &req->messages[i]);
	}
	put_sampling(&w, req);
	put_number(&w, TAG_STOPS, req->stop_count);
	for (size_t i = 0; i < req->stop_count; i++) {
		put_text(&w, TAG_STOP, req->stop[i]);
	}
	put_number(&w, TAG_N, req->n == 0 ? 1 : req->n);
	put_text(&w, TAG_TOOLS, req->tools_json);
	put_text(&w, TAG_TOOL_CHOICE, req->tool_choice_json);
	put_text(&w, TAG_RESPONSE_FORMAT, req->response_format_json);
	put_text(&w, TAG_EXTRA, req->extra_json);
	if (req->operation != OPERATION_CHAT) {
		put_inputs(&w, req);
	}
	flush(&w);
	sha256_so_far(&w.hash, ret);
	return w.ok;
}

bool
cache_wanted(const struct generate_request *req, double max_temperature)
{
	bool settled = req->operation == OPERATION_EMBEDDING || req->seed.set ||
		       req->cache_max_age_ms != 0 || max_temperature >= CACHE_ALL ||
		       (req->temperature.set && req->temperature.v <= max_temperature);

	return settled && max_temperature >= 0 && !req->cache_no_store &&
	       !(req->logprobs.set && req->logprobs.v);
}
