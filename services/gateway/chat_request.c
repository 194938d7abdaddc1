/*
 * gateway/chat_request.c - the members of a chat request; see chat_request.h.
 */
#include "gateway/chat_request.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "gateway/chat_reader.h"

struct row;
typedef enum im_rc (*row_fn)(struct chat_reader *r, const struct row *row, struct json_span v,
			     struct chat_request *out);

/* One known member of a request. */
struct row {
	const char *name;
	unsigned of; /* bits of operations that know it */
	row_fn parse;
	size_t at;     /* of the value in struct chat_request */
	double lo, hi; /* numbers */
	const char *expected;
};

/* Bits of rows that were seen. */
typedef uint64_t row_set;

static enum im_rc
parse_double(struct chat_reader *r, const struct row *row, struct json_span v,
	     struct chat_request *out)
{
	struct opt_double *to = (struct opt_double *)(void *)((char *)out + row->at);
	double d;

	if (json_type(v) != JSON_NUMBER)
		return chat_wrong_type(r, row->name, "a number", json_type(v));
	d = json_double(v);
	if (!(d >= row->lo && d <= row->hi))
		return chat_wrong_value(r, row->name, row->expected);
	*to = (struct opt_double){ true, d };
	return IM_OK;
}

static enum im_rc
parse_whole(struct chat_reader *r, const struct row *row, struct json_span v, int64_t *ret)
{
	if (json_type(v) != JSON_NUMBER)
		return chat_wrong_type(r, row->name, "a whole number", json_type(v));
	if (!json_i64(v, ret) || (double)*ret < row->lo || (double)*ret > row->hi)
		return chat_wrong_value(r, row->name, row->expected);
	return IM_OK;
}

static enum im_rc
parse_u32(struct chat_reader *r, const struct row *row, struct json_span v,
	  struct chat_request *out)
{
	struct opt_u32 *to = (struct opt_u32 *)(void *)((char *)out + row->at);
	int64_t n = 0;
	enum im_rc rc = parse_whole(r, row, v, &n);

	if (rc == IM_OK)
		*to = (struct opt_u32){ true, n < 0 ? 0 : (uint32_t)n }; /* top_k: -1 is 0 */
	return rc;
}

static enum im_rc
parse_seed(struct chat_reader *r, const struct row *row, struct json_span v,
	   struct chat_request *out)
{
	int64_t n;

	if (json_type(v) != JSON_NUMBER)
		return chat_wrong_type(r, row->name, "a whole number", json_type(v));
	if (!json_i64(v, &n))
		return chat_wrong_value(r, row->name, row->expected);
	out->generate.seed = (struct opt_i64){ true, n };
	return IM_OK;
}

/* max_completion_tokens and its older name; both together only if they agree. */
static enum im_rc
parse_max_tokens(struct chat_reader *r, const struct row *row, struct json_span v,
		 struct chat_request *out)
{
	struct opt_u32 *to = &out->generate.max_tokens;
	int64_t n = 0;
	enum im_rc rc = parse_whole(r, row, v, &n);

	if (rc != IM_OK)
		return rc;
	if (to->set && to->v != (uint32_t)n)
		return chat_wrong_value(r, row->name,
					"the same number in max_tokens and max_completion_tokens");
	*to = (struct opt_u32){ true, (uint32_t)n };
	return IM_OK;
}

static enum im_rc
parse_n(struct chat_reader *r, const struct row *row, struct json_span v, struct chat_request *out)
{
	int64_t n = 0;
	enum im_rc rc = parse_whole(r, row, v, &n);

	if (rc == IM_OK)
		out->generate.n = (uint32_t)n;
	return rc;
}

static enum im_rc
parse_logprobs(struct chat_reader *r, const struct row *row, struct json_span v,
	       struct chat_request *out)
{
	if (json_type(v) != JSON_BOOL)
		return chat_wrong_type(r, row->name, "a boolean", json_type(v));
	out->generate.logprobs = (struct opt_bool){ true, json_is_true(v) };
	return IM_OK;
}

static enum im_rc
parse_stream(struct chat_reader *r, const struct row *row, struct json_span v,
	     struct chat_request *out)
{
	if (json_type(v) != JSON_BOOL)
		return chat_wrong_type(r, row->name, "a boolean", json_type(v));
	out->generate.stream = json_is_true(v);
	return IM_OK;
}

