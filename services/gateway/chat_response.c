/*
 * gateway/chat_response.c - what streamed and gathered answers have in common; see chat_response.h.
 */
#include "gateway/chat_response.h"

#include <inttypes.h>
#include <string.h>

#include "base/json.h"

#define DEPTH_MAX 64

void
chat_put_prefix(struct buf *out, const struct chat_identity *id, const char *object)
{
	(void)buf_printf(
	    out, "{\"id\":\"chatcmpl-%s\",\"object\":\"%s\",\"created\":%" PRIu64 ",\"model\":",
	    id->request_id, object, id->created);
	(void)json_put_cstr(out, id->model);
	(void)buf_append_byte(out, ',');
}

void
chat_put_usage(struct buf *out, const struct usage *usage)
{
	uint32_t prompt = usage->prompt_tokens;
	uint32_t hit = usage->cached_tokens < prompt ? usage->cached_tokens : prompt;

	(void)buf_printf(
	    out,
	    "{\"prompt_tokens\":%" PRIu32 ",\"completion_tokens\":%" PRIu32
	    ",\"total_tokens\":%" PRIu64 ",\"prompt_tokens_details\":{\"cached_tokens\":%" PRIu32
	    "},\"completion_tokens_details\":{\"reasoning_tokens\":%" PRIu32
	    "},\"prompt_cache_hit_tokens\":%" PRIu32 ",\"prompt_cache_miss_tokens\":%" PRIu32 "}",
	    prompt, usage->completion_tokens, (uint64_t)prompt + usage->completion_tokens, hit,
	    usage->reasoning_tokens, hit, prompt - hit);
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
