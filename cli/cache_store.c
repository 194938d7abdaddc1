/*
 * cli/cache_store.c - 'infermesh cache store': one entry of the cache daemons' store, looked at or changed by hand.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hex.h"
#include "cli/cache_call.h"
#include "cli/command.h"
#include "cli/operator.h"
#include "cli/print.h"
#include "daemon/entry_client.h"

#define MEMORY_MAX (64UL << 20)
#define TTL_MS     3600000

static int
bad(const struct cli_args *args, const char *what, const char *found, const char *allowed)
{
	(void)fprintf(stderr, "infermesh %s: %s: found '%.80s', allowed: %s\n", args->command->name,
		      what, found, allowed);
	return EXIT_USAGE;
}

/* What is to be asked; EXIT_USAGE after a message. */
static int
read_ask(const struct cli_args *args, struct entry_ask *ret)
{
	static const struct {
		const char *word;
		enum entry_op op;
	} ops[] = { { "get", ENTRY_GET },
		    { "put", ENTRY_PUT },
		    { "append", ENTRY_APPEND },
		    { "set", ENTRY_COMPARE_AND_SET },
		    { "delete", ENTRY_DELETE } };
	const char *words[4] = { NULL }, *ttl = cli_value(args, "ttl"),
		   *version = cli_value(args, "version");
	static const char *const names[] = { "OPERATION", "NAMESPACE", "KEY", "VALUE" };
	size_t i = 0;
	uint32_t ttl_ms = TTL_MS;
	char *end = NULL;
	int status = EXIT_FINE;
	bool writes;

	for (int n = 0; n < 3; n++)
		if ((words[n] = operator_argument(args, n, names[n], &status)) == NULL)
			return status;
	while (i < 5 && strcmp(words[0], ops[i].word) != 0)
		i++;
	if (i == 5)
		return bad(args, names[0], words[0], "get, put, append, set or delete");
	writes = ops[i].op != ENTRY_GET && ops[i].op != ENTRY_DELETE;
	if (writes && (words[3] = operator_argument(args, 3, names[3], &status)) == NULL)
		return status;
	if (ttl != NULL && !operator_parse_ms(ttl, 1000, &ttl_ms))
		return bad(args, "--ttl", ttl, "90, 500ms, 30s, 5m, 1h");
	*ret = (struct entry_ask){ .op = ops[i].op,
				   .ns = words[1],
				   .key = { (const uint8_t *)words[2], strlen(words[2]) },
				   .ttl_ms = writes ? ttl_ms : 0 };
	if (writes)
		ret->value = (struct wire_bytes){ (const uint8_t *)words[3], strlen(words[3]) };
	if (version != NULL) {
		ret->version = strtoull(version, &end, 10);
		if (version[0] < '0' || version[0] > '9' || *end != '\0')
			return bad(args, "--version", version, "a number, 0 = there is no entry");
	}
	return EXIT_FINE;
}

static void
show(const struct cli_args *args, const struct entry_ask *ask, const struct entry_answer *a)
{
	struct buf b = { 0 };
	char *hex;

	if (!cli_flag(args, "json")) {
		if (ask->op == ENTRY_GET && a->found)
			(void)printf("%.*s\n", (int)a->value.len, (const char *)a->value.data);
		else
			(void)printf("%s, version %" PRIu64 ", %s%s\n",
				     a->done    ? "done"
				     : a->found ? "not done"
						: "there is no such entry",
				     a->version, a->home, a->durable ? "" : " (not durable)");
		return;
	}
	(void)buf_append_byte(&b, '{');
	json_bool(&b, "found", a->found);
	json_bool(&b, "done", a->done);
	json_number(&b, "version", a->version);
	json_number(&b, "left_ms", a->left_ms);
	json_text(&b, "home", a->home);
	json_bool(&b, "durable", a->durable);
	hex = a->value.len > 0 ? malloc(2 * a->value.len + 1) : NULL;
	if (hex != NULL)
		hex_encode(a->value.data, a->value.len, hex);
	json_text(&b, "value_hex", hex != NULL ? hex : "");
	b.failed = b.failed || (hex == NULL && a->value.len > 0);
	free(hex);
	json_close(&b, "}\n");
	json_print(&b);
}

int
run_cache_store(const struct cli_args *args)
{
	struct arena arena = { .max_bytes = MEMORY_MAX };
	struct buf body = { 0 }, reply = { 0 };
	struct config *config;
	struct cache_daemons d;
	struct entry_ask ask = { 0 };
	struct entry_answer a = { 0 };
	uint8_t key[CACHE_HOMES_KEY_BYTES] = { 0 };
	struct im_err err;
	size_t home;
	int status = read_ask(args, &ask);
	enum im_rc rc;

	if (status != EXIT_FINE)
		return status;
	config = cli_config(args);
	if (config == NULL)
		return EXIT_USAGE;
	if (cache_daemons_open(config, &d, &err) != IM_OK)
		return cli_fail(args, &err);
	rc = entry_ask_check(&ask, &err);
	if (rc == IM_OK && !entry_client_key(&ask, key))
		rc = err_set(&err, IM_ENOMEM, "no memory for a key");
	if (rc == IM_OK)
		rc = cache_daemons_home(&d, key, &home, &err);
	entry_ask_encode(&ask, &body);
	if (rc == IM_OK)
		rc = cache_daemons_ask(&d, home, entry_method(ask.op), &body, &reply, &err);
	if (rc == IM_OK)
		rc = entry_answer_decode(reply.data, reply.len, &arena, &a, &err);
	if (rc != IM_OK)
		status = cli_fail(args, &err);
	else
		show(args, &ask, &a);
	if (rc == IM_OK && !(ask.op == ENTRY_GET ? a.found : a.done))
		status = EXIT_TROUBLE;
	cache_daemons_close(&d);
	arena_done(&arena);
	buf_done(&body);
	buf_done(&reply);
	return status;
}
