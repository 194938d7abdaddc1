/*
 * inference/chunk_fuzz.c - any lines as the pieces of one answer, and as the body of an error and of a list of models. What
 * comes out must keep the promises of answer.h.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "inference/answer.h"
#include "inference/chunk_pattern.h"
#include "inference/errors.h"
#include "inference/upstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t phase[GENERATE_CHOICES_MAX]; /* 0 not begun, 1 begun, 2 finished */

static void
check_frames(const struct answer_frames *frames)
{
	if (frames->count > ANSWER_FRAMES_MAX)
		abort();
	for (size_t f = 0; f < frames->count; f++) {
		for (size_t i = 0; i < frames->frame[f].delta_count; i++) {
			const struct delta *d = &frames->frame[f].deltas[i];

			if (d->index >= GENERATE_CHOICES_MAX || phase[d->index] == 2 ||
			    (d->role[0] != '\0') != (phase[d->index] == 0) ||
			    !utf8_valid(d->content, strlen(d->content)))
				abort();
			phase[d->index] = d->finish_reason[0] != '\0' ? 2 : 1;
		}
	}
}

static void
as_answer(const char *text, size_t size)
{
	struct answer_frames frames;
	struct chunk_pattern pattern = { 0 };
	struct answer answer;
	enum im_rc rc = IM_OK;
	struct arena arena;

	memset(phase, 0, sizeof(phase));
	answer_init(&answer, "0123456789abcdef0123456789abcdef");
	while (rc == IM_OK && size > 0) {
		const char *lf = memchr(text, '\n', size);
		size_t len = lf != NULL ? (size_t)(lf - text) : size;
		struct chunk chunk, fresh;

		arena_init(&arena, 1 << 20);
		rc = chunk_pattern_parse(&pattern, text, len, &arena, &chunk, NULL);
		if (rc != chunk_parse(text, len, &arena, &fresh, NULL) ||
		    (rc == IM_OK &&
		     (chunk.count != fresh.count || chunk.has_usage != fresh.has_usage)))
			abort();
		if (rc == IM_OK)
			rc = answer_take(&answer, &chunk, &arena, &frames, NULL);
		if (rc == IM_OK)
			check_frames(&frames);
		arena_done(&arena);
		text += len + (lf != NULL);
		size -= len + (lf != NULL);
	}
	chunk_pattern_done(&pattern);
	arena_init(&arena, 1 << 20);
	if (rc == IM_OK && answer_finish(&answer, &arena, &frames, NULL) == IM_OK) {
		check_frames(&frames);
		for (size_t i = 0; i < GENERATE_CHOICES_MAX; i++)
			if (phase[i] == 1)
				abort();
	}
	arena_done(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct upstream_reply reply = { .status = 400,
					.body = (const char *)data,
					.body_len = size };
	struct model_info *models;
	struct arena arena;
	struct im_err err;
	size_t count;

	as_answer((const char *)data, size);
	if (errors_from_reply(&reply, &err) == IM_OK)
		abort();
	arena_init(&arena, 1 << 20);
	if (upstream_models_parse((const char *)data, size, &arena, &models, &count, &err) ==
		IM_OK &&
	    (count == 0 || count > ANNOUNCE_MODELS_MAX))
		abort();
	arena_done(&arena);
	return 0;
}
