/*
 * cli/args_test.c - finding and parsing commands, with a small table of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"

static const struct command commands[] = {
	{ .name = "up",
	  .rest_max = 0,
	  .options = { { "json", 'j', NULL, "" }, { "help", 'h', NULL, "" } } },
	{ .name = "chat",
	  .rest_max = -1,
	  .options = { { "model", 'm', "MODEL", "" }, { "help", 'h', NULL, "" } } },
	{ .name = "audit verify",
	  .rest_max = 1,
	  .options = { { "vkey", 'k', "KEY", "" }, { "help", 'h', NULL, "" } } },
};

const struct command *
command_at(size_t i)
{
	return i < sizeof(commands) / sizeof(commands[0]) ? &commands[i] : NULL;
}

static const struct command *
find(const char *one, const char *two, struct im_err *err)
{
	char *argv[] = { (char *)one, (char *)two, NULL };
	int words = 0;
	const struct command *c = cli_find(two != NULL ? 2 : 1, argv, &words, err);

	if (c != NULL)
		assert_int_equal(words, strchr(c->name, ' ') != NULL ? 2 : 1);
	return c;
}

static void
test_find_takes_whole_names(void **state)
{
	(void)state;
	assert_ptr_equal(find("up", NULL, NULL), &commands[0]);
	assert_ptr_equal(find("up", "x", NULL), &commands[0]);
	assert_ptr_equal(find("audit", "verify", NULL), &commands[2]);
	assert_null(find("u", NULL, NULL));
	assert_null(find("audit", NULL, NULL));
	assert_null(find("audit", "verifyx", NULL));
}

static void
test_find_names_the_nearest(void **state)
{
	static const char *const wrong[][3] = {
		{ "chta", NULL, "infermesh chat" },
		{ "upp", NULL, "infermesh up" },
		{ "audit", NULL, "infermesh audit verify" },
		{ "audit", "verfy",
		  "no command 'audit verfy'; did you mean 'infermesh audit verify'?" },
		{ "adit", "verify", "no command 'adit'; did you mean 'infermesh audit verify'?" },
		{ "aud", NULL, "infermesh audit verify" },
		{ "au", NULL, "infermesh audit verify" },
		{ "key", NULL, "no command 'key'; 'infermesh help' lists them" },
		{ "", NULL, "infermesh help" },
		{ "zzzzzzzzz", NULL, "infermesh help" },
	};
	struct im_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_null(find(wrong[i][0], wrong[i][1], &err));
		assert_non_null(strstr(err.text, wrong[i][2]));
	}
}

static void
test_parse_takes_every_way_to_write_an_option(void **state)
{
	static const char *const ways[][2] = {
		{ "--model=a", NULL }, { "--model", "a" }, { "-ma", NULL }, { "-m", "a" }
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		char *argv[] = { (char *)"x", (char *)ways[i][0], (char *)ways[i][1], NULL };
		struct cli_args args;
		bool help = true;

		assert_int_equal(
		    cli_parse(&commands[1], ways[i][1] != NULL ? 3 : 2, argv, &args, &help, NULL),
		    IM_OK);
		assert_false(help);
		assert_string_equal(cli_value(&args, "model"), "a");
		assert_int_equal(args.rest_count, 1);
		assert_string_equal(args.rest[0], "x");
	}
}

static void
test_parse_stops_at_two_dashes_and_keeps_one(void **state)
{
	char *argv[] = { (char *)"-", (char *)"--", (char *)"--model", NULL };
	struct cli_args args;
	bool help;

	(void)state;
	assert_int_equal(cli_parse(&commands[1], 3, argv, &args, &help, NULL), IM_OK);
	assert_null(cli_value(&args, "model"));
	assert_int_equal(args.rest_count, 2);
	assert_string_equal(args.rest[0], "-");
	assert_string_equal(args.rest[1], "--model");
}

static void
test_parse_mistakes_are_named(void **state)
{
	static const struct {
		size_t command;
		const char *word, *says;
	} wrong[] = {
		{ 0, "--jsn", "did you mean --json?" },
		{ 0, "--json=1", "--json takes no value" },
		{ 0, "more", "unexpected argument 'more'" },
		{ 1, "--model", "--model needs a value: MODEL" },
		{ 1, "--check", "no option --check; see" },
		{ 1, "-z", "no option -z; see" },
		{ 1, "--zzzzzzzz", "no option --zzzzzzzz; see" },
	};
	struct im_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char *argv[] = { (char *)wrong[i].word, NULL };
		struct cli_args args;
		bool help;

		assert_int_equal(
		    cli_parse(&commands[wrong[i].command], 1, argv, &args, &help, &err), IM_EINVAL);
		assert_non_null(strstr(err.text, wrong[i].says));
	}
}

static void
test_parse_keeps_all_values_of_an_option_that_is_given_again(void **state)
{
	const char *argv[] = { "-k", "a", "dir", "--vkey=b", "--vkey", "c" };
	const char *many[2 * CLI_GIVEN_MAX + 2];
	struct cli_args args;
	struct im_err err;
	bool help;

	(void)state;
	assert_int_equal(cli_parse(&commands[2], 6, (char **)argv, &args, &help, &err), IM_OK);
	assert_string_equal(cli_value(&args, "vkey"), "c");
	assert_string_equal(cli_value_at(&args, "vkey", 0), "a");
	assert_string_equal(cli_value_at(&args, "vkey", 1), "b");
	assert_string_equal(cli_value_at(&args, "vkey", 2), "c");
	assert_null(cli_value_at(&args, "vkey", 3));
	assert_string_equal(args.rest[0], "dir");
	for (size_t i = 0; i < 2 * CLI_GIVEN_MAX + 2; i++)
		many[i] = i % 2 == 0 ? "-k" : "x";
	assert_int_equal(
	    cli_parse(&commands[2], 2 * CLI_GIVEN_MAX + 2, (char **)many, &args, &help, &err),
	    IM_EINVAL);
	assert_string_equal(err.text, "more than 64 options");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_takes_whole_names),
		cmocka_unit_test(test_find_names_the_nearest),
		cmocka_unit_test(test_parse_takes_every_way_to_write_an_option),
		cmocka_unit_test(test_parse_stops_at_two_dashes_and_keeps_one),
		cmocka_unit_test(test_parse_mistakes_are_named),
		cmocka_unit_test(test_parse_keeps_all_values_of_an_option_that_is_given_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
