/*
 * gateway/chat_inputs.c - the prompt of a completion and the input of an embedding; see chat_reader.h. Both come as a text,
 * an array of texts, an array of tokens, or an array of such arrays. Says of each mistake where it is ("input[2]").
 */
#include <stdio.h>

#include "gateway/chat_reader.h"

#define FORMS "a string, an array of strings, an array of tokens or an array of arrays of tokens"
#define TOKEN "a token: a whole number from 0 to 2147483647"

struct place {
	char text[48];
};

/* "input[2]" */
static struct place
element(const char *member, size_t i)
{
	struct place p;

	(void)snprintf(p.text, sizeof(p.text), "%.20s[%zu]", member, i);
	return p;
}

static size_t
count_elements(struct json_span v, struct json_span *ret_first)
{
	struct json_span name, value;
	struct json_iter it;
	size_t n = 0;

	(void)json_iter_init(&it, v);
	while (json_iter_next(&it, &name, &value))
		if (n++ == 0)
			*ret_first = value;
	return n;
}

static enum im_rc
take_text(struct chat_reader *r, const char *member, struct json_span v, bool said,
	  struct input *ret)
{
	enum im_rc rc = chat_string(r, member, v, &ret->text);

	if (rc == IM_OK && said && ret->text[0] == '\0')
		rc = chat_wrong_value(r, member, "a string that is not empty");
	return rc;
}

/* 'v' is an array of 'count' elements. '*tokens_left' bounds those of all inputs. */
static enum im_rc
take_tokens(struct chat_reader *r, const char *member, struct json_span v, size_t count,
	    size_t *tokens_left, struct input *ret)
{
	struct json_span name, value;
	struct json_iter it;
	size_t n = 0;

	if (count == 0)
		return chat_wrong_value(r, member, "at least one token");
	if (count > *tokens_left)
		return chat_wrong_value(r, member, "at most 1000000 tokens in all");
	*tokens_left -= count;
	ret->tokens = arena_calloc(r->arena, count, sizeof(*ret->tokens));
	if (ret->tokens == NULL)
		return chat_no_memory(r);
	(void)json_iter_init(&it, v);
	while (json_iter_next(&it, &name, &value)) {
		int64_t token;

		if (json_type(value) != JSON_NUMBER)
			return chat_wrong_type(r, element(member, n).text, "a token",
					       json_type(value));
		if (!json_i64(value, &token) || token < 0 || token > INT32_MAX)
			return chat_wrong_value(r, element(member, n).text, TOKEN);
		ret->tokens[n++] = (uint32_t)token;
	}
	ret->text = "";
	ret->token_count = n;
	return IM_OK;
}

static enum im_rc
take_element(struct chat_reader *r, const char *member, struct json_span v, bool said,
	     size_t *tokens_left, struct input *ret)
{
	struct json_span first;

	if (json_type(v) == JSON_STRING)
		return take_text(r, member, v, said, ret);
	if (json_type(v) == JSON_ARRAY)
		return take_tokens(r, member, v, count_elements(v, &first), tokens_left, ret);
	return chat_wrong_type(r, member, "a string or an array of tokens", json_type(v));
}

enum im_rc
chat_inputs_parse(struct chat_reader *r, const char *member, struct json_span v, bool said,
		  struct generate_request *ret)
{
	struct json_span first = { NULL, 0 }, name, value;
	size_t count = 1, tokens_left = GENERATE_TOKENS_MAX, i = 0;
	struct json_iter it;
	enum im_rc rc = IM_OK;
	bool list;

	if (json_type(v) != JSON_STRING && json_type(v) != JSON_ARRAY)
		return chat_wrong_type(r, member, FORMS, json_type(v));
	list = json_type(v) == JSON_ARRAY;
	if (list)
		count = count_elements(v, &first);
	if (count == 0)
		return chat_wrong_value(r, member, FORMS ", which is not empty");
	if (list && json_type(first) == JSON_NUMBER) /* one list of tokens */
		list = false;
	if (!list)
		count = 1;
	if (count > GENERATE_INPUTS_MAX)
		return chat_wrong_value(r, member, "at most 2048 texts or lists of tokens");
	ret->inputs = arena_calloc(r->arena, count, sizeof(*ret->inputs));
	if (ret->inputs == NULL)
		return chat_no_memory(r);
	ret->input_count = count;
	if (!list)
		return take_element(r, member, v, said, &tokens_left, &ret->inputs[0]);
	(void)json_iter_init(&it, v);
	for (; rc == IM_OK && json_iter_next(&it, &name, &value); i++)
		rc = take_element(r, element(member, i).text, value, said, &tokens_left,
				  &ret->inputs[i]);
	return rc;
}
