/*
 * cli/audit_shard.h - the shards of the log that a command is about, and the key of each: --vkey, this machine's, or the one that
 * the shard before names.
 */
#ifndef CLI_AUDIT_SHARD_H
#define CLI_AUDIT_SHARD_H

#include "audit/shards.h"
#include "cli/audit_log.h"

/** Find the shards of the log 'l', which must outlive them. With a key the way from its shard on is checked; IM_ECORRUPT if a later
 *  shard is said to have another key than --vkey. Else as shards_load(). Free with shards_done(). */
IM_MUST_CHECK enum im_rc shard_arg_load(const struct log_arg *l, struct shards *ret,
					struct im_err *err);

/** The key of 's': 'ret_key' and its text. False: none is known, so signatures are not checked.  */
bool shard_arg_key(const struct log_arg *l, const struct shards *shards, const struct shard *s,
		   struct note_verifier *ret_key, char ret_vkey[NOTE_KEYTEXT_MAX]);

/** The same for the shard called 'origin', for what came without a log: with --vkey, that key whatever it is called. */
bool shard_arg_key_of(const struct log_arg *l, const char *origin, struct note_verifier *ret_key);

#endif
