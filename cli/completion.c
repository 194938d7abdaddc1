/*
 * cli/completion.c - completion scripts from the table of commands, so that they never fall behind.
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"

/* "audit verify": 'audit' once among the first words; returns false if an earlier command has the same first word. */
static bool
first_of_word(size_t i)
{
	size_t n = strcspn(commands[i].name, " ");

	for (size_t k = 0; k < i; k++)
		if (strcspn(commands[k].name, " ") == n &&
		    memcmp(commands[k].name, commands[i].name, n) == 0)
			return false;
	return true;
}

static void
print_first_words(void)
{
	for (size_t i = 0; i < commands_len; i++)
		if (first_of_word(i))
			(void)printf("%s%.*s", i > 0 ? " " : "",
				     (int)strcspn(commands[i].name, " "), commands[i].name);
}

static void
print_options(const struct command *c)
{
	for (size_t i = 0; i < CLI_OPTIONS_MAX && c->options[i].name != NULL; i++)
		(void)printf("%s--%s", i > 0 ? " " : "", c->options[i].name);
	if (strcmp(c->name, "completion") == 0)
		(void)printf(" bash zsh fish");
	if (strcmp(c->name, "help") == 0) {
		(void)putchar(' ');
		print_first_words();
	}
}

static void
print_bash(void)
{
	(void)printf(
	    "# bash completion of infermesh; made by 'infermesh completion bash'\n"
	    "_infermesh() {\n"
	    "\tlocal cur prev cmd words\n"
	    "\tcur=${COMP_WORDS[COMP_CWORD]}\n"
	    "\tprev=${COMP_WORDS[COMP_CWORD-1]}\n"
	    "\tcase $prev in --config|-c) COMPREPLY=($(compgen -f -- \"$cur\")); return;; esac\n"
	    "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords=\"");
	print_first_words();
	(void)printf(
	    " --help --version\"\n\telse\n\t\tcmd=\"${COMP_WORDS[1]}\"\n\t\tcase $cmd in\n");
	for (size_t i = 0; i < commands_len; i++) {
		const char *space = strchr(commands[i].name, ' ');

		(void)printf("\t\t%.*s) ", (int)strcspn(commands[i].name, " "), commands[i].name);
		if (space != NULL) {
			(void)printf(
			    "if [ \"$COMP_CWORD\" -eq 2 ]; then words=\"%s\"; else words=\"",
			    space + 1);
		} else {
			(void)printf("words=\"");
		}
		print_options(&commands[i]);
		(void)printf("%s;;\n", space != NULL ? "\"; fi" : "\"");
	}
	(void)printf(
	    "\t\tesac\n\tfi\n"
	    "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	    "\t[ \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" = \"audit verify\" ] && COMPREPLY+=($(compgen -d -- \"$cur\"))\n"
	    "}\n"
	    "complete -F _infermesh infermesh\n");
}

/* In single quotes for zsh and fish: a quote inside ends, escapes and begins again. */
static void
print_quoted(const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			(void)fputs("'\\''", stdout);
		else if (*s != ':' && *s != '[' && *s != ']')
			(void)putchar(*s);
	}
}

static void
print_zsh(void)
{
	(void)printf(
	    "#compdef infermesh\n# zsh completion of infermesh; made by 'infermesh completion zsh'\n"
	    "_infermesh() {\n\tif (( CURRENT == 2 )); then\n\t\tlocal -a cmds\n\t\tcmds=(\n");
	for (size_t i = 0; i < commands_len; i++) {
		if (!first_of_word(i))
			continue;
		(void)printf("\t\t\t'%.*s:", (int)strcspn(commands[i].name, " "), commands[i].name);
		print_quoted(commands[i].summary);
		(void)printf("'\n");
	}
	(void)printf("\t\t)\n\t\t_describe command cmds\n\t\treturn\n\tfi\n\tcase $words[2] in\n");
	for (size_t i = 0; i < commands_len; i++) {
		const struct command *c = &commands[i];
		const char *space = strchr(c->name, ' ');

		(void)printf("\t%.*s)\n", (int)strcspn(c->name, " "), c->name);
		if (space != NULL)
			(void)printf("\t\tif (( CURRENT == 3 )); then compadd %s; return; fi\n",
				     space + 1);
		(void)printf("\t\t_arguments");
		for (size_t k = 0; k < CLI_OPTIONS_MAX && c->options[k].name != NULL; k++) {
			(void)printf(" '--%s[", c->options[k].name);
			print_quoted(c->options[k].help);
			(void)printf("]%s%s'", c->options[k].value != NULL ? ":" : "",
				     c->options[k].value == NULL                ? ""
				     : strcmp(c->options[k].value, "FILE") == 0 ? "file:_files"
										: "value:");
		}
		if (strcmp(c->name, "audit verify") == 0)
			(void)printf(" '*:folder:_files -/'");
		if (strcmp(c->name, "completion") == 0)
			(void)printf(" '*:shell:(bash zsh fish)'");
		(void)printf(";;\n");
	}
	/* As a file of $fpath it is called at once; by 'source' it is only made known. */
	(void)printf("\tesac\n}\n"
		     "if [[ $funcstack[1] == _infermesh ]]; then _infermesh \"$@\"; "
		     "else compdef _infermesh infermesh; fi\n");
}

static void
print_fish(void)
{
	(void)printf(
	    "# fish completion of infermesh; made by 'infermesh completion fish'\ncomplete -c infermesh -f\n");
	for (size_t i = 0; i < commands_len; i++) {
		const struct command *c = &commands[i];
		const char *space = strchr(c->name, ' ');
		int n = (int)strcspn(c->name, " ");

		if (first_of_word(i)) {
			(void)printf("complete -c infermesh -n __fish_use_subcommand -a %.*s -d '",
				     n, c->name);
			print_quoted(c->summary);
			(void)printf("'\n");
		}
		if (space != NULL)
			(void)printf(
			    "complete -c infermesh -n '__fish_seen_subcommand_from %.*s; and not __fish_seen_subcommand_from %s' -a %s\n",
			    n, c->name, space + 1, space + 1);
		for (size_t k = 0; k < CLI_OPTIONS_MAX && c->options[k].name != NULL; k++) {
			char letter[6] = "";

			if (c->options[k].letter != 0)
				(void)snprintf(letter, sizeof(letter), " -s %c",
					       c->options[k].letter);
			(void)printf(
			    "complete -c infermesh -n '__fish_seen_subcommand_from %.*s'%s -l %s%s -d '",
			    n, c->name, letter, c->options[k].name,
			    c->options[k].value == NULL                ? ""
			    : strcmp(c->options[k].value, "FILE") == 0 ? " -r -F"
								       : " -x");
			print_quoted(c->options[k].help);
			(void)printf("'\n");
		}
	}
	(void)printf(
	    "complete -c infermesh -n '__fish_seen_subcommand_from verify' -F\n"
	    "complete -c infermesh -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n");
}

int
run_completion(const struct cli_args *args)
{
	const char *shell = args->rest_count > 0 ? args->rest[0] : "";

	if (strcmp(shell, "bash") == 0) {
		print_bash();
	} else if (strcmp(shell, "zsh") == 0) {
		print_zsh();
	} else if (strcmp(shell, "fish") == 0) {
		print_fish();
	} else {
		(void)fprintf(stderr,
			      "infermesh completion: say for which shell: bash, zsh or fish\n");
		return EXIT_USAGE;
	}
	return EXIT_FINE;
}
