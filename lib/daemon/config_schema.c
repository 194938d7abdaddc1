/*
 * daemon/config_schema.c - every key of infermesh.yaml: the one place where names, defaults, bounds and help stand.
 */
#include "daemon/config.h"

#define KIB 1024LL
#define MIB (1024LL * KIB)
#define GIB (1024LL * MIB)

/* A table is read with one row a line. */
/* clang-format off */
#define STR(p, d, h)            { p, CONFIG_STRING, d, 0, 0, NULL, NULL, h }
#define STRS(p, d, h)           { p, CONFIG_STRINGS, d, 0, 0, NULL, NULL, h }
#define MAP(p, h)               { p, CONFIG_MAP, NULL, 0, 0, NULL, NULL, h }
#define BOOL(p, d, h)           { p, CONFIG_BOOL, d, 0, 0, NULL, NULL, h }
#define INT(p, d, lo, hi, h)    { p, CONFIG_INT, d, lo, hi, NULL, NULL, h }
#define MS(p, d, lo, hi, h)     { p, CONFIG_INT, d, lo, hi, NULL, "ms", h }
#define BYTES(p, d, lo, hi, h)  { p, CONFIG_INT, d, lo, hi, NULL, "bytes", h }
#define DBL(p, d, lo, hi, h)    { p, CONFIG_DOUBLE, d, lo, hi, NULL, NULL, h }
#define ENUM(p, d, a, h)        { p, CONFIG_ENUM, d, 0, 0, a, NULL, h }

#define POLICIES "least_connections|round_robin|smooth_weighted_round_robin|power_of_two|prefix_affinity"

