/*
 * cli/commands.c - the table of commands. Nothing runs here.
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

const struct command commands[] = {
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
	{
	    .name = "audit verify",
	    .summary = "recompute an audit log from its bytes",
	    .rest = "[DIR|URL]",
	    .rest_max = 1,
	    .options = { OPT_COMMON,
			 { "vkey", 'k', "KEY", "verifier key of the log's first shard" },
			 { "seen", 's', "FILE", "a checkpoint that you kept; it must continue" },
			 { "witness", 'w', "KEY", "a witness's verifier key; may be repeated" },
			 { "quorum", 'q', "K", "so many must have cosigned; default: most" },
			 { "json", 'j', NULL, "the report as one JSON object" } },
	    .description = audit_verify_help,
	    .examples =
		"infermesh audit verify\n"
		"infermesh audit verify /backup/audit --vkey \"$(cat trusted.vkey)\"\n"
		"infermesh audit verify --seen checkpoint.of.last.month\n"
		"infermesh audit verify /backup/audit --vkey \"$(cat trusted.vkey)\" --witness \"$(cat w1.vkey)\" --witness \"$(cat w2.vkey)\" --quorum 2\n"
		"infermesh audit verify https://log.example.com --vkey \"$(cat trusted.vkey)\"",
	    .run = run_audit_verify,
	},
	{
	    .name = "audit show",
	    .summary = "print one record, or those of one request",
	    .rest = "INDEX|REQUEST_ID",
	    .rest_max = 1,
	    .options = { OPT_COMMON,
			 { "log", 'l', "DIR|URL", "which log; default: audit.dir" },
			 { "vkey", 'k', "KEY", "verifier key of the log" },
			 { "json", 'j', NULL, "as one JSON object" } },
	    .description = audit_show_help,
	    .examples =
		"infermesh audit show 4711\n"
		"infermesh audit show chatcmpl-00112233445566778899aabbccddeeff --json | jq '.records[].outcome'\n"
		"infermesh audit show 0 --log https://log.example.com",
	    .run = run_audit_show,
	},
	{
	    .name = "audit search",
	    .summary = "find records by who, when, what and how it ended",
	    .rest = "[DIR|URL]",
	    .rest_max = 1,
	    .options = { OPT_COMMON,
			 { "caller", 'u', "NAME", "whose requests; or a pseudonym, 32 hex digits" },
			 { "tenant", 't', "NAME", "of which tenant; or a pseudonym" },
			 { "since", 's', "WHEN", "logged since 2026-01-31, or 2h ago" },
			 { "until", 'b', "WHEN", "logged before then" },
			 { "model", 'm', "MODEL", "which model" },
			 { "worker", 'w', "WORKER", "who answered" },
			 { "kind", 'k', "KIND", "REQUEST, RESPONSE, CONFIG, ROUTE_CHANGE, ..." },
			 { "outcome", 'o', "OUTCOME",
			   "OK, ERROR, CANCELLED, CACHE_HIT, COALESCED, REJECTED" },
			 { "status", 'x', "CODE", "the HTTP status that the caller saw" },
			 { "limit", 'n', "N", "at most so many, the newest; default: 100; 0: all" },
			 { "scan", 0, NULL, "read the whole log; do without the index" },
			 { "json", 'j', NULL, "as one JSON object" } },
	    .description = audit_search_help,
	    .examples =
		"infermesh audit search --outcome ERROR --since 1h\n"
		"infermesh audit search --caller alice --tenant acme --model chat --limit 20\n"
		"infermesh audit search --kind ROUTE_CHANGE --json | jq '.records[].routing.reason'\n"
		"infermesh audit search --status 503 https://log.example.com",
	    .run = run_audit_search,
	},
	{
	    .name = "audit export",
	    .summary = "print the records as JSON, one a line",
	    .rest = "[DIR|URL]",
	    .rest_max = 1,
	    .options = { OPT_COMMON,
			 { "from", 'f', "INDEX", "from this record on" },
			 { "to", 't', "INDEX", "up to this record, which is the last" },
			 { "since", 's', "WHEN", "logged since 2026-01-31, or 2h ago" },
			 { "until", 'u', "WHEN", "logged before then" },
			 { "output", 'o', "FILE", "write to FILE; else to standard output" },
			 { "ndjson", 'n', NULL, "one object a line; the default" },
			 { "json", 'j', NULL, "one array of objects" } },
	    .description = audit_export_help,
	    .examples =
		"infermesh audit export >records.ndjson\n"
		"infermesh audit export --since 1d | jq -r 'select(.status_code == 503).request_id'\n"
		"infermesh audit export --from 1000000 -o more.ndjson https://log.example.com",
	    .run = run_audit_export,
	},
	{
	    .name = "audit reconcile",
	    .summary = "find admitted requests that the log lacks, or did not end",
	    .rest = "[DIR|URL]",
	    .rest_max = 1,
	    .options = { OPT_COMMON, { "json", 'j', NULL, "as one JSON object" } },
	    .description = audit_reconcile_help,
	    .examples = "infermesh audit reconcile\n"
			"infermesh audit reconcile --json | jq -r '.missing[].request_id'\n"
			"infermesh audit reconcile /backup/audit",
	    .run = run_audit_reconcile,
	},
	{
	    .name = "audit prove",
	    .summary = "prove that a record is in the log",
	    .rest = "INDEX",
	    .rest_max = 1,
	    .options = { OPT_COMMON,
			 { "output", 'o', "FILE",
			   "write the proof to FILE; else to standard output" },
			 { "log", 'l', "DIR|URL", "which log; default: audit.dir" },
			 { "vkey", 'k', "KEY", "verifier key of the log" },
			 { "json", 'j', NULL, "as one JSON object" } },
	    .description = audit_prove_help,
	    .examples =
		"infermesh audit prove 4711 -o 4711.tlog-proof\n"
		"infermesh audit prove 4711 --log https://log.example.com --vkey \"$(cat trusted.vkey)\" >4711.tlog-proof",
	    .run = run_audit_prove,
	},
	{
	    .name = "audit check",
	    .summary = "check a proof, and that a text is what was logged",
	    .rest = "FILE",
	    .rest_max = 1,
	    .options = { OPT_COMMON,
			 { "vkey", 'k', "KEY", "verifier key of the log; default: this machine's" },
			 { "witness", 'w', "KEY", "a witness's verifier key; may be repeated" },
			 { "quorum", 'q', "K", "so many must have cosigned; default: most" },
			 { "content", 't', "FILE", "what is said to have been asked or answered" },
			 { "opening", 'p', "HEX", "what 'infermesh audit open' printed" },
			 { "field", 'f', "FIELD", "input or output; default: input" },
			 { "json", 'j', NULL, "the verdict as one JSON object" } },
	    .description = audit_check_help,
	    .examples =
		"infermesh audit check 4711.tlog-proof --vkey \"$(cat trusted.vkey)\"\n"
		"infermesh audit check 4711.tlog-proof --vkey \"$(cat trusted.vkey)\" --content request.json --opening 5f0c...",
	    .run = run_audit_check,
	},
	{
	    .name = "audit open",
	    .summary = "hand out the opening of one field of a record",
	    .rest = "INDEX",
	    .rest_max = 1,
	    .options = { OPT_COMMON,
			 { "field", 'f', "FIELD", "input or output; default: input" },
			 { "log", 'l', "DIR", "folder of the log; default: audit.dir" },
			 { "tenant", 't', "TENANT",
			   "whose it is: for records without a subject_key" },
			 { "caller", 'u', "CALLER", "the same" },
			 { "json", 'j', NULL, "as one JSON object" } },
	    .description = audit_open_help,
	    .examples = "infermesh audit open 4711\n"
			"infermesh audit open 4712 --field output --json | jq -r .opening",
	    .run = run_audit_open,
	},
	{
	    .name = "audit erase",
	    .summary = "destroy the key of one subject, for good",
	    .options = { OPT_COMMON,
			 { "subject", 's', "TENANT/CALLER",
			   "whose records shall never be opened again" },
			 { "yes", 'y', NULL, "do not ask" },
			 { "json", 'j', NULL, "as one JSON object" } },
	    .description = audit_erase_help,
	    .examples = "infermesh audit erase --subject acme/alice\n"
			"infermesh audit erase --subject acme/alice --yes --json",
	    .run = run_audit_erase,
	},
	{
	    .name = "audit prune",
	    .summary = "delete old entries of the audit log",
	    .options = { OPT_COMMON,
			 { "before", 'b', "DATE",
			   "before 2026-01-31 or 2026-01-31T12:00:00Z (UTC)" },
			 { "keep", 'k', "DAYS", "entries older than so many days" },
			 { "dry-run", 'n', NULL, "only say what would go" },
			 { "json", 'j', NULL, "as one JSON object" } },
	    .description = audit_prune_help,
	    .examples = "infermesh audit prune --dry-run\n"
			"infermesh audit prune --keep 90\n"
			"infermesh audit prune --before 2026-01-01 --json",
	    .run = run_audit_prune,
	},
	{
	    .name = "audit keys",
	    .summary = "show the keys that the log is signed with; make a new one",
	    .rest = "[show|rotate]",
	    .rest_max = 1,
	    .options = { OPT_COMMON,
			 { "log", 'l', "DIR|URL", "which log to show; default: audit.dir" },
			 { "vkey", 'k', "KEY", "verifier key of its first shard" },
			 { "json", 'j', NULL, "as one JSON object" } },
	    .description = audit_keys_help,
	    .examples = "infermesh audit keys show --log https://log.example.com\n"
			"infermesh audit keys rotate --json | jq -r .vkey",
	    .run = run_audit_keys,
	},
	{
	    .name = "audit witness",
	    .summary = "show who cosigns the log; make a witness's key",
	    .rest = "[keygen]",
	    .rest_max = 1,
	    .options = { OPT_COMMON, { "json", 'j', NULL, "as one JSON object" } },
	    .description = audit_witness_help,
	    .examples =
		"infermesh audit witness\n"
		"infermesh audit witness --json | jq '.witnesses[] | select(.state != \"fine\")'\n"
		"infermesh audit witness keygen --config witness.yaml",
	    .run = run_audit_witness,
	},
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
};

const size_t commands_len = sizeof(commands) / sizeof(commands[0]);
