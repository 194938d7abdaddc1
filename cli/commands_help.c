/*
 * cli/commands_help.c - texts of the help; see commands_help.h.
 */
#include "cli/commands_help.h"

#include "inference/local_quantize.h"

const char up_help[] =
    "Starts gateway, router, cache, audit and one inference daemon for each entry of 'workers' (without any: one\n"
    "that serves the bundled demo model), restarts one that dies, and stops all in order on Ctrl-C. When the mesh\n"
    "answers, its address and how to try it are printed. The first start makes an API key for this machine and\n"
    "keeps it in mesh.state_dir/local.key. Logs go to standard error: short lines on a terminal, else one JSON\n"
    "object an event (log.format).";

const char status_help[] =
    "Asks the router, and the cache and audit services if they are reached, over the mesh.";

const char chat_help[] =
    "With TEXT: one answer, streamed to standard output. TEXT '-' is all of standard input. Without TEXT: a\n"
    "conversation, line by line (/help shows its commands). Ctrl-C cancels an answer; at the prompt it leaves.";

const char explain_help[] =
    "REQUEST_ID is what the client got as x-request-id. Prints from the audit log who answered, by which policy\n"
    "and rule, what the router saw of each worker (load, state, breaker, weight), which attempts failed and why,\n"
    "which arm of a route it was, whose generation it shared, and what it fell back to. Needs no running mesh.\n"
    "It reads the log back to that request and proves nothing: 'infermesh audit verify' does.";

const char route_list_help[] =
    "A route gives the requests for one name (the alias) to one or more models (its arms) by weight. SHARE is what\n"
    "the weights come to, REQUESTS and FAILED count since the router's start or, when that was later, since the\n"
    "model became an arm. Shows the present or last ramp too, and which of the models no worker serves.";

const char route_set_help[] =
    "Takes effect at once, without a dropped request, and is kept over restarts: what an operator set wins over the\n"
    "configuration file until 'route reset'. What is not named stays as it was. The models need not be served yet.\n"
    "A session keeps its model when weights change, unless its model's share shrinks. It ends a ramp. The change\n"
    "is in the audit log.";

const char route_reset_help[] =
    "A route that the file does not have is gone afterwards. It ends a ramp.";

const char route_ramp_help[] =
    "Moves ALIAS to MODEL up to 100 %, which is watched for one more step. A step ends well when it lasted its time,\n"
    "enough requests ended and both limits are kept; with fewer requests it goes on. Beyond a limit the weights\n"
    "before the ramp are restored at once, unless the other models of ALIAS do no better: then it waits. The ramp runs\n"
    "inside the router: this command may end, and after a restart of the router the step begins again. Each step is\n"
    "in the audit log. With --watch the exit status is 0 when it came to 100 %, 1 when it was rolled back.";

const char worker_list_help[] =
    "SLOTS are requests of this router there, CAP what the worker takes at once. REQ/S, FAILED%, P50 and P99 are of\n"
    "the last minute. A weight like 40/100 grows: the worker starts slowly. Models whose breaker is open say so.";

const char worker_drain_help[] =
    "Those that it has go on to their end: when SLOTS is 0 it may be stopped. Holds until 'worker undrain', also when the\n"
    "worker or the router restarts. The change is in the audit log.";

const char worker_undrain_help[] =
    "At once; what it says of itself holds again, and what its breakers say: 'infermesh worker list' shows it.";

const char worker_weight_help[] =
    "WEIGHT is 1 to 10000, in place of workers[].weight (100 by default), or 'reset'. Holds until then, also when\n"
    "the worker or the router restarts. The change is in the audit log.";

const char key_create_help[] =
    "Prints the key once; gateway.keys_file keeps its hash only. A running gateway takes it within a second.";

const char cache_stats_help[] =
    "Since the cache was started. MISSES of a tier are asked of the next one below. FAILED are lookups that it did not answer\n"
    "in time, or not at all; CORRUPT are entries that were none and were removed; both are misses for who asked. Every daemon of cache.addresses is asked; the exit status is 1 when one is not reached.";

const char cache_get_help[] =
    "KEY is 64 hexadecimal digits; 'infermesh explain' shows that of a request. Asks as a request would, so the tiers count it; of several\n"
    "cache daemons the one that keeps this key.\n"
    "The exit status is 1 when no tier has it.";

const char cache_purge_help[] =
    "All that is given must hold. Answers that are made meanwhile may stay. The purge is in the audit log, as a CONFIG record of\n"
    "the cache. Every daemon of cache.addresses is asked. The exit status is 1 when a tier cannot say that all is gone, or a daemon\n"
    "is not reached.";

