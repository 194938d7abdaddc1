/*
 * cache/entry_map_test.c - entries in memory on virtual time: what each operation does, exact expiry, the bound; and random operations against a
 * model that is too simple to be wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "cache/entry_map.h"
#include "cache/entry_record.h"

#define MIB   ((size_t)1 << 20)
#define VALUE 100 /* of one value, at most */
#define SEED  20261123

static struct entry_map *map;
static uint64_t now_us;
static struct entry_done done;
static struct im_err err;

static void
open_map(size_t max_bytes)
{
	const struct entry_map_params p = { max_bytes, VALUE, SEED };

	now_us = 1000000;
	assert_int_equal(entry_map_new(&p, &map, NULL), IM_OK);
}

static enum im_rc
ask(enum entry_op op, const char *key, const char *value, size_t len, uint64_t ttl_ms,
    uint64_t version)
{
	const struct entry_ask a = { .op = op,
				     .ns = "test",
				     .key = { (const uint8_t *)key, strlen(key) },
				     .value = { (const uint8_t *)value, len },
				     .ttl_ms = ttl_ms,
				     .version = version };

	assert_int_equal(entry_ask_check(&a, NULL), IM_OK);
	return entry_map_do(map, &a, now_us, &done, &err);
}

static uint64_t
put(const char *key, const char *value, uint64_t ttl_ms)
{
	assert_int_equal(ask(ENTRY_PUT, key, value, strlen(value), ttl_ms, 0), IM_OK);
	assert_true(done.done && done.changed);
	return done.entry->version;
}

static void
expect(const char *key, const char *value)
{
	assert_int_equal(ask(ENTRY_GET, key, NULL, 0, 0, 0), IM_OK);
	assert_false(done.changed);
	assert_int_equal(done.found, value != NULL);
	assert_int_equal(done.entry != NULL, value != NULL);
	if (value == NULL || done.entry == NULL)
		return;
	assert_int_equal(done.entry->len, strlen(value));
	assert_memory_equal(done.entry->value, value, strlen(value));
}

static void
test_entry_map_entry_is_there_to_the_last_microsecond(void **state)
{
	(void)state;
	open_map(MIB);
	put("k", "v", 5);
	now_us += 4999;
	expect("k", "v");
	assert_int_equal(entry_left_ms(done.entry, now_us), 1);
	now_us += 1;
	expect("k", NULL);
	assert_int_equal(entry_map_count(map), 1); /* nobody has come by yet */
	assert_int_equal(entry_map_expire(map, now_us, 10, NULL, NULL), 1);
	assert_int_equal(entry_map_count(map), 0);
	assert_int_equal(entry_map_bytes(map), 0);
	entry_map_free(map);
}

static void
test_entry_map_append_adds_and_renews_the_time(void **state)
{
	char much[VALUE];

	(void)state;
	memset(much, 'x', sizeof(much));
	open_map(MIB);
	assert_int_equal(ask(ENTRY_APPEND, "k", "a", 1, 5, 0), IM_OK);
	assert_false(done.found);
	now_us += 4000;
	assert_int_equal(ask(ENTRY_APPEND, "k", "bc", 2, 5, 0), IM_OK);
	assert_true(done.found);
	now_us += 4000;
	expect("k", "abc");
	assert_int_equal(ask(ENTRY_APPEND, "k", much, VALUE - 2, 5, 0), IM_ETOOBIG);
	expect("k", "abc");
	assert_int_equal(ask(ENTRY_APPEND, "k", much, VALUE - 3, 5, 0), IM_OK);
	now_us += 5000;
	assert_int_equal(ask(ENTRY_APPEND, "k", "d", 1, 5, 0),
			 IM_OK); /* what has expired is not added to */
	expect("k", "d");
	entry_map_free(map);
}

static void
test_entry_map_compare_and_set_takes_the_version_that_is_there_only(void **state)
{
	uint64_t first, second;

	(void)state;
	open_map(MIB);
	assert_int_equal(ask(ENTRY_COMPARE_AND_SET, "k", "a", 1, 5, 7), IM_OK);
	assert_false(done.done || done.found || done.changed);
	assert_int_equal(ask(ENTRY_COMPARE_AND_SET, "k", "a", 1, 5, 0), IM_OK);
	assert_true(done.done && !done.found);
	first = done.entry->version;
	assert_int_equal(ask(ENTRY_COMPARE_AND_SET, "k", "b", 1, 5, 0), IM_OK);
	assert_true(!done.done && done.found);
	assert_int_equal(done.entry->version, first);
	assert_int_equal(ask(ENTRY_COMPARE_AND_SET, "k", "b", 1, 5, first), IM_OK);
	assert_true(done.done);
	second = done.entry->version;
	assert_true(second > first);
	expect("k", "b");
	now_us += 5000; /* expired: there is none */
	assert_int_equal(ask(ENTRY_COMPARE_AND_SET, "k", "c", 1, 5, second), IM_OK);
	assert_false(done.done || done.found);
	entry_map_free(map);
}

