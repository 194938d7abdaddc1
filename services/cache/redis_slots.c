/*
 * cache/redis_slots.c - see redis_slots.h.
 */
#include "cache/redis_slots.h"

#include <stdlib.h>
#include <string.h>

#define PORT_MAX 65535

static uint16_t
crc16(const char *bytes, size_t len)
{
	uint16_t crc = 0;

	for (size_t i = 0; i < len; i++) {
		crc = (uint16_t)(crc ^ (uint16_t)((uint8_t)bytes[i] << 8));
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)((crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1);
	}
	return crc;
}

uint16_t
redis_slot(const char *key, size_t len)
{
	const char *open = memchr(key, '{', len), *close = NULL;

	if (open != NULL)
		close = memchr(open + 1, '}', len - (size_t)(open + 1 - key));
	if (close != NULL && close > open + 1)
		return crc16(open + 1, (size_t)(close - open - 1)) % REDIS_SLOTS;
	return crc16(key, len) % REDIS_SLOTS;
}

/* Digits up to 'max'; ends at 'end'. Moves '*at' behind it. */
static bool
read_number(const char **at, char end, long max, long *ret)
{
	char *stop;

	if (**at < '0' || **at > '9')
		return false;
	*ret = strtol(*at, &stop, 10);
	if (*stop != end || *ret > max)
		return false;
	*at = stop;
	return true;
}

static bool
set_host(struct redis_place *p, const char *host, size_t len)
{
	if (len >= sizeof(p->host))
		return false;
	memcpy(p->host, host, len);
	p->host[len] = '\0';
	return true;
}

enum redis_redirection
redis_redirection_read(const redisReply *reply, uint16_t *ret_slot, struct redis_place *ret)
{
	enum redis_redirection found;
	const char *at, *colon;
	long slot, port;

	if (reply->type != REDIS_REPLY_ERROR || strlen(reply->str) != (size_t)reply->len)
		return REDIS_STAYS;
	if (strncmp(reply->str, "MOVED ", 6) == 0)
		found = REDIS_MOVED;
	else if (strncmp(reply->str, "ASK ", 4) == 0)
		found = REDIS_ASK;
	else
		return REDIS_STAYS;
	at = strchr(reply->str, ' ') + 1;
	if (!read_number(&at, ' ', REDIS_SLOTS - 1, &slot))
		return REDIS_STAYS;
	at++;
	colon = strrchr(at, ':'); /* IPv6 has some more */
	if (colon == NULL || !set_host(ret, at, (size_t)(colon - at)))
		return REDIS_STAYS;
	at = colon + 1;
	if (!read_number(&at, '\0', PORT_MAX, &port) || port == 0)
		return REDIS_STAYS;
	ret->port = (int)port;
	*ret_slot = (uint16_t)slot;
	return found;
}

static bool
is_integer(const redisReply *r, long long max)
{
	return r != NULL && r->type == REDIS_REPLY_INTEGER && r->integer >= 0 && r->integer <= max;
}

/* [host, port, …] */
static bool
read_primary(const redisReply *r, struct redis_place *ret)
{
	if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements < 2 ||
	    !is_integer(r->element[1], PORT_MAX) || r->element[1]->integer == 0)
		return false;
	ret->port = (int)r->element[1]->integer;
	ret->host[0] = '\0';
	/* "?": it does not know its own address yet. */
	if (r->element[0]->type == REDIS_REPLY_NIL ||
	    (r->element[0]->type == REDIS_REPLY_STRING && strcmp(r->element[0]->str, "?") == 0))
		return true;
	return r->element[0]->type == REDIS_REPLY_STRING &&
	       set_host(ret, r->element[0]->str, strlen(r->element[0]->str));
}

bool
redis_slots_read(const redisReply *reply,
		 void (*fn)(void *arg, uint16_t first, uint16_t last,
			    const struct redis_place *primary),
		 void *arg)
{
	struct redis_place primary;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements > REDIS_SLOTS)
		return false;
	for (size_t i = 0; i < reply->elements; i++) {
		const redisReply *r = reply->element[i];

		if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements < 3 ||
		    !is_integer(r->element[0], REDIS_SLOTS - 1) ||
		    !is_integer(r->element[1], REDIS_SLOTS - 1) ||
		    r->element[0]->integer > r->element[1]->integer ||
		    !read_primary(r->element[2], &primary))
			return false;
		fn(arg, (uint16_t)r->element[0]->integer, (uint16_t)r->element[1]->integer,
		   &primary);
	}
	return true;
}
