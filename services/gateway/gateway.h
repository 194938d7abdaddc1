/*
 * gateway/gateway.h - the gateway service: HTTP in front of the mesh. It knows HTTP, JSON, server-sent events and who the
 * caller is; it never picks a worker and never talks to an upstream.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "daemon/daemon.h"

extern const struct service_ops gateway_service;

/** Where it listens, with the real port; 'service' as gateway_service.start() made it. For tests and the single process. */
const char *gateway_address(const void *service);

#endif