const struct config_key config_schema[] = {
	STR("mesh.run_dir", "auto",
	    "Folder of sockets. auto: $XDG_RUNTIME_DIR/infermesh, else /tmp/infermesh-UID"),
	STR("mesh.state_dir", "auto",
	    "Folder of what must survive a restart. auto: $XDG_STATE_HOME/infermesh, else ~/.local/state/infermesh"),
	MS("mesh.drain_ms", "10s", 0, 3600000, "How long a daemon that is told to stop finishes what it has begun"),
	BYTES("mesh.max_frame_bytes", "16MiB", 64 * KIB, GIB, "Largest message that one daemon takes from another"),
	MS("mesh.heartbeat_ms", "5s", 50, 600000, "A silent link is asked for a sign of life, and dropped after three"),
	MS("mesh.reconnect_max_ms", "1s", 10, 600000, "Longest pause between attempts to reach another daemon"),
	INT("mesh.nng_threads", "2", 1, 256, "Processors that nng sees: it starts several threads for each"),
	ENUM("log.level", "info", "debug|info|warn|error", "Least severe event that is logged"),
	ENUM("log.format", "auto", "auto|text|json",
	     "One JSON object a line, or short text. auto: text when standard error is a terminal"),

	STR("gateway.listen", "127.0.0.1:8080", "Where HTTP is served: HOST:PORT or unix:PATH"),
	STR("gateway.keys_file", "${state_dir}/keys",
	    "API keys (hashed), made with 'infermesh key create'. While it does not exist only loopback addresses are served"),
	BOOL("gateway.insecure", "false", "Serve other than loopback addresses although there are no API keys"),
	STR("gateway.tls_cert", NULL, "PEM file of the certificate chain: serve HTTPS (TLS 1.3)"),
	STR("gateway.tls_key", NULL, "PEM file of the certificate's private key, mode 0600 or 0640"),
	BYTES("gateway.header_bytes", "32KiB", KIB, MIB, "Largest request head"),
	BYTES("gateway.body_bytes", "10MiB", KIB, GIB, "Largest request body"),
	INT("gateway.connections", "16384", 1, 1000000, "Connections at once"),
	MS("gateway.header_ms", "10s", 10, 600000, "A request head must be complete by then"),
	MS("gateway.body_ms", "60s", 10, 3600000, "A request body must be complete by then"),
	MS("gateway.idle_ms", "75s", 10, 3600000, "A connection without a request is closed"),
	MS("gateway.write_ms", "60s", 10, 3600000, "A client that reads nothing for so long is dropped"),
	MS("gateway.request_ms", "300s", 10, 86400000, "Deadline of a request"),
	MS("gateway.keepalive_ms", "15s", 10, 600000, "A silent stream gets a comment line so often"),
	STRS("gateway.cors_origins", "*", "Origins of browser pages that may call; * = any"),

	STR("router.listen", "ipc://${run_dir}/router.ipc", "Where gateways, workers and clients reach the router"),
	STRS("router.addresses", "ipc://${run_dir}/router.ipc",
	    "Where other daemons dial; workers announce themselves to each of them, a gateway uses the first"),
	STR("router.door", "ipc://${run_dir}/door.ipc", "REQ/REP door for programs in any language; off = none"),
	STR("router.admin", "127.0.0.1:9101", "Metrics and health pages: HOST:PORT, unix:PATH or off"),
	INT("router.queue_max", "1024", 0, 1000000, "Requests that wait for a worker of one model; one more is refused"),
	INT("router.queue_all_max", "8192", 0, 1000000, "Requests that wait in all; one more is refused"),
	INT("router.weight_high", "8", 1, 1000, "Share of places that waiting requests of high priority get"),
	INT("router.weight_normal", "4", 1, 1000, "Share of those of normal priority"),
	INT("router.weight_low", "1", 1, 1000, "Share of those of low priority"),
	INT("router.limits_tokens", "512", 1, 1000000, "Tokens of an answer that are reserved when the request has no max_tokens"),
	STR("router.limits_redis", "off", "Redis that several routers share their limits through: redis://HOST:PORT[/DB]; off = each its own"),
	STR("router.limits_redis_password_file", NULL, "File with the password of that Redis, mode 0600 or 0640"),
	ENUM("router.limits_without_redis", "local", "local|refuse|allow",
	    "While that Redis is away: each router limits by itself, refuses what is limited, or limits nothing"),
	INT("router.calls_max", "65536", 1, 10000000, "Admitted requests at once; one more is refused"),
	MS("router.request_ms", "300s", 10, 86400000, "Deadline of a request that names none"),
	ENUM("router.policy", "least_connections", POLICIES, "How a worker is chosen where no entry of policies says otherwise"),
	MS("router.slow_start_ms", "2s", 0, 3600000,
	    "A worker that joins or recovers beside others gets its whole weight only after so long; 0 = at once"),
	INT("router.retries", "1", 0, 10, "Further workers tried before the first token"),
	INT("router.retry_budget_percent", "20", 0, 1000, "Retries in ten seconds, as a share of their requests"),
	INT("router.retry_budget_min", "10", 0, 1000000, "Retries in ten seconds that are there in any case"),
	INT("router.breaker_failures", "5", 0, 1000000,
	    "Failures in a row of a worker with a model that open its circuit breaker; 0 = any number"),
	INT("router.breaker_error_percent", "50", 0, 100,
	    "Share of failures in the window that opens it; 0 = any share"),
	INT("router.breaker_min_requests", "20", 1, 1000000, "Requests in the window from which on the share counts"),
	MS("router.breaker_window_ms", "30s", 100, 3600000, "Length of the window"),
	MS("router.breaker_open_ms", "30s", 10, 3600000,
	    "How long an open breaker keeps requests away before one may probe; doubles when that one fails"),
	MS("router.breaker_open_max_ms", "5m", 10, 86400000, "Longest such pause"),
	MS("router.breaker_silence_ms", "120s", 200, 86400000,
	    "A request that ran into its deadline counts as its worker's failure after so much silence of the worker"),
	INT("router.eject_max_percent", "50", 0, 100,
	    "Workers of a model whose breakers are obeyed at once; one always may be"),
	MS("router.suspect_ms", "3s", 100, 600000, "A worker that is silent for so long gets no requests until it speaks"),
	MS("router.cache_ms", "20ms", 1, 10000, "A cache that has not answered by then is taken as a miss"),
	DBL("router.cache_temperature", "0.3", 0, 2, "Answers up to this temperature, or with a seed, are cached"),
	MAP("router.cache_rules", "Models or routes where another rule holds: NAME: off, all or a temperature"),
	BYTES("router.cache_answer_bytes", "1MiB", KIB, GIB, "Longer answers are not cached"),
	BOOL("router.coalesce", "true", "Identical requests that could be cached share one generation while it runs"),
	BYTES("router.coalesce_bytes", "1MiB", 64 * KIB, GIB,
	    "What is kept of a shared answer for those who join late or read slowly"),
	ENUM("router.audit_mode", "fail-closed", "fail-closed|fail-open|off",
	    "Without a durable record: refuse to answer, or answer and record the gap later; off = no records"),
	MS("router.audit_ms", "2s", 10, 600000, "A record that is not durable by then counts as audit unavailable"),
	INT("router.audit_pending_max", "65536", 16, 10000000, "Records that wait for the audit service"),
	STR("router.routes_file", "${state_dir}/routes",
	    "Keeps what operators changed of routes and workers, over a restart and over this file, until it is undone; off = forgotten"),

	/* The first entry that fits a request says how its worker is chosen. */
	STR("policies[].route", "*", "The model or alias asked for; * = any"),
	ENUM("policies[].min_priority", "low", "low|normal|high", "Requests of this priority and above"),
	BYTES("policies[].max_prompt_bytes", "0", 0, GIB, "Prompts with at most so much text; 0 = any"),
	INT("policies[].max_tokens_below", "0", 0, 4294967295LL, "Requests whose max_tokens is given and below this; 0 = any"),
	ENUM("policies[].stream", "any", "any|yes|no", "Requests that are streamed, or are not"),
	ENUM("policies[].use", NULL, POLICIES, "How a worker is chosen for these"),

	STR("cache.listen", "ipc://${run_dir}/cache.ipc", "Where the cache listens"),
	STR("cache.address", "ipc://${run_dir}/cache.ipc", "Where routers dial the cache; off = no cache"),
	STR("cache.admin", "127.0.0.1:9102", "Metrics and health pages: HOST:PORT, unix:PATH or off"),
	BYTES("cache.bytes", "64MiB", MIB, 1024 * GIB, "Memory for answers, overhead included"),
	MS("cache.ttl_ms", "5m", 1000, 2592000000LL, "How long an answer is kept"),
	STRS("cache.redis", "off",
	     "Redis or Valkey that several caches share: redis://HOST:PORT[/DB]; some nodes of it, if it is a cluster; off = none"),
	STR("cache.redis_password_file", NULL, "File with the password of that Redis, mode 0600 or 0640"),
	STR("cache.redis_prefix", "infermesh:cache:", "What the names of the cache's keys begin with there"),
	MS("cache.redis_ttl_ms", "5m", 1000, 2592000000LL, "How long an answer is kept there"),
	MS("cache.redis_ms", "5ms", 1, 10000, "A lookup that Redis has not answered by then is a miss"),
	INT("cache.redis_connections", "2", 1, 16, "Connections to it, or to each node of the cluster; one of them writes"),
	BYTES("cache.redis_queue_bytes", "8MiB", 64 * KIB, GIB, "What may wait to be written there; more is dropped"),
	BYTES("cache.entry_bytes", "1MiB", KIB, GIB, "Largest value that is kept, before compression"),

	STR("audit.listen", "ipc://${run_dir}/audit.ipc", "Where the audit service listens"),
	STR("audit.address", "ipc://${run_dir}/audit.ipc", "Where routers dial the audit service"),
	STR("audit.admin", "127.0.0.1:9103", "Metrics and health pages: HOST:PORT, unix:PATH or off"),
	STR("audit.dir", "${state_dir}/audit", "Folder of the log: tiles, checkpoint and write-ahead log"),
	STR("audit.key_file", "${state_dir}/audit.key",
	    "Signing key and the keys of pseudonyms and commitments, mode 0600; made on first start. Back it up, apart from the log"),
	ENUM("audit.shard", "half-year", "half-year|off",
	     "When the log goes on in a new shard, with a checkpoint and a folder of its own"),
	STR("audit.origin", "infermesh.local/log", "Name of the log in checkpoints: no spaces and no +"),
	INT("audit.batch_records", "4096", 1, 65536, "Records that one sync covers at most"),
	BYTES("audit.batch_bytes", "256KiB", 4 * KIB, 64 * MIB, "Bytes that one sync covers at most"),
	BYTES("audit.segment_bytes", "64MiB", MIB, GIB, "Size of a write-ahead segment"),
	INT("audit.retention_days", "180", 0, 36500,
	    "Entries that are older are deleted, in whole bundles of 256; their hashes stay, and every proof. 0 = all are kept for ever"),
	STR("audit.serve", "off",
	    "Serve the published log by HTTP, read only, to whoever reaches this address: HOST:PORT, unix:PATH or off"),
	MS("audit.publish_ms", "1s", 10, 3600000, "How often the checkpoint file is renewed at most"),
	MAP("audit.witnesses", "Who cosigns the checkpoints of the log: URL: VERIFIER_KEY, at most 16"),
	INT("audit.witness_quorum", "0", 0, 16,
	    "Witnesses that must have cosigned a checkpoint before checkpoint.cosigned says it; 0 = more than half of them"),
	MS("audit.witness_ms", "5s", 10, 86400000, "How often the witnesses are asked at most"),
	STR("audit.witness_ca_file", NULL, "PEM file of certificates that witnesses are trusted by; default: the system's"),

	/* infermesh-audit --witness: a daemon of its own, best on another machine and in other hands than the log's. */
	STR("witness.listen", "127.0.0.1:8091", "Where logs submit their checkpoints: HOST:PORT or unix:PATH"),
	STR("witness.prefix", "/", "Path that /add-checkpoint is below, such as /w1"),
	STR("witness.admin", "127.0.0.1:9104", "Metrics and health pages: HOST:PORT, unix:PATH or off"),
	STR("witness.name", "infermesh.local/witness", "Name of the witness in cosignatures: no spaces and no +"),
	STR("witness.key_file", "${state_dir}/witness.key", "Its key, mode 0600; made on first start. Back it up"),
	STR("witness.dir", "${state_dir}/witness",
	    "Folder of what it cosigned last of each log. Never put an older copy back: it would cosign what was rolled back"),
	MAP("witness.logs", "The logs that it cosigns: ORIGIN: VERIFIER_KEY, several keys with a blank between them"),
	STR("witness.tls_cert", NULL, "PEM file of the certificate chain: serve HTTPS (TLS 1.3)"),
	STR("witness.tls_key", NULL, "PEM file of the certificate's private key, mode 0600 or 0640"),

	/* Requests and tokens a minute. A request takes from all that match, or from none. */
	STR("limits[].match", NULL, "global, tenant:NAME, key:NAME; tenant:* and key:*: each that has no limit of its own name"),
	INT("limits[].requests_per_minute", "0", 0, 1000000000, "0 = requests are not limited"),
	INT("limits[].requests_burst", "0", 0, 1000000000, "Requests that may come at once; 0 = those of a minute"),
	INT("limits[].tokens_per_minute", "0", 0, 1000000000, "Tokens of prompts and answers; 0 = they are not limited"),
	INT("limits[].tokens_burst", "0", 0, 1000000000, "Tokens that may be used at once, so also by one request; 0 = those of a minute"),

	/* A name that callers ask for, served by other models. */
	STR("routes[].model", NULL, "The name that callers ask for; it may be that of a model"),
	MAP("routes[].arms", "Models as workers announce them, and their weights: model: 0 to 10000"),
	ENUM("routes[].sticky", "session", "session|caller|off",
	     "What stays with one arm: a session (x-infermesh-session, else 'user', else the caller), a caller, or nothing"),
	STRS("routes[].fallback", NULL, "Models that are tried in this order when the arm cannot answer"),
	STR("routes[].fallback_answer", NULL, "What is answered when nobody else can"),

	/* One worker process each. Without any, one local worker serves the bundled demo model. */
	STR("workers[].name", NULL, "Unique name: letters, digits, '-', '_' and '.'"),
	BOOL("workers[].per_host", "false",
	    "Several machines or containers run this entry: each announces itself as NAME-HOSTNAME"),
	ENUM("workers[].backend", "local", "local|upstream", "A GGUF file in this process, or an OpenAI-compatible server"),
	STR("workers[].admin", "auto", "Metrics and health pages: HOST:PORT, unix:PATH or off; auto: unix:RUN_DIR/NAME.http"),
	STRS("workers[].models", NULL, "upstream: models it serves; local: the one name of the model, by default that of the file"),
	MAP("workers[].aliases", "Further names of models: alias: model"),
	INT("workers[].capacity", "0", 0, 65536, "Requests at once; 0 = upstream 256, local max_batch_size"),
	INT("workers[].weight", "100", 1, 10000, "Share of the requests, against other workers of the same model"),
	BOOL("workers[].backup", "false", "Gets requests only while no other worker of the model is usable"),
	STR("workers[].url", NULL, "upstream: base URL, such as https://api.deepseek.com/v1"),
	STR("workers[].api_key_file", NULL, "upstream: file with the key, mode 0600 or 0640"),
	STR("workers[].api_key_env", NULL, "upstream: environment variable with the key"),
	STR("workers[].ca_file", NULL, "upstream: PEM file of trusted certificates; default: the system's"),
	MS("workers[].connect_ms", "5s", 10, 600000, "upstream: time to connect"),
	MS("workers[].read_ms", "300s", 10, 3600000, "upstream: longest silence, so also the longest time to a whole answer"),
	MAP("workers[].extra", "upstream: members added to each request, as JSON, such as thinking: '{\"type\":\"disabled\"}'"),
	STR("workers[].model_file", NULL, "local: the GGUF file; default: the bundled demo model"),
	STR("workers[].sha256", NULL, "local: refuse the file unless its SHA-256 is this"),
	INT("workers[].max_batch_size", "0", 0, 256, "local: sequences decoded together; 0 = 4 for each processor, at most 32, if memory allows"),
	INT("workers[].max_context_length", "2048", 64, 1048576, "local: tokens of one sequence, prompt and answer"),
	INT("workers[].context_sinks", "0", 0, 65536, "local: 0 = an answer ends where its context does; else it goes on with so many first tokens and the latest ones"),
	INT("workers[].threads", "0", 0, 1024, "local: threads that decode; 0 = one for each processor, for a small model one"),
	INT("workers[].batch_tokens", "0", 0, 8192, "local: tokens of one decode step, at least max_batch_size; 0 = 512, from a billion parameters on 128"),
	MS("workers[].step_ms", "250ms", 1, 60000, "local: a long prompt is fed in steps of about so long while answers are under way"),
	BOOL("workers[].exact", "false", "local: the same answer to the last bit whatever is decoded beside it; takes up to half as long again"),
	INT("workers[].queue_max", "64", 0, 65536, "local: requests that wait inside the worker"),
};
/* clang-format on */

const size_t config_schema_len = sizeof(config_schema) / sizeof(config_schema[0]);