/* Also where the clock stands still, or goes back. */
static void
test_entry_map_version_is_never_used_again(void **state)
{
	uint64_t first, second;

	(void)state;
	open_map(MIB);
	first = put("k", "a", 5);
	assert_int_equal(ask(ENTRY_DELETE, "k", NULL, 0, 0, first + 1), IM_OK);
	assert_true(!done.done && done.found);
	assert_int_equal(ask(ENTRY_DELETE, "k", NULL, 0, 0, first), IM_OK);
	assert_true(done.done && done.found && done.entry == NULL);
	assert_int_equal(ask(ENTRY_DELETE, "k", NULL, 0, 0, 0), IM_OK);
	assert_false(done.done || done.found || done.changed);
	now_us -= 1000;
	second = put("k", "b", 5);
	assert_true(second > first);
	entry_map_free(map);

	open_map(MIB);
	assert_int_equal(entry_map_load(map, (const uint8_t *)"test\0k", 6, second + 50, now_us + 9,
					(struct wire_bytes){ (const uint8_t *)"c", 1 }, NULL),
			 IM_OK);
	assert_true(put("other", "d", 5) > second + 50);
	expect("k", "c");
	entry_map_free(map);
}

static void
test_entry_map_that_is_full_refuses_and_evicts_nothing(void **state)
{
	char key[24];
	unsigned n = 0;

	(void)state;
	open_map(10000);
	for (enum im_rc rc = IM_OK; rc == IM_OK; n++) {
		(void)snprintf(key, sizeof(key), "k%u", n);
		rc = ask(ENTRY_PUT, key, "0123456789", 10, 1000 + n, 0);
	}
	assert_true(n > 20);
	assert_int_equal(err.rc, IM_ELIMIT);
	assert_string_equal(err.reason, "store_full");
	assert_true(entry_map_bytes(map) <= 10000);
	assert_int_equal(entry_map_count(map), n - 1);
	for (unsigned i = 0; i < n - 1; i++) {
		(void)snprintf(key, sizeof(key), "k%u", i);
		expect(key, "0123456789");
	}
	put("k0", "9876543210", 1); /* takes no more room */
	put("k1", "", 1);
	assert_int_equal(ask(ENTRY_DELETE, "k2", NULL, 0, 0, 0), IM_OK);
	put("one more", "0123", 1000);
	now_us += 1000;
	assert_int_equal(entry_map_expire(map, now_us, 100, NULL, NULL), 2);
	put("another", "0123", 1000);
	entry_map_free(map);
}

/* The model: an array, looked through from its beginning. */
#define NAMES       60
#define MODEL_BYTES 5000 /* not enough for all of them */
static struct model {
	bool there;
	char value[VALUE];
	size_t len;
	uint64_t version, expires_us;
} model[NAMES];

/* One operation on the model, and what must be told of it. */
struct told {
	bool found, done, writes;
	size_t len; /* of what would be there */
};

static struct told
foretell(const struct model *m, const struct entry_ask *a)
{
	bool found = m->there && now_us < m->expires_us;
	uint64_t has = found ? m->version : 0;
	struct told t = { .found = found };

	t.writes = a->op == ENTRY_PUT || a->op == ENTRY_APPEND ||
		   (a->op == ENTRY_COMPARE_AND_SET && a->version == has);
	t.len = a->value.len + (a->op == ENTRY_APPEND && found ? m->len : 0);
	t.done =
	    t.writes || (a->op == ENTRY_DELETE && found && (a->version == 0 || a->version == has));
	return t;
}

static void
follow(struct model *m, const struct entry_ask *a, const struct told *t)
{
	if (t->writes) {
		if (a->value.len > 0)
			memcpy(m->value + (t->len - a->value.len), a->value.data, a->value.len);
		m->len = t->len;
		m->there = true;
		m->expires_us = now_us + a->ttl_ms * 1000;
		assert_true(done.entry->version > m->version);
		m->version = done.entry->version;
	} else if (a->op == ENTRY_DELETE && t->done) {
		m->there = false;
	}
}

static void
compare(const struct model *m, const struct told *t)
{
	bool there = m->there && now_us < m->expires_us;

	assert_int_equal(done.found, t->found);
	assert_int_equal(done.done, t->done);
	assert_int_equal(done.changed, t->done);
	assert_int_equal(done.entry != NULL, there);
	if (!there || done.entry == NULL)
		return;
	assert_int_equal(done.entry->version, m->version);
	assert_int_equal(done.entry->expires_us, m->expires_us);
	assert_int_equal(done.entry->len, m->len);
	assert_memory_equal(done.entry->value, m->value, m->len);
}

