/*
 * cli/commands_audit.c - the commands about the audit log: their rows of the table.
 */
#include "cli/command.h"
#include "cli/commands_help.h"

const struct command audit_commands[] = {
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
	{ .name = NULL },
};