static enum im_rc
parse_stream_options(struct chat_reader *r, const struct row *row, struct json_span v,
		     struct chat_request *out)
{
	struct json_span usage;

	if (json_type(v) != JSON_OBJECT)
		return chat_wrong_type(r, row->name, "an object", json_type(v));
	if (!json_member(v, "include_usage", &usage) || json_type(usage) == JSON_NULL)
		return IM_OK;
	if (json_type(usage) != JSON_BOOL)
		return chat_wrong_type(r, "stream_options.include_usage", "a boolean",
				       json_type(usage));
	out->include_usage = json_is_true(usage);
	return IM_OK;
}

static enum im_rc
parse_string(struct chat_reader *r, const struct row *row, struct json_span v,
	     struct chat_request *out)
{
	return chat_string(r, row->name, v, (const char **)(void *)((char *)out + row->at));
}

static enum im_rc
parse_model(struct chat_reader *r, const struct row *row, struct json_span v,
	    struct chat_request *out)
{
	enum im_rc rc = chat_string(r, row->name, v, &out->generate.model);
	size_t len;

	if (rc != IM_OK)
		return rc;
	len = strlen(out->generate.model);
	return len == 0 || len > GENERATE_MODEL_MAX ? chat_wrong_value(r, row->name, row->expected)
						    : IM_OK;
}

static enum im_rc
parse_array(struct chat_reader *r, const struct row *row, struct json_span v,
	    struct chat_request *out)
{
	return chat_verbatim(r, row->name, v, JSON_ARRAY,
			     (const char **)(void *)((char *)out + row->at));
}

static enum im_rc
parse_object(struct chat_reader *r, const struct row *row, struct json_span v,
	     struct chat_request *out)
{
	return chat_verbatim(r, row->name, v, JSON_OBJECT,
			     (const char **)(void *)((char *)out + row->at));
}

static enum im_rc
parse_tool_choice(struct chat_reader *r, const struct row *row, struct json_span v,
		  struct chat_request *out)
{
	enum json_type type = json_type(v);

	if (type != JSON_STRING && type != JSON_OBJECT)
		return chat_wrong_type(r, row->name, "a string or an object", type);
	return chat_verbatim(r, row->name, v, type, &out->generate.tool_choice_json);
}

static enum im_rc
add_stop(struct chat_reader *r, const struct row *row, const char *member, struct json_span v,
	 struct generate_request *req)
{
	enum im_rc rc;

	if (req->stop_count == GENERATE_STOPS_MAX)
		return chat_wrong_value(r, row->name, row->expected);
	rc = chat_string(r, member, v, &req->stop[req->stop_count]);
	if (rc != IM_OK)
		return rc;
	if (req->stop[req->stop_count++][0] == '\0')
		return chat_wrong_value(r, member, "a string that is not empty");
	return IM_OK;
}

static enum im_rc
parse_stop(struct chat_reader *r, const struct row *row, struct json_span v,
	   struct chat_request *out)
{
	struct generate_request *req = &out->generate;
	struct json_span name, value;
	struct json_iter it;
	enum im_rc rc = IM_OK;

	if (json_type(v) != JSON_STRING && json_type(v) != JSON_ARRAY)
		return chat_wrong_type(r, row->name, "a string or an array of strings",
				       json_type(v));
	req->stop = arena_calloc(r->arena, GENERATE_STOPS_MAX, sizeof(*req->stop));
	if (req->stop == NULL)
		return chat_no_memory(r);
	if (json_type(v) == JSON_STRING)
		return add_stop(r, row, row->name, v, req);
	(void)json_iter_init(&it, v);
	while (rc == IM_OK && json_iter_next(&it, &name, &value)) {
		char member[24];

		(void)snprintf(member, sizeof(member), "stop[%zu]", req->stop_count);
		rc = add_stop(r, row, member, value, req);
	}
	return rc;
}

static enum im_rc
parse_echo(struct chat_reader *r, const struct row *row, struct json_span v,
	   struct chat_request *out)
{
	if (json_type(v) != JSON_BOOL)
		return chat_wrong_type(r, row->name, "a boolean", json_type(v));
	out->generate.echo = json_is_true(v);
	return IM_OK;
}

