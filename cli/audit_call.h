/*
 * cli/audit_call.h - one question of an operator to the running audit service.
 */
#ifndef CLI_AUDIT_CALL_H
#define CLI_AUDIT_CALL_H

#include "base/buf.h"
#include "base/err.h"
#include "daemon/config.h"

/** Dial audit.address, ask, wait, hang up. IM_EUNAVAILABLE says how to start it when it does not run; else as mesh_call(). */
IM_MUST_CHECK enum im_rc audit_call(const struct config *config, const char *method,
				    const struct buf *body, struct buf *reply, struct im_err *err);

#endif
