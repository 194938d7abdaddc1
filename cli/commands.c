/*
 * cli/commands.c - the table of commands. Nothing runs here.
 */
#include "cli/command.h"

#define OPT_CONFIG                                                                                 \
	{                                                                                          \
		"config", 'c', "FILE",                                                             \
		    "read FILE; else $INFERMESH_CONFIG; else the built-in defaults"                \
	}
#define OPT_HELP                                                                                   \
	{                                                                                          \
		"help", 'h', NULL, "this page"                                                     \
	}

const struct command commands[] = {
	{
	    .name = "up",
	    .summary = "start a whole mesh on this machine and keep it running",
	    .options = { OPT_CONFIG,
			 OPT_HELP,
			 { "single-process", 's', NULL,
			   "all services in this one process: for small machines and tests" },
			 { "check", 0, NULL, "check the configuration and end" },
			 { "print-config", 0, NULL,
			   "print the effective configuration, every key explained, and end" } },
	    .description =
		"Starts gateway, router, cache, audit and one inference daemon for each entry of 'workers' (without any: one\n"
		"that serves the bundled demo model), restarts one that dies, and stops all in order on Ctrl-C. When the mesh\n"
		"answers, its address and how to try it are printed. The first start makes an API key for this machine and\n"
		"keeps it in mesh.state_dir/local.key. Logs go to standard error: short lines on a terminal, else one JSON\n"
		"object an event (log.format).",
	    .examples = "infermesh up\n"
			"infermesh up --single-process\n"
			"infermesh up --print-config >infermesh.yaml\n"
			"infermesh up --config infermesh.yaml 2>mesh.log",
	    .run = run_up,
	},
	{
	    .name = "status",
	    .summary = "show workers, load and counters of a running mesh",
	    .options = { OPT_CONFIG,
			 OPT_HELP,
			 { "json", 'j', NULL, "as one JSON object" },
			 { "watch", 'w', NULL, "again every second, until Ctrl-C" } },
	    .description =
		"Asks the router, and the cache and audit services if they are reached, over the mesh.",
	    .examples = "infermesh status\n"
			"infermesh status --watch\n"
			"infermesh status --json | jq .router.slots",
	    .run = run_status,
	},
	{
	    .name = "chat",
	    .summary = "talk to a model",
	    .rest = "[TEXT...]",
	    .rest_max = -1,
	    .options = { OPT_CONFIG,
			 OPT_HELP,
			 { "model", 'm', "MODEL",
			   "which model; default: the first one of the mesh" },
			 { "system", 's', "TEXT",
			   "instructions that come before the conversation" },
			 { "temperature", 't', "T", "0 to 2: how freely words are chosen" },
			 { "max-tokens", 'n', "N", "longest answer in tokens" } },
	    .description =
		"With TEXT: one answer, streamed to standard output. TEXT '-' is all of standard input. Without TEXT: a\n"
		"conversation, line by line (/help shows its commands). Ctrl-C cancels an answer; at the prompt it leaves.",
	    .examples = "infermesh chat 'Why is the sky blue?'\n"
			"infermesh chat -m demo --temperature 0 - <question.txt\n"
			"infermesh chat --system 'Answer in one word.'",
	    .run = run_chat,
	},
	{
	    .name = "audit verify",
	    .summary = "recompute an audit log from its bytes",
	    .rest = "[DIR]",
	    .rest_max = 1,
	    .options = { OPT_CONFIG,
			 OPT_HELP,
			 { "vkey", 'k', "KEY",
			   "verifier key that the checkpoint must be signed with" },
			 { "json", 'j', NULL, "the report as one JSON object" } },
	    .description =
		"Recomputes every hash of the log in DIR (default: audit.dir of the configuration), checks its signature,\n"
		"decodes every record and names requests without an end. Status 0: all is as it was written; 1: it is not,\n"
		"and the first deviation is named. Needs no running mesh. Without --vkey the log of this machine is checked\n"
		"against its own key (audit.key_file); the signature of any other log is not checked. The report and 'infermesh\n"
		"status --json' show the key: keep a copy elsewhere, for only that proves that nobody wrote the log anew.",
	    .examples = "infermesh audit verify\n"
			"infermesh audit verify /backup/audit --vkey \"$(cat trusted.vkey)\"",
	    .run = run_audit_verify,
	},
	{
	    .name = "key create",
	    .summary = "make an API key for the gateway",
	    .options = { OPT_CONFIG,
			 OPT_HELP,
			 { "name", 'n', "CALLER", "who will use it; default: your user name" },
			 { "tenant", 't', "TENANT", "whose data it sees; default: 'default'" } },
	    .description =
		"Prints the key once; gateway.keys_file keeps its hash only. A running gateway takes it within a second.",
	    .examples = "infermesh key create --name ci --tenant acme\n"
			"export OPENAI_API_KEY=\"$(infermesh key create --name me)\"",
	    .run = run_key_create,
	},
	{
	    .name = "completion",
	    .summary = "print the completion script of a shell",
	    .rest = "bash|zsh|fish",
	    .rest_max = 1,
	    .options = { OPT_CONFIG, OPT_HELP },
	    .description = "Packages install these scripts; this is for the rest.",
	    .examples = "source <(infermesh completion bash)\n"
			"infermesh completion fish > ~/.config/fish/completions/infermesh.fish",
	    .run = run_completion,
	},
	{
	    .name = "help",
	    .summary = "explain a command",
	    .rest = "[COMMAND]",
	    .rest_max = 2,
	    .options = { OPT_CONFIG, OPT_HELP },
	    .description = "Without COMMAND: all commands.",
	    .examples = "infermesh help chat",
	    .run = run_help,
	},
};

const size_t commands_len = sizeof(commands) / sizeof(commands[0]);