/* Of a completion it is how many of the likeliest tokens to name beside those that came. */
static enum im_rc
parse_logprobs_count(struct chat_reader *r, const struct row *row, struct json_span v,
		     struct chat_request *out)
{
	int64_t n = 0;
	enum im_rc rc = parse_whole(r, row, v, &n);

	if (rc != IM_OK)
		return rc;
	out->generate.logprobs = (struct opt_bool){ true, true };
	out->generate.top_logprobs = (struct opt_u32){ true, (uint32_t)n };
	return IM_OK;
}

static enum im_rc
parse_encoding_format(struct chat_reader *r, const struct row *row, struct json_span v,
		      struct chat_request *out)
{
	if (json_type(v) != JSON_STRING)
		return chat_wrong_type(r, row->name, "a string", json_type(v));
	out->base64 = json_is(v, "\"base64\"");
	return out->base64 || json_is(v, "\"float\"")
		   ? IM_OK
		   : chat_wrong_value(r, row->name, row->expected);
}

static enum im_rc
parse_prompt(struct chat_reader *r, const struct row *row, struct json_span v,
	     struct chat_request *out)
{
	return chat_inputs_parse(r, row->name, v, false, &out->generate);
}

static enum im_rc
parse_input(struct chat_reader *r, const struct row *row, struct json_span v,
	    struct chat_request *out)
{
	return chat_inputs_parse(r, row->name, v, true, &out->generate);
}

static enum im_rc
parse_messages(struct chat_reader *r, const struct row *row, struct json_span v,
	       struct chat_request *out)
{
	(void)row;
	return chat_messages_parse(r, v, &out->generate);
}

#define AT(member) offsetof(struct chat_request, generate.member)

#define CHAT       (1U << OPERATION_CHAT)
#define COMPLETION (1U << OPERATION_COMPLETION)
#define EMBEDDING  (1U << OPERATION_EMBEDDING)
#define TEXT       (CHAT | COMPLETION) /* what makes text */
#define ALL        (TEXT | EMBEDDING)

/* clang-format off */
#define NUMBER(n, of, lo, hi) { #n, of, parse_double, AT(n), lo, hi, "a number from " #lo " to " #hi }
#define WHOLE(n, of, lo, hi) { #n, of, parse_u32, AT(n), lo, hi, "a whole number from " #lo " to " #hi }
#define TOKENS(n, of) { #n, of, parse_max_tokens, 0, 1, UINT32_MAX, "a whole number from 1 on" }
#define OTHER(n, of, fn, expected) { n, of, fn, 0, 0, 0, expected }
#define VERBATIM(n, of, fn, member) { n, of, fn, AT(member), 0, 0, NULL }
/* clang-format on */

/* A member that an operation does not know travels on as it is. */
static const struct row rows[] = {
	OTHER("model", ALL, parse_model, "the name of a model, 1 to 256 bytes"),
	OTHER("messages", CHAT, parse_messages, NULL),
	OTHER("stream", TEXT, parse_stream, NULL),
	OTHER("stream_options", TEXT, parse_stream_options, NULL),
	NUMBER(temperature, TEXT, 0, 2),
	NUMBER(top_p, TEXT, 0, 1),
	NUMBER(min_p, TEXT, 0, 1),
	NUMBER(frequency_penalty, TEXT, -2, 2),
	NUMBER(presence_penalty, TEXT, -2, 2),
	NUMBER(repeat_penalty, TEXT, 0, 10),
	WHOLE(top_k, TEXT, -1, 4294967295),
	WHOLE(top_logprobs, CHAT, 0, 20),
	TOKENS(max_tokens, CHAT),
	TOKENS(max_completion_tokens, CHAT),
	{ "n", TEXT, parse_n, 0, 1, GENERATE_CHOICES_MAX, "a whole number from 1 to 128" },
	OTHER("seed", TEXT, parse_seed, "a whole number of at most 64 bits"),
	OTHER("logprobs", CHAT, parse_logprobs, NULL),
	OTHER("stop", TEXT, parse_stop, "a string or at most 16 strings"),
	VERBATIM("tools", CHAT, parse_array, tools_json),
	OTHER("tool_choice", CHAT, parse_tool_choice, NULL),
	VERBATIM("response_format", TEXT, parse_object, response_format_json),
	VERBATIM("user", ALL, parse_string, user),
	OTHER("prompt", COMPLETION, parse_prompt, NULL),
	OTHER("echo", COMPLETION, parse_echo, NULL),
	{ "max_tokens", COMPLETION, parse_max_tokens, 0, 0, UINT32_MAX,
	  "a whole number from 0 on" },
	{ "logprobs", COMPLETION, parse_logprobs_count, 0, 0, 20, "a whole number from 0 to 20" },
	OTHER("input", EMBEDDING, parse_input, NULL),
	OTHER("encoding_format", EMBEDDING, parse_encoding_format, "'float' or 'base64'"),
	WHOLE(dimensions, EMBEDDING, 1, 65536),
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS <= 64, "row_set has a bit for each row");

