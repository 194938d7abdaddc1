/*
 * cli/command.h - one row for each command of 'infermesh': its words, options, help and function. Parsing, help and shell
 * completion all come from this table (commands.c, and a commands_*.c for each group).
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "daemon/config.h"

#define EXIT_FINE    0
#define EXIT_TROUBLE 1
#define EXIT_USAGE   2

#define CLI_OPTIONS_MAX 16
#define CLI_GIVEN_MAX   64 /* options on one command line */

struct cli_option {
	const char *name;  /* without the dashes; NULL ends a list */
	char letter;       /* 0 = none */
	const char *value; /* what the help calls its value; NULL = a flag */
	const char *help;
};

/* What the command line said. */
struct cli_args {
	const struct command *command;
	const char *value
	    [CLI_OPTIONS_MAX]; /* in the order of the command's options; a flag that was given: ""; the last one if there are several */
	struct {
		size_t option;
		const char *value;
	} given[CLI_GIVEN_MAX]; /* all, in the order of the command line */
	size_t given_count;
	char **rest; /* positional arguments */
	int rest_count;
};

struct command {
	const char *name;    /* "up", "audit verify" */
	const char *summary; /* one line */
	const char *rest;    /* positional arguments for the help: "[DIR]", or NULL */
	int rest_max;        /* -1 = any number */
	struct cli_option options[CLI_OPTIONS_MAX];
	const char *description;
	const char *examples;
	int (*run)(const struct cli_args *args); /* returns the exit status */
};

/** Row number 'i' in the order of the overview; NULL: there are no more. */
const struct command *command_at(size_t i);

/** The option's value, "" for a flag that was given, NULL if it was not. 'name' must be one of the command's. */
const char *cli_value(const struct cli_args *args, const char *name);
bool cli_flag(const struct cli_args *args, const char *name);
/** Number 'i' of the values of an option that may be given several times; NULL: there are no more. */
const char *cli_value_at(const struct cli_args *args, const char *name, size_t i);

/** Parse what follows the command's words. IM_EINVAL with the text for the user. "--help" sets '*ret_help'. 'argv' is
 *  reordered: ret->rest points into it. */
IM_MUST_CHECK enum im_rc cli_parse(const struct command *command, int argc, char **argv,
				   struct cli_args *ret, bool *ret_help, struct im_err *err);

/** The command that 'argv' begins with and how many words its name has; NULL with a text that names the nearest. */
const struct command *cli_find(int argc, char **argv, int *ret_words, struct im_err *err);

/** The configuration that --config or $INFERMESH_CONFIG names, else the defaults. NULL after a message on stderr. */
struct config *cli_config(const struct cli_args *args);

/** Print "infermesh COMMAND: text" on stderr. Returns EXIT_TROUBLE. */
int cli_fail(const struct cli_args *args, const struct im_err *err);

void help_overview(void);
/** The commands whose first of two words is 'word': "route". False: there is none, and nothing is printed. */
bool help_group(const char *word);
void help_command(const struct command *command);

int run_up(const struct cli_args *args);
int run_status(const struct cli_args *args);
int run_chat(const struct cli_args *args);
int run_route_list(const struct cli_args *args);
int run_route_set(const struct cli_args *args);
int run_route_reset(const struct cli_args *args);
int run_route_ramp(const struct cli_args *args);
int run_worker_list(const struct cli_args *args);
int run_worker_drain(const struct cli_args *args);
int run_worker_undrain(const struct cli_args *args);
int run_worker_weight(const struct cli_args *args);
int run_cache_stats(const struct cli_args *args);
int run_cache_get(const struct cli_args *args);
int run_cache_purge(const struct cli_args *args);
int run_cache_warm(const struct cli_args *args);
int run_cache_store(const struct cli_args *args);
int run_model_list(const struct cli_args *args);
int run_model_load(const struct cli_args *args);
int run_model_unload(const struct cli_args *args);
int run_model_reload(const struct cli_args *args);
int run_model_encrypt(const struct cli_args *args);
int run_model_verify(const struct cli_args *args);
int run_model_quantize(const struct cli_args *args);
int run_explain(const struct cli_args *args);
int run_audit_verify(const struct cli_args *args);
int run_audit_reconcile(const struct cli_args *args);
int run_audit_search(const struct cli_args *args);
int run_audit_show(const struct cli_args *args);
int run_audit_export(const struct cli_args *args);
int run_audit_prove(const struct cli_args *args);
int run_audit_check(const struct cli_args *args);
int run_audit_open(const struct cli_args *args);
int run_audit_erase(const struct cli_args *args);
int run_audit_prune(const struct cli_args *args);
int run_audit_keys(const struct cli_args *args);
int run_audit_witness(const struct cli_args *args);
int run_key_create(const struct cli_args *args);
int run_completion(const struct cli_args *args);
int run_help(const struct cli_args *args);

#endif
