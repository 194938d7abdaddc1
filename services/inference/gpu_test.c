/*
 * inference/gpu_test.c - what a manifest may ask of GPUs, in programs and machines with and without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "inference/gpu.h"

static const struct gpu_found without = { .built = "" }, none = { .built = "cuda" },
			      two = { .built = "cuda", .devices = 2 };
static const struct gpu_wish open = { .layers = GPU_LAYERS_ALL, .split = GPU_SPLIT_LAYER };

static void
assert_refused(struct gpu_wish wish, const struct gpu_found *found, const char *says)
{
	struct im_err err;

	assert_int_equal(gpu_check(&wish, found, &err), IM_EUNAVAILABLE);
	if (strstr(err.text, says) == NULL)
		fail_msg("'%s' is not in: %s", says, err.text);
}

static void
test_gpu_nothing_asked_is_fine_everywhere(void **state)
{
	struct gpu_wish on_processors = { .layers = 0, .split = GPU_SPLIT_NONE, .main = 7 };

	(void)state;
	assert_int_equal(gpu_check(&open, &without, NULL), IM_OK);
	assert_int_equal(gpu_check(&open, &none, NULL), IM_OK);
	assert_int_equal(gpu_check(&open, &two, NULL), IM_OK);
	assert_int_equal(gpu_check(&on_processors, &without, NULL), IM_OK);
}

static void
test_gpu_asked_for_where_none_is_says_why(void **state)
{
	(void)state;
	assert_refused((struct gpu_wish){ .layers = 1, .split = GPU_SPLIT_LAYER }, &without,
		       "gpu_layers asks for a GPU, and this program was built without");
	assert_refused((struct gpu_wish){ .layers = GPU_LAYERS_ALL, .split = GPU_SPLIT_ROW },
		       &without, "split_mode asks");
	assert_refused(
	    (struct gpu_wish){ .layers = GPU_LAYERS_ALL, .split = GPU_SPLIT_LAYER, .main = 1 },
	    &without, "main_gpu asks");
	assert_refused((struct gpu_wish){ .layers = 99, .split = GPU_SPLIT_LAYER }, &none,
		       "cuda finds none");
	assert_refused(
	    (struct gpu_wish){ .layers = GPU_LAYERS_ALL, .split = GPU_SPLIT_NONE, .main = 2 }, &two,
	    "main_gpu is 2, and this machine has 2");
}

static void
test_gpu_asked_for_where_one_is_is_fine(void **state)
{
	struct gpu_wish second = { .layers = 10, .split = GPU_SPLIT_NONE, .main = 1 };

	(void)state;
	assert_int_equal(gpu_check(&second, &two, NULL), IM_OK);
}

static void
test_gpu_layers_leave_the_rest_to_the_machine(void **state)
{
	struct gpu_wish half = { .layers = 10, .split = GPU_SPLIT_LAYER };
	struct gpu_wish many = { .layers = 1000, .split = GPU_SPLIT_LAYER };

	(void)state;
	assert_int_equal(gpu_layers(&open, &none, 19), 0);
	assert_int_equal(gpu_layers(&open, &two, 19), 20);
	assert_int_equal(gpu_layers(&many, &two, 19), 20);
	assert_int_equal(gpu_layers(&half, &two, 19), 10);
	assert_int_equal(gpu_host_bytes(&open, &without, 19, 2000), 2000);
	assert_int_equal(gpu_host_bytes(&half, &two, 19, 2000), 1000);
	assert_int_equal(gpu_host_bytes(&open, &two, 19, 2000), 0);
	assert_int_equal(gpu_host_bytes(&open, &two, 0, 2000), 0);
}

static void
test_gpu_split_modes_are_read(void **state)
{
	(void)state;
	assert_int_equal(gpu_split_parse("none"), GPU_SPLIT_NONE);
	assert_int_equal(gpu_split_parse("layer"), GPU_SPLIT_LAYER);
	assert_int_equal(gpu_split_parse("row"), GPU_SPLIT_ROW);
	assert_int_equal(gpu_split_parse("tensor"), GPU_SPLIT_TENSOR);
	assert_int_equal(gpu_split_parse(NULL), GPU_SPLIT_LAYER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpu_nothing_asked_is_fine_everywhere),
		cmocka_unit_test(test_gpu_asked_for_where_none_is_says_why),
		cmocka_unit_test(test_gpu_asked_for_where_one_is_is_fine),
		cmocka_unit_test(test_gpu_layers_leave_the_rest_to_the_machine),
		cmocka_unit_test(test_gpu_split_modes_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