static size_t
row_find(enum generate_op operation, const char *name)
{
	size_t i = 0;

	while (i < ROWS && ((rows[i].of & 1U << operation) == 0 || strcmp(rows[i].name, name) != 0))
		i++;
	return i;
}

static enum im_rc
parse_members(struct chat_reader *r, struct json_span body, struct chat_request *out,
	      struct chat_extra *extra)
{
	struct json_span raw, value;
	struct json_iter it;
	row_set seen = 0;
	enum im_rc rc = IM_OK;

	(void)json_iter_init(&it, body);
	while (rc == IM_OK && json_iter_next(&it, &raw, &value)) {
		const char *name = json_unescape(raw, r->arena);
		size_t row;

		if (name == NULL)
			return chat_no_memory(r);
		row = row_find(out->generate.operation, name);
		if (row == ROWS) {
			rc = chat_extra_add(r, extra, name, raw, value);
			continue;
		}
		if ((seen & (row_set)1 << row) != 0)
			return chat_twice(r, name);
		seen |= (row_set)1 << row;
		if (json_type(value) != JSON_NULL) /* null = not given */
			rc = rows[row].parse(r, &rows[row], value, out);
	}
	return rc;
}

static enum im_rc
check_required(struct chat_reader *r, const struct chat_request *req)
{
	if (req->generate.model == NULL)
		return chat_missing(r, "model");
	switch (req->generate.operation) {
	case OPERATION_COMPLETION:
		if (req->generate.inputs == NULL)
			return chat_missing(r, "prompt");
		break;
	case OPERATION_EMBEDDING:
		if (req->generate.inputs == NULL)
			return chat_missing(r, "input");
		break;
	default:
		if (req->generate.messages == NULL)
			return chat_missing(r, "messages");
		break;
	}
	if (generate_choices(&req->generate) > GENERATE_CHOICES_MAX)
		return chat_wrong_value(r, "prompt",
					"as many as give at most 128 choices, n for each");
	return IM_OK;
}

enum im_rc
chat_request_parse(enum generate_op operation, const uint8_t *body, size_t len, struct arena *arena,
		   struct chat_request *ret, struct im_err *err)
{
	struct chat_reader r = { .arena = arena, .err = err };
	struct json_span text = { (const char *)body, len };
	struct chat_extra extra = { .text = BUF_INIT(len + 16) };
	struct chat_request out = { .generate = { .operation = operation } };
	enum im_rc rc, end;

	rc = json_check(text.at, len, CHAT_DEPTH_MAX, err);
	if (rc != IM_OK) {
		err_prefix(err, "The body of the request cannot be read");
		if (err != NULL)
			err->reason[0] = '\0'; /* clients know no word for this */
		return rc;
	}
	while (strchr(" \t\r\n", text.at[0]) != NULL) {
		text.at++;
		text.len--;
	}
	if (json_type(text) != JSON_OBJECT)
		return err_reason(err, IM_EINVAL, "invalid_type",
				  "The body of the request must be a JSON object, but it is %s.",
				  json_type_text(json_type(text)));
	rc = parse_members(&r, text, &out, &extra);
	end = chat_extra_end(&r, &extra, &out.generate.extra_json);
	if (rc == IM_OK)
		rc = end;
	if (rc == IM_OK)
		rc = check_required(&r, &out);
	if (rc == IM_OK)
		*ret = out;
	return rc;
}
