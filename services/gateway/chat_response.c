/*
 * gateway/chat_response.c - what streamed and gathered answers have in common; see chat_response.h.
 */
#include "gateway/chat_response.h"

#include <string.h>

#include "base/json.h"

#define DEPTH_MAX    64
#define PREFIX_BYTES 116 /* without the model */

void
chat_put_prefix(struct buf *out, const struct chat_identity *id, bool chunk)
{
	bool completion = id->operation == OPERATION_COMPLETION;

	(void)buf_reserve(out, PREFIX_BYTES + strlen(id->model)); /* at once, not by doubling */
	(void)buf_append_str(out, completion ? "{\"id\":\"cmpl-" : "{\"id\":\"chatcmpl-");
	(void)buf_append_str(out, id->request_id);
	(void)buf_append_str(out, "\",\"object\":\"");
	(void)buf_append_str(out, completion ? "text_completion"
				  : chunk    ? "chat.completion.chunk"
					     : "chat.completion");
	(void)buf_append_str(out, "\",\"created\":");
	(void)buf_append_uint(out, id->created);
	(void)buf_append_str(out, ",\"model\":");
	(void)json_put_cstr(out, id->model);
	(void)buf_append_byte(out, ',');
}

static void
put_count(struct buf *out, const char *before, uint64_t n)
{
	(void)buf_append_str(out, before);
	(void)buf_append_uint(out, n);
}

void
chat_put_usage(struct buf *out, const struct usage *usage)
{
	uint32_t prompt = usage->prompt_tokens;
	uint32_t hit = usage->cached_tokens < prompt ? usage->cached_tokens : prompt;

	put_count(out, "{\"prompt_tokens\":", prompt);
	put_count(out, ",\"completion_tokens\":", usage->completion_tokens);
	put_count(out, ",\"total_tokens\":", (uint64_t)prompt + usage->completion_tokens);
	put_count(out, ",\"prompt_tokens_details\":{\"cached_tokens\":", hit);
	put_count(
	    out, "},\"completion_tokens_details\":{\"reasoning_tokens\":", usage->reasoning_tokens);
	put_count(out, "},\"prompt_cache_hit_tokens\":", hit);
	put_count(out, ",\"prompt_cache_miss_tokens\":", prompt - hit);
	(void)buf_append_byte(out, '}');
}

bool
chat_put_json(struct buf *out, const char *json)
{
	size_t len = strlen(json);
	uint8_t *to;

	if (json_check(json, len, DEPTH_MAX, NULL) != IM_OK)
		return false;
	to = buf_reserve(out, len);
	if (to == NULL)
		return false;
	/* A raw line end stands between tokens only, where a blank means the same. */
	for (size_t i = 0; i < len; i++)
		to[i] = json[i] == '\n' || json[i] == '\r' ? ' ' : (uint8_t)json[i];
	out->len += len;
	return true;
}
