/*
 * audit/audit.h - the audit service: answers Audit/Append and Audit/Status. It hashes, syncs and signs; it never sees a
 * prompt, and never acknowledges what is not durable.
 */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include "daemon/daemon.h"

extern const struct service_ops audit_service;

#endif
