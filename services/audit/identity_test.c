/*
 * audit/identity_test.c - what is remembered of callers and inputs is what would be derived anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "audit/identity.h"
#include "audit/pseudonym.h"

/* What identity_get() gives must be what is derived, whoever came before. */
static void
assert_identity(struct identities *ids, struct hasher *h, const struct pseudonym_keys *k,
		const char *tenant, const char *caller)
{
	struct identity *got = identity_get(ids, h, k, tenant, caller);
	uint8_t name[PSEUDONYM_BYTES];
	struct hash subject;

	pseudonym_make(h, k, tenant, PSEUDONYM_CALLER, caller, name);
	assert_memory_equal(got->caller, name, sizeof(name));
	pseudonym_make(h, k, tenant, PSEUDONYM_TENANT, tenant, name);
	assert_memory_equal(got->tenant, name, sizeof(name));
	pseudonym_subject(h, k, tenant, caller, &subject);
	if (got->has_subject) /* remembered: it must be of this very pair */
		assert_memory_equal(got->subject.key.b, subject.b, HASH_BYTES);
	got->subject.key = subject;
	got->has_subject = true;
}

static void
test_identity_get_is_what_is_derived_whoever_came_before(void **state)
{
	static struct identities ids;
	struct pseudonym_keys k = { .epoch = 1 };
	char tenant[IDENTITY_NAME_MAX + 2], caller[IDENTITY_NAME_MAX + 2];
	struct hasher h;

	(void)state;
	assert_int_equal(hasher_init(&h, NULL), IM_OK);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 4 * IDENTITY_SLOTS; i++) { /* they push each other out */
			(void)snprintf(tenant, sizeof(tenant), "t%u", i % 7);
			(void)snprintf(caller, sizeof(caller), "c%u", i);
			assert_identity(&ids, &h, &k, tenant, caller);
			assert_identity(&ids, &h, &k, tenant, caller);
		}
		assert_identity(&ids, &h, &k, "", "");
		assert_identity(&ids, &h, &k, "ab", "c");
		assert_identity(&ids, &h, &k, "a", "bc");
		/* The longest that is remembered, and longer ones that differ behind it. */
		memset(tenant, 'x', sizeof(tenant));
		memset(caller, 'y', sizeof(caller));
		tenant[IDENTITY_NAME_MAX] = caller[IDENTITY_NAME_MAX] = '\0';
		assert_identity(&ids, &h, &k, tenant, caller);
		assert_identity(&ids, &h, &k, tenant, caller);
		tenant[IDENTITY_NAME_MAX] = caller[IDENTITY_NAME_MAX] = 'z';
		tenant[IDENTITY_NAME_MAX + 1] = caller[IDENTITY_NAME_MAX + 1] = '\0';
		assert_identity(&ids, &h, &k, tenant, caller);
		k.epoch++; /* a rotation must not bring old names back */
	}
	identities_done(&ids);
	for (size_t i = 0; i < sizeof(ids); i++)
		assert_int_equal(((const uint8_t *)&ids)[i], 0);
	hasher_done(&h);
}

static void
keep(struct identities *ids, const struct identity *who, uint8_t request, uint8_t content)
{
	const uint8_t id[16] = { request }, hash[HASH_BYTES] = { content };
	const struct hash c = { .b = { request ^ content ^ who->subject.id[0], 1 } };

	identity_keep_input(ids, who, id, hash, &c);
}

static bool
taken(struct identities *ids, const struct identity *who, uint8_t request, uint8_t content)
{
	const uint8_t id[16] = { request }, hash[HASH_BYTES] = { content };
	struct hash c = { .b = { 0 } };
	bool known = identity_take_input(ids, who, id, hash, &c);

	assert_int_equal(c.b[0], known ? request ^ content ^ who->subject.id[0] : 0);
	assert_int_equal(c.b[1], known);
	return known;
}

static void
test_identity_input_is_taken_once_for_the_same_request_key_and_content(void **state)
{
	static struct identities ids;
	struct identity who = { .has_subject = true }, other = { .subject.id = { 64 } };

	(void)state;
	assert_false(taken(&ids, &who, 0, 0)); /* not even what is all zeros */
	keep(&ids, &who, 0, 0);
	assert_false(taken(&ids, &who, 0, 8));
	assert_false(taken(&ids, &who, 1, 0)); /* at the same place */
	assert_false(taken(&ids, &other, 0, 0));
	assert_true(taken(&ids, &who, 0, 0));
	for (size_t i = 0; i < sizeof(ids.input); i++) /* the hash of an input stays nowhere */
		assert_int_equal(((const uint8_t *)ids.input)[i], 0);
	assert_false(taken(&ids, &who, 0, 0));
	keep(&ids, &other, 0, 8);
	keep(&ids, &other, 1, 8);
	assert_false(taken(&ids, &other, 0, 8));
	assert_true(taken(&ids, &other, 1, 8));
	keep(&ids, &who, 3, 3);
	identities_done(&ids);
	assert_false(taken(&ids, &who, 3, 3));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity_get_is_what_is_derived_whoever_came_before),
		cmocka_unit_test(
		    test_identity_input_is_taken_once_for_the_same_request_key_and_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
