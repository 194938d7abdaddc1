/*
 * cache/audited_test.c - the words that the audit log keeps of an operator's change of an entry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cache/audited.h"

static void
test_entry_text_has_the_name_and_never_the_value(void **state)
{
	const struct entry_ask ask = { .op = ENTRY_COMPARE_AND_SET,
				       .ns = "sessions",
				       .key = { (const uint8_t *)"alice/7", 7 },
				       .value = { (const uint8_t *)"my secret", 9 },
				       .ttl_ms = 60000,
				       .version = 12 };
	char text[AUDITED_ENTRY_MAX];

	(void)state;
	audited_entry_text(&ask, text);
	assert_string_equal(
	    text, "op=set namespace=sessions version=12 ttl_ms=60000 bytes=9 key=alice/7");
}

static void
test_entry_text_writes_any_byte_of_a_key_plainly(void **state)
{
	const struct entry_ask ask = { .op = ENTRY_DELETE,
				       .ns = "n",
				       .key = { (const uint8_t *)"a b\0%\n\xff~", 8 } };
	char text[AUDITED_ENTRY_MAX];

	(void)state;
	audited_entry_text(&ask, text);
	assert_string_equal(
	    text, "op=delete namespace=n version=0 ttl_ms=0 bytes=0 key=a%20b%00%25%0A%FF~");
}

static void
test_entry_text_of_the_longest_name_fits(void **state)
{
	uint8_t key[ENTRY_KEY_MAX];
	char ns[ENTRY_NAMESPACE_MAX + 1], text[AUDITED_ENTRY_MAX];
	const struct entry_ask ask = { .op = ENTRY_DELETE,
				       .ns = ns,
				       .key = { key, sizeof(key) },
				       .value = { NULL, SIZE_MAX },
				       .ttl_ms = UINT64_MAX,
				       .version = UINT64_MAX };

	(void)state;
	memset(key, 0xff, sizeof(key));
	memset(ns, 'n', sizeof(ns) - 1);
	ns[sizeof(ns) - 1] = '\0';
	audited_entry_text(&ask, text);
	assert_true(strlen(text) < sizeof(text));
	assert_string_equal(text + strlen(text) - 6, "%FF%FF");
	assert_memory_equal(strstr(text, "key=") + 4, "%FF%FF", 6);
	assert_int_equal(strlen(strstr(text, "key=")), 4 + 3 * sizeof(key));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entry_text_has_the_name_and_never_the_value),
		cmocka_unit_test(test_entry_text_writes_any_byte_of_a_key_plainly),
		cmocka_unit_test(test_entry_text_of_the_longest_name_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
