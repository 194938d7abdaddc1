/*
 * cli/args.c - the command line by the table of commands. Pure but for cli_config() and cli_fail().
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "daemon/nearest.h"

static size_t
option_index(const struct command *c, const char *name, size_t len)
{
	size_t i = 0;

	while (i < CLI_OPTIONS_MAX && c->options[i].name != NULL &&
	       (strlen(c->options[i].name) != len || memcmp(c->options[i].name, name, len) != 0))
		i++;
	return i;
}

static bool
is_option(const struct command *c, size_t i)
{
	return i < CLI_OPTIONS_MAX && c->options[i].name != NULL;
}

const char *
cli_value(const struct cli_args *args, const char *name)
{
	size_t i = option_index(args->command, name, strlen(name));

	return is_option(args->command, i) ? args->value[i] : NULL;
}

const char *
cli_value_at(const struct cli_args *args, const char *name, size_t i)
{
	size_t option = option_index(args->command, name, strlen(name));

	for (size_t k = 0; k < args->given_count; k++)
		if (args->given[k].option == option && i-- == 0)
			return args->given[k].value;
	return NULL;
}

bool
cli_flag(const struct cli_args *args, const char *name)
{
	return cli_value(args, name) != NULL;
}

static enum im_rc
unknown_option(const struct command *c, const char *word, struct im_err *err)
{
	const char *name = word + strspn(word, "-"), *best = NULL;
	size_t len = strcspn(name, "=");
	unsigned best_distance = 4;

	for (size_t i = 0; is_option(c, i); i++) {
		unsigned d =
		    edit_distance(name, len, c->options[i].name, strlen(c->options[i].name), 3);

		if (d < best_distance && d <= len / 2) {
			best_distance = d;
			best = c->options[i].name;
		}
	}
	if (best != NULL)
		return err_set(err, IM_EINVAL, "no option %.60s; did you mean --%s?", word, best);
	return err_set(err, IM_EINVAL, "no option %.60s; see 'infermesh %s --help'", word, c->name);
}

/* argv[*at] is an option: take it and its value. */
static enum im_rc
take_option(const struct command *c, int argc, char **argv, int *at, struct cli_args *ret,
	    struct im_err *err)
{
	const char *word = argv[*at], *value = NULL;
	size_t i = 0;

	if (word[1] == '-') {
		size_t len = strcspn(word + 2, "=");

		i = option_index(c, word + 2, len);
		if (word[2 + len] == '=')
			value = word + 3 + len;
	} else {
		while (is_option(c, i) && c->options[i].letter != word[1])
			i++;
		if (word[2] != '\0')
			value = word + 2;
	}
	if (!is_option(c, i))
		return unknown_option(c, word, err);
	if (c->options[i].value == NULL) {
		if (value != NULL)
			return err_set(err, IM_EINVAL, "--%s takes no value", c->options[i].name);
		ret->value[i] = "";
		return IM_OK;
	}
	if (value == NULL && *at + 1 < argc)
		value = argv[++*at];
	if (value == NULL)
		return err_set(err, IM_EINVAL, "--%s needs a value: %s", c->options[i].name,
			       c->options[i].value);
	if (ret->given_count == CLI_GIVEN_MAX)
		return err_set(err, IM_EINVAL, "more than %d options", CLI_GIVEN_MAX);
	ret->given[ret->given_count].option = i;
	ret->given[ret->given_count++].value = value;
	ret->value[i] = value;
	return IM_OK;
}

enum im_rc
cli_parse(const struct command *c, int argc, char **argv, struct cli_args *ret, bool *ret_help,
	  struct im_err *err)
{
	int kept = 0;
	bool options = true;

	*ret = (struct cli_args){ .command = c, .rest = argv };
	for (int i = 0; i < argc; i++) {
		if (options && strcmp(argv[i], "--") == 0) {
			options = false;
		} else if (options && argv[i][0] == '-' && argv[i][1] != '\0') {
			enum im_rc rc = take_option(c, argc, argv, &i, ret, err);

			if (rc != IM_OK)
				return rc;
		} else {
			argv[kept++] = argv[i];
		}
	}
	ret->rest_count = kept;
	*ret_help = cli_flag(ret, "help");
	if (!*ret_help && c->rest_max >= 0 && kept > c->rest_max)
		return err_set(err, IM_EINVAL,
			       "unexpected argument '%.60s'; see 'infermesh %s --help'",
			       argv[c->rest_max], c->name);
	return IM_OK;
}

/* How many of the words at 'argv' are the command's name: all of them, or 0. */
static int
matches(const struct command *c, int argc, char **argv)
{
	const char *name = c->name;
	int words = 0;

	while (words < argc) {
		size_t n = strcspn(name, " ");

		if (strlen(argv[words]) != n || memcmp(argv[words], name, n) != 0)
			return 0;
		words++;
		if (name[n] == '\0')
			return words;
		name += n + 1;
	}
	return 0;
}

/* How far what was said is from the command's name; more than 3 = not near. The first word alone of a command with two is
 * near. */
static unsigned
distance(const char *name, int argc, char **argv)
{
	size_t first = strcspn(name, " "), len = strlen(argv[0]);
	unsigned d = edit_distance(argv[0], len, name, first, 3);

	if (d > 0 && len >= 2 && len < first && strncmp(name, argv[0], len) == 0)
		d = 1;
	if (name[first] == ' ' && argc > 1) {
		const char *second = name + first + 1;
		unsigned more = edit_distance(argv[1], strlen(argv[1]), second, strlen(second), 3);

		if (d > 0)
			d += more;
	}
	return d <= len / 2 ? d : 4;
}

/* Whether 'word' is the first one of a command with two. */
static bool
begins_command(const char *word)
{
	const struct command *c;

	for (size_t i = 0; (c = command_at(i)) != NULL; i++) {
		size_t first = strcspn(c->name, " ");

		if (c->name[first] == ' ' && strlen(word) == first &&
		    memcmp(c->name, word, first) == 0)
			return true;
	}
	return false;
}

const struct command *
cli_find(int argc, char **argv, int *ret_words, struct im_err *err)
{
	const struct command *c;
	const char *best = NULL;
	unsigned best_distance = 4;
	bool two = argc > 1 && argv[1][0] != '-' && begins_command(argv[0]);

	for (size_t i = 0; (c = command_at(i)) != NULL; i++) {
		*ret_words = matches(c, argc, argv);
		if (*ret_words > 0)
			return c;
	}
	for (size_t i = 0; (c = command_at(i)) != NULL; i++) {
		unsigned d = distance(c->name, argc, argv);

		if (d < best_distance) {
			best_distance = d;
			best = c->name;
		}
	}
	if (best != NULL)
		(void)err_set(err, IM_EINVAL,
			      "no command '%.60s%s%.60s'; did you mean 'infermesh %s'?", argv[0],
			      two ? " " : "", two ? argv[1] : "", best);
	else
		(void)err_set(err, IM_EINVAL, "no command '%.60s'; 'infermesh help' lists them",
			      argv[0]);
	return NULL;
}

struct config *
cli_config(const struct cli_args *args)
{
	struct config *config = NULL;
	struct im_err err;

	if (config_load(config_path(cli_value(args, "config")), &config, &err) == IM_OK)
		return config;
	(void)cli_fail(args, &err);
	return NULL;
}

int
cli_fail(const struct cli_args *args, const struct im_err *err)
{
	(void)fprintf(stderr, "infermesh %s: %s\n", args->command->name, err->text);
	return EXIT_TROUBLE;
}
