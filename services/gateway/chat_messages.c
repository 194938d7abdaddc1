/*
 * gateway/chat_messages.c - the messages of a chat request; see chat_request.h. Says of each mistake where it is
 * ("messages[2].role"). Never changes a text.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/chat_reader.h"

enum member {
	ROLE,
	CONTENT,
	NAME,
	TOOL_CALL_ID,
	TOOL_CALLS,
	REASONING_CONTENT,
	MEMBERS
};

static const char *const member_names[MEMBERS] = {
	[ROLE] = "role",
	[CONTENT] = "content",
	[NAME] = "name",
	[TOOL_CALL_ID] = "tool_call_id",
	[TOOL_CALLS] = "tool_calls",
	[REASONING_CONTENT] = "reasoning_content",
};

#define ROLES "one of 'developer', 'system', 'user', 'assistant', 'tool' and 'function'"

static bool
role_known(const char *role)
{
	static const char *const roles[] = { "developer", "system",   "user",           "assistant",
					     "tool",      "function", "latest_reminder" };

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(roles[i], role) == 0)
			return true;
	return false;
}

/* One element of a content array: an object with a type; the type text has a text. The rest is the model's matter. */
static enum im_rc
check_part(struct chat_reader *r, size_t i, struct json_span part)
{
	static const char *const names[] = { "type", "text" };
	struct json_span v[2];
	char member[48];

	(void)snprintf(member, sizeof(member), "content[%zu]", i);
	if (json_type(part) != JSON_OBJECT)
		return chat_wrong_type(r, member, "an object", json_type(part));
	(void)snprintf(member, sizeof(member), "content[%zu].type", i);
	(void)json_members(part, names, 2, v);
	if (v[0].len == 0)
		return chat_missing(r, member);
	if (json_type(v[0]) != JSON_STRING)
		return chat_wrong_type(r, member, "a string", json_type(v[0]));
	if (!json_is(v[0], "\"text\""))
		return IM_OK;
	(void)snprintf(member, sizeof(member), "content[%zu].text", i);
	if (v[1].len == 0)
		return chat_missing(r, member);
	if (json_type(v[1]) != JSON_STRING)
		return chat_wrong_type(r, member, "a string", json_type(v[1]));
	return IM_OK;
}

static enum im_rc
parse_content(struct chat_reader *r, struct json_span v, struct message *m)
{
	struct json_span name, part;
	struct json_iter it;
	enum im_rc rc = IM_OK;

	switch (json_type(v)) {
	case JSON_STRING:
		return chat_string(r, "content", v, &m->content);
	case JSON_ARRAY:
		(void)json_iter_init(&it, v);
		for (size_t i = 0; rc == IM_OK && json_iter_next(&it, &name, &part); i++)
			rc = check_part(r, i, part);
		return rc == IM_OK ? chat_verbatim(r, "content", v, JSON_ARRAY, &m->content_json)
				   : rc;
	default:
		return chat_wrong_type(r, "content", "a string or an array of parts", json_type(v));
	}
}

static enum im_rc
parse_member(struct chat_reader *r, enum member member, struct json_span v, struct message *m)
{
	enum im_rc rc;

	switch (member) {
	case ROLE:
		rc = chat_string(r, "role", v, &m->role);
		if (rc == IM_OK && !role_known(m->role))
			rc = chat_wrong_value(r, "role", ROLES);
		return rc;
	case CONTENT:
		return parse_content(r, v, m);
	case NAME:
		return chat_string(r, "name", v, &m->name);
	case TOOL_CALL_ID:
		return chat_string(r, "tool_call_id", v, &m->tool_call_id);
	case TOOL_CALLS:
		return chat_verbatim(r, "tool_calls", v, JSON_ARRAY, &m->tool_calls_json);
	case REASONING_CONTENT:
		return chat_string(r, "reasoning_content", v, &m->reasoning_content);
	case MEMBERS:
		break;
	}
	return IM_OK;
}

