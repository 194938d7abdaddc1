/*
 * cli/audit_quorum.c - see audit_quorum.h.
 */
#include "cli/audit_quorum.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/audit_log.h"
#include "cli/print.h"

static bool
usage(const struct cli_args *args, const char *text, const char *found)
{
	(void)fprintf(stderr, "infermesh %s: %s%.60s\n", args->command->name, text, found);
	return false;
}

static bool
add(const struct cli_args *args, struct quorum_arg *q, const char *vkey)
{
	struct im_err err;

	if (q->count == COSIGNED_WITNESSES)
		return usage(args, "more than 16 witnesses", "");
	if (note_cosigner_parse(vkey, &q->key[q->count], &err) != IM_OK) {
		(void)fprintf(stderr, "infermesh %s: --witness: %s\n", args->command->name,
			      err.text);
		return false;
	}
	q->count++;
	for (size_t i = 0; i + 1 < q->count; i++)
		if (memcmp(q->key[i].pub, q->key[q->count - 1].pub, NOTE_KEY_BYTES) == 0)
			return usage(args, "--witness: the same key twice: ", vkey);
	return true;
}

static bool
take(const struct cli_args *args, const struct config *own, struct quorum_arg *q)
{
	const char *quorum = cli_value(args, "quorum"), *vkey, *url;
	unsigned asked = 0;

	for (size_t i = 0; (vkey = cli_value_at(args, "witness", i)) != NULL; i++)
		if (!add(args, q, vkey))
			return false;
	q->given = q->count > 0 || quorum != NULL;
	if (q->count == 0 && own != NULL) {
		for (size_t i = 0; i < config_map_len(own, "audit.witnesses"); i++) {
			config_map_at(own, "audit.witnesses", i, &url, &vkey);
			if (!add(args, q, vkey))
				return false;
		}
		asked = (unsigned)config_int(own, "audit.witness_quorum");
	}
	if (quorum != NULL) {
		if (strspn(quorum, "0123456789") != strlen(quorum) || strlen(quorum) > 2 ||
		    quorum[0] == '\0')
			return usage(args, "--quorum takes a number of witnesses, not ", quorum);
		asked = (unsigned)strtoul(quorum, NULL, 10);
		if (asked == 0 || asked > q->count)
			return usage(
			    args,
			    "--quorum is more than the witnesses that were named (--witness), or 0: ",
			    quorum);
	}
	q->needed = cosigned_quorum(asked, q->count);
	return true;
}

bool
quorum_arg_open(const struct cli_args *args, const struct config *own, struct quorum_arg *ret)
{
	*ret = (struct quorum_arg){ 0 };
	if (take(args, own, ret))
		return true;
	quorum_arg_close(ret);
	return false;
}

void
quorum_arg_close(struct quorum_arg *q)
{
	q->count = 0;
}

bool
quorum_lacks(const struct quorum_arg *q, const struct cosigned *c)
{
	return q->given && c->count < q->needed;
}

void
quorum_print(const struct quorum_arg *q, const struct cosigned *c)
{
	if (q->count == 0)
		return;
	(void)printf(
	    "cosigned:  the first %" PRIu64 " records, by %u of %zu witnesses; %u %s needed\n",
	    c->first + c->at.size, c->count, q->count, q->needed, q->needed == 1 ? "is" : "are");
	for (size_t i = 0; i < q->count; i++) {
		char time[32] = "no";

		if (c->by[i].cosigned && c->by[i].time_s < INT64_MAX / 1000000)
			log_arg_time(c->by[i].time_s * 1000000, time);
		(void)printf("           ");
		print_text(q->key[i].name);
		(void)printf(": %s\n", time);
	}
}

void
quorum_json(struct buf *b, const struct quorum_arg *q, const struct cosigned *c)
{
	if (q->count == 0) {
		(void)buf_append_str(b, ",\"cosigned\":null");
		return;
	}
	(void)buf_printf(b,
			 ",\"cosigned\":{\"size\":%" PRIu64
			 ",\"count\":%u,\"needed\":%u,\"enough\":%s,\"witnesses\":[",
			 c->first + c->at.size, c->count, q->needed,
			 c->count >= q->needed ? "true" : "false");
	for (size_t i = 0; i < q->count; i++) {
		(void)buf_printf(b, "%s{\"name\":", i > 0 ? "," : "");
		(void)json_put_cstr(b, q->key[i].name);
		(void)buf_printf(b, ",\"cosigned\":%s", c->by[i].cosigned ? "true" : "false");
		if (c->by[i].cosigned)
			(void)buf_printf(b, ",\"time_s\":%" PRIu64, c->by[i].time_s);
		(void)buf_append_byte(b, '}');
	}
	(void)buf_append_str(b, "]}");
}
