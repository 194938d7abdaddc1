/*
 * gateway/gateway.h - the gateway service: HTTP in front of the mesh. It knows HTTP, JSON, server-sent events and who the
 * caller is; it never picks a worker and never talks to an upstream.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "daemon/daemon.h"

extern const struct service_ops gateway_service;

#endif
