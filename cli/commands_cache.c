/*
 * cli/commands_cache.c - the commands about the cache: their rows of the table.
 */
#include "cli/command.h"
#include "cli/commands_help.h"

const struct command cache_commands[] = {
	{
	    .name = "cache stats",
	    .summary = "show the tiers of the cache and how they do",
	    .options = { OPT_COMMON, { "json", 'j', NULL, "as one JSON object" } },
	    .description = cache_stats_help,
	    .examples = "infermesh cache stats\n"
			"infermesh cache stats --json",
	    .run = run_cache_stats,
	},
	{
	    .name = "cache get",
	    .summary = "show one cached answer",
	    .rest = "KEY",
	    .rest_max = 1,
	    .options = { OPT_COMMON, { "json", 'j', NULL, "as one JSON object" } },
	    .description = cache_get_help,
	    .examples =
		"infermesh cache get cbe39fbf9e8140f6887c7c1cb947bc47772437c351908df3ece5ce570880d84b",
	    .run = run_cache_get,
	},
	{
	    .name = "cache purge",
	    .summary = "forget cached answers, in every tier",
	    .options = { OPT_COMMON,
			 { "model", 'm', "MODEL", "answers of this model" },
			 { "tenant", 't', "TENANT", "answers for this tenant" },
			 { "key", 'k', "KEY", "the answer under this key" },
			 { "older-than", 'o', "WHEN",
			   "answers made before: 2026-01-31, or 30m, 2h, 7d ago" },
			 { "all", 0, NULL, "every answer" },
			 { "json", 'j', NULL, "as one JSON object" } },
	    .description = cache_purge_help,
	    .examples = "infermesh cache purge --model demo\n"
			"infermesh cache purge --tenant acme --older-than 1h\n"
			"infermesh cache purge --all",
	    .run = run_cache_purge,
	},
	{
	    .name = "cache warm",
	    .summary = "ask the questions of a file, so that their answers are cached",
	    .rest = "FILE",
	    .rest_max = 1,
	    .options = { OPT_COMMON,
			 { "tenant", 't', "TENANT", "whose answers they will be (default)" },
			 { "json", 'j', NULL, "as one JSON object" } },
	    .description = cache_warm_help,
	    .examples = "infermesh cache warm questions.jsonl --tenant acme",
	    .run = run_cache_warm,
	},
	{
	    .name = "cache store",
	    .summary = "look at or change one entry of the store: get, put, append, set, delete",
	    .rest = "OPERATION NAMESPACE KEY [VALUE]",
	    .rest_max = 4,
	    .options = { OPT_CONFIG,
			 OPT_HELP,
			 { "ttl", 't', "TIME", "how long it is kept: 30s, 5m, 1h (1h)" },
			 { "version", 0, "N", "set, delete: only if it has this version" },
			 { "json", 'j', NULL, "as one JSON object" } },
	    .description = cache_store_help,
	    .examples =
		"infermesh cache store put notes greeting 'good morning' --ttl 5m\n"
		"infermesh cache store get notes greeting --json\n"
		"infermesh cache store set notes greeting 'good night' --version 1795401000000000",
	    .run = run_cache_store,
	},
	{ .name = NULL },
};
