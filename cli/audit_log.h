/*
 * cli/audit_log.h - which log a command is about, where it is read from, and the key that its checkpoint must be signed with:
 * what the commands that read a log share. Needs no running mesh.
 */
#ifndef CLI_AUDIT_LOG_H
#define CLI_AUDIT_LOG_H

#include "audit/source.h"
#include "cli/command.h"

struct http_log;

struct log_arg {
	struct config *config;
	struct audit_source source;
	struct http_log *http; /* NULL: a folder of this machine */
	struct note_verifier key;
	const char *vkey; /* as text; NULL = none is known, signatures are not checked */
	bool own;         /* the key is from this machine's key file: that of the first shard */
	char text[NOTE_KEYTEXT_MAX];
};

/** The log 'where' (a folder, or an http:// or https:// address; NULL: audit.dir) with the key --vkey, else for this machine's
 *  own log the key of its first shard. On failure the message is printed, '*ret_status' is the exit status and nothing is left
 *  behind. */
bool log_arg_open(const struct cli_args *args, const char *where, struct log_arg *ret,
		  int *ret_status);
void log_arg_close(struct log_arg *l);

/** The key --vkey, else that of the first shard of this machine's log, which is then the source, for what came without a log. */
bool log_arg_key(const struct cli_args *args, struct log_arg *ret, int *ret_status);

/** "4711" → 4711. False: not a plain number. */
bool log_arg_index(const char *text, uint64_t *ret);

/** --since and --until, as when.h reads them, in microseconds since 1970; 0 = not given. False after a message. */
bool log_arg_span(const struct cli_args *args, uint64_t now_us, uint64_t *ret_since_us,
		  uint64_t *ret_until_us);

/** "2026-01-31T12:00:00Z" of microseconds since 1970; "" for 0. */
void log_arg_time(uint64_t us, char ret[32]);

#endif
