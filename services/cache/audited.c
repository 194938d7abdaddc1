/*
 * cache/audited.c - see audited.h.
 */
#include "cache/audited.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"

void
audited_change(struct reporter *reporter, const struct link_peer *peer, const char *what,
	       const char *text)
{
	size_t len = strlen(text);
	char rule[AUDIT_ROUTE_MAX + 1];
	struct config_change change;
	uint8_t digest[32];

	if (!sha256_of((const uint8_t *)text, len, digest)) {
		log_error("no memory: an operator's change is not in the audit log",
			  LOG_STR("infermesh.cache.selection", text));
		return;
	}
	if (len > AUDIT_ROUTE_MAX)
		len = utf8_whole_prefix(text, AUDIT_ROUTE_MAX);
	memcpy(rule, text, len);
	rule[len] = '\0';
	config_change_fill(&change, "cache", what, digest, peer->uid);
	if (!peer->has_uid)
		(void)snprintf(change.actor, sizeof(change.actor), "operator:%.20s", peer->name);
	change.event.routing.rule = rule;
	reporter_submit(reporter, &change);
	log_info(what, LOG_STR("user.name", change.actor),
		 LOG_STR("infermesh.cache.selection", text));
}

/* A key may be any bytes; what is no plain letter is its number. */
static void
put_key(const struct wire_bytes *key, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < key->len; i++) {
		uint8_t c = key->data[i];

		if (c > ' ' && c < 0x7f && c != '%')
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, 4, "%%%02X", c);
	}
	out[n] = '\0';
}

void
audited_entry_text(const struct entry_ask *ask, char ret[AUDITED_ENTRY_MAX])
{
	static const char *const ops[ENTRY_OPS] = { "put", "get", "append", "set", "delete" };
	int n = snprintf(ret, AUDITED_ENTRY_MAX,
			 "op=%s namespace=%s version=%llu ttl_ms=%llu bytes=%zu key=", ops[ask->op],
			 ask->ns, (unsigned long long)ask->version, (unsigned long long)ask->ttl_ms,
			 ask->value.len);

	put_key(&ask->key, ret + n);
}
