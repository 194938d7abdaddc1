/*
 * cli/main.c - entry point of 'infermesh': finds the command and runs it. Holds no logic that a daemon needs.
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "daemon/daemon.h"

int
main(int argc, char **argv)
{
	const struct command *c;
	struct cli_args args;
	struct im_err err;
	int words = 0;
	bool help = false;

	if (argc < 2) {
		help_overview();
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		(void)printf("infermesh %s\n", INFERMESH_VERSION);
		return EXIT_FINE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		help_overview();
		return EXIT_FINE;
	}
	if (argc == 2 && help_group(argv[1]))
		return EXIT_USAGE;
	if (argc == 3 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0) &&
	    help_group(argv[1]))
		return EXIT_FINE;
	c = cli_find(argc - 1, argv + 1, &words, &err);
	if (c == NULL) {
		(void)fprintf(stderr, "infermesh: %s\n", err.text);
		return EXIT_USAGE;
	}
	if (cli_parse(c, argc - 1 - words, argv + 1 + words, &args, &help, &err) != IM_OK) {
		(void)fprintf(stderr, "infermesh %s: %s\n", c->name, err.text);
		return EXIT_USAGE;
	}
	if (help) {
		help_command(c);
		return EXIT_FINE;
	}
	return c->run(&args);
}
