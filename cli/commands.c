/*
 * cli/commands.c - the table of commands. Nothing runs here.
 */
#include "cli/command.h"
#include "cli/commands_help.h"

static const struct command first[] = {
	{
	    .name = "up",
	    .summary = "start a whole mesh on this machine and keep it running",
	    .options = { OPT_COMMON,
			 { "single-process", 's', NULL,
			   "all services in this one process: for small machines and tests" },
			 { "check", 0, NULL,
			   "check the configuration, and that the files are there that it names, and end" },
			 { "print-config", 0, NULL,
			   "print the effective configuration, every key explained, and end" } },
	    .description = up_help,
	    .examples = "infermesh up\n"
			"infermesh up --single-process\n"
			"infermesh up --print-config >infermesh.yaml\n"
			"infermesh up --config infermesh.yaml 2>mesh.log",
	    .run = run_up,
	},
	{
	    .name = "status",
	    .summary = "show workers, load and counters of a running mesh",
	    .options = { OPT_COMMON,
			 { "json", 'j', NULL, "as one JSON object" },
			 { "watch", 'w', NULL, "again every second, until Ctrl-C" } },
	    .description = status_help,
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
	    .options = { OPT_COMMON,
			 { "model", 'm', "MODEL",
			   "which model; default: the first one of the mesh" },
			 { "system", 's', "TEXT",
			   "instructions that come before the conversation" },
			 { "temperature", 't', "T", "0 to 2: how freely words are chosen" },
			 { "max-tokens", 'n', "N", "longest answer in tokens" } },
	    .description = chat_help,
	    .examples = "infermesh chat 'Why is the sky blue?'\n"
			"infermesh chat -m demo --temperature 0 - <question.txt\n"
			"infermesh chat --system 'Answer in one word.'",
	    .run = run_chat,
	},
	{
	    .name = "explain",
	    .summary = "say why a request went where it went",
	    .rest = "REQUEST_ID",
	    .rest_max = 1,
	    .options = { OPT_COMMON,
			 { "log", 'l', "DIR", "folder of the log; default: audit.dir" },
			 { "json", 'j', NULL, "as one JSON object" } },
	    .description = explain_help,
	    .examples =
		"infermesh explain 664be6900c578ba2fef8432437cf2e45\n"
		"infermesh explain --json --log /backup/audit 664be6900c578ba2fef8432437cf2e45",
	    .run = run_explain,
	},
	{ .name = NULL },
};

static const struct command last[] = {
	{
	    .name = "key create",
	    .summary = "make an API key for the gateway",
	    .options = { OPT_COMMON,
			 { "name", 'n', "CALLER", "who will use it; default: your user name" },
			 { "tenant", 't', "TENANT", "whose data it sees; default: 'default'" } },
	    .description = key_create_help,
	    .examples = "infermesh key create --name ci --tenant acme\n"
			"export OPENAI_API_KEY=\"$(infermesh key create --name me)\"",
	    .run = run_key_create,
	},
	{
	    .name = "completion",
	    .summary = "print the completion script of a shell",
	    .rest = "bash|zsh|fish",
	    .rest_max = 1,
	    .options = { OPT_COMMON },
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
	    .options = { OPT_COMMON },
	    .description = "Without COMMAND: all commands.",
	    .examples = "infermesh help chat",
	    .run = run_help,
	},
	{ .name = NULL },
};

const struct command *
command_at(size_t i)
{
	static const struct command *const groups[] = {
		first, route_commands, cache_commands, model_commands, audit_commands, last,
	};

	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
		for (const struct command *c = groups[g]; c->name != NULL; c++)
			if (i-- == 0)
				return c;
	return NULL;
}
