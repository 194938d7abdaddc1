/*
 * daemon/metrics_test.c - the text format to the byte.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/metrics.h"

static void
test_metrics_values_are_formatted_and_escaped(void **state)
{
	struct metrics_page page = { 0 };
	const struct metrics_label labels[] = { { "worker", "a\"b\\c\nd" }, { "bad", "x\xff" } };

	(void)state;
	metrics_family(&page, "im_x", "gauge", "A \"thing\"\\\n.");
	metrics_value(&page, "im_x", labels, 2, 0.1);
	metrics_value(&page, "im_x", NULL, 0, 12345678901.0);
	metrics_value(&page, "im_x", NULL, 0, INFINITY);
	metrics_counter(&page, "im_y_total", "Why.", UINT64_MAX);
	metrics_gauge(&page, "im_z", "Z.", -2.5);
	assert_string_equal(buf_cstr(&page.out),
			    "# HELP im_x A \"thing\"\\\\\\n.\n# TYPE im_x gauge\n"
			    "im_x{worker=\"a\\\"b\\\\c\\nd\",bad=\"x?\"} 0.1\n"
			    "im_x 12345678901\nim_x +Inf\n"
			    "# HELP im_y_total Why.\n# TYPE im_y_total counter\n"
			    "im_y_total 18446744073709551615\n"
			    "# HELP im_z Z.\n# TYPE im_z gauge\nim_z -2.5\n");
	buf_done(&page.out);
}

static void
test_metrics_histogram_counts_up_to_each_bound(void **state)
{
	static const struct histogram_bounds bounds = { 2, { 0.5, 2 } };
	struct histogram h = { .bounds = &bounds };
	struct metrics_page page = { 0 };
	const struct metrics_label label = { "route", "/v1" };

	(void)state;
	histogram_add(&h, 0.5);
	histogram_add(&h, 0.75);
	histogram_add(&h, 100);
	metrics_histogram(&page, "t", &label, 1, &h);
	assert_string_equal(buf_cstr(&page.out),
			    "t_bucket{route=\"/v1\",le=\"0.5\"} 1\n"
			    "t_bucket{route=\"/v1\",le=\"2\"} 2\n"
			    "t_bucket{route=\"/v1\",le=\"+Inf\"} 3\n"
			    "t_sum{route=\"/v1\"} 101.25\nt_count{route=\"/v1\"} 3\n");
	buf_clear(&page.out);
	metrics_histogram(&page, "t", NULL, 0, &h);
	assert_memory_equal(buf_cstr(&page.out), "t_bucket{le=\"0.5\"} 1\n", 21);
	buf_done(&page.out);
}

static void
test_metrics_bounds_ascend(void **state)
{
	static const struct histogram_bounds *const all[] = {
		&histogram_seconds, &histogram_first_token, &histogram_per_token, &histogram_tokens,
		&histogram_overhead
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_in_range(all[i]->count, 1, HISTOGRAM_BUCKETS_MAX);
		for (size_t k = 1; k < all[i]->count; k++)
			assert_true(all[i]->le[k] > all[i]->le[k - 1]);
	}
	assert_true(histogram_seconds.le[13] == 81.92);
	assert_true(histogram_tokens.le[13] == 67108864);
}

static void
test_metrics_join_shares_families_without_collision(void **state)
{
	struct metrics_page pages[3] = { 0 }, out = { 0 };
	const char *const names[] = { "w1", "router", "w2" };
	const struct metrics_label label = { "k", "v" };

	(void)state;
	metrics_counter(&pages[0], "a_total", "A.", 1);
	metrics_gauge(&pages[1], "b", "B.", 2);
	metrics_family(&pages[2], "a_total", "counter", "A.");
	metrics_value(&pages[2], "a_total", &label, 1, 3);
	metrics_join(&out, pages, names, 3);
	assert_string_equal(
	    buf_cstr(&out.out),
	    "# HELP a_total A.\n# TYPE a_total counter\n"
	    "a_total{service_instance=\"w1\"} 1\na_total{service_instance=\"w2\",k=\"v\"} 3\n"
	    "# HELP b B.\n# TYPE b gauge\nb 2\n");
	buf_clear(&out.out);
	metrics_join(&out, pages, names, 1);
	assert_string_equal(buf_cstr(&out.out),
			    "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n");
	buf_done(&out.out);
	for (int i = 0; i < 3; i++)
		buf_done(&pages[i].out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metrics_values_are_formatted_and_escaped),
		cmocka_unit_test(test_metrics_histogram_counts_up_to_each_bound),
		cmocka_unit_test(test_metrics_bounds_ascend),
		cmocka_unit_test(test_metrics_join_shares_families_without_collision),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
