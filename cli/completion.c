/*
 * cli/completion.c - completion scripts from the table of commands, so that they never fall behind.
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "inference/local_quantize.h"

#define TYPE_NAME(name, llama) name " "
#define TYPE_NAMES             QUANTIZE_TYPES(TYPE_NAME)

/* Length of the first word of a command's name. */
static int
first_len(const struct command *c)
{
	return (int)strcspn(c->name, " ");
}

/* The second word, or NULL. */
static const char *
second_word(const struct command *c)
{
	const char *space = strchr(c->name, ' ');

	return space != NULL ? space + 1 : NULL;
}

/* Do the two begin with the same word? */
static bool
same_first(const struct command *a, const struct command *b)
{
	return first_len(a) == first_len(b) && memcmp(a->name, b->name, (size_t)first_len(a)) == 0;
}

/* True for the first command that begins with its first word: "route" once among the first words. */
static bool
first_of_word(size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (same_first(command_at(k), command_at(i)))
			return false;
	return true;
}

/* The second words of all commands whose first word is that of 'of': "list set reset ramp". */
static void
print_second_words(const struct command *of)
{
	const struct command *c;
	bool any = false;

	for (size_t i = 0; (c = command_at(i)) != NULL; i++)
		if (second_word(c) != NULL && same_first(c, of)) {
			(void)printf("%s%s", any ? " " : "", second_word(c));
			any = true;
		}
}