static void
step(struct prng *p, size_t *refused)
{
	unsigned n = prng_below(p, NAMES);
	struct model *m = &model[n];
	char key[8], value[VALUE + 2];
	struct entry_ask a = { .op = (enum entry_op)prng_below(p, ENTRY_OPS),
			       .ns = "test",
			       .key = { (const uint8_t *)key, 0 } };
	struct told t;
	enum im_rc rc;

	now_us += (uint64_t)prng_below(p, 3) * 500;
	a.key.len = (size_t)snprintf(key, sizeof(key), "%u", n);
	memset(value, 'a' + (int)prng_below(p, 26), sizeof(value));
	if (a.op == ENTRY_COMPARE_AND_SET || a.op == ENTRY_DELETE)
		a.version = prng_below(p, 3) == 0 ? 0 : m->version - prng_below(p, 2);
	if (a.op != ENTRY_GET && a.op != ENTRY_DELETE) {
		a.ttl_ms = 1 + prng_below(p, 40);
		a.value =
		    (struct wire_bytes){ (const uint8_t *)value,
					 prng_below(p, prng_below(p, 4) == 0 ? VALUE + 2 : 12) };
	}
	t = foretell(m, &a);
	rc = entry_map_do(map, &a, now_us, &done, &err);
	if (t.writes && t.len > VALUE) {
		assert_int_equal(rc, IM_ETOOBIG);
	} else if (rc == IM_ELIMIT) {
		assert_true(t.writes);
		(*refused)++;
	} else {
		assert_int_equal(rc, IM_OK);
		follow(m, &a, &t);
		compare(m, &t);
	}
}

static void
on_expired(void *arg, const uint8_t *name, size_t len)
{
	unsigned n = 0;

	assert_true(len > 5);
	for (size_t i = 5; i < len; i++)
		n = n * 10 + (name[i] - (unsigned)'0');
	assert_true(n < NAMES && model[n].there && model[n].expires_us <= now_us);
	model[n].there = false;
	(*(size_t *)arg)++;
}

static void
test_entry_map_random_operations_do_what_the_model_does(void **state)
{
	struct prng p;
	size_t refused = 0, expired = 0;

	(void)state;
	print_message("seed %d\n", SEED);
	prng_seed(&p, SEED);
	memset(model, 0, sizeof(model));
	open_map(MODEL_BYTES);
	for (unsigned i = 0; i < 300000; i++) {
		step(&p, &refused);
		if (prng_below(&p, 20) == 0)
			entry_map_expire(map, now_us, prng_below(&p, 9), on_expired, &expired);
		assert_true(entry_map_bytes(map) <= MODEL_BYTES);
	}
	print_message("%zu refused, %zu expired\n", refused, expired);
	assert_true(refused > 1000 && expired > 1000);
	now_us += 1000000;
	entry_map_expire(map, now_us, SIZE_MAX, on_expired, &expired);
	assert_int_equal(entry_map_count(map), 0);
	assert_int_equal(entry_map_bytes(map), 0);
	entry_map_free(map);
}

static void
test_entry_record_is_read_as_it_was_written_and_nothing_else_is(void **state)
{
	static const char *const wrong[] = { "",
					     "e1:",
					     "e1:00000000000000000000:",
					     "e2:00000000000000000007:v",
					     "e1:0000000000000000000x:v",
					     "e1:00000000000000000007v",
					     "e1:99999999999999999999:v" };
	char head[ENTRY_RECORD_HEAD + 1];
	struct wire_bytes value;
	uint64_t version;

	(void)state;
	entry_record_head(UINT64_MAX, head);
	assert_string_equal(head, "e1:18446744073709551615:");
	entry_record_head(7, head);
	assert_string_equal(head, "e1:00000000000000000007:");
	assert_true(
	    entry_record_read((const uint8_t *)"e1:00000000000000000007:v", 25, &version, &value));
	assert_int_equal(version, 7);
	assert_int_equal(value.len, 1);
	assert_memory_equal(value.data, "v", 1);
	assert_true(entry_record_read((const uint8_t *)head, ENTRY_RECORD_HEAD, &version, &value));
	assert_int_equal(value.len, 0);
	for (size_t len = 0; len < ENTRY_RECORD_HEAD; len++)
		assert_false(entry_record_read((const uint8_t *)head, len, &version, &value));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(entry_record_read((const uint8_t *)wrong[i], strlen(wrong[i]),
					       &version, &value));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entry_map_entry_is_there_to_the_last_microsecond),
		cmocka_unit_test(test_entry_map_append_adds_and_renews_the_time),
		cmocka_unit_test(
		    test_entry_map_compare_and_set_takes_the_version_that_is_there_only),
		cmocka_unit_test(test_entry_map_version_is_never_used_again),
		cmocka_unit_test(test_entry_map_that_is_full_refuses_and_evicts_nothing),
		cmocka_unit_test(test_entry_map_random_operations_do_what_the_model_does),
		cmocka_unit_test(test_entry_record_is_read_as_it_was_written_and_nothing_else_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
