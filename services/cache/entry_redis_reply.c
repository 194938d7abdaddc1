/*
 * cache/entry_redis_reply.c - see entry_redis_reply.h.
 */
#include "cache/entry_redis_reply.h"

#include <string.h>

#include "cache/entry_record.h"

#define ELEMENTS 5 /* found, done, left in ms, its head, its value */

/* As entry_map.c does it; what is kept is entry_record.h. Versions are below 2^53. One command changes the most that can be refused for want of memory, the first. */
const char entry_redis_script[] =
    "local key, op, none = KEYS[1], ARGV[1], 'e1:00000000000000000000:'\n"
    "local len, head = redis.call('STRLEN', key), redis.call('GETRANGE', key, 0, 23)\n"
    "local found, has, left = 0, '00000000000000000000', 0\n"
    "if len > 0 then\n"
    "  if not string.match(head, '^e1:' .. string.rep('%d', 20) .. ':$') then\n"
    "    return redis.error_reply('FOREIGN what is kept there is no entry')\n"
    "  end\n"
    "  found, has, left = 1, string.sub(head, 4, 23), redis.call('PTTL', key)\n"
    "else head = none end\n"
    "if op == '1' then\n"
    "  if found == 0 then return {0, 0, 0, none, ''} end\n"
    "  return {1, 0, left, head, redis.call('GETRANGE', key, 24, -1)}\n"
    "end\n"
    "if op == '4' then\n"
    "  if found == 0 or (tonumber(ARGV[4]) ~= 0 and ARGV[4] ~= has) then\n"
    "    return {found, 0, left, head, ''}\n"
    "  end\n"
    "  redis.call('DEL', key)\n"
    "  return {1, 1, 0, none, ''}\n"
    "end\n"
    "if op == '3' and ARGV[4] ~= has then return {found, 0, left, head, ''} end\n"
    "local keep = 0\n"
    "if op == '2' and found == 1 then keep = len - 24 end\n"
    "if keep + string.len(ARGV[2]) > tonumber(ARGV[5]) then\n"
    "  return redis.error_reply('" ENTRY_REDIS_TOO_BIG " ' .. (keep + string.len(ARGV[2])))\n"
    "end\n"
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000000 + t[2]\n"
    "head = 'e1:' .. string.format('%020.0f', math.max(now, tonumber(has) + 1)) .. ':'\n"
    "if keep > 0 then\n"
    "  redis.call('APPEND', key, ARGV[2])\n"
    "  redis.call('SETRANGE', key, 0, head)\n"
    "  redis.call('PEXPIRE', key, ARGV[3])\n"
    "else\n"
    "  redis.call('SET', key, head .. ARGV[2], 'PX', ARGV[3])\n"
    "end\n"
    "return {found, 1, tonumber(ARGV[3]), head, ''}\n";

static enum im_rc
refused(const char *text, struct im_err *err)
{
	if (strncmp(text, ENTRY_REDIS_TOO_BIG, strlen(ENTRY_REDIS_TOO_BIG)) == 0)
		return err_set(err, IM_ETOOBIG, "value:%.30s bytes are more than is allowed",
			       text + strlen(ENTRY_REDIS_TOO_BIG));
	if (strstr(text, "OOM command not allowed") != NULL)
		return err_reason(err, IM_ELIMIT, "store_full",
				  "the Redis of the entries is full (its maxmemory)");
	return err_set(err, IM_EUNAVAILABLE, "Redis: %.200s", text);
}

static bool
is_flag(const redisReply *r)
{
	return r->type == REDIS_REPLY_INTEGER && (r->integer == 0 || r->integer == 1);
}

enum im_rc
entry_redis_read(enum entry_op op, const redisReply *reply, struct entry_answer *ret,
		 struct im_err *err)
{
	static const char none[] = "e1:00000000000000000000:";
	struct entry_answer a = { 0 };
	const redisReply *left, *head, *value;
	struct wire_bytes empty;
	bool is_there;

	if (reply->type == REDIS_REPLY_ERROR)
		return refused(reply->str, err);
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != ELEMENTS ||
	    !is_flag(reply->element[0]) || !is_flag(reply->element[1]))
		return err_set(err, IM_EUNAVAILABLE, "Redis: the answer is none to the script");
	left = reply->element[2];
	head = reply->element[3];
	value = reply->element[4];
	if (left->type != REDIS_REPLY_INTEGER || head->type != REDIS_REPLY_STRING ||
	    head->len != ENTRY_RECORD_HEAD || value->type != REDIS_REPLY_STRING)
		return err_set(err, IM_EUNAVAILABLE, "Redis: the answer is none to the script");
	is_there = memcmp(head->str, none, ENTRY_RECORD_HEAD) != 0;
	if (is_there && (!entry_record_read((const uint8_t *)head->str, ENTRY_RECORD_HEAD,
					    &a.version, &empty) ||
			 left->integer < 0 || (uint64_t)left->integer > ENTRY_TTL_MAX_MS))
		return err_set(err, IM_EUNAVAILABLE, "Redis: what is kept there is no entry");
	a.found = reply->element[0]->integer == 1;
	a.done = reply->element[1]->integer == 1;
	if (is_there) /* in its last millisecond: 0 */
		a.left_ms = left->integer > 0 ? (uint64_t)left->integer : 1;
	if (op == ENTRY_GET)
		a.value = (struct wire_bytes){ (const uint8_t *)value->str, (size_t)value->len };
	*ret = a;
	return IM_OK;
}
