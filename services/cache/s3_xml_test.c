/*
 * cache/s3_xml_test.c - pages and errors of an object store: as real ones write them, cut anywhere, and lying.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/s3_xml.h"

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* As Amazon's reference has it, and as others write it: order of members and time differ. */
static const char page_text[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix>a/b/"
    "</Prefix><NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</"
    "NextContinuationToken><KeyCount>3</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>true</"
    "IsTruncated><Contents><Key>a/b/" HEX "</Key><LastModified>2009-10-12T17:50:30.000Z</"
    "LastModified><ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag><Size>434234</Size>"
    "<StorageClass>STANDARD</StorageClass></Contents><Contents><LastModified>2026-11-22T23:18:32Z</"
    "LastModified><Size>0</Size><Key>a/b/f" HEX "</Key></Contents><Contents><LastModified>"
    "2026-11-22T23:18:32Z</LastModified><Key>a/b/0" HEX "</Key><Size>5</Size></Contents>"
    "</ListBucketResult>";

static struct s3_page *page;

static enum im_rc
read_page(const char *text, size_t len, const char *prefix)
{
	/* Exactly so many bytes, so that reading one more is found. */
	uint8_t *copy = malloc(len + (len == 0));
	struct im_err err;
	enum im_rc rc;

	assert_non_null(copy);
	memcpy(copy, text, len);
	rc = s3_xml_page(copy, len, prefix, page, &err);
	free(copy);
	return rc;
}

static void
test_s3_xml_page_of_a_real_store_is_read(void **state)
{
	(void)state;
	assert_int_equal(read_page(page_text, strlen(page_text), "a/b"), IM_OK);
	/* The other two names are too long: not ours. */
	assert_int_equal(page->count, 1);
	assert_int_equal(page->object[0].key[1], 0x11);
	assert_int_equal(page->object[0].bytes, 434234);
	assert_int_equal(page->object[0].modified_us, 1255369830000000ULL);
	assert_string_equal(page->token, "1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=");
	assert_int_equal(read_page(page_text, strlen(page_text), "a"), IM_OK);
	assert_int_equal(page->count, 0);
	assert_int_equal(read_page(page_text, strlen(page_text), ""), IM_OK);
	assert_int_equal(page->count, 0);
}

static void
test_s3_xml_page_cut_anywhere_is_none(void **state)
{
	(void)state;
	for (size_t len = 0; len < strlen(page_text); len++)
		assert_int_equal(read_page(page_text, len, "a/b"), IM_ECORRUPT);
}

static size_t
count_of(const char *contents)
{
	char text[600];

	(void)snprintf(text, sizeof(text),
		       "<ListBucketResult><IsTruncated>false</IsTruncated>"
		       "<Contents>%s</Contents></ListBucketResult>",
		       contents);
	assert_int_equal(read_page(text, strlen(text), ""), IM_OK);
	return page->count;
}

static void
test_s3_xml_object_that_is_not_one_of_ours_is_left_out(void **state)
{
#define WHEN "<LastModified>2026-11-22T23:18:32Z</LastModified>"
#define SIZE "<Size>1</Size>"
#define NAME "<Key>" HEX "</Key>"
	(void)state;
	assert_int_equal(count_of(NAME WHEN SIZE), 1);
	assert_int_equal(count_of(WHEN SIZE), 0);
	assert_int_equal(count_of(NAME SIZE), 0);
	assert_int_equal(count_of(NAME WHEN), 0);
	assert_int_equal(count_of("<Key>readme.txt</Key>" WHEN SIZE), 0);
	assert_int_equal(count_of("<Key>A" HEX "</Key>" WHEN SIZE), 0);
	assert_int_equal(count_of(NAME WHEN "<Size>-1</Size>"), 0);
	assert_int_equal(count_of(NAME WHEN "<Size></Size>"), 0);
	assert_int_equal(count_of(NAME WHEN "<Size>99999999999999999999</Size>"), 0);
	assert_int_equal(count_of(NAME "<LastModified>yesterday</LastModified>" SIZE), 0);
	assert_int_equal(count_of(NAME "<LastModified>2026-11-22T23:18</LastModified>" SIZE), 0);
	assert_int_equal(count_of(NAME "<LastModified>1812-01-01T00:00:00Z</LastModified>" SIZE),
			 0);
}

static void
test_s3_xml_page_that_lies_is_refused(void **state)
{
	static const char *const lies[] = {
		"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
		"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>"
		"</NextContinuationToken></ListBucketResult>",
		"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b"
		"</NextContinuationToken></ListBucketResult>",
		"<ListBucketResult></ListBucketResult>",
		"<Error><Code>NoSuchBucket</Code></Error>",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		assert_int_equal(read_page(lies[i], strlen(lies[i]), ""), IM_ECORRUPT);
}

static void
test_s3_xml_page_that_is_too_long_is_refused(void **state)
{
	static const char one[] = "<Contents>" NAME WHEN SIZE "</Contents>";
	char *text = malloc((S3_PAGE_MAX + 2) * sizeof(one) + 200), *end;

	(void)state;
	assert_non_null(text);
	for (size_t n = S3_PAGE_MAX; n <= S3_PAGE_MAX + 1; n++) {
		end = stpcpy(text, "<ListBucketResult><IsTruncated>false</IsTruncated>");
		for (size_t i = 0; i < n; i++)
			end = stpcpy(end, one);
		end = stpcpy(end, "</ListBucketResult>");
		assert_int_equal(read_page(text, (size_t)(end - text), ""),
				 n <= S3_PAGE_MAX ? IM_OK : IM_ECORRUPT);
	}
	free(text);
}

static void
test_s3_xml_word_of_an_error_is_a_word(void **state)
{
	static const struct {
		const char *xml, *word;
	} cases[] = {
		{ "<Error><Code>SignatureDoesNotMatch</Code></Error>", "SignatureDoesNotMatch" },
		{ "<Error><Code>a b</Code></Error>", "" },
		{ "<Error><Code>\"}\n</Code></Error>", "" },
		{ "<Error><Code>NoSuchKey", "" },
		{ "", "" },
		{ "<Code>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</Code>",
		  "" },
	};
	char word[S3_CODE_MAX + 1];
	struct im_err err;

	(void)state;
	s3_xml_code(NULL, 0, word);
	assert_string_equal(word, "");
	assert_int_equal(s3_xml_page(NULL, 0, "", page, &err), IM_ECORRUPT);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s3_xml_code((const uint8_t *)cases[i].xml, strlen(cases[i].xml), word);
		assert_string_equal(word, cases[i].word);
	}
}

static int
setup(void **state)
{
	(void)state;
	page = calloc(1, sizeof(*page));
	return page == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	free(page);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_s3_xml_page_of_a_real_store_is_read),
		cmocka_unit_test(test_s3_xml_page_cut_anywhere_is_none),
		cmocka_unit_test(test_s3_xml_object_that_is_not_one_of_ours_is_left_out),
		cmocka_unit_test(test_s3_xml_page_that_lies_is_refused),
		cmocka_unit_test(test_s3_xml_page_that_is_too_long_is_refused),
		cmocka_unit_test(test_s3_xml_word_of_an_error_is_a_word),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
