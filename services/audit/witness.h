/*
 * audit/witness.h - 'infermesh-audit --witness': a witness of other people's logs (https://c2sp.org/tlog-witness). It cosigns
 * checkpoints that continue, provably, what it cosigned before, over HTTP. Keeps no log of its own and never reads one.
 */
#ifndef AUDIT_WITNESS_H
#define AUDIT_WITNESS_H

#include "daemon/daemon.h"

extern const struct service_ops witness_service;

#endif
