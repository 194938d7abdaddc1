/*
 * audit/witness_host.h - a witness daemon on a loop of this process, for tests.
 */
#ifndef AUDIT_WITNESS_HOST_H
#define AUDIT_WITNESS_HOST_H

#include "audit/note.h"
#include "base/loop.h"
#include "daemon/config.h"

struct witness_host {
	struct config *config;
	void *service; /* NULL = it is down */
	char url[64], vkey[NOTE_KEYTEXT_MAX];
};

/** Start the witness of this configuration: where it serves and its verifier key are in '*h'. Not on the loop, which runs. */
IM_MUST_CHECK enum im_rc witness_host_up(struct witness_host *h, struct loop *loop,
					 const char *yaml, struct im_err *err);

/** Stop it, if it is up. Not on the loop. */
void witness_host_down(struct witness_host *h, struct loop *loop);

#endif
