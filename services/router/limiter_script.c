/*
 * router/limiter_script.c - see limiter_script.h.
 */
#include "router/limiter_script.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* For each kind: the full bucket, its growth a millisecond, what comes back (below 0: is owed), and what is wanted. As
 * limit_bucket.c counts, in whole numbers below 2^53. The time never goes back for a bucket, it stands. */
const char limiter_script[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local h = redis.call('HMGET', KEYS[1], 'at', 'level1', 'level2')\n"
    "local passed = math.max(0, now - (tonumber(h[1]) or now))\n"
    "local out, keep = {}, 60000\n"
    "for i = 1, 2 do\n"
    "  local full, rate = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])\n"
    "  local back, want = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])\n"
    "  local level = math.min(full, (tonumber(h[i + 1]) or full) + passed * rate)\n"
    "  level = math.min(full, level + back)\n"
    "  local granted = math.max(0, math.min(want, level))\n"
    "  level = level - granted\n"
    "  if rate > 0 then keep = math.max(keep, 60000 + math.ceil((full - level) / rate)) end\n"
    "  out[2 * i - 1], out[2 * i] = granted, level\n"
    "end\n"
    "redis.call('HSET', KEYS[1], 'at', string.format('%.0f', now),\n"
    "  'level1', string.format('%.0f', out[2]), 'level2', string.format('%.0f', out[4]))\n"
    "redis.call('PEXPIRE', KEYS[1], string.format('%.0f', keep))\n"
    "return out\n";

static void
put(struct limiter_command *c, size_t i, const char *text)
{
	c->argv[i] = text;
	c->len[i] = strlen(text);
}

static void
put_number(struct limiter_command *c, size_t i, int64_t n)
{
	(void)snprintf(c->numbers[i], sizeof(c->numbers[i]), "%" PRId64, n);
	put(c, 4 + i, c->numbers[i]);
}

void
limiter_command_make(const struct limit_entry *e, const char *sha, struct limiter_command *ret)
{
	put(ret, 0, sha != NULL ? "EVALSHA" : "EVAL");
	put(ret, 1, sha != NULL ? sha : limiter_script);
	put(ret, 2, "1");
	(void)snprintf(ret->key, sizeof(ret->key), "infermesh:limit:%s%s%s",
		       limit_scope_text(e->scope), e->name[0] != '\0' ? ":" : "", e->name);
	put(ret, 3, ret->key);
	for (size_t kind = 0; kind < LIMIT_KINDS; kind++) {
		const struct limit_rate *rate = &e->rule->rate[kind];
		bool limited = rate->per_minute != 0;

		put_number(ret, 4 * kind, limited ? (int64_t)rate->burst * LIMIT_GRAINS : 0);
		put_number(ret, 4 * kind + 1, rate->per_minute);
		put_number(ret, 4 * kind + 2, limited ? e->question[kind].back : 0);
		put_number(ret, 4 * kind + 3, limited ? e->question[kind].want : 0);
	}
}

bool
limiter_reply_read(const redisReply *reply, int64_t granted[LIMIT_KINDS],
		   int64_t level[LIMIT_KINDS])
{
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != (size_t)2 * LIMIT_KINDS) {
		return false;
	}
	for (size_t i = 0; i < reply->elements; i++) {
		if (reply->element[i]->type != REDIS_REPLY_INTEGER) {
			return false;
		}
		*(i % 2 == 0 ? &granted[i / 2] : &level[i / 2]) = reply->element[i]->integer;
	}
	return granted[0] >= 0 && granted[1] >= 0;
}
