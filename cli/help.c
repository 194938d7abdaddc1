/*
 * cli/help.c - help pages from the table of commands.
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"

void
help_overview(void)
{
	const struct command *c;

	(void)printf("infermesh - a mesh of small daemons that serves language models\n\n"
		     "Usage: infermesh COMMAND [OPTION...]\n\nCommands:\n");
	for (size_t i = 0; (c = command_at(i)) != NULL; i++)
		(void)printf("  %-14s %s\n", c->name, c->summary);
	(void)printf("\nStart with:  infermesh up      then, in another terminal:  infermesh chat\n"
		     "More:        infermesh help COMMAND,  infermesh --version\n");
}

bool
help_group(const char *word)
{
	size_t len = strlen(word);
	const struct command *c;
	bool any = false;

	for (size_t i = 0; (c = command_at(i)) != NULL; i++) {
		if (strncmp(c->name, word, len) != 0 || c->name[len] != ' ')
			continue;
		if (!any)
			(void)printf("Usage: infermesh %s COMMAND [OPTION...]\n\nCommands:\n",
				     word);
		any = true;
		(void)printf("  %-14s %s\n", c->name, c->summary);
	}
	if (any)
		(void)printf("\nMore:        infermesh help %s COMMAND\n", word);
	return any;
}

/* Each line with 'before' in front. */
static void
print_lines(const char *before, const char *text)
{
	while (*text != '\0') {
		size_t n = strcspn(text, "\n");

		(void)printf("%s%.*s\n", before, (int)n, text);
		text += n + (text[n] == '\n');
	}
}

void
help_command(const struct command *c)
{
	(void)printf("NAME\n  infermesh %s - %s\n\n", c->name, c->summary);
	(void)printf("SYNOPSIS\n  infermesh %s [OPTION...]%s%s\n\nDESCRIPTION\n", c->name,
		     c->rest != NULL ? " " : "", c->rest != NULL ? c->rest : "");
	print_lines("  ", c->description);
	(void)printf("\nOPTIONS\n");
	for (size_t i = 0; i < CLI_OPTIONS_MAX && c->options[i].name != NULL; i++) {
		const struct cli_option *o = &c->options[i];
		char left[64];

		char letter[5] = "    ";

		if (o->letter != 0)
			(void)snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		(void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name,
			       o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
		(void)printf("  %-26s %s\n", left, o->help);
	}
	(void)printf(
	    "\nEXIT STATUS\n  0 done; 1 it did not work, standard error says why; 2 wrong arguments\n\nEXAMPLES\n");
	print_lines("  ", c->examples);
}

int
run_help(const struct cli_args *args)
{
	const struct command *c;
	struct im_err err;
	int words;

	if (args->rest_count == 0) {
		help_overview();
		return EXIT_FINE;
	}
	if (args->rest_count == 1 && help_group(args->rest[0]))
		return EXIT_FINE;
	c = cli_find(args->rest_count, args->rest, &words, &err);
	if (c == NULL) {
		(void)cli_fail(args, &err);
		return EXIT_USAGE;
	}
	help_command(c);
	return EXIT_FINE;
}