static void
print_first_words(void)
{
	const struct command *c;

	for (size_t i = 0; (c = command_at(i)) != NULL; i++)
		if (first_of_word(i))
			(void)printf("%s%.*s", i > 0 ? " " : "", first_len(c), c->name);
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
	const struct command *c;

	(void)printf(
	    "# bash completion of infermesh; made by 'infermesh completion bash'\n"
	    "_infermesh() {\n"
	    "\tlocal cur prev cmd words\n"
	    "\tcur=${COMP_WORDS[COMP_CWORD]}\n"
	    "\tprev=${COMP_WORDS[COMP_CWORD-1]}\n"
	    "\tcase $prev in\n"
	    "\t--type|-t) if [ \"${COMP_WORDS[2]}\" = quantize ]; then"
	    " COMPREPLY=($(compgen -W '" TYPE_NAMES "' -- \"$cur\")); return; fi;;\n"
	    "\t--config|-c|--output|--content|--key-file) COMPREPLY=($(compgen -f -- \"$cur\")); return;;\n"
	    "\t--log) COMPREPLY=($(compgen -d -- \"$cur\")); return;;\n"
	    "\tesac\n"
	    "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords=\"");
	print_first_words();
	(void)printf(
	    " --help --version\"\n\telse\n\t\tcmd=\"${COMP_WORDS[1]}\"\n\t\tcase $cmd in\n");
	for (size_t i = 0; (c = command_at(i)) != NULL; i++) {
		if (second_word(c) == NULL) {
			(void)printf("\t\t%s) words=\"", c->name);
			print_options(c);
			(void)printf("\";;\n");
			continue;
		}
		if (first_of_word(i)) {
			(void)printf("\t\t%.*s)", first_len(c), c->name);
			(void)printf(" [ \"$COMP_CWORD\" -eq 2 ] && words=\"");
			print_second_words(c);
			(void)printf("\";;\n");
		}
	}
	(void)printf("\t\tesac\n\t\t[ \"$COMP_CWORD\" -gt 2 ] && "
		     "case \"$cmd ${COMP_WORDS[2]}\" in\n");
	for (size_t i = 0; (c = command_at(i)) != NULL; i++)
		if (second_word(c) != NULL) {
			(void)printf("\t\t\"%s\") words=\"", c->name);
			print_options(c);
			(void)printf("\";;\n");
		}
	(void)printf(
	    "\t\tesac\n\tfi\n"
	    "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	    "\tcase \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n"
	    "\t\t\"audit verify\"|\"audit search\"|\"audit export\"|\"audit reconcile\") COMPREPLY+=($(compgen -d -- \"$cur\"));;\n"
	    "\t\t\"audit check\"|\"cache warm\"|\"model quantize\"|\"model encrypt\") COMPREPLY+=($(compgen -f -- \"$cur\"));;\n"
	    "\t\t\"audit keys\") COMPREPLY+=($(compgen -W 'show rotate' -- \"$cur\"));;\n"
	    "\t\t\"audit witness\") COMPREPLY+=($(compgen -W keygen -- \"$cur\"));;\n"
	    "\tesac\n"
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

/* Are its arguments files? */
static bool
takes_files(const struct command *c)
{
	return strcmp(c->name, "audit check") == 0 || strcmp(c->name, "model quantize") == 0 ||
	       strcmp(c->name, "model encrypt") == 0;
}

static void
print_zsh_arguments(const struct command *c)
{
	(void)printf("_arguments");
	for (size_t k = 0; k < CLI_OPTIONS_MAX && c->options[k].name != NULL; k++) {
		(void)printf(" '--%s[", c->options[k].name);
		print_quoted(c->options[k].help);
		(void)printf("]%s%s'", c->options[k].value != NULL ? ":" : "",
			     c->options[k].value == NULL                   ? ""
			     : strcmp(c->options[k].value, "FILE") == 0    ? "file:_files"
			     : strcmp(c->options[k].value, "TYPE") == 0    ? "type:(" TYPE_NAMES ")"
			     : strncmp(c->options[k].value, "DIR", 3) == 0 ? "folder:_files -/"
									   : "value:");
	}
	if (c->rest != NULL && strncmp(c->rest, "[DIR", 4) == 0)
		(void)printf(" '*:folder:_files -/'");
	if (strcmp(c->name, "audit keys") == 0)
		(void)printf(" '*:what:(show rotate)'");
	if (strcmp(c->name, "audit witness") == 0)
		(void)printf(" '*:what:(keygen)'");
	if (takes_files(c))
		(void)printf(" '*:file:_files'");
	if (strcmp(c->name, "completion") == 0)
		(void)printf(" '*:shell:(bash zsh fish)'");
	(void)printf(";;\n");
}

/* What follows the first word of command number 'i', which is the first command with it. */
static void
print_zsh_group(size_t i)
{
	const struct command *c = command_at(i), *other;

	(void)printf("\t%.*s)\n", first_len(c), c->name);
	if (second_word(c) == NULL) {
		(void)printf("\t\t");
		print_zsh_arguments(c);
		return;
	}
	(void)printf("\t\tif (( CURRENT == 3 )); then compadd ");
	print_second_words(c);
	(void)printf("; return; fi\n\t\tcase $words[3] in\n");
	for (size_t k = i; (other = command_at(k)) != NULL; k++)
		if (same_first(other, c)) {
			(void)printf("\t\t%s) ", second_word(other));
			print_zsh_arguments(other);
		}
	(void)printf("\t\tesac;;\n");
}

static void
print_zsh(void)
{
	const struct command *c;

	(void)printf(
	    "#compdef infermesh\n# zsh completion of infermesh; made by 'infermesh completion zsh'\n"
	    "_infermesh() {\n\tif (( CURRENT == 2 )); then\n\t\tlocal -a cmds\n\t\tcmds=(\n");
	for (size_t i = 0; (c = command_at(i)) != NULL; i++) {
		if (!first_of_word(i))
			continue;
		(void)printf("\t\t\t'%.*s:", first_len(c), c->name);
		print_quoted(c->summary);
		(void)printf("'\n");
	}
	(void)printf("\t\t)\n\t\t_describe command cmds\n\t\treturn\n\tfi\n\tcase $words[2] in\n");
	for (size_t i = 0; command_at(i) != NULL; i++)
		if (first_of_word(i))
			print_zsh_group(i);
	/* As a file of $fpath it is called at once; by 'source' it is only made known. */
	(void)printf("\tesac\n}\n"
		     "if [[ $funcstack[1] == _infermesh ]]; then _infermesh \"$@\"; "
		     "else compdef _infermesh infermesh; fi\n");
}

/* "complete -c infermesh -n 'the words of the command were said'" */
static void
print_fish_condition(const struct command *c)
{
	(void)printf("complete -c infermesh -n '__fish_seen_subcommand_from %.*s", first_len(c),
		     c->name);
	if (second_word(c) != NULL)
		(void)printf("; and __fish_seen_subcommand_from %s", second_word(c));
	(void)putchar('\'');
}

static void
print_fish_options(const struct command *c)
{
	for (size_t k = 0; k < CLI_OPTIONS_MAX && c->options[k].name != NULL; k++) {
		const struct cli_option *o = &c->options[k];

		print_fish_condition(c);
		if (o->letter != 0)
			(void)printf(" -s %c", o->letter);
		(void)printf(" -l %s%s -d '", o->name,
			     o->value == NULL                ? ""
			     : strcmp(o->value, "FILE") == 0 ? " -r -F"
			     : strcmp(o->value, "TYPE") == 0 ? " -x -a '" TYPE_NAMES "'"
							     : " -x");
		print_quoted(o->help);
		(void)printf("'\n");
	}
}

static void
print_fish(void)
{
	const struct command *c;

	(void)printf(
	    "# fish completion of infermesh; made by 'infermesh completion fish'\ncomplete -c infermesh -f\n");
	for (size_t i = 0; (c = command_at(i)) != NULL; i++) {
		if (first_of_word(i)) {
			(void)printf("complete -c infermesh -n __fish_use_subcommand -a %.*s -d '",
				     first_len(c), c->name);
			print_quoted(c->summary);
			(void)printf("'\n");
		}
		if (second_word(c) != NULL) {
			(void)printf("complete -c infermesh -n '__fish_seen_subcommand_from %.*s; "
				     "and not __fish_seen_subcommand_from ",
				     first_len(c), c->name);
			print_second_words(c);
			(void)printf("' -a %s -d '", second_word(c));
			print_quoted(c->summary);
			(void)printf("'\n");
		}
		print_fish_options(c);
	}
	(void)printf(
	    "complete -c infermesh -n '__fish_seen_subcommand_from verify search export reconcile check quantize encrypt' -F\n"
	    "complete -c infermesh -n '__fish_seen_subcommand_from witness' -a keygen\n"
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
