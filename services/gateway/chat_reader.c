/*
 * gateway/chat_reader.c - checked values and errors of a chat request; see chat_reader.h.
 */
#include "gateway/chat_reader.h"

#include <stdio.h>
#include <string.h>

#define NAME_SHOWN "%.60s" /* of a name that a stranger chose */

enum im_rc
chat_no_memory(struct chat_reader *r)
{
	return err_set(r->err, IM_ENOMEM, "no memory for the request; try again later");
}

struct place {
	char text[40];
};

/* "messages[2]." in front of a member's name, or "". */
static struct place
place_of(const struct chat_reader *r)
{
	struct place p = { "" };

	if (r->in_message)
		(void)snprintf(p.text, sizeof(p.text), "messages[%zu].", r->message);
	return p;
}

static void
set_param(struct chat_reader *r, const char *member)
{
	if (r->err != NULL)
		(void)snprintf(r->err->param, sizeof(r->err->param), "%.30s" NAME_SHOWN,
			       place_of(r).text, member);
}

enum im_rc
chat_missing(struct chat_reader *r, const char *member)
{
	(void)err_reason(r->err, IM_EINVAL, "missing_required_parameter",
			 "Missing required parameter: '%s" NAME_SHOWN "'.", place_of(r).text,
			 member);
	set_param(r, member);
	return IM_EINVAL;
}

enum im_rc
chat_wrong_type(struct chat_reader *r, const char *member, const char *expected, enum json_type got)
{
	(void)err_reason(r->err, IM_EINVAL, "invalid_type",
			 "Invalid type for '%s" NAME_SHOWN "': expected %s, but got %s instead.",
			 place_of(r).text, member, expected, json_type_text(got));
	set_param(r, member);
	return IM_EINVAL;
}

enum im_rc
chat_wrong_value(struct chat_reader *r, const char *member, const char *expected)
{
	(void)err_reason(r->err, IM_EINVAL, "invalid_value",
			 "Invalid value for '%s" NAME_SHOWN "': expected %s.", place_of(r).text,
			 member, expected);
	set_param(r, member);
	return IM_EINVAL;
}

enum im_rc
chat_twice(struct chat_reader *r, const char *member)
{
	(void)err_reason(r->err, IM_EINVAL, "invalid_value",
			 "The member '%s" NAME_SHOWN
			 "' is given twice; which one counts would be a guess.",
			 place_of(r).text, member);
	set_param(r, member);
	return IM_EINVAL;
}

enum im_rc
chat_string(struct chat_reader *r, const char *member, struct json_span v, const char **ret)
{
	const char *text;

	if (json_type(v) != JSON_STRING)
		return chat_wrong_type(r, member, "a string", json_type(v));
	text = json_string(v, r->arena);
	if (text == NULL)
		return chat_no_memory(r);
	*ret = text;
	return IM_OK;
}

enum im_rc
chat_verbatim(struct chat_reader *r, const char *member, struct json_span v, enum json_type type,
	      const char **ret)
{
	const char *text;

	if (json_type(v) != type)
		return chat_wrong_type(r, member, json_type_text(type), json_type(v));
	text = json_verbatim(v, r->arena);
	if (text == NULL)
		return chat_no_memory(r);
	*ret = text;
	return IM_OK;
}

enum im_rc
chat_extra_add(struct chat_reader *r, struct chat_extra *extra, const char *name,
	       struct json_span raw, struct json_span value)
{
	for (size_t i = 0; i < extra->count; i++)
		if (strcmp(extra->names[i], name) == 0)
			return chat_twice(r, name);
	if (extra->count == CHAT_EXTRA_MAX) {
		(void)err_reason(r->err, IM_EINVAL, "invalid_value",
				 "More than %d members that are not known here, from '%s" NAME_SHOWN
				 "' on.",
				 CHAT_EXTRA_MAX, place_of(r).text, name);
		set_param(r, name);
		return IM_EINVAL;
	}
	(void)buf_append_str(&extra->text, extra->count == 0 ? "{\"" : ",\"");
	(void)buf_append(&extra->text, raw.at, raw.len);
	(void)buf_append_str(&extra->text, "\":");
	(void)buf_append(&extra->text, value.at, value.len);
	extra->names[extra->count++] = name;
	return IM_OK;
}

enum im_rc
chat_extra_end(struct chat_reader *r, struct chat_extra *extra, const char **ret)
{
	const char *text = "";

	if (extra->count > 0) {
		(void)buf_append_byte(&extra->text, '}');
		text =
		    buf_ok(&extra->text)
			? arena_strndup(r->arena, (const char *)extra->text.data, extra->text.len)
			: NULL;
	}
	buf_done(&extra->text);
	if (text == NULL)
		return chat_no_memory(r);
	*ret = text;
	return IM_OK;
}
