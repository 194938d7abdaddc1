/*
 * cli/commands_model.c - the commands about models: their rows of the table.
 */
#include "cli/command.h"
#include "cli/commands_help.h"

#define MODEL_ROW(verb, what, example)                                                             \
	{                                                                                          \
		.name = "model " #verb, .summary = what, .rest = "MODEL", .rest_max = 1,           \
		.options = { OPT_COMMON,                                                           \
			     OPT_WORKER,                                                           \
			     { "json", 'j', NULL, "as one JSON object" } },                        \
		.description = model_##verb##_help, .examples = example, .run = run_model_##verb,  \
	}

const struct command model_commands[] = {
	{
	    .name = "model list",
	    .summary = "show the models of local workers",
	    .options = { OPT_COMMON, OPT_WORKER, { "json", 'j', NULL, "as one JSON object" } },
	    .description = model_list_help,
	    .examples = "infermesh model list\n"
			"infermesh model list --worker w1 --json | jq '.workers[].models[].digest'",
	    .run = run_model_list,
	},
	MODEL_ROW(load, "load a model of a worker's manifest",
		  "infermesh model load chat --worker w1"),
	MODEL_ROW(unload, "stop serving a model and free its memory",
		  "infermesh model unload chat"),
	MODEL_ROW(reload, "put new weights in the place of those in use",
		  "mv chat.gguf.new chat.gguf && infermesh model reload chat"),
	MODEL_ROW(verify, "compare a model's file with its SHA-256", "infermesh model verify chat"),
	{
	    .name = "model quantize",
	    .summary = "make a model file smaller: fewer bits a weight",
	    .rest = "IN OUT",
	    .rest_max = 2,
	    .options = { OPT_HELP,
			 { "type", 't', "TYPE", "what the weights become: q8_0, q4_k_m, ..." },
			 { "force", 'f', NULL, "replace OUT if it is there" },
			 { "requantize", 'r', NULL, "also weights that are quantised already" },
			 { "threads", 'n', "N", "default: one for each processor" },
			 { "json", 'j', NULL, "as one JSON object" } },
	    .description = model_quantize_help,
	    .examples =
		"infermesh model quantize chat-f16.gguf chat-q4_k_m.gguf --type q4_k_m\n"
		"infermesh model quantize chat-q8_0.gguf chat-q4_0.gguf --type q4_0 --requantize --json",
	    .run = run_model_quantize,
	},
	{
	    .name = "model encrypt",
	    .summary = "encrypt a model file for local workers",
	    .rest = "IN OUT",
	    .rest_max = 2,
	    .options = { OPT_HELP,
			 { "key-file", 'k', "FILE", "the key's file, mode 0600" },
			 { "new-key", 'n', NULL, "make FILE, with a fresh key" },
			 { "force", 'f', NULL, "replace OUT if it is there" },
			 { "json", 'j', NULL, "as one JSON object" } },
	    .description = model_encrypt_help,
	    .examples =
		"infermesh model encrypt chat.gguf chat.imdl --key-file models.key --new-key\n"
		"infermesh model encrypt new.gguf chat.imdl --key-file models.key --force && infermesh model reload chat",
	    .run = run_model_encrypt,
	},
	{ .name = NULL },
};
