/*
 * cache/redis_slots_test.c - slots of keys, redirections and tables as a cluster says them, and as it should not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cache/redis_slots.h"

/* Vectors: CRC16 of "123456789" is 0x31c3 (the specification); the others as redis-server 7.0.15 says to CLUSTER KEYSLOT. */
static void
test_redis_slot_is_the_servers(void **state)
{
	static const struct {
		const char *key;
		uint16_t slot;
	} cases[] = { { "123456789", 0x31c3 },
		      { "foo", 12182 },
		      { "bar", 5061 },
		      { "{foo}bar", 12182 },
		      { "a{foo}b{c}", 12182 },
		      { "foo{}bar", 14292 },
		      { "", 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(redis_slot(cases[i].key, strlen(cases[i].key)),
				 cases[i].slot % REDIS_SLOTS);
}

/* The first reply in 'text', which is as it stands on the wire. */
static redisReply *
parse(const char *text)
{
	redisReader *reader = redisReaderCreate();
	void *reply = NULL;

	assert_non_null(reader);
	assert_int_equal(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
	assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
	assert_non_null(reply);
	redisReaderFree(reader);
	return reply;
}

static enum redis_redirection
redirection(const char *text, uint16_t *slot, struct redis_place *place)
{
	redisReply *reply = parse(text);
	enum redis_redirection r = redis_redirection_read(reply, slot, place);

	freeReplyObject(reply);
	return r;
}

static void
test_redis_redirection_is_read(void **state)
{
	struct redis_place p;
	uint16_t slot;

	(void)state;
	assert_int_equal(redirection("-MOVED 3999 127.0.0.1:6381\r\n", &slot, &p), REDIS_MOVED);
	assert_int_equal(slot, 3999);
	assert_string_equal(p.host, "127.0.0.1");
	assert_int_equal(p.port, 6381);
	assert_int_equal(redirection("-ASK 16383 ::1:7000\r\n", &slot, &p), REDIS_ASK);
	assert_int_equal(slot, 16383);
	assert_string_equal(p.host, "::1");
	assert_int_equal(redirection("-MOVED 0 :7001\r\n", &slot, &p), REDIS_MOVED);
	assert_string_equal(p.host, "");
}

static void
test_redis_redirection_that_is_none_stays(void **state)
{
	static const char *const wrong[] = {
		"-MOVED\r\n",
		"-MOVED \r\n",
		"-MOVED 16384 h:1\r\n",
		"-MOVED -1 h:1\r\n",
		"-MOVED 1 h\r\n",
		"-MOVED 1 h:\r\n",
		"-MOVED 1 h:0\r\n",
		"-MOVED 1 h:65536\r\n",
		"-MOVED 1 h:1x\r\n",
		"-MOVED 1  h:1 \r\n",
		"-ASK x h:1\r\n",
		"+MOVED 1 h:1\r\n",
		"-MOVED 99999999999999999999 h:1\r\n",
		"-ERR other\r\n",
		"$-1\r\n",
		":1\r\n",
	};
	struct redis_place p;
	char text[512];
	uint16_t slot;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(redirection(wrong[i], &slot, &p), REDIS_STAYS);
	(void)snprintf(text, sizeof(text), "-MOVED 1 %0300d:1\r\n", 1);
	assert_int_equal(redirection(text, &slot, &p), REDIS_STAYS);
}

struct ranges {
	unsigned count, slots;
	struct redis_place last;
};

static void
on_range(void *arg, uint16_t first, uint16_t last, const struct redis_place *primary)
{
	struct ranges *r = arg;

	assert_true(first <= last && last < REDIS_SLOTS);
	r->count++;
	r->slots += last - first + 1U;
	r->last = *primary;
}

static bool
table(const char *text, struct ranges *ret)
{
	redisReply *reply = parse(text);
	bool well;

	memset(ret, 0, sizeof(*ret));
	well = redis_slots_read(reply, on_range, ret);
	freeReplyObject(reply);
	return well;
}

static void
test_redis_table_of_slots_is_read(void **state)
{
	struct ranges r;

	(void)state;
	assert_true(table("*2\r\n"
			  "*4\r\n:0\r\n:8191\r\n*4\r\n$1\r\na\r\n:7000\r\n$2\r\nid\r\n*0\r\n"
			  "*3\r\n$1\r\nb\r\n:7001\r\n$2\r\nid\r\n"
			  "*3\r\n:8192\r\n:16383\r\n*2\r\n$1\r\nc\r\n:7002\r\n",
			  &r));
	assert_int_equal(r.count, 2);
	assert_int_equal(r.slots, REDIS_SLOTS);
	assert_string_equal(r.last.host, "c");
	assert_int_equal(r.last.port, 7002);
	assert_true(table("*1\r\n*3\r\n:0\r\n:0\r\n*2\r\n$-1\r\n:7000\r\n", &r));
	assert_string_equal(r.last.host, "");
	assert_true(table("*0\r\n", &r));
	assert_int_equal(r.count, 0);
}

static void
test_redis_table_that_is_none_is_refused(void **state)
{
	static const char *const wrong[] = {
		"$1\r\na\r\n",
		"*1\r\n:1\r\n",
		"*1\r\n*2\r\n:0\r\n:1\r\n",
		"*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\na\r\n:1\r\n",
		"*1\r\n*3\r\n:-1\r\n:1\r\n*2\r\n$1\r\na\r\n:1\r\n",
		"*1\r\n*3\r\n:2\r\n:1\r\n*2\r\n$1\r\na\r\n:1\r\n",
		"*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\na\r\n",
		"*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\na\r\n:0\r\n",
		"*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n:5\r\n:1\r\n",
		"*1\r\n*3\r\n:0\r\n:1\r\n$1\r\na\r\n",
		"*1\r\n*-1\r\n",
	};
	struct ranges r;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(table(wrong[i], &r));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_redis_slot_is_the_servers),
		cmocka_unit_test(test_redis_redirection_is_read),
		cmocka_unit_test(test_redis_redirection_that_is_none_stays),
		cmocka_unit_test(test_redis_table_of_slots_is_read),
		cmocka_unit_test(test_redis_table_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
