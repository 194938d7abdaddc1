/*
 * cache/audited.h - what operators change here, told to the audit log: a CONFIG record of the cache (docs/audit-log.md). Threads: on the loop.
 */
#ifndef CACHE_AUDITED_H
#define CACHE_AUDITED_H

#include "daemon/reporter.h"
#include "wire/entry.h"

#define AUDITED_ENTRY_MAX (160 + ENTRY_NAMESPACE_MAX + 3 * ENTRY_KEY_MAX)

/** 'what' is the record's reason, and lives for ever; its digest is that of the whole 'text', its rule as much of it as fits. 'reporter' NULL:
 *  there is no log. */
void audited_change(struct reporter *reporter, const struct link_peer *peer, const char *what,
		    const char *text);

/** In words: what is asked of which entry, never its value, which the log would keep when the entry is gone. Pure. */
void audited_entry_text(const struct entry_ask *ask, char ret[AUDITED_ENTRY_MAX]);

#endif
