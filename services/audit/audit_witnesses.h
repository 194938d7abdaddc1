/*
 * audit/audit_witnesses.h - between the audit service and the witnesses of its log: the configuration, the question of an
 * operator, the metrics.
 */
#ifndef AUDIT_AUDIT_WITNESSES_H
#define AUDIT_AUDIT_WITNESSES_H

#include "audit/log.h"
#include "audit/witnesses.h"
#include "daemon/config.h"
#include "daemon/metrics.h"
#include "net/net.h"
#include "wire/mesh.h"

/** Start those that audit.witnesses names; NULL if it names none. 'log' is open and its publisher has not been started: it will tell them. Errors as
 *  witnesses_open(). */
IM_MUST_CHECK enum im_rc audit_witnesses_start(const struct config *config, struct audit_log *log,
					       struct witnesses **ret, struct im_err *err);

/** Answer Audit/Witnesses. 'w' may be NULL. */
void audit_witnesses_serve(struct witnesses *w, const char *origin, uint64_t published,
			   struct served *served);

/** Their part of the service's status. 'w' may be NULL. */
void audit_witnesses_status(struct witnesses *w, struct audit_status *ret);

/** 'w' may be NULL: nothing. */
void audit_witnesses_metrics(struct witnesses *w, struct metrics_page *page);

#endif