const char cache_warm_help[] =
    "Each line of FILE (- is standard input) is the JSON body of a chat completion, as callers send it. They are asked one after the\n"
    "other, as requests like any other: limits hold, and each is in the audit log. The exit status is 1 when one failed.";

const char cache_store_help[] =
    "What daemons keep for a time: not answers, which 'cache get' shows. OPERATION is get, put, append, set or delete; set is done\n"
    "only if the entry has the version that --version says (0, also without it: if there is none). VALUE is text; --json shows what is\n"
    "there as hexadecimal digits. The audit log keeps who changed which entry, not its value. The exit status\n"
    "is 1 when there is no such entry, or nothing was done.";

const char model_list_help[] =
    "The models of the local workers on this machine: what is loaded, from which file, how far loading is, and why one is not loaded.\n"
    "Workers with an upstream have none. The exit status is 1 when a worker is not reached.";

const char model_load_help[] =
    "Loads a model of the worker's manifest (workers[].manifest), which is read anew. Answers when it is loaded, or says why it\n"
    "cannot be; the other models answer meanwhile. It is in the audit log, as a CONFIG record of the worker.";

const char model_unload_help[] =
    "New requests are refused at once; those that run end, then the weights are freed. A worker that is started again loads what its\n"
    "manifest says. It is in the audit log, as a CONFIG record of the worker.";

const char model_reload_help[] =
    "Loads the weights beside those in use, from the file that the manifest names now. When they are ready new requests go to them; those\n"
    "that run end on the old ones, which are freed then. No request is lost. When the new ones cannot be loaded the old ones\n"
    "stay, and the exit status is 1. Put the new file in place by renaming it over the old one: weights in use are mapped.\n"
    "It is in the audit log, as a CONFIG record of the worker, with both digests.";

const char model_verify_help[] =
    "Reads the file that the manifest names and compares it with the SHA-256 there, and shows whether it is the one in use. Changes nothing.\n"
    "The exit status is 1 when the file is another one, cut or gone, or is not what is in use.";

#define TYPE(name, llama) " " name
#define TYPES             QUANTIZE_TYPES(TYPE)
const char model_quantize_help[] =
    "Makes OUT from the GGUF file IN with weights of fewer bits: a smaller file, less memory, more tokens a second, answers a little\n"
    "worse. Needs no running mesh. OUT appears when it is whole: until then there is a file OUT.XXXXXX beside it, which goes\n"
    "when this fails or is ended (Ctrl-C). What is printed last is the SHA-256 for the manifest. Types:\n" TYPES
    ".\n"
    "q4_k_m (4.9 bits a weight) is small and good; q8_0 (8.5) is hardly to be told from f16. A matrix whose width a type cannot take gets the next better one.";

const char model_encrypt_help[] =
    "Encrypts the GGUF file IN as OUT with AES-256-GCM, for a local worker whose manifest (or workers[].model_key_file) names the key's\n"
    "file. The worker decrypts it into memory only. FILE holds 64 hexadecimal digits and has mode 0600; back it up apart from\n"
    "the models: without it they cannot be read. OUT appears when it is whole; Ctrl-C leaves nothing behind. Prints what belongs into\n"
    "the manifest; the SHA-256 there is that of the weights, so it stays when they are encrypted anew. Needs no running mesh.";

const char audit_verify_help[] =
    "Recomputes every hash of the log in DIR (default: audit.dir of the configuration), or of the one that somebody\n"
    "publishes below URL, checks its signature, decodes every record and names requests without an end. Status 0: all is\n"
    "as it was written; 1: it is not, and the first deviation is named. Needs no running mesh. Without --vkey the log of\n"
    "this machine is checked against its own key (audit.key_file); the signature of any other log is not checked. The\n"
    "report and 'infermesh status --json' show the key: keep a copy elsewhere, for only that proves that nobody wrote the\n"
    "log anew. Not even who holds the key can roll a log back or rewrite it unseen by those who keep one of its checkpoints: give\n"
    "it with --seen. With --witness the checkpoint that witnesses cosigned (checkpoint.cosigned) must be the beginning of the log\n"
    "and carry enough of their cosignatures; this machine's log is compared with it in any case, if audit.witnesses names any.\n"
    "All shards are verified, with the keys that follow from the first one's; records that were pruned by their hashes.";

