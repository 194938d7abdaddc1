/*
 * cli/commands_route.c - the commands about routes and workers: their rows of the table.
 */
#include "cli/command.h"
#include "cli/commands_help.h"

const struct command route_commands[] = {
	{
	    .name = "route list",
	    .summary = "show which models share a name, and how",
	    .options = { OPT_COMMON, { "json", 'j', NULL, "as one JSON object" } },
	    .description = route_list_help,
	    .examples = "infermesh route list\n"
			"infermesh route list --json | jq '.routes[].arms'",
	    .run = run_route_list,
	},
	{
	    .name = "route set",
	    .summary = "split the requests for a name over models",
	    .rest = "ALIAS [MODEL=WEIGHT...]",
	    .rest_max = -1,
	    .options = { OPT_COMMON,
			 { "sticky", 's', "BY",
			   "what stays with one model: session (default), caller, off" },
			 { "fallback", 'f', "MODELS",
			   "tried in this order when the arm cannot answer: a,b; none: no more" },
			 { "fallback-answer", 'a', "TEXT",
			   "what is answered when nobody else can; '': nothing" } },
	    .description = route_set_help,
	    .examples =
		"infermesh route set chat v1=90 v2=10\n"
		"infermesh route set chat --fallback small --fallback-answer 'Please try again later.'\n"
		"infermesh route set chat v1=1 v2=1 --sticky caller",
	    .run = run_route_set,
	},
	{
	    .name = "route reset",
	    .summary = "go back to what the configuration file says",
	    .rest = "ALIAS",
	    .rest_max = 1,
	    .options = { OPT_COMMON },
	    .description = route_reset_help,
	    .examples = "infermesh route reset chat",
	    .run = run_route_reset,
	},
	{
	    .name = "route ramp",
	    .summary = "move a name's requests to one model step by step",
	    .rest = "ALIAS [MODEL]",
	    .rest_max = 2,
	    .options = { OPT_COMMON,
			 { "step", 's', "PERCENT",
			   "how much more it gets at each step; default 10" },
			 { "every", 'e', "TIME", "how long a step lasts; default 30s" },
			 { "max-error-rate", 'r', "SHARE",
			   "roll back if more of its requests fail; default 1%" },
			 { "max-p99", 'p', "TIME",
			   "roll back if more than 1 in 100 takes longer; default: not watched" },
			 { "min-requests", 'n', "N",
			   "a step with fewer of its requests waits; default 100" },
			 { "watch", 'w', NULL, "show its progress until it ends" },
			 { "abort", 0, NULL, "end it and restore the weights before it" } },
	    .description = route_ramp_help,
	    .examples =
		"infermesh route ramp chat v2 --step 10 --every 30s --max-error-rate 1% --max-p99 500ms\n"
		"infermesh route ramp chat --watch\n"
		"infermesh route ramp chat --abort",
	    .run = run_route_ramp,
	},
	{
	    .name = "worker list",
	    .summary = "show the workers and how they do",
	    .options = { OPT_COMMON, { "json", 'j', NULL, "as one JSON object" } },
	    .description = worker_list_help,
	    .examples = "infermesh worker list",
	    .run = run_worker_list,
	},
	{
	    .name = "worker drain",
	    .summary = "give a worker no new requests",
	    .rest = "WORKER",
	    .rest_max = 1,
	    .options = { OPT_COMMON },
	    .description = worker_drain_help,
	    .examples = "infermesh worker drain gpu-3",
	    .run = run_worker_drain,
	},
	{
	    .name = "worker undrain",
	    .summary = "give a drained worker requests again",
	    .rest = "WORKER",
	    .rest_max = 1,
	    .options = { OPT_COMMON },
	    .description = worker_undrain_help,
	    .examples = "infermesh worker undrain gpu-3",
	    .run = run_worker_undrain,
	},
	{
	    .name = "worker weight",
	    .summary = "change a worker's share of the requests",
	    .rest = "WORKER WEIGHT",
	    .rest_max = 2,
	    .options = { OPT_COMMON },
	    .description = worker_weight_help,
	    .examples = "infermesh worker weight gpu-3 50\n"
			"infermesh worker weight gpu-3 reset",
	    .run = run_worker_weight,
	},
	{ .name = NULL },
};
