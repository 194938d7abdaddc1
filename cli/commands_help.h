/*
 * cli/commands_help.h - what 'infermesh help' says at length of the commands, the options that many of them have, and the groups of
 * rows; for commands.c and commands_*.c only.
 */
#ifndef CLI_COMMANDS_HELP_H
#define CLI_COMMANDS_HELP_H

#include "cli/command.h"

/* Options that many of them have. */
#define OPT_CONFIG                                                                                 \
	{                                                                                          \
		"config", 'c', "FILE",                                                             \
		    "read FILE; else $INFERMESH_CONFIG; else the built-in defaults"                \
	}
#define OPT_HELP                                                                                   \
	{                                                                                          \
		"help", 'h', NULL, "this page"                                                     \
	}

/* What nearly all have. */
#define OPT_COMMON OPT_CONFIG, OPT_HELP

#define OPT_WORKER                                                                                 \
	{                                                                                          \
		"worker", 'w', "WORKER", "which local worker; not needed where there is one"       \
	}

/* Rows in the order of the overview; one without a name ends them. */
extern const struct command route_commands[];
extern const struct command cache_commands[];
extern const struct command model_commands[];
extern const struct command audit_commands[];

extern const char up_help[];
extern const char status_help[];
extern const char chat_help[];
extern const char explain_help[];
extern const char route_list_help[];
extern const char route_set_help[];
extern const char route_reset_help[];
extern const char route_ramp_help[];
extern const char worker_list_help[];
extern const char worker_drain_help[];
extern const char worker_undrain_help[];
extern const char worker_weight_help[];
extern const char key_create_help[];
extern const char cache_stats_help[];
extern const char cache_get_help[];
extern const char cache_purge_help[];
extern const char cache_warm_help[];
extern const char cache_store_help[];
extern const char model_list_help[];
extern const char model_load_help[];
extern const char model_unload_help[];
extern const char model_reload_help[];
extern const char model_verify_help[];
extern const char model_quantize_help[];
extern const char model_encrypt_help[];
extern const char audit_verify_help[];
extern const char audit_show_help[];
extern const char audit_search_help[];
extern const char audit_export_help[];
extern const char audit_reconcile_help[];
extern const char audit_prove_help[];
extern const char audit_check_help[];
extern const char audit_open_help[];
extern const char audit_erase_help[];
extern const char audit_prune_help[];
extern const char audit_keys_help[];
extern const char audit_witness_help[];

#endif
