/*
 * cli/commands_help.h - what 'infermesh help' says at length of the commands with many words; for commands.c only.
 */
#ifndef CLI_COMMANDS_HELP_H
#define CLI_COMMANDS_HELP_H

extern const char cache_stats_help[];
extern const char cache_get_help[];
extern const char cache_purge_help[];
extern const char cache_warm_help[];
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