/* What each role cannot do without. 'seen' has a bit for each member that stood there, also as null. */
static enum im_rc
check_message(struct chat_reader *r, const struct message *m, unsigned seen)
{
	bool may_be_empty;

	if (m->role == NULL)
		return (seen & 1U << ROLE) != 0 ? chat_wrong_type(r, "role", "a string", JSON_NULL)
						: chat_missing(r, "role");
	may_be_empty = strcmp(m->role, "assistant") == 0 || strcmp(m->role, "function") == 0;
	if (!may_be_empty && m->content == NULL && m->content_json == NULL) {
		if ((seen & 1U << CONTENT) == 0)
			return chat_missing(r, "content");
		return chat_wrong_type(r, "content", "a string or an array of parts", JSON_NULL);
	}
	if (strcmp(m->role, "tool") == 0 && m->tool_call_id == NULL)
		return chat_missing(r, "tool_call_id");
	return IM_OK;
}

static enum member
member_find(const char *name)
{
	unsigned i = 0;

	while (i < MEMBERS && strcmp(member_names[i], name) != 0)
		i++;
	return (enum member)i;
}

static enum im_rc
parse_members(struct chat_reader *r, struct json_span v, struct message *m,
	      struct chat_extra *extra)
{
	struct json_span raw, value;
	struct json_iter it;
	unsigned seen = 0;
	enum im_rc rc = IM_OK;

	(void)json_iter_init(&it, v);
	while (rc == IM_OK && json_iter_next(&it, &raw, &value)) {
		const char *name = json_unescape(raw, r->arena);
		enum member member;

		if (name == NULL)
			return chat_no_memory(r);
		member = member_find(name);
		if (member == MEMBERS) {
			rc = chat_extra_add(r, extra, name, raw, value);
			continue;
		}
		if ((seen & 1U << member) != 0)
			return chat_twice(r, name);
		seen |= 1U << member;
		if (json_type(value) != JSON_NULL) /* null = not given */
			rc = parse_member(r, member, value, m);
	}
	return rc == IM_OK ? check_message(r, m, seen) : rc;
}

static enum im_rc
parse_message(struct chat_reader *r, struct json_span v, struct message *m)
{
	struct chat_extra extra = { .text = BUF_INIT(v.len + 16) };
	enum im_rc rc = parse_members(r, v, m, &extra);
	enum im_rc end = chat_extra_end(r, &extra, &m->extra_json);

	return rc == IM_OK ? end : rc;
}

static size_t
count_elements(struct json_span v)
{
	struct json_span name, value;
	struct json_iter it;
	size_t n = 0;

	(void)json_iter_init(&it, v);
	while (json_iter_next(&it, &name, &value))
		n++;
	return n;
}

enum im_rc
chat_messages_parse(struct chat_reader *r, struct json_span v, struct generate_request *ret)
{
	struct json_span name, value;
	struct json_iter it;
	enum im_rc rc = IM_OK;
	size_t count;

	if (json_type(v) != JSON_ARRAY)
		return chat_wrong_type(r, "messages", "an array of objects", json_type(v));
	count = count_elements(v);
	if (count == 0 || count > GENERATE_MESSAGES_MAX)
		return chat_wrong_value(r, "messages", "an array of 1 to 8192 messages");
	ret->messages = arena_calloc(r->arena, count, sizeof(*ret->messages));
	if (ret->messages == NULL)
		return chat_no_memory(r);
	(void)json_iter_init(&it, v);
	for (size_t i = 0; rc == IM_OK && json_iter_next(&it, &name, &value); i++) {
		if (json_type(value) != JSON_OBJECT) {
			char element[32];

			(void)snprintf(element, sizeof(element), "messages[%zu]", i);
			return chat_wrong_type(r, element, "an object", json_type(value));
		}
		r->in_message = true;
		r->message = i;
		rc = parse_message(r, value, &ret->messages[i]);
		r->in_message = false;
	}
	ret->message_count = count;
	return rc;
}