const char audit_show_help[] =
    "INDEX counts the records from 0. REQUEST_ID is what clients see as x-request-id, also as chatcmpl-... Reads the log's\n"
    "files as they are, those that are not published yet too, and proves nothing: 'audit prove' does. Needs no running mesh.";

const char audit_search_help[] =
    "All that is given must hold. A RESPONSE has the outcome, the status and the worker; it and its REQUEST have the\n"
    "caller and the model. WHEN is 2026-01-31, 2026-01-31T12:00:00Z, or 90s, 30m, 2h, 7d ago. A name takes the right\n"
    "to read audit.key_file, for the log holds pseudonyms; NAME of a caller is one of --tenant, or of 'default'.\n"
    "The first search makes an index below mesh.state_dir, later ones add what is new to it; it may be deleted at any\n"
    "time. What is found is read from the log: an index that lies can hide a record and not invent one. Proves\n"
    "nothing: 'audit prove' does. Needs no running mesh.";

const char audit_export_help[] =
    "Writes the records of the log in DIR (default: audit.dir of the configuration), or of the one below URL, in\n"
    "order, with the members that docs/audit-log.md lists. WHEN is 2026-01-31, 2026-01-31T12:00:00Z, or 90s, 30m, 2h,\n"
    "7d ago. Memory does not grow with the log. Standard error says at the end, also when something failed, which\n"
    "--from goes on behind the last record. Proves nothing: 'audit verify' does. Needs no running mesh.";

const char audit_reconcile_help[] =
    "Reads the whole log and names each request without an end, with its time, caller and model; requests and ends\n"
    "that are there twice; and gaps. Without DIR and URL it is the log of this configuration, and the routers of\n"
    "router.addresses that are reached are asked how many requests they have admitted since their start, and how many of\n"
    "these are in flight: exactly these must be in the log. Status 0: every admitted request is there once and ended\n"
    "once, or is in flight; 1: it is not so; 2: that could not be found out. Trusts the log: 'audit verify' first.";

const char audit_prove_help[] =
    "The proof is a text (c2sp.org/tlog-proof) with the record, the hashes beside its way to the root, and the signed\n"
    "checkpoint. Who has the log's verifier key can check it offline, with 'infermesh audit check' or with other people's\n"
    "software. It is checked before it is given out. A record can be proved when it is published, within a second.";

const char audit_check_help[] =
    "Checks the proof FILE ('-': standard input) offline: the log's signature, and that the record is in the log that was\n"
    "signed. With --content and --opening also that the content is what the record holds a commitment to: for the input\n"
    "the request as it was sent, for the output the answer manifest (docs/answer-manifest.md). With --witness the proof's\n"
    "checkpoint must carry enough cosignatures: 'audit prove' takes a cosigned one if it covers the record. Status 0: all of\n"
    "it holds; 1: it does not, and the output says why.";

const char audit_open_help[] =
    "A record holds commitments to what was asked and answered. The opening of one of them lets anybody who has\n"
    "the content check that it is what was logged, and tells nothing of any other record. It takes the right to read\n"
    "audit.key_file and the file of subjects' keys beside it; needs no running mesh. What was erased does not open.";

const char audit_erase_help[] =
    "From then on nobody can make an opening of a record of this tenant and caller. The records themselves, which\n"
    "hold neither names nor contents, stay, and so does every proof; an ERASE record says that it was done. Asks the\n"
    "running audit service. Once more is no error. Delete the backups of the file of subjects' keys too.";

const char audit_prune_help[] =
    "Deletes entry bundles, 256 entries each, all of whose entries are older; default: than audit.retention_days, as the\n"
    "service does by itself every hour. Hash tiles stay for ever, so every proof that was handed out keeps verifying. A PRUNE\n"
    "record says up to where; bundles go after it is published. Asks the running audit service.";

const char audit_keys_help[] =
    "A log goes on in a new shard each half-year (audit.shard) and under each new key. Each names the next one's key, so\n"
    "whoever has the first can check all others. show prints them; needs no running mesh. rotate asks the running audit\n"
    "service for a fresh key: the old one is destroyed, in audit.key_file too; make a new backup of that.";

const char audit_witness_help[] =
    "Asks the running audit service which witnesses (audit.witnesses) its log has: their state, the size of the last\n"
    "checkpoint that each cosigned, since when there is one that it has not, and why it fails. Status 1 if one of them says\n"
    "that the log was rolled back or forked. With keygen: makes witness.key_file for 'infermesh-audit --witness', unless it is\n"
    "there, and prints its verifier key; needs no running mesh.";
