/*
 * cli/audit_quorum.h - --witness and --quorum: whose cosignatures a checkpoint must carry, and what it carries, for people and
 * programs.
 */
#ifndef CLI_AUDIT_QUORUM_H
#define CLI_AUDIT_QUORUM_H

#include "audit/cosigned.h"
#include "cli/command.h"

struct quorum_arg {
	struct note_verifier key[COSIGNED_WITNESSES];
	size_t count;    /* 0 = nobody is asked for */
	unsigned needed; /* of them */
	bool given;      /* on the command line: fewer are a failure */
};

/** From the command line; else, with 'own' (this machine's log), from audit.witnesses. False after a message: wrong arguments. */
bool quorum_arg_open(const struct cli_args *args, const struct config *own, struct quorum_arg *ret);
void quorum_arg_close(struct quorum_arg *q);

/** Are there too few, and does it matter? */
bool quorum_lacks(const struct quorum_arg *q, const struct cosigned *c);

/** "cosigned: ..." lines, nothing if nobody is asked for. */
void quorum_print(const struct quorum_arg *q, const struct cosigned *c);

/** The member "cosigned" with a comma before it: an object, or null if nobody is asked for. */
void quorum_json(struct buf *b, const struct quorum_arg *q, const struct cosigned *c);

#endif
