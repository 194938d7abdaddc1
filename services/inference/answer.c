/*
 * inference/answer.c - see answer.h.
 */
#include "inference/answer.h"

#include <stdio.h>
#include <string.h>

#include "base/copy.h"

#define ID_BYTES 64

void
answer_init(struct answer *a, const char *id_seed)
{
	memset(a, 0, sizeof(*a));
	copy_text(a->id_seed, sizeof(a->id_seed), id_seed != NULL ? id_seed : "");
}

static enum im_rc
broken(struct im_err *err, const char *what)
{
	return err_reason(err, IM_EUPSTREAM, "upstream_error",
			  "the upstream's answer is broken: %s", what);
}

static enum im_rc
no_memory(struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "no memory for a piece of the upstream's answer");
}

static bool
says_something(const struct delta *d)
{
	return d->content[0] != '\0' || d->reasoning_content[0] != '\0' || d->refusal[0] != '\0' ||
	       d->tool_call_count > 0;
}

/* Number the calls that came without an index, and give an id to those that begin without one. */
static enum im_rc
number_tools(const struct answer *a, struct answer_choice *c, struct delta *d, struct arena *arena,
	     struct im_err *err)
{
	for (size_t i = 0; i < d->tool_call_count; i++) {
		struct tool_call_delta *t = &d->tool_calls[i];

		if (t->index == CHUNK_NO_INDEX) {
			bool begins = t->id[0] != '\0' || t->name[0] != '\0' || c->tools == 0;

			t->index = begins ? c->tools : c->tools - 1;
		}
		if (t->index >= ANSWER_TOOLS_MAX || t->index > c->tools)
			return broken(err, "the index of a tool call is out of order");
		if (t->index < c->tools)
			continue;
		c->tools++;
		if (t->id[0] == '\0') {
			char id[ID_BYTES];

			(void)snprintf(id, sizeof(id), "call_%.16s_%u_%u", a->id_seed, d->index,
				       t->index);
			t->id = arena_strdup(arena, id);
			if (t->id == NULL)
				return no_memory(err);
		}
	}
	return IM_OK;
}

/* vLLM ends a request that it gave up with 200 and such a reason. */
static bool
means_failure(const char *finish_reason)
{
	return strcmp(finish_reason, "abort") == 0 || strcmp(finish_reason, "error") == 0;
}

/* Take one delta. '*ret_keep': it has something to send; '*ret_finish': its finish_reason goes into a frame of its own. */
static enum im_rc
take_delta(struct answer *a, struct delta *d, struct arena *arena, bool *ret_keep,
	   const char **ret_finish, struct im_err *err)
{
	struct answer_choice *c;
	enum im_rc rc;
	bool first;

	*ret_keep = false;
	*ret_finish = NULL;
	if (d->index >= GENERATE_CHOICES_MAX)
		return broken(err, "the index of a choice is out of range");
	c = &a->choices[d->index];
	if (c->finished)
		return says_something(d) ? broken(err, "content after finish_reason") : IM_OK;
	if (means_failure(d->finish_reason))
		return broken(err, "it gave up the request (finish_reason abort)");
	rc = number_tools(a, c, d, arena, err);
	if (rc != IM_OK)
		return rc;
	first = !c->begun;
	c->begun = true;
	c->said = c->said || says_something(d);
	d->role = first ? "assistant" : "";
	if (d->finish_reason[0] != '\0') {
		c->finished = true;
		if (first) {
			*ret_finish = d->finish_reason;
			d->finish_reason = "";
		}
	}
	*ret_keep = first || says_something(d) || d->finish_reason[0] != '\0' ||
		    d->logprobs_json[0] != '\0';
	return IM_OK;
}

static struct delta
finish_delta(uint32_t index, const char *reason)
{
	return (struct delta){
		.index = index,
		.role = "",
		.content = "",
		.reasoning_content = "",
		.finish_reason = reason,
		.logprobs_json = "",
		.refusal = "",
	};
}

static void
add_frame(struct answer_frames *frames, struct delta *deltas, size_t count, const char *fingerprint)
{
	if (count == 0)
		return;
	frames->frame[frames->count++] = (struct generate_frame){
		.deltas = deltas,
		.delta_count = count,
		.system_fingerprint = fingerprint,
	};
}

enum im_rc
answer_take(struct answer *a, struct chunk *chunk, struct arena *arena, struct answer_frames *ret,
	    struct im_err *err)
{
	struct delta *finishes = NULL;
	size_t kept = 0, finish_count = 0;

	ret->count = 0;
	if (chunk->has_usage) {
		a->has_usage = true;
		a->usage = chunk->usage;
	}
	for (size_t i = 0; i < chunk->count; i++) {
		struct delta *d = &chunk->deltas[i];
		const char *finish;
		bool keep;
		enum im_rc rc = take_delta(a, d, arena, &keep, &finish, err);

		if (rc != IM_OK)
			return rc;
		if (finish != NULL) {
			if (finishes == NULL)
				finishes = arena_calloc(arena, chunk->count, sizeof(*finishes));
			if (finishes == NULL)
				return no_memory(err);
			finishes[finish_count++] = finish_delta(d->index, finish);
		}
		if (keep)
			chunk->deltas[kept++] = *d;
	}
	add_frame(ret, chunk->deltas, kept, chunk->system_fingerprint);
	add_frame(ret, finishes, finish_count, "");
	return IM_OK;
}

enum im_rc
answer_finish(struct answer *a, struct arena *arena, struct answer_frames *ret, struct im_err *err)
{
	struct delta *finishes;
	size_t begun = 0, open = 0;

	ret->count = 0;
	for (uint32_t i = 0; i < GENERATE_CHOICES_MAX; i++) {
		struct answer_choice *c = &a->choices[i];

		begun += c->begun;
		if (c->begun && !c->finished && !c->said)
			return broken(err, "it ended with neither content nor finish_reason");
		open += c->begun && !c->finished;
	}
	if (begun == 0)
		return broken(err, "it ended without any choice");
	if (open == 0)
		return IM_OK;
	finishes = arena_calloc(arena, open, sizeof(*finishes));
	if (finishes == NULL)
		return no_memory(err);
	open = 0;
	for (uint32_t i = 0; i < GENERATE_CHOICES_MAX; i++) {
		struct answer_choice *c = &a->choices[i];

		if (!c->begun || c->finished)
			continue;
		c->finished = true;
		finishes[open++] = finish_delta(i, c->tools > 0 ? "tool_calls" : "stop");
	}
	add_frame(ret, finishes, open, "");
	return IM_OK;
}
