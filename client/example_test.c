/*
 * client/example_test.c - runs the example program, which uses the shared library, against the fake router.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "fake_router.h"

/* Exit status; what it prints goes to 'out'. */
static int
run_example(const char *url, const char *model, char *out, size_t cap)
{
	char command[512];
	FILE *pipe;
	size_t n;

	(void)snprintf(command, sizeof(command), "'%s' '%s' '%s' 'one two three' 2>&1", EXAMPLE,
		       url, model);
	pipe = popen(command, "re"); /* NOLINT(cert-env33-c): the words are ours */
	assert_non_null(pipe);
	n = fread(out, 1, cap - 1, pipe);
	out[n] = '\0';
	return WEXITSTATUS(pclose(pipe));
}

static void
test_example_prints_the_answer(void **state)
{
	struct fake_router r;
	char out[1024];

	(void)state;
	fake_router_init(&r);
	fake_router_start(&r);
	assert_int_equal(run_example(r.url, "echo", out, sizeof(out)), 0);
	if (strstr(out, "one two three\n") == NULL)
		fail_msg("%s", out);
	assert_int_equal(run_example(r.url, "busy", out, sizeof(out)), 1);
	assert_non_null(strstr(out, "chat: too many requests\nchat: try again in 1500 ms\n"));
	fake_router_stop(&r);
	fake_router_done(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_example_prints_the_answer) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
